//! Overview: the queries that a page of everything is made of, answered in one pass over the connections.

use super::{By, Query, Row, Rows, StepRows, TimeSteps};
use crate::{
    aggregate::{TimeHistogram, Worst},
    record::{Closing, Connection, ResetBy},
};

/// Steps of a chart at most; there are a sixth of these at least.
const CHART_STEPS: u64 = 120;
/// Steps of the heat map at most. Hours, for captures of 6 hours to a day and a half.
const HEAT_STEPS: u64 = 42;

/// Takes connections, judged.
#[derive(Debug)]
pub struct Overview {
    closings: TimeSteps,
    services_over_time: TimeSteps,
    services: Rows,
    causes: Rows,
    to_answer: TimeHistogram,
    to_reset: [TimeHistogram; 3],
    worst: Worst,
}

/// What connections added up to.
#[derive(Clone, Debug)]
pub struct OverviewRows {
    /// `--by closing,time`.
    pub closings: StepRows,
    /// `--by service,time`; those of which nobody knows who serves have no service.
    pub services_over_time: StepRows,
    /// `--by service`, and among them perhaps one without a key, of all others; services as above.
    pub services: Vec<Row>,
    /// `--by cause`.
    pub causes: Vec<Row>,
    /// From the first SYN to the SYN-ACK, of completed handshakes.
    pub to_answer: TimeHistogram,
    /// From the first segment to the last, of connections with a completed handshake that an RST ended: of the client, of
    /// the server, of something in between or nobody knows whom.
    pub to_reset: [TimeHistogram; 3],
    /// Of each cause the few that cost most, worst first.
    pub worst: Vec<Connection>,
    /// Connections with a cause, whether among the worst or not.
    pub with_cause: u64,
}

fn rows(by: Vec<By>) -> Rows {
    Rows::new(Query { by, having: None, sort: None, limit: 0, columns: Vec::new(), is_chosen: false })
}

fn keys(by: &str) -> Vec<By> {
    vec![By::read(by).expect("a key of the table")]
}

impl Default for Overview {
    fn default() -> Self {
        Self {
            closings: TimeSteps::new(&keys("closing"), CHART_STEPS),
            services_over_time: TimeSteps::new(&[By::KnownService], HEAT_STEPS),
            services: rows(vec![By::KnownService]),
            causes: rows(keys("cause")),
            to_answer: TimeHistogram::default(),
            to_reset: Default::default(),
            worst: Worst::default(),
        }
    }
}

impl Overview {
    /// Adds one connection, judged.
    pub fn add(&mut self, connection: &Connection) {
        self.closings.add(connection);
        self.services_over_time.add(connection);
        self.services.add(connection);
        self.causes.add(connection);
        self.worst.offer(connection);
        if !connection.is_established() {
            return;
        }
        if let Some(after_ns) = connection.answered_after_ns {
            self.to_answer.add(after_ns);
        }
        let by_reset = matches!(connection.closing, Closing::RstOnly | Closing::FinAndRst);
        let who = match connection.reset_by {
            ResetBy::None => return,
            ResetBy::Client => 0,
            ResetBy::Server => 1,
            ResetBy::Middle | ResetBy::Unknown => 2,
        };
        if by_reset {
            self.to_reset[who].add(connection.duration_ns);
        }
    }

    /// What they add up to.
    pub fn finish(self) -> OverviewRows {
        OverviewRows {
            closings: self.closings.finish(),
            services_over_time: self.services_over_time.finish(),
            services: self.services.finish().0,
            causes: self.causes.finish().0,
            to_answer: self.to_answer,
            to_reset: self.to_reset,
            with_cause: self.worst.candidates(),
            worst: self.worst.into_connections(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        query::KeyPart,
        record::{Cause, Opening, Orientation, Side},
    };

    /// Who sent the first segment seen may be the server: then the port is the client's.
    #[test]
    fn a_guessed_servers_port_is_no_service() {
        let mut overview = Overview::default();
        for (server, orientation) in [
            ("10.0.0.2:443", Orientation::ServicePort),
            ("10.0.0.1:49152", Orientation::FirstSender),
            ("10.0.0.1:50001", Orientation::FirstSender),
            ("10.0.0.2:40000", Orientation::Syn),
        ] {
            let side = Side { rst: 1, ..Side::default() };
            let mut one = connection(server, Opening::NotSeen, Closing::RstOnly, Side::default(), side);
            one.orientation = orientation;
            overview.add(&one);
        }
        let rows = overview.finish();
        let services = |rows: &[Row], place: usize| -> Vec<(KeyPart, u64)> {
            let mut all: Vec<_> = rows.iter().map(|row| (row.key[place], row.records)).collect();
            all.sort_unstable();
            all
        };
        let expected = [(KeyPart::Unknown, 2), (KeyPart::Service(443, None), 1), (KeyPart::Service(40_000, None), 1)];
        assert_eq!(services(&rows.services, 0), expected);
        assert_eq!(services(&rows.services_over_time.rows, 0), expected);
    }

    #[test]
    fn every_table_has_every_connection() {
        let mut overview = Overview::default();
        for number in 0..100_u64 {
            let (closing, rst) = if number % 4 == 0 { (Closing::RstOnly, 1) } else { (Closing::TwoFins, 0) };
            let server = Side { rst, ..Side::default() };
            let mut one = connection("10.0.0.2:80", Opening::Completed, closing, Side::default(), server);
            one.start_ns = 1_700_000_000_000_000_000 + number * 60_000_000_000;
            one.answered_after_ns = Some(1_000_000);
            one.duration_ns = 5_000_000;
            if rst > 0 {
                (one.reset_by, one.verdict.cause) = (ResetBy::Server, Cause::AppAbort);
            }
            overview.add(&one);
        }
        let rows = overview.finish();
        let sum = |rows: &[Row]| rows.iter().map(|row| row.records).sum::<u64>();
        let all = [&rows.closings.rows, &rows.services_over_time.rows, &rows.services, &rows.causes];
        assert_eq!(all.map(|rows| sum(rows)), [100; 4]);
        assert_eq!((rows.closings.step_ns, rows.closings.steps), (60_000_000_000, 100));
        let place = rows.closings.place(&rows.closings.rows[0]).expect("a step");
        assert!(matches!(place.1, KeyPart::Word("rst_only" | "two_fins")), "{place:?}");
        assert_eq!((rows.to_answer.count(), rows.to_reset[1].count()), (100, 25));
        assert_eq!((rows.worst.len(), rows.with_cause), (8, 25));
    }
}

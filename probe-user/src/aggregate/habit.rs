//! Services that end their connections by RST as a habit: normal there, and no fault of the connection at hand.
//!
//! Some applications use RST instead of FIN for every session (the seed article; Arlitt & Williamson, CCR 35(1) 2005).
//! One connection cannot show a habit, so this looks at all completed connections of a service and side.

use std::{
    collections::HashMap,
    hash::{Hash, Hasher},
    net::SocketAddr,
};

use super::group::hash_end;
use crate::lifecycle::{Cause, Confidence, Connection, Evidence, ResetBy, Value};

/// Fewest closes of a service that can make a habit.
const MIN_CLOSES: u64 = 5;
/// Share of a service's closes by RST from which it is a habit, per cent.
const MIN_SHARE_PER_CENT: u64 = 80;
/// Services remembered; later ones are not judged.
const MAX_SERVICES: usize = 65_536;

/// Closes of one service.
#[derive(Clone, Copy, Debug, Default)]
struct Closes {
    all: u64,
    by_server_rst: u64,
    by_client_rst: u64,
}

impl Closes {
    fn by(&self, side: ResetBy) -> u64 {
        match side {
            ResetBy::Server => self.by_server_rst,
            ResetBy::Client => self.by_client_rst,
            _ => 0,
        }
    }

    fn is_habit(&self, side: ResetBy) -> bool {
        self.all >= MIN_CLOSES && self.by(side) * 100 >= self.all * MIN_SHARE_PER_CENT
    }
}

/// How the services seen so far end their connections.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    places: HashMap<Service, u32, foldhash::fast::RandomState>,
    closes: Vec<Closes>,
}

/// Where connections are made to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Service(SocketAddr);

impl Hash for Service {
    fn hash<H: Hasher>(&self, state: &mut H) {
        hash_end(self.0.ip(), self.0.port(), state);
    }
}

impl Habits {
    /// Counts one ended connection; returns the number of its service.
    pub fn observe(&mut self, connection: &Connection) -> Option<u32> {
        let has_ended = connection.fin_count() > 0 || connection.rst_count() > 0;
        if !connection.is_established() || !has_ended {
            return None;
        }
        let service = Service(connection.resp);
        let place = match self.places.get(&service) {
            Some(&place) => place,
            None if self.closes.len() >= MAX_SERVICES => return None,
            None => {
                let place = self.closes.len() as u32;
                self.places.insert(service, place);
                self.closes.push(Closes::default());
                place
            }
        };
        let closes = &mut self.closes[place as usize];
        closes.all += 1;
        if is_candidate(connection) {
            match connection.reset_by {
                ResetBy::Server => closes.by_server_rst += 1,
                ResetBy::Client => closes.by_client_rst += 1,
                _ => {}
            }
        }
        Some(place)
    }

    /// Whether the closes by this side of a service are a habit.
    pub(super) fn is_habit(&self, service: u32, closer: ResetBy) -> bool {
        self.closes.get(service as usize).is_some_and(|closes| closes.is_habit(closer))
    }

    /// Replaces the verdict of a connection that ended as its service always ends them.
    pub fn judge(&self, connection: &mut Connection) {
        if !is_candidate(connection) {
            return;
        }
        let Some(place) = self.places.get(&Service(connection.resp)) else { return };
        let closes = &self.closes[*place as usize];
        if !closes.is_habit(connection.reset_by) {
            return;
        }
        let verdict = &mut connection.verdict;
        let value = Value::OfConnections(closes.by(connection.reset_by), closes.all);
        verdict.evidence.insert(0, Evidence { name: "service.closed_by_rst", value });
        verdict.evidence.insert(1, Evidence { name: "cause.of_one_alone", value: Value::Word(verdict.cause.id()) });
        verdict.cause = Cause::RstInsteadOfFin;
        verdict.confidence = Confidence::Medium;
    }
}

/// True when the closer actively aborted and sent no FIN of its own: a habit of the service would explain it.
pub(super) fn is_candidate(connection: &Connection) -> bool {
    let closer = match connection.reset_by {
        ResetBy::Server => &connection.from_resp,
        ResetBy::Client => &connection.from_orig,
        _ => return false,
    };
    let aborted = matches!(
        connection.verdict.cause,
        Cause::AppAbort | Cause::AbortNoData | Cause::ServerReplyThenReset | Cause::RstInsteadOfFin
    );
    connection.is_established() && aborted && closer.fin == 0 && closer.rst > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        lifecycle::{Closing, Opening, Side},
    };

    fn aborted(server: &str) -> Connection {
        let rst = Side { rst: 1, ..Side::default() };
        let mut connection = connection(server, Opening::Completed, Closing::RstOnly, Side::default(), rst);
        connection.verdict.cause = Cause::AppAbort;
        connection
    }

    fn orderly(server: &str) -> Connection {
        let fin = Side { fin: 1, ..Side::default() };
        connection(server, Opening::Completed, Closing::TwoFins, fin, fin)
    }

    fn judged(mix: &[Connection]) -> Cause {
        let mut habits = Habits::default();
        for connection in mix {
            habits.observe(connection);
        }
        let mut last = aborted("10.0.0.2:80");
        habits.judge(&mut last);
        last.verdict.cause
    }

    #[test]
    fn most_of_enough_connections_make_a_habit() {
        let aborts = vec![aborted("10.0.0.2:80"); 5];
        assert_eq!(judged(&aborts), Cause::RstInsteadOfFin);
        assert_eq!(judged(&aborts[..4]), Cause::AppAbort, "four are too few");
        let mixed: Vec<_> = aborts.into_iter().chain(vec![orderly("10.0.0.2:80"); 5]).collect();
        assert_eq!(judged(&mixed), Cause::AppAbort, "half of them is no habit");
    }

    #[test]
    fn another_service_has_its_own_habits() {
        assert_eq!(judged(&vec![aborted("10.0.0.2:81"); 50]), Cause::AppAbort);
    }

    #[test]
    fn a_habit_is_not_forgotten_by_its_own_verdicts() {
        let mut habits = Habits::default();
        let mut last = Cause::None;
        for _ in 0..10 {
            let mut one = aborted("10.0.0.2:80");
            habits.observe(&one);
            habits.judge(&mut one);
            last = one.verdict.cause;
        }
        assert_eq!(last, Cause::RstInsteadOfFin);
    }
}

//! Connections added up: totals, and groups by server, client and cause.
//!
//! Rates name their denominator and are `None` where it is 0. Pure: no clock, no I/O, no formatting.

mod duration;
mod fact;
mod gaps;
mod group;
mod habit;
mod tally;

use std::num::NonZeroU64;

pub use gaps::GapCluster;
pub use group::{Group, GroupKey, Groups};
pub use habit::Habits;
use tally::Tally;

use fact::{Gathered, Rest};
use habit::Question;

use crate::lifecycle::{Basis, Cause, Closing, Connection, Opening, ResetBy};

/// SYN, FIN and RST of one direction, or of everything on one side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlagTotals {
    /// SYN without ACK.
    pub syn: u64,
    /// SYN with ACK.
    pub syn_ack: u64,
    /// FIN.
    pub fin: u64,
    /// RST.
    pub rst: u64,
}

impl FlagTotals {
    fn merge(&mut self, other: &Self) {
        self.syn += other.syn;
        self.syn_ack += other.syn_ack;
        self.fin += other.fin;
        self.rst += other.rst;
    }
}

/// Sums over connections; the denominators of every rate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Totals {
    /// Connection records, RSTs without a connection left out.
    pub connections: u64,
    /// Connections whose opening SYN was seen.
    pub attempts: u64,
    /// Completed handshakes (the article's `ct.count`).
    pub completed_handshakes: u64,
    /// Attempts that were refused.
    pub refused: u64,
    /// Attempts without any answer.
    pub never_answered: u64,
    /// Connections with at least one RST.
    pub with_rst: u64,
    /// Records of RSTs that belong to no connection.
    pub rst_without_connection: u64,
    /// Connections by who reset them.
    pub reset_by_client: u64,
    /// See `reset_by_client`.
    pub reset_by_server: u64,
    /// See `reset_by_client`.
    pub reset_by_middle: u64,
    /// See `reset_by_client`.
    pub reset_by_unknown: u64,
    /// Flags sent by clients.
    pub client: FlagTotals,
    /// Flags sent by servers.
    pub server: FlagTotals,
    /// RST segments of connections with a completed handshake: the numerator of `rst_per_conn`.
    pub rst_of_completed: u64,
    /// Connections of which only one direction was seen.
    pub one_sided: u64,
    /// RST segments of `rst_without_connection`: who is client there is a guess, so they are in neither direction.
    pub rst_unattributed: u64,
    /// Segments, both directions.
    pub packets: u64,
    /// IP bytes, both directions.
    pub ip_bytes: u64,
}

impl Totals {
    /// Adds one connection.
    pub fn add(&mut self, connection: &Connection) {
        self.merge(&Self::of(connection));
    }

    /// Those of one connection.
    fn of(connection: &Connection) -> Self {
        let mut totals = Self::default();
        totals.count(connection);
        totals
    }

    /// Adds other sums.
    fn merge(&mut self, other: &Self) {
        self.connections += other.connections;
        self.attempts += other.attempts;
        self.completed_handshakes += other.completed_handshakes;
        self.refused += other.refused;
        self.never_answered += other.never_answered;
        self.with_rst += other.with_rst;
        self.rst_without_connection += other.rst_without_connection;
        self.reset_by_client += other.reset_by_client;
        self.reset_by_server += other.reset_by_server;
        self.reset_by_middle += other.reset_by_middle;
        self.reset_by_unknown += other.reset_by_unknown;
        self.client.merge(&other.client);
        self.server.merge(&other.server);
        self.rst_of_completed += other.rst_of_completed;
        self.one_sided += other.one_sided;
        self.rst_unattributed += other.rst_unattributed;
        self.packets += other.packets;
        self.ip_bytes += other.ip_bytes;
    }

    fn count(&mut self, connection: &Connection) {
        let (orig, resp) = (&connection.from_orig, &connection.from_resp);
        self.packets += orig.packets + resp.packets;
        self.ip_bytes += orig.ip_bytes + resp.ip_bytes;
        if connection.closing == Closing::RstWithoutConnection {
            self.rst_without_connection += 1;
            self.rst_unattributed += connection.rst_count();
            return;
        }
        self.connections += 1;
        self.attempts += u64::from(orig.syn > 0);
        self.completed_handshakes += u64::from(connection.opening == Opening::Completed);
        self.refused += u64::from(connection.opening == Opening::Refused);
        self.never_answered += u64::from(connection.opening == Opening::Unanswered);
        self.with_rst += u64::from(connection.rst_count() > 0);
        self.one_sided += u64::from(connection.is_one_sided());
        if connection.is_established() {
            self.rst_of_completed += connection.rst_count();
        }
        match connection.reset_by {
            ResetBy::None => {}
            ResetBy::Client => self.reset_by_client += 1,
            ResetBy::Server => self.reset_by_server += 1,
            ResetBy::Middle => self.reset_by_middle += 1,
            ResetBy::Unknown => self.reset_by_unknown += 1,
        }
        for (sum, side) in [(&mut self.client, orig), (&mut self.server, resp)] {
            sum.syn += side.syn;
            sum.syn_ack += side.syn_ack;
            sum.fin += side.fin;
            sum.rst += side.rst;
        }
    }

    /// A refusal that was counted as the server's turned out to be a device's.
    fn reset_by_now(&mut self, cause: Cause) {
        if cause == Cause::RefusedByFirewall {
            self.reset_by_server -= 1;
            self.reset_by_middle += 1;
        }
    }

    /// RSTs of connections with a completed handshake, per such connection (`rst.per_conn`).
    pub fn rst_per_conn(&self) -> Option<f64> {
        ratio(self.rst_of_completed, self.completed_handshakes)
    }

    /// Connections with an RST per connection (`rst.ratio`).
    pub fn rst_ratio(&self) -> Option<f64> {
        ratio(self.with_rst, self.connections)
    }

    /// Refused attempts per attempt (`refused.ratio`).
    pub fn refused_ratio(&self) -> Option<f64> {
        ratio(self.refused, self.attempts)
    }

    /// SYNs per connection attempt (`syn.per_conn`): above 1, SYNs were retransmitted.
    pub fn syn_per_conn(&self) -> Option<f64> {
        ratio(self.client.syn, self.attempts)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// Totals, groups and counts by cause and closing.
#[derive(Clone, Debug)]
pub struct Aggregate {
    /// Over everything.
    pub totals: Totals,
    /// By server address and port.
    pub servers: Groups,
    /// By client address.
    pub clients: Groups,
    causes: Causes,
    closings: Tally<{ Closing::ALL.len() }>,
    /// Payload bytes of connections seen from SYN to both FINs, by sequence numbers: all, and those never seen.
    pub whole_bytes: (u64, u64),
    unjudged: Vec<Unjudged>,
    /// In the sums already, but in no row yet.
    gathered: Gathered,
}

/// A connection that was added before all was known that its cause may depend on.
#[derive(Clone, Copy, Debug)]
struct Unjudged {
    question: Question,
    server: u32,
    client: u32,
    cause: Cause,
}

/// Numbers of a server's and a client's row.
type Rows = [u32; 2];

/// Connections that wait for judgement at most; further ones are judged by what is known when they are added.
const MAX_UNJUDGED: usize = 4 << 20;

/// Connections by cause.
type Causes = Tally<{ Cause::ALL.len() }>;

impl Aggregate {
    /// Empty, with at most `max_groups` servers and clients each; what comes after goes into an `other` row.
    pub fn new(max_groups: usize) -> Self {
        Self {
            totals: Totals::default(),
            servers: Groups::new(max_groups),
            clients: Groups::new(max_groups),
            causes: Tally::default(),
            closings: Tally::default(),
            whole_bytes: (0, 0),
            unjudged: Vec::new(),
            gathered: Gathered::default(),
        }
    }

    /// Connections by cause.
    pub fn causes(&self) -> impl Iterator<Item = (Cause, u64)> {
        self.causes.of(Cause::ALL)
    }

    /// Connections by how they ended.
    pub fn closings(&self) -> impl Iterator<Item = (Closing, u64)> {
        self.closings.of(Closing::ALL)
    }

    /// Adds one connection, judged.
    pub fn add(&mut self, connection: &Connection) {
        let rows = self.rows_of(connection);
        let (totals, rest) = self.sum_up(connection);
        if let Some(rows) = rows {
            self.add_to_rows(&totals, rest, rows);
        }
    }

    /// Adds connections, after `habits` has observed each, whose habits [`Self::settle`] will judge by what is known then;
    /// only after it are the rows complete.
    pub fn add_unjudged(&mut self, connections: &mut [Connection], habits: &mut Habits) {
        for connection in connections {
            self.add_one_unjudged(connection, habits);
            if self.gathered.is_full() {
                self.gathered.add_to(self.servers.rows_mut(), self.clients.rows_mut());
            }
        }
    }

    fn add_one_unjudged(&mut self, connection: &mut Connection, habits: &mut Habits) {
        let rows = self.rows_of(connection);
        let service = habits.observe(connection);
        if let Some(question) = habits.question(connection, || service) {
            if self.unjudged.len() >= MAX_UNJUDGED {
                habits.judge(connection);
            } else if let Some([server, client]) = rows {
                self.unjudged.push(Unjudged { question, server, client, cause: connection.verdict.cause });
            }
        }
        let (totals, rest) = self.sum_up(connection);
        if let Some(rows) = rows
            && !self.gathered.push(&totals, rest, rows)
        {
            self.add_to_rows(&totals, rest, rows);
        }
    }

    /// Judges what was added unjudged.
    pub fn settle(&mut self, habits: &Habits) {
        self.gathered.add_to(self.servers.rows_mut(), self.clients.rows_mut());
        for one in std::mem::take(&mut self.unjudged) {
            let Some(cause) = habits.answer(one.question) else { continue };
            self.causes.change(one.cause as usize, cause as usize);
            let (servers, clients) = (self.servers.rows_mut(), self.clients.rows_mut());
            let rows = [servers.get_mut(one.server as usize), clients.get_mut(one.client as usize)];
            for group in rows.into_iter().flatten() {
                group.change_cause(one.cause, cause);
                group.totals.reset_by_now(cause);
            }
            self.totals.reset_by_now(cause);
        }
    }

    /// Where every segment is counted, what the other side has acknowledged and nobody saw is missing from the capture.
    fn add_bytes(&mut self, connection: &Connection) {
        let whole = connection.is_established() && connection.closing == Closing::TwoFins;
        if whole && connection.basis == Basis::AllSegments {
            for side in [&connection.from_orig, &connection.from_resp] {
                self.whole_bytes.0 += side.bytes;
                self.whole_bytes.1 += side.bytes.saturating_sub(side.payload_bytes);
            }
        }
    }

    /// Its server's and its client's row. Who serves is a guess for RSTs without a connection: they have none.
    #[inline]
    fn rows_of(&mut self, connection: &Connection) -> Option<Rows> {
        (connection.closing != Closing::RstWithoutConnection).then(|| {
            [
                self.servers.row_of(GroupKey::Server(connection.resp)),
                self.clients.row_of(GroupKey::Client(connection.orig.ip())),
            ]
        })
    }

    /// Adds a connection to everything but the rows; returns what it adds to them.
    #[inline]
    fn sum_up(&mut self, connection: &Connection) -> (Totals, Rest) {
        let totals = Totals::of(connection);
        self.totals.merge(&totals);
        self.causes.add(connection.verdict.cause as usize);
        self.closings.add(connection.closing as usize);
        self.add_bytes(connection);
        let rest = Rest {
            duration_us: connection.duration_ns / 1000,
            idle_gap_ns: connection.idle_gap_ns.and_then(NonZeroU64::new),
            cause: connection.verdict.cause as u8,
        };
        (totals, rest)
    }

    fn add_to_rows(&mut self, totals: &Totals, rest: Rest, [server, client]: Rows) {
        let (servers, clients) = (self.servers.rows_mut(), self.clients.rows_mut());
        for group in [servers.get_mut(server as usize), clients.get_mut(client as usize)].into_iter().flatten() {
            group.add(totals, rest);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests;

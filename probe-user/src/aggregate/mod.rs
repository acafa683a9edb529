//! Connections added up: totals, and groups by server, client and cause.
//!
//! Rates name their denominator and are `None` where it is 0. Pure: no clock, no I/O, no formatting.

mod duration;
mod group;
mod habit;

use std::collections::BTreeMap;

pub use group::{Group, GroupKey, Groups};
pub use habit::Habits;

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
    /// Connections by cause.
    pub causes: BTreeMap<Cause, u64>,
    /// Connections by how they ended.
    pub closings: BTreeMap<Closing, u64>,
    /// Payload bytes of connections seen from SYN to both FINs, by sequence numbers: all, and those never seen.
    pub whole_bytes: (u64, u64),
    unjudged: Vec<Unjudged>,
}

/// A connection that was added before all habits were known, and might be one.
#[derive(Clone, Copy, Debug)]
struct Unjudged {
    service: u32,
    server: u32,
    client: u32,
    closer: ResetBy,
    cause: Cause,
}

/// Connections that wait for judgement at most; further ones are judged by what is known when they are added.
const MAX_UNJUDGED: usize = 4 << 20;

fn change_cause(causes: &mut BTreeMap<Cause, u64>, from: Cause, to: Cause) {
    if let Some(count) = causes.get_mut(&from) {
        *count -= 1;
        if *count == 0 {
            causes.remove(&from);
        }
        *causes.entry(to).or_default() += 1;
    }
}

impl Aggregate {
    /// Empty, with at most `max_groups` servers and clients each; what comes after goes into an `other` row.
    pub fn new(max_groups: usize) -> Self {
        Self {
            totals: Totals::default(),
            servers: Groups::new(max_groups),
            clients: Groups::new(max_groups),
            causes: BTreeMap::new(),
            closings: BTreeMap::new(),
            whole_bytes: (0, 0),
            unjudged: Vec::new(),
        }
    }

    /// Adds one connection, judged.
    pub fn add(&mut self, connection: &Connection) {
        self.add_to_rows(connection);
    }

    /// Adds one connection whose habit [`Self::settle`] will judge by what is known then.
    pub fn add_unjudged(&mut self, connection: &mut Connection, habits: &Habits) {
        let Some(service) = habits.candidate(connection) else {
            self.add_to_rows(connection);
            return;
        };
        if self.unjudged.len() >= MAX_UNJUDGED {
            habits.judge(connection);
            self.add_to_rows(connection);
            return;
        }
        let (closer, cause) = (connection.reset_by, connection.verdict.cause);
        if let Some((server, client)) = self.add_to_rows(connection) {
            self.unjudged.push(Unjudged { service, server, client, closer, cause });
        }
    }

    /// Judges what was added unjudged.
    pub fn settle(&mut self, habits: &Habits) {
        for one in std::mem::take(&mut self.unjudged) {
            if !habits.is_habit(one.service, one.closer) {
                continue;
            }
            change_cause(&mut self.causes, one.cause, Cause::RstInsteadOfFin);
            for group in [self.servers.row_mut(one.server), self.clients.row_mut(one.client)].into_iter().flatten() {
                group.change_cause(one.cause, Cause::RstInsteadOfFin);
            }
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

    /// Returns its server's and its client's row.
    fn add_to_rows(&mut self, connection: &Connection) -> Option<(u32, u32)> {
        self.totals.add(connection);
        *self.causes.entry(connection.verdict.cause).or_default() += 1;
        *self.closings.entry(connection.closing).or_default() += 1;
        self.add_bytes(connection);
        // Who serves is a guess for RSTs without a connection: they are in no server's or client's row.
        (connection.closing != Closing::RstWithoutConnection).then(|| {
            (
                self.servers.add(GroupKey::Server(connection.resp), connection),
                self.clients.add(GroupKey::Client(connection.orig.ip()), connection),
            )
        })
    }
}

#[cfg(test)]
mod tests;

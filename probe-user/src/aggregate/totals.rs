//! Totals: sums over connections, and the rates made of them. Each rate names its denominator and is `None` where that is 0.

use crate::record::{Closing, Connection, Impact, Opening, ResetBy};

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

/// Connections by impact: those with an RST, and those without one that lost something or failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Impacts {
    counts: [u64; Impact::ALL.len()],
}

impl Impacts {
    /// From a count of each.
    pub(super) fn of(count: impl Fn(Impact) -> u64) -> Self {
        let mut impacts = Self::default();
        for (sum, &impact) in impacts.counts.iter_mut().zip(Impact::ALL) {
            *sum = count(impact);
        }
        impacts
    }

    /// How many had this impact.
    pub fn count(&self, impact: Impact) -> u64 {
        self.counts[impact as usize]
    }

    /// Those that occurred, in their order.
    pub fn each(&self) -> impl Iterator<Item = (Impact, u64)> {
        Impact::ALL.iter().map(|&impact| (impact, self.count(impact))).filter(|entry| entry.1 > 0)
    }

    /// How many lost something.
    pub fn losses(&self) -> u64 {
        self.each().filter(|(impact, _)| impact.is_loss()).map(|entry| entry.1).sum()
    }

    fn add(&mut self, impact: Impact, has_rst: bool) {
        self.counts[impact as usize] += u64::from(has_rst || impact != Impact::None);
    }

    fn merge(&mut self, other: &Self) {
        for (sum, count) in self.counts.iter_mut().zip(other.counts) {
            *sum += count;
        }
    }

    /// One with an RST that was counted under one has another.
    pub(super) fn change(&mut self, from: Impact, to: Impact) {
        if from == to {
            return;
        }
        self.counts[from as usize] = self.counts[from as usize].saturating_sub(1);
        self.counts[to as usize] += 1;
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
    /// Of these, RSTs of connections that lost something: the numerator of `rst_lossy_per_conn`.
    pub rst_lossy_of_completed: u64,
    /// By impact.
    pub impacts: Impacts,
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
    pub(super) fn of(connection: &Connection) -> Self {
        let mut totals = Self::default();
        totals.count(connection);
        totals
    }

    /// Adds other sums.
    pub(super) fn merge(&mut self, other: &Self) {
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
        self.rst_lossy_of_completed += other.rst_lossy_of_completed;
        self.impacts.merge(&other.impacts);
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
        let impact = connection.verdict.impact;
        if connection.is_established() {
            self.rst_of_completed += connection.rst_count();
            if impact.is_loss() {
                self.rst_lossy_of_completed += connection.rst_count();
            }
        }
        self.impacts.add(impact, connection.rst_count() > 0);
        if let Some(sum) = self.reset_by(connection.reset_by) {
            *sum += 1;
        }
        for (sum, side) in [(&mut self.client, orig), (&mut self.server, resp)] {
            sum.syn += side.syn;
            sum.syn_ack += side.syn_ack;
            sum.fin += side.fin;
            sum.rst += side.rst;
        }
    }

    fn reset_by(&mut self, by: ResetBy) -> Option<&mut u64> {
        match by {
            ResetBy::None => None,
            ResetBy::Client => Some(&mut self.reset_by_client),
            ResetBy::Server => Some(&mut self.reset_by_server),
            ResetBy::Middle => Some(&mut self.reset_by_middle),
            ResetBy::Unknown => Some(&mut self.reset_by_unknown),
        }
    }

    /// One that was counted as reset by somebody was reset by somebody else.
    pub(super) fn change_reset_by(&mut self, from: ResetBy, to: ResetBy) {
        if let Some(sum) = self.reset_by(from) {
            *sum = sum.saturating_sub(1);
        }
        if let Some(sum) = self.reset_by(to) {
            *sum += 1;
        }
    }

    /// RSTs of connections with a completed handshake, per such connection (`rst.per_conn`).
    pub fn rst_per_conn(&self) -> Option<f64> {
        ratio(self.rst_of_completed, self.completed_handshakes)
    }

    /// RSTs of connections with a completed handshake that lost something, per such connection (`rst_lossy.per_conn`).
    pub fn rst_lossy_per_conn(&self) -> Option<f64> {
        ratio(self.rst_lossy_of_completed, self.completed_handshakes)
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

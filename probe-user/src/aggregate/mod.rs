//! Aggregates: totals over connections, and groups by server, client and cause.
//!
//! Rates name their denominator and are `None` where it is 0. Pure: no clock, no I/O, no formatting.

#![expect(clippy::inline_always, reason = "what every connection goes through is compiled as one")]

mod batch;
mod capture_loss;
mod contribution;
mod duration;
mod examples;
mod gaps;
mod group;
mod habit;
mod key;
mod monitor;
mod pending;
mod tally;
mod time_histogram;
mod totals;
mod worst;

pub use capture_loss::CaptureLoss;
pub use examples::Examples;
pub use gaps::GapCluster;
pub use group::{Group, GroupKey, Groups};
pub use habit::Habits;
pub use pending::{KnownRows, Pending};
pub use time_histogram::TimeHistogram;
pub use totals::{FlagTotals, Impacts, Totals};
pub use worst::Worst;

use key::Key;
use tally::Tally;

use crate::record::{Cause, Closing, Connection, Impact, ResetBy};

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
    outcomes: Outcomes,
    /// How much of what was sent was seen.
    pub capture_loss: CaptureLoss,
}

/// Why a connection ended, who reset it, and what it cost.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Outcome {
    /// Why.
    pub cause: Cause,
    /// Who.
    pub by: ResetBy,
    /// What it cost.
    pub impact: Impact,
}

impl Outcome {
    /// Its place among all.
    const fn place(self) -> usize {
        (self.cause as usize * ResetBy::ALL.len() + self.by as usize) * Impact::ALL.len() + self.impact as usize
    }
}

/// What was said of a connection by itself, as far as sums depend on it.
#[derive(Clone, Copy, Debug)]
struct OfOne {
    cause: Cause,
    reset_by: ResetBy,
    impact: Impact,
    /// Its part of [`Totals::rst_lossy_of_completed`].
    lossy_rsts: u64,
}

/// Numbers of a server's and a client's row.
type Rows = [u32; 2];

/// Connections by cause, by who reset them, and by what it cost.
type Outcomes = Tally<{ Cause::ALL.len() * ResetBy::ALL.len() * Impact::ALL.len() }>;

/// Connections by cause.
type Causes = Tally<{ Cause::ALL.len() }>;

/// Connections by cause, and whether the server reset them.
type CausesBy = Tally<{ Cause::ALL.len() * 2 }>;

/// Where a connection is counted in [`CausesBy`].
const fn place_of(cause: usize, by_server: bool) -> usize {
    cause * 2 + by_server as usize
}

impl Aggregate {
    /// Empty, with at most `max_groups` servers and clients each; what comes after goes into an `other` row.
    pub fn new(max_groups: usize) -> Self {
        Self {
            totals: Totals::default(),
            servers: Groups::new(max_groups),
            clients: Groups::new(max_groups),
            causes: Tally::default(),
            closings: Tally::default(),
            outcomes: Tally::default(),
            capture_loss: CaptureLoss::default(),
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

    /// Connections by cause, who reset them and what it cost, in the order of these words. RSTs that belong to no connection
    /// are in none.
    pub fn outcomes(&self) -> impl Iterator<Item = (Outcome, u64)> {
        let all = Cause::ALL.iter().flat_map(|&cause| ResetBy::ALL.iter().map(move |&by| (cause, by)));
        let all = all.flat_map(|(cause, by)| Impact::ALL.iter().map(move |&impact| Outcome { cause, by, impact }));
        all.map(|outcome| (outcome, self.outcomes.count(outcome.place()))).filter(|(_, count)| *count > 0)
    }

    /// Adds one connection, judged.
    pub fn add(&mut self, connection: &Connection) {
        // Who serves is a guess for RSTs without a connection: they have no row.
        let rows = (connection.closing != Closing::RstWithoutConnection).then(|| self.rows_of(connection));
        self.add_words(connection);
        self.add_sums(connection, rows);
    }

    /// Adds a connection to the sums over everything, and all that rows have of it to its rows.
    fn add_sums(&mut self, connection: &Connection, rows: Option<Rows>) {
        let totals = Totals::of(connection);
        self.totals.merge(&totals);
        for group in self.groups(rows) {
            group.totals.merge(&totals);
            group.add(connection);
        }
    }

    /// Adds a connection to what has no rows: causes, closings and bytes.
    #[inline]
    fn add_words(&mut self, connection: &Connection) {
        self.causes.add(connection.verdict.cause as usize);
        self.closings.add(connection.closing as usize);
        if connection.closing != Closing::RstWithoutConnection {
            let (cause, impact) = (connection.verdict.cause, connection.verdict.impact);
            self.outcomes.add(Outcome { cause, by: connection.reset_by, impact }.place());
        }
        self.capture_loss.add(connection);
    }

    /// A connection that was added with one cause and impact, and as reset by somebody, has another.
    fn judge(&mut self, of_one: OfOne, cause: Cause, rows: Rows) {
        let OfOne { cause: of_one, reset_by, impact, lossy_rsts } = of_one;
        let now = if cause == Cause::HealthCheck { Impact::None } else { impact };
        let by = if cause == Cause::RefusedByFirewall { ResetBy::Middle } else { reset_by };
        self.causes.change(of_one as usize, cause as usize);
        let before = Outcome { cause: of_one, by: reset_by, impact };
        self.outcomes.change(before.place(), Outcome { cause, by, impact: now }.place());
        self.totals.change_reset_by(reset_by, by);
        self.totals.impacts.change(impact, now);
        let no_loss = if now.is_loss() { 0 } else { lossy_rsts };
        self.totals.rst_lossy_of_completed -= no_loss;
        for group in self.groups(Some(rows)) {
            group.change_cause((of_one, reset_by), (cause, by));
            group.totals.change_reset_by(reset_by, by);
            group.totals.impacts.change(impact, now);
            group.totals.rst_lossy_of_completed -= no_loss;
        }
    }

    #[inline(always)]
    fn rows_of(&mut self, connection: &Connection) -> Rows {
        let (server, client) = (connection.resp, connection.orig.ip());
        [
            self.servers.row_of(Key::server(server), || GroupKey::Server(server)),
            self.clients.row_of(Key::client(client), || GroupKey::Client(client)),
        ]
    }

    /// Its rows, where they are there and it has any.
    #[inline]
    fn find_rows_of(&self, connection: &Connection) -> Option<Rows> {
        if connection.closing == Closing::RstWithoutConnection {
            return None;
        }
        let server = self.servers.find_row_of(Key::server(connection.resp))?;
        Some([server, self.clients.find_row_of(Key::client(connection.orig.ip()))?])
    }

    fn groups(&mut self, rows: Option<Rows>) -> impl Iterator<Item = &mut Group> {
        let (servers, clients) = (&mut self.servers, &mut self.clients);
        let rows = rows.map(|[server, client]| [servers.row_mut(server), clients.row_mut(client)]);
        rows.into_iter().flatten().flatten()
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;

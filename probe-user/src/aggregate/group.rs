//! Group table: a bounded number of keys with their sums, and one row for all others.

use std::{
    cmp::Reverse,
    net::{IpAddr, SocketAddr},
};

use hashbrown::HashMap;

use super::{
    CausesBy, Totals,
    contribution::{Contribution, Sums, duration_us},
    duration::Durations,
    gaps::{GapCluster, Gaps},
    key::Key,
    place_of,
};
use crate::record::{Cause, Connection, ResetBy};

/// What a row stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum GroupKey {
    /// A service: address and port.
    Server(SocketAddr),
    /// A client address.
    Client(IpAddr),
    /// Everything beyond the bound.
    Other,
}

/// One row.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Sums.
    pub totals: Totals,
    durations: Durations,
    idle_gaps: Gaps,
    causes: CausesBy,
}

impl Group {
    /// Adds one connection, judged.
    pub fn count(&mut self, connection: &Connection) {
        self.totals.add(connection);
        self.add(connection);
    }

    /// Adds what is no sum of one connection.
    pub(super) fn add(&mut self, connection: &Connection) {
        self.durations.add(duration_us(connection));
        self.causes.add(place_of(connection.verdict.cause as usize, connection.reset_by == ResetBy::Server));
        if let Some(gap_ns) = connection.idle_gap_ns {
            self.idle_gaps.add(gap_ns);
        }
    }

    /// Adds connections, given by the numbers of their facts; returns their sums.
    #[inline]
    pub(super) fn add_run(&mut self, contributions: &[Contribution], numbers: &[u32]) -> Totals {
        let sums = Sums::of(contributions, numbers, |cause, by_server| {
            self.causes.add(place_of(cause, by_server));
        });
        let totals = sums.totals();
        self.totals.merge(&totals);
        self.durations
            .extend(numbers.iter().map(|&number| contributions[number as usize].duration_us()), u32::MAX.into());
        totals
    }

    /// Adds another group's connections.
    pub fn merge(&mut self, other: &Self) {
        self.totals.merge(&other.totals);
        self.durations.merge(&other.durations);
        self.idle_gaps.merge(&other.idle_gaps);
        self.causes.merge(&other.causes);
    }

    /// Connections by cause.
    pub fn causes(&self) -> impl Iterator<Item = (Cause, u64)> {
        let count = |cause: Cause, by_server| self.causes.count(place_of(cause as usize, by_server));
        let counts = Cause::ALL.iter().map(move |&cause| (cause, count(cause, false) + count(cause, true)));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Of these, those that the server reset.
    pub fn causes_by_server(&self) -> impl Iterator<Item = (Cause, u64)> {
        let counts = Cause::ALL.iter().map(|&cause| (cause, self.causes.count(place_of(cause as usize, true))));
        counts.filter(|(_, count)| *count > 0)
    }

    /// A connection counted under one cause, as reset by somebody, has another.
    pub(super) fn change_cause(&mut self, from: (Cause, ResetBy), to: (Cause, ResetBy)) {
        let place = |(cause, by): (Cause, ResetBy)| place_of(cause as usize, by == ResetBy::Server);
        self.causes.change(place(from), place(to));
    }

    /// The cause most of its resets have, with how many; `None` when nothing needed explaining.
    pub fn main_cause(&self) -> Option<(Cause, u64)> {
        let explained = self.causes().filter(|(cause, _)| *cause != Cause::None);
        explained.max_by_key(|(cause, count)| (*count, Reverse(*cause)))
    }

    /// The idle time after which most of its idle connections were reset: a timeout; `None` without such a cluster.
    pub fn idle_gap_cluster(&self) -> Option<GapCluster> {
        self.idle_gaps.cluster()
    }

    /// Duration below which the given share (0 to 1) of the connections lie, microseconds.
    pub fn duration_quantile_us(&self, quantile: f64) -> Option<u64> {
        self.durations.quantile(quantile)
    }
}

/// Rows by key, bounded.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Numbers of rows. Who makes connections chooses their addresses: without the seed of the hash he could choose them to
    /// collide.
    numbers: HashMap<Key, u32, foldhash::fast::RandomState>,
    /// By number; apart from the rows, so that looking for one fetches no row.
    keys: Vec<GroupKey>,
    /// Those with a number of their own, and the one for all others where it came to be.
    rows: Vec<Group>,
    max: usize,
}

impl Groups {
    /// At most `max` rows, and one for all others.
    pub fn new(max: usize) -> Self {
        Self { numbers: HashMap::default(), keys: Vec::new(), rows: Vec::new(), max }
    }

    /// Number of the row of `key`, made when there is none; `full` is that key for people.
    #[inline(always)]
    pub(super) fn row_of(&mut self, key: Key, full: impl FnOnce() -> GroupKey) -> u32 {
        self.numbers.get(&key).copied().unwrap_or_else(|| self.place(key, full()))
    }

    /// Number of the row of `key`, where it has one of its own.
    #[inline(always)]
    pub(super) fn find_row_of(&self, key: Key) -> Option<u32> {
        self.numbers.get(&key).copied()
    }

    /// Whether the row is that of one key.
    #[inline]
    pub(super) fn is_of_one(&self, row: u32) -> bool {
        (row as usize) < self.max
    }

    /// The row for all others comes last: no key gets a row of its own once there is one.
    #[cold]
    fn place(&mut self, key: Key, full: GroupKey) -> u32 {
        if self.len() < self.max {
            let number = self.keys.len() as u32;
            self.rows.push(Group::default());
            self.keys.push(full);
            self.numbers.insert(key, number);
            return number;
        }
        if self.len() == self.max {
            self.rows.push(Group::default());
        }
        self.max as u32
    }

    /// The row with this number.
    pub(super) fn row_mut(&mut self, number: u32) -> Option<&mut Group> {
        self.rows.get_mut(number as usize)
    }

    /// The rows, in the order of their numbers.
    pub(super) fn rows_mut(&mut self) -> impl Iterator<Item = &mut Group> {
        self.rows.iter_mut()
    }

    /// Number of rows, the one for others included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without any row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows with their keys, the one for others last; in the order in which they were begun.
    pub fn iter(&self) -> impl Iterator<Item = (GroupKey, &Group)> {
        self.keys.iter().copied().chain([GroupKey::Other]).zip(self.rows.iter())
    }

    /// The `most` rows with the most losses first, then with the most RSTs of servers (then of clients, then by connections,
    /// then by key): the article's view.
    pub fn by_server_rst(&self, most: usize) -> Vec<(GroupKey, &Group)> {
        self.first_by(most, |totals| {
            (totals.impacts.losses(), totals.server.rst, totals.client.rst, totals.connections)
        })
    }

    /// The `most` rows with the most losses first, then with the most RSTs, either direction; then as
    /// [`Self::by_server_rst`].
    pub fn by_rst(&self, most: usize) -> Vec<(GroupKey, &Group)> {
        self.first_by(most, |totals| {
            let (server, client) = (totals.server.rst, totals.client.rst);
            (totals.impacts.losses(), server + client, server, client, totals.connections)
        })
    }

    fn first_by<R: Ord>(&self, most: usize, rank: impl Fn(&Totals) -> R) -> Vec<(GroupKey, &Group)> {
        let order = |(key, group): &(GroupKey, &Group)| (Reverse(rank(&group.totals)), *key);
        let mut rows: Vec<_> = self.iter().collect();
        // Sorting thousands of rows is for those who look at them all.
        if most < rows.len() {
            rows.select_nth_unstable_by_key(most, order);
            rows.truncate(most);
        }
        rows.sort_unstable_by_key(order);
        rows
    }
}

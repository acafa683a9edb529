//! Rows of a grouped view: a bounded number of keys, and one row for all others.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use hashbrown::HashTable;

use super::{
    Causes, Totals,
    duration::Durations,
    fact::Rest,
    gaps::{GapCluster, Gaps},
};
use crate::lifecycle::Cause;

/// What a row stands for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum GroupKey {
    /// A service: address and port.
    Server(SocketAddr),
    /// A client address.
    Client(IpAddr),
    /// Everything beyond the bound.
    Other,
}

/// In few words, as every connection is looked up several times.
impl Hash for GroupKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Server(server) => hash_end(server.ip(), server.port(), state),
            Self::Client(client) => hash_end(*client, 0, state),
            Self::Other => state.write_u64(0),
        }
    }
}

/// Hashes an address and a port.
pub(super) fn hash_end<H: Hasher>(address: IpAddr, port: u16, state: &mut H) {
    match address {
        IpAddr::V4(address) => state.write_u64(u64::from(address.to_bits()) << 16 | u64::from(port)),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            state.write_u64((bits >> 64) as u64);
            state.write_u64(bits as u64);
            state.write_u64(u64::from(port));
        }
    }
}

/// One row.
#[derive(Clone, Debug, Default)]
pub struct Group {
    /// Sums.
    pub totals: Totals,
    durations: Durations,
    idle_gaps: Gaps,
    causes: Causes,
}

impl Group {
    /// Adds one connection.
    #[inline]
    pub(super) fn add(&mut self, totals: &Totals, rest: Rest) {
        self.totals.merge(totals);
        self.durations.add(rest.duration_us);
        self.causes.add(usize::from(rest.cause));
        if let Some(gap_ns) = rest.idle_gap_ns {
            self.idle_gaps.add(gap_ns.get());
        }
    }

    /// Connections by cause.
    pub fn causes(&self) -> impl Iterator<Item = (Cause, u64)> {
        self.causes.of(Cause::ALL)
    }

    /// A connection counted under one cause has another.
    pub(super) fn change_cause(&mut self, from: Cause, to: Cause) {
        self.causes.change(from as usize, to as usize);
    }

    /// The cause most of its resets have, with how many; `None` when nothing needed explaining.
    pub fn main_cause(&self) -> Option<(Cause, u64)> {
        let explained = self.causes().filter(|(cause, _)| *cause != Cause::None);
        explained.max_by_key(|(cause, count)| (*count, std::cmp::Reverse(*cause)))
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
    /// Half a hash and the number of a row.
    places: HashTable<(u32, u32)>,
    hasher: foldhash::fast::RandomState,
    /// Apart from the rows, so that looking for one fetches no row.
    keys: Vec<GroupKey>,
    rows: Vec<Group>,
    max: usize,
}

impl Groups {
    /// At most `max` rows, and one for all others.
    pub fn new(max: usize) -> Self {
        Self {
            places: HashTable::new(),
            hasher: foldhash::fast::RandomState::default(),
            keys: Vec::new(),
            rows: Vec::new(),
            max,
        }
    }

    /// Number of the row of `key`, made when there is none.
    #[inline]
    pub(super) fn row_of(&mut self, key: GroupKey) -> u32 {
        self.find(&key).unwrap_or_else(|| self.place(if self.rows.len() < self.max { key } else { GroupKey::Other }))
    }

    #[inline]
    fn find(&self, key: &GroupKey) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let is_it = |&(half, row): &(u32, u32)| half == (hash >> 32) as u32 && self.keys[row as usize] == *key;
        self.places.find(hash, is_it).map(|place| place.1)
    }

    #[cold]
    fn place(&mut self, key: GroupKey) -> u32 {
        if let Some(row) = self.find(&key) {
            return row;
        }
        let row = self.rows.len() as u32;
        self.rows.push(Group::default());
        self.keys.push(key);
        let hash_of = |row: u32| self.hasher.hash_one(self.keys[row as usize]);
        let hash = hash_of(row);
        self.places.insert_unique(hash, ((hash >> 32) as u32, row), |place| hash_of(place.1));
        row
    }

    /// The rows, by number.
    pub(super) fn rows_mut(&mut self) -> &mut [Group] {
        &mut self.rows
    }

    /// Number of rows, the one for others included.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// True without any row.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Rows with the most RSTs of servers first (then of clients, then by connections, then by key): the article's view.
    pub fn by_server_rst(&self) -> Vec<(GroupKey, &Group)> {
        let mut rows: Vec<_> = self.keys.iter().copied().zip(&self.rows).collect();
        rows.sort_by_key(|(key, group)| {
            let totals = &group.totals;
            (std::cmp::Reverse((totals.server.rst, totals.client.rst, totals.connections)), *key)
        });
        rows
    }

    /// Rows with the most RSTs first, either direction.
    pub fn by_rst(&self) -> Vec<(GroupKey, &Group)> {
        let mut rows = self.by_server_rst();
        rows.sort_by_key(|(_, group)| std::cmp::Reverse(group.totals.server.rst + group.totals.client.rst));
        rows
    }
}

//! Rows of a grouped view: a bounded number of keys, and one row for all others.

use std::{
    hash::{BuildHasher, Hash, Hasher},
    net::{IpAddr, SocketAddr},
};

use hashbrown::HashTable;

use super::{Causes, Totals, duration::Durations};
use crate::lifecycle::{Cause, Connection};

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

/// One row, in memory lines of its own.
#[derive(Clone, Debug)]
#[repr(align(64))]
pub struct Group {
    key: GroupKey,
    /// Sums.
    pub totals: Totals,
    durations: Durations,
    causes: Causes,
}

impl Group {
    fn new(key: GroupKey) -> Self {
        Self { key, totals: Totals::default(), durations: Durations::default(), causes: Causes::default() }
    }

    /// Adds one connection: its sums, its cause, its duration.
    pub(super) fn add(&mut self, totals: &Totals, cause: Cause, us: u64) {
        self.totals.merge(totals);
        self.durations.add(us);
        self.causes.add(cause as usize);
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

    /// Duration below which the given share (0 to 1) of the connections lie, microseconds.
    pub fn duration_quantile_us(&self, quantile: f64) -> Option<u64> {
        self.durations.quantile(quantile)
    }
}

/// Rows by key, bounded.
#[derive(Clone, Debug)]
pub struct Groups {
    /// Half a hash and the number of a row: the key itself is in the row, which has to be fetched in any case.
    places: HashTable<(u32, u32)>,
    hasher: foldhash::fast::RandomState,
    rows: Vec<Group>,
    max: usize,
}

impl Groups {
    /// At most `max` rows, and one for all others.
    pub fn new(max: usize) -> Self {
        Self { places: HashTable::new(), hasher: foldhash::fast::RandomState::default(), rows: Vec::new(), max }
    }

    /// Adds a connection to the row of `key`.
    pub fn add(&mut self, key: GroupKey, connection: &Connection) {
        let row = self.row_of(key);
        let (totals, us) = (Totals::of(connection), connection.duration_ns / 1000);
        self.rows[row as usize].add(&totals, connection.verdict.cause, us);
    }

    /// Number of the row of `key`, made when there is none.
    #[inline]
    pub(super) fn row_of(&mut self, key: GroupKey) -> u32 {
        self.find(key).unwrap_or_else(|| self.place(if self.rows.len() < self.max { key } else { GroupKey::Other }))
    }

    #[inline]
    fn find(&self, key: GroupKey) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        let is_it = |&(half, row): &(u32, u32)| half == (hash >> 32) as u32 && self.rows[row as usize].key == key;
        self.places.find(hash, is_it).map(|place| place.1)
    }

    /// Reads something of every part of a row that one more connection changes.
    #[inline]
    pub(super) fn touch(&self, row: u32) -> u64 {
        let Some(group) = self.rows.get(row as usize) else { return 0 };
        let totals = &group.totals;
        totals.connections
            ^ totals.client.rst
            ^ totals.ip_bytes
            ^ group.durations.touch()
            ^ u64::from(group.causes.touch())
    }

    #[cold]
    fn place(&mut self, key: GroupKey) -> u32 {
        if let Some(row) = self.find(key) {
            return row;
        }
        let row = self.rows.len() as u32;
        self.rows.push(Group::new(key));
        let hash_of = |row: u32| self.hasher.hash_one(self.rows[row as usize].key);
        let hash = hash_of(row);
        self.places.insert_unique(hash, ((hash >> 32) as u32, row), |place| hash_of(place.1));
        row
    }

    /// A row by the number that [`Self::row_of`] returned.
    pub(super) fn row_mut(&mut self, place: u32) -> Option<&mut Group> {
        self.rows.get_mut(place as usize)
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
        let mut rows: Vec<_> = self.rows.iter().map(|group| (group.key, group)).collect();
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

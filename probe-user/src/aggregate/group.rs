//! Rows of a grouped view: a bounded number of keys, and one row for all others.

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, SocketAddr},
};

use super::{
    Totals,
    duration::Durations,
    gaps::{GapCluster, Gaps},
};
use crate::lifecycle::{Cause, Connection};

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
#[derive(Clone, Debug)]
pub struct Group {
    /// Sums.
    pub totals: Totals,
    durations: Durations,
    idle_gaps: Gaps,
    /// Connections by cause.
    pub causes: BTreeMap<Cause, u64>,
}

impl Group {
    fn new() -> Self {
        Self {
            totals: Totals::default(),
            durations: Durations::default(),
            idle_gaps: Gaps::default(),
            causes: BTreeMap::new(),
        }
    }

    /// A connection counted under one cause has another.
    pub(super) fn change_cause(&mut self, from: Cause, to: Cause) {
        super::change_cause(&mut self.causes, from, to);
    }

    /// The cause most of its resets have, with how many; `None` when nothing needed explaining.
    pub fn main_cause(&self) -> Option<(Cause, u64)> {
        self.causes
            .iter()
            .filter(|(cause, _)| **cause != Cause::None)
            .max_by_key(|(cause, count)| (**count, std::cmp::Reverse(**cause)))
            .map(|(cause, count)| (*cause, *count))
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
    places: HashMap<GroupKey, u32, foldhash::fast::RandomState>,
    rows: Vec<(GroupKey, Group)>,
    max: usize,
}

impl Groups {
    /// At most `max` rows, and one for all others.
    pub fn new(max: usize) -> Self {
        Self { places: HashMap::default(), rows: Vec::new(), max }
    }

    /// Adds a connection to its row; returns which that is.
    pub fn add(&mut self, key: GroupKey, connection: &Connection) -> u32 {
        let place = match self.places.get(&key) {
            Some(&place) => place,
            None => self.place(if self.rows.len() < self.max { key } else { GroupKey::Other }),
        };
        let group = &mut self.rows[place as usize].1;
        group.totals.add(connection);
        group.durations.add(connection.duration_ns / 1000);
        if let Some(gap_ns) = connection.idle_gap_ns {
            group.idle_gaps.add(gap_ns);
        }
        *group.causes.entry(connection.verdict.cause).or_default() += 1;
        place
    }

    fn place(&mut self, key: GroupKey) -> u32 {
        *self.places.entry(key).or_insert_with(|| {
            self.rows.push((key, Group::new()));
            (self.rows.len() - 1) as u32
        })
    }

    /// A row by the number that [`Self::add`] returned.
    pub(super) fn row_mut(&mut self, place: u32) -> Option<&mut Group> {
        self.rows.get_mut(place as usize).map(|row| &mut row.1)
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
        let mut rows: Vec<_> = self.rows.iter().map(|(key, group)| (*key, group)).collect();
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

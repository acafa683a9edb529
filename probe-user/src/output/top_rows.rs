//! Top rows: the connections that a table with a limited number of rows shows: those that lost most first, then those with
//! resets, then the earliest.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use crate::record::Connection;

/// Order within a kind: the greatest loss first, then the earliest.
type Rank = (Reverse<u64>, u64, u64);

/// The first so many of each kind.
pub(crate) struct TopRows {
    rows: usize,
    /// Without a reset, with one, and with a loss.
    first: [BinaryHeap<ByRank>; 3],
    /// Those that come later are not wanted.
    last: [Rank; 3],
}

impl TopRows {
    pub(crate) fn new(rows: usize) -> Self {
        let last = (Reverse(0), u64::MAX, u64::MAX);
        Self { rows, first: [BinaryHeap::new(), BinaryHeap::new(), BinaryHeap::new()], last: [last; 3] }
    }

    /// Keeps the connection if it may be among those shown.
    #[inline]
    pub(crate) fn offer(&mut self, connection: &Connection) {
        let is_loss = connection.verdict.impact.is_loss();
        let kind = if is_loss { 2 } else { usize::from(connection.rst_count() > 0) };
        // Nearly always false, and then the record need not be copied.
        if rank(connection) < self.last[kind] {
            self.keep(connection, kind);
        }
    }

    #[cold]
    fn keep(&mut self, connection: &Connection, kind: usize) {
        let heap = &mut self.first[kind];
        if heap.len() < self.rows {
            heap.push(ByRank(connection.clone()));
        } else if let Some(mut last) = heap.peek_mut() {
            *last = ByRank(connection.clone());
        }
        if let Some(last) = heap.peek().filter(|_| heap.len() >= self.rows) {
            self.last[kind] = rank(&last.0);
        }
    }

    /// All that were kept, in no order.
    pub(crate) fn into_connections(self) -> impl Iterator<Item = Connection> {
        self.first.into_iter().flatten().map(|one| one.0)
    }
}

/// Of a connection that lost nothing by its start alone.
fn rank(connection: &Connection) -> Rank {
    (Reverse(connection.lost_if_loss().unwrap_or(0)), connection.start_ns, connection.id)
}

/// In order of rank.
struct ByRank(Connection);

impl PartialEq for ByRank {
    fn eq(&self, other: &Self) -> bool {
        rank(&self.0) == rank(&other.0)
    }
}

impl Eq for ByRank {}

impl PartialOrd for ByRank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByRank {
    fn cmp(&self, other: &Self) -> Ordering {
        rank(&self.0).cmp(&rank(&other.0))
    }
}

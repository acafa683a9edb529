//! Top rows: the connections that a table with a limited number of rows shows: those that lost something first, then those with
//! resets, then the earliest.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::record::Connection;

/// The earliest so many of each kind.
pub(crate) struct TopRows {
    rows: usize,
    /// Without a reset, with one, and with a loss.
    earliest: [BinaryHeap<ByStart>; 3],
    /// Those that start later are not wanted.
    latest_ns: [u64; 3],
}

impl TopRows {
    pub(crate) fn new(rows: usize) -> Self {
        Self { rows, earliest: [BinaryHeap::new(), BinaryHeap::new(), BinaryHeap::new()], latest_ns: [u64::MAX; 3] }
    }

    /// Keeps the connection if it may be among those shown.
    #[inline]
    pub(crate) fn offer(&mut self, connection: &Connection) {
        let is_loss = connection.verdict.impact.is_loss();
        let kind = if is_loss { 2 } else { usize::from(connection.rst_count() > 0) };
        // Nearly always false, and then the record need not be copied.
        if connection.start_ns <= self.latest_ns[kind] {
            self.keep(connection, kind);
        }
    }

    #[cold]
    fn keep(&mut self, connection: &Connection, kind: usize) {
        let heap = &mut self.earliest[kind];
        if heap.len() < self.rows {
            heap.push(ByStart(connection.clone()));
        } else if let Some(mut latest) = heap.peek_mut()
            && (connection.start_ns, connection.id) < latest.key()
        {
            *latest = ByStart(connection.clone());
        }
        if heap.len() >= self.rows {
            self.latest_ns[kind] = heap.peek().map_or(0, |latest| latest.0.start_ns);
        }
    }

    /// All that were kept, in no order.
    pub(crate) fn into_connections(self) -> impl Iterator<Item = Connection> {
        self.earliest.into_iter().flatten().map(|one| one.0)
    }
}

/// In order of start.
struct ByStart(Connection);

impl ByStart {
    fn key(&self) -> (u64, u64) {
        (self.0.start_ns, self.0.id)
    }
}

impl PartialEq for ByStart {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for ByStart {}

impl PartialOrd for ByStart {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByStart {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

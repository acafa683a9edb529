//! The connections that a table with a limited number of rows shows: those with resets first, then the earliest.

use std::{cmp::Ordering, collections::BinaryHeap};

use crate::lifecycle::Connection;

/// The earliest so many with a reset, and the earliest so many without.
pub(super) struct Shown {
    rows: usize,
    with_rst: BinaryHeap<ByStart>,
    without: BinaryHeap<ByStart>,
}

impl Shown {
    pub(super) fn new(rows: usize) -> Self {
        Self { rows, with_rst: BinaryHeap::new(), without: BinaryHeap::new() }
    }

    /// Keeps the connection if it may be among those shown.
    pub(super) fn offer(&mut self, connection: &Connection) {
        // Nearly always false, and then the record need not be copied.
        if !self.wants(connection) {
            return;
        }
        let heap = if connection.rst_count() > 0 { &mut self.with_rst } else { &mut self.without };
        let one = ByStart(connection.clone());
        if heap.len() < self.rows {
            heap.push(one);
        } else if let Some(mut latest) = heap.peek_mut()
            && one < *latest
        {
            *latest = one;
        }
    }

    fn wants(&self, connection: &Connection) -> bool {
        let heap = if connection.rst_count() > 0 { &self.with_rst } else { &self.without };
        let key = (connection.start_ns, connection.id);
        heap.len() < self.rows || heap.peek().is_some_and(|latest| key < latest.key())
    }

    /// All that were kept, in no order.
    pub(super) fn into_connections(self) -> impl Iterator<Item = Connection> {
        self.with_rst.into_iter().chain(self.without).map(|one| one.0)
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

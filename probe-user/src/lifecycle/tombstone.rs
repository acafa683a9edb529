//! Keys of connections that ended a short while ago, so that what comes late is known as late.

use std::collections::VecDeque;

use hashbrown::HashTable;
use probe_ebpf::layout::FlowKey;

/// How long an end is remembered: one maximum segment lifetime (RFC 9293 3.4.2).
const KEPT_NS: u64 = 120_000_000_000;
/// Ends remembered at most.
const MAX: usize = 65_536;

/// Remembered by hash: a collision makes a stranger look late, once in 2^64 pairs.
#[derive(Debug)]
pub(super) struct Tombstones {
    by_hash: HashTable<(u64, u64)>,
    order: VecDeque<(u64, u64)>,
    seed: u64,
}

impl Tombstones {
    pub(super) fn new(seed: u64) -> Self {
        Self { by_hash: HashTable::new(), order: VecDeque::new(), seed: !seed }
    }

    /// Remembers the end of a connection of `key`.
    pub(super) fn add(&mut self, key: &FlowKey, now: u64) {
        let hash = key.hash(self.seed);
        match self.by_hash.find_mut(hash, |entry| entry.0 == hash) {
            Some(entry) => entry.1 = now,
            None => drop(self.by_hash.insert_unique(hash, (hash, now), |entry| entry.0)),
        }
        self.order.push_back((hash, now));
        while self.order.len() > MAX || self.order.front().is_some_and(|entry| entry.1 + KEPT_NS < now) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((hash, time)) = self.order.pop_front()
            && let Ok(entry) = self.by_hash.find_entry(hash, |entry| *entry == (hash, time))
        {
            entry.remove();
        }
    }

    /// Whether a connection of `key` ended within the last two minutes.
    pub(super) fn contains(&self, key: &FlowKey, now: u64) -> bool {
        let hash = key.hash(self.seed);
        self.by_hash.find(hash, |entry| entry.0 == hash).is_some_and(|entry| entry.1.saturating_add(KEPT_NS) >= now)
    }
}

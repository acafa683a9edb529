//! Timers on the time that segments carry.
//!
//! A ring of buckets of 67 ms, the bucket that time is in put in order, and a small heap for what is armed for the time it
//! covers, so that every deadline fires at the first moment at or after it, in order of deadline. Entries are never
//! removed: whoever fires one looks whether it still means anything.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

const TICK_BITS: u32 = 26;
const TICK_MASK: u64 = (1 << TICK_BITS) - 1;
const BUCKETS: u64 = 1024;
/// A bucket larger than this gives its memory back when it is emptied.
const LARGE_BUCKET: usize = 4096;
/// Entries that [`Wheel::coming`] announces at a time.
pub(super) const AHEAD: usize = 32;

/// See the module.
#[derive(Debug)]
pub(super) struct Wheel {
    /// Entries of a tick: nanoseconds into the tick in the upper half, slot in the lower.
    buckets: Vec<Vec<u64>>,
    /// The bucket of the current tick, in order of deadline.
    current: Vec<u64>,
    /// How many of them have fired.
    fired: usize,
    /// How many of them were announced.
    announced: usize,
    /// Memory of buckets that were emptied, for those that begin to fill: a few are in use at a time, out of all.
    emptied: Vec<Vec<u64>>,
    /// Deadlines of the current tick and before that were armed since it began.
    late: BinaryHeap<Reverse<(u64, u32)>>,
    tick: u64,
    started: bool,
}

impl Wheel {
    pub(super) fn new() -> Self {
        Self {
            buckets: vec![Vec::new(); BUCKETS as usize],
            current: Vec::new(),
            emptied: Vec::new(),
            fired: 0,
            announced: 0,
            late: BinaryHeap::new(),
            tick: 0,
            started: false,
        }
    }

    /// Slots that will fire next, each said once; mostly none.
    #[inline]
    pub(super) fn coming(&mut self) -> impl Iterator<Item = u32> {
        let from = self.announced;
        if self.fired >= from {
            self.announced = (from + AHEAD).min(self.current.len());
        }
        self.current[from..self.announced].iter().map(|&entry| entry as u32)
    }

    /// Arms `slot` for `due`, or for as late as the ring reaches; returns for when.
    pub(super) fn arm(&mut self, due: u64, slot: u32) -> u64 {
        let farthest = (self.tick + BUCKETS - 1) << TICK_BITS;
        let due = if self.started { due.min(farthest) } else { due };
        let tick = due >> TICK_BITS;
        if tick <= self.tick || !self.started {
            self.late.push(Reverse((due, slot)));
        } else {
            let bucket = &mut self.buckets[(tick % BUCKETS) as usize];
            if bucket.capacity() == 0 {
                *bucket = self.emptied.pop().unwrap_or_default();
            }
            bucket.push((due & TICK_MASK) << 32 | u64::from(slot));
        }
        due
    }

    /// Before this time nothing is due and `next` need not be asked.
    pub(super) fn quiet_until(&self) -> u64 {
        let tick_end = (self.tick + 1) << TICK_BITS;
        self.first().map_or(tick_end, |entry| entry.0.min(tick_end))
    }

    /// The first entry of the current tick, or one before.
    #[inline]
    fn first(&self) -> Option<(u64, u32)> {
        let late = self.late.peek().map(|entry| entry.0);
        let current = self.current.get(self.fired).map(|&entry| (self.tick << TICK_BITS | entry >> 32, entry as u32));
        match (current, late) {
            (Some(current), Some(late)) => Some(current.min(late)),
            (current, late) => current.or(late),
        }
    }

    /// The next entry due at `now`, in order of deadline; `None` when there is none left.
    pub(super) fn next(&mut self, now: u64) -> Option<(u64, u32)> {
        let now_tick = now >> TICK_BITS;
        if !self.started {
            self.started = true;
            self.tick = now_tick;
        }
        loop {
            if let Some(first) = self.first()
                && first.0 <= now
            {
                if self.late.peek().is_some_and(|late| late.0 == first) {
                    self.late.pop();
                } else {
                    self.fired += 1;
                }
                return Some(first);
            }
            if self.tick >= now_tick {
                return None;
            }
            self.turn(now_tick);
        }
    }

    /// Goes one tick on, or over all empty ones at once when time has jumped.
    fn turn(&mut self, now_tick: u64) {
        if now_tick - self.tick > BUCKETS && self.buckets.iter().all(Vec::is_empty) {
            self.tick = now_tick;
            return;
        }
        // Whatever the tick before held has fired: it was due before this one began.
        self.tick += 1;
        let bucket = &mut self.buckets[(self.tick % BUCKETS) as usize];
        let mut emptied = std::mem::replace(&mut self.current, std::mem::take(bucket));
        if (1..=LARGE_BUCKET).contains(&emptied.capacity()) {
            emptied.clear();
            self.emptied.push(emptied);
        }
        self.current.sort_unstable();
        (self.fired, self.announced) = (0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn fires_in_order_of_deadline_and_never_early() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(1_000), None);
        for (slot, due) in [(1, 7 * SECOND), (2, 3 * SECOND), (4, 3 * SECOND + 1)] {
            assert_eq!(wheel.arm(due, slot), due);
        }
        assert_eq!(wheel.next(3 * SECOND - 1), None);
        assert_eq!(wheel.next(3 * SECOND), Some((3 * SECOND, 2)));
        assert_eq!(wheel.next(3 * SECOND), None);
        assert_eq!(wheel.next(300 * SECOND), Some((3 * SECOND + 1, 4)));
        assert_eq!(wheel.next(300 * SECOND), Some((7 * SECOND, 1)));
        assert_eq!(wheel.next(u64::MAX >> 1), None);
    }

    #[test]
    fn what_lies_beyond_the_ring_fires_early_at_its_end() {
        let mut wheel = Wheel::new();
        assert_eq!(wheel.next(0), None);
        let armed = wheel.arm(3600 * SECOND, 9);
        assert!(armed < 70 * SECOND);
        assert_eq!(wheel.next(3600 * SECOND), Some((armed, 9)));
    }
}

//! Timer wheel on the time that segments carry.
//!
//! A ring of buckets of 268 ms, the bucket that time is in put in order, and a small heap for what is armed for the time it
//! covers, so that every deadline fires at the first moment at or after it, in order of deadline. Entries stay
//! when their slot is armed anew: before a bucket is put in order it is asked which of its entries still mean something and
//! which have been put off, and whoever fires one looks again.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

const TICK_BITS: u32 = 28;
const TICK_MASK: u64 = (1 << TICK_BITS) - 1;
const BUCKETS: u64 = 256;
/// Entries that [`Wheel::coming`] announces at a time.
pub(crate) const AHEAD: usize = 32;

/// What entries are about.
pub(crate) trait Armed {
    /// These entries, slots in the lower halves, will be asked about next.
    fn approach(&self, entries: &[u64]);

    /// For when the slot of an entry is armed from now on: the same time, a later one from `end` to `farthest`, or
    /// [`u64::MAX`] when the entry means nothing any more.
    fn again(&mut self, entry: Turn) -> u64;
}

/// An entry whose tick begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Turn {
    /// For when it was armed.
    pub(crate) due: u64,
    pub(crate) slot: u32,
    /// When the tick ends: an earlier time than this is no later one.
    pub(crate) end: u64,
    /// As late as the ring reaches.
    pub(crate) farthest: u64,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// Entries of a tick: nanoseconds into the tick in the upper half, slot in the lower. Memory of a bucket is given back when
    /// its tick is over.
    buckets: Vec<Vec<u64>>,
    /// Entries in all of them, so that nobody need look into each.
    waiting: usize,
    /// The bucket of the current tick, in order of deadline.
    current: Vec<u64>,
    /// How many of them have fired.
    fired: usize,
    /// How many of them were announced.
    announced: usize,
    /// Deadlines of the current tick and before that were armed since it began.
    late: BinaryHeap<Reverse<(u64, u32)>>,
    /// The first of these deadlines, [`u64::MAX`] when there is none.
    late_due: u64,
    tick: u64,
    started: bool,
}

impl Wheel {
    pub(crate) fn new() -> Self {
        Self {
            buckets: vec![Vec::new(); BUCKETS as usize],
            waiting: 0,
            current: Vec::new(),
            fired: 0,
            announced: 0,
            late: BinaryHeap::new(),
            late_due: u64::MAX,
            tick: 0,
            started: false,
        }
    }

    /// Entries that will fire next, with their slots in the lower halves; each said once, and mostly none.
    #[inline]
    pub(crate) fn coming(&mut self) -> &[u64] {
        let from = self.announced;
        if self.fired < from {
            return &[];
        }
        self.announced = (from + AHEAD).min(self.current.len());
        &self.current[from..self.announced]
    }

    /// Arms `slot` for `due`, or for as late as the ring reaches; returns for when.
    pub(crate) fn arm(&mut self, due: u64, slot: u32) -> u64 {
        if !self.started || due >> TICK_BITS <= self.tick {
            self.late.push(Reverse((due, slot)));
            self.late_due = self.late_due.min(due);
            return due;
        }
        let due = due.min(self.farthest());
        self.put(due, slot);
        due
    }

    /// Before this time nothing is due and `next` need not be asked.
    #[inline]
    pub(crate) fn quiet_until(&self) -> u64 {
        let tick_end = (self.tick + 1) << TICK_BITS;
        self.current.get(self.fired).map_or(tick_end, |&entry| self.due(entry)).min(self.late_due).min(tick_end)
    }

    /// For when an entry of the current tick is armed.
    #[inline]
    fn due(&self, entry: u64) -> u64 {
        self.tick << TICK_BITS | entry >> 32
    }

    /// The first entry of the current tick, or one before.
    fn first(&self) -> Option<(u64, u32)> {
        let late = self.late.peek().map(|entry| entry.0);
        let current = self.current.get(self.fired).map(|&entry| (self.due(entry), entry as u32));
        match (current, late) {
            (Some(current), Some(late)) => Some(current.min(late)),
            (current, late) => current.or(late),
        }
    }

    /// The next entry due at `now`, in order of deadline; `None` when there is none left. `armed` is asked about
    /// every entry once, when its tick begins.
    #[inline]
    pub(crate) fn next(&mut self, now: u64, armed: &mut impl Armed) -> Option<(u64, u32)> {
        // As it nearly always is.
        if let Some(&entry) = self.current.get(self.fired) {
            let due = self.due(entry);
            if due < self.late_due {
                if due > now {
                    return None;
                }
                self.fired += 1;
                return Some((due, entry as u32));
            }
        }
        self.search(now, armed)
    }

    #[inline(never)]
    fn search(&mut self, now: u64, armed: &mut impl Armed) -> Option<(u64, u32)> {
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
                    self.late_due = self.late.peek().map_or(u64::MAX, |late| late.0.0);
                } else {
                    self.fired += 1;
                }
                return Some(first);
            }
            if self.tick >= now_tick {
                return None;
            }
            self.turn(now_tick, armed);
        }
    }

    /// Goes one tick on, or over all empty ones at once when time has jumped.
    fn turn(&mut self, now_tick: u64, armed: &mut impl Armed) {
        if self.waiting == 0 && now_tick - self.tick > BUCKETS {
            self.tick = now_tick;
            return;
        }
        // Whatever the tick before held has fired: it was due before this one began.
        self.tick += 1;
        let mut bucket = std::mem::take(&mut self.buckets[(self.tick % BUCKETS) as usize]);
        self.waiting -= bucket.len();
        let (begin, end) = (self.tick << TICK_BITS, (self.tick + 1) << TICK_BITS);
        let farthest = self.farthest();
        let mut remaining = 0;
        for from in (0..bucket.len()).step_by(AHEAD) {
            let to = (from + AHEAD).min(bucket.len());
            armed.approach(&bucket[from..to]);
            for at in from..to {
                let entry = bucket[at];
                let (due, slot) = (begin | entry >> 32, entry as u32);
                let again = armed.again(Turn { due, slot, end, farthest });
                if again == due {
                    bucket[remaining] = entry;
                    remaining += 1;
                } else if again <= farthest {
                    self.put(again.max(end), slot);
                }
            }
        }
        bucket.truncate(remaining);
        bucket.sort_unstable();
        self.current = bucket;
        (self.fired, self.announced) = (0, 0);
    }

    /// The latest time that the ring reaches.
    fn farthest(&self) -> u64 {
        (self.tick + BUCKETS - 1) << TICK_BITS
    }

    /// Adds an entry of a later tick.
    fn put(&mut self, due: u64, slot: u32) {
        let bucket = ((due >> TICK_BITS) % BUCKETS) as usize;
        self.waiting += 1;
        self.buckets[bucket].push((due & TICK_MASK) << 32 | u64::from(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Nothing is put off, or what the function says.
    impl<F: FnMut(Turn) -> u64> Armed for F {
        fn approach(&self, _: &[u64]) {}

        fn again(&mut self, entry: Turn) -> u64 {
            self(entry)
        }
    }

    fn next(wheel: &mut Wheel, now: u64) -> Option<(u64, u32)> {
        wheel.next(now, &mut |turn: Turn| turn.due)
    }

    #[test]
    fn fires_in_order_of_deadline_and_never_early() {
        let mut wheel = Wheel::new();
        assert_eq!(next(&mut wheel, 1_000), None);
        for (slot, due) in [(1, 7 * SECOND), (2, 3 * SECOND), (4, 3 * SECOND + 1)] {
            assert_eq!(wheel.arm(due, slot), due);
        }
        assert_eq!(next(&mut wheel, 3 * SECOND - 1), None);
        assert_eq!(next(&mut wheel, 3 * SECOND), Some((3 * SECOND, 2)));
        assert_eq!(next(&mut wheel, 3 * SECOND), None);
        assert_eq!(next(&mut wheel, 300 * SECOND), Some((3 * SECOND + 1, 4)));
        assert_eq!(next(&mut wheel, 300 * SECOND), Some((7 * SECOND, 1)));
        assert_eq!(next(&mut wheel, u64::MAX >> 1), None);
    }

    #[test]
    fn what_lies_beyond_the_ring_fires_early_at_its_end() {
        let mut wheel = Wheel::new();
        assert_eq!(next(&mut wheel, 0), None);
        let armed = wheel.arm(3600 * SECOND, 9);
        assert!(armed < 70 * SECOND);
        assert_eq!(next(&mut wheel, 3600 * SECOND), Some((armed, 9)));
    }

    #[test]
    fn what_waits_is_counted_over_jumps_of_any_length() {
        let (mut wheel, mut now) = (Wheel::new(), SECOND);
        assert_eq!(next(&mut wheel, now), None);
        for (slot, jump) in [1, 60, 3600, 70, 10_000, 5].into_iter().cycle().take(30).enumerate() {
            // Some are put off again and again.
            wheel.arm(now + 30 * SECOND, slot as u32);
            now += jump * SECOND;
            let mut put_off = |turn: Turn| if turn.slot.is_multiple_of(3) { turn.farthest } else { turn.due };
            while wheel.next(now, &mut put_off).is_some() {}
            assert_eq!(wheel.waiting, wheel.buckets.iter().map(Vec::len).sum::<usize>(), "{slot}");
        }
    }

    #[test]
    fn what_was_put_off_fires_at_its_new_time_and_what_means_nothing_not_at_all() {
        let mut wheel = Wheel::new();
        assert_eq!(next(&mut wheel, 0), None);
        for slot in 0..4 {
            wheel.arm(5 * SECOND + u64::from(slot), slot);
        }
        let mut fired = vec![];
        for step in 0..100 {
            while let Some((due, slot)) = wheel.next(step * SECOND / 10, &mut |turn: Turn| match turn.slot {
                1 => 6 * SECOND,
                2 => u64::MAX,
                _ => turn.due,
            }) {
                assert!(due <= step * SECOND / 10 && due + SECOND / 10 > step * SECOND / 10);
                fired.push((due, slot));
            }
        }
        assert_eq!(fired, [(5 * SECOND, 0), (5 * SECOND + 3, 3), (6 * SECOND, 1)]);
    }

    /// Also what is armed for the tick that is going on, between what is there already, or for a time that has passed.
    #[test]
    fn fires_as_one_ordered_list_would() {
        let mut random = 1_u64;
        let mut below = move |bound: u64| {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (random >> 33) % bound
        };
        let (mut wheel, mut list) = (Wheel::new(), std::collections::BTreeSet::new());
        let (mut now, mut slot) = (10 * SECOND, 0);
        assert_eq!(next(&mut wheel, now), None);
        let mut arm = |wheel: &mut Wheel, list: &mut std::collections::BTreeSet<(u64, u32)>, due: u64| {
            slot += 1;
            assert_eq!(wheel.arm(due, slot), due);
            list.insert((due, slot));
        };
        let mut fired = 0;
        while fired < 20_000 {
            for _ in 0..below(20) {
                arm(&mut wheel, &mut list, now + below(SECOND / 5));
            }
            now += below(SECOND / 20);
            loop {
                let expected = list.first().copied().filter(|&(due, _)| due <= now);
                assert_eq!(next(&mut wheel, now), expected);
                assert!(expected.is_some() || wheel.quiet_until() > now);
                if expected.is_none() {
                    break;
                }
                list.pop_first();
                fired += 1;
                if below(3) == 0 {
                    arm(&mut wheel, &mut list, now + below(SECOND / 50) - SECOND / 100);
                }
            }
            assert!(list.first().is_none_or(|&(due, _)| wheel.quiet_until() <= due));
        }
    }
}

//! Unwatched times: when one of the watched interfaces was away, and how much of a connection's life that covers.
//!
//! Nobody knows what passed meanwhile, nor on which interface a connection would have passed: every connection of that time may
//! lack segments, and an end that was not seen may have happened.

use std::collections::BTreeMap;

/// Stretches that are over and told apart; of more, the oldest become one, which then says more than was.
const MOST: usize = 256;

/// At least one interface was away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stretch {
    from_ns: u64,
    until_ns: u64,
}

/// When interfaces were away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Unwatched {
    /// Those that are over, by beginning.
    over: Vec<Stretch>,
    /// Interfaces that are away now, each once, and since when: apart, as none of these may be forgotten.
    away: BTreeMap<usize, u64>,
    last_ns: u64,
}

impl Unwatched {
    /// The interface at `place` was last there at `from_ns`.
    pub fn begin(&mut self, place: usize, from_ns: u64) {
        let since = self.away.entry(place).or_insert(from_ns);
        *since = from_ns.min(*since);
        self.last_ns = u64::MAX;
    }

    /// It is watched again.
    pub fn end(&mut self, place: usize, until_ns: u64) {
        let Some(from_ns) = self.away.remove(&place) else { return };
        let at = self.over.partition_point(|stretch| stretch.from_ns <= from_ns);
        self.over.insert(at, Stretch { from_ns, until_ns });
        if self.over.len() > MOST {
            let oldest = self.over.remove(0);
            self.over[0].from_ns = oldest.from_ns;
            self.over[0].until_ns = self.over[0].until_ns.max(oldest.until_ns);
        }
        if self.away.is_empty() {
            self.last_ns = self.over.iter().map(|stretch| stretch.until_ns).max().unwrap_or(0);
        }
    }

    /// For how much of the time between the two at least one interface was away, nanoseconds.
    pub fn within(&self, from_ns: u64, until_ns: u64) -> u64 {
        if from_ns >= self.last_ns {
            return 0;
        }
        let (mut sum, mut counted_until) = (0, from_ns);
        // Since the first of those that are away now, all is unwatched.
        let away_ns = self.away.values().copied().min().unwrap_or(u64::MAX);
        let until_away = |over: &Stretch| Stretch { until_ns: over.until_ns.min(away_ns), ..*over };
        let now = Stretch { from_ns: away_ns, until_ns: u64::MAX };
        for stretch in self.over.iter().map(until_away).chain([now]) {
            let (begin, end) = (stretch.from_ns.max(counted_until), stretch.until_ns.min(until_ns));
            if end > begin {
                sum += end - begin;
                counted_until = end;
            }
        }
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_of_several_interfaces_are_counted_once() {
        let mut unwatched = Unwatched::default();
        assert_eq!(unwatched.within(0, 1000), 0);
        unwatched.begin(0, 100);
        assert_eq!([unwatched.within(0, 100), unwatched.within(0, 150), unwatched.within(120, 150)], [0, 50, 30]);
        unwatched.begin(1, 150);
        unwatched.end(0, 200);
        assert_eq!(unwatched.within(0, 1000), 900, "the other one is still away");
        unwatched.end(1, 300);
        assert_eq!([unwatched.within(0, 1000), unwatched.within(300, 1000), unwatched.within(250, 1000)], [200, 0, 50]);
        unwatched.begin(0, 400);
        unwatched.end(0, 410);
        assert_eq!([unwatched.within(0, 1000), unwatched.within(350, 405), unwatched.within(410, 500)], [210, 5, 0]);
    }

    #[test]
    fn an_interface_that_flaps_for_days_takes_no_more_room_and_says_no_less() {
        let mut unwatched = Unwatched::default();
        for turn in 0..10 * MOST as u64 {
            unwatched.begin(0, 100 * turn);
            unwatched.end(0, 100 * turn + 10);
        }
        assert!(unwatched.over.len() <= MOST);
        assert!(unwatched.within(0, u64::MAX) >= 10 * 10 * MOST as u64);
        let last = 100 * (10 * MOST as u64 - 1);
        assert_eq!(unwatched.within(last - 50, u64::MAX), 10, "the latest are told apart");
    }

    #[test]
    fn an_interface_that_is_gone_for_good_stays_so_while_another_flaps() {
        let mut unwatched = Unwatched::default();
        unwatched.begin(0, 50);
        for turn in 1..=2 * MOST as u64 {
            unwatched.begin(1, 100 * turn);
            unwatched.end(1, 100 * turn + 10);
        }
        let later = 1000 * MOST as u64;
        assert_eq!([unwatched.within(later, later + 100), unwatched.within(0, 150)], [100, 100]);
        unwatched.end(0, later + 50);
        assert_eq!([unwatched.within(later, later + 100), unwatched.within(later + 50, u64::MAX)], [50, 0]);
        assert_eq!(unwatched.within(0, 60), 10, "its beginning is known to the end");
    }

    #[test]
    fn two_that_are_gone_for_good_do_not_keep_a_third_from_being_bounded() {
        let mut unwatched = Unwatched::default();
        unwatched.begin(0, 50);
        unwatched.begin(1, 60);
        for turn in 1..=3 * MOST as u64 {
            unwatched.begin(2, 100 * turn);
            unwatched.end(2, 100 * turn + 10);
        }
        assert_eq!((unwatched.over.len(), unwatched.away.len()), (MOST, 2));
        let later = 1000 * MOST as u64;
        unwatched.end(0, later);
        assert_eq!(unwatched.within(later, later + 100), 100, "the second is still away");
        unwatched.end(1, later + 30);
        assert_eq!(unwatched.within(later, later + 100), 30);
    }
}

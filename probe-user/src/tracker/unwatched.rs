//! Unwatched times: when one of the watched interfaces was away, and how much of a connection's life that covers.
//!
//! Nobody knows what passed meanwhile, nor on which interface a connection would have passed: every connection of that time may
//! lack segments, and an end that was not seen may have happened.

/// Stretches that are told apart; of more, the oldest become one, which then says more than was.
const MOST: usize = 256;

/// One interface was away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stretch {
    /// Which interface.
    place: usize,
    from_ns: u64,
    /// `u64::MAX` while it lasts.
    until_ns: u64,
}

/// When interfaces were away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Unwatched {
    /// By beginning.
    stretches: Vec<Stretch>,
    last_ns: u64,
}

impl Unwatched {
    /// The interface at `place` was last there at `from_ns`.
    pub fn begin(&mut self, place: usize, from_ns: u64) {
        self.stretches.push(Stretch { place, from_ns, until_ns: u64::MAX });
        self.stretches.sort_by_key(|stretch| stretch.from_ns);
        self.last_ns = u64::MAX;
        if self.stretches.len() > MOST && self.stretches[1].until_ns != u64::MAX {
            let oldest = self.stretches.remove(0);
            self.stretches[0].from_ns = oldest.from_ns;
            self.stretches[0].until_ns = self.stretches[0].until_ns.max(oldest.until_ns);
        }
    }

    /// It is watched again.
    pub fn end(&mut self, place: usize, until_ns: u64) {
        for stretch in &mut self.stretches {
            if stretch.place == place && stretch.until_ns == u64::MAX {
                stretch.until_ns = until_ns;
            }
        }
        self.last_ns = self.stretches.iter().map(|stretch| stretch.until_ns).max().unwrap_or(0);
    }

    /// For how much of the time between the two at least one interface was away, nanoseconds.
    pub fn within(&self, from_ns: u64, until_ns: u64) -> u64 {
        if from_ns >= self.last_ns {
            return 0;
        }
        let (mut sum, mut counted_until) = (0, from_ns);
        for stretch in &self.stretches {
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
        assert!(unwatched.stretches.len() <= MOST);
        assert!(unwatched.within(0, u64::MAX) >= 10 * 10 * MOST as u64);
        let last = 100 * (10 * MOST as u64 - 1);
        assert_eq!(unwatched.within(last - 50, u64::MAX), 10, "the latest are told apart");
    }
}

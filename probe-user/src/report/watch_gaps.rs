//! Watch gaps: when an interface was away. Their number and sum are exact; how many are told apart is bounded.

/// Gaps that are told apart.
const MOST: usize = 256;

/// A time in which an interface was not watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// When it was last there, nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// When it was attached again, or watching ended.
    pub until_ns: u64,
}

impl Gap {
    fn ns(self) -> u64 {
        self.until_ns.saturating_sub(self.from_ns)
    }

    /// How long, seconds.
    pub fn seconds(self) -> f64 {
        self.ns() as f64 / 1e9
    }
}

/// When one interface was away.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WatchGaps {
    told: Vec<Gap>,
    count: u64,
    sum_ns: u64,
}

impl WatchGaps {
    /// Adds one that comes after all others. Where that is one too many, the two with the least between them are told as one,
    /// which then says more than was.
    pub fn push(&mut self, gap: Gap) {
        self.count += 1;
        self.sum_ns = self.sum_ns.saturating_add(gap.ns());
        self.told.push(gap);
        if self.told.len() > MOST {
            let between = |at: &usize| self.told[at + 1].from_ns.saturating_sub(self.told[*at].until_ns);
            let nearest = (0..MOST).min_by_key(between).unwrap_or_default();
            let second = self.told.remove(nearest + 1);
            self.told[nearest].until_ns = second.until_ns.max(self.told[nearest].until_ns);
        }
    }

    /// Those that are told apart, in order.
    pub fn told(&self) -> &[Gap] {
        &self.told
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How long it was away all together, nanoseconds.
    pub fn sum_ns(&self) -> u64 {
        self.sum_ns
    }

    /// How long it was away all together, seconds.
    pub fn seconds(&self) -> f64 {
        self.sum_ns as f64 / 1e9
    }
}

impl FromIterator<Gap> for WatchGaps {
    fn from_iter<I: IntoIterator<Item = Gap>>(gaps: I) -> Self {
        let mut all = Self::default();
        gaps.into_iter().for_each(|gap| all.push(gap));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_that_flaps_for_days_takes_no_more_room_and_is_counted_on() {
        let turns = 10 * MOST as u64;
        // Between the last two is the least.
        let gap = |turn: u64| Gap { from_ns: 100 * turn, until_ns: 100 * turn + 10 };
        let last = Gap { from_ns: 100 * turns - 80, until_ns: 100 * turns };
        let gaps: WatchGaps = (0..turns).map(gap).chain([last]).collect();
        assert_eq!((gaps.count(), gaps.sum_ns()), (turns + 1, 10 * turns + 80));
        assert_eq!(gaps.told().len(), MOST);
        assert_eq!(gaps.told()[0].from_ns, 0);
        assert_eq!(gaps.told()[MOST - 1], Gap { from_ns: 100 * turns - 100, until_ns: 100 * turns });
    }
}

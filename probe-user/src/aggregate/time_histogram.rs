//! Time histogram: counts times in buckets of 1, 2 and 5 by powers of ten, from 10 microseconds to 1000 seconds, with quantiles.

use super::duration::Durations;

/// Lower bounds of the buckets, nanoseconds; the first holds everything below the second.
const BOUNDS_NS: [u64; 26] = {
    let mut bounds = [0; 26];
    let mut at = 1;
    let mut power = 10_000;
    while at < 25 {
        bounds[at] = power;
        bounds[at + 1] = 2 * power;
        bounds[at + 2] = 5 * power;
        at += 3;
        power *= 10;
    }
    bounds[25] = power;
    bounds
};

/// See the module.
#[derive(Clone, Debug, Default)]
pub struct TimeHistogram {
    counts: [u64; BOUNDS_NS.len()],
    /// For quantiles.
    durations: Durations,
}

impl TimeHistogram {
    /// Adds one time, nanoseconds.
    pub fn add(&mut self, ns: u64) {
        self.counts[BOUNDS_NS.partition_point(|&bound| bound <= ns) - 1] += 1;
        self.durations.add(ns / 1000);
    }

    /// Buckets from the lowest to the highest that the histogram has: lower bound, upper bound (`None`: no upper bound),
    /// both in nanoseconds, and count.
    pub fn buckets(&self) -> impl Iterator<Item = (u64, Option<u64>, u64)> {
        let upper = BOUNDS_NS.iter().skip(1).copied().map(Some).chain([None]);
        BOUNDS_NS.iter().copied().zip(upper).zip(self.counts).map(|((lower, upper), count)| (lower, upper, count))
    }

    /// All that were added.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Time below which the given share (0 to 1) lies, nanoseconds, in steps of a microsecond; `None` without any.
    pub fn quantile_ns(&self, share: f64) -> Option<u64> {
        self.durations.quantile(share).map(|us| us * 1000)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_time_is_in_the_bucket_that_begins_at_or_below_it() {
        let mut histogram = TimeHistogram::default();
        for ns in [0, 9_999, 10_000, 49_999, 50_000, 999_999_999_999, 1_000_000_000_000, u64::MAX] {
            histogram.add(ns);
        }
        let filled: Vec<_> = histogram.buckets().filter(|bucket| bucket.2 > 0).collect();
        let expected = [
            (0, Some(10_000), 2),
            (10_000, Some(20_000), 1),
            (20_000, Some(50_000), 1),
            (50_000, Some(100_000), 1),
            (500_000_000_000, Some(1_000_000_000_000), 1),
            (1_000_000_000_000, None, 2),
        ];
        assert_eq!(filled, expected);
        assert_eq!((histogram.count(), histogram.quantile_ns(0.5)), (8, Some(49_000)));
        assert_eq!(TimeHistogram::default().quantile_ns(0.5), None);
    }
}

//! Durations of the connections of one row: exact while there are few, then with two significant digits.

use hdrhistogram::Histogram;

/// Kept one by one; most rows have fewer. A histogram takes about 10 kB.
const FEW: usize = 256;
/// Histograms are large and each entry goes to another place in them: so many gather before they are made.
const GATHER: usize = 64;

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Durations {
    /// All of them while they are few; then those that the histogram does not have yet.
    list: Vec<u64>,
    histogram: Option<Box<Histogram<u32>>>,
}

impl Durations {
    /// Adds some, microseconds.
    #[inline]
    pub(super) fn extend(&mut self, mut all: impl ExactSizeIterator<Item = u64>) {
        while all.len() > 0 {
            let most = if self.histogram.is_none() { FEW } else { GATHER };
            if self.list.len() >= most {
                self.record();
                continue;
            }
            self.list.extend(all.by_ref().take(most - self.list.len()));
        }
    }

    #[cold]
    fn record(&mut self) {
        let histogram = self
            .histogram
            .get_or_insert_with(|| Box::new(Histogram::new(2).expect("two significant digits are allowed")));
        for us in self.list.drain(..) {
            // The histogram resizes itself to any value, so this records exactly; saturating is its infallible form.
            if histogram.record(us).is_err() {
                histogram.saturating_record(us);
            }
        }
        self.list.shrink_to(GATHER);
    }

    /// Duration below which the given share (0 to 1) lies, microseconds.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        if self.histogram.is_some() {
            let mut all = self.clone();
            all.record();
            return all.histogram.map(|histogram| histogram.value_at_quantile(share));
        }
        let mut sorted = self.list.clone();
        sorted.sort_unstable();
        let rank = (share * sorted.len() as f64).ceil().max(1.0);
        #[expect(clippy::cast_sign_loss, reason = "at least 1")]
        sorted.get(rank as usize - 1).or(sorted.last()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_of_few_and_of_many() {
        for count in [1, 2, 100, 256, 257, 10_000_u64] {
            let mut durations = Durations::default();
            assert_eq!(durations.quantile(0.5), None);
            for us in (1..=count).rev() {
                durations.extend([us].into_iter());
            }
            let median = durations.quantile(0.5).expect("not empty");
            let exact = count.div_ceil(2);
            assert!(median.abs_diff(exact) * 100 <= exact, "{median} of {count}");
            assert!(durations.quantile(1.0).is_some_and(|most| most.abs_diff(count) * 100 <= count));
        }
    }
}

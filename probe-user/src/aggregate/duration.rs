//! Durations of the connections of one row: exact while there are few, then with two significant digits.

use hdrhistogram::Histogram;

/// Kept one by one; most rows have fewer. A histogram takes about 10 kB.
const FEW: usize = 256;

/// See the module.
#[derive(Clone, Debug)]
pub(super) enum Durations {
    Few(Vec<u64>),
    Many(Box<Many>),
}

/// Histograms are large and each entry goes to another place in them: entries gather before they are made.
#[derive(Clone, Debug)]
pub(super) struct Many {
    histogram: Histogram<u32>,
    waiting: Vec<u64>,
}

/// Entries that gather.
const WAITING: usize = 64;

impl Many {
    fn add(&mut self, us: u64) {
        self.waiting.push(us);
        if self.waiting.len() >= WAITING {
            self.record();
        }
    }

    fn record(&mut self) {
        for us in self.waiting.drain(..) {
            // The histogram resizes itself to any value, so this records exactly; saturating is its infallible form.
            if self.histogram.record(us).is_err() {
                self.histogram.saturating_record(us);
            }
        }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Durations {
    /// Adds one, microseconds.
    pub(super) fn add(&mut self, us: u64) {
        match self {
            Self::Few(few) if few.len() < FEW => few.push(us),
            Self::Few(few) => {
                let histogram = Histogram::new(2).expect("two significant digits are allowed");
                let mut many = Box::new(Many { histogram, waiting: std::mem::take(few) });
                many.record();
                many.waiting = Vec::with_capacity(WAITING);
                many.add(us);
                *self = Self::Many(many);
            }
            Self::Many(many) => many.add(us),
        }
    }

    /// Duration below which the given share (0 to 1) lies, microseconds.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        match self {
            Self::Few(few) => {
                let mut sorted = few.clone();
                sorted.sort_unstable();
                let rank = (share * sorted.len() as f64).ceil().max(1.0);
                #[expect(clippy::cast_sign_loss, reason = "at least 1")]
                sorted.get(rank as usize - 1).or(sorted.last()).copied()
            }
            Self::Many(many) => {
                let mut all = many.clone();
                all.record();
                Some(all.histogram.value_at_quantile(share))
            }
        }
    }

    /// Reads something of what one more changes.
    #[inline]
    pub(super) fn touch(&self) -> u64 {
        let list = match self {
            Self::Few(list) => list,
            Self::Many(many) => &many.waiting,
        };
        list.last().copied().unwrap_or_default()
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
                durations.add(us);
            }
            let median = durations.quantile(0.5).expect("not empty");
            let exact = count.div_ceil(2);
            assert!(median.abs_diff(exact) * 100 <= exact, "{median} of {count}");
            assert!(durations.quantile(1.0).is_some_and(|most| most.abs_diff(count) * 100 <= count));
        }
    }
}

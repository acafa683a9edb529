//! Duration histogram of one group: exact while there are few values, then with two significant digits.
//!
//! There are thousands of rows, and most have some hundreds of connections at most.

use hdrhistogram::Histogram;

/// Kept one by one: a list of more would take more memory than a histogram.
const FEW: usize = 2048;
/// What a histogram has room for from the start: an hour and a bit. It grows for more.
const USUAL_US: u64 = u32::MAX as u64;

/// See the module. All in microseconds.
#[derive(Clone, Debug)]
pub(super) enum Durations {
    Few(Vec<u32>),
    /// As few, and one of them lasted longer than [`USUAL_US`].
    Long(Vec<u64>),
    Many(Box<Histogram<u32>>),
}

impl Default for Durations {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}

impl Durations {
    /// Adds one.
    pub(super) fn add(&mut self, us: u64) {
        self.extend([us].into_iter(), us);
    }

    /// Adds some, none of them longer than `most`.
    #[inline]
    pub(super) fn extend(&mut self, all: impl ExactSizeIterator<Item = u64>, most: u64) {
        while !self.has_room(all.len(), most) {
            self.change_form(all.len());
        }
        match self {
            Self::Few(list) => list.extend(all.map(|us| us as u32)),
            Self::Long(list) => list.extend(all),
            Self::Many(histogram) => all.for_each(|us| record(histogram, us)),
        }
    }

    /// Adds another list or histogram.
    pub(super) fn merge(&mut self, other: &Self) {
        match other {
            Self::Few(list) => self.extend(list.iter().map(|&us| us.into()), USUAL_US),
            Self::Long(list) => self.extend(list.iter().copied(), u64::MAX),
            Self::Many(theirs) => {
                while !matches!(self, Self::Many(_)) {
                    self.change_form(FEW + 1);
                }
                if let Self::Many(own) = self {
                    // It grows to any value, so this adds all of them.
                    own.add(theirs.as_ref()).expect("a histogram that resizes itself takes any other");
                }
            }
        }
    }

    #[inline]
    fn has_room(&self, more: usize, most: u64) -> bool {
        match self {
            Self::Few(list) => list.len() + more <= FEW && most <= USUAL_US,
            Self::Long(list) => list.len() + more <= FEW,
            Self::Many(_) => true,
        }
    }

    /// To what has room for so many more.
    #[cold]
    fn change_form(&mut self, more: usize) {
        *self = match self {
            Self::Few(list) if list.len() + more <= FEW => Self::Long(list.iter().map(|&us| us.into()).collect()),
            Self::Few(list) => Self::Many(Box::new(histogram(list.iter().map(|&us| us.into())))),
            Self::Long(list) => Self::Many(Box::new(histogram(list.iter().copied()))),
            Self::Many(_) => return,
        }
    }

    /// Duration below which the given share (0 to 1) lies, microseconds.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        match self {
            Self::Few(list) => in_order(list, share).map(u64::from),
            Self::Long(list) => in_order(list, share),
            Self::Many(histogram) => Some(histogram.value_at_quantile(share)),
        }
    }
}

fn histogram(all: impl Iterator<Item = u64>) -> Histogram<u32> {
    let mut histogram = Histogram::new_with_max(USUAL_US, 2).expect("two significant digits are allowed");
    histogram.auto(true);
    all.for_each(|us| record(&mut histogram, us));
    histogram
}

fn record(histogram: &mut Histogram<u32>, us: u64) {
    // It grows to any value, so this records exactly; saturating is its infallible form.
    if histogram.record(us).is_err() {
        histogram.saturating_record(us);
    }
}

/// The one that the given share of all is not larger than.
#[expect(clippy::cast_sign_loss, reason = "at least 1")]
fn in_order<T: Ord + Copy>(list: &[T], share: f64) -> Option<T> {
    let rank = ((share * list.len() as f64).ceil().max(1.0) as usize).min(list.len());
    (rank > 0).then(|| *list.to_vec().select_nth_unstable(rank - 1).1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whether they come one by one or many at once, some of hours among them or not.
        #[test]
        fn quantiles_of_few_are_exact_and_of_many_nearly(
            mut list in proptest::collection::vec((0..1_u64 << 34, 0..34_u32), 1..1500),
            (times, piece, most_bits) in (1..4_usize, 1..1000_usize, 20..36_u32),
        ) {
            list = list.repeat(times);
            let list: Vec<u64> = list.into_iter().map(|(us, shift)| (us >> shift) % (1 << most_bits)).collect();
            let mut durations = [Durations::default(), Durations::default()];
            for &us in &list {
                durations[0].add(us);
            }
            for some in list.chunks(piece) {
                durations[1].extend(some.iter().copied(), some.iter().copied().max().unwrap_or(0));
            }
            let mut merged = Durations::default();
            for some in list.chunks(piece * 4) {
                let mut part = Durations::default();
                part.extend(some.iter().copied(), some.iter().copied().max().unwrap_or(0));
                merged.merge(&part);
            }
            let mut sorted = list.clone();
            sorted.sort_unstable();
            for (share, rank) in [(0.0, 1), (0.5, list.len().div_ceil(2)), (1.0, list.len())] {
                let exact = sorted[rank - 1];
                let [one_by_one, at_once] = durations.each_ref().map(|durations| durations.quantile(share));
                prop_assert_eq!(one_by_one, at_once);
                prop_assert_eq!(one_by_one, merged.quantile(share));
                let off = one_by_one.map_or(u64::MAX, |us| us.abs_diff(exact));
                prop_assert!(off * 100 <= if list.len() <= FEW { 0 } else { exact }, "{} of {}", off, exact);
            }
        }
    }

    #[test]
    fn of_none_there_is_no_quantile() {
        assert_eq!(Durations::default().quantile(0.5), None);
    }
}

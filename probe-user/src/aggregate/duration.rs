//! Durations of the connections of one row: exact while there are few, then with two significant digits.
//!
//! There are thousands of rows, and most have some hundreds of connections at most: a list of what each duration is
//! rounded to takes much less memory than a histogram then, and says the same.

use super::rounded::Rounded;

/// Exact up to here; most rows have fewer.
const FEW: usize = 256;
/// A list of more is larger than a count for each rounded duration that there may be.
const MANY: usize = 4096;

/// See the module. All in microseconds.
#[derive(Clone, Debug)]
pub(super) enum Durations {
    Few(Vec<u32>),
    /// As few, and one of them lasted an hour and more.
    Long(Vec<u64>),
    Rounded(Vec<Rounded>),
    /// How often there is each, by its place.
    Counted(Vec<u32>),
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

    /// Adds some, none of them larger than `most`.
    #[inline]
    pub(super) fn extend(&mut self, all: impl ExactSizeIterator<Item = u64>, most: u64) {
        while !self.has_room(all.len(), most) {
            self.change_form(all.len());
        }
        match self {
            Self::Few(list) => list.extend(all.map(|us| us as u32)),
            Self::Long(list) => list.extend(all),
            Self::Rounded(list) => list.extend(all.map(Rounded::of)),
            Self::Counted(counts) => all.for_each(|us| count(counts, Rounded::of(us))),
        }
    }

    #[inline]
    fn has_room(&self, more: usize, most: u64) -> bool {
        match self {
            Self::Few(list) => list.len() + more <= FEW && most <= u32::MAX.into(),
            Self::Long(list) => list.len() + more <= FEW,
            Self::Rounded(list) => list.len() + more <= MANY,
            Self::Counted(_) => true,
        }
    }

    #[cold]
    fn change_form(&mut self, more: usize) {
        *self = match self {
            Self::Few(list) if list.len() + more <= FEW => Self::Long(list.iter().map(|&us| us.into()).collect()),
            Self::Few(list) => Self::Rounded(list.iter().map(|&us| Rounded::of(us.into())).collect()),
            Self::Long(list) => Self::Rounded(list.iter().map(|&us| Rounded::of(us)).collect()),
            Self::Rounded(list) => {
                let mut counts = Vec::new();
                for &rounded in &*list {
                    count(&mut counts, rounded);
                }
                Self::Counted(counts)
            }
            Self::Counted(_) => return,
        }
    }

    /// Duration below which the given share (0 to 1) lies, microseconds.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        match self {
            Self::Few(list) => in_order(list, share).map(u64::from),
            Self::Long(list) => in_order(list, share),
            Self::Rounded(list) => in_order(list, share).map(Rounded::largest),
            Self::Counted(counts) => {
                let rank = rank(share, counts.iter().map(|&count| u64::from(count)).sum());
                let up_to_each = counts.iter().scan(0, |sum, &count| {
                    *sum += u64::from(count);
                    Some(*sum)
                });
                up_to_each.zip(0..).find(|&(sum, _)| sum >= rank).map(|(_, place)| Rounded::at(place).largest())
            }
        }
    }
}

/// How many of `all` make the given share, at least 1.
#[expect(clippy::cast_sign_loss, reason = "at least 1")]
fn rank(share: f64, all: u64) -> u64 {
    ((share * all as f64).ceil() as u64).clamp(1, all.max(1))
}

fn in_order<T: Ord + Copy>(list: &[T], share: f64) -> Option<T> {
    let at = rank(share, list.len() as u64) as usize - 1;
    (at < list.len()).then(|| *list.to_vec().select_nth_unstable(at).1)
}

fn count(counts: &mut Vec<u32>, rounded: Rounded) {
    let place = rounded.place();
    if place >= counts.len() {
        counts.resize(place + 1, 0);
    }
    counts[place] = counts[place].saturating_add(1);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantiles_of_few_and_of_many() {
        for count in [1, 2, 100, 256, 257, 4096, 4097, 10_000_u64] {
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

    proptest! {
        /// Whether they come one by one or many at once, some of hours among them or not.
        #[test]
        fn many_as_in_a_histogram(
            mut list in proptest::collection::vec((0..1_u64 << 34, 0..34_u32), 1..3000),
            (times, piece, most_bits) in (1..4_usize, 1..1000_usize, 20..36_u32),
        ) {
            list = list.repeat(times);
            let list: Vec<u64> = list.into_iter().map(|(us, shift)| (us >> shift) % (1 << most_bits)).collect();
            let mut durations = [Durations::default(), Durations::default()];
            let mut histogram = hdrhistogram::Histogram::<u32>::new(2).expect("two significant digits are allowed");
            for &us in &list {
                durations[0].add(us);
                histogram.record(us).expect("it grows");
            }
            for some in list.chunks(piece) {
                durations[1].extend(some.iter().copied(), some.iter().copied().max().unwrap_or(0));
            }
            let mut sorted = list.clone();
            sorted.sort_unstable();
            for share in [0.01, 0.5, 0.9, 0.99, 1.0] {
                let exact = sorted[rank(share, list.len() as u64) as usize - 1];
                let quantile = if list.len() <= FEW { exact } else { histogram.value_at_quantile(share) };
                prop_assert_eq!(durations.each_ref().map(|durations| durations.quantile(share)), [Some(quantile); 2]);
            }
        }
    }
}

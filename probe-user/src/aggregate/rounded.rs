//! Numbers to two significant digits, as HDR histograms round them: half a cell of memory each.

/// A number rounded to its eight highest bits: those in the order of numbers, above them by how much it is shifted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Rounded(u16);

/// Bits that are kept of a number. The highest is set wherever it is shifted, and need not be stored.
const BITS: u32 = 8;
const HALF: u16 = 1 << (BITS - 1);

impl Rounded {
    #[inline]
    pub(super) fn of(number: u64) -> Self {
        let shift = u64::BITS - BITS - (number | ((1 << BITS) - 1)).leading_zeros();
        Self(shift as u16 * HALF + (number >> shift) as u16)
    }

    /// The largest number that is rounded to the same.
    pub(super) fn largest(self) -> u64 {
        let shift = (self.0 / HALF).saturating_sub(1);
        let highest = u64::from(self.0 - shift * HALF);
        highest << shift | ((1 << shift) - 1)
    }

    /// Its place among all, the smallest first.
    #[inline]
    pub(super) fn place(self) -> usize {
        self.0.into()
    }

    /// The one with this place.
    pub(super) fn at(place: usize) -> Self {
        Self(place as u16)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn rounded_as_in_a_histogram(number: u64, shift in 0..64_u32, other in 0..1000_u64) {
            let number = number >> shift;
            let histogram = hdrhistogram::Histogram::<u8>::new(2).expect("two significant digits are allowed");
            let rounded = Rounded::of(number);
            prop_assert_eq!(rounded.largest(), histogram.highest_equivalent(number));
            prop_assert_eq!(Rounded::of(rounded.largest()), rounded);
            prop_assert_eq!(Rounded::at(rounded.place()), rounded);
            let larger = number.saturating_add(other);
            prop_assert!(Rounded::of(larger) >= rounded);
            prop_assert_eq!(Rounded::of(larger) == rounded, histogram.equivalent(number, larger));
        }
    }
}

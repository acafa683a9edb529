//! Brief: a duration as a 16-bit floating-point number of microseconds, stored with every connection.

/// A duration in 16 bits, to a 1/2048: microseconds with 11 bits of mantissa and 5 of exponent. 0 is unknown.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Brief(u16);

impl Brief {
    /// Below a microsecond is one.
    #[inline(never)]
    pub(crate) fn of(ns: u64) -> Self {
        let us = (ns / 1000).clamp(1, (1 << 40) - 1);
        let shift = us.ilog2().saturating_sub(10);
        Self((shift as u16) << 11 | (us >> shift) as u16)
    }

    pub(crate) fn is_known(self) -> bool {
        self.0 != 0
    }

    /// 0 when not known.
    pub(crate) fn nanoseconds(self) -> u64 {
        (u64::from(self.0 & 0x7ff) << (self.0 >> 11)) * 1000
    }
}

#[cfg(test)]
mod tests {
    use super::Brief;

    #[test]
    fn brief_durations_are_exact_to_a_thousandth() {
        for us in [1_u64, 7, 2047, 2048, 10_315, 999_999, 55_000_000, 1 << 35] {
            let rounded = Brief::of(us * 1000).nanoseconds() / 1000;
            assert!(rounded <= us && us - rounded <= us / 1000, "{us}: {rounded}");
        }
        assert!(!Brief::default().is_known() && Brief::of(0).is_known());
    }
}

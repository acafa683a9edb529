//! Time watch: notices that this process did not run for a while, and that somebody set the clock.
//!
//! Pure: told the time, says what is to be said. Durations come from a clock that nobody sets; what a step changes is only how
//! far the times that are told are from those on the wall.

use std::time::Duration;

/// Ticks that are further apart are no busy machine.
const STALL_NS: u64 = 2_000_000_000;
/// The clocks are compared this often.
const PERIOD_NS: u64 = 1_000_000_000;
/// Two readings of two clocks, one after the other on a busy machine, differ by less.
const STEP_NS: u64 = 1_000_000_000;

/// See the module.
pub(crate) struct TimeWatch {
    last_ns: u64,
    compared_ns: u64,
    /// What the wall clock showed beyond the monotonic one.
    offset_ns: u64,
    counts: TimeCounts,
}

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct TimeCounts {
    /// How often this process did not run, and for how long all together.
    pub(crate) stalls: u64,
    pub(crate) stalled_ns: u64,
    /// How often the clock was set.
    pub(crate) clock_steps: u64,
}

impl TimeWatch {
    /// Begins at this time of the monotonic clock, with what the wall clock shows beyond it.
    pub(crate) fn begin(monotonic_ns: u64, offset_ns: u64) -> Self {
        Self { last_ns: monotonic_ns, compared_ns: monotonic_ns, offset_ns, counts: TimeCounts::default() }
    }

    pub(crate) fn counts(&self) -> TimeCounts {
        self.counts
    }

    /// Whether [`Self::compare`] is due.
    pub(crate) fn is_due(&self, monotonic_ns: u64) -> bool {
        monotonic_ns.saturating_sub(self.compared_ns) >= PERIOD_NS
    }

    /// To be called at every tick: what is to be said when there was none for long.
    pub(crate) fn tick(&mut self, monotonic_ns: u64) -> Option<String> {
        let since_ns = monotonic_ns.saturating_sub(self.last_ns);
        self.last_ns = monotonic_ns;
        if since_ns < STALL_NS {
            return None;
        }
        self.counts.stalls += 1;
        self.counts.stalled_ns += since_ns;
        Some(format!(
            "rstprobe: did not run for {:.1} s (stopped, suspended, or no CPU to be had): segments of that time that are only \
             counted carry the time of its beginning; what found no room meanwhile is in the counters",
            since_ns as f64 / 1e9
        ))
    }

    /// Compares the clocks: what is to be said when the wall clock was set.
    pub(crate) fn compare(&mut self, monotonic_ns: u64, unix_ns: u64) -> Option<String> {
        self.compared_ns = monotonic_ns;
        let offset_ns = unix_ns.saturating_sub(monotonic_ns);
        let step_ns = offset_ns.abs_diff(self.offset_ns);
        if step_ns < STEP_NS {
            return None;
        }
        let (forward, late) = if offset_ns > self.offset_ns { ("forward", "behind") } else { ("back", "ahead of") };
        self.offset_ns = offset_ns;
        self.counts.clock_steps += 1;
        let step = humantime::format_duration(Duration::from_secs(step_ns / 1_000_000_000));
        Some(format!(
            "rstprobe: the clock was set {forward} by {step} (or this machine slept): times are told by the clock as it was when \
             watching began, {step} {late} that of now; durations and the order of things are not touched"
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    #[test]
    fn a_stop_is_said_once_and_counted() {
        let mut time = TimeWatch::begin(10 * SECOND, 0);
        assert_eq!((time.tick(11 * SECOND), time.tick(12 * SECOND)), (None, None));
        let said = time.tick(22 * SECOND + SECOND / 2).expect("a stop");
        assert!(said.contains("did not run for 10.5 s"), "{said}");
        assert_eq!(time.tick(23 * SECOND), None);
        assert_eq!((time.counts().stalls, time.counts().stalled_ns), (1, 10 * SECOND + SECOND / 2));
    }

    #[test]
    fn a_step_of_hours_both_ways_is_said_once_and_a_drift_is_none() {
        let begin = 1_700_000_000 * SECOND;
        let mut time = TimeWatch::begin(SECOND, begin);
        assert!(!time.is_due(SECOND + 1) && time.is_due(2 * SECOND));
        assert_eq!(time.compare(2 * SECOND, begin + 2 * SECOND + SECOND / 2), None);
        let hours = 3 * 3600 * SECOND;
        let said = time.compare(3 * SECOND, begin + 3 * SECOND + hours).expect("a step");
        assert!(said.contains("set forward by 3h (") && said.contains("3h behind that of now"), "{said}");
        assert_eq!(time.compare(4 * SECOND, begin + 4 * SECOND + hours), None);
        let said = time.compare(5 * SECOND, begin + 5 * SECOND - hours).expect("a step");
        assert!(said.contains("set back by 6h (") && said.contains("6h ahead of that of now"), "{said}");
        assert_eq!(time.counts().clock_steps, 2);
    }
}

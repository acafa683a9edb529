//! Steps: the frames of a stream by number, with the time that each brings; every partition counts time by all of them, also
//! by those that belong to others.
//!
//! A deadline fires at the first step at or after it. Whoever sees its own segments only needs these times to know which step
//! that is, and how late it is then.

/// A run of steps that follow each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct Steps {
    /// Number of the step before the first: they count from 1.
    pub(crate) before: u64,
    /// For each, the latest time of any step until then (Zeek `network_time`).
    pub(crate) now_ns: Vec<u64>,
    /// The earliest time of a segment before the first step, [`u64::MAX`] before any.
    watched_from_ns: u64,
    /// Where it became earlier: mostly nowhere, or at the first segment of all.
    earlier: Vec<(usize, u64)>,
}

impl Steps {
    /// Number of the step at `at`.
    #[inline]
    pub(crate) fn number(&self, at: usize) -> u64 {
        self.before + 1 + at as u64
    }

    /// The earliest time of a segment up to the step at `at`.
    #[inline]
    pub(crate) fn watched_from_ns(&self, at: usize) -> u64 {
        let earlier = self.earlier.iter().rev().find(|(from, _)| *from <= at);
        earlier.map_or(self.watched_from_ns, |&(_, time_ns)| time_ns)
    }
}

/// Numbers the steps of a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StepCounter {
    last: u64,
    now_ns: u64,
    watched_from_ns: u64,
}

impl StepCounter {
    /// Before the first step.
    pub(crate) fn new() -> Self {
        Self { last: 0, now_ns: 0, watched_from_ns: u64::MAX }
    }

    /// Latest time so far.
    pub(crate) fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// The earliest time of a segment so far, [`u64::MAX`] before any.
    pub(crate) fn watched_from_ns(&self) -> u64 {
        self.watched_from_ns
    }

    /// Begins a run of steps.
    pub(crate) fn begin(&self, steps: &mut Steps) {
        steps.now_ns.clear();
        steps.earlier.clear();
        (steps.before, steps.watched_from_ns) = (self.last, self.watched_from_ns);
    }

    /// As [`Self::step`] for each of some segments.
    #[inline]
    pub(crate) fn steps(&mut self, steps: &mut Steps, times_ns: impl ExactSizeIterator<Item = u64> + Clone) {
        let earliest_ns = times_ns.clone().min().unwrap_or(u64::MAX);
        if earliest_ns < self.watched_from_ns {
            for time_ns in times_ns {
                self.step(steps, time_ns, true);
            }
            return;
        }
        self.last += times_ns.len() as u64;
        let Self { now_ns, .. } = self;
        steps.now_ns.extend(times_ns.map(|time_ns| {
            *now_ns = time_ns.max(*now_ns);
            *now_ns
        }));
    }

    /// One more step, of no frame and no time; its number.
    pub(crate) fn without_frame(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    /// A run of the last step once more, with what another word brings of time.
    pub(crate) fn again(&mut self, steps: &mut Steps, time_ns: u64) {
        self.last = self.last.saturating_sub(1);
        self.begin(steps);
        self.step(steps, time_ns, false);
    }

    /// One more step, of a frame with a segment or of one without; where it is in the run.
    #[inline]
    pub(crate) fn step(&mut self, steps: &mut Steps, time_ns: u64, is_segment: bool) -> usize {
        let at = steps.now_ns.len();
        self.last += 1;
        self.now_ns = self.now_ns.max(time_ns);
        steps.now_ns.push(self.now_ns);
        if is_segment && time_ns < self.watched_from_ns {
            self.watched_from_ns = time_ns;
            steps.earlier.push((at, time_ns));
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_does_not_go_back_and_the_earliest_segment_is_known_at_every_step() {
        let (mut counter, mut steps) = (StepCounter::new(), Steps::default());
        counter.begin(&mut steps);
        for (time_ns, is_segment) in [(7, false), (10, true), (8, true), (5, false), (12, true)] {
            counter.step(&mut steps, time_ns, is_segment);
        }
        assert_eq!(steps.now_ns, [7, 10, 10, 10, 12]);
        let watched = |steps: &Steps| (0..steps.now_ns.len()).map(|at| steps.watched_from_ns(at)).collect::<Vec<_>>();
        assert_eq!(watched(&steps), [u64::MAX, 10, 8, 8, 8]);
        assert_eq!([steps.number(0), steps.number(4)], [1, 5]);
        counter.begin(&mut steps);
        counter.step(&mut steps, 3, true);
        counter.step(&mut steps, 13, true);
        assert_eq!((steps.number(0), &steps.now_ns[..], watched(&steps)), (6, &[12, 13][..], vec![3, 3]));
    }
}

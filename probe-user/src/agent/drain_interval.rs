//! Drain interval: decides how often the kernel table is drained, as seldom as its room allows.
//!
//! Pure: says when, from what is told.

use std::time::Duration;

/// Bounds of the interval.
const SHORTEST: Duration = Duration::from_millis(10);
const LONGEST: Duration = Duration::from_millis(500);
/// Before anything is known.
const FIRST: Duration = Duration::from_millis(100);
/// Drained early when a CPU's table or log is fuller than this.
const HIGH_WATER: f64 = 0.5;
/// An epoch that ends fuller than this makes the next one shorter, ...
const FULL: f64 = 0.25;
/// ... and one that ends emptier than this longer.
const EMPTY: f64 = 0.1;
/// New flows per second and CPU, as a multiple of those of one service, that are followed from their first segment on.
const SERVICES: u32 = 10;

/// When to drain, and how many flows may be opened until then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct DrainInterval {
    fixed: Option<Duration>,
    interval: Duration,
    /// New flows of one service that are followed from their first segment on, per second and CPU; 0 for all.
    flood_at: u32,
}

impl DrainInterval {
    /// `fixed`: the interval to keep; `None` adapts it.
    pub(crate) fn new(fixed: Option<Duration>, flood_at: u32) -> Self {
        Self { fixed, interval: fixed.unwrap_or(FIRST), flood_at }
    }

    /// Whether to drain now, `elapsed` after the last time, with the fullest table and log at `occupancy` (0 to 1).
    pub(crate) fn is_due(&self, elapsed: Duration, occupancy: f64) -> bool {
        let early = self.fixed.map_or(SHORTEST, |_| Duration::ZERO);
        elapsed >= self.interval || occupancy > HIGH_WATER && elapsed >= early
    }

    /// A drain at `occupancy` has taken `took`; at most half of the time goes into draining.
    pub(crate) fn drained(&mut self, occupancy: f64, took: Duration) {
        if self.fixed.is_some() {
            return;
        }
        if occupancy > FULL {
            self.interval /= 2;
        } else if occupancy < EMPTY {
            self.interval = self.interval * 5 / 4;
        }
        self.interval = self.interval.clamp(SHORTEST, LONGEST).max(took.min(LONGEST));
    }

    /// Flows that may be opened until the next drain on one CPU: of one service, and of all together.
    pub(crate) fn budget(&self) -> (u32, u32) {
        if self.flood_at == 0 {
            return (u32::MAX, u32::MAX);
        }
        let service = u128::from(self.flood_at) * self.interval.as_millis() / 1000;
        let service = u32::try_from(service).unwrap_or(u32::MAX).max(16);
        (service, service.saturating_mul(SERVICES))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn it_stays_within_bounds_and_comes_back() {
        let mut pace = DrainInterval::new(None, 10_000);
        for _ in 0..20 {
            pace.drained(0.9, MS);
        }
        assert_eq!(pace.interval, SHORTEST);
        assert_eq!(pace.budget(), (100, 1000));
        for _ in 0..50 {
            pace.drained(0.0, MS);
        }
        assert_eq!(pace.interval, LONGEST);
        pace.drained(0.2, MS);
        assert_eq!(pace.interval, LONGEST, "neither full nor empty");
        assert_eq!(pace.budget(), (5000, 50_000));
    }

    #[test]
    fn a_full_table_is_drained_early_but_not_all_the_time() {
        let pace = DrainInterval::new(None, 0);
        assert!(pace.is_due(FIRST, 0.0) && pace.is_due(SHORTEST, 0.6));
        assert!(!pace.is_due(5 * MS, 0.9) && !pace.is_due(SHORTEST, 0.4));
        assert_eq!(pace.budget(), (u32::MAX, u32::MAX));
    }

    #[test]
    fn draining_takes_half_of_the_time_at_most() {
        let mut pace = DrainInterval::new(None, 0);
        pace.drained(0.9, 120 * MS);
        assert_eq!(pace.interval, 120 * MS);
    }

    #[test]
    fn what_was_asked_for_is_kept() {
        let mut pace = DrainInterval::new(Some(7 * MS), 1000);
        pace.drained(0.9, 120 * MS);
        assert!(pace.is_due(7 * MS, 0.0) && !pace.is_due(6 * MS, 0.0) && pace.is_due(MS, 0.9));
        assert_eq!(pace.budget(), (16, 160));
    }
}

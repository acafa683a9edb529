//! Period: what `--since` and `--until` mean, before it is known when a capture begins and ends.

use std::time::{Duration, UNIX_EPOCH};

use super::PlanError;

/// Nanoseconds of a day.
const DAY: u64 = 86_400_000_000_000;

/// A point in time as it was typed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TimePoint {
    /// Nanoseconds since 1970.
    At(u64),
    /// Nanoseconds since midnight, UTC.
    OfDay(u64),
    /// Nanoseconds before the last frame.
    BeforeEnd(u64),
}

/// Connections by their start: at or after the one, before the other.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Period {
    /// `--since`.
    pub since: Option<TimePoint>,
    /// `--until`.
    pub until: Option<TimePoint>,
}

impl TimePoint {
    /// Reads `14:05`, `14:05:30.5`, a time of RFC 3339, or `-5m`.
    fn read(text: &str) -> Option<Self> {
        let ns = |duration: Duration| u64::try_from(duration.as_nanos()).ok();
        if let Some(before) = text.strip_prefix('-') {
            return ns(humantime::parse_duration(before).ok()?).map(Self::BeforeEnd);
        }
        if let Ok(at) = humantime::parse_rfc3339_weak(text) {
            return ns(at.duration_since(UNIX_EPOCH).ok()?).map(Self::At);
        }
        // The day does not matter: it is that of 1970.
        let is_full = text.matches(':').count() == 2;
        let full = if is_full { text.to_owned() } else { format!("{text}:00") };
        let at = humantime::parse_rfc3339_weak(&format!("1970-01-01T{full}")).ok()?;
        ns(at.duration_since(UNIX_EPOCH).ok()?).map(Self::OfDay)
    }

    /// Nanoseconds since 1970, for a capture that begins and ends then. A time of day is that of the day on which the capture
    /// begins, or where that is more than half a day before its beginning, of the next.
    fn resolved(self, begin_ns: u64, end_ns: u64) -> u64 {
        match self {
            Self::At(ns) => ns,
            Self::BeforeEnd(ns) => end_ns.saturating_sub(ns),
            Self::OfDay(ns) => {
                let same_day = (begin_ns / DAY * DAY).saturating_add(ns);
                if same_day.saturating_add(DAY / 2) < begin_ns { same_day.saturating_add(DAY) } else { same_day }
            }
        }
    }
}

impl Period {
    /// Reads what was typed.
    ///
    /// # Errors
    /// [`PlanError::TimePoint`] for what is no point in time, [`PlanError::EmptyPeriod`] for two times of day of which the second
    /// is not later.
    pub(super) fn read(since: Option<&str>, until: Option<&str>) -> Result<Self, PlanError> {
        let one = |option, text: Option<&str>| {
            let refused = |text: &str| PlanError::TimePoint { option, text: text.to_owned() };
            text.map(|text| TimePoint::read(text).ok_or_else(|| refused(text))).transpose()
        };
        let period = Self { since: one("--since", since)?, until: one("--until", until)? };
        if let (Some(TimePoint::OfDay(from)), Some(TimePoint::OfDay(to))) = (period.since, period.until)
            && from >= to
        {
            let [since, until] = [since, until].map(|text| format!("{} of one day", text.unwrap_or_default()));
            return Err(PlanError::EmptyPeriod { since, until });
        }
        Ok(period)
    }

    /// Whether it takes the end of the capture to know it.
    pub fn needs_end(&self) -> bool {
        [self.since, self.until].iter().flatten().any(|one| matches!(one, TimePoint::BeforeEnd(_)))
    }

    /// Nanoseconds since 1970 from which on, and before which, for a capture that begins and ends then. Two times of day are of
    /// one day, that on which the capture begins.
    pub fn resolved(&self, begin_ns: u64, end_ns: u64) -> [Option<u64>; 2] {
        if let (Some(TimePoint::OfDay(since)), Some(TimePoint::OfDay(until))) = (self.since, self.until) {
            let day = begin_ns / DAY * DAY;
            return [since, until].map(|of_day| Some(day.saturating_add(of_day)));
        }
        [self.since, self.until].map(|one| one.map(|one| one.resolved(begin_ns, end_ns)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_in_time_are_read_as_people_write_them() {
        let second = 1_000_000_000;
        for (text, point) in [
            ("14:05", TimePoint::OfDay((14 * 60 + 5) * 60 * second)),
            ("00:00:01.5", TimePoint::OfDay(second * 3 / 2)),
            ("1970-01-02T00:00:00Z", TimePoint::At(DAY)),
            ("1970-01-02 00:00:01", TimePoint::At(DAY + second)),
            ("-5m", TimePoint::BeforeEnd(300 * second)),
            ("-1h30m", TimePoint::BeforeEnd(5400 * second)),
        ] {
            assert_eq!(TimePoint::read(text), Some(point), "{text}");
        }
        for text in ["", "-", "-5", "25:00", "14", "14:5", "yesterday", "5m", "14:05Zz"] {
            assert_eq!(TimePoint::read(text), None, "{text}");
        }
        let error = Period::read(None, Some("noon")).expect_err("refused").to_string();
        assert!(error.starts_with("--until noon: ") && error.contains("14:05"), "{error}");
    }

    #[test]
    fn two_times_of_day_are_of_the_day_on_which_the_capture_begins() {
        let hour = DAY / 24;
        let period = Period::read(Some("08:00"), Some("11:00")).expect("a period");
        assert_eq!(
            period.resolved(10 * DAY + 22 * hour, 11 * DAY),
            [Some(10 * DAY + 8 * hour), Some(10 * DAY + 11 * hour)]
        );
        for (since, until) in [("11:00", "10:00"), ("10:00", "10:00"), ("23:00", "01:00")] {
            let error = Period::read(Some(since), Some(until)).expect_err("refused").to_string();
            assert!(error.starts_with(&format!("--since {since} of one day is not before --until {until}")), "{error}");
        }
    }

    #[test]
    fn a_time_of_day_is_the_one_near_the_beginning() {
        let hour = DAY / 24;
        let of_day = |begin, since| TimePoint::OfDay(since).resolved(begin, begin + DAY);
        assert_eq!(of_day(10 * DAY + 22 * hour, 23 * hour), 10 * DAY + 23 * hour);
        assert_eq!(
            of_day(10 * DAY + 22 * hour, 21 * hour),
            10 * DAY + 21 * hour,
            "before it: everything is since then"
        );
        assert_eq!(of_day(10 * DAY + 22 * hour, hour), 11 * DAY + hour, "past midnight");
        let period = Period::read(Some("-1h"), Some("1970-01-11T23:30:00Z")).expect("a period");
        assert!(period.needs_end() && !Period::default().needs_end());
        assert_eq!(period.resolved(10 * DAY, 11 * DAY), [Some(11 * DAY - hour), Some(10 * DAY + 23 * hour + hour / 2)]);
    }
}

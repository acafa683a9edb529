//! Period notice: says that nothing can start between `--since` and `--until`, because the capture has no such time.

use std::time::{Duration, UNIX_EPOCH};

/// A time as RFC 3339 in UTC, from nanoseconds since 1970.
pub(crate) fn shown(ns: u64) -> String {
    humantime::format_rfc3339(UNIX_EPOCH + Duration::from_nanos(ns)).to_string()
}

/// What to say of a period that ends before the first frame or begins after the last one; all are nanoseconds since 1970.
/// `None` for every other period, and for a capture without frames, which has no time (`begin_ns` is 0).
pub(crate) fn outside([since, until]: [Option<u64>; 2], begin_ns: u64, end_ns: u64) -> Option<String> {
    let is_outside = since.is_some_and(|since| since > end_ns) || until.is_some_and(|until| until <= begin_ns);
    if !is_outside || begin_ns == 0 {
        return None;
    }
    let period = match [since, until].map(|bound| bound.map(shown)) {
        [Some(since), Some(until)] => format!("between {since} and {until}"),
        [Some(since), None] => format!("at or after {since}"),
        [None, until] => format!("before {}", until.unwrap_or_default()),
    };
    let span = [begin_ns, end_ns].map(shown);
    Some(format!("rstprobe: no connection starts {period}: the capture runs from {} to {}", span[0], span[1]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_period_beside_the_capture_is_told() {
        let second = 1_000_000_000;
        let [begin, end] = [100 * second, 200 * second];
        let told = |since: Option<u64>, until: Option<u64>| {
            outside([since, until].map(|at| at.map(|s| s * second)), begin, end)
        };
        assert_eq!(
            told(Some(300), Some(400)).as_deref(),
            Some(
                "rstprobe: no connection starts between 1970-01-01T00:05:00Z and 1970-01-01T00:06:40Z: the capture runs \
                 from 1970-01-01T00:01:40Z to 1970-01-01T00:03:20Z"
            )
        );
        assert!(told(None, Some(100)).is_some_and(|text| text.contains(" before 1970-01-01T00:01:40Z: ")));
        assert!(told(Some(201), None).is_some_and(|text| text.contains(" at or after ")));
        for (since, until) in [(None, None), (Some(200), None), (None, Some(101)), (Some(150), Some(160))] {
            assert_eq!(told(since, until), None);
        }
        assert_eq!(outside([Some(1), None], 0, 0), None, "no frames, no time");
    }
}

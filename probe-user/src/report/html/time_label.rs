//! Time labels: the beginning of a time step as short as its length and the span of all steps allow. UTC.

use crate::{query::StepRows, report::text};

const SECOND: u64 = 1_000_000_000;
const MINUTE: u64 = 60 * SECOND;
const DAY: u64 = 24 * 60 * MINUTE;

/// The beginning of a step, for axes and headings: without the date where all steps are of one day.
pub(super) fn short(steps: &StepRows, step: usize) -> String {
    let full = text::timestamp(steps.start_ns(step));
    let last_ns = steps.start_ns(steps.steps.saturating_sub(1));
    let (date, time) = (cut(&full, 0, 10), cut(&full, 11, time_end(steps.step_ns)));
    if steps.step_ns >= DAY {
        date.to_owned()
    } else if steps.first_ns / DAY == last_ns / DAY {
        time.to_owned()
    } else {
        format!("{} {time}", cut(date, 5, 10))
    }
}

/// Date and time of the beginning of a step.
pub(super) fn full(steps: &StepRows, step: usize) -> String {
    let full = text::timestamp(steps.start_ns(step));
    format!("{} {}", cut(&full, 0, 10), cut(&full, 11, time_end(steps.step_ns)))
}

/// Where the time ends in a timestamp, as far as steps of this length differ.
const fn time_end(step_ns: u64) -> usize {
    match step_ns {
        MINUTE.. => 16,
        SECOND.. => 19,
        _ => 23,
    }
}

/// Years of five digits and more are no matter of captures; they are shown wrongly rather than not at all.
fn cut(text: &str, from: usize, to: usize) -> &str {
    text.get(from..to).unwrap_or(text)
}

/// The length of a step in words: `2 seconds`.
pub(super) fn length(step_ns: u64) -> String {
    let units = [(DAY, "day"), (60 * MINUTE, "hour"), (MINUTE, "minute"), (SECOND, "second")];
    let (unit_ns, unit) =
        units.into_iter().find(|(unit_ns, _)| step_ns >= *unit_ns).unwrap_or((1_000_000, "millisecond"));
    let number = step_ns / unit_ns;
    if number == 1 { format!("1 {unit}") } else { format!("{number} {unit}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(step_ns: u64, steps: usize) -> StepRows {
        StepRows { step_ns, first_ns: 1_700_000_000 * SECOND, steps, rows: Vec::new() }
    }

    #[test]
    fn labels_are_as_short_as_they_can_be() {
        assert_eq!(short(&steps(10_000_000, 50), 3), "22:13:20.030");
        assert_eq!(short(&steps(SECOND, 50), 1), "22:13:21");
        assert_eq!(short(&steps(2 * MINUTE, 20), 1), "22:15");
        assert_eq!(short(&steps(10 * MINUTE, 120), 100), "11-15 14:53");
        assert_eq!(short(&steps(2 * DAY, 50), 1), "2023-11-16");
        assert_eq!(full(&steps(SECOND, 5), 0), "2023-11-14 22:13:20");
        assert_eq!(
            [length(20_000_000), length(SECOND), length(12 * 60 * MINUTE)],
            ["20 milliseconds", "1 second", "12 hours"]
        );
    }
}

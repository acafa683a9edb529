//! Time steps: a query by time whose step grows with the span of the connections, so that it always has few steps.
//!
//! The span of a capture is unknown before its end: steps begin with a length of one millisecond, and two, five or six of them
//! become one whenever there are too many.

use super::{By, KeyPart, Query, Row, Rows};
use crate::record::Connection;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const MINUTE: u64 = 60 * SECOND;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Lengths of a step, each a multiple of the one before and at most six times as long: where `most` steps are not enough
/// of one, the next has a sixth of `most` at least.
const STEPS_NS: [u64; 24] = [
    MS,
    2 * MS,
    10 * MS,
    20 * MS,
    100 * MS,
    200 * MS,
    SECOND,
    2 * SECOND,
    10 * SECOND,
    20 * SECOND,
    MINUTE,
    2 * MINUTE,
    10 * MINUTE,
    HOUR,
    2 * HOUR,
    6 * HOUR,
    12 * HOUR,
    DAY,
    2 * DAY,
    10 * DAY,
    50 * DAY,
    250 * DAY,
    1250 * DAY,
    // No two times of 64 bits are further apart than 42 of these.
    5000 * DAY,
];

/// See the module.
#[derive(Debug)]
pub struct TimeSteps {
    rows: Rows,
    most: u64,
    /// Place of the step in [`STEPS_NS`].
    step: usize,
    /// First and last start, nanoseconds since 1970.
    span_ns: (u64, u64),
}

/// The rows, and the steps that they are of.
#[derive(Clone, Debug)]
pub struct StepRows {
    /// Length of a step, nanoseconds.
    pub step_ns: u64,
    /// Beginning of the first step, nanoseconds since 1970.
    pub first_ns: u64,
    /// Steps from the first to the last, those without any connection included; 0 without any at all.
    pub steps: usize,
    /// One for each key that occurred, in no promised order.
    pub rows: Vec<Row>,
}

impl TimeSteps {
    /// By time and perhaps another key, in either order; at most `most` steps, not less than 42.
    pub(super) fn new(other: &[By], most: u64) -> Self {
        let by = other.iter().copied().chain([By::Time(STEPS_NS[0])]).collect();
        let query = Query { by, having: None, sort: None, limit: 0, columns: Vec::new(), is_chosen: false };
        Self { rows: Rows::new(query), most, step: 0, span_ns: (u64::MAX, 0) }
    }

    /// Adds one connection, judged.
    pub fn add(&mut self, connection: &Connection) {
        let start_ns = connection.start_ns;
        self.span_ns = (self.span_ns.0.min(start_ns), self.span_ns.1.max(start_ns));
        while self.steps() > self.most && self.step + 1 < STEPS_NS.len() {
            // Only once for a long gap.
            self.step += 1;
            if self.steps() <= self.most || self.step + 1 == STEPS_NS.len() {
                self.rows.lengthen_steps(STEPS_NS[self.step]);
            }
        }
        self.rows.add(connection);
    }

    fn steps(&self) -> u64 {
        let step_ns = STEPS_NS[self.step];
        let (first_ns, last_ns) = self.span_ns;
        if first_ns > last_ns { 0 } else { last_ns / step_ns - first_ns / step_ns + 1 }
    }

    /// The rows.
    pub fn finish(self) -> StepRows {
        let step_ns = STEPS_NS[self.step];
        let steps = self.steps() as usize;
        StepRows { step_ns, first_ns: self.span_ns.0 / step_ns * step_ns, steps, rows: self.rows.finish().0 }
    }
}

impl StepRows {
    /// The step that a row is of, from 0, and its other key; `None` for the row of all others, which has no key.
    pub fn place(&self, row: &Row) -> Option<(usize, KeyPart)> {
        let time = row.key.iter().find_map(|part| if let KeyPart::Time(ns, _) = part { Some(*ns) } else { None })?;
        let other = row.key.iter().find(|part| !matches!(part, KeyPart::Time(..))).copied();
        let step = time.saturating_sub(self.first_ns) / self.step_ns;
        Some((step as usize, other.unwrap_or(KeyPart::Unknown)))
    }

    /// Beginning of a step, nanoseconds since 1970.
    pub fn start_ns(&self, step: usize) -> u64 {
        self.first_ns + step as u64 * self.step_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Opening, Side},
    };

    fn at(start_ns: u64) -> Connection {
        let server = Side { rst: 1, ..Side::default() };
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, Side::default(), server);
        one.start_ns = start_ns;
        one
    }

    fn steps(times_ns: impl Iterator<Item = u64>) -> StepRows {
        let mut steps = TimeSteps::new(&[], 120);
        times_ns.for_each(|ns| steps.add(&at(ns)));
        steps.finish()
    }

    #[test]
    fn each_length_is_a_multiple_of_the_one_before() {
        assert!(STEPS_NS.is_sorted() && STEPS_NS.windows(2).all(|two| two[1] % two[0] == 0 && two[1] / two[0] <= 6));
        assert!(u64::MAX / STEPS_NS[STEPS_NS.len() - 1] <= 42);
    }

    #[test]
    fn any_span_has_twenty_to_a_hundred_and_twenty_steps_and_keeps_every_connection() {
        let begin = 1_700_000_000 * SECOND;
        for span_ns in [20 * MS, 7 * SECOND, 3 * MINUTE, 59 * MINUTE, 5 * HOUR, 3 * DAY, 400 * DAY] {
            let all = steps((0..=1000).map(|part| begin + span_ns / 1000 * part));
            assert!((20..=120).contains(&all.steps), "{} steps for {span_ns} ns", all.steps);
            assert_eq!(all.rows.iter().map(|row| row.records).sum::<u64>(), 1001);
            assert_eq!(all.rows.iter().map(|row| row.sides[1].rst).sum::<u64>(), 1001);
            let places: Vec<_> = all.rows.iter().filter_map(|row| all.place(row)).map(|place| place.0).collect();
            assert!(places.iter().all(|&step| step < all.steps) && places.is_sorted(), "{places:?}");
        }
    }

    #[test]
    fn order_of_connections_does_not_matter() {
        let times = || (0..500).map(|number| 1_700_000_000 * SECOND + number * number * MS);
        let (one, other) = (steps(times()), steps(times().rev()));
        let counts = |all: &StepRows| all.rows.iter().map(|row| (row.key.clone(), row.records)).collect::<Vec<_>>();
        assert_eq!((one.step_ns, one.first_ns, counts(&one)), (other.step_ns, other.first_ns, counts(&other)));
    }

    #[test]
    fn the_ends_of_time_are_in_it() {
        let all = steps([0, u64::MAX].into_iter());
        assert_eq!(all.rows.len(), 2);
        assert!(all.steps <= 120);
        assert_eq!(steps([].into_iter()).steps, 0);
    }
}

//! Amendments: corrects verdicts of a live stream that may still change: what is known of a service or client later says more of connections that
//! were printed before.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::{aggregate::Habits, record::Connection};

/// Provisional verdicts remembered; older ones stay as they were printed.
const MOST: usize = 16_384;
/// How often they are looked at.
const PERIOD: Duration = Duration::from_secs(1);

/// Connections that were printed with a provisional verdict, the oldest first.
pub(crate) struct Amendments {
    waiting: VecDeque<Connection>,
    looked: Instant,
}

impl Amendments {
    pub(crate) fn new() -> Self {
        Self { waiting: VecDeque::new(), looked: Instant::now() }
    }

    /// Remembers a connection, as it was before it was judged by what is known of others.
    pub(crate) fn remember(&mut self, connection: Connection) {
        if self.waiting.len() >= MOST {
            self.waiting.pop_front();
        }
        self.waiting.push_back(connection);
    }

    /// Those of which another verdict is right by now; each once. To be called often; looks once a second, or `now`.
    pub(crate) fn due(&mut self, habits: &Habits, now: bool) -> Vec<Connection> {
        if self.waiting.is_empty() || !now && self.looked.elapsed() < PERIOD {
            return Vec::new();
        }
        self.looked = Instant::now();
        let mut amended = Vec::new();
        self.waiting.retain(|printed| {
            let mut judged = printed.clone();
            habits.judge(&mut judged);
            let is_other = judged.verdict.cause != printed.verdict.cause;
            if is_other {
                amended.push(judged);
            }
            !is_other
        });
        amended
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Cause, Closing, Opening, Side},
    };

    #[test]
    fn what_turns_out_to_be_a_habit_is_amended_once() {
        let side = |rst| Side { bytes: 9, rst, ..Side::default() };
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, side(0), side(1));
        one.verdict.cause = Cause::AppAbort;
        let (mut habits, mut amendments) = (Habits::default(), Amendments::new());
        for number in 0..5 {
            assert!(amendments.due(&habits, true).is_empty(), "{number} are no habit");
            habits.observe(&one);
            amendments.remember(Connection { id: number, ..one.clone() });
        }
        let amended = amendments.due(&habits, true);
        assert_eq!(amended.iter().map(|one| one.id).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
        assert!(amended.iter().all(|one| one.verdict.cause == Cause::RstInsteadOfFin));
        assert!(amendments.due(&habits, true).is_empty());
    }
}

//! Search: finds the connection that is meant among those that end, without keeping all of them.

use std::cmp::Reverse;

use crate::{aggregate::Habits, filter::Filter, record::Connection};

/// Which connection is meant, and the best candidate so far, with what belongs to each (`T`).
pub struct Search<'a, T> {
    id: Option<u64>,
    filter: Option<&'a Filter>,
    habits: Habits,
    best: Option<(Connection, T)>,
    /// What may be judged otherwise once all connections are known.
    undecided: Vec<(Connection, T)>,
    seen: usize,
}

impl<'a, T> Search<'a, T> {
    /// For the connection of this number.
    pub fn by_id(id: u64) -> Self {
        Self { id: Some(id), ..Self::by_filter(None) }
    }

    /// For the one that lost most of those that meet a condition; then the first with RST, then the first.
    pub fn by_filter(filter: Option<&'a Filter>) -> Self {
        Self { id: None, filter, habits: Habits::default(), best: None, undecided: Vec::new(), seen: 0 }
    }

    /// Takes one that has ended. What belongs to it is made only where it may be the one.
    pub fn take(&mut self, one: Connection, belongings: impl FnOnce(&Connection) -> T) {
        self.seen += 1;
        self.habits.observe(&one);
        if self.id.is_some_and(|id| id != one.id) {
            return;
        }
        if Habits::may_change(&one) && self.undecided.len() < UNDECIDED {
            let belongings = belongings(&one);
            self.undecided.push((one, belongings));
            return;
        }
        let mut one = one;
        self.habits.judge(&mut one);
        if self.is_better(&one) {
            let belongings = belongings(&one);
            self.best = Some((one, belongings));
        }
    }

    /// The one that is meant, judged by all; and how many there were.
    pub fn finish(mut self) -> (Option<(Connection, T)>, usize) {
        for (mut one, belongings) in std::mem::take(&mut self.undecided) {
            self.habits.judge(&mut one);
            if self.is_better(&one) {
                self.best = Some((one, belongings));
            }
        }
        (self.best, self.seen)
    }

    fn is_better(&self, one: &Connection) -> bool {
        let meets = self.filter.is_none_or(|filter| filter.matches(one));
        meets && self.best.as_ref().is_none_or(|(best, _)| rank(one) > rank(best))
    }
}

/// Connections that wait to be judged by all, at most; further ones are judged by those before them.
const UNDECIDED: usize = 20_000;

fn rank(one: &Connection) -> (bool, u64, bool, Reverse<u64>) {
    let lost = one.from_orig.lost_bytes.saturating_add(one.from_resp.lost_bytes);
    (one.verdict.impact.is_loss(), lost, one.rst_count() > 0, Reverse(one.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Impact, Opening, Side},
    };

    #[test]
    fn the_worst_is_found_whatever_the_order() {
        let of = |id, rst, impact, lost_bytes| {
            let side = Side { rst, lost_bytes, ..Side::default() };
            let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, Side::default(), side);
            (one.id, one.verdict.impact) = (id, impact);
            one
        };
        let all = [
            of(1, 0, Impact::None, 0),
            of(2, 1, Impact::None, 0),
            of(3, 1, Impact::RequestLost, 10),
            of(4, 1, Impact::RequestLost, 99),
            of(5, 1, Impact::RequestLost, 99),
        ];
        let found = |some: &[&Connection], id: Option<u64>| {
            let mut search = id.map_or_else(|| Search::by_filter(None), Search::by_id);
            for one in some {
                search.take((*one).clone(), |_| ());
            }
            let (found, of) = search.finish();
            assert_eq!(of, some.len());
            found.map(|(one, ())| one.id)
        };
        let backwards: Vec<&Connection> = all.iter().rev().collect();
        assert_eq!(found(&all.each_ref(), None), Some(4));
        assert_eq!(found(&backwards, None), Some(4));
        assert_eq!(found(&all.each_ref()[..2], None), Some(2));
        assert_eq!(found(&all.each_ref()[..3], Some(1)), Some(1));
        assert_eq!(found(&all.each_ref()[..3], Some(9)), None);
    }
}

//! Search: finds the connection that is meant among those that end, without keeping all of them.

use std::{cmp::Reverse, collections::BTreeSet};

use crate::{
    aggregate::Habits,
    filter::Filter,
    record::{Connection, Opening},
};

/// Which connection is meant, and the best candidate so far, with what belongs to each (`T`).
pub struct Search<'a, T> {
    id: Option<u64>,
    filter: Option<&'a Filter>,
    habits: Habits,
    best: Option<(Connection, T)>,
    /// What may be judged otherwise once all connections are known.
    undecided: Vec<(Connection, T)>,
    seen: usize,
    /// How many were judged before all were known: too many were waiting.
    judged_early: usize,
    /// How many meet the condition.
    meeting: usize,
    /// The lowest ids of these.
    lowest: BTreeSet<u64>,
}

/// What a search has found.
#[derive(Debug)]
pub struct Found<T> {
    /// The connection that is meant, judged by all, with what belongs to it.
    pub best: Option<(Connection, T)>,
    /// How many connections there were.
    pub seen: usize,
    /// How many were judged before all were known, so that another one might be meant.
    pub judged_early: usize,
    /// How many of them meet the condition; of a search by number the one, if it is there.
    pub meeting: usize,
    /// Ids of others that meet it, the lowest first, a few.
    pub others: Vec<u64>,
}

/// Ids that are named of others.
const NAMED: usize = 6;

impl<T> Found<T> {
    /// Of how many it was chosen and why, for people; `None` where nothing was to be chosen.
    pub fn choice(&self) -> Option<String> {
        let id = self.best.as_ref()?.0.id;
        if self.meeting < 2 {
            return None;
        }
        let ids: Vec<String> = self.others.iter().map(u64::to_string).collect();
        let more = if self.meeting > self.others.len() + 1 { ", ..." } else { "" };
        Some(format!(
            "connection {id}: 1 of {} that meet it, the costliest; others: {}{more}",
            self.meeting,
            ids.join(", ")
        ))
    }
}

impl<'a, T> Search<'a, T> {
    /// For the connection of this number.
    pub fn by_id(id: u64) -> Self {
        Self { id: Some(id), ..Self::by_filter(None) }
    }

    /// For the one that lost most of those that meet a condition; then one with RST, one seen from its opening, the first.
    pub fn by_filter(filter: Option<&'a Filter>) -> Self {
        Self {
            id: None,
            filter,
            habits: Habits::default(),
            best: None,
            undecided: Vec::new(),
            seen: 0,
            judged_early: 0,
            meeting: 0,
            lowest: BTreeSet::new(),
        }
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
        self.judged_early += usize::from(Habits::may_change(&one));
        self.habits.judge(&mut one);
        if self.meets(&one) && self.is_better(&one) {
            let belongings = belongings(&one);
            self.best = Some((one, belongings));
        }
    }

    /// The one that is meant, judged by all; how many there were, and how many meet the condition.
    pub fn finish(mut self) -> Found<T> {
        for (mut one, belongings) in std::mem::take(&mut self.undecided) {
            self.habits.judge(&mut one);
            if self.meets(&one) && self.is_better(&one) {
                self.best = Some((one, belongings));
            }
        }
        let chosen = self.best.as_ref().map(|(best, _)| best.id);
        let others = self.lowest.into_iter().filter(|id| Some(*id) != chosen).take(NAMED).collect();
        Found { best: self.best, seen: self.seen, judged_early: self.judged_early, meeting: self.meeting, others }
    }

    /// Whether one, judged, meets the condition; it is counted then.
    fn meets(&mut self, one: &Connection) -> bool {
        let meets = self.filter.is_none_or(|filter| filter.matches(one));
        if meets {
            self.meeting += 1;
            self.lowest.insert(one.id);
            if self.lowest.len() > NAMED + 1 {
                self.lowest.pop_last();
            }
        }
        meets
    }

    fn is_better(&self, one: &Connection) -> bool {
        self.best.as_ref().is_none_or(|(best, _)| rank(one) > rank(best))
    }
}

/// Connections that wait to be judged by all, at most; further ones are judged by those before them.
const UNDECIDED: usize = 20_000;

fn rank(one: &Connection) -> (bool, u64, bool, bool, Reverse<u64>) {
    let lost = one.from_orig.lost_bytes.saturating_add(one.from_resp.lost_bytes);
    (one.verdict.impact.is_loss(), lost, one.rst_count() > 0, one.opening != Opening::NotSeen, Reverse(one.id))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Cause, Closing, Impact, Opening, Side},
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
            let found = search.finish();
            assert_eq!(found.seen, some.len());
            found.best.map(|(one, ())| one.id)
        };
        let backwards: Vec<&Connection> = all.iter().rev().collect();
        assert_eq!(found(&all.each_ref(), None), Some(4));
        assert_eq!(found(&backwards, None), Some(4));
        assert_eq!(found(&all.each_ref()[..2], None), Some(2));
        assert_eq!(found(&all.each_ref()[..3], Some(1)), Some(1));
        assert_eq!(found(&all.each_ref()[..3], Some(9)), None);
    }

    #[test]
    fn among_equals_a_whole_one_is_first_and_the_others_are_named() {
        let of = |id, opening| {
            let side = Side { rst: 1, ..Side::default() };
            let mut one = connection("10.0.0.2:80", opening, Closing::RstOnly, Side::default(), side);
            one.id = id;
            one
        };
        let filter: Filter = "ct.count >= 0".parse().expect("a filter");
        let mut search = Search::by_filter(Some(&filter));
        for id in 1..=9 {
            search.take(of(id, if id < 4 { Opening::NotSeen } else { Opening::Completed }), |_| ());
        }
        let found = search.finish();
        assert_eq!(
            found.choice().as_deref(),
            Some("connection 4: 1 of 9 that meet it, the costliest; others: 1, 2, 3, 5, 6, 7, ...")
        );
        let mut search = Search::by_filter(None);
        search.take(of(7, Opening::Completed), |_| ());
        assert_eq!(search.finish().choice(), None, "there was no choice");
        let mut search = Search::by_id(7);
        search.take(of(7, Opening::Completed), |_| ());
        search.take(of(8, Opening::Completed), |_| ());
        assert_eq!(search.finish().choice(), None, "it was named");
    }

    #[test]
    fn what_does_not_wait_until_all_are_known_is_counted() {
        let side = || Side { rst: 1, rst_ttl: 64, ttl: 64, packets: 1, ..Side::default() };
        let waits = |id| {
            let mut one = connection("10.0.0.2:80", Opening::Refused, Closing::Refused, Side::default(), side());
            (one.id, one.verdict.cause) = (id, Cause::RefusedClosedPort);
            assert!(Habits::may_change(&one));
            one
        };
        let mut search = Search::by_filter(None);
        for id in 0..UNDECIDED as u64 + 3 {
            search.take(waits(id), |_| ());
        }
        let found = search.finish();
        assert_eq!((found.seen, found.judged_early), (UNDECIDED + 3, 3));
    }
}

//! Rows of a query: adds connections to their groups in bounded memory, and gives the rows that were asked for.

use std::{cmp::Ordering, ops::Range};

use hashbrown::HashMap;

use super::{By, KeyPart, Query};
use crate::{
    aggregate::Group,
    record::{Basis, Connection, Side},
};

/// Groups with a row of their own; connections of further ones are in one row, `others`.
const MAX_ROWS: usize = 1 << 14;

/// A group: its key, and what its connections add up to.
#[derive(Clone, Debug)]
pub struct Row {
    /// Parts of the key, in the order of `--by`; empty for all others.
    pub key: Vec<KeyPart>,
    /// Records, RSTs without a connection included.
    pub records: u64,
    /// Sums and causes.
    pub group: Group,
    /// What each side sent: client, server.
    pub sides: [Side; 2],
    /// Records of which only SYN, FIN and RST were counted.
    pub control_only: u64,
    /// RSTs of connections with a completed handshake, by side.
    pub rst_of_completed: [u64; 2],
    /// First start and last end, nanoseconds since 1970.
    pub span_ns: (u64, u64),
}

impl Row {
    fn new(key: Vec<KeyPart>) -> Self {
        Self {
            key,
            records: 0,
            group: Group::default(),
            sides: [Side::default(); 2],
            control_only: 0,
            rst_of_completed: [0; 2],
            span_ns: (u64::MAX, 0),
        }
    }

    fn add(&mut self, connection: &Connection) {
        self.records += 1;
        self.group.count(connection);
        self.control_only += u64::from(connection.basis == Basis::ControlOnly);
        let sides = [&connection.from_orig, &connection.from_resp];
        for (sum, side) in self.sides.iter_mut().zip(sides) {
            add_side(sum, side);
        }
        if connection.is_established() {
            for (sum, side) in self.rst_of_completed.iter_mut().zip(sides) {
                *sum += side.rst;
            }
        }
        let end_ns = connection.start_ns.saturating_add(connection.duration_ns);
        self.span_ns = (self.span_ns.0.min(connection.start_ns), self.span_ns.1.max(end_ns));
    }
}

impl Row {
    /// Adds another row's connections.
    pub fn merge(&mut self, other: &Self) {
        self.records += other.records;
        self.group.merge(&other.group);
        self.control_only += other.control_only;
        for (sum, side) in self.sides.iter_mut().zip(&other.sides) {
            add_side(sum, side);
        }
        for (sum, count) in self.rst_of_completed.iter_mut().zip(other.rst_of_completed) {
            *sum += count;
        }
        self.span_ns = (self.span_ns.0.min(other.span_ns.0), self.span_ns.1.max(other.span_ns.1));
    }
}

fn add_side(sum: &mut Side, side: &Side) {
    sum.syn += side.syn;
    sum.syn_ack += side.syn_ack;
    sum.fin += side.fin;
    sum.rst += side.rst;
    sum.packets += side.packets;
    sum.ip_bytes += side.ip_bytes;
    sum.bytes = sum.bytes.saturating_add(side.bytes);
    sum.payload_bytes += side.payload_bytes;
    sum.retransmits += side.retransmits;
    sum.missed_bytes = sum.missed_bytes.saturating_add(side.missed_bytes);
    sum.lost_bytes = sum.lost_bytes.saturating_add(side.lost_bytes);
}

/// Groups while connections are added.
#[derive(Debug)]
pub struct Rows {
    query: Query,
    /// Number of a key's row.
    places: HashMap<[KeyPart; 2], u32, foldhash::fast::RandomState>,
    groups: Vec<Row>,
    others: Option<Row>,
}

impl Rows {
    /// No rows yet.
    pub fn new(query: Query) -> Self {
        Self { query, places: HashMap::default(), groups: Vec::new(), others: None }
    }

    /// Adds one connection, judged.
    pub fn add(&mut self, connection: &Connection) {
        let part = |at: usize| self.query.by.get(at).map_or(KeyPart::Unknown, |by: &By| by.of(connection));
        let key = [part(0), part(1)];
        if let Some(&place) = self.places.get(&key) {
            self.groups[place as usize].add(connection);
            return;
        }
        if self.groups.len() >= MAX_ROWS {
            self.others.get_or_insert_with(|| Row::new(Vec::new())).add(connection);
            return;
        }
        self.places.insert(key, self.groups.len() as u32);
        let mut row = Row::new(key[..self.query.by.len()].to_vec());
        row.add(connection);
        self.groups.push(row);
    }

    /// Gives every step of time from the one of `first_ns` to that of `last_ns` a row, where time is all that is grouped by: a step
    /// without connections is one, too, unless nothing was watched in all of it (`unwatched`). How many steps have no row, where that would be too many.
    pub fn fill_steps(&mut self, first_ns: u64, last_ns: u64, unwatched: &[Range<u64>]) -> Option<u64> {
        let [By::Time(step_ns)] = self.query.by[..] else { return None };
        let (first, last) = (first_ns / step_ns, last_ns / step_ns);
        let steps = last.checked_sub(first)? + 1;
        if steps > MAX_ROWS as u64 || self.others.is_some() {
            return Some(steps.saturating_sub(self.groups.len() as u64)).filter(|missing| *missing > 0);
        }
        let is_unwatched = |step: &u64| {
            let (from_ns, until_ns) = (step * step_ns, (step + 1) * step_ns);
            unwatched.iter().any(|gap| gap.start <= from_ns && until_ns <= gap.end)
        };
        for step in (first..=last).filter(|step| !is_unwatched(step)) {
            let key = KeyPart::step(step * step_ns, step_ns);
            if self.groups.len() < 2 * MAX_ROWS && !self.places.contains_key(&[key, KeyPart::Unknown]) {
                self.places.insert([key, KeyPart::Unknown], self.groups.len() as u32);
                self.groups.push(Row::new(vec![key]));
            }
        }
        None
    }

    /// Puts what is grouped by time into longer steps; `step_ns` is a multiple of the step until now.
    pub(super) fn lengthen_steps(&mut self, step_ns: u64) {
        for by in self.query.by.iter_mut().filter(|by| matches!(by, By::Time(_))) {
            *by = By::Time(step_ns);
        }
        self.places.clear();
        for mut row in std::mem::take(&mut self.groups) {
            let mut key = [KeyPart::Unknown; 2];
            for (to, part) in key.iter_mut().zip(&mut row.key) {
                if let KeyPart::Time(ns, _) = *part {
                    *part = KeyPart::step(ns, step_ns);
                }
                *to = *part;
            }
            if let Some(&place) = self.places.get(&key) {
                self.groups[place as usize].merge(&row);
            } else {
                self.places.insert(key, self.groups.len() as u32);
                self.groups.push(row);
            }
        }
    }

    /// What was asked.
    pub fn query(&self) -> &Query {
        &self.query
    }

    /// The rows that were asked for, in order, and how many more there are. The row of all others comes last.
    pub fn finish(self) -> (Vec<Row>, usize) {
        let Self { query, groups: mut rows, others, .. } = self;
        rows.extend(others);
        if let Some(having) = &query.having {
            rows.retain(|row| having.holds(row));
        }
        rows.sort_unstable_by(|one, other| order(&query, one, other));
        let left_out = if query.limit == 0 { 0 } else { rows.len().saturating_sub(query.limit) };
        rows.truncate(rows.len() - left_out);
        (rows, left_out)
    }
}

impl Row {
    /// Whether it is RSTs that belong to no connection, of which a key is not known for that reason.
    pub fn is_without_connection(&self) -> bool {
        self.records > 0 && self.group.totals.connections == 0 && self.key.contains(&KeyPart::Unknown)
    }
}

/// All others last, and before them what is in no connection (of what is in steps of time within its step); then as asked, or times in order and everything else by its RSTs; then by key.
fn order(query: &Query, one: &Row, other: &Row) -> Ordering {
    let is_late = |row: &Row| row.is_without_connection() && !query.is_by_time();
    let kind = |row: &Row| (row.key.is_empty(), is_late(row));
    let others_last = kind(one).cmp(&kind(other));
    let rst = |row: &Row| row.sides[0].rst + row.sides[1].rst;
    let asked = match query.sort {
        Some((field, ascending)) => {
            let by_value = field.order(one).partial_cmp(&field.order(other)).unwrap_or(Ordering::Equal);
            if ascending { by_value } else { by_value.reverse() }
        }
        None if query.is_by_time() => Ordering::Equal,
        None => rst(other).cmp(&rst(one)),
    };
    others_last.then(asked).then_with(|| one.key.cmp(&other.key))
}

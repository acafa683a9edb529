//! Fields of a group: what its connections add up to, by name, for `--having`, `--sort` and `--columns`.

use std::fmt;

use super::{By, Row, group_field_hint};
use crate::{
    aggregate::Totals,
    filter::{Schema, ValueKind},
    record::{Cause, FieldValue, Impact, Unit, Word},
};

/// One row of the table.
pub struct GroupField {
    /// Name.
    pub name: &'static str,
    /// What it says, in one line.
    pub meaning: &'static str,
    read: Read,
}

/// How a value is read of a group.
enum Read {
    /// A number; of ratios the bits of an `f64`.
    Number(Unit, fn(&Row) -> Option<u64>),
    /// The cause that most of its connections have.
    Cause(fn(&Row) -> Option<Cause>),
}

/// A field, by its place in [`GROUP_FIELDS`].
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct GroupRef(usize);

impl GroupRef {
    /// By its name, in any case.
    pub fn of_name(name: &str) -> Option<Self> {
        GROUP_FIELDS.iter().position(|field| field.name.eq_ignore_ascii_case(name)).map(Self)
    }

    /// The field.
    pub fn field(self) -> &'static GroupField {
        &GROUP_FIELDS[self.0]
    }

    /// Its value in a row; `None` where there is none.
    pub fn value(self, row: &Row) -> Option<FieldValue<'static>> {
        match self.field().read {
            Read::Number(unit, of) => of(row).map(|number| FieldValue::Number(unit, number)),
            Read::Cause(of) => of(row).map(|cause| FieldValue::Word(cause.id())),
        }
    }

    pub(super) fn number(self, row: &Row) -> Option<u64> {
        if let Read::Number(_, of) = self.field().read { of(row) } else { None }
    }

    pub(super) fn word(self, row: &Row) -> Option<&'static str> {
        if let Read::Cause(of) = self.field().read { of(row).map(Cause::id) } else { None }
    }

    /// For sorting: no value is less than any, and words are in their own order.
    pub(super) fn order(self, row: &Row) -> (Option<u64>, Option<&'static str>) {
        (self.number(row), self.word(row))
    }
}

impl fmt::Debug for GroupRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.field().name)
    }
}

impl Schema for GroupRef {
    const LISTED_BY: &'static str = "rstprobe fields --groups";

    fn find(name: &str) -> Option<Self> {
        Self::of_name(name)
    }

    fn name(self) -> &'static str {
        self.field().name
    }

    fn value_kind(self) -> ValueKind {
        match self.field().read {
            Read::Number(unit, _) => ValueKind::Number(unit, u64::MAX),
            Read::Cause(_) => ValueKind::Words { all: causes, is_ordered: false },
        }
    }

    fn translated(words: &[&str]) -> Option<String> {
        group_field_hint::meant(words.first()?).map(str::to_owned)
    }

    fn names() -> Vec<&'static str> {
        GROUP_FIELDS.iter().map(|field| field.name).collect()
    }
}

fn causes() -> Vec<Word> {
    let word = |cause: &Cause| Word { name: cause.id(), number: *cause as u8, meaning: cause.meaning() };
    Cause::ALL.iter().map(word).collect()
}

/// Columns unless others are named, the most important first: a narrow terminal does without the last ones.
pub(super) fn usual(by: &[By]) -> Vec<GroupRef> {
    let names: &[&str] = if matches!(by.first(), Some(By::Time(_))) {
        &["connections", "rst.count.clt", "rst.count.srv", "rst.per_conn.clt", "rst.per_conn.srv", "lossy.count"]
    } else {
        &[
            "connections",
            "rst.count.clt",
            "rst.count.srv",
            "rst.per_conn",
            "lossy.count",
            "main_cause",
            "ct.count",
            "syn.per_conn",
            "fin.count.clt",
            "fin.count.srv",
        ]
    };
    names.iter().filter_map(|name| GroupRef::of_name(name)).collect()
}

const fn number(name: &'static str, unit: Unit, of: fn(&Row) -> Option<u64>, meaning: &'static str) -> GroupField {
    GroupField { name, meaning, read: Read::Number(unit, of) }
}

const fn count(name: &'static str, of: fn(&Row) -> Option<u64>, meaning: &'static str) -> GroupField {
    number(name, Unit::Count, of, meaning)
}

const fn ratio(name: &'static str, of: fn(&Row) -> Option<u64>, meaning: &'static str) -> GroupField {
    number(name, Unit::PerSecond, of, meaning)
}

/// A ratio of the totals, as the bits that order as it does.
fn bits(row: &Row, of: fn(&Totals) -> Option<f64>) -> Option<u64> {
    of(&row.group.totals).map(f64::to_bits)
}

/// RSTs of one side of connections with a completed handshake, per such connection.
fn rst_per_conn(row: &Row, side: usize) -> Option<u64> {
    let completed = row.group.totals.completed_handshakes;
    (completed > 0).then(|| (row.rst_of_completed[side] as f64 / completed as f64).to_bits())
}

/// What only every segment together gives: none where of some connections only SYN, FIN and RST were counted.
fn whole(row: &Row, value: u64) -> Option<u64> {
    (row.control_only == 0).then_some(value)
}

/// What every depth counts.
#[expect(clippy::unnecessary_wraps, reason = "in the place of `whole`")]
fn always(_: &Row, value: u64) -> Option<u64> {
    Some(value)
}

/// Three fields of a number of each side, by what provides it.
macro_rules! sides {
    ($name:literal, $unit:expr, $field:ident, $provided:ident, $meaning:literal) => {
        [
            number(
                $name,
                $unit,
                |row| $provided(row, row.sides[0].$field.saturating_add(row.sides[1].$field)),
                $meaning,
            ),
            number(
                concat!($name, ".clt"),
                $unit,
                |row| $provided(row, row.sides[0].$field),
                concat!($meaning, ", of clients"),
            ),
            number(
                concat!($name, ".srv"),
                $unit,
                |row| $provided(row, row.sides[1].$field),
                concat!($meaning, ", of servers"),
            ),
        ]
    };
}

const RST: [GroupField; 3] = sides!("rst.count", Unit::Count, rst, always, "RST segments");
const FIN: [GroupField; 3] = sides!("fin.count", Unit::Count, fin, always, "FIN segments");
const SYN: [GroupField; 3] = sides!("syn.count", Unit::Count, syn, always, "SYN segments without ACK");
const SYN_ACK: [GroupField; 3] = sides!("syn_ack.count", Unit::Count, syn_ack, always, "SYN-ACK segments");
const BYTES: [GroupField; 3] = sides!("bytes", Unit::Bytes, bytes, always, "payload by sequence numbers");
const LOST: [GroupField; 3] =
    sides!("lost_bytes", Unit::Bytes, lost_bytes, whole, "payload that the other host discarded");
const PACKETS: [GroupField; 3] = sides!("packets", Unit::Count, packets, whole, "segments");
const RETRANSMITS: [GroupField; 3] =
    sides!("retransmits", Unit::Count, retransmits, whole, "segments that repeated payload");

/// All fields of a group, in the order in which they are listed.
pub static GROUP_FIELDS: &[GroupField] = {
    let [rst, rst_clt, rst_srv] = RST;
    let [fin, fin_clt, fin_srv] = FIN;
    let [syn, syn_clt, syn_srv] = SYN;
    let [syn_ack, syn_ack_clt, syn_ack_srv] = SYN_ACK;
    let [bytes, bytes_clt, bytes_srv] = BYTES;
    let [lost, lost_clt, lost_srv] = LOST;
    let [packets, packets_clt, packets_srv] = PACKETS;
    let [retransmits, retransmits_clt, retransmits_srv] = RETRANSMITS;
    &[
        count("records", |row| Some(row.records), "connections, and RSTs that belong to none"),
        count("connections", |row| Some(row.group.totals.connections), "connections"),
        count("ct.count", |row| Some(row.group.totals.completed_handshakes), "completed handshakes"),
        count("attempts", |row| Some(row.group.totals.attempts), "connections whose SYN was seen"),
        count("refused.count", |row| Some(row.group.totals.refused), "attempts that were refused"),
        count("unanswered.count", |row| Some(row.group.totals.never_answered), "attempts that were never answered"),
        count("rst.conn", |row| Some(row.group.totals.with_rst), "connections with RST"),
        count("lossy.count", |row| Some(row.group.totals.impacts.losses()), "connections that lost something"),
        count(
            "failed.count",
            |row| Some(row.group.totals.impacts.count(Impact::AttemptFailed)),
            "connections that failed to connect",
        ),
        rst,
        rst_clt,
        rst_srv,
        fin,
        fin_clt,
        fin_srv,
        syn,
        syn_clt,
        syn_srv,
        syn_ack,
        syn_ack_clt,
        syn_ack_srv,
        ratio(
            "rst.per_conn",
            |row| bits(row, Totals::rst_per_conn),
            "RSTs of connections with a completed handshake / such connections",
        ),
        ratio("rst.per_conn.clt", |row| rst_per_conn(row, 0), "the same, RSTs of clients"),
        ratio("rst.per_conn.srv", |row| rst_per_conn(row, 1), "the same, RSTs of servers"),
        ratio(
            "rst_lossy.per_conn",
            |row| bits(row, Totals::rst_lossy_per_conn),
            "RSTs of such connections that lost something / such connections",
        ),
        ratio("rst.ratio", |row| bits(row, Totals::rst_ratio), "connections with RST / connections"),
        ratio("refused.ratio", |row| bits(row, Totals::refused_ratio), "refused attempts / attempts"),
        ratio("syn.per_conn", |row| bits(row, Totals::syn_per_conn), "SYNs of clients / attempts"),
        packets,
        packets_clt,
        packets_srv,
        bytes,
        bytes_clt,
        bytes_srv,
        lost,
        lost_clt,
        lost_srv,
        retransmits,
        retransmits_clt,
        retransmits_srv,
        number(
            "duration.p50",
            Unit::Duration,
            |row| row.group.duration_quantile_us(0.5).map(|us| us * 1000),
            "duration that half of the connections do not exceed",
        ),
        number(
            "duration.p99",
            Unit::Duration,
            |row| row.group.duration_quantile_us(0.99).map(|us| us * 1000),
            "duration that 99 of 100 connections do not exceed",
        ),
        number("first", Unit::Time, |row| (row.records > 0).then_some(row.span_ns.0), "start of the first connection"),
        number("last", Unit::Time, |row| (row.records > 0).then_some(row.span_ns.1), "end of the last connection"),
        GroupField {
            name: "main_cause",
            meaning: "cause that most of the connections have which needed an explanation",
            read: Read::Cause(|row| row.group.main_cause().map(|(cause, _)| cause)),
        },
    ]
};

//! Words of an explanation that its text and its page share: segments, notes, facts.

use std::fmt::Write as _;

use crate::{
    explain::{
        end_states::Remark,
        ladder::{Completeness, Ladder, Note, Row},
    },
    record::{Connection, Fact, Impact, ResetBy, fact_meaning},
};

/// Rows that are shown of a long ladder: so many at its opening, and at its end.
pub(super) const SHOWN_AT_EACH_END: usize = 40;

/// What states are, once below a ladder.
pub(super) const STATES: [&str; 2] = [
    "States are those of RFC 9293 3.3.2, as far as they show here. `?` alone: nothing tells. `?` behind a state: what leads",
    "there was on its way, and its end has not shown that it arrived.",
];

/// What the impact of a connection means, where something of it was never acknowledged, too.
pub(super) fn impact(one: &Connection) -> &'static str {
    let is_open = |fact: &Fact| fact.name.starts_with("unacked_bytes");
    if one.verdict.impact == Impact::None && one.verdict.facts.iter().any(is_open) {
        return "nothing is known to be lost: what was never acknowledged is a TLS close_notify, or was sent by who reset, and may \
                have arrived";
    }
    one.verdict.impact.meaning()
}

/// Flags, numbers and length of a segment.
pub(super) fn segment(row: &Row) -> String {
    let mut text = row.flag_names().collect::<Vec<_>>().join(" ");
    let mut add = |name, number: i64| write!(text, " {name} {number}").expect("a String takes everything");
    if let Some(seq) = row.seq {
        add("seq", seq);
    }
    if let Some(ack) = row.ack {
        add("ack", ack);
    }
    if row.payload_len > 0 {
        add("len", row.payload_len.into());
    }
    if row.is_reset() {
        add("ttl", row.ttl.into());
    }
    text
}

/// What is odd about a segment, in words.
fn note(note: Note, from_client: bool, completeness: Completeness) -> String {
    match note {
        Note::Repeated => "repeated".into(),
        Note::OutOfOrder => "out of order".into(),
        Note::KeepAlive => "keep-alive".into(),
        Note::Gap(bytes) => format!("{bytes} bytes before it {}", completeness.gap()),
        Note::AcknowledgesUnseen(bytes) => format!("acknowledges {bytes} bytes {}", completeness.gap()),
        Note::ZeroWindow => "window 0".into(),
        Note::FrameCut => "frame cut".into(),
        Note::HeaderCut => "header cut: only its flags are known".into(),
        Note::Foreign if from_client => "in the client's name, by somebody between".into(),
        Note::Foreign => "in the server's name, by somebody between".into(),
        Note::BadChecksum => "wrong checksum: dropped, unless it was left to the NIC".into(),
        Note::End(Remark::RstNotExact) => "not the number that is awaited: challenged or ignored".into(),
        Note::End(Remark::RstIgnored) => "does not acknowledge the SYN: ignored".into(),
        Note::End(Remark::GoesOnAfterOwnRst) => "its host goes on after an RST in its name".into(),
        Note::End(Remark::GoesOnAfterRst) => "its host goes on after the RST to it".into(),
    }
}

/// All notes of a row, joined; without that its frame is cut, where all are.
pub(super) fn notes(row: &Row, ladder: &Ladder) -> String {
    let said = row.notes.iter().filter(|one| **one != Note::FrameCut || !is_cut_throughout(ladder));
    let all: Vec<String> = said.map(|one| note(*one, row.from_client, ladder.completeness)).collect();
    all.join("; ")
}

/// Every frame with payload is cut: the capture's snap length.
fn is_cut_throughout(ladder: &Ladder) -> bool {
    let mut with_payload = ladder.rows.iter().filter(|row| row.payload_len > 0).peekable();
    with_payload.peek().is_some() && with_payload.all(|row| row.notes.contains(&Note::FrameCut))
}

/// What the value of a fact says, or else what the fact is.
pub(super) fn meaning(fact: &Fact) -> String {
    let value = fact.value.to_string();
    let name = fact_meaning::meaning(fact.name).unwrap_or("a fact without an explanation");
    fact_meaning::word_meaning(fact.name, &value).unwrap_or(name).to_owned()
}

/// Who reset it.
pub(super) fn reset_by(one: &Connection) -> String {
    match one.reset_by {
        ResetBy::None => "no RST ended it".to_owned(),
        by => format!("reset by {by}"),
    }
}

/// How complete the ladder is, in sentences; nothing where it has every segment.
pub(super) fn completeness(ladder: &Ladder) -> Vec<String> {
    let mut all = Vec::new();
    match (ladder.completeness, ladder.only_counted) {
        (Completeness::Captured, Some([0, 0]) | None) => {}
        (Completeness::Captured, Some([client, server])) => {
            all.push(format!("{client} segments of the client and {server} of the server are counted and not listed."));
        }
        (Completeness::Kept, _) => all.push(
            "From an evidence file: it keeps the frames around the opening and the end, not those between; cause and states \
             are of what is kept."
                .to_owned(),
        ),
        (Completeness::Counted, Some([client, server])) => all.push(format!(
            "Listed is what the kernel program keeps word for word (SYN, FIN, RST and what decides); {client} segments of the \
             client and {server} of the server were only counted."
        )),
        (Completeness::Counted, None) => all.push(
            "Listed are SYN, FIN and RST (--depth control): everything else was not even counted.".to_owned(),
        ),
    }
    if is_cut_throughout(ladder) {
        all.push("Every frame is cut before the end of its payload; lengths are those of the headers.".to_owned());
    }
    if ladder.has_gaps {
        all.push(format!(
            "There are gaps: bytes that were sent and {}; states after a gap may lag behind.",
            ladder.completeness.gap()
        ));
    }
    all
}

/// Rows to show, and how many are left out between them.
pub(super) fn shown(ladder: &Ladder) -> (&[Row], usize, &[Row]) {
    let rows = &ladder.rows;
    let left_out = rows.len().saturating_sub(2 * SHOWN_AT_EACH_END);
    if left_out == 0 {
        (rows, 0, &[])
    } else {
        (&rows[..SHOWN_AT_EACH_END], left_out, &rows[SHOWN_AT_EACH_END + left_out..])
    }
}

//! Findings as lines for people, and as JSON.

use std::fmt::Write as _;

use serde::Serialize;

use super::{Snapshot, cells::Style, text};
use crate::findings::{self, Finding, Kind, Observed, Subject, Weight};

/// Findings that people see unless they ask for all.
const SHOWN: usize = 8;
/// Of one kind.
const OF_A_KIND: usize = 2;

/// All findings of a snapshot, worst first.
pub fn of(snapshot: &Snapshot) -> Vec<Finding> {
    let flood = &snapshot.flood;
    let services = flood.services.iter().map(|row| (Some(row.server), row.counts.flags.syn));
    let flooded: Vec<_> = services.chain([(None, flood.others.flags.syn)]).collect();
    findings::of(&Observed {
        aggregate: &snapshot.aggregate,
        connections: &snapshot.connections,
        is_one_way: snapshot.window.is_one_way,
        flood: &flooded,
        notices: &snapshot.quality.notices(),
        wrong_checksums: snapshot.quality.wrong_checksums,
    })
}

/// The list; empty without findings. What the headline has said already, of the capture and its view, is left out.
pub(super) fn section(snapshot: &Snapshot, style: Style) -> String {
    let all = of(snapshot);
    let of_traffic = || all.iter().filter(|finding| finding.subject != Subject::Capture);
    let (benign, worth): (Vec<_>, Vec<_>) = of_traffic().partition(|finding| finding.kind.weight == Weight::Benign);
    let (shown, more) = if style.rows == 0 { (worth, Vec::new()) } else { first_of_each_kind(worth) };
    let mut out = String::new();
    if snapshot.filter.is_some() && !(shown.is_empty() && benign.is_empty()) {
        out.push_str("Of what meets the filter: shares are of these, not of everything.\n");
    }
    for (at, finding) in shown.iter().enumerate() {
        let (mark, plain) = match (style.color, finding.kind.weight) {
            (true, Weight::Problem) => ("\u{1b}[31m", "\u{1b}[0m"),
            _ => ("", ""),
        };
        line(&mut out, format_args!("{:>2}. {mark}{}{plain}", at + 1, finding.sentence));
        line(&mut out, format_args!("    Next: {}", finding.next_step));
        let about = about(finding);
        if !about.is_empty() {
            line(&mut out, format_args!("    {about}"));
        }
        if let Some(filter) = &finding.filter {
            line(&mut out, format_args!("    Its connections: --filter '{filter}'"));
        }
    }
    if !more.is_empty() {
        let all: usize = more.iter().map(|(_, count)| count).sum();
        let kinds: Vec<_> = more.iter().map(|(kind, count)| format!("{} x{count}", kind.id)).collect();
        line(&mut out, format_args!("    and {all} more: {} (--all shows all)", kinds.join(", ")));
    }
    if !benign.is_empty() {
        let sentences: Vec<_> = benign.iter().map(|finding| finding.sentence.as_str()).collect();
        line(&mut out, format_args!("Usual, and harmless: {}.", sentences.join("; ")));
    }
    out.truncate(out.trim_end().len());
    out
}

/// The worst, a few of each kind, so that the many of one do not hide the others; and how many more there are, by kind.
fn first_of_each_kind(worth: Vec<&Finding>) -> (Vec<&Finding>, Vec<(&'static Kind, usize)>) {
    let (mut shown, mut more) = (Vec::new(), Vec::<(&'static Kind, usize)>::new());
    for finding in worth {
        let of_kind = shown.iter().filter(|known: &&&Finding| known.kind == finding.kind).count();
        if of_kind < OF_A_KIND && shown.len() < SHOWN {
            shown.push(finding);
        } else if let Some((_, count)) = more.iter_mut().find(|(kind, _)| *kind == finding.kind) {
            *count += 1;
        } else {
            more.push((finding.kind, 1));
        }
    }
    (shown, more)
}

/// Writing to a string cannot fail.
fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(out, "{arguments}").expect("a String takes everything");
}

/// Its id, since when, and examples.
fn about(finding: &Finding) -> String {
    let mut parts = vec![format!("({}", finding.kind.id)];
    if let Some(since_ns) = finding.since_ns {
        parts.push(format!("since {}", text::timestamp(since_ns)));
    }
    if !finding.examples.is_empty() {
        let ids: Vec<_> = finding.examples.iter().map(u64::to_string).collect();
        parts.push(format!("connections {}", ids.join(", ")));
    }
    parts.join("; ") + ")"
}

/// One finding in JSON.
#[derive(Serialize)]
pub(super) struct FindingJson {
    id: &'static str,
    weight: &'static str,
    /// Address and port of a server, address of a client, `all traffic` or `the capture`.
    subject: String,
    text: String,
    count: u64,
    /// What `count` is a part of, as the text says; 0 where it is no part.
    of: u64,
    /// Start of the first example; null where not all of them are listed.
    since: Option<String>,
    /// Ids of connections.
    examples: Vec<u64>,
    /// Condition that its connections meet, as `--filter` takes it; null where no field tells them from others.
    filter: Option<String>,
    next_step: String,
    threshold: &'static str,
}

impl From<Finding> for FindingJson {
    fn from(finding: Finding) -> Self {
        Self {
            id: finding.kind.id,
            weight: finding.kind.weight.as_str(),
            subject: finding.subject.to_string(),
            text: finding.sentence,
            count: finding.count,
            of: finding.of,
            since: finding.since_ns.map(text::timestamp),
            examples: finding.examples,
            filter: finding.filter,
            next_step: finding.next_step,
            threshold: finding.kind.threshold,
        }
    }
}

/// The findings of a snapshot in JSON.
pub(super) fn json(snapshot: &Snapshot) -> Vec<FindingJson> {
    of(snapshot).into_iter().map(FindingJson::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::findings::KINDS;

    #[test]
    fn the_many_of_a_kind_do_not_hide_the_others() {
        let of = |kind: usize, count: u64| Finding {
            kind: KINDS[kind],
            subject: Subject::Traffic,
            sentence: String::new(),
            next_step: String::new(),
            count,
            of: 0,
            since_ns: None,
            examples: Vec::new(),
            filter: None,
        };
        let all: Vec<Finding> = (0..40).map(|count| of(0, 100 - count)).chain([of(1, 5), of(2, 4)]).collect();
        let (shown, more) = first_of_each_kind(all.iter().collect());
        let kinds: Vec<&str> = shown.iter().map(|finding| finding.kind.id).collect();
        assert_eq!(kinds, [KINDS[0].id, KINDS[0].id, KINDS[1].id, KINDS[2].id]);
        assert_eq!(more, [(KINDS[0], 38)]);
    }
}

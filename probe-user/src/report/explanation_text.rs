//! Explanation of one connection as text: verdict with facts, its segments between the states of both ends, rivals, and what to
//! check next.
//!
//! Must not know: where segments come from.

use std::fmt::Write as _;

use super::{
    cells::{Style, cut, wrapped},
    explanation, explanation_words as words,
    prose::reflowed,
    text,
};
use crate::{
    explain::{
        Explanation,
        ladder::{Ladder, Row},
    },
    printable,
    record::Cause,
};

/// The whole of it, in lines that fit the terminal: prose is broken, segments are cut, and commands stay whole.
pub fn text(explanation: &Explanation, style: Style) -> String {
    let written = |write: fn(&mut String, &Explanation)| {
        let mut out = String::new();
        write(&mut out, explanation);
        // Names of files and the comments of evidence come from elsewhere.
        printable::lines(&out).into_owned()
    };
    let broken = |write| reflowed(&written(write), style);
    let each_line = |write, line: &dyn Fn(&str) -> String| -> String {
        written(write).lines().map(|text| line(text).trim_end().to_owned() + "\n").collect()
    };
    let cut_line = |line: &str| style.width.map_or_else(|| line.to_owned(), |width| cut(line, width.into()));
    let step_line = |line: &str| if line.starts_with(COMMAND) { line.to_owned() } else { wrapped(line, style, 4) };
    [
        broken(head),
        broken(facts),
        each_line(ladder, &cut_line),
        broken(completeness),
        broken(meaning),
        broken(rivals),
        each_line(steps, &step_line),
    ]
    .concat()
}

/// Begins a line that is a command.
const COMMAND: &str = "      ";

/// Writing to a string cannot fail.
fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    let from = out.len();
    writeln!(out, "{arguments}").expect("a String takes everything");
    // Columns leave blanks behind the last one.
    let end = out[from..].trim_end().len();
    out.truncate(from + end);
    out.push('\n');
}

fn head(out: &mut String, explanation: &Explanation) {
    let one = &explanation.connection;
    let verdict = &one.verdict;
    line(out, format_args!("Connection {}: client {}, server {}", one.id, one.orig, one.resp));
    let (start, duration) = (text::timestamp(one.start_ns), text::duration(one.duration_ns));
    line(
        out,
        format_args!("  {start}, {duration}; Zeek {} {} ({})", one.conn_state, one.history, one.conn_state.meaning()),
    );
    line(out, format_args!("  opening {}: {}", one.opening, one.opening.meaning()));
    line(out, format_args!("  closing {}: {}", one.closing, one.closing.meaning()));
    let by = words::reset_by(one);
    line(
        out,
        format_args!("  {} ({} confidence), {by}; impact {}", verdict.cause.id(), verdict.confidence, verdict.impact),
    );
    line(out, format_args!("  {}", verdict.cause.explanation()));
    line(out, format_args!("  impact: {}", words::impact(one)));
    if let Some(recorded) = &explanation.recorded {
        line(out, format_args!("  When its frames were kept it was: {}", recorded.replace("; ", "\n    ")));
    }
    if let Some(cause) = explanation.recorded_otherwise() {
        let why = "it had seen all frames, and other connections";
        line(out, format_args!("  The frames alone that were kept give another cause; believe `{cause}`: {why}"));
    }
}

fn facts(out: &mut String, explanation: &Explanation) {
    let facts = &explanation.connection.verdict.facts;
    if facts.is_empty() {
        return;
    }
    let pairs: Vec<_> =
        facts.iter().map(|fact| (format!("{} = {}", fact.name, fact.value), words::meaning(fact))).collect();
    let width = pairs.iter().map(|(pair, _)| pair.chars().count()).filter(|width| *width <= 44).max().unwrap_or(0);
    line(out, format_args!("\nWhat the verdict rests on, weightiest first:"));
    for (pair, meaning) in pairs {
        line(out, format_args!("    {pair:<width$}  {meaning}"));
    }
}

fn ladder(out: &mut String, explanation: &Explanation) {
    let ladder = &explanation.ladder;
    if ladder.rows.is_empty() {
        line(out, format_args!("\nNo segment of it was kept."));
        return;
    }
    line(out, format_args!("\n{:>10}  {:<12}     {:<38} server", "ms", "client", ""));
    let (first, left_out, last) = words::shown(ladder);
    for row in first {
        step(out, row, ladder);
    }
    if left_out > 0 {
        line(out, format_args!("{:>10}  ... {left_out} segments ...", ""));
    }
    for row in last {
        step(out, row, ladder);
    }
}

fn completeness(out: &mut String, explanation: &Explanation) {
    let ladder = &explanation.ladder;
    if ladder.rows.is_empty() {
        return;
    }
    for sentence in words::completeness(ladder) {
        line(out, format_args!("{sentence}"));
    }
    for sentence in words::STATES {
        line(out, format_args!("{sentence}"));
    }
}

fn step(out: &mut String, row: &Row, ladder: &Ladder) {
    let ms = row.since_start_ns as f64 / 1e6;
    let way = if row.from_client { "-->" } else { "<--" };
    let [client, server] = row.states;
    let (segment, notes) = (words::segment(row), words::notes(row, ladder));
    line(out, format_args!("{ms:>10.3}  {client:<12} {way} {segment:<38} {server:<12} {notes}"));
}

fn meaning(out: &mut String, explanation: &Explanation) {
    let id = explanation.connection.verdict.cause.id();
    if let Some(explained) = explanation::of(id) {
        line(out, format_args!("\nWhat `{id}` means: {}", explained.trim_start_matches(id).trim()));
    }
}

fn rivals(out: &mut String, explanation: &Explanation) {
    if explanation.rivals.is_empty() {
        return;
    }
    line(out, format_args!("\nNearest rivals, and what speaks against each:"));
    for rival in &explanation.rivals {
        line(out, format_args!("  {}: {}", rival.cause.id(), rival.cause.explanation()));
        for against in &rival.against {
            line(out, format_args!("      against it: {} = {}: {}", against.fact, against.value, against.says));
        }
        if rival.against.is_empty() {
            line(out, format_args!("      nothing seen speaks against it"));
        }
    }
}

fn steps(out: &mut String, explanation: &Explanation) {
    if explanation.connection.verdict.cause == Cause::None {
        line(out, format_args!("\nNothing to check; its packets:"));
    } else {
        line(out, format_args!("\nWhat to check next, in commands of Linux hosts:"));
    }
    for step in &explanation.steps {
        line(out, format_args!("  {}: {}", step.place.words(), step.why));
        line(out, format_args!("{COMMAND}{}", step.command));
    }
}

//! Page: everything about a snapshot as one self-contained HTML document, readable without scripts and without a network.
//!
//! * [`page`]: the document. [`Page`]: what it is made from.
//! * `table`, `chart`, `time_label`: the parts that sections are made of. The other files are a section each.
//!
//! Text is escaped by the template (maud), and [`printable::lines`] takes control characters and those that turn the direction of
//! writing out of the finished page: no section can forget it. Pure: data in, text out.

mod causes;
mod chart;
mod connections;
mod explanations;
mod findings;
mod groups;
mod heat_map;
mod histograms;
mod inline_code;
mod over_time;
mod summary;
mod table;
mod time_label;

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::{Snapshot, findings as all_findings, text};
use crate::{
    findings::{Finding, Weight},
    printable,
    query::OverviewRows,
    record::Connection,
};

/// Schema of the page: the `id`s of its sections and tables, and the columns of these.
pub const PAGE_SCHEMA: &str = "rstprobe.page/1";
/// Rows of a table at most, whatever is asked for; what is beyond is in one row, `all others`.
const MAX_ROWS: usize = 500;
/// Findings that are told at most; further ones are counted.
const MAX_FINDINGS: usize = 60;

const STYLE: &str = include_str!("style.css");
const SCRIPT: &str = include_str!("page.js");
/// SHA-256 of [`SCRIPT`]: browsers run no other script in the page. `tests/tests/report.rs` computes it.
const SCRIPT_HASH: &str = "sha256-utKocEHmR4PU55j5Ej/R8HZsph5VyYjS8ZJcrJAhUJs=";

/// What a page is made from.
#[derive(Clone, Copy, Debug)]
pub struct Page<'a> {
    /// Sums, losses, and the connections that findings take their examples from.
    pub snapshot: &'a Snapshot,
    /// Queries over the same connections.
    pub overview: &'a OverviewRows,
    /// Names of the captures, in order; empty for interfaces, which the snapshot names.
    pub sources: &'a [String],
    /// Why not everything could be read, where it is so.
    pub cut_short: Option<&'a str>,
    /// Rows per table, 0 for as many as the page may have.
    pub rows: usize,
}

/// Sections, in order: `id` and heading.
const SECTIONS: [(&str, &str); 9] = [
    ("findings", "Findings"),
    ("impact", "Impact"),
    ("time", "Over time"),
    ("heat", "Services over time"),
    ("clients", "Clients"),
    ("servers", "Servers and services"),
    ("causes", "Causes"),
    ("histograms", "How long it took"),
    ("connections", "Connections"),
];

/// A page that was made.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Made {
    /// The document.
    pub html: String,
    /// Findings of which it tells, those that are usual and harmless left out.
    pub findings: usize,
}

/// Makes the document.
pub fn page(page: &Page<'_>) -> Made {
    let all = all_findings::of(page.snapshot);
    let listed = connections::listed(page, &all);
    let findings = all.iter().filter(|one| one.kind.weight != Weight::Benign).count();
    let html = printable::lines(&document(page, &all, &listed).into_string()).into_owned();
    Made { html, findings }
}

impl Page<'_> {
    /// Rows that a table may have.
    fn rows(&self) -> usize {
        if self.rows == 0 { MAX_ROWS } else { self.rows.min(MAX_ROWS) }
    }

    /// Captures or interfaces, for people.
    fn source(&self) -> String {
        let interfaces: Vec<_> = self.snapshot.window.interfaces.iter().map(|one| one.name.as_str()).collect();
        let captures: Vec<_> = self.sources.iter().map(String::as_str).collect();
        let names = if interfaces.is_empty() { captures } else { interfaces };
        match names[..] {
            [] => "no source".to_owned(),
            [one] => one.to_owned(),
            [first, second] => format!("{first}, {second}"),
            [first, ..] => format!("{first} and {} more", names.len() - 1),
        }
    }
}

fn document(page: &Page<'_>, all: &[Finding], listed: &[&Connection]) -> Markup {
    let policy = format!(
        "default-src 'none'; style-src 'unsafe-inline'; script-src '{SCRIPT_HASH}'; base-uri 'none'; form-action 'none'"
    );
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("rstprobe ", env!("CARGO_PKG_VERSION")));
                meta name="rstprobe-schema" content=(PAGE_SCHEMA);
                meta name="referrer" content="no-referrer";
                title { "How TCP connections ended: " (page.source()) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                a .skip href="#main" { "Skip to the findings" }
                (summary::header(page))
                nav aria-label="Sections" {
                    ul { @for (id, heading) in SECTIONS { li { a href={ "#" (id) } { (heading) } } } }
                }
                main #main tabindex="-1" {
                    (summary::view(page))
                    (section(0, &findings::section(page, all, listed)))
                    (section(1, &summary::impact(page)))
                    (section(2, &over_time::section(page.overview)))
                    (section(3, &heat_map::section(page.overview)))
                    (section(4, &groups::clients(page)))
                    (section(5, &groups::servers(page)))
                    (section(6, &causes::section(page)))
                    (section(7, &histograms::section(page.overview)))
                    (section(8, &connections::section(page, listed)))
                    (explanations::section(page, all))
                    (summary::accounting(page))
                }
                (footer(page))
                script { (PreEscaped(SCRIPT)) }
            }
        }
    }
}

fn section(number: usize, content: &Markup) -> Markup {
    let (id, heading) = SECTIONS[number];
    html! {
        section id=(id) aria-labelledby={ (id) "-heading" } {
            h2 id={ (id) "-heading" } { (heading) }
            (content)
        }
    }
}

fn footer(page: &Page<'_>) -> Markup {
    html! {
        footer {
            p {
                "Made by rstprobe " (env!("CARGO_PKG_VERSION")) ", schema " code { (PAGE_SCHEMA) } ", of what was seen from "
                (text::timestamp(page.snapshot.window.start_ns)) " to " (text::timestamp(page.snapshot.window.end_ns))
                ". All times are UTC. A connection counts at the time when it began."
            }
        }
    }
}

/// The `id` under which a cause is explained in the page.
fn cause_id(id: &str) -> String {
    format!("cause-{id}")
}

/// The same of a kind of finding.
fn kind_id(id: &str) -> String {
    format!("finding-{id}")
}

/// The same of a connection that is listed.
fn connection_id(id: u64) -> String {
    format!("connection-{id}")
}

/// A link to the explanation of a cause.
fn cause_link(cause: crate::record::Cause) -> Markup {
    html! { a href={ "#" (cause_id(cause.id())) } { (cause.id()) } }
}

/// A number with commas between thousands.
fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// A share in per cent, absent where there is nothing that it could be a share of.
fn percent(part: u64, of: u64) -> String {
    match (part, of) {
        (_, 0) => "–".to_owned(),
        (part, of) if part == of => "100 %".to_owned(),
        (0, _) => "0 %".to_owned(),
        (part, of) => {
            let percent = part as f64 * 100.0 / of as f64;
            match percent {
                ..0.1 => "< 0.1 %".to_owned(),
                ..10.0 => format!("{percent:.1} %"),
                99.5.. => "> 99 %".to_owned(),
                _ => format!("{percent:.0} %"),
            }
        }
    }
}

#[cfg(test)]
mod tests;

//! Findings: what is wrong, worst first, each with its numbers, whose it is, since when, examples and the next step.

use maud::{Markup, html};

use super::{MAX_FINDINGS, Page, connection_id, count, inline_code::inline, kind_id};
use crate::{
    findings::{Finding, Weight},
    printable::shell,
    record::Connection,
    report::text,
};

/// Findings that are not folded away.
const AT_ONCE: usize = 10;

/// The list; what is usual and harmless is folded away below it.
pub(super) fn section(page: &Page<'_>, all: &[Finding], listed: &[&Connection]) -> Markup {
    let (benign, worth): (Vec<_>, Vec<_>) = all.iter().partition(|finding| finding.kind.weight == Weight::Benign);
    html! {
        @if let Some(filter) = &page.snapshot.filter {
            p { "Of what meets " code { (filter.expression) } ": shares are of these connections, not of everything." }
        }
        @if worth.is_empty() {
            p { "Nothing is above the threshold of any finding." }
        } @else {
            ol .findings { @for finding in worth.iter().take(AT_ONCE) { li { (told(finding, listed)) } } }
        }
        @if worth.len() > AT_ONCE {
            details {
                summary { "Further findings: " (count((worth.len().min(MAX_FINDINGS) - AT_ONCE) as u64)) }
                ol .findings start=(AT_ONCE + 1) {
                    @for finding in worth.iter().take(MAX_FINDINGS).skip(AT_ONCE) { li { (told(finding, listed)) } }
                }
            }
        }
        @if worth.len() > MAX_FINDINGS {
            p {
                "And " (count((worth.len() - MAX_FINDINGS) as u64)) " more findings; " code { "--format json" } " has them all."
            }
        }
        @if !benign.is_empty() {
            details {
                summary { "Usual, and harmless: " (benign.len()) }
                ul .findings { @for finding in &benign { li { (told(finding, listed)) } } }
            }
        }
    }
}

fn told(finding: &Finding, listed: &[&Connection]) -> Markup {
    let weight = match finding.kind.weight {
        Weight::Problem => "Problem",
        Weight::Notice => "Notice",
        Weight::Benign => "Harmless",
    };
    html! {
        article .finding .(finding.kind.weight.as_str()) {
            p .said { span .badge { (weight) } " " (finding.sentence) }
            @if !finding.next_step.is_empty() { p { strong { "Next: " } (inline(&finding.next_step)) } }
            dl .facts {
                div { dt { "Kind" } dd { a href={ "#" (kind_id(finding.kind.id)) } { (finding.kind.id) } } }
                @if let Some(since_ns) = finding.since_ns { div { dt { "Since" } dd { (text::timestamp(since_ns)) } } }
                @if !finding.examples.is_empty() {
                    div {
                        dt { "Examples" }
                        dd {
                            @for (at, id) in finding.examples.iter().enumerate() {
                                @if at > 0 { ", " }
                                (example(*id, listed))
                            }
                        }
                    }
                }
                @if let Some(filter) = &finding.filter {
                    div { dt { "Its connections" } dd { code { "--filter " (shell::word(filter)) } } }
                }
                div { dt { "Threshold" } dd { (finding.kind.threshold) } }
            }
        }
    }
}

/// A connection by its number, as a link where it is listed.
fn example(id: u64, listed: &[&Connection]) -> Markup {
    let is_listed = listed.iter().any(|connection| connection.id == id);
    html! {
        @if is_listed { a href={ "#" (connection_id(id)) } { "connection " (id) } } @else { "connection " (id) }
    }
}

//! Explanations: the documentation's sections on the causes and findings that occur in the page.

use maud::{Markup, html};

use super::{Page, cause_id, causes, inline_code::inline, kind_id};
use crate::{findings::Finding, report::explanation};

/// A section each, in the order of ids' tables.
pub(super) fn section(page: &Page<'_>, all: &[Finding]) -> Markup {
    let causes = causes::occurred(page);
    let mut kinds: Vec<&str> = all.iter().map(|finding| finding.kind.id).collect();
    kinds.sort_unstable();
    kinds.dedup();
    html! {
        @if !causes.is_empty() {
            section id="explanations" aria-labelledby="explanations-heading" {
                h2 #explanations-heading { "What causes and findings mean" }
                h3 { "Causes" }
                div .cards { @for cause in causes { (card(&cause_id(cause.id()), cause.id(), cause.meaning())) } }
                @if !kinds.is_empty() {
                    h3 { "Findings" }
                    div .cards { @for kind in kinds { (card(&kind_id(kind), kind, "")) } }
                }
            }
        }
    }
}

fn card(id: &str, name: &str, meaning: &str) -> Markup {
    let text = explanation::of(name).unwrap_or_default();
    // It begins with its own name.
    let paragraphs = text.trim().split("\n\n").skip(1);
    html! {
        article id=(id) {
            h4 { code { (name) } }
            @if !meaning.is_empty() { p .meaning { (meaning) } }
            @for paragraph in paragraphs { p { (inline(paragraph)) } }
        }
    }
}

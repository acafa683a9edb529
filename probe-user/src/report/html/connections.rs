//! Connections: of each cause the few that cost most, and the examples of findings, with what each verdict rests on.

use maud::{Markup, html};

use super::{
    MAX_FINDINGS, Page, cause_link, connection_id, count,
    table::{Cell, Column, Row, Table, numbers, words},
};
use crate::{
    findings::Finding,
    record::{Connection, Impact},
    report::text,
};

const COLUMNS: [Column; 17] = [
    numbers("Id", "number of the frame that began it; `rstprobe explain -r FILE ID` shows its segments"),
    words("Impact", "what its end cost"),
    words("Cause", "why it ended so, and how sure that is"),
    words("Facts", "what the cause rests on"),
    words("Client", ""),
    words("Server", ""),
    words("Start (UTC)", ""),
    numbers("Duration", "from the first segment to the last"),
    numbers(
        "Idle before",
        "how long nothing was sent before the RST, or the FIN that a request crossed; – below a second",
    ),
    words("Reset by", "who sent the RST that ended it"),
    numbers("Lost bytes", "payload that the other host discarded, as far as seen"),
    numbers("Bytes from client", ""),
    numbers("Bytes from server", ""),
    numbers("RST client", "RST segments of the client"),
    numbers("RST server", "RST segments of the server"),
    words("State", "Zeek's conn_state"),
    words(
        "History",
        "Zeek's history: upper case from the client, lower case from the server; S SYN, h SYN-ACK, A ACK, D data, F FIN, R RST",
    ),
];

/// The connections that the page lists, worst first: bounded by the causes and by the examples of findings.
pub(super) fn listed<'a>(page: &Page<'a>, all: &[Finding]) -> Vec<&'a Connection> {
    let mut listed: Vec<&Connection> = page.overview.worst.iter().collect();
    let examples = all.iter().take(MAX_FINDINGS).flat_map(|finding| &finding.examples);
    for id in examples {
        if !listed.iter().any(|one| one.id == *id) {
            listed.extend(page.snapshot.connections.iter().find(|one| one.id == *id));
        }
    }
    listed
}

/// The table.
pub(super) fn section(page: &Page<'_>, listed: &[&Connection]) -> Markup {
    if listed.is_empty() {
        return html! { p { "No connection needs an explanation." } };
    }
    let caption = html! {
        "Connections: " (listed.len()) " of " (count(page.overview.with_cause.max(listed.len() as u64))) " that have a cause"
    };
    let rows = listed.iter().map(|one| row(one)).collect();
    let table = Table { id: "connection-table", caption, columns: &COLUMNS, rows };
    html! {
        p { "Of each cause the few that cost most, worst first, and the examples of findings." }
        (table.markup())
    }
}

fn row(one: &Connection) -> Row {
    let verdict = &one.verdict;
    let impact = match verdict.impact {
        Impact::None => html! { "none" },
        Impact::Unknown => html! { "unknown" },
        loss => html! { strong .bad { (loss.as_str()) } },
    };
    let lost = one.from_orig.lost_bytes.saturating_add(one.from_resp.lost_bytes);
    let cells = vec![
        Cell::sorted(one.id, one.id as f64),
        Cell::text(impact),
        Cell::text(html! { (cause_link(verdict.cause)) " (" (verdict.confidence.as_str()) ")" }),
        Cell::text(facts(one)),
        Cell::text(text::endpoint(one.orig)),
        Cell::text(text::endpoint(one.resp)),
        Cell::text(text::timestamp(one.start_ns)),
        Cell::duration(Some(one.duration_ns)),
        Cell::duration(one.idle_gap_ns),
        Cell::text(one.reset_by.as_str()),
        Cell::bad(lost),
        Cell::count(one.from_orig.bytes),
        Cell::count(one.from_resp.bytes),
        Cell::count(one.from_orig.rst),
        Cell::count(one.from_resp.rst),
        Cell::text(one.conn_state.as_str()),
        Cell::text(&*one.history),
    ];
    Row { id: Some(connection_id(one.id)), ..Row::new(cells) }
}

fn facts(one: &Connection) -> Markup {
    let facts = &one.verdict.facts;
    html! {
        @if facts.is_empty() { "–" } @else {
            details {
                summary {
                    (facts.len()) @if facts.len() == 1 { " fact" } @else { " facts" }
                    span .hidden { " of connection " (one.id) }
                }
                dl { @for fact in facts { dt { (fact.name) } dd { bdi { (fact.value) } } } }
            }
        }
    }
}

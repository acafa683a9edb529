//! Summary: what was watched, how much of it was seen, the numbers over everything, what resets cost, and the accounting.

use std::time::Duration;

use maud::{Markup, html};

use super::{
    Page, count, percent,
    table::{Cell, Row, Table, numbers, plain, words},
};
use crate::{
    record::Impact,
    report::{losses, table as text_table, text},
};

/// The page's title, its source and its time.
pub(super) fn header(page: &Page<'_>) -> Markup {
    let window = &page.snapshot.window;
    let seconds = window.end_ns.saturating_sub(window.start_ns);
    html! {
        header {
            h1 { "How TCP connections ended" }
            p .source {
                bdi { (page.source()) } ", " (text::timestamp(window.start_ns)) " for " (long(seconds))
                @for interface in &window.interfaces {
                    "; " bdi { (interface.name) } " (" bdi { (interface.driver) } " " (interface.mode) ")"
                }
                @if !window.interfaces.is_empty() { "; depth " (window.depth) ", action " (window.action) }
            }
            @if page.sources.len() > 2 {
                details {
                    summary { (page.sources.len()) " captures, read in this order as one stream" }
                    ul { @for source in page.sources.iter().take(super::MAX_ROWS) { li { bdi { (source) } } } }
                }
            }
            @if let Some(filter) = &page.snapshot.filter {
                p {
                    "Only what meets " code { (filter.expression) } "; " (count(filter.left_out)) " records do not. "
                    "Losses are those of all."
                }
            }
        }
    }
}

/// A duration as people say it: `8h 33s`, below a minute with digits.
fn long(ns: u64) -> String {
    let seconds = ns / 1_000_000_000;
    if seconds < 60 { text::duration(ns) } else { humantime::format_duration(Duration::from_secs(seconds)).to_string() }
}

/// What was seen and what was not, then the numbers over everything.
pub(super) fn view(page: &Page<'_>) -> Markup {
    let snapshot = page.snapshot;
    let half = text_table::half_seen(snapshot);
    let flood = crate::report::flood::headline(&snapshot.flood);
    let notices = snapshot.quality.notices();
    let lost = losses::loss_statement(&snapshot.losses, &snapshot.window, &snapshot.quality);
    // The connections are below here.
    let lost = lost.replace("connections above", "connections");
    let is_lossy = snapshot.losses.iter().any(|loss| loss.matters && loss.count > 0);
    let is_sound = page.cut_short.is_none() && half.is_empty() && flood.is_empty() && notices.is_empty() && !is_lossy;
    html! {
        section #view .callout .warn[!is_sound] aria-labelledby="view-heading" {
            h2 #view-heading { @if is_sound { "What was seen" } @else { "What was not seen" } }
            @if let Some(why) = page.cut_short { p { strong { "Not everything could be read: " bdi { (why) } } } }
            @for line in half.lines().chain(flood.lines()) { p { strong { (line) } } }
            @for notice in &notices { p { strong { (notice) } } }
            @for line in lost.lines().filter(|line| !line.is_empty()) { p { (line) } }
            (flooded(page))
        }
        (tiles(page))
    }
}

/// Services whose segments were only counted.
fn flooded(page: &Page<'_>) -> Markup {
    let flood = &page.snapshot.flood;
    let others = ("(all others)".to_owned(), flood.others);
    let shown = flood.services.iter().take(page.rows()).map(|row| (row.server.to_string(), row.counts)).chain([others]);
    let rows = shown.map(|(name, counts)| {
        let flags = counts.flags;
        [flags.syn, flags.syn_ack, flags.fin, flags.rst, counts.data].into_iter().fold(vec![name], |mut row, number| {
            row.push(count(number));
            row
        })
    });
    html! {
        @if !flood.services.is_empty() {
            (plain(
                "Segments that are in no connection, by service",
                &["Service", "SYN", "SYN-ACK", "FIN", "RST", "Data"],
                &rows.collect::<Vec<_>>(),
            ))
        }
    }
}

fn tiles(page: &Page<'_>) -> Markup {
    let totals = &page.snapshot.aggregate.totals;
    let ratio = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    let tiles = [
        ("Connections", count(totals.connections), format!("{} attempts seen from the SYN", count(totals.attempts))),
        (
            "Handshakes",
            count(totals.completed_handshakes),
            format!("{} refused, {} never answered", count(totals.refused), count(totals.never_answered)),
        ),
        (
            "With RST",
            count(totals.with_rst),
            format!("{} of the connections", percent(totals.with_rst, totals.connections)),
        ),
        (
            "Lost something",
            count(totals.impacts.losses()),
            format!("{} of the connections", percent(totals.impacts.losses(), totals.connections)),
        ),
        (
            "RST per connection",
            ratio(totals.rst_per_conn()),
            "RSTs of connections with a completed handshake, per such connection".to_owned(),
        ),
        (
            "RST segments",
            count(totals.client.rst + totals.server.rst + totals.rst_unattributed),
            format!(
                "{} from clients, {} from servers, {} of no connection",
                count(totals.client.rst),
                count(totals.server.rst),
                count(totals.rst_unattributed)
            ),
        ),
        (
            "FIN segments",
            count(totals.client.fin + totals.server.fin),
            format!("{} from clients, {} from servers", count(totals.client.fin), count(totals.server.fin)),
        ),
    ];
    html! {
        dl .tiles { @for (name, value, told) in &tiles { div { dt { (name) } dd .value { (value) } dd { (told) } } } }
    }
}

/// What resets and failures cost.
pub(super) fn impact(page: &Page<'_>) -> Markup {
    let totals = &page.snapshot.aggregate.totals;
    let impacts = &totals.impacts;
    let order = [
        Impact::RequestLost,
        Impact::ResponseLost,
        Impact::TransferCut,
        Impact::AttemptFailed,
        Impact::Unknown,
        Impact::None,
    ];
    let all: u64 = order.iter().map(|impact| impacts.count(*impact)).sum();
    let columns = [
        words("Impact", ""),
        numbers("Connections", ""),
        numbers("Share", "of the connections in this table"),
        words("Meaning", ""),
    ];
    let row = |impact: Impact| {
        let number = impacts.count(impact);
        let shown =
            if impact.is_loss() || impact == Impact::AttemptFailed { Cell::bad(number) } else { Cell::count(number) };
        let class = if matches!(impact, Impact::None | Impact::Unknown) { "fin" } else { "rst" };
        let share = html! { (bar(class, number, all)) (percent(number, all)) };
        Row::new(vec![
            Cell::text(impact.as_str()),
            shown,
            Cell::sorted(share, number as f64),
            Cell::text(impact.meaning()),
        ])
    };
    let rows = order.into_iter().filter(|impact| impacts.count(*impact) > 0).map(row).collect();
    let caption = html! {
        "Impact of the " (count(all)) " connections with RST, and of those that lost something or failed without"
    };
    html! {
        @if all == 0 {
            p { "No connection had an RST, lost something or failed." }
        } @else {
            (Table { id: "impact-table", caption, columns: &columns, rows }.markup())
        }
    }
}

/// A part of a whole as a bar.
fn bar(class: &str, part: u64, of: u64) -> Markup {
    html! {
        svg .bar viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" {
            rect .whole width="100" height="10" {}
            rect .(class) width=(format!("{:.1}", part as f64 * 100.0 / of.max(1) as f64)) height="10" {}
        }
    }
}

/// Every counter of what was seen and of what is in no connection.
pub(super) fn accounting(page: &Page<'_>) -> Markup {
    let row = |name: &str, number: u64| vec![name.to_owned(), count(number)];
    let losses = page.snapshot.losses.iter().filter(|loss| loss.count > 0).map(|loss| {
        let mut row = row(loss.name, loss.count);
        row.push(if loss.matters { "yes" } else { "no" }.to_owned());
        row
    });
    let losses: Vec<_> = losses.collect();
    let seen: Vec<_> = page.snapshot.books.iter().map(|(name, number)| row(name, *number)).collect();
    html! {
        section id="accounting" aria-labelledby="accounting-heading" {
            h2 #accounting-heading { "Accounting" }
            p { "What was seen is in the connections or in one of the counters of what is not." }
            details {
                summary { "All counters" }
                (plain("Counters of what was seen", &["Counter", "Number"], &seen))
                @if losses.is_empty() { p { "Nothing was left out." } } @else {
                    (plain("What is in no connection, or not fully", &["Counter", "Number", "Should be in one"], &losses))
                }
            }
        }
    }
}

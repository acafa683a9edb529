//! Tables for the terminal: the answer first (who resets, and why), then the groups, then the connections.

use std::{cmp::Reverse, fmt::Write as _};

use comfy_table::{Cell, CellAlignment, Table};

pub use super::cells::Style;
use super::{
    Snapshot,
    cells::{Fit, emphasised, fit, limit, more, number, rendered, table, wrapped},
    findings, flood,
    losses::{HALF_SEEN, loss_statement},
    outcomes, text,
};
use crate::{
    aggregate::{Group, GroupKey, Totals},
    printable,
    record::{Basis, Cause, Connection, Impact},
};

/// The whole snapshot: findings, why connections were reset or failed, servers, clients, connections, and what was lost.
pub fn snapshot(snapshot: &Snapshot, style: Style) -> String {
    let mut out = wrapped(&headline(snapshot), style, 2);
    section(&mut out, "Findings, worst first", &wrapped(&findings::section(snapshot, style), style, 4), style);
    let outcomes_title = outcomes::title(&snapshot.aggregate, snapshot.filter.is_some());
    section(&mut out, &outcomes_title, &outcomes::section(&snapshot.aggregate, style), style);
    section(
        &mut out,
        "Flooded services (segments counted here are in no connection)",
        &flood::section(&snapshot.flood, style),
        style,
    );
    let (servers, clients) = (&snapshot.aggregate.servers, &snapshot.aggregate.clients);
    let shown = servers.by_rst(limit(servers.len(), style));
    section(&mut out, "Servers, by losses, then RST", &groups(&shown, servers.len(), "SERVER", style), style);
    let shown = clients.by_server_rst(limit(clients.len(), style));
    section(
        &mut out,
        "Clients, by losses, then RST of servers",
        &groups(&shown, clients.len(), "CLIENT", style),
        style,
    );
    let is_all = limit(snapshot.connections.len(), style) == snapshot.connections.len();
    let title = if is_all {
        "Connections, by start"
    } else {
        "Connections, worst first: by what they lost, then RST, then start"
    };
    section(&mut out, title, &connections(&snapshot.connections, records(snapshot), style), style);
    if !servers.is_empty() || !snapshot.connections.is_empty() {
        out.push('\n');
        out.push_str(&wrapped(LEGEND, style, 2));
        let more = if snapshot.window.interfaces.is_empty() { MORE_OF_CAPTURES } else { MORE_OF_INTERFACES };
        out.push_str(&wrapped(more, style, 2));
    }
    out.push_str(&wrapped(&losses(snapshot), style, 2));
    out
}

/// What columns of ours and their signs mean.
const LEGEND: &str = "\
Columns: A/B is client/server; SYN/ATTEMPT is SYNs of clients / attempts, REFUSED refused / attempts, RST/HANDSHAKE RSTs per \
connection with a completed handshake.
LOSSES counts connections that lost a request, a response or part of a transfer; STATE and HISTORY are Zeek's. A dot is zero or \
none, a dash no value.
";
const MORE_OF_CAPTURES: &str = "\
one connection: `rstprobe explain -r FILE ID`; a cause: `rstprobe explain CAUSE`; every row: `--all`.
";
/// A number is of one run: on an interface the next run has others.
const MORE_OF_INTERFACES: &str = "\
the next such connection: `rstprobe explain -i IFACE EXPR`; a cause: `rstprobe explain CAUSE`; every row: `--all`; their packets: \
`--evidence FILE`.
";

/// Totals and losses only.
pub fn summary(snapshot: &Snapshot) -> String {
    let mut out = headline(snapshot);
    section(&mut out, "Findings, worst first", &findings::section(snapshot, Style::default()), Style::default());
    out.push_str(&losses(snapshot));
    out
}

/// Text that is no table, in lines that fit the terminal.
pub fn prose(text: &str, style: Style) -> String {
    wrapped(text, style, 2)
}

fn losses(snapshot: &Snapshot) -> String {
    loss_statement(&snapshot.losses, &snapshot.window, &snapshot.quality)
}

fn section(out: &mut String, title: &str, body: &str, style: Style) {
    if body.is_empty() {
        return;
    }
    let title = wrapped(title, style, 2);
    let (bold, plain) = if style.color { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    push(out, format_args!("\n{bold}{title}{plain}\n{body}\n"));
}

/// Writing to a string cannot fail.
fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes everything");
}

fn headline(snapshot: &Snapshot) -> String {
    let mut text = String::new();
    let out = &mut text;
    let totals = &snapshot.aggregate.totals;
    let window = &snapshot.window;
    let seconds = window.end_ns.saturating_sub(window.start_ns) as f64 / 1e9;
    let interfaces: Vec<_> = window
        .interfaces
        .iter()
        .map(|i| format!("{} ({} {}{})", printable::escaped(&i.name), i.driver, i.mode, away(i)))
        .collect();
    out.push_str(&half_seen(snapshot));
    match window.start_ns {
        0 => out.push_str("no packets"),
        start_ns => push(out, format_args!("{} for {seconds:.1} s", text::timestamp(start_ns))),
    }
    if !interfaces.is_empty() {
        push(out, format_args!(" on {}, depth {}, action {}", interfaces.join(", "), window.depth, window.action));
    }
    if let Some(filter) = &snapshot.filter {
        let records = totals.connections + totals.rst_without_connection;
        let all = records + filter.left_out;
        let of = printable::escaped(&filter.expression);
        push(out, format_args!("\nOnly what meets `{of}`: {records} of {all} records; losses are those of all"));
    }
    push(
        out,
        format_args!(
            "\n{} connections{}: {} attempts, {} completed handshakes, {} refused, {} never answered; {} with RST\n",
            totals.connections,
            without_connection(totals).map_or_else(String::new, |resets| format!(" and {resets}")),
            totals.attempts,
            totals.completed_handshakes,
            totals.refused,
            totals.never_answered,
            totals.with_rst,
        ),
    );
    push(
        out,
        format_args!(
            "FIN: {} from clients, {} from servers; RST: {} from clients, {} from servers, {} belonging to no connection\n",
            totals.client.fin, totals.server.fin, totals.client.rst, totals.server.rst, totals.rst_unattributed,
        ),
    );
    out.push_str(&impact_line(totals));
    if snapshot.filter.is_some() {
        out.push_str("Of these connections only: ");
    }
    push(
        out,
        format_args!(
            "rst.per_conn {} (RSTs of connections with a completed handshake / such connections), rst.ratio {} (connections with RST / connections), \
             refused.ratio {} (refused / attempts)\n",
            text::ratio(totals.rst_per_conn()),
            text::ratio(totals.rst_ratio()),
            text::ratio(totals.refused_ratio()),
        ),
    );
    out.push_str(&flood::headline(&snapshot.flood));
    for notice in snapshot.quality.notices() {
        push(out, format_args!("{notice}\n"));
    }
    text
}

/// How long the interface was not watched, if it was away.
fn away(interface: &super::InterfaceUse) -> String {
    let seconds = interface.gaps.seconds();
    if interface.gaps.count() == 0 { String::new() } else { format!(", away for {seconds:.1} s") }
}

/// The first thing to know: that half of it was not seen, and what helps.
pub(super) fn half_seen(snapshot: &Snapshot) -> String {
    if snapshot.window.is_one_way {
        return HALF_SEEN.to_owned();
    }
    let totals = &snapshot.aggregate.totals;
    // Of everything, as the statement of what was lost is.
    let one_sided = snapshot.quality.whole.one_sided;
    if one_sided == 0 {
        return String::new();
    }
    let some = if one_sided == totals.connections && snapshot.filter.is_none() {
        "All connections were".to_string()
    } else {
        format!("{one_sided} {}", if one_sided == 1 { "connection was" } else { "connections were" })
    };
    format!(
        "{some} seen in one direction only (asymmetric capture, one leg of a TAP, or a host's own interface without --host): how \
         they were answered and ended is unknown\n"
    )
}

/// `124 RSTs without one (110 records)`, of RSTs that belong to no connection; `None` without any.
fn without_connection(totals: &Totals) -> Option<String> {
    let (records, resets) = (totals.rst_without_connection, totals.rst_unattributed);
    let s = if resets == 1 { "" } else { "s" };
    let counted = if records == resets { String::new() } else { format!(" (in {records} records)") };
    (records > 0).then(|| format!("{resets} RST{s} without one{counted}"))
}

/// What the resets cost, worst first: `1,204 resets: 1,150 harmless, 41 lost a request`.
fn impact_line(totals: &Totals) -> String {
    let order = [
        Impact::RequestLost,
        Impact::ResponseLost,
        Impact::TransferCut,
        Impact::AttemptFailed,
        Impact::None,
        Impact::Unknown,
    ];
    let listed = order.into_iter().filter(|impact| totals.impacts.count(*impact) > 0);
    let listed: Vec<_> =
        listed.map(|impact| format!("{} {}", totals.impacts.count(impact), outcomes::in_words(impact))).collect();
    if listed.is_empty() {
        return String::new();
    }
    let stray = without_connection(totals).map_or_else(String::new, |resets| format!(", of {resets}"));
    let with_rst = totals.with_rst;
    format!(
        "Impact of {with_rst} connections with RST{stray}, and of those that failed without: {}\n",
        listed.join(", ")
    )
}

/// What a row's connections lost, worst first; a dot when nothing was.
fn lost(totals: &Totals) -> String {
    let losses = totals.impacts.losses();
    if losses == 0 { ".".to_string() } else { losses.to_string() }
}

/// Columns of groups that a narrow terminal does without, the least important first.
const GROUP_EXTRAS: [&str; 7] =
    ["SYN/ATTEMPT", "DURATION P99", "DURATION P50", "REFUSED", "HANDSHAKES", "FIN CLT/SRV", "RST/HANDSHAKE"];
/// The same for connections; the confidence of a cause goes after these.
const CONNECTION_EXTRAS: [&str; 12] =
    ["START", "SYN", "PACKETS", "BYTES", "CLOSING", "DURATION", "HISTORY", "FIN", "STATE", "RST", "RESET BY", "IMPACT"];
/// Headings of connections.
const CONNECTION_HEADINGS: [&str; 16] = [
    "ID", "START", "CLIENT", "SERVER", "STATE", "HISTORY", "SYN", "FIN", "RST", "PACKETS", "BYTES", "DURATION",
    "CLOSING", "RESET BY", "IMPACT", "CAUSE",
];

/// The rows that are shown, of `all`.
fn groups(shown: &[(GroupKey, &Group)], all: usize, heading: &str, style: Style) -> String {
    if shown.is_empty() {
        return String::new();
    }
    let mut table = table(
        style,
        &[
            heading,
            "CONNECTIONS",
            "HANDSHAKES",
            "SYN/ATTEMPT",
            "REFUSED",
            "FIN CLT/SRV",
            "RST CLT/SRV",
            "RST/HANDSHAKE",
            "LOSSES",
            "DURATION P50",
            "DURATION P99",
            "MAIN CAUSE",
        ],
    );
    for (key, group) in shown {
        let totals = &group.totals;
        let quantile =
            |q| group.duration_quantile_us(q).map_or_else(|| "-".to_string(), |us| text::duration(us * 1000));
        let cause = group.main_cause().map_or_else(|| ".".to_string(), |(cause, n)| format!("{} x{n}", cause.id()));
        let idle = group.idle_gap_cluster().map_or_else(String::new, |idle| {
            format!(", {} of {} resets after {:.1} s idle", idle.resets, idle.of, idle.seconds)
        });
        table.add_row(vec![
            Cell::new(match key {
                GroupKey::Server(server) => server.to_string(),
                GroupKey::Client(client) => client.to_string(),
                GroupKey::Other => "(all others)".to_string(),
            }),
            number(totals.connections),
            number(totals.completed_handshakes),
            number(text::ratio(totals.syn_per_conn())),
            number(text::ratio(totals.refused_ratio())),
            number(text::both(totals.client.fin, totals.server.fin)),
            number(text::both(totals.client.rst, totals.server.rst)),
            number(text::ratio(totals.rst_per_conn())),
            emphasised(lost(totals), totals.impacts.losses() > 0, style).set_alignment(CellAlignment::Right),
            number(quantile(0.5)),
            number(quantile(0.99)),
            Cell::new(cause + &idle),
        ]);
    }
    let fitted = fit(&mut table, style, &GROUP_EXTRAS);
    below(more(rendered(&table, style), shown.len(), all), &fitted, style)
}

/// Connections and RSTs without one; not all of them need be in the snapshot.
fn records(snapshot: &Snapshot) -> usize {
    let totals = &snapshot.aggregate.totals;
    ((totals.connections + totals.rst_without_connection) as usize).max(snapshot.connections.len())
}

fn connections(all: &[Connection], records: usize, style: Style) -> String {
    if all.is_empty() {
        return String::new();
    }
    // Where not everything fits, what lost something, and then what ended by reset, is what the reader came for.
    let mut rows: Vec<_> = all.iter().collect();
    let shown = limit(rows.len(), style);
    if shown < rows.len() {
        rows.sort_by_key(|one| (Reverse((one.lost_if_loss(), one.rst_count() > 0)), one.start_ns, one.id));
        rows.truncate(shown);
    }
    let (table, fitted) = connection_table(style, |has_confidence| {
        rows.iter().map(|connection| connection_row(connection, has_confidence, style)).collect()
    });
    below(more(rendered(&table, style), shown, records), &fitted, style)
}

/// The table and how it fits; the rows are made anew without confidence where only that makes them fit.
fn connection_table(style: Style, rows: impl Fn(bool) -> Vec<Vec<Cell>>) -> (Table, Fit) {
    let filled = |has_confidence| {
        let mut table = table(style, &CONNECTION_HEADINGS);
        table.add_rows(rows(has_confidence));
        let fitted = fit(&mut table, style, &CONNECTION_EXTRAS);
        (table, fitted)
    };
    let (table, fitted) = filled(true);
    if fitted.beyond == 0 {
        return (table, fitted);
    }
    let (table, mut fitted) = filled(false);
    fitted.left_out.push("confidence".to_owned());
    (table, fitted)
}

/// A table with what is said below it of columns left out.
fn below(text: String, fitted: &Fit, style: Style) -> String {
    let notice = fitted.notice();
    if notice.is_empty() { text } else { text + "\n" + wrapped(&notice, style, 2).trim_end() }
}

fn connection_row(connection: &Connection, has_confidence: bool, style: Style) -> Vec<Cell> {
    let (orig, resp) = (&connection.from_orig, &connection.from_resp);
    let cause = match connection.verdict.cause {
        Cause::None => ".".to_string(),
        cause if !has_confidence => cause.id().to_string(),
        cause => format!("{} ({})", cause.id(), connection.verdict.confidence.as_str()),
    };
    let impact = match connection.verdict.impact {
        Impact::None => ".",
        impact => impact.as_str(),
    };
    vec![
        number(connection.id),
        Cell::new(text::time_of_day(connection.start_ns)),
        Cell::new(text::endpoint(connection.orig)),
        Cell::new(text::endpoint(connection.resp)),
        Cell::new(connection.conn_state.as_str()),
        Cell::new(connection.history.as_str()),
        number(text::both(orig.syn + orig.syn_ack, resp.syn + resp.syn_ack)),
        number(text::both(orig.fin, resp.fin)),
        number(text::both(orig.rst, resp.rst)),
        number(match connection.basis {
            Basis::ControlOnly => "-".to_string(),
            _ => text::both(orig.packets, resp.packets),
        }),
        number(format!("{}/{}", text::bytes(orig.bytes), text::bytes(resp.bytes))),
        number(text::duration(connection.duration_ns)),
        Cell::new(connection.closing.as_str()),
        Cell::new(connection.reset_by.as_str()),
        emphasised(impact, connection.verdict.impact.is_loss(), style),
        Cell::new(cause),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As wide as IPv4 and the names of causes can be.
    const ROW: [&str; 16] = [
        "1234567",
        "12:00:00.000",
        "100.100.100.100:40000",
        "200.200.200.200:50000",
        "RSTO",
        "ShADadFfR",
        "1/1",
        "1/1",
        "1/0",
        "100/100",
        "1.5Ki/1.5Ki",
        "12.3ms",
        "orderly",
        "client",
        "response_lost",
        "server_reply_then_reset (medium)",
    ];

    fn shown(width: Option<u16>) -> String {
        let style = Style { width, ..Style::default() };
        let cell = |has_confidence: bool, text: &str| match text.split_once(" (") {
            Some((cause, _)) if !has_confidence => Cell::new(cause),
            _ => Cell::new(text),
        };
        let (table, fitted) =
            connection_table(style, |has_confidence| vec![ROW.iter().map(|text| cell(has_confidence, text)).collect()]);
        below(rendered(&table, style), &fitted, style)
    }

    #[test]
    fn rows_fit_the_terminal_and_are_never_wrapped() {
        for width in 80..220 {
            let text = shown(Some(width));
            let lines: Vec<_> = text.lines().collect();
            assert!(lines.iter().all(|line| line.len() <= usize::from(width)), "{width}:\n{text}");
            for cell in [ROW[0], ROW[2], ROW[3], "server_reply_then_reset"] {
                assert!(lines[1].contains(cell), "{width}:\n{text}");
            }
        }
        let notice = "1 column does not fit: START; --wide shows it";
        assert!(shown(Some(180)).ends_with(notice) || shown(Some(190)).ends_with(notice), "{}", shown(Some(185)));
        let narrow = shown(Some(80));
        assert!(narrow.contains("13 columns do not fit: START, ") && narrow.contains("confidence; --wide"), "{narrow}");
        assert!(shown(Some(100)).contains(ROW[15]), "{}", shown(Some(100)));
    }

    #[test]
    fn connections_and_resets_without_one_add_up() {
        let mut totals = Totals { with_rst: 2038, ..Totals::default() };
        assert_eq!(without_connection(&totals), None);
        (totals.rst_without_connection, totals.rst_unattributed) = (110, 110);
        assert_eq!(without_connection(&totals).as_deref(), Some("110 RSTs without one"));
        totals.rst_unattributed = 112;
        assert_eq!(without_connection(&totals).as_deref(), Some("112 RSTs without one (in 110 records)"));
    }

    #[test]
    fn files_and_wide_terminals_get_every_column() {
        for width in [None, Some(240)] {
            let text = shown(width);
            assert!(CONNECTION_HEADINGS.iter().chain(&ROW).all(|cell| text.contains(cell)), "{text}");
        }
        assert!(shown(Some(20)).contains("CLIENT") && shown(Some(20)).contains('…'), "some columns always stay");
    }
}

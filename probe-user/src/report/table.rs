//! Tables for the terminal: the answer first (who resets, and why), then the groups, then the connections.

use std::{cmp::Reverse, fmt::Write as _};

use comfy_table::{Cell, CellAlignment};

pub use super::cells::Style;
use super::{
    Snapshot,
    cells::{emphasised, fit, limit, more, number, rendered, table, wrapped},
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
`rstprobe explain ID` says what a cause means; `--all` shows every row.
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
        .map(|i| format!("{} ({} {})", printable::escaped(&i.name), i.driver, i.mode))
        .collect();
    out.push_str(&half_seen(snapshot));
    push(out, format_args!("{} for {seconds:.1} s", text::timestamp(window.start_ns)));
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
            "\n{} connections: {} attempts, {} completed handshakes, {} refused, {} never answered; {} with RST\n",
            totals.connections,
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

/// What the resets cost, worst first: `1,204 resets: 1,150 harmless, 41 lost a request`.
fn impact_line(totals: &Totals) -> String {
    let with_rst = totals.with_rst + totals.rst_without_connection;
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
    format!("Impact of {with_rst} connections with RST, and of those that failed without: {}\n", listed.join(", "))
}

/// What a row's connections lost, worst first; a dot when nothing was.
fn lost(totals: &Totals) -> String {
    let losses = totals.impacts.losses();
    if losses == 0 { ".".to_string() } else { losses.to_string() }
}

/// Columns of groups that a narrow terminal does without, the least important first.
const GROUP_EXTRAS: [&str; 7] =
    ["SYN/ATTEMPT", "DURATION P99", "DURATION P50", "REFUSED", "HANDSHAKES", "FIN CLT/SRV", "RST/HANDSHAKE"];
/// The same for connections.
const CONNECTION_EXTRAS: [&str; 13] = [
    "START", "SYN", "PACKETS", "BYTES", "CLOSING", "DURATION", "HISTORY", "FIN", "STATE", "RST", "ID", "RESET BY",
    "IMPACT",
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
    fit(&mut table, style, &GROUP_EXTRAS);
    more(rendered(&table, style), shown.len(), all)
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
    let mut table = table(
        style,
        &[
            "ID", "START", "CLIENT", "SERVER", "STATE", "HISTORY", "SYN", "FIN", "RST", "PACKETS", "BYTES", "DURATION",
            "CLOSING", "RESET BY", "IMPACT", "CAUSE",
        ],
    );
    for connection in rows {
        table.add_row(connection_row(connection, style));
    }
    fit(&mut table, style, &CONNECTION_EXTRAS);
    more(rendered(&table, style), shown, records)
}

fn connection_row(connection: &Connection, style: Style) -> Vec<Cell> {
    let (orig, resp) = (&connection.from_orig, &connection.from_resp);
    let cause = match connection.verdict.cause {
        Cause::None => ".".to_string(),
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

    const HEADINGS: [&str; 16] = [
        "ID", "START", "CLIENT", "SERVER", "STATE", "HISTORY", "SYN", "FIN", "RST", "PACKETS", "BYTES", "DURATION",
        "CLOSING", "RESET BY", "IMPACT", "CAUSE",
    ];
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
        let mut table = table(style, &HEADINGS);
        table.add_row(ROW);
        fit(&mut table, style, &CONNECTION_EXTRAS);
        rendered(&table, style)
    }

    #[test]
    fn rows_fit_the_terminal_and_are_never_wrapped() {
        for width in 80..220 {
            let text = shown(Some(width));
            let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            assert_eq!(lines.len(), 2, "{width}:\n{text}");
            assert!(lines.iter().all(|line| line.len() <= usize::from(width)), "{width}:\n{text}");
            for cell in [2, 3, 15] {
                assert!(text.contains(ROW[cell]), "{width}:\n{text}");
            }
        }
        assert!(!shown(Some(150)).contains("START"));
    }

    #[test]
    fn files_and_wide_terminals_get_every_column() {
        for width in [None, Some(240)] {
            let text = shown(width);
            assert!(HEADINGS.iter().chain(&ROW).all(|cell| text.contains(cell)), "{text}");
        }
        assert!(shown(Some(20)).contains("CLIENT") && shown(Some(20)).contains('…'), "some columns always stay");
    }
}

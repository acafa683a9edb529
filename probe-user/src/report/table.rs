//! Tables for the terminal: the answer first (who resets, and why), then the groups, then the connections.

use std::fmt::Write as _;

use comfy_table::{Cell, CellAlignment};

pub use super::cells::Style;
use super::{
    Loss, Snapshot, Window,
    cells::{emphasised, fit, limit, more, number, table},
    findings, flood, interface_counters, text,
};
use crate::{
    aggregate::{Group, GroupKey, Totals},
    record::{Basis, Cause, Connection, Impact},
};

/// The whole snapshot.
pub fn snapshot(snapshot: &Snapshot, style: Style) -> String {
    let mut out = String::new();
    headline(&mut out, snapshot);
    section(&mut out, "Findings, worst first", &findings::section(snapshot, style), style);
    section(
        &mut out,
        "Flooded services (segments counted here are in no connection)",
        &flood::section(&snapshot.flood, style),
        style,
    );
    let (servers, clients) = (&snapshot.aggregate.servers, &snapshot.aggregate.clients);
    let shown = servers.by_rst(limit(servers.len(), style));
    section(&mut out, "Servers by losses, then RST", &groups(&shown, servers.len(), "SERVER", style), style);
    let shown = clients.by_server_rst(limit(clients.len(), style));
    section(&mut out, "Clients by losses, then server RST", &groups(&shown, clients.len(), "CLIENT", style), style);
    section(
        &mut out,
        "Connections (client/server where two numbers)",
        &connections(&snapshot.connections, records(snapshot), style),
        style,
    );
    losses(&mut out, snapshot);
    out
}

/// Totals and losses only.
pub fn summary(snapshot: &Snapshot) -> String {
    let mut out = String::new();
    headline(&mut out, snapshot);
    section(&mut out, "Findings, worst first", &findings::section(snapshot, Style::default()), Style::default());
    losses(&mut out, snapshot);
    out
}

fn section(out: &mut String, title: &str, body: &str, style: Style) {
    if body.is_empty() {
        return;
    }
    let (bold, plain) = if style.color { ("\u{1b}[1m", "\u{1b}[0m") } else { ("", "") };
    push(out, format_args!("\n{bold}{title}{plain}\n{body}\n"));
}

/// Writing to a string cannot fail.
fn push(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes everything");
}

fn headline(out: &mut String, snapshot: &Snapshot) {
    let totals = &snapshot.aggregate.totals;
    let window = &snapshot.window;
    let seconds = window.end_ns.saturating_sub(window.start_ns) as f64 / 1e9;
    let interfaces: Vec<_> =
        window.interfaces.iter().map(|i| format!("{} ({} {})", i.name, i.driver, i.mode)).collect();
    out.push_str(&half_seen(snapshot));
    push(out, format_args!("{} for {seconds:.1} s", text::timestamp(window.start_ns)));
    if !interfaces.is_empty() {
        push(out, format_args!(" on {}, depth {}, action {}", interfaces.join(", "), window.depth, window.action));
    }
    if let Some(filter) = &snapshot.filter {
        let records = totals.connections + totals.rst_without_connection;
        let all = records + filter.left_out;
        let of = &filter.expression;
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
}

const HALF_SEEN: &str = "Only what comes in was seen, half of each connection: no verdict here is sure, and what was not seen may have \
                happened. --host sees both halves.\n";

/// The first thing to know: that half of it was not seen, and what helps.
pub(super) fn half_seen(snapshot: &Snapshot) -> String {
    if snapshot.window.is_one_way {
        return HALF_SEEN.to_owned();
    }
    let totals = &snapshot.aggregate.totals;
    let one_sided = totals.one_sided;
    if one_sided == 0 {
        return String::new();
    }
    let some = if one_sided == totals.connections {
        "All connections were".to_string()
    } else {
        format!("{one_sided} connections were")
    };
    format!(
        "{some} seen in one direction only (asymmetric capture, one leg of a TAP, or a host's own interface without --host): how \
         they were answered and ended is unknown\n"
    )
}

/// What the resets cost, worst first: `1,204 resets: 1,150 harmless, 41 lost a request`.
fn impact_line(totals: &Totals) -> String {
    let with_rst = totals.with_rst + totals.rst_without_connection;
    let words = [
        (Impact::RequestLost, "lost a request"),
        (Impact::ResponseLost, "lost a response"),
        (Impact::TransferCut, "cut a transfer"),
        (Impact::AttemptFailed, "failed to connect"),
        (Impact::None, "harmless"),
        (Impact::Unknown, "of unknown effect"),
    ];
    let listed = words.into_iter().filter(|(impact, _)| totals.impacts.count(*impact) > 0);
    let listed: Vec<_> = listed.map(|(impact, words)| format!("{} {words}", totals.impacts.count(impact))).collect();
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
const GROUP_EXTRAS: [&str; 7] = ["SYN/CONN", "P50", "P99", "REFUSED", "HANDSHAKES", "FIN CLT/SRV", "RST/CONN"];
/// The same for connections.
const CONNECTION_EXTRAS: [&str; 12] =
    ["START", "SYN", "PKTS", "BYTES", "CLOSING", "DURATION", "HISTORY", "FIN", "STATE", "RST", "RESET BY", "IMPACT"];

/// The rows that are shown, of `all`.
fn groups(shown: &[(GroupKey, &Group)], all: usize, heading: &str, style: Style) -> String {
    if shown.is_empty() {
        return String::new();
    }
    let mut table = table(
        style,
        &[
            heading,
            "CONNS",
            "HANDSHAKES",
            "SYN/CONN",
            "REFUSED",
            "FIN CLT/SRV",
            "RST CLT/SRV",
            "RST/CONN",
            "LOSSES",
            "P50",
            "P99",
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
    more(table.trim_fmt(), shown.len(), all)
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
        let rank = |one: &Connection| (one.verdict.impact.is_loss(), one.rst_count() > 0);
        rows.sort_by_key(|connection| std::cmp::Reverse(rank(connection)));
        rows.truncate(shown);
        rows.sort_by_key(|connection| (connection.start_ns, connection.id));
    }
    let mut table = table(
        style,
        &[
            "START", "CLIENT", "SERVER", "STATE", "HISTORY", "SYN", "FIN", "RST", "PKTS", "BYTES", "DURATION",
            "CLOSING", "RESET BY", "IMPACT", "CAUSE",
        ],
    );
    for connection in rows {
        table.add_row(connection_row(connection, style));
    }
    fit(&mut table, style, &CONNECTION_EXTRAS);
    more(table.trim_fmt(), shown, records)
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

/// Frames of long connections that evidence does without.
const ON_PURPOSE: &str = "evidence.between";
/// What may have been TCP, if it could be read.
const UNREADABLE: [&str; 2] = ["rejected.later_fragment", "rejected.encrypted"];

fn losses(out: &mut String, snapshot: &Snapshot) {
    out.push_str(&loss_statement(&snapshot.losses, &snapshot.window));
}

/// What is to be known before any table: that half was not seen, or that segments were only counted; `None` otherwise.
pub fn view_notice(window: &Window, flood: &flood::Flood) -> Option<String> {
    let half = if window.is_one_way { HALF_SEEN } else { "" };
    let notice = half.to_owned() + &flood::headline(flood);
    (!notice.is_empty()).then(|| notice.trim_end().to_owned())
}

/// What is not in the connections, and why; or that nothing was lost.
pub fn loss_statement(losses: &[Loss], window: &Window) -> String {
    let mut out = String::new();
    let out = &mut out;
    let counted = || losses.iter().filter(|loss| loss.count > 0);
    let list = |losses: Vec<&Loss>| {
        losses.iter().map(|loss| format!("{} {}", loss.name, loss.count)).collect::<Vec<_>>().join(", ")
    };
    let matter = list(counted().filter(|loss| loss.matters).collect());
    let (on_purpose, other): (Vec<&Loss>, Vec<&Loss>) =
        counted().filter(|loss| !loss.matters).partition(|loss| loss.name == ON_PURPOSE);
    let (unreadable, other): (Vec<_>, Vec<_>) = other.into_iter().partition(|loss| UNREADABLE.contains(&loss.name));
    if matter.is_empty() {
        push(out, format_args!("\nNothing was lost: every TCP segment seen is accounted for.\n"));
    } else {
        push(out, format_args!("\nNot (fully) in the connections above: {matter}\n"));
    }
    for interface in &window.interfaces {
        let driver = interface.received.as_ref().map(|received| &received.driver);
        if let Some(notice) = driver.and_then(|driver| driver.notice(&interface.name, window.action)) {
            push(out, format_args!("{notice}\n"));
        }
    }
    for interface in &window.interfaces {
        if let Some(line) = interface_counters::queues(&interface.name, &interface.queues) {
            push(out, format_args!("{line}\n"));
        }
    }
    let rest = [("Not readable as TCP", unreadable), ("Not TCP segments", other), ("Left out on purpose", on_purpose)];
    for (title, losses) in rest {
        if !losses.is_empty() {
            push(out, format_args!("{title}: {}\n", list(losses)));
        }
    }
    std::mem::take(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADINGS: [&str; 15] = [
        "START", "CLIENT", "SERVER", "STATE", "HISTORY", "SYN", "FIN", "RST", "PKTS", "BYTES", "DURATION", "CLOSING",
        "RESET BY", "IMPACT", "CAUSE",
    ];
    /// As wide as IPv4 and the names of causes can be.
    const ROW: [&str; 15] = [
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
        table.trim_fmt()
    }

    #[test]
    fn rows_fit_the_terminal_and_are_never_wrapped() {
        for width in 80..220 {
            let text = shown(Some(width));
            let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
            assert_eq!(lines.len(), 2, "{width}:\n{text}");
            assert!(lines.iter().all(|line| line.len() <= usize::from(width)), "{width}:\n{text}");
            for cell in [1, 2, 14] {
                assert!(text.contains(ROW[cell]), "{width}:\n{text}");
            }
        }
        assert!(!shown(Some(150)).contains("START"));
    }

    #[test]
    fn files_and_wide_terminals_get_every_column() {
        for width in [None, Some(220)] {
            let text = shown(width);
            assert!(HEADINGS.iter().chain(&ROW).all(|cell| text.contains(cell)), "{text}");
        }
        assert!(shown(Some(20)).contains("CAUSE"), "some columns always stay");
    }

    #[test]
    fn what_might_have_been_tcp_is_not_called_something_else() {
        let loss = |name, count| Loss { name, count, matters: false };
        let snapshot = Snapshot {
            window: Window::default(),
            filter: None,
            aggregate: crate::aggregate::Aggregate::new(1),
            losses: vec![
                loss("rejected.not_tcp", 1),
                loss("rejected.encrypted", 2),
                loss("rejected.later_fragment", 3),
            ],
            books: Vec::new(),
            flood: flood::Flood::default(),
            quality: super::super::quality::Quality::default(),
            connections: Vec::new(),
        };
        let text = summary(&snapshot);
        assert!(text.contains("Not readable as TCP: rejected.encrypted 2, rejected.later_fragment 3\n"), "{text}");
        assert!(text.contains("Not TCP segments: rejected.not_tcp 1\n"), "{text}");
    }
}

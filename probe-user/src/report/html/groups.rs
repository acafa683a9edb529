//! Groups: tables of clients, servers and services, those beyond the bound added up in the last row.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::{
    Page, cause_link, count,
    heat_map::service_name,
    table::{Cell, Column, Row, Table, numbers, words},
};
use crate::{
    aggregate::{Group, GroupKey, Groups, Totals},
    report::text,
};

/// Columns after the one that says who it is.
const COLUMNS: [Column; 13] = [
    numbers("Connections", ""),
    numbers("Lost something", "connections of which a request, a response or a part of a transfer was lost"),
    words(
        "Main cause",
        "the cause that most of its connections have which needed an explanation, and how many have it",
    ),
    numbers("RST from servers", "RST segments that servers sent"),
    numbers("RST from clients", "RST segments that clients sent"),
    numbers("RST per connection", "RSTs of connections with a completed handshake, per such connection; – without any"),
    numbers("FIN from servers", ""),
    numbers("FIN from clients", ""),
    numbers("Handshakes", "connections whose handshake was completed"),
    numbers("SYN per attempt", "SYNs of clients, per connection whose SYN was seen: above 1 they were sent again"),
    numbers("Refused", "attempts that were refused, per attempt"),
    numbers("Duration p50", "what half of the connections do not exceed"),
    numbers("Duration p99", "what 99 of 100 connections do not exceed"),
];

/// A group with its name.
type Named<'a> = (String, &'a Group);

/// Clients, by what servers reset of theirs.
pub(super) fn clients(page: &Page<'_>) -> Markup {
    let clients = &page.snapshot.aggregate.clients;
    let (named, beyond) = named(clients);
    let rank = |totals: &Totals| (totals.server.rst, totals.impacts.losses(), totals.client.rst, totals.connections);
    html! {
        p { "By RSTs of their servers, then by losses." }
        (table("client-table", "Clients", words("Client", ""), named, beyond, page.rows(), rank))
    }
}

/// Servers and services, by losses and then RST.
pub(super) fn servers(page: &Page<'_>) -> Markup {
    let servers = &page.snapshot.aggregate.servers;
    let (named, beyond) = named(servers);
    let rank = |totals: &Totals| {
        (totals.impacts.losses(), totals.server.rst + totals.client.rst, totals.server.rst, totals.connections)
    };
    let services = &page.overview.services;
    // RSTs without a connection are in no group.
    let has_any = |row: &&crate::query::Row| row.group.totals.connections > 0 && !row.key.is_empty();
    let of_services: Vec<_> =
        services.iter().filter(has_any).map(|row| (service_name(row.key[0]), &row.group)).collect();
    let beyond_services = services.iter().find(|row| row.key.is_empty()).map(|row| &row.group);
    html! {
        p { "By connections that lost something, then by RST." }
        (table("server-table", "Servers", words("Server", "address and port"), named, beyond, page.rows(), rank))
        h3 { "Services" }
        p { "The same by server port, whatever the server." }
        (table("service-table", "Services", words("Service", "server port"), of_services, beyond_services, page.rows(), rank))
    }
}

/// Groups with a key, and the one of all that found no place.
fn named(groups: &Groups) -> (Vec<Named<'_>>, Option<&Group>) {
    let mut beyond = None;
    let mut named = Vec::new();
    for (key, group) in groups.by_rst(usize::MAX) {
        match key {
            GroupKey::Server(server) => named.push((server.to_string(), group)),
            GroupKey::Client(client) => named.push((client.to_string(), group)),
            GroupKey::Other => beyond = Some(group),
        }
    }
    (named, beyond)
}

fn table<R: Ord>(
    id: &str,
    what: &str,
    key: Column,
    mut named: Vec<Named<'_>>,
    beyond: Option<&Group>,
    most: usize,
    rank: impl Fn(&Totals) -> R,
) -> Markup {
    let all = named.len();
    // Of equals as they come, which is by losses, RSTs and key.
    named.sort_by_key(|(_, group)| Reverse(rank(&group.totals)));
    let left = named.split_off(all.min(most));
    let mut rows: Vec<Row> = named.into_iter().map(|(name, group)| row(name, group)).collect();
    if rows.is_empty() {
        return html! { p { "None." } };
    }
    if !left.is_empty() || beyond.is_some() {
        let mut rest = Group::default();
        left.iter().map(|(_, group)| *group).chain(beyond).for_each(|group| rest.merge(group));
        let more = if beyond.is_some() { " and more" } else { "" };
        rows.push(Row { is_rest: true, ..row(format!("(all others: {}{more})", count(left.len() as u64)), &rest) });
    }
    let shown = all.min(most);
    let caption = html! { (what) ": " (shown) " of " (count(all as u64)) @if beyond.is_some() { " and more" } };
    let columns: Vec<Column> = std::iter::once(key).chain(COLUMNS).collect();
    Table { id, caption, columns: &columns, rows }.markup()
}

fn row(name: String, group: &Group) -> Row {
    let totals = &group.totals;
    let duration = |share| group.duration_quantile_us(share).map(|us| us * 1000);
    let idle = group.idle_gap_cluster().map(|idle| {
        format!(
            "; {} of {} resets after {} idle",
            count(idle.resets),
            count(idle.of),
            text::duration(seconds_ns(idle.seconds))
        )
    });
    let cause = match group.main_cause() {
        None => Cell::absent(),
        Some((cause, number)) => {
            Cell::text(html! { (cause_link(cause)) " ×" (count(number)) @if let Some(idle) = &idle { (idle) } })
        }
    };
    Row::new(vec![
        Cell::text(name),
        Cell::count(totals.connections),
        Cell::bad(totals.impacts.losses()),
        cause,
        Cell::count(totals.server.rst),
        Cell::count(totals.client.rst),
        Cell::ratio(totals.rst_per_conn()),
        Cell::count(totals.server.fin),
        Cell::count(totals.client.fin),
        Cell::count(totals.completed_handshakes),
        Cell::ratio(totals.syn_per_conn()),
        Cell::ratio(totals.refused_ratio()),
        Cell::duration(duration(0.5)),
        Cell::duration(duration(0.99)),
    ])
}

#[expect(clippy::cast_sign_loss, reason = "an idle time is not negative")]
fn seconds_ns(seconds: f64) -> u64 {
    (seconds * 1e9) as u64
}

//! Flood report: the services whose segments were counted instead of followed.

use std::net::SocketAddr;

use comfy_table::Cell;
use serde::Serialize;

use super::cells::{Style, limit, more, number, rendered, table};
use crate::aggregate::FlagTotals;

/// Segments that are in no connection because there were too many of them, by service.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Flood {
    /// The services with most control segments first.
    pub services: Vec<FloodedService>,
    /// What belongs to services without a row of their own.
    pub others: Flooding,
}

/// One service of a [`Flood`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FloodedService {
    /// Address and port.
    pub server: SocketAddr,
    /// Observation domain, 0 when not asked for.
    pub domain: u32,
    /// What was counted.
    pub counts: Flooding,
}

/// Counts of segments that are in no connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Flooding {
    /// SYNs and FINs sent to the service, SYN-ACKs sent by it, RSTs sent by it (refusals) or to it.
    pub flags: FlagTotals,
    /// Segments with none of these flags, sent to it.
    pub data: u64,
    /// Further openings that were counted here and are in a connection after all: it showed more than an opening.
    pub claimed: u64,
}

#[derive(Serialize)]
struct FloodingJson {
    syn: u64,
    syn_ack: u64,
    fin: u64,
    rst: u64,
    data: u64,
    claimed: u64,
}

#[derive(Serialize)]
struct ServiceJson {
    addr: String,
    port: u16,
    domain: u32,
    #[serde(flatten)]
    counts: FloodingJson,
}

/// A [`Flood`] in JSON.
#[derive(Serialize)]
pub(super) struct FloodJson {
    victims: Vec<ServiceJson>,
    /// Of services without a row of their own.
    others: FloodingJson,
}

impl From<&Flooding> for FloodingJson {
    fn from(counts: &Flooding) -> Self {
        let Flooding { flags: FlagTotals { syn, syn_ack, fin, rst }, data, claimed } = *counts;
        Self { syn, syn_ack, fin, rst, data, claimed }
    }
}

impl From<&Flood> for FloodJson {
    fn from(flood: &Flood) -> Self {
        let service = |row: &FloodedService| ServiceJson {
            addr: row.server.ip().to_string(),
            port: row.server.port(),
            domain: row.domain,
            counts: (&row.counts).into(),
        };
        Self { victims: flood.services.iter().map(service).collect(), others: (&flood.others).into() }
    }
}

impl Flooding {
    /// Control segments.
    pub fn control(&self) -> u64 {
        let FlagTotals { syn, syn_ack, fin, rst } = self.flags;
        syn + syn_ack + fin + rst
    }
}

/// One line that names the service most was sent to; empty without a flood.
pub(super) fn headline(flood: &Flood) -> String {
    let sum = flood.services.iter().map(|row| row.counts.control()).sum::<u64>() + flood.others.control();
    match flood.services.first().filter(|row| row.counts.control() > 0) {
        Some(row) => format!(
            "Flood: {sum} SYN, SYN-ACK, FIN and RST that no connection explains were counted by service; most at {}: {} SYN\n",
            row.server, row.counts.flags.syn
        ),
        None if sum > 0 => format!("Flood: {sum} SYN, SYN-ACK, FIN and RST of many services were only counted\n"),
        None => String::new(),
    }
}

/// The services as a table; empty without a flood.
pub(super) fn section(flood: &Flood, style: Style) -> String {
    let rows: Vec<_> = flood.services.iter().map(|row| (row.server.to_string(), &row.counts)).collect();
    let others = ("(all others)".to_string(), &flood.others);
    let has_others = flood.others.control() + flood.others.data > 0;
    if rows.is_empty() && !has_others {
        return String::new();
    }
    let mut table = table(style, &["SERVICE", "SYN", "SYN-ACK", "FIN", "RST", "DATA", "FOLLOWED AFTER ALL"]);
    let shown = limit(rows.len(), style);
    for (name, counts) in rows.iter().take(shown).chain(has_others.then_some(&others)) {
        let Flooding { flags, data, claimed } = counts;
        let numbers = [flags.syn, flags.syn_ack, flags.fin, flags.rst, *data, *claimed];
        table.add_row(std::iter::once(Cell::new(name)).chain(numbers.into_iter().map(number)));
    }
    more(rendered(&table, style), shown, rows.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flood() -> Flood {
        let counts =
            Flooding { flags: FlagTotals { syn: 1000, ..FlagTotals::default() }, claimed: 3, ..Flooding::default() };
        let server = "10.0.0.2:80".parse().expect("an address");
        Flood { services: vec![FloodedService { server, domain: 0, counts }], others: Flooding::default() }
    }

    #[test]
    fn the_victim_is_named() {
        assert!(headline(&flood()).ends_with("most at 10.0.0.2:80: 1000 SYN\n"));
        assert!(section(&flood(), Style::default()).contains("10.0.0.2:80"));
        let json = serde_json::to_value(FloodJson::from(&flood())).expect("JSON");
        assert_eq!(json["victims"][0]["addr"], "10.0.0.2");
        assert_eq!(json["victims"][0]["syn"], 1000);
    }

    #[test]
    fn without_a_flood_nothing_is_said() {
        assert_eq!(headline(&Flood::default()), "");
        assert_eq!(section(&Flood::default(), Style::default()), "");
    }
}

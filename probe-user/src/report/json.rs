//! JSON and NDJSON. Schemas are versioned: a field is never renamed or removed within one version; new ones may appear.

mod connection;
mod explanation;
mod layout;
mod line;
mod pieces;

use serde::{Serialize, Serializer};

pub use connection::{AMENDMENT_SCHEMA, amendment_line};
use connection::{ConnectionJson, EndpointJson};
pub use explanation::{EXPLANATION_SCHEMA, explanation_document};
pub use line::append_connection_line;
pub use pieces::CONNECTION_SCHEMA;

use super::{
    Gap, Snapshot, Window,
    findings::{self, FindingJson},
    flood::FloodJson,
    interface_counters::{QueueJson, ReceivedJson},
    quality::QualityJson,
    text,
};
use crate::{
    aggregate::{GapCluster, Group, GroupKey, Totals},
    printable,
    record::Connection,
};

/// Schema of the last line of `ndjson`.
pub const SUMMARY_SCHEMA: &str = "rstprobe.summary/1";
/// Schema of `json`.
pub const SNAPSHOT_SCHEMA: &str = "rstprobe.snapshot/1";

#[derive(Serialize)]
struct TotalsJson {
    connections: u64,
    attempts: u64,
    completed_handshakes: u64,
    refused: u64,
    never_answered: u64,
    connections_with_rst: u64,
    rst_without_connection: u64,
    /// Connections of which one direction was seen only.
    one_sided: u64,
    syn: DirectionsJson,
    syn_ack: DirectionsJson,
    fin: DirectionsJson,
    rst: DirectionsJson,
    reset_by: ResetByJson,
    /// RSTs of connections with a completed handshake / such connections.
    rst_per_conn: Option<f64>,
    /// RSTs of connections with a completed handshake that lost something / connections with a completed handshake.
    rst_lossy_per_conn: Option<f64>,
    /// Connections with an RST / connections.
    rst_ratio: Option<f64>,
    /// Refused attempts / attempts.
    refused_ratio: Option<f64>,
    /// SYNs of clients / attempts.
    syn_per_conn: Option<f64>,
    /// Connections with an RST, and those without that lost something or failed, by impact.
    impacts: Counters,
    packets: u64,
    ip_bytes: u64,
}

#[derive(Serialize)]
struct DirectionsJson {
    client: u64,
    server: u64,
    /// Of RSTs that belong to no connection.
    unknown: u64,
}

#[derive(Serialize)]
struct ResetByJson {
    client: u64,
    server: u64,
    middle: u64,
    unknown: u64,
}

impl From<&Totals> for TotalsJson {
    fn from(totals: &Totals) -> Self {
        let directions = |client, server, unknown| DirectionsJson { client, server, unknown };
        Self {
            connections: totals.connections,
            attempts: totals.attempts,
            completed_handshakes: totals.completed_handshakes,
            refused: totals.refused,
            never_answered: totals.never_answered,
            connections_with_rst: totals.with_rst,
            rst_without_connection: totals.rst_without_connection,
            one_sided: totals.one_sided,
            syn: directions(totals.client.syn, totals.server.syn, 0),
            syn_ack: directions(totals.client.syn_ack, totals.server.syn_ack, 0),
            fin: directions(totals.client.fin, totals.server.fin, 0),
            rst: directions(totals.client.rst, totals.server.rst, totals.rst_unattributed),
            reset_by: ResetByJson {
                client: totals.reset_by_client,
                server: totals.reset_by_server,
                middle: totals.reset_by_middle,
                unknown: totals.reset_by_unknown,
            },
            rst_per_conn: totals.rst_per_conn(),
            rst_lossy_per_conn: totals.rst_lossy_per_conn(),
            impacts: counters(totals.impacts.each().map(|(impact, count)| (impact.as_str(), count))),
            rst_ratio: totals.rst_ratio(),
            refused_ratio: totals.refused_ratio(),
            syn_per_conn: totals.syn_per_conn(),
            packets: totals.packets,
            ip_bytes: totals.ip_bytes,
        }
    }
}

#[derive(Serialize)]
struct InterfaceJson<'a> {
    name: &'a str,
    mode: &'static str,
    driver: &'a str,
    /// What kernel and NIC counted; null when they do not say.
    received: Option<ReceivedJson>,
    /// What the program counted by queue; empty when there is but one.
    queues: Vec<QueueJson>,
    /// When it was away and nothing was seen there; empty when it was watched all the time.
    gaps: Vec<GapJson>,
}

#[derive(Serialize)]
struct GapJson {
    start: String,
    end: String,
    seconds: f64,
}

impl From<&Gap> for GapJson {
    fn from(gap: &Gap) -> Self {
        Self { start: text::timestamp(gap.from_ns), end: text::timestamp(gap.until_ns), seconds: gap.seconds() }
    }
}

#[derive(Serialize)]
struct WindowJson<'a> {
    start: String,
    end: String,
    seconds: f64,
    interfaces: Vec<InterfaceJson<'a>>,
    depth: &'static str,
    action: &'static str,
    /// What this host sent on its own interface was not seen: half of each connection.
    one_way: bool,
    /// A capture could not be read to its end.
    cut_short: bool,
}

impl<'a> From<&'a Window> for WindowJson<'a> {
    fn from(window: &'a Window) -> Self {
        let interface = |i: &'a super::InterfaceUse| InterfaceJson {
            name: &i.name,
            mode: i.mode,
            driver: &i.driver,
            received: i.received.as_ref().map(Into::into),
            queues: i.queues.iter().map(Into::into).collect(),
            gaps: i.gaps.told().iter().map(Into::into).collect(),
        };
        Self {
            start: text::timestamp(window.start_ns),
            end: text::timestamp(window.end_ns),
            seconds: window.end_ns.saturating_sub(window.start_ns) as f64 / 1e9,
            interfaces: window.interfaces.iter().map(interface).collect(),
            depth: window.depth,
            action: window.action,
            one_way: window.is_one_way,
            cut_short: window.is_cut_short,
        }
    }
}

type Counters = serde_json::Map<String, serde_json::Value>;

/// What the numbers beside it are restricted to.
#[derive(Serialize)]
struct FilterJson {
    expression: String,
    /// Connections and RSTs of none for which it holds, and for which it does not.
    records: u64,
    left_out: u64,
}

#[derive(Serialize)]
struct SummaryJson {
    /// Null without `--filter`. Losses, books, flood and quality are of everything all the same.
    filter: Option<FilterJson>,
    #[serde(flatten)]
    totals: TotalsJson,
    causes: Counters,
    closings: Counters,
    /// What is in no connection, or not fully, by reason.
    losses: Counters,
    /// What the data plane saw.
    books: Counters,
    /// What was counted by service instead of followed.
    flood: FloodJson,
    /// How good the capture is.
    quality: QualityJson,
    /// What is wrong, worst first, and what is usual.
    findings: Vec<FindingJson>,
}

fn counters<'n>(items: impl Iterator<Item = (&'n str, u64)>) -> Counters {
    items.map(|(name, count)| (name.to_string(), count.into())).collect()
}

fn summary(snapshot: &Snapshot) -> SummaryJson {
    let aggregate = &snapshot.aggregate;
    let filter = snapshot.filter.as_ref().map(|filter| FilterJson {
        expression: filter.expression.clone(),
        records: aggregate.totals.connections + aggregate.totals.rst_without_connection,
        left_out: filter.left_out,
    });
    SummaryJson {
        filter,
        totals: (&aggregate.totals).into(),
        causes: counters(aggregate.causes().map(|(cause, count)| (cause.id(), count))),
        closings: counters(aggregate.closings().map(|(closing, count)| (closing.as_str(), count))),
        losses: counters(snapshot.losses.iter().map(|loss| (loss.name, loss.count))),
        books: counters(snapshot.books.iter().copied()),
        flood: (&snapshot.flood).into(),
        quality: (&snapshot.quality).into(),
        findings: findings::json(snapshot),
    }
}

#[derive(Serialize)]
struct GroupJson {
    #[serde(flatten)]
    key: serde_json::Value,
    #[serde(flatten)]
    totals: TotalsJson,
    duration_p50_s: Option<f64>,
    duration_p99_s: Option<f64>,
    /// The idle time after which its idle connections were reset.
    idle_gap_cluster: Option<GapClusterJson>,
    causes: Counters,
}

#[derive(Serialize)]
struct GapClusterJson {
    seconds: f64,
    resets: u64,
    of: u64,
}

fn group(key: GroupKey, group: &Group) -> GroupJson {
    let seconds = |quantile| group.duration_quantile_us(quantile).map(|us| us as f64 / 1e6);
    GroupJson {
        key: match key {
            GroupKey::Server(server) => serde_json::json!({ "server": EndpointJson::from(server) }),
            GroupKey::Client(client) => serde_json::json!({ "client": client.to_string() }),
            GroupKey::Other => serde_json::json!({ "other": true }),
        },
        totals: (&group.totals).into(),
        duration_p50_s: seconds(0.5),
        duration_p99_s: seconds(0.99),
        idle_gap_cluster: group.idle_gap_cluster().map(|GapCluster { seconds, resets, of }| GapClusterJson {
            seconds,
            resets,
            of,
        }),
        causes: counters(group.causes().map(|(cause, count)| (cause.id(), count))),
    }
}

#[derive(Serialize)]
struct SnapshotJson<'a> {
    schema: &'static str,
    window: WindowJson<'a>,
    summary: SummaryJson,
    #[serde(serialize_with = "each_group")]
    servers: Vec<(GroupKey, &'a Group)>,
    #[serde(serialize_with = "each_group")]
    clients: Vec<(GroupKey, &'a Group)>,
    #[serde(serialize_with = "each_connection")]
    connections: &'a [Connection],
}

/// One after the other: a snapshot may hold hundreds of thousands.
fn each_connection<S: Serializer>(connections: &&[Connection], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(connections.iter().map(ConnectionJson::new))
}

fn each_group<S: Serializer>(rows: &[(GroupKey, &Group)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(rows.iter().map(|(key, row)| group(*key, row)))
}

/// The whole snapshot as one JSON document, which is made while it is written.
pub fn snapshot(snapshot: &Snapshot) -> impl Serialize {
    SnapshotJson {
        schema: SNAPSHOT_SCHEMA,
        window: (&snapshot.window).into(),
        summary: summary(snapshot),
        servers: snapshot.aggregate.servers.by_rst(usize::MAX),
        clients: snapshot.aggregate.clients.by_server_rst(usize::MAX),
        connections: &snapshot.connections,
    }
}

#[derive(Serialize)]
struct SummaryLine<'a> {
    schema: &'static str,
    window: WindowJson<'a>,
    #[serde(flatten)]
    summary: SummaryJson,
}

/// The summary as one line.
///
/// # Errors
/// Never for this data.
pub fn summary_line(snapshot: &Snapshot) -> serde_json::Result<String> {
    let line = SummaryLine { schema: SUMMARY_SCHEMA, window: (&snapshot.window).into(), summary: summary(snapshot) };
    printable::json::line(&line).map(|text| text + "\n")
}

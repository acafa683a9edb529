//! JSON and NDJSON. Schemas are versioned: a field is never renamed or removed within one version; new ones may appear.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use super::{
    Snapshot, Window,
    flood::FloodJson,
    quality::QualityJson,
    received::{QueueJson, ReceivedJson},
    text,
};
use crate::{
    aggregate::{GapCluster, Group, GroupKey, Totals},
    lifecycle::{Basis, Connection, Side, Value},
};

/// Schema of one connection line of `ndjson`.
pub const CONNECTION_SCHEMA: &str = "rstprobe.connection/1";
/// Schema of the last line of `ndjson`.
pub const SUMMARY_SCHEMA: &str = "rstprobe.summary/1";
/// Schema of `json`.
pub const SNAPSHOT_SCHEMA: &str = "rstprobe.snapshot/1";

#[derive(Serialize)]
struct EndpointJson {
    addr: String,
    port: u16,
}

impl From<SocketAddr> for EndpointJson {
    fn from(endpoint: SocketAddr) -> Self {
        Self { addr: endpoint.ip().to_string(), port: endpoint.port() }
    }
}

#[derive(Serialize)]
struct SideJson {
    syn: u64,
    syn_ack: u64,
    fin: u64,
    rst: u64,
    packets: Option<u64>,
    ip_bytes: Option<u64>,
    bytes: u64,
    payload_bytes: Option<u64>,
    retransmits: Option<u64>,
    missed_bytes: Option<u64>,
    /// Payload of this side that the other side's host discarded, as far as seen.
    lost_bytes: Option<u64>,
    ttl: Option<u8>,
    rst_ttl: Option<u8>,
}

impl SideJson {
    /// What only every segment together gives is null where only some were counted.
    fn of(side: &Side, basis: Basis) -> Self {
        let Side { syn, syn_ack, fin, rst, bytes, missed_bytes, .. } = *side;
        let counted = |count: u64| (basis != Basis::ControlOnly).then_some(count);
        let [ttl, rst_ttl] = [side.ttl, side.rst_ttl].map(|ttl| (ttl != 0).then_some(ttl));
        Self {
            syn,
            syn_ack,
            fin,
            rst,
            packets: counted(side.packets),
            ip_bytes: counted(side.ip_bytes),
            bytes,
            payload_bytes: counted(side.payload_bytes),
            retransmits: counted(side.retransmits),
            missed_bytes: counted(missed_bytes),
            lost_bytes: counted(side.lost_bytes),
            ttl,
            rst_ttl,
        }
    }
}

#[derive(Serialize)]
struct EvidenceJson<'a> {
    name: &'a str,
    value: Text<'a>,
}

/// A fact's value is a string, whatever it was made of.
struct Text<'a>(&'a Value);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Word(word) => serializer.serialize_str(word),
            other => serializer.collect_str(other),
        }
    }
}

#[derive(Serialize)]
struct CauseJson<'a> {
    id: &'static str,
    text: &'static str,
    confidence: &'static str,
    evidence: Vec<EvidenceJson<'a>>,
}

#[derive(Serialize)]
struct ConnectionJson<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'static str>,
    id: u64,
    start: String,
    start_ns: u64,
    duration_s: f64,
    client: EndpointJson,
    server: EndpointJson,
    domain: u32,
    orientation: &'static str,
    conn_state: &'static str,
    history: &'a str,
    opening: &'static str,
    closing: &'static str,
    reset_by: &'static str,
    idle_gap_s: Option<f64>,
    /// What was lost.
    impact: &'static str,
    cause: CauseJson<'a>,
    from_client: SideJson,
    from_server: SideJson,
    /// RSTs per second of this connection's life; null without RST or measurable life.
    rst_per_second: Option<f64>,
    written: &'static str,
    basis: &'static str,
}

impl<'a> ConnectionJson<'a> {
    fn new(connection: &'a Connection, schema: Option<&'static str>) -> Self {
        let verdict = &connection.verdict;
        let evidence = verdict.evidence.iter().map(|e| EvidenceJson { name: e.name, value: Text(&e.value) }).collect();
        Self {
            schema,
            id: connection.id,
            start: text::timestamp(connection.start_ns),
            start_ns: connection.start_ns,
            duration_s: connection.duration_ns as f64 / 1e9,
            client: connection.orig.into(),
            server: connection.resp.into(),
            domain: connection.domain,
            orientation: connection.orientation.as_str(),
            conn_state: connection.conn_state.as_str(),
            history: &connection.history,
            opening: connection.opening.as_str(),
            closing: connection.closing.as_str(),
            reset_by: connection.reset_by.as_str(),
            idle_gap_s: connection.idle_gap_ns.map(|ns| ns as f64 / 1e9),
            impact: verdict.impact.as_str(),
            cause: CauseJson {
                id: verdict.cause.id(),
                text: verdict.cause.explanation(),
                confidence: verdict.confidence.as_str(),
                evidence,
            },
            from_client: SideJson::of(&connection.from_orig, connection.basis),
            from_server: SideJson::of(&connection.from_resp, connection.basis),
            rst_per_second: connection.rst_per_second(),
            written: connection.written.as_str(),
            basis: connection.basis.as_str(),
        }
    }
}

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
}

#[derive(Serialize)]
struct WindowJson<'a> {
    start: String,
    end: String,
    seconds: f64,
    interfaces: Vec<InterfaceJson<'a>>,
    depth: &'static str,
    action: &'static str,
}

impl<'a> From<&'a Window> for WindowJson<'a> {
    fn from(window: &'a Window) -> Self {
        let interface = |i: &'a super::InterfaceUse| InterfaceJson {
            name: &i.name,
            mode: i.mode,
            driver: &i.driver,
            received: i.received.as_ref().map(Into::into),
            queues: i.queues.iter().map(Into::into).collect(),
        };
        Self {
            start: text::timestamp(window.start_ns),
            end: text::timestamp(window.end_ns),
            seconds: window.end_ns.saturating_sub(window.start_ns) as f64 / 1e9,
            interfaces: window.interfaces.iter().map(interface).collect(),
            depth: window.depth,
            action: window.action,
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
    serializer.collect_seq(connections.iter().map(|connection| ConnectionJson::new(connection, None)))
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

/// One connection as one line.
///
/// # Errors
/// Never for this data.
pub fn connection_line(connection: &Connection) -> serde_json::Result<String> {
    serde_json::to_string(&ConnectionJson::new(connection, Some(CONNECTION_SCHEMA))).map(|text| text + "\n")
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
    serde_json::to_string(&line).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        lifecycle::{Closing, Opening},
    };

    #[test]
    fn what_depth_control_does_not_count_is_null() {
        let side = Side { rst: 1, packets: 3, bytes: 7, ..Side::default() };
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, side, side);
        for (basis, packets) in [(Basis::AllSegments, Some(3)), (Basis::ControlOnly, None)] {
            one.basis = basis;
            let line: serde_json::Value = serde_json::from_str(&connection_line(&one).expect("a line")).expect("JSON");
            let server = &line["from_server"];
            assert_eq!((server["packets"].as_u64(), server["rst"].as_u64()), (packets, Some(1)));
            assert_eq!(server["ip_bytes"].is_null(), packets.is_none());
            assert_eq!((server["bytes"].as_u64(), server["ttl"].is_null()), (Some(7), true));
        }
    }
}

//! One connection in JSON: an element of a snapshot, a line of a stream, and the line that corrects one.

use std::net::SocketAddr;

use serde::{Serialize, Serializer};

use crate::{
    record::{Basis, Connection, Side, Value, Verdict},
    report::text,
};

/// Schema of one connection line of `ndjson`.
pub const CONNECTION_SCHEMA: &str = "rstprobe.connection/1";
/// Schema of a line of `ndjson` that corrects an earlier one.
pub const AMENDMENT_SCHEMA: &str = "rstprobe.amendment/1";
#[derive(Serialize)]
pub(super) struct EndpointJson {
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

impl<'a> CauseJson<'a> {
    fn of(verdict: &'a Verdict) -> Self {
        Self {
            id: verdict.cause.id(),
            text: verdict.cause.explanation(),
            confidence: verdict.confidence.as_str(),
            evidence: verdict.evidence.iter().map(|e| EvidenceJson { name: e.name, value: Text(&e.value) }).collect(),
        }
    }
}

#[derive(Serialize)]
pub(super) struct ConnectionJson<'a> {
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
    /// How far the client had come when the first RST was sent; null without RST, and where a stage has no name.
    stage: Option<&'static str>,
    /// As Wireshark's `tcp.completeness`.
    tcp_completeness: Option<u8>,
    /// What was lost.
    impact: &'static str,
    cause: CauseJson<'a>,
    from_client: SideJson,
    from_server: SideJson,
    /// RSTs per second of this connection's life; null without RST or measurable life.
    rst_per_second: Option<f64>,
    written: &'static str,
    basis: &'static str,
    /// A later line may correct cause and impact: more may become known of the service or the client.
    provisional: bool,
}

impl<'a> ConnectionJson<'a> {
    pub(super) fn new(connection: &'a Connection, schema: Option<&'static str>, provisional: bool) -> Self {
        let verdict = &connection.verdict;
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
            stage: connection.stage.map(crate::record::Stage::as_str),
            tcp_completeness: connection.completeness(),
            impact: verdict.impact.as_str(),
            cause: CauseJson::of(verdict),
            from_client: SideJson::of(&connection.from_orig, connection.basis),
            from_server: SideJson::of(&connection.from_resp, connection.basis),
            rst_per_second: connection.rst_per_second(),
            written: connection.written.as_str(),
            basis: connection.basis.as_str(),
            provisional,
        }
    }
}

/// One connection as one line.
///
/// # Errors
/// Never for this data.
pub fn connection_line(connection: &Connection, provisional: bool) -> serde_json::Result<String> {
    let line = ConnectionJson::new(connection, Some(CONNECTION_SCHEMA), provisional);
    serde_json::to_string(&line).map(|text| text + "\n")
}

#[derive(Serialize)]
struct AmendmentJson<'a> {
    schema: &'static str,
    /// Of the connection's line.
    id: u64,
    reset_by: &'static str,
    impact: &'static str,
    cause: CauseJson<'a>,
}

/// What is to be said of a connection that was printed before, as one line.
///
/// # Errors
/// Never for this data.
pub fn amendment_line(connection: &Connection) -> serde_json::Result<String> {
    let line = AmendmentJson {
        schema: AMENDMENT_SCHEMA,
        id: connection.id,
        reset_by: connection.reset_by.as_str(),
        impact: connection.verdict.impact.as_str(),
        cause: CauseJson::of(&connection.verdict),
    };
    serde_json::to_string(&line).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Opening},
    };

    #[test]
    fn what_depth_control_does_not_count_is_null() {
        let side = Side { rst: 1, packets: 3, bytes: 7, ..Side::default() };
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, side, side);
        for (basis, packets) in [(Basis::AllSegments, Some(3)), (Basis::ControlOnly, None)] {
            one.basis = basis;
            let line = connection_line(&one, false).expect("a line");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let server = &line["from_server"];
            assert_eq!((server["packets"].as_u64(), server["rst"].as_u64()), (packets, Some(1)));
            assert_eq!(server["ip_bytes"].is_null(), packets.is_none());
            assert_eq!((server["bytes"].as_u64(), server["ttl"].is_null()), (Some(7), true));
        }
    }
}

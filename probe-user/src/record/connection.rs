//! Connection record and its enums (`Cause`, `Impact`, `Closing`, `ResetBy`): the data that views, filters and outputs
//! are made from.
//!
//! Plain data. Must not know how it was found out, nor how it is shown.

use std::net::SocketAddr;

use crate::{
    record::{Fact, Labels},
    tcp::Letters,
};

/// One connection, closed or as it stands now.
#[derive(Clone, PartialEq, Debug)]
pub struct Connection {
    /// Number in the order of creation; unique within one run.
    pub id: u64,
    /// Originator (client): see `orientation` for how that is known. IPv4-mapped addresses are shown as IPv4.
    pub orig: SocketAddr,
    /// Responder (server).
    pub resp: SocketAddr,
    /// Observation domain of the key (VLAN, VNI), 0 when not asked for.
    pub domain: u32,
    /// How `orig` and `resp` are known.
    pub orientation: Orientation,
    /// Zeek takes the other one for the originator: an earlier record of the same connection tells better.
    pub is_reversed: bool,
    /// Time of the first segment, nanoseconds in the source's clock (Unix epoch after the agent's conversion).
    pub start_ns: u64,
    /// From the first to the last segment that counts (Zeek: the last before both sides had closed), nanoseconds.
    pub duration_ns: u64,
    /// What the originator sent.
    pub from_orig: Side,
    /// What the responder sent.
    pub from_resp: Side,
    /// Zeek's conn_state.
    pub conn_state: ConnState,
    /// Zeek's history letters.
    pub history: Letters,
    /// How the handshake went.
    pub opening: Opening,
    /// How it ended, in the article's words.
    pub closing: Closing,
    /// Who sent the reset that ended it (or refused it).
    pub reset_by: ResetBy,
    /// Why, with what it rests on.
    pub verdict: Verdict,
    /// How long it had been idle when the reset came, or the FIN that a request crossed; nanoseconds. `None` below one
    /// second, and without RST: an idle timeout is then no explanation.
    pub idle_gap_ns: Option<u64>,
    /// How far the client had come when the first RST was sent; `None` without RST, and where a stage has no name.
    pub stage: Option<Stage>,
    /// From the first SYN to the first answer to it, SYN-ACK or RST, as seen here; nanoseconds.
    pub answered_after_ns: Option<u64>,
    /// For how much of its life, its end by a timeout included, an interface that is watched was away, nanoseconds; at most, and
    /// 0 where none was. What passed meanwhile nobody saw.
    pub unwatched_ns: u64,
    /// Why the record was written now.
    pub written: Written,
    /// How complete the packet and byte counts are.
    pub basis: Basis,
    /// Zones of its ends, and its service.
    pub labels: Labels,
}

impl Connection {
    /// RST segments, both directions.
    pub fn rst_count(&self) -> u64 {
        self.from_orig.rst + self.from_resp.rst
    }

    /// Payload that was discarded, where the connection lost something; `None` where it did not. Orders connections by what they
    /// lost.
    pub fn lost_if_loss(&self) -> Option<u64> {
        let lost_bytes = self.from_orig.lost_bytes.saturating_add(self.from_resp.lost_bytes);
        self.verdict.impact.is_loss().then_some(lost_bytes)
    }

    /// FIN segments, both directions.
    pub fn fin_count(&self) -> u64 {
        self.from_orig.fin + self.from_resp.fin
    }

    /// True when the three-way handshake was completed as far as the source can tell (see [`Opening`]).
    pub fn is_established(&self) -> bool {
        self.opening == Opening::Completed
    }

    /// RSTs per second of this connection's life as far as it was watched, which counts as one second at least: a single RST
    /// after a millisecond is no thousand per second. `None` without RST.
    pub fn rst_per_second(&self) -> Option<f64> {
        let watched_ns = self.duration_ns.saturating_sub(self.unwatched_ns);
        let seconds = (watched_ns as f64 / 1e9).max(1.0);
        (self.rst_count() > 0).then(|| self.rst_count() as f64 / seconds)
    }

    /// What was seen of it, as Wireshark's `tcp.completeness` (packet-tcp.c): 1 SYN, 2 SYN-ACK, 4 ACK, 8 payload, 16 FIN, 32 RST.
    /// `None` where only control segments were counted.
    pub fn completeness(&self) -> Option<u8> {
        let (orig, resp) = (&self.from_orig, &self.from_resp);
        let acknowledged = self.history.contains(['A', 'a', 'D', 'd', 'F', 'f']);
        let bits = [
            orig.syn + resp.syn > 0,
            orig.syn_ack + resp.syn_ack > 0,
            acknowledged,
            orig.payload_bytes + resp.payload_bytes > 0,
            self.fin_count() > 0,
            self.rst_count() > 0,
        ];
        let value = bits.into_iter().enumerate().map(|(bit, is_set)| u8::from(is_set) << bit).sum();
        (self.basis != Basis::ControlOnly).then_some(value)
    }

    /// True when only one direction was ever seen although the other one has spoken, as far as every segment was counted: also
    /// where [`Self::is_one_sided`] is not said because the opening was not seen, or the end was. One segment alone tells nothing.
    pub fn lacks_a_direction(&self) -> bool {
        let (orig, resp) = (&self.from_orig, &self.from_resp);
        let client_is_missing = orig.packets == 0 && resp.packets > 1 && (resp.syn_ack > 0 || resp.payload_bytes > 0);
        let server_is_missing = resp.packets == 0 && orig.packets > 1 && orig.payload_bytes > 0;
        self.is_one_sided() || self.basis == Basis::AllSegments && (client_is_missing || server_is_missing)
    }

    /// True when only one direction was ever seen although the other must exist.
    pub fn is_one_sided(&self) -> bool {
        self.opening == Opening::OneSided || self.closing == Closing::OneSided
    }
}

/// What one endpoint sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Side {
    /// Segments with SYN and without ACK.
    pub syn: u64,
    /// Segments with SYN and ACK.
    pub syn_ack: u64,
    /// Segments with FIN.
    pub fin: u64,
    /// Segments with RST.
    pub rst: u64,
    /// Segments (see [`Basis`]).
    pub packets: u64,
    /// IP bytes of `packets`.
    pub ip_bytes: u64,
    /// Payload bytes by sequence numbers, as Zeek's orig_bytes and resp_bytes.
    pub bytes: u64,
    /// Payload bytes of `packets` added up, retransmissions included.
    pub payload_bytes: u64,
    /// Payload segments that repeated bytes already seen.
    pub retransmits: u64,
    /// Bytes that the other side acknowledged and that were never seen (Zeek's missed_bytes, this direction).
    pub missed_bytes: u64,
    /// Payload of this side that the other side's host discarded, as far as seen; bytes.
    pub lost_bytes: u64,
    /// TTL or hop limit of its last segment without RST; 0 when there was none.
    pub ttl: u8,
    /// TTL or hop limit of its first RST; 0 when there was none.
    pub rst_ttl: u8,
}

/// How client and server are told apart, best first.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Orientation {
    /// The originator's SYN was seen.
    Syn,
    /// Only the responder's SYN-ACK was seen.
    SynAck,
    /// By a well-known service port (Zeek's likely_server_ports).
    ServicePort,
    /// By an earlier connection: of the same addresses and ports, or of the server.
    Remembered,
    /// The sender of the first segment is taken as the originator: a guess.
    FirstSender,
}

/// How the opening went.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Opening {
    /// SYN and SYN-ACK, and the originator's acknowledgement where the source sees pure ACKs.
    Completed,
    /// SYN and SYN-ACK, no acknowledgement by the originator.
    HalfOpen,
    /// A SYN that was refused by an RST.
    Refused,
    /// A SYN without any answer.
    Unanswered,
    /// A SYN, and the originator's own segments show that it was answered: the other direction was not seen.
    OneSided,
    /// The opening was before the capture began, or one direction of it was not seen.
    NotSeen,
}

/// How it ended.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Closing {
    /// FIN from both sides, no RST before the second.
    TwoFins,
    /// FIN and RST.
    FinAndRst,
    /// RST and no FIN.
    RstOnly,
    /// RST that belongs to no connection seen (no SYN, no data).
    RstWithoutConnection,
    /// The SYN was answered by RST.
    Refused,
    /// The SYN was never answered.
    NeverAnswered,
    /// SYN and SYN-ACK, then nothing.
    HalfOpen,
    /// FIN from one side only, and no end.
    HalfClosed,
    /// One direction was never seen: how it ended is unknown.
    OneSided,
    /// Segments went unacknowledged, then silence.
    Vanished,
    /// No end seen: still open, or idle past the timeout.
    Open,
}

/// Who sent the RST that ended the connection.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum ResetBy {
    /// No RST ended it.
    None,
    /// The originator.
    Client,
    /// The responder.
    Server,
    /// Something in between, by the evidence listed.
    Middle,
    /// There was an RST and its sender cannot be told.
    Unknown,
}

/// Why a record was written.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Written {
    /// Both sides closed, or one reset, and the linger time passed.
    Closed,
    /// An attempt that got no answer in time.
    AttemptTimeout,
    /// No segment for the inactivity timeout.
    Inactive,
    /// A new connection took the same 5-tuple.
    Reused,
    /// Pushed out because the table was full.
    Evicted,
    /// The source ended, or a snapshot was asked for, while it was still tracked.
    StillTracked,
}

/// How complete packet and byte counts are.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Basis {
    /// Every segment was counted.
    AllSegments,
    /// Only SYN, FIN and RST were counted (depth `control`).
    ControlOnly,
    /// What this host sent was counted before segmentation offload (`--host`): fewer, larger packets than on the wire.
    BeforeSegmentation,
}

/// Why it ended so, how sure that is, and what it rests on.
#[derive(Clone, PartialEq, Debug)]
pub struct Verdict {
    /// The cause.
    pub cause: Cause,
    /// How sure.
    pub confidence: Confidence,
    /// What was lost.
    pub impact: Impact,
    /// What it rests on, in the order of weight.
    pub facts: Vec<Fact>,
}

/// How far a connection had come when it was reset, as Cloudflare Radar counts: by what came from the client.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Stage {
    /// After its SYN, before its acknowledgement of the SYN-ACK.
    PostSyn,
    /// After the handshake, before any payload of it.
    PostAck,
    /// After its first payload.
    PostPsh,
    /// After more payload, within its first ten segments.
    Later,
}

/// What the end of a connection cost, whatever its cause.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Impact {
    /// All that was sent was acknowledged, or what was not was a TLS close_notify.
    None,
    /// A request was not received, or its receiver discarded it.
    RequestLost,
    /// A request was received, and its answer never arrived.
    ResponseLost,
    /// Payload was on the way, or its sender went on.
    TransferCut,
    /// There was no connection.
    AttemptFailed,
    /// Too little was seen to say.
    Unknown,
}

impl Impact {
    /// Whether an application was deprived of something that it had sent or waited for.
    pub const fn is_loss(self) -> bool {
        matches!(self, Self::RequestLost | Self::ResponseLost | Self::TransferCut)
    }
}

/// How sure a verdict is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Confidence {
    /// A hint among several explanations.
    Low,
    /// The best explanation; named rivals remain.
    Medium,
    /// Nothing else known produces this evidence.
    High,
}

/// Zeek's 13 conn_state values (base/protocols/conn/main.zeek).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[expect(missing_docs, reason = "Zeek's own names; `ConnState::meaning` explains each")]
pub enum ConnState {
    S0,
    S1,
    SF,
    REJ,
    S2,
    S3,
    RSTO,
    RSTR,
    RSTOS0,
    RSTRH,
    SH,
    SHR,
    OTH,
}

/// Why a connection ended the way it did: ids of the taxonomy, stable in outputs (`Cause::id`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Cause {
    /// Orderly end, or no end yet: nothing to explain.
    None,
    /// There was an RST and the evidence fits nothing known.
    Unknown,
    /// The server's host has nobody listening on the port, or a firewall says so in its name.
    RefusedClosedPort,
    /// A device on the path refused the SYN.
    RefusedByFirewall,
    /// SYN, SYN-ACK, then RST by the client: a half-open scan or a cancelled connect.
    HalfOpenScan,
    /// The client reset its own attempt before any answer.
    SynThenRst,
    /// The SYN was never answered.
    NeverAnswered,
    /// Established, no payload, then an active abort.
    AbortNoData,
    /// An application or its kernel aborted: close with unread data, SO_LINGER 0, kill, socket destroyed.
    AppAbort,
    /// The server answered and reset while the request was still arriving.
    ServerReplyThenReset,
    /// The client stopped a transfer half-way.
    ClientAbortDownload,
    /// Payload arrived after the receiver had closed.
    DataAfterClose,
    /// A request crossed the server's idle close.
    KeepAliveRace,
    /// The host (or a device) no longer knows the connection.
    NoState,
    /// Keep-alive probes went unanswered.
    KeepAliveTimeout,
    /// A SYN hit a connection the other side had forgotten.
    StaleConnectionSyn,
    /// An inexact RST was challenged and confirmed.
    ChallengeConfirmed,
    /// The closer gave up waiting for the other FIN (TCP_LINGER2).
    Linger2,
    /// RST after both FINs: harmless tail.
    RstAfterClose,
    /// The closer habitually uses RST instead of FIN.
    RstInsteadOfFin,
    /// The RST bears marks of injection.
    InjectedSuspect,
    /// A device reset both ends.
    DeviceResetBoth,
    /// An RST for a connection that was never seen.
    RstWithoutConnection,
    /// Unacknowledged segments, then silence, no RST.
    Vanished,
    /// The RST carries a diagnostic payload that says why.
    Explained,
    /// A TLS close_notify met a side that had closed.
    CloseNotifyAfterClose,
    /// The client closed or reset while it waited for an answer.
    ClientGaveUp,
    /// The client stopped while it was sending.
    ClientAbortUpload,
    /// The server's accept queue was full.
    AcceptQueueFull,
    /// Payload was sent again and again without acknowledgement.
    RetransmissionTimeout,
    /// The SYN-ACK was never answered.
    SynAckUnanswered,
    /// An ICMP error said that the other side cannot be reached.
    IcmpUnreachable,
    /// A TLS alert ended it.
    TlsAlert,
    /// A monitor that looks at steady intervals whether the service accepts connections.
    HealthCheck,
}

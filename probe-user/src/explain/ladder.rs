//! Ladder: the segments of a connection in order of arrival, with relative numbers, what is odd about each, and the states of
//! both ends after it.

use std::net::SocketAddr;

use probe_ebpf::layout::{ACK, Endpoint, FIN, FlowKey, RST, SYN, Segment};

use super::end_states::{EndState, EndStates};
pub use super::note::Note;
use super::sequence::Sequence;
use crate::record::{Basis, Cause, Connection, ResetBy, Side};

/// A segment of the connection's flow, as far as it could be read.
#[derive(Clone, Copy, Debug)]
pub struct SeenSegment {
    /// The segment.
    pub segment: Segment,
    /// Its frame was not captured whole.
    pub is_cut: bool,
    /// Of its TCP header only addresses, ports and flags could be read.
    pub is_headless: bool,
    /// Its checksum is wrong.
    pub bad_checksum: bool,
}

/// How complete the segments of a ladder are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Completeness {
    /// Every segment that was captured.
    Captured,
    /// Those that an evidence file keeps.
    Kept,
    /// Those that the kernel program keeps word for word; others it has only counted.
    Counted,
}

impl Completeness {
    /// Stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Captured => "captured",
            Self::Kept => "kept_as_evidence",
            Self::Counted => "kept_by_the_kernel_program",
        }
    }

    /// What became of the bytes of a gap.
    pub fn gap(self) -> &'static str {
        match self {
            Self::Captured => "not captured",
            Self::Kept => "not kept",
            Self::Counted => "only counted",
        }
    }
}

/// One segment.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Since the connection's start, nanoseconds; negative where the capture's clock was set back.
    pub since_start_ns: i64,
    /// Who sent it.
    pub from_client: bool,
    /// The nine flag bits of TCP.
    pub flags: u16,
    /// Sequence number relative to the first of its sender; `None` where it could not be read.
    pub seq: Option<i64>,
    /// Acknowledgement relative to the first of the other side; `None` without ACK.
    pub ack: Option<i64>,
    /// Payload, bytes.
    pub payload_len: u32,
    /// Window field, unscaled.
    pub window: u16,
    /// TTL or hop limit.
    pub ttl: u8,
    /// What is odd about it.
    pub notes: Vec<Note>,
    /// Client and server after it.
    pub states: [EndState; 2],
}

impl Row {
    /// Names of the flags that are set, in the usual order.
    pub fn flag_names(&self) -> impl Iterator<Item = &'static str> {
        let flags = self.flags;
        FLAGS.into_iter().filter(move |(bit, _)| flags & bit != 0).map(|(_, name)| name)
    }

    /// Whether it bears RST.
    pub fn is_reset(&self) -> bool {
        self.flags & RST != 0
    }
}

/// As the layout has them (RFC 9293 3.1; RFC 3168 6.1 has ECE and CWR, which are left out where a SYN asks for them).
const FLAGS: [(u16, &str); 6] =
    [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (1 << 3, "PSH"), (1 << 5, "URG"), (ACK, "ACK")];

/// The segments of a connection.
#[derive(Clone, PartialEq, Debug)]
pub struct Ladder {
    /// In order of arrival.
    pub rows: Vec<Row>,
    /// Segments of its flow after the last row, which found no room.
    pub beyond: u64,
    /// How complete the rows are.
    pub completeness: Completeness,
    /// Segments of client and server that are counted and have no row; `None` where they are not counted.
    pub only_counted: Option<[u64; 2]>,
    /// A gap was seen.
    pub has_gaps: bool,
}

impl Ladder {
    /// Of the segments of a connection's flow within its time.
    pub fn new(one: &Connection, segments: &[SeenSegment], beyond: u64, completeness: Completeness) -> Self {
        let (_, client_is_hi) = key(one);
        let is_client = |seen: &SeenSegment| seen.segment.record.from_hi() == client_is_hi;
        let of = |of_client: bool| {
            let sent = segments.iter().filter(move |seen| seen.is_believed() && is_client(seen) == of_client);
            sent.map(|seen| &seen.segment.record)
        };
        let mut sequences =
            [true, false].map(|of_client| Sequence::new(&of(of_client)).or_acknowledged_by(of(!of_client)));
        let mut states = EndStates::default();
        let first_reset = segments.iter().find(|seen| seen.segment.record.has(RST)).map(is_client);
        let foreign = [true, false].map(|of_client| {
            let resets = segments.iter().filter(|seen| is_client(seen) == of_client && seen.segment.record.has(RST));
            let side = if of_client { &one.from_orig } else { &one.from_resp };
            Foreign::new(one, side, first_reset == Some(of_client), resets)
        });
        let rows: Vec<Row> = segments
            .iter()
            .map(|seen| {
                let from_client = is_client(seen);
                let is_foreign = foreign[usize::from(!from_client)].is(seen);
                row(one, seen, from_client, is_foreign, &mut sequences, &mut states)
            })
            .collect();
        let with_row = |of_client| rows.iter().filter(|row| row.from_client == of_client).count() as u64;
        let counted = [one.from_orig.packets, one.from_resp.packets];
        let only_counted = (one.basis != Basis::ControlOnly)
            .then(|| [counted[0].saturating_sub(with_row(true)), counted[1].saturating_sub(with_row(false))]);
        let has_gaps = rows.iter().flat_map(|row| &row.notes).any(|note| matches!(note, Note::Gap(_)));
        Self { rows, beyond, completeness, only_counted, has_gaps }
    }
}

impl SeenSegment {
    /// A host would take it, and its numbers are known.
    fn is_believed(&self) -> bool {
        !self.is_headless && !self.bad_checksum
    }
}

/// Which RSTs in the name of one side another host sent, where the verdict is that one did.
#[derive(Clone, Copy)]
struct Foreign {
    is_middle: bool,
    /// The verdict is about the first RST of all, or about both sides'.
    is_meant: bool,
    /// TTL of what the side itself sent, where RSTs in its name differ from it: these are the foreign ones. Otherwise all are.
    own_ttl: Option<u8>,
}

impl Foreign {
    fn new<'a>(
        one: &Connection,
        side: &Side,
        is_first: bool,
        mut resets: impl Iterator<Item = &'a SeenSegment>,
    ) -> Self {
        let differs = side.ttl != 0 && resets.any(|seen| seen.segment.record.ttl != side.ttl);
        Self {
            is_middle: one.reset_by == ResetBy::Middle,
            is_meant: is_first || one.verdict.cause == Cause::DeviceResetBoth,
            own_ttl: differs.then_some(side.ttl),
        }
    }

    fn is(self, seen: &SeenSegment) -> bool {
        let record = &seen.segment.record;
        self.is_middle && record.has(RST) && self.own_ttl.map_or(self.is_meant, |ttl| record.ttl != ttl)
    }
}

fn row(
    one: &Connection,
    seen: &SeenSegment,
    from_client: bool,
    is_foreign: bool,
    sequences: &mut [Sequence; 2],
    states: &mut EndStates,
) -> Row {
    let record = &seen.segment.record;
    let mut notes = Vec::new();
    let [client, server] = sequences;
    let (own, other) = if from_client { (client, server) } else { (server, client) };
    if seen.is_headless {
        notes.push(Note::HeaderCut);
    } else if seen.bad_checksum {
        notes.push(Note::BadChecksum);
    } else {
        notes.extend(own.note(record));
        notes.extend(other.note_acknowledgement(record));
        if record.window == 0 && record.flags & (RST | SYN) == 0 {
            notes.push(Note::ZeroWindow);
        }
        let remark = if is_foreign {
            notes.push(Note::Foreign);
            states.observe_foreign_reset(record, from_client)
        } else {
            states.observe(record, from_client)
        };
        notes.extend(remark.map(Note::End));
    }
    if seen.is_cut && !seen.is_headless {
        notes.push(Note::FrameCut);
    }
    Row {
        since_start_ns: record.time_ns.wrapping_sub(one.start_ns).cast_signed(),
        from_client,
        flags: record.flags & 0x1ff,
        seq: (!seen.is_headless).then(|| own.relative(record.seq)),
        ack: (!seen.is_headless && record.has(ACK)).then(|| other.relative(record.ack)),
        payload_len: record.payload_len,
        window: record.window,
        ttl: record.ttl,
        notes,
        states: states.now(),
    }
}

/// The key of a connection's segments, and whether the client is its `hi` endpoint.
pub fn key(one: &Connection) -> (FlowKey, bool) {
    FlowKey::normalised(endpoint(one.orig), endpoint(one.resp), one.domain)
}

fn endpoint(address: SocketAddr) -> Endpoint {
    let octets = match address.ip() {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        std::net::IpAddr::V6(v6) => v6.octets(),
    };
    Endpoint::from_octets(octets, address.port())
}

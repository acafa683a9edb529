//! Close details: what is kept of a connection's FINs, RSTs and oddities for its verdict, allocated when there is one.

use std::num::NonZeroU64;

use probe_ebpf::layout::{Segment, SegmentRecord};

use crate::tcp::{
    marks::{ORIG_STUCK, SPOKE, SPOKE_RESP},
    state_before::StateBefore,
};

/// Ranges of relative positions, in order: data above a hole.
pub(crate) type Pieces = Vec<(u64, u64)>;

/// Kept for one direction as soon as there is a FIN or an RST: small, as nearly every connection gets there.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct RareSide {
    /// Relative position after the last FIN (Zeek `FIN_seq`).
    pub(crate) fin_seq: u64,
    /// Relative positions of the last FIN and RST, to tell repetitions (Zeek `hist_last_*`).
    pub(crate) last_fin: u64,
    pub(crate) last_rst: u64,
    /// Its first FIN.
    pub(crate) fin: Option<Seen>,
    /// First payload bytes of the first segment that it sent after the other side's FIN, 0 when not known.
    pub(crate) late_note: u64,
    /// Payload bytes of that segment.
    pub(crate) late_len: u32,
    /// New payload that it sent after the other side's FIN, bytes.
    pub(crate) late_bytes: u32,
    /// Segments with FIN.
    pub(crate) fins: u32,
    /// Segments with RST.
    pub(crate) rsts: u32,
}

/// What the small counters of a direction have no room for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Beyond {
    pub(crate) syn: u64,
    pub(crate) syn_ack: u64,
    pub(crate) retransmits: u64,
    pub(crate) fins: u64,
    pub(crate) rsts: u64,
}

/// Kept for one direction that is not as directions are.
#[derive(Clone, Debug, Default)]
pub(crate) struct OddSide {
    /// Relative position of the last SYN, to tell repetitions (Zeek `hist_last_SYN`).
    pub(crate) last_syn: u64,
    /// Data above a hole.
    pub(crate) pieces: Pieces,
    /// Bytes acknowledged and never seen.
    pub(crate) missed_bytes: u64,
    /// How many holes these were.
    pub(crate) gaps: u32,
    /// Segments with a bad checksum.
    pub(crate) bad_checksums: u32,
    /// Segments with a zero window.
    pub(crate) zero_windows: u32,
    /// Packets beyond 2^32.
    pub(crate) packets_high: u32,
    /// Description of a fatal TLS alert that it sent in the clear; 0 without.
    pub(crate) tls_alert: u8,
    /// Header bytes beyond 2^32.
    pub(crate) header_bytes_high: u32,
    /// Other counts beyond their counters.
    pub(crate) beyond: Beyond,
}

/// Why a kernel says that it sent a reset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KernelReason {
    /// Index into the names of `TrackerConfig::kernel_reasons`.
    pub(crate) reason: u8,
    /// A segment provoked it; otherwise the application or a timer did.
    pub(crate) provoked: bool,
}

/// When and in what surroundings a FIN came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Seen {
    /// When, and one more: never 0.
    time_ns: NonZeroU64,
    /// Time since the connection's previous segment, nanoseconds.
    pub(crate) idle_ns: u64,
    /// Who spoke last.
    pub(crate) order: PayloadOrder,
    /// What it acknowledges.
    pub(crate) ack: u32,
}

/// Who had sent payload last, and when each side had, at the moment of a FIN or an RST.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct PayloadOrder {
    /// By side, in ticks from the connection's start.
    pub(crate) data_ticks: [u32; 2],
    /// Marks of the connection (`Track::marks`).
    pub(crate) marks: u8,
}

impl PayloadOrder {
    /// The last window of `side` was closed, or nearly.
    pub(crate) fn is_stuck(&self, side: usize) -> bool {
        self.marks & (ORIG_STUCK << side) != 0
    }

    /// The side that had sent payload last, if any had.
    pub(crate) fn last(&self) -> Option<usize> {
        (self.marks & SPOKE != 0).then(|| usize::from(self.marks & SPOKE_RESP != 0))
    }
}

impl Seen {
    /// `time_ns`: when it came.
    pub(crate) fn new(time_ns: u64, idle_ns: u64, ack: u32, order: PayloadOrder) -> Self {
        Self { time_ns: NonZeroU64::MIN.saturating_add(time_ns), idle_ns, order, ack }
    }

    /// When.
    pub(crate) fn time_ns(&self) -> u64 {
        self.time_ns.get() - 1
    }
}

/// The first RST of a direction with what was known before it (research: one RST header tells two code paths apart).
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub(crate) struct Rst {
    /// The segment.
    pub(crate) record: SegmentRecord,
    /// Its first payload bytes, 0 without.
    pub(crate) note: u64,
    /// Time since the connection's previous segment, nanoseconds.
    pub(crate) idle_ns: u64,
    /// RSTs of this direction with another sequence number than the one before.
    pub(crate) distinct: u32,
    /// Sequence number of the last RST of this direction.
    pub(crate) last_seq: u32,
    /// What a challenge asked for: see [`Self::challenged`].
    challenge: u32,
    /// Its sender before it.
    pub(crate) sender: StateBefore,
    /// The other side before it.
    pub(crate) peer: StateBefore,
    /// Who spoke last.
    pub(crate) order: PayloadOrder,
    /// Whether the segment just before it came from the other side.
    pub(crate) answers_peer: bool,
    /// Highest sequence number among them was above everything sent, after one that was not.
    pub(crate) climbed: bool,
    /// Its sender went on with payload at or after the RST's sequence number.
    pub(crate) sender_continued: bool,
    is_challenged: bool,
    /// A later RST had exactly the sequence number that the challenge asked for.
    pub(crate) confirmed: bool,
    /// What its sender's own kernel said of it (`--host`).
    pub(crate) kernel: Option<KernelReason>,
}

impl Rst {
    /// A first RST, written where it is kept: `states` are those of its sender and of the other side before it.
    pub(crate) fn begin(
        &mut self,
        segment: &Segment,
        idle_ns: u64,
        states: [StateBefore; 2],
        order: PayloadOrder,
        answers_peer: bool,
    ) {
        let [sender, peer] = states;
        *self = Self {
            record: segment.record,
            note: segment.first_bytes,
            idle_ns,
            sender,
            peer,
            order,
            answers_peer,
            distinct: 1,
            climbed: false,
            sender_continued: false,
            challenge: 0,
            is_challenged: false,
            confirmed: false,
            last_seq: segment.record.seq,
            kernel: None,
        };
    }

    /// The other side answered it by a pure ACK that acknowledges this.
    pub(crate) fn challenged_by(&mut self, ack: u32) {
        (self.challenge, self.is_challenged) = (ack, true);
    }

    /// What a pure ACK of the other side that followed directly acknowledges: a challenge ACK (RFC 5961 3.2) or a sign of life.
    pub(crate) fn challenged(&self) -> Option<u32> {
        self.is_challenged.then_some(self.challenge)
    }
}

/// Kept for one connection, on demand.
#[derive(Clone, Debug, Default)]
#[repr(C)]
pub(crate) struct Rare {
    /// By side: originator, responder.
    pub(crate) sides: [RareSide; 2],
    /// The first RST of each side.
    pub(crate) rsts: [Option<Box<Rst>>; 2],
    /// What most connections never need.
    pub(crate) odd: Option<Box<Odd>>,
    /// Memory for the next RST to be kept; what it says means nothing.
    pub(crate) blank: Option<Box<Rst>>,
}

/// Kept for one connection that is not as connections are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Odd {
    /// By side: originator, responder.
    pub(crate) sides: [OddSide; 2],
    /// Letters of the history that found no room inline.
    pub(crate) history: Vec<u8>,
    /// Idle time before the first segment, where an earlier record of the same connection is remembered, nanoseconds.
    pub(crate) idle_before_ns: u64,
}

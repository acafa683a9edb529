//! Flow slot: counters of one flow in one epoch; the index that leads to it, the journal of segments that are kept verbatim,
//! and the log for segments without a slot.

use super::{FlowKey, SegmentRecord};

/// Per-direction counters of one slot, for this epoch: one cache line.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DirectionCounters {
    /// IP bytes of the segments counted in `packets`.
    pub ip_bytes: u64,
    /// Payload bytes of the segments counted in `packets`.
    pub payload_bytes: u64,
    /// Time of the last segment, nanoseconds; coarse (the agent's last tick) for segments not kept verbatim.
    pub last_ns: u64,
    /// Segments: all of them at depth `full`, only control segments at depth `control`.
    pub packets: u32,
    /// Segments with SYN and without ACK.
    pub syn: u32,
    /// Segments with SYN and ACK.
    pub syn_ack: u32,
    /// Segments with FIN.
    pub fin: u32,
    /// Segments with RST.
    pub rst: u32,
    /// Highest sequence end seen, RSTs aside (valid with [`MARK_SEQ`]).
    pub seq_end: u32,
    /// Last acknowledgement field of a segment with ACK.
    pub last_ack: u32,
    /// Payload segments that ended at or below `seq_end`: retransmissions, or reordering.
    pub retransmits: u16,
    /// Segments without RST whose window was 0.
    pub zero_windows: u16,
    /// IPv4 identification of the last segment.
    pub ip_id: u16,
    /// TTL or hop limit of the last segment.
    pub ttl: u8,
    /// What was recorded verbatim since the last control segment: [`MARK_ACK`], [`MARK_DATA`], ...
    pub marks: u8,
    /// Window of the last segment.
    pub window: u16,
    /// Payload bytes of the last segment (saturating).
    pub last_payload: u16,
}

/// [`DirectionCounters::marks`]: a pure ACK of this direction was kept verbatim since the last control segment.
pub const MARK_ACK: u8 = 1;
/// [`DirectionCounters::marks`]: a payload segment of this direction was kept verbatim since the last control segment.
pub const MARK_DATA: u8 = 2;

/// [`DirectionCounters::marks`]: `seq_end` is valid.
pub const MARK_SEQ: u8 = 4;
/// [`DirectionCounters::marks`]: the last segment of this direction was only counted, not kept verbatim.
pub const MARK_PENDING: u8 = 8;
/// [`DirectionCounters::marks`]: the last segment of this direction had ACK.
pub const MARK_LAST_ACK: u8 = 16;

/// Segments of one slot in the journal; further ones go to the log. So many for every slot there is room for.
pub const SLOT_SEGMENTS: usize = 8;

/// One flow in one epoch on one CPU: three cache lines, of which a segment touches two.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Slot {
    /// Whose it is.
    pub key: FlowKey,
    /// [`super::Segment::first_bytes`] of the last segment that was only counted, of the side that [`SLOT_BYTES_FROM_HI`] says.
    pub first_bytes: u64,
    /// Where the index points to this slot (bucket number), so that the drain clears just that.
    pub bucket: u32,
    /// Its segments in the journal, 0 to [`SLOT_SEGMENTS`].
    pub segment_count: u8,
    /// [`SLOT_CLOSING`] and [`SLOT_SUPERSEDED`].
    pub state: u8,
    /// Segments that were state-relevant but went to the log because the journal has enough of this slot (saturating).
    pub spilled: u16,
    /// Initial sequence number of the last SYN without ACK, to tell a retransmission from a new connection.
    pub isn: u32,
    /// The same of the last SYN with ACK.
    pub syn_ack_isn: u32,
    /// Counters of segments sent by the `lo` endpoint.
    pub lo: DirectionCounters,
    /// Counters of segments sent by the `hi` endpoint.
    pub hi: DirectionCounters,
}

/// One segment that is kept verbatim. A CPU's journal has them in the order in which they came, whatever their flow: what
/// is written lies next to what was written before, which is in the cache, and who reads it need not sort.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct JournalEntry {
    /// Its header fields.
    pub record: SegmentRecord,
    /// See [`super::Segment::first_bytes`].
    pub first_bytes: u64,
    /// The slot that has counted it, within the region of the CPU.
    pub slot: u32,
    /// How many of the slot's segments came before.
    pub nth: u32,
}

/// [`Slot::state`]: a FIN or RST was seen in this slot.
pub const SLOT_CLOSING: u8 = 1;
/// [`Slot::state`]: a later SYN of the same key opened a new slot; this one takes no more segments.
pub const SLOT_SUPERSEDED: u8 = 2;
/// [`Slot::state`]: the `hi` endpoint sent the last segment.
pub const SLOT_LAST_FROM_HI: u8 = 4;
/// [`Slot::state`]: [`Slot::first_bytes`] are of a segment of the `hi` endpoint.
pub const SLOT_BYTES_FROM_HI: u8 = 8;

/// Entries of one index bucket; one less than a power of two.
pub const BUCKET_ENTRIES: usize = 15;
/// Slots for which there is one bucket: the fuller a bucket, the longer the search. A power of two.
pub const SLOTS_PER_BUCKET: u32 = 4;

/// One bucket of the index, one cache line: each entry is `(slot + 1) | tag << 24`, 0 when free. A flow's search begins at
/// an entry of its own, so that it mostly ends there: a branch that can be foretold.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    /// See the type.
    pub entries: [u32; BUCKET_ENTRIES],
    /// Written to have the line come in, never read.
    pub touched: u32,
}

/// Bits of a [`Bucket`] entry that hold `slot + 1`; the rest is the tag.
pub const ENTRY_SLOT_BITS: u32 = 24;
/// Mask of the slot part of a [`Bucket`] entry.
pub const ENTRY_SLOT_MASK: u32 = (1 << ENTRY_SLOT_BITS) - 1;

/// One segment that found no room in a slot, or an ICMP error.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogEntry {
    /// Whose it is.
    pub key: FlowKey,
    /// Its header fields.
    pub record: SegmentRecord,
    /// See [`super::Segment::first_bytes`].
    pub first_bytes: u64,
    /// [`LOG_ONLY`], [`LOG_COUNTED`], [`LOG_RECALLED`] or [`LOG_ICMP`].
    pub counted: u32,
    /// Of a recalled opening, which of its set it was; otherwise 0.
    pub way: u32,
}

/// [`LogEntry::counted`]: this entry is the segment's only trace.
pub const LOG_ONLY: u32 = 0;
/// [`LogEntry::counted`]: a slot has counted it; only its order and fields are here.
pub const LOG_COUNTED: u32 = 1;
/// [`LogEntry::counted`]: an opening that was counted as `flooded`, and whose flow has shown more since.
pub const LOG_RECALLED: u32 = 2;
/// [`LogEntry::counted`]: no segment, but an ICMP error that quotes one ([`crate::parse::IcmpQuote::of_entry`]).
pub const LOG_ICMP: u32 = 3;

//! What lies in the shared maps, byte for byte.
//!
//! The kernel program writes these types into `BPF_F_MMAPABLE` arrays, user space reads them through the mapping. One
//! half of every map belongs to the epoch being written, the other to the epoch being drained; within a half, each
//! CPU has a region with a single writer (XDP and tc run with bottom halves disabled), so nothing here is atomic.
//!
//! Must not know: how a slot is found, who reads it, what a connection is.

use core::mem::{offset_of, size_of};

/// Version of every layout in this module; the object carries it and the loader compares (`ABI_VERSION` global).
pub const ABI_VERSION: u32 = 1;

/// TCP flag bits of [`SegmentRecord::flags`], as in the header (RFC 9293 3.1).
pub const FIN: u16 = 0x001;
/// SYN bit.
pub const SYN: u16 = 0x002;
/// RST bit.
pub const RST: u16 = 0x004;
/// PSH bit.
pub const PSH: u16 = 0x008;
/// ACK bit.
pub const ACK: u16 = 0x010;
/// URG bit.
pub const URG: u16 = 0x020;
/// Any of SYN, FIN, RST: a control segment.
pub const CONTROL: u16 = SYN | FIN | RST;
/// The nine flag bits of the TCP header.
pub const TCP_FLAGS: u16 = 0x1ff;
/// Set when the sender is the `hi` endpoint of the [`FlowKey`].
pub const FROM_HI: u16 = 0x200;
/// Set when the segment carries a timestamps option (RFC 7323).
pub const HAS_TIMESTAMPS: u16 = 0x400;
/// Set when the segment carries SACK-permitted (RFC 2018).
pub const SACK_PERMITTED: u16 = 0x800;
/// The window-scale shift sits in the top four bits; this value there means "no window-scale option".
pub const NO_WINDOW_SCALE: u16 = 15;
const WINDOW_SCALE_SHIFT: u32 = 12;

/// The normalised 5-tuple (the protocol is always TCP) plus observation domain: 40 bytes, no padding.
///
/// IPv4 addresses are IPv4-mapped. The endpoint that compares lower as (address, port) is `lo`; both directions of a
/// connection therefore have one key, and [`FROM_HI`] says which way a segment went. Never holds an interface or a
/// MAC address: two legs of a TAP make one connection.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct FlowKey {
    /// `lo` address (words 0, 1) and `hi` address (words 2, 3) in network byte order; word 4 is
    /// `lo port | hi port << 16 | domain << 32`, host order.
    pub words: [u64; 5],
}

impl FlowKey {
    /// Builds the key of a segment sent from `src` to `dst` and says whether the sender became `hi`.
    #[inline(always)]
    #[must_use]
    pub fn normalised(src: Endpoint, dst: Endpoint, domain: u32) -> (Self, bool) {
        // Compared as stored words: any total order will do, as long as kernel and user space share it.
        let from_hi = if src.a != dst.a {
            src.a > dst.a
        } else if src.b != dst.b {
            src.b > dst.b
        } else {
            src.port > dst.port
        };
        let (lo, hi) = if from_hi { (dst, src) } else { (src, dst) };
        let last = lo.port as u64 | (hi.port as u64) << 16 | (domain as u64) << 32;
        (Self { words: [lo.a, lo.b, hi.a, hi.b, last] }, from_hi)
    }

    /// The `lo` endpoint.
    #[inline(always)]
    #[must_use]
    pub fn lo(&self) -> Endpoint {
        Endpoint { a: self.words[0], b: self.words[1], port: self.words[4] as u16 }
    }

    /// The `hi` endpoint.
    #[inline(always)]
    #[must_use]
    pub fn hi(&self) -> Endpoint {
        Endpoint { a: self.words[2], b: self.words[3], port: (self.words[4] >> 16) as u16 }
    }

    /// The observation domain (a VLAN or virtual network id, 0 when not asked for).
    #[inline(always)]
    #[must_use]
    pub fn domain(&self) -> u32 {
        (self.words[4] >> 32) as u32
    }

    /// Copies word by word: assigning the whole value becomes a call of memmove in BPF.
    #[inline(always)]
    pub fn copy_from(&mut self, from: &Self) {
        self.words[0] = from.words[0];
        self.words[1] = from.words[1];
        self.words[2] = from.words[2];
        self.words[3] = from.words[3];
        self.words[4] = from.words[4];
    }

    /// Equality without a branch per word: array comparison becomes a loop in BPF, which the verifier walks word by word.
    #[inline(always)]
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let (a, b) = (&self.words, &other.words);
        (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) == 0
    }

    /// A 64-bit mix of the key with a seed. The seed is drawn per load, so that nobody can aim for one bucket.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, seed: u64) -> u64 {
        // One product per word, independent of each other (a chain of them is what the first load of the table would
        // wait for), rotated apart so that differences of two words cannot cancel, and a final avalanche. Collisions
        // cost a key compare, never a wrong count.
        const K: [u64; 5] = [
            0x9e37_79b9_7f4a_7c15,
            0xbf58_476d_1ce4_e5b9,
            0x94d0_49bb_1331_11eb,
            0xd6e8_feb8_6659_fd93,
            0xa076_1d64_78bd_642f,
        ];
        let mix = |word: usize| (seed ^ self.words[word]).wrapping_mul(K[word]);
        let mut h =
            mix(0) ^ mix(1).rotate_left(13) ^ mix(2).rotate_left(26) ^ mix(3).rotate_left(39) ^ mix(4).rotate_left(52);
        h ^= h >> 32;
        h = h.wrapping_mul(0xd6e8_feb8_6659_fd93);
        h ^ (h >> 29)
    }
}

/// One end of a flow: an IPv6 or IPv4-mapped address as two words in network byte order, and a port in host order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Endpoint {
    /// First eight bytes of the address, as loaded from memory.
    pub a: u64,
    /// Last eight bytes of the address, as loaded from memory.
    pub b: u64,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// From the four IPv4 address bytes, loaded from memory as one integer.
    #[inline(always)]
    #[must_use]
    pub fn v4(address: u32, port: u16) -> Self {
        // ::ffff:a.b.c.d, composed so that the bytes in memory are right on either endianness.
        let high = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
        let b = if cfg!(target_endian = "little") {
            high as u64 | (address as u64) << 32
        } else {
            (high as u64) << 32 | address as u64
        };
        Self { a: 0, b, port }
    }

    /// The sixteen address bytes in network order (IPv4 as IPv4-mapped).
    #[inline]
    #[must_use]
    pub fn octets(&self) -> [u8; 16] {
        let (a, b) = (self.a.to_ne_bytes(), self.b.to_ne_bytes());
        core::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] })
    }

    /// From sixteen address bytes in network order.
    #[inline]
    #[must_use]
    pub fn from_octets(octets: [u8; 16], port: u16) -> Self {
        let word = |at: usize| u64::from_ne_bytes(core::array::from_fn(|i| octets[at + i]));
        Self { a: word(0), b: word(8), port }
    }
}

/// One segment, verbatim: what user space needs to rebuild order and cause. 32 bytes.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SegmentRecord {
    /// When it was seen, nanoseconds: `CLOCK_MONOTONIC` live, since the Unix epoch in captures.
    pub time_ns: u64,
    /// Sequence number.
    pub seq: u32,
    /// Acknowledgement field, also when ACK is not set.
    pub ack: u32,
    /// TCP payload bytes by the IP header (not by what was captured).
    pub payload_len: u32,
    /// Window field, unscaled.
    pub window: u16,
    /// MSS option (SYN segments), 0 when absent.
    pub mss: u16,
    /// IPv4 identification; 0 for IPv6.
    pub ip_id: u16,
    /// IP header (with options or extension headers) plus TCP header, bytes.
    pub header_len: u16,
    /// Nine TCP flag bits, [`FROM_HI`], [`HAS_TIMESTAMPS`], [`SACK_PERMITTED`], window scale in the top four bits.
    pub flags: u16,
    /// IPv4 TTL or IPv6 hop limit.
    pub ttl: u8,
    /// TCP option bytes, 0 to 40.
    pub option_len: u8,
}

impl SegmentRecord {
    /// True when every bit of `flags` is set.
    #[inline(always)]
    #[must_use]
    pub fn has(&self, flags: u16) -> bool {
        self.flags & flags == flags
    }

    /// True for SYN, FIN or RST.
    #[inline(always)]
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.flags & CONTROL != 0
    }

    /// True when the `hi` endpoint of the key sent it.
    #[inline(always)]
    #[must_use]
    pub fn from_hi(&self) -> bool {
        self.flags & FROM_HI != 0
    }

    /// Copies field by field: assigning the whole value becomes a call of memmove in BPF.
    #[inline(always)]
    pub fn copy_from(&mut self, from: &Self) {
        let Self { time_ns, seq, ack, payload_len, window, mss, ip_id, header_len, flags, ttl, option_len } = *from;
        self.time_ns = time_ns;
        self.seq = seq;
        self.ack = ack;
        self.payload_len = payload_len;
        self.window = window;
        self.mss = mss;
        // Opaque, so that no load is put together across the words that [`Self::words`] are stored in: that would wait
        // for every store before it, those into the table included.
        self.ip_id = core::hint::black_box(ip_id);
        self.header_len = header_len;
        self.flags = flags;
        self.ttl = ttl;
        self.option_len = option_len;
    }

    /// The record as it lies in memory on a little-endian machine, word by word. Stored so, it can be copied in words
    /// right afterwards: the processor does not forward several narrow stores to one wide load, but waits for all stores
    /// before it, those into the table included.
    #[inline(always)]
    #[must_use]
    pub fn words(&self) -> [u64; 4] {
        let Self { time_ns, seq, ack, payload_len, window, mss, ip_id, header_len, flags, ttl, option_len } = *self;
        [
            time_ns,
            seq as u64 | (ack as u64) << 32,
            payload_len as u64 | (window as u64) << 32 | (mss as u64) << 48,
            ip_id as u64
                | (header_len as u64) << 16
                | (flags as u64) << 32
                | (ttl as u64) << 48
                | (option_len as u64) << 56,
        ]
    }

    /// Sequence space it occupies: payload, plus one each for SYN and FIN (RFC 9293 3.4).
    #[inline(always)]
    #[must_use]
    pub fn sequence_len(&self) -> u32 {
        self.payload_len.wrapping_add((self.flags & SYN != 0) as u32).wrapping_add((self.flags & FIN != 0) as u32)
    }

    /// Sequence number after its last byte.
    #[inline(always)]
    #[must_use]
    pub fn seq_end(&self) -> u32 {
        self.seq.wrapping_add(self.sequence_len())
    }

    /// IP packet length: headers plus payload, bytes.
    #[inline(always)]
    #[must_use]
    pub fn ip_len(&self) -> u32 {
        self.payload_len.wrapping_add(self.header_len as u32)
    }

    /// Window-scale shift offered in this segment's options, if any (RFC 7323 2.2).
    #[inline(always)]
    #[must_use]
    pub fn window_scale(&self) -> Option<u8> {
        let shift = self.flags >> WINDOW_SCALE_SHIFT;
        if shift == NO_WINDOW_SCALE { None } else { Some(shift as u8) }
    }

    /// Replaces the window-scale field; `None` stores [`NO_WINDOW_SCALE`].
    #[inline(always)]
    pub fn put_window_scale(&mut self, shift: Option<u8>) {
        // RFC 7323 2.3: a shift above 14 counts as 14.
        let value = match shift {
            Some(shift) if shift > 14 => 14,
            Some(shift) => shift as u16,
            None => NO_WINDOW_SCALE,
        };
        self.flags = self.flags & 0x0fff | value << WINDOW_SCALE_SHIFT;
    }
}

/// A parsed segment: whose it is, what it says, and the first payload bytes of an RST.
///
/// The one type that every source yields and the tracker consumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// Flow it belongs to.
    pub key: FlowKey,
    /// Its header fields.
    pub record: SegmentRecord,
    /// First eight payload bytes of an RST with at least eight (RFC 9293 3.5.3 and the RST diagnostic payload
    /// draft), as loaded from memory; 0 otherwise.
    pub rst_note: u64,
}

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

/// Segments kept verbatim in a slot; further ones go to the log.
pub const SLOT_SEGMENTS: usize = 8;

/// One flow in one epoch on one CPU: seven cache lines.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot {
    /// Whose it is.
    pub key: FlowKey,
    /// First payload bytes of the first RST that had any, see [`Segment::rst_note`].
    pub rst_note: u64,
    /// Where the index points to this slot (bucket number), so that the drain clears just that.
    pub bucket: u32,
    /// Verbatim segments in `segments`, 0 to [`SLOT_SEGMENTS`].
    pub segment_count: u8,
    /// [`SLOT_CLOSING`] and [`SLOT_SUPERSEDED`].
    pub state: u8,
    /// Segments that were state-relevant but went to the log because `segments` was full (saturating).
    pub spilled: u16,
    /// Initial sequence number of the last SYN without ACK, to tell a retransmission from a new connection.
    pub isn: u32,
    /// The same of the last SYN with ACK.
    pub syn_ack_isn: u32,
    /// Counters of segments sent by the `lo` endpoint.
    pub lo: DirectionCounters,
    /// Counters of segments sent by the `hi` endpoint.
    pub hi: DirectionCounters,
    /// The first state-relevant segments of the epoch, in order.
    pub segments: [SegmentRecord; SLOT_SEGMENTS],
}

/// [`Slot::state`]: a FIN or RST was seen in this slot.
pub const SLOT_CLOSING: u8 = 1;
/// [`Slot::state`]: a later SYN of the same key opened a new slot; this one takes no more segments.
pub const SLOT_SUPERSEDED: u8 = 2;
/// [`Slot::state`]: the `hi` endpoint sent the last segment.
pub const SLOT_LAST_FROM_HI: u8 = 4;

/// Entries of one index bucket: one cache line.
pub const BUCKET_ENTRIES: usize = 16;

/// One bucket of the index: each entry is `(slot + 1) | tag << 24`, 0 when free; entries fill from the front.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bucket {
    /// See the type.
    pub entries: [u32; BUCKET_ENTRIES],
}

/// Bits of a [`Bucket`] entry that hold `slot + 1`; the rest is the tag.
pub const ENTRY_SLOT_BITS: u32 = 24;
/// Mask of the slot part of a [`Bucket`] entry.
pub const ENTRY_SLOT_MASK: u32 = (1 << ENTRY_SLOT_BITS) - 1;

/// One segment that found no room in a slot.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LogEntry {
    /// Whose it is.
    pub key: FlowKey,
    /// Its header fields.
    pub record: SegmentRecord,
    /// See [`Segment::rst_note`].
    pub rst_note: u64,
    /// 1 when a slot already counted it (only its order and fields are here), 0 when this entry is its only trace.
    pub counted: u32,
    /// Must be 0.
    pub pad: u32,
}

/// Flag classes of the per-flag books: one segment may be in several (SYN+FIN).
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FlagCounts {
    /// SYN without ACK.
    pub syn: u64,
    /// SYN with ACK.
    pub syn_ack: u64,
    /// FIN.
    pub fin: u64,
    /// RST.
    pub rst: u64,
}

impl FlagCounts {
    /// Counts the flags of one segment.
    #[inline(always)]
    pub fn add(&mut self, flags: u16) {
        if flags & SYN != 0 {
            if flags & ACK != 0 {
                self.syn_ack += 1;
            } else {
                self.syn += 1;
            }
        }
        if flags & FIN != 0 {
            self.fin += 1;
        }
        if flags & RST != 0 {
            self.rst += 1;
        }
    }
}

/// Number of [`crate::parse::Reject`] reasons a [`CpuEpoch`] has room for.
pub const REJECT_REASONS: usize = 24;

/// The books of one CPU for one epoch. Every frame is in exactly one of `tcp` and `rejected[..]`; every TCP segment in
/// exactly one of `in_slots`, `logged`, `untracked` and `passed_by`.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuEpoch {
    /// Frames the program was called for.
    pub frames: u64,
    /// Bytes of those frames, link header included; of a multi-buffer frame, of its first buffer.
    pub frame_bytes: u64,
    /// Frames with a readable TCP header.
    pub tcp: u64,
    /// Data segments that depth `control` does not record.
    pub passed_by: u64,
    /// Segments counted in a slot.
    pub in_slots: u64,
    /// Segments whose only trace is a log entry (no slot was free).
    pub logged: u64,
    /// Control segments that found neither slot nor log room: counted here by flag, nowhere else.
    pub untracked: u64,
    /// Data segments (depth `full`) that found no slot: counted here, nowhere else.
    pub untracked_data: u64,
    /// Slots in use: they are `0..slots`, in the order of first use.
    pub slots: u32,
    /// Log entries in use: they are `0..log_entries`.
    pub log_entries: u32,
    /// Segments counted in a slot whose verbatim copy found room neither in the slot nor in the log.
    pub order_lost: u64,
    /// Times a bucket was full although slots were free.
    pub bucket_full: u64,
    /// All flags seen.
    pub seen: FlagCounts,
    /// Flags of segments with an uncounted log entry.
    pub logged_flags: FlagCounts,
    /// Flags of `untracked`.
    pub untracked_flags: FlagCounts,
    /// Frames that are not readable TCP, by reason.
    pub rejected: [u64; REJECT_REASONS],
}

/// What the agent tells the program while it runs; the program only reads it. One cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Control {
    /// Epoch number; its lowest bit says which half of the maps is being written.
    pub epoch: u64,
    /// `CLOCK_MONOTONIC` at the agent's last tick, nanoseconds: the coarse clock of segments that are only counted.
    pub now_ns: u64,
    /// 0 while interfaces are being attached or detached one after the other: frames pass without being recorded, so that
    /// no connection is seen with one leg only.
    pub armed: u64,
}

/// Four-byte words of a `struct sockaddr_in6`, in which the tracepoint keeps addresses.
pub const SOCKADDR_LEN: usize = 7;

/// One reset that the kernel of this host sent, as `tcp:tcp_send_reset` tells it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ResetEvent {
    /// When, `CLOCK_MONOTONIC` nanoseconds.
    pub time_ns: u64,
    /// Address of the segment that provoked it; 0 when the kernel or the application decided by itself.
    pub skb: u64,
    /// TCP state of the socket, 0 without one.
    pub state: u32,
    /// `enum sk_rst_reason`, whose numbers differ between kernels; `u32::MAX` when it could not be read.
    pub reason: u32,
    /// Sender of the reset: `sockaddr_in` or `sockaddr_in6`.
    pub source: [u32; SOCKADDR_LEN],
    /// Receiver of the reset.
    pub destination: [u32; SOCKADDR_LEN],
}

/// `DEPTH` global: only SYN, FIN and RST touch the table.
pub const DEPTH_CONTROL: u32 = 0;
/// `DEPTH` global: every TCP segment updates its slot.
pub const DEPTH_FULL: u32 = 1;

const _: () = {
    assert!(size_of::<FlowKey>() == 40 && size_of::<SegmentRecord>() == 32 && size_of::<DirectionCounters>() == 64);
    assert!(offset_of!(DirectionCounters, packets) == 24 && offset_of!(DirectionCounters, last_payload) == 62);
    assert!(size_of::<Slot>() == 448 && offset_of!(Slot, lo) == 64 && offset_of!(Slot, hi) == 128);
    assert!(offset_of!(Slot, rst_note) == 40 && offset_of!(Slot, isn) == 56 && offset_of!(Slot, segments) == 192);
    assert!(size_of::<Bucket>() == 64 && size_of::<LogEntry>() == 88 && size_of::<FlagCounts>() == 32);
    assert!(offset_of!(CpuEpoch, slots) == 64 && offset_of!(CpuEpoch, seen) == 88);
    assert!(offset_of!(CpuEpoch, rejected) == 184 && size_of::<CpuEpoch>() == 384);
    assert!(size_of::<Control>() == 64 && size_of::<ResetEvent>() == 80);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_share_a_key_and_differ_in_direction() {
        let a = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 1]), 40000);
        let b = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 2]), 80);
        let (one, from_hi_one) = FlowKey::normalised(a, b, 7);
        let (two, from_hi_two) = FlowKey::normalised(b, a, 7);
        assert_eq!(one, two);
        assert_ne!(from_hi_one, from_hi_two);
        assert_eq!(one.domain(), 7);
        let ends = [one.lo(), one.hi()];
        assert!(ends.contains(&a) && ends.contains(&b));
        assert_eq!(a.octets(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
        assert_eq!(Endpoint::from_octets(a.octets(), a.port), a);
    }

    #[test]
    fn equal_addresses_are_ordered_by_port() {
        let end = |port| Endpoint::v4(1, port);
        let (key, from_hi) = FlowKey::normalised(end(5), end(4), 0);
        assert!(from_hi);
        assert_eq!((key.lo().port, key.hi().port), (4, 5));
        let (_, from_hi) = FlowKey::normalised(end(5), end(5), 0);
        assert!(!from_hi, "a segment from an endpoint to itself is always lo");
    }

    #[test]
    fn window_scale_is_kept_beside_the_flags() {
        let mut record = SegmentRecord { flags: SYN | FROM_HI, ..SegmentRecord::default() };
        record.put_window_scale(None);
        assert_eq!(record.window_scale(), None);
        record.put_window_scale(Some(200));
        assert_eq!(record.window_scale(), Some(14));
        assert!(record.has(SYN) && record.from_hi() && record.is_control());
    }

    #[test]
    fn sequence_space_counts_syn_and_fin() {
        let record = SegmentRecord { seq: u32::MAX, payload_len: 3, flags: SYN | FIN, ..SegmentRecord::default() };
        assert_eq!(record.sequence_len(), 5);
        assert_eq!(record.seq_end(), 4);
    }
}

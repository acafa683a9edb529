//! Segment record: flag bits and header fields of one TCP segment.

use super::FlowKey;

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

/// A parsed segment: whose it is, what it says, and how its payload begins where that tells something.
///
/// The one type that every source yields and the tracker consumes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Segment {
    /// Flow it belongs to.
    pub key: FlowKey,
    /// Its header fields.
    pub record: SegmentRecord,
    /// First eight payload bytes, as loaded from memory, of an RST with at least eight (RFC 9293 3.5.3 and the RST
    /// diagnostic payload draft) and of a segment that may be a TLS alert ([`crate::parse::is_alert_len`]); 0 otherwise.
    pub first_bytes: u64,
}

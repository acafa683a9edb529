//! Fast path for frames as nearly all are: Ethernet, IPv4 without options, TCP, nothing in pieces.
//!
//! The fields are those that the shared parser finds, which tests hold this to. Here all is at a known place after one
//! look at the length, so that a field is one load, and what a checksum covers is in registers already.

use probe_ebpf::layout::{
    Endpoint, FROM_HI, FlowKey, HAS_TIMESTAMPS, NO_WINDOW_SCALE, RST, SYN, Segment, SegmentRecord, TCP_FLAGS,
};
use probe_ebpf::parse::{ENCRYPTED_ALERTS, Located, SliceReader, first_bytes, has_first_bytes, rest};

use super::checksum::{holds, sum_behind, sum_words};
use super::decoded::Payload;
use super::frame::Frame;
use super::link_type::LinkType;

const IP: usize = 14;
const TCP: usize = IP + 20;
/// With a TCP header without options.
const HEADERS: usize = TCP + 20;

/// Reads the segment of such a frame to where it is to be. `None` for any other frame, also for a damaged one.
#[inline(always)]
pub(super) fn read(frame: &Frame<'_>, verify: bool, into: &mut Segment) -> Option<Payload> {
    let fixed = Headers(frame.bytes.first_chunk()?);
    let (captured, on_wire) = (frame.bytes.len(), frame.wire_len);
    if frame.link != LinkType::Ethernet || on_wire < captured || !fixed.are_plain() {
        return None;
    }
    let end = IP + usize::from(fixed.be16(IP + 2));
    let tcp_header_len = usize::from(fixed.0[TCP + 12] >> 4) * 4;
    let header_end = TCP + tcp_header_len;
    let payload_cut = end > captured;
    if tcp_header_len < 20 || header_end > end || payload_cut && (end > on_wire || header_end > captured) {
        return None;
    }
    let mut bad_checksum = false;
    if verify {
        if !fixed.ip_checksum_holds() {
            return None;
        }
        bad_checksum = !payload_cut && !fixed.tcp_checksum_holds(frame.bytes, end);
    }
    fixed.read(frame.time_ns, end, header_end, into);
    let is_rst = into.record.flags & RST != 0;
    if header_end != HEADERS || is_rst && end > HEADERS {
        read_more(frame.bytes, end, into);
    }
    // Nearly all payload is longer, and most segments have none.
    if (end - header_end).wrapping_sub(1) < LONGEST_ALERT || is_rst && end > header_end {
        read_first_bytes(frame.bytes, header_end, into);
    }
    Some(Payload { bad_checksum, payload_cut })
}

/// The first bytes of a frame.
struct Headers<'a>(&'a [u8; HEADERS]);

impl Headers<'_> {
    /// EtherType, version and header length, no fragment, protocol.
    #[inline(always)]
    fn are_plain(&self) -> bool {
        let begin = self.ne32(IP - 2) & u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
        let middle = self.ne32(IP + 6) & u32::from_ne_bytes([0x3f, 0xff, 0, 0xff]);
        begin == u32::from_ne_bytes([0x08, 0x00, 0x45, 0]) && middle == u32::from_ne_bytes([0, 0, 0, 6])
    }

    #[inline(always)]
    fn ip_checksum_holds(&self) -> bool {
        holds(sum_words([self.ne64(IP), self.ne64(IP + 8), u64::from(self.ne32(IP + 16))]))
    }

    /// Of all bytes up to `end`, which are there, and the pseudo header.
    #[inline(always)]
    fn tcp_checksum_holds(&self, bytes: &[u8], end: usize) -> bool {
        // Protocol and length in network byte order; no length needs more than 16 bits here.
        let pseudo = u64::from(6_u16.to_be()) + u64::from(((end - TCP) as u16).to_be());
        let last = u64::from(self.ne32(TCP + 16));
        let sum = sum_words([self.ne64(IP + 12), self.ne64(TCP), self.ne64(TCP + 8), last + pseudo]);
        holds(if end == HEADERS { sum } else { with_payload(bytes, end, sum) })
    }

    /// All but what options and the payload say.
    #[inline(always)]
    fn read(&self, time_ns: u64, end: usize, header_end: usize, into: &mut Segment) {
        let (key, from_hi) = self.key();
        *into = Segment {
            key,
            record: SegmentRecord {
                time_ns,
                seq: self.be32(TCP + 4),
                ack: self.be32(TCP + 8),
                payload_len: (end - header_end) as u32,
                window: self.be16(TCP + 14),
                mss: 0,
                ip_id: self.be16(IP + 4),
                header_len: (header_end - IP) as u16,
                flags: self.be16(TCP + 12) & TCP_FLAGS | from_hi | NO_WINDOW_SCALE << 12,
                ttl: self.0[IP + 8],
                option_len: (header_end - HEADERS) as u8,
            },
            first_bytes: 0,
        };
    }

    /// The key of [`FlowKey::normalised`], and [`FROM_HI`] if so. There is no VLAN and no tunnel that it could be in.
    #[inline(always)]
    fn key(&self) -> (FlowKey, u16) {
        let (src, dst) = (self.ne32(IP + 12), self.ne32(IP + 16));
        // Source in the upper half.
        let ports = self.be32(TCP);
        let from_hi = if src == dst { ports > ports.rotate_left(16) } else { src > dst };
        // Nothing below may be a branch: which way the next segment goes cannot be guessed.
        let ports = ports.rotate_left(if from_hi { 0 } else { 16 });
        let b = |address| Endpoint::v4(address, 0).b;
        let key = FlowKey { words: [0, b(src.min(dst)), 0, b(src.max(dst)), u64::from(ports)] };
        (key, if from_hi { FROM_HI } else { 0 })
    }

    #[inline(always)]
    fn be16(&self, at: usize) -> u16 {
        u16::from_be_bytes(self.bytes(at))
    }

    #[inline(always)]
    fn be32(&self, at: usize) -> u32 {
        u32::from_be_bytes(self.bytes(at))
    }

    #[inline(always)]
    fn ne32(&self, at: usize) -> u32 {
        u32::from_ne_bytes(self.bytes(at))
    }

    #[inline(always)]
    fn ne64(&self, at: usize) -> u64 {
        u64::from_ne_bytes(self.bytes(at))
    }

    /// At a place known when compiled, so that there is nothing to check.
    #[inline(always)]
    fn bytes<const N: usize>(&self, at: usize) -> [u8; N] {
        self.0.get(at..).and_then(|bytes| bytes.first_chunk()).copied().unwrap_or([0; N])
    }
}

/// Longer payload is no TLS alert: the last of [`ENCRYPTED_ALERTS`].
const LONGEST_ALERT: usize = ENCRYPTED_ALERTS[ENCRYPTED_ALERTS.len() - 1] as usize;

/// Timestamps, as nearly every segment has them when it has options at all (RFC 7323 appendix A).
const TIMESTAMPS: [u8; 4] = [1, 1, 8, 10];

/// Options, and the reason of an RST.
#[inline(always)]
fn read_more(bytes: &[u8], end: usize, segment: &mut Segment) {
    let record = &mut segment.record;
    let usual = record.option_len >= 12
        && record.flags & SYN == 0
        && bytes.get(HEADERS..).is_some_and(|options| options.starts_with(&TIMESTAMPS));
    if usual {
        record.flags |= HAS_TIMESTAMPS;
    }
    if !usual || record.flags & RST != 0 {
        read_rest(bytes, end, segment);
    }
}

/// What few segments have.
#[inline(never)]
fn read_rest(bytes: &[u8], end: usize, segment: &mut Segment) {
    let located = Located {
        tcp_len: (end - TCP) as u32,
        ip: IP as u16,
        tcp: TCP as u16,
        tcp_header_len: 20 + segment.record.option_len,
        ip_version: 4,
        ..Located::default()
    };
    rest(&SliceReader { bytes, wire_len: bytes.len() }, &located, segment);
}

/// How a TLS alert begins, or what an RST says.
#[inline(never)]
fn read_first_bytes(bytes: &[u8], header_end: usize, segment: &mut Segment) {
    if !has_first_bytes(&segment.record) {
        return;
    }
    let reader = SliceReader { bytes, wire_len: bytes.len() };
    segment.first_bytes = first_bytes(&reader, header_end, segment.record.payload_len);
}

/// Apart, as most segments have none.
#[inline(never)]
fn with_payload(bytes: &[u8], end: usize, sum: u64) -> u64 {
    bytes.get(HEADERS - 8..end).map_or(sum, |bytes| sum_behind(bytes, sum))
}

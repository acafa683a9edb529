//! Frame parser: Ethernet frame or IP packet to [`Segment`].
//!
//! One parser for the XDP program, AF_XDP and capture files: it reads through the small [`Reader`] trait, and each
//! reader answers one question, "are there N bytes at this offset, and where". Ethernet with up to two VLAN tags,
//! IPv4 with options, IPv6 with a bounded extension-header chain, first fragments, TCP with its options.
//!
//! Every frame is either a [`Segment`] or exactly one [`Reject`]. Must not know: maps, clocks, flows, verdicts.
//!
//! Two stages, so that a caller that only wants control segments pays for nothing else: [`locate`] finds the TCP
//! header, [`segment`] reads the fields.

use crate::layout::{CONTROL, Endpoint, FROM_HI, FlowKey, HAS_TIMESTAMPS, RST, SYN, Segment, SegmentRecord, TCP_FLAGS};

/// A source of frame bytes.
pub trait Reader {
    /// The `N` bytes at `offset`, or `None` when the frame (or what was captured of it) ends before.
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]>;

    /// Length of the frame on the wire, link header included. May be more than can be read.
    fn wire_len(&self) -> usize;

    /// True when the frame on the wire has at least `end` bytes. A reader for which [`Self::wire_len`] is dear (a
    /// multi-buffer frame in the kernel) answers from the first buffer where it can.
    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        end <= self.wire_len()
    }
}

/// Ordinary memory.
#[derive(Clone, Copy, Debug)]
pub struct SliceReader<'a> {
    /// What was captured of the frame.
    pub bytes: &'a [u8],
    /// How long the frame was on the wire.
    pub wire_len: usize,
}

impl<'a> SliceReader<'a> {
    /// A frame that was captured whole.
    #[must_use]
    pub fn whole(bytes: &'a [u8]) -> Self {
        Self { bytes, wire_len: bytes.len() }
    }
}

impl Reader for SliceReader<'_> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        self.bytes.get(offset..)?.first_chunk()
    }

    /// Never less than can be read, whatever was claimed.
    #[inline(always)]
    fn wire_len(&self) -> usize {
        self.wire_len.max(self.bytes.len())
    }
}

/// Where the headers of a TCP segment are. Narrow integers: the kernel program passes it through map memory, and the
/// verifier knows the bounds of a narrow load.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Located {
    /// Bytes from the start of the TCP header to the end of the IP packet, by the IP header: also where the frame ends
    /// before.
    pub tcp_len: u32,
    /// Innermost tunnel id (VNI, TEID, ERSPAN session), 0 outside tunnels.
    pub tunnel_id: u32,
    /// Offset of the IP header.
    pub ip: u16,
    /// Offset of the TCP header.
    pub tcp: u16,
    /// Outermost VLAN id, 0 when untagged.
    pub vlan: u16,
    /// TCP flag bits ([`TCP_FLAGS`]).
    pub flags: u16,
    /// TCP header length, bytes: 20 to 60.
    pub tcp_header_len: u8,
    /// 4 or 6.
    pub ip_version: u8,
    /// 1 for the first fragment of a fragmented packet: the payload length is that of the fragment. Otherwise 0.
    pub fragment: u8,
    /// Tunnels around it.
    pub tunnels: u8,
}

impl Located {
    /// True for SYN, FIN or RST.
    #[inline(always)]
    #[must_use]
    pub fn is_control(&self) -> bool {
        self.flags & CONTROL != 0
    }

    /// True when the packet goes on where the frame ends: whoever mirrored it cropped it (packet slicing, ERSPAN
    /// truncation), and the IP header still says how long it was.
    #[inline(always)]
    #[must_use]
    pub fn is_cropped<R: Reader>(&self, reader: &R) -> bool {
        !reader.reaches(self.tcp as usize + self.tcp_len as usize)
    }

    /// Observation domain for the key: [`TUNNELLED`] for what was inside a tunnel, so that inner and outer tuples never
    /// share a key, and the id that `domain` asks for.
    #[inline(always)]
    #[must_use]
    pub fn domain(&self, domain: u32) -> u32 {
        self::domain(domain, self.tunnels, self.vlan, self.tunnel_id)
    }
}

/// See [`Located::domain`].
#[inline(always)]
pub(crate) fn domain(domain: u32, tunnels: u8, vlan: u16, tunnel_id: u32) -> u32 {
    let tunnelled = if tunnels != 0 { TUNNELLED } else { 0 };
    let id = match domain {
        DOMAIN_VLAN => vlan as u32,
        DOMAIN_TUNNEL => tunnel_id,
        _ => 0,
    };
    tunnelled | (id & !TUNNELLED)
}

/// Bit of a key's domain: the segment was inside a tunnel.
pub const TUNNELLED: u32 = 1 << 31;
/// Domain: addresses and ports alone make a key.
pub const DOMAIN_NONE: u32 = 0;
/// Domain: the outermost VLAN id is part of the key.
pub const DOMAIN_VLAN: u32 = 1;
/// Domain: the innermost tunnel id (VNI, TEID, session) is part of the key.
pub const DOMAIN_TUNNEL: u32 = 2;

/// VLAN tags that are followed (802.1Q and 802.1ad, in any mix).
pub const MAX_VLAN_TAGS: usize = 2;
/// IPv6 extension headers that are followed.
pub const MAX_EXTENSIONS: usize = 8;

const ETHER_LEN: usize = 14;
pub(crate) const ETHER_IPV4: u16 = 0x0800;
pub(crate) const ETHER_IPV6: u16 = 0x86dd;
const PROTOCOL_TCP: u8 = 6;

#[inline(always)]
pub(crate) fn be16<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

#[inline(always)]
pub(crate) fn be32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The `N` bytes at `at`: copied as a whole, so that they are one load even where a mask follows. Put together of bytes,
/// those that the mask leaves out are not loaded, and the others one by one.
#[inline(always)]
fn whole<const N: usize, const M: usize>(bytes: &[u8; M], at: usize) -> [u8; N] {
    let mut whole = [0; N];
    whole.copy_from_slice(&bytes[at..at + N]);
    whole
}

#[inline(always)]
fn ne32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_ne_bytes(whole(bytes, at))
}

#[inline(always)]
fn ne64<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from_ne_bytes(whole(bytes, at))
}

#[inline(always)]
pub(crate) fn is_vlan(ether_type: u16) -> bool {
    // 802.1Q, 802.1ad, and the pre-standard QinQ value that switches still emit.
    ether_type == 0x8100 || ether_type == 0x88a8 || ether_type == 0x9100
}

/// Finds the TCP header of an Ethernet frame.
///
/// # Errors
/// The one [`Reject`] that says why there is none.
#[inline(always)]
pub fn locate<R: Reader>(reader: &R) -> Result<Located, Reject> {
    let Some(ether) = reader.bytes::<ETHER_LEN>(0) else { return Err(Reject::ShortLink) };
    let mut ether_type = be16(ether, 12);
    let mut at = ETHER_LEN;
    let mut vlan = 0;
    // Unrolled by hand: two tags, and a compile-time offset in the common case of none.
    if is_vlan(ether_type) {
        let Some(tag) = reader.bytes::<4>(at) else { return Err(Reject::ShortExtension) };
        vlan = be16(tag, 0) & 0x0fff;
        ether_type = be16(tag, 2);
        at += 4;
        if is_vlan(ether_type) {
            let Some(tag) = reader.bytes::<4>(at) else { return Err(Reject::ShortExtension) };
            ether_type = be16(tag, 2);
            at += 4;
            if is_vlan(ether_type) {
                return Err(Reject::VlanDepth);
            }
        }
    }
    match ether_type {
        ETHER_IPV4 => locate_v4(reader, at, vlan),
        ETHER_IPV6 => locate_v6(reader, at, vlan),
        _ => Err(Reject::NotIp),
    }
}

/// Finds the TCP header of a frame that begins with an IP header of either version: what interfaces without Ethernet
/// receive and send.
///
/// # Errors
/// The one [`Reject`] that says why there is none.
#[inline(always)]
pub fn locate_ip<R: Reader>(reader: &R) -> Result<Located, Reject> {
    let Some(first) = reader.bytes::<2>(0) else { return Err(Reject::ShortIp) };
    match first[0] >> 4 {
        4 => locate_v4(reader, 0, 0),
        6 => locate_v6(reader, 0, 0),
        _ => Err(Reject::NotIp),
    }
}

/// Finds the TCP header of a packet whose IPv4 header is at `ip`.
///
/// # Errors
/// The one [`Reject`] that says why there is none.
#[inline(always)]
pub fn locate_v4<R: Reader>(reader: &R, ip: usize, vlan: u16) -> Result<Located, Reject> {
    let Some(header) = reader.bytes::<20>(ip) else { return Err(Reject::ShortIp) };
    if header[0] >> 4 != 4 {
        return Err(Reject::IpVersion);
    }
    let header_len = (header[0] & 0x0f) as usize * 4;
    let mut total = be16(header, 2) as usize;
    if total == 0 {
        // Segmentation offload leaves 0 in packets that are larger than the field: the frame length is the truth.
        total = reader.wire_len() - ip;
    }
    if header_len < 20 || header_len > total {
        return Err(Reject::IpHeaderLength);
    }
    let fragment = be16(header, 6);
    if fragment & 0x1fff != 0 {
        return Err(Reject::LaterFragment);
    }
    if header[9] != PROTOCOL_TCP {
        return Err(Reject::NotTcp);
    }
    let fragment = fragment & 0x2000 != 0;
    locate_tcp(reader, &Place { ip, tcp: ip + header_len, tcp_len: total - header_len, v6: false, fragment, vlan })
}

/// Finds the TCP header of a packet whose IPv6 header is at `ip`.
///
/// # Errors
/// The one [`Reject`] that says why there is none.
#[inline(always)]
pub fn locate_v6<R: Reader>(reader: &R, ip: usize, vlan: u16) -> Result<Located, Reject> {
    let Some(header) = reader.bytes::<40>(ip) else { return Err(Reject::ShortIp) };
    if header[0] >> 4 != 6 {
        return Err(Reject::IpVersion);
    }
    let mut payload = be16(header, 4) as usize;
    if payload == 0 {
        // A jumbogram (RFC 2675) or an offloaded super-packet: the frame length is the truth.
        payload = reader.wire_len() - ip - 40;
    }
    let mut next = header[6];
    let mut skipped = 0;
    let mut fragment = false;
    for _ in 0..=MAX_EXTENSIONS {
        if next == PROTOCOL_TCP {
            let tcp_len = payload - skipped;
            return locate_tcp(reader, &Place { ip, tcp: ip + 40 + skipped, tcp_len, v6: true, fragment, vlan });
        }
        let (after, len, first_fragment) = extension(reader, next, ip + 40 + skipped)?;
        next = after;
        fragment |= first_fragment;
        skipped += len;
        if skipped > payload {
            return Err(Reject::ShortExtension);
        }
    }
    Err(Reject::ExtensionDepth)
}

/// One IPv6 extension header: next header, its length in bytes, whether it opens a fragmented packet.
#[inline(always)]
pub(crate) fn extension<R: Reader>(reader: &R, kind: u8, at: usize) -> Result<(u8, usize, bool), Reject> {
    match kind {
        // Hop-by-hop, routing, destination options, mobility, HIP, shim6: length in 8-byte units, first not counted.
        0 | 43 | 60 | 135 | 139 | 140 => {
            let Some(head) = reader.bytes::<2>(at) else { return Err(Reject::ShortExtension) };
            Ok((head[0], (head[1] as usize + 1) * 8, false))
        }
        // Authentication header: length in 4-byte units, two not counted; its fixed part is three (RFC 4302 2.2).
        51 => {
            let Some(head) = reader.bytes::<2>(at) else { return Err(Reject::ShortExtension) };
            if head[1] == 0 {
                return Err(Reject::ShortExtension);
            }
            Ok((head[0], (head[1] as usize + 2) * 4, false))
        }
        44 => {
            let Some(head) = reader.bytes::<8>(at) else { return Err(Reject::ShortExtension) };
            let offset = be16(head, 2);
            if offset & 0xfff8 != 0 {
                return Err(Reject::LaterFragment);
            }
            Ok((head[0], 8, offset & 1 != 0))
        }
        50 => Err(Reject::Encrypted),
        _ => Err(Reject::NotTcp),
    }
}

/// What the IP layer told of a TCP segment.
pub(crate) struct Place {
    pub(crate) ip: usize,
    pub(crate) tcp: usize,
    pub(crate) tcp_len: usize,
    pub(crate) v6: bool,
    pub(crate) fragment: bool,
    pub(crate) vlan: u16,
}

#[inline(always)]
pub(crate) fn locate_tcp<R: Reader>(reader: &R, place: &Place) -> Result<Located, Reject> {
    let &Place { ip, tcp, tcp_len, v6, fragment, vlan } = place;
    if tcp_len < 20 {
        return Err(Reject::ShortTcp);
    }
    let Some(header) = reader.bytes::<20>(tcp) else { return Err(Reject::TruncatedTcp) };
    let offset_and_flags = be16(header, 12);
    let tcp_header_len = (offset_and_flags >> 12) as usize * 4;
    if tcp_header_len < 20 || tcp_header_len > tcp_len {
        return Err(Reject::TcpDataOffset);
    }
    Ok(Located {
        tcp_len: tcp_len as u32,
        tunnel_id: 0,
        ip: ip as u16,
        tcp: tcp as u16,
        vlan,
        flags: offset_and_flags & TCP_FLAGS,
        tcp_header_len: tcp_header_len as u8,
        ip_version: if v6 { 6 } else { 4 },
        fragment: fragment as u8,
        tunnels: 0,
    })
}

/// Reads the fields of a located segment. `domain` becomes part of the key, `time_ns` of the record.
///
/// # Errors
/// [`Reject::ShortIp`] or [`Reject::TruncatedTcp`] when the headers cannot be read again; never after [`locate`] on
/// the same bytes.
#[inline(always)]
pub fn segment<R: Reader>(reader: &R, located: &Located, domain: u32, time_ns: u64) -> Result<Segment, Reject> {
    let (mut segment, more) = head(reader, located, domain, time_ns)?;
    if more {
        rest(reader, located, &mut segment);
    }
    Ok(segment)
}

/// As [`segment`], but for what few segments have: true when [`rest`] has something to read, too.
///
/// # Errors
/// As [`segment`].
#[inline(always)]
pub fn head<R: Reader>(reader: &R, located: &Located, domain: u32, time_ns: u64) -> Result<(Segment, bool), Reject> {
    let Some(tcp) = reader.bytes::<20>(located.tcp as usize) else { return Err(Reject::TruncatedTcp) };
    let (src_port, dst_port) = (be16(tcp, 0), be16(tcp, 2));
    let (src, dst, ttl, ip_id) = if located.ip_version == 6 {
        let Some(ip) = reader.bytes::<40>(located.ip as usize) else { return Err(Reject::ShortIp) };
        let src = Endpoint { a: ne64(ip, 8), b: ne64(ip, 16), port: src_port };
        let dst = Endpoint { a: ne64(ip, 24), b: ne64(ip, 32), port: dst_port };
        (src, dst, ip[7], 0)
    } else {
        let Some(ip) = reader.bytes::<20>(located.ip as usize) else { return Err(Reject::ShortIp) };
        let (src, dst) = (Endpoint::v4(ne32(ip, 12), src_port), Endpoint::v4(ne32(ip, 16), dst_port));
        (src, dst, ip[8], be16(ip, 4))
    };
    let (key, from_hi) = FlowKey::normalised(src, dst, domain);
    let mut record = SegmentRecord {
        time_ns,
        seq: be32(tcp, 4),
        ack: be32(tcp, 8),
        payload_len: located.tcp_len.wrapping_sub(located.tcp_header_len as u32),
        window: be16(tcp, 14),
        mss: 0,
        ip_id,
        header_len: located.tcp.wrapping_sub(located.ip).wrapping_add(located.tcp_header_len as u16),
        flags: located.flags | if from_hi { FROM_HI } else { 0 },
        ttl,
        option_len: located.tcp_header_len.wrapping_sub(20),
    };
    record.put_window_scale(None);
    // What nearly every segment of a modern stack carries, but for SYN: NOP NOP timestamps (RFC 7323 appendix A).
    let mut more = record.option_len != 0;
    if record.option_len >= 12
        && record.flags & SYN == 0
        && let Some(head) = reader.bytes::<4>(located.tcp as usize + 20)
        && be32(head, 0) == 0x0101_080a
    {
        record.flags |= HAS_TIMESTAMPS;
        more = false;
    }
    more |= record.flags & RST != 0 || is_alert_len(record.payload_len);
    Ok((Segment { key, record, first_bytes: 0 }, more))
}

/// What [`head`] left: options, and the first payload bytes of an RST or of what may be a TLS alert.
#[inline(always)]
pub fn rest<R: Reader>(reader: &R, located: &Located, segment: &mut Segment) {
    let record = &mut segment.record;
    if record.flags & HAS_TIMESTAMPS == 0 {
        options::read(reader, located, record);
    }
    if has_first_bytes(record) {
        let at = located.tcp as usize + located.tcp_header_len as usize;
        segment.first_bytes = first_bytes(reader, at, record.payload_len);
    }
}

mod fast_path;
mod first_bytes;
mod icmp;
mod options;
mod reject;
mod reset_option;

pub use fast_path::{fast_path_v4, fast_path_v6};
pub use first_bytes::{ALERT_IN_CLEAR, ENCRYPTED_ALERTS, first_bytes, has_first_bytes, is_alert_len};
pub use icmp::{IcmpError, IcmpPlace, IcmpQuote, icmp_quote};
pub use reject::Reject;
pub use reset_option::{RstOption, rst_option};

#[cfg(test)]
mod tests;

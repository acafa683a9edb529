//! ICMP errors that quote a TCP segment (RFC 792, RFC 1812 5.2.7, RFC 4443 3).
//!
//! Only what every quote has is read: addresses, ports and sequence number, the first eight bytes of the TCP header.

use super::{MAX_EXTENSIONS, PROTOCOL_TCP, Reader, be16, be32, extension, ne32, ne64};
use crate::layout::{Endpoint, FROM_HI, FlowKey, LOG_ICMP, LogEntry};

/// What an ICMP error says.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct IcmpError {
    /// 4 for ICMP (RFC 792), 6 for ICMPv6 (RFC 4443).
    pub version: u8,
    /// Type field.
    pub kind: u8,
    /// Code field.
    pub code: u8,
}

impl IcmpError {
    /// True for the types that quote the packet which they are about: ICMP 3 destination unreachable, 11 time exceeded, 12
    /// parameter problem; ICMPv6 1 destination unreachable, 2 packet too big, 3 time exceeded, 4 parameter problem.
    #[inline(always)]
    #[must_use]
    pub const fn is_error(self) -> bool {
        match self.version {
            4 => matches!(self.kind, 3 | 11 | 12),
            6 => matches!(self.kind, 1..=4),
            _ => false,
        }
    }

    /// True when it asks for smaller packets (RFC 1191 4, RFC 8201 4): that ends nothing.
    #[must_use]
    pub const fn is_packet_too_big(self) -> bool {
        matches!((self.version, self.kind, self.code), (4, 3, 4) | (6, 2, _))
    }

    /// Stable name for outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match (self.version, self.kind, self.code) {
            (4, 3, code) => v4_unreachable(code),
            (6, 1, code) => v6_unreachable(code),
            (6, 2, _) => "packet_too_big",
            (4, 11, 0) => "ttl_exceeded",
            (6, 3, 0) => "hop_limit_exceeded",
            (4, 11, _) | (6, 3, _) => "reassembly_time_exceeded",
            (4, 12, _) | (6, 4, _) => "parameter_problem",
            _ => "other",
        }
    }
}

/// Codes of ICMP destination unreachable (RFC 792, RFC 1122 3.2.2.1, RFC 1812 5.2.7.1).
const fn v4_unreachable(code: u8) -> &'static str {
    match code {
        0 => "net_unreachable",
        1 => "host_unreachable",
        2 => "protocol_unreachable",
        3 => "port_unreachable",
        4 => "fragmentation_needed",
        5 => "source_route_failed",
        6 => "net_unknown",
        7 => "host_unknown",
        8 => "source_host_isolated",
        9 => "net_prohibited",
        10 => "host_prohibited",
        11 => "net_unreachable_for_tos",
        12 => "host_unreachable_for_tos",
        13 => "admin_prohibited",
        14 => "host_precedence_violation",
        15 => "precedence_cutoff",
        _ => "unreachable",
    }
}

/// Codes of ICMPv6 destination unreachable (RFC 4443 3.1; 7 is of RFC 6550 20.14).
const fn v6_unreachable(code: u8) -> &'static str {
    match code {
        0 => "no_route",
        1 => "admin_prohibited",
        2 => "beyond_scope",
        3 => "address_unreachable",
        4 => "port_unreachable",
        5 => "policy_failed",
        6 => "route_rejected",
        7 => "source_routing_header",
        _ => "unreachable",
    }
}

/// An ICMP error and the TCP segment it quotes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpQuote {
    /// What it says.
    pub error: IcmpError,
    /// Flow of the quoted segment.
    pub key: FlowKey,
    /// The `hi` endpoint of the key sent the quoted segment.
    pub from_hi: bool,
    /// Sequence number of the quoted segment: tells a genuine error from a forged one (RFC 5927 4.1).
    pub seq: u32,
    /// Who says so: source address of the ICMP packet, and no port.
    pub reporter: Endpoint,
}

impl IcmpQuote {
    /// Writes it into an entry of the log, with the time at which it came: what it says lies in the fields of a segment that
    /// has none.
    #[inline(always)]
    pub fn put_into(&self, entry: &mut LogEntry, time_ns: u64) {
        let Self { error, key, from_hi, seq, reporter } = self;
        entry.key.copy_from(key);
        entry.record.time_ns = time_ns;
        entry.record.seq = *seq;
        entry.record.ack = reporter.a as u32;
        entry.record.payload_len = (reporter.a >> 32) as u32;
        entry.record.window = 0;
        entry.record.mss = 0;
        entry.record.ip_id = (error.kind as u16) << 8 | error.code as u16;
        entry.record.header_len = 0;
        entry.record.flags = if *from_hi { FROM_HI } else { 0 };
        entry.record.ttl = error.version;
        entry.record.option_len = 0;
        entry.first_bytes = reporter.b;
        entry.counted = LOG_ICMP;
        entry.way = 0;
    }

    /// What [`Self::put_into`] has written; `None` when the entry is of another kind.
    #[must_use]
    pub fn of_entry(entry: &LogEntry) -> Option<Self> {
        if entry.counted != LOG_ICMP {
            return None;
        }
        let record = &entry.record;
        let [kind, code] = record.ip_id.to_be_bytes();
        let error = IcmpError { version: record.ttl, kind, code };
        let a = record.ack as u64 | (record.payload_len as u64) << 32;
        let reporter = Endpoint { a, b: entry.first_bytes, port: 0 };
        Some(Self { error, key: entry.key, from_hi: record.from_hi(), seq: record.seq, reporter })
    }
}

/// Where an ICMP packet lies in a frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpPlace {
    /// Version of its IP header.
    pub version: u8,
    /// Offset of its IP header.
    pub ip: usize,
    /// Offset of its ICMP header.
    pub icmp: usize,
    /// End of its IP packet.
    pub end: usize,
}

/// Type, code, checksum, and four bytes that differ by type.
const ICMP_LEN: usize = 8;

/// Reads the ICMP packet at `place`. `None` when it is no error, or quotes no first fragment of TCP up to the sequence
/// number. `domain` becomes part of the key: an error comes the way of what it quotes.
#[inline(always)]
pub fn icmp_quote<R: Reader>(reader: &R, place: &IcmpPlace, domain: u32) -> Option<IcmpQuote> {
    let &[kind, code, ..] = reader.bytes::<ICMP_LEN>(place.icmp)?;
    let error = IcmpError { version: place.version, kind, code };
    if !error.is_error() {
        return None;
    }
    let quoted = place.icmp + ICMP_LEN;
    let (src, dst, tcp) = if place.version == 4 { quoted_v4(reader, quoted)? } else { quoted_v6(reader, quoted)? };
    if tcp + 8 > place.end {
        return None;
    }
    let header = reader.bytes::<8>(tcp)?;
    let (src, dst) = (Endpoint { port: be16(header, 0), ..src }, Endpoint { port: be16(header, 2), ..dst });
    let (key, from_hi) = FlowKey::normalised(src, dst, domain);
    let reporter = if place.version == 4 {
        Endpoint::v4(ne32(reader.bytes::<20>(place.ip)?, 12), 0)
    } else {
        let ip = reader.bytes::<40>(place.ip)?;
        Endpoint { a: ne64(ip, 8), b: ne64(ip, 16), port: 0 }
    };
    Some(IcmpQuote { error, key, from_hi, seq: be32(header, 4), reporter })
}

/// Addresses of a quoted IPv4 packet, and where its TCP header is.
#[inline(always)]
fn quoted_v4<R: Reader>(reader: &R, ip: usize) -> Option<(Endpoint, Endpoint, usize)> {
    let header = reader.bytes::<20>(ip)?;
    let header_len = (header[0] & 0x0f) as usize * 4;
    if header[9] != PROTOCOL_TCP || be16(header, 6) & 0x1fff != 0 {
        return None;
    }
    (header[0] >> 4 == 4 && header_len >= 20)
        .then(|| (Endpoint::v4(ne32(header, 12), 0), Endpoint::v4(ne32(header, 16), 0), ip + header_len))
}

/// The same of IPv6.
#[inline(always)]
fn quoted_v6<R: Reader>(reader: &R, ip: usize) -> Option<(Endpoint, Endpoint, usize)> {
    let header = reader.bytes::<40>(ip)?;
    if header[0] >> 4 != 6 {
        return None;
    }
    let (mut next, mut at) = (header[6], ip + 40);
    for _ in 0..=MAX_EXTENSIONS {
        if next == PROTOCOL_TCP {
            let src = Endpoint { a: ne64(header, 8), b: ne64(header, 16), port: 0 };
            let dst = Endpoint { a: ne64(header, 24), b: ne64(header, 32), port: 0 };
            return Some((src, dst, at));
        }
        let (after, len, _) = extension(reader, next, at).ok()?;
        next = after;
        at += len;
    }
    None
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::parse::SliceReader;

    /// Eight bytes of a TCP header from port 40000 to 443.
    const TCP: [u8; 8] = [0x9c, 0x40, 1, 0xbb, 0, 0, 0, 77];

    /// An IPv4 ICMP packet that quotes `quoted`.
    fn v4(kind: u8, code: u8, quoted: &[u8]) -> Vec<u8> {
        let mut packet = std::vec![0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1];
        packet.extend([kind, code, 0, 0, 0, 0, 0, 0]);
        packet.extend(quoted);
        packet
    }

    fn quoted_ip(protocol: u8, fragment: u8) -> Vec<u8> {
        std::vec![0x45, 0, 5, 220, 0, 0, 0, fragment, 64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]
    }

    fn read(packet: &[u8], version: u8) -> Option<IcmpQuote> {
        let icmp = if version == 4 { 20 } else { 40 };
        let place = IcmpPlace { version, ip: 0, icmp, end: packet.len() };
        icmp_quote(&SliceReader::whole(packet), &place, 5)
    }

    #[test]
    fn eight_bytes_of_a_segment_name_its_flow() {
        let packet = v4(3, 10, &[quoted_ip(6, 0), TCP.to_vec()].concat());
        let quote = read(&packet, 4).expect("a quote");
        let (src, dst) = (
            Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 1]), 40000),
            Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 2]), 443),
        );
        assert_eq!((quote.key, quote.from_hi), FlowKey::normalised(src, dst, 5));
        assert_eq!((quote.seq, quote.error.name()), (77, "host_prohibited"));
        assert_eq!(quote.reporter.octets()[10..], [0xff, 0xff, 10, 0, 0, 9]);
        for len in 0..packet.len() {
            assert_eq!(read(&packet[..len], 4), None, "{len}");
        }
    }

    #[test]
    fn what_quotes_no_tcp_is_no_quote() {
        for (kind, protocol, fragment) in [(0, 6, 0), (5, 6, 0), (8, 6, 0), (3, 17, 0), (3, 6, 1)] {
            let packet = v4(kind, 0, &[quoted_ip(protocol, fragment), TCP.to_vec()].concat());
            assert_eq!(read(&packet, 4), None, "type {kind}, protocol {protocol}");
        }
        let lying = [&[0x4f][..], &quoted_ip(6, 0)[1..], &TCP].concat();
        assert_eq!(read(&v4(3, 1, &lying), 4), None, "its header would be longer than the quote");
    }

    #[test]
    fn extension_headers_lead_to_the_quoted_segment() {
        let mut packet = std::vec![0x60, 0, 0, 0, 0, 0, 58, 64];
        packet.extend([[0xfe; 16], [0xfd; 16]].concat());
        packet.extend([1, 1, 0, 0, 0, 0, 0, 0]);
        packet.extend([0x60, 0, 0, 0, 5, 0, 60, 64]);
        packet.extend([[0xfd; 16], [0xfc; 16]].concat());
        packet.extend([6, 0, 1, 4, 0, 0, 0, 0]);
        packet.extend(TCP);
        let quote = read(&packet, 6).expect("a quote");
        assert_eq!((quote.key.lo().port, quote.key.hi().port, quote.from_hi), (443, 40000, true));
        assert_eq!((quote.error.name(), quote.reporter.octets()), ("admin_prohibited", [0xfe; 16]));
        for len in 0..packet.len() {
            assert_eq!(read(&packet[..len], 6), None, "{len}");
        }
        packet[40] = 2;
        assert!(read(&packet, 6).is_some_and(|quote| quote.error.is_packet_too_big()));
    }

    #[test]
    fn an_entry_of_the_log_says_all_of_it() {
        let end = |first: u8, port| Endpoint::from_octets(core::array::from_fn(|i| first + i as u8), port);
        for (version, from_hi) in [(4, false), (6, true)] {
            let (key, _) = FlowKey::normalised(end(1, 2), end(3, 4), 5);
            let error = IcmpError { version, kind: 1, code: 200 };
            let quote = IcmpQuote { error, key, from_hi, seq: u32::MAX, reporter: end(100, 0) };
            let mut entry = LogEntry { first_bytes: 9, way: 9, ..LogEntry::default() };
            quote.put_into(&mut entry, 77);
            assert_eq!((IcmpQuote::of_entry(&entry), entry.record.time_ns), (Some(quote), 77));
            entry.counted = 0;
            assert_eq!(IcmpQuote::of_entry(&entry), None);
        }
    }

    #[test]
    fn every_type_and_code_has_a_name() {
        for (version, kind) in [(4, 3), (4, 11), (4, 12), (6, 1), (6, 2), (6, 3), (6, 4)] {
            for code in 0..=255 {
                let error = IcmpError { version, kind, code };
                assert!(error.is_error() && error.name() != "other", "{error:?}");
            }
        }
        let too_big = |kind, code| IcmpError { version: 4, kind, code }.is_packet_too_big();
        assert_eq!([too_big(3, 4), too_big(3, 13), too_big(11, 4)], [true, false, false]);
    }
}

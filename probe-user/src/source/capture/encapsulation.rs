//! Encapsulations that captures are looked into for beyond those of the shared parser: LLC with SNAP, EtherIP, L2TP, GRE in
//! UDP, 802.11 in GRE, TZSP, VXLAN on ports of one's own, Teredo on any port.
//!
//! Each leads the walk to a header that the shared parser knows, which does the rest.
//!
//! Must not know: link types, fragments, what is done with the segment.

use std::ops::RangeInclusive;

use probe_ebpf::parse::{Reader, Reject, SliceReader};
use probe_ebpf::tunnel::{ETHERIP, Encapsulations, GRE, Known, L2TP, TEREDO, TZSP, Unknown, VXLAN, Walk};

use super::checksum::{holds, sum};
use super::ieee80211;
use super::link_type::Unread;
use super::teredo::is_teredo;

/// Values up to here are the length of an 802.3 frame, which begins with LLC.
const LARGEST_LENGTH: u16 = 1500;
/// 802.11 frames between Aruba's access points and controllers, by queue (Wireshark's packet-gre.h).
const ETHER_ARUBA: RangeInclusive<u16> = 0x8200..=0x83ff;
/// IANA's protocol numbers.
const IP_ETHERIP: u16 = 97;
const IP_L2TP: u16 = 115;
/// IANA's port numbers; that of TZSP is not registered.
const L2TP_PORT: u16 = 1701;
const GRE_PORT: u16 = 4754;
const TZSP_PORT: u16 = 37_008;
const UDP_HEADER: usize = 8;

/// Leads the walk on from where it stopped; false when nothing is known of what is there.
///
/// # Errors
/// What is there is damaged, not to be looked into, too deep, or carries no packet.
pub(super) fn lead_on(
    reader: &SliceReader<'_>,
    encapsulations: Encapsulations,
    vxlan_ports: &[u16],
    walk: &mut Walk,
) -> Result<bool, Reject> {
    let enabled = |bit: u32| encapsulations.enabled & bit != 0;
    match walk.unknown() {
        Some((Unknown::EtherType(length), at)) if length <= LARGEST_LENGTH => {
            let (ether_type, at) = ieee80211::llc(reader, at)?;
            walk.go_on(Known::EtherType(ether_type), at)?;
        }
        // Only ever within GRE.
        Some((Unknown::EtherType(ether_type), at))
            if ETHER_ARUBA.contains(&ether_type) && walk.surroundings().0 > 0 =>
        {
            wireless(reader, at, walk)?;
        }
        Some((Unknown::IpProtocol(IP_ETHERIP), at)) if enabled(ETHERIP) => {
            etherip(reader, encapsulations, at, walk)?;
        }
        Some((Unknown::IpProtocol(IP_L2TP), at)) if enabled(L2TP) => {
            l2tp_over_ip(reader, encapsulations, at, walk)?;
        }
        Some((Unknown::Udp, at)) => return udp(reader, encapsulations, vxlan_ports, at, walk),
        _ => return Ok(false),
    }
    Ok(true)
}

/// Version 3 and twelve bits of nothing, then an Ethernet frame (RFC 3378 3).
fn etherip(reader: &SliceReader<'_>, encapsulations: Encapsulations, at: usize, walk: &mut Walk) -> Result<(), Reject> {
    let Some(header) = reader.bytes::<2>(at) else { return Err(Reject::ShortTunnel) };
    if header[0] >> 4 != 3 {
        return Err(Reject::TunnelHeader);
    }
    walk.enter(encapsulations, ETHERIP)?;
    walk.go_on(Known::Ethernet, at + 2)
}

fn udp(
    reader: &SliceReader<'_>,
    encapsulations: Encapsulations,
    vxlan_ports: &[u16],
    at: usize,
    walk: &mut Walk,
) -> Result<bool, Reject> {
    let enabled = |bit: u32| encapsulations.enabled & bit != 0;
    let Some(&[a, b, c, d, ..]) = reader.bytes::<UDP_HEADER>(at) else { return Ok(false) };
    let (source, target, payload) = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]), at + UDP_HEADER);
    if enabled(VXLAN) && vxlan_ports.contains(&target) {
        walk.enter(encapsulations, VXLAN)?;
        walk.go_on(Known::Vxlan, payload)?;
    } else if enabled(GRE) && target == GRE_PORT {
        // RFC 8086; GRE itself is what is entered.
        walk.go_on(Known::Gre, payload)?;
    } else if enabled(TZSP) && target == TZSP_PORT {
        tzsp(reader, encapsulations, payload, walk)?;
    } else if enabled(L2TP) && (source == L2TP_PORT || target == L2TP_PORT) {
        l2tp_over_udp(reader, encapsulations, payload, walk)?;
    } else if enabled(TEREDO) && is_teredo(reader, at, walk.end()) {
        walk.enter_teredo(encapsulations)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

/// The protocol of sniffers that send on what they hear (Wireshark's packet-tzsp.c): version, type, protocol, tagged
/// fields, then the frame.
fn tzsp(reader: &SliceReader<'_>, encapsulations: Encapsulations, at: usize, walk: &mut Walk) -> Result<(), Reject> {
    /// More fields than any sniffer sends.
    const MAX_FIELDS: usize = 64;
    const PADDING: u8 = 0;
    const END: u8 = 1;
    let Some(&[version, kind, high, low]) = reader.bytes::<4>(at) else { return Err(Reject::ShortTunnel) };
    // Frames received and frames to be sent; others are configuration and signs of life.
    if version != 1 || kind > 1 {
        return Err(Reject::NotTcp);
    }
    let mut at = at + 4;
    for _ in 0..MAX_FIELDS {
        let Some(&[field]) = reader.bytes::<1>(at) else { return Err(Reject::ShortTunnel) };
        at += match field {
            PADDING | END => 1,
            _ => match reader.bytes::<2>(at) {
                Some(&[_, len]) => 2 + usize::from(len),
                None => return Err(Reject::ShortTunnel),
            },
        };
        if field == END {
            walk.enter(encapsulations, TZSP)?;
            return match u16::from_be_bytes([high, low]) {
                1 => walk.go_on(Known::Ethernet, at),
                18 => wireless(reader, at, walk),
                _ => Err(Reject::TunnelHeader),
            };
        }
    }
    Err(Reject::TunnelDepth)
}

/// An 802.11 frame in a tunnel.
fn wireless(reader: &SliceReader<'_>, at: usize, walk: &mut Walk) -> Result<(), Reject> {
    let (ether_type, at) = ieee80211::ether_type(reader, at, false).map_err(Unread::in_a_tunnel)?;
    walk.go_on(Known::EtherType(ether_type), at)
}

/// L2TP version 2, the header of which says which fields it has (RFC 2661 3.1), and version 3 (RFC 3931 4.1.2).
fn l2tp_over_udp(
    reader: &SliceReader<'_>,
    encapsulations: Encapsulations,
    at: usize,
    walk: &mut Walk,
) -> Result<(), Reject> {
    const CONTROL: u16 = 0x8000;
    const LENGTH: u16 = 0x4000;
    const SEQUENCE: u16 = 0x0800;
    const OFFSET: u16 = 0x0200;
    let Some(&bits) = reader.bytes::<2>(at) else { return Err(Reject::ShortTunnel) };
    let bits = u16::from_be_bytes(bits);
    if bits & CONTROL != 0 {
        return Err(Reject::NotTcp);
    }
    match bits & 0x0f {
        2 => {}
        3 => return l2tp_session(reader, encapsulations, at + 4, walk),
        // Cisco's L2F (RFC 2341) shares the port.
        1 => return Err(Reject::NotTcp),
        _ => return Err(Reject::TunnelHeader),
    }
    let ids_at = at + 2 + if bits & LENGTH != 0 { 2 } else { 0 };
    let Some(&ids) = reader.bytes::<4>(ids_at) else { return Err(Reject::ShortTunnel) };
    let mut payload = ids_at + 4 + if bits & SEQUENCE != 0 { 4 } else { 0 };
    if bits & OFFSET != 0 {
        let Some(&offset) = reader.bytes::<2>(payload) else { return Err(Reject::ShortTunnel) };
        payload += 2 + usize::from(u16::from_be_bytes(offset));
    }
    walk.enter(encapsulations, L2TP)?;
    walk.identify(u32::from_be_bytes(ids));
    walk.go_on(Known::Ppp, payload)
}

/// L2TP version 3 over IP: a session of 0 is that of control messages (RFC 3931 4.1.1).
fn l2tp_over_ip(
    reader: &SliceReader<'_>,
    encapsulations: Encapsulations,
    at: usize,
    walk: &mut Walk,
) -> Result<(), Reject> {
    match reader.bytes::<4>(at) {
        Some([0, 0, 0, 0]) => Err(Reject::NotTcp),
        Some(_) => l2tp_session(reader, encapsulations, at, walk),
        None => Err(Reject::ShortTunnel),
    }
}

/// What follows a session id of version 3. Cookie, sublayer and kind of pseudowire were agreed on before, and the header
/// names none of them: what is carried must tell.
fn l2tp_session(
    reader: &SliceReader<'_>,
    encapsulations: Encapsulations,
    at: usize,
    walk: &mut Walk,
) -> Result<(), Reject> {
    /// A cookie of no, four or eight bytes, and a sublayer of none or four.
    const SKIPS: [usize; 4] = [0, 4, 8, 12];
    let Some(&session) = reader.bytes::<4>(at) else { return Err(Reject::ShortTunnel) };
    let carried = SKIPS.iter().find_map(|skip| carried(reader, at + 4 + skip, walk.end()));
    let Some((known, begin)) = carried else { return Err(Reject::NotTcp) };
    walk.enter(encapsulations, L2TP)?;
    walk.identify(u32::from_be_bytes(session));
    walk.go_on(known, begin)
}

/// What is at `at`, if it certainly is an Ethernet frame or a PPP frame with an IP packet in it.
fn carried(reader: &SliceReader<'_>, at: usize, end: usize) -> Option<(Known, usize)> {
    const ETHERNET: usize = 14;
    let &[high, low] = reader.bytes::<2>(at + 12)?;
    let (ether_type, ip) = match u16::from_be_bytes([high, low]) {
        0x8100 | 0x88a8 => (u16::from_be_bytes(*reader.bytes::<2>(at + 16)?), at + ETHERNET + 4),
        other => (other, at + ETHERNET),
    };
    if matches!(ether_type, 0x0800 | 0x86dd) && is_ip(reader, ip, end) {
        return Some((Known::Ethernet, at));
    }
    let ppp = match reader.bytes::<4>(at)? {
        [0xff, 0x03, 0, 0x21 | 0x57] => 4,
        [0, 0x21 | 0x57, ..] => 2,
        _ => return None,
    };
    is_ip(reader, at + ppp, end).then_some((Known::Ppp, at))
}

/// Whether an IP packet is at `at` that ends where, or before, its surroundings do: of version 4 with a right checksum.
fn is_ip(reader: &SliceReader<'_>, at: usize, end: usize) -> bool {
    let Some(header) = reader.bytes::<20>(at) else { return false };
    let length = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
    match header[0] >> 4 {
        4 => {
            let header_len = usize::from(header[0] & 0x0f) * 4;
            let whole = reader.bytes.get(at..at + header_len);
            at + length(2) <= end && length(2) >= header_len && whole.is_some_and(|whole| holds(sum(whole, 0)))
        }
        6 => at + 40 + length(4) <= end,
        _ => false,
    }
}

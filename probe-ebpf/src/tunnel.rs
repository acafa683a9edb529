//! Tunnel parser: finds the TCP header inside other protocols: deep VLAN stacks, MPLS, PPPoE, IP in IP, GRE, ERSPAN, VXLAN,
//! GENEVE, GTP-U, Teredo; nested to a configured depth.
//!
//! [`crate::parse::locate`] knows the plain shapes and is what nearly every frame needs; this is asked where it gives
//! up. It walks one header per step over a small state, so that the same loop serves every nesting. The state goes
//! through memory at each step: the verifier then sees one loop body for all layers instead of every path through them.
//!
//! Must not know: which interface, which flow, what is done with the segment.

use core::hint::black_box;

use crate::parse::{Located, Place, Reader, Reject, be16, be32, extension, is_vlan, locate_tcp};

/// MPLS label stacks.
pub const MPLS: u32 = 1 << 0;
/// PPPoE sessions.
pub const PPPOE: u32 = 1 << 1;
/// IPv4 and IPv6 in IPv4 and IPv6 (RFC 2003, 2473, 4213).
pub const IP_IN_IP: u32 = 1 << 2;
/// GRE versions 0 and 1 (RFC 2784, 2890, 2637).
pub const GRE: u32 = 1 << 3;
/// ERSPAN types I, II and III (draft-foschiano-erspan), which also need [`GRE`].
pub const ERSPAN: u32 = 1 << 4;
/// VXLAN (RFC 7348).
pub const VXLAN: u32 = 1 << 5;
/// GENEVE (RFC 8926).
pub const GENEVE: u32 = 1 << 6;
/// GTP-U (3GPP TS 29.281).
pub const GTP_U: u32 = 1 << 7;
/// Teredo (RFC 4380).
pub const TEREDO: u32 = 1 << 8;
/// More VLAN tags than the plain parser follows.
pub const DEEP_VLAN: u32 = 1 << 9;
/// Everything.
pub const ALL: u32 = (1 << 10) - 1;

/// Names of the bits, for options and outputs.
pub const NAMES: [(&str, u32); 10] = [
    ("mpls", MPLS),
    ("pppoe", PPPOE),
    ("ipip", IP_IN_IP),
    ("gre", GRE),
    ("erspan", ERSPAN),
    ("vxlan", VXLAN),
    ("geneve", GENEVE),
    ("gtpu", GTP_U),
    ("teredo", TEREDO),
    ("vlan", DEEP_VLAN),
];

/// Header steps in one frame, VLAN tags and extension headers included.
pub const MAX_STEPS: usize = 24;

/// VXLAN (RFC 7348 4.1).
pub const VXLAN_PORT: u16 = 4789;
/// VXLAN with a next-protocol field (draft-ietf-nvo3-vxlan-gpe).
pub const VXLAN_GPE_PORT: u16 = 4790;
/// Linux's default before 4789 was assigned; flannel still uses it.
pub const VXLAN_LINUX_PORT: u16 = 8472;
/// Every port of VXLAN that needs no option. [`is_vxlan`] is the test for it, in the walk and in [`not_tcp`], which comes first.
pub const VXLAN_PORTS: [u16; 3] = [VXLAN_PORT, VXLAN_GPE_PORT, VXLAN_LINUX_PORT];

/// Whether a UDP port is one of [`VXLAN_PORTS`].
#[inline(always)]
#[expect(clippy::needless_bitwise_bool, reason = "each branch would be a way of its own for the verifier")]
const fn is_vxlan(port: u16) -> bool {
    // Taken apart, so that a further port is no port without a test.
    let [assigned, gpe, linux] = VXLAN_PORTS;
    (port == assigned) | (port == gpe) | (port == linux)
}

const GENEVE_PORT: u16 = 6081;
const GTP_U_PORT: u16 = 2152;
/// GTP-C; some cores carry user packets there, and Zeek looks at both.
const GTP_C_PORT: u16 = 2123;
const TEREDO_PORT: u16 = 3544;

/// EtherTypes that lead on, but for IP and VLAN tags: MPLS, PPPoE sessions, transparent Ethernet bridging, VN-Tag,
/// FabricPath, Cisco metadata.
const ETHERTYPES: [u16; 7] = [0x8847, 0x8848, 0x8864, 0x6558, 0x8926, 0x8903, 0x8909];

/// What is looked into, and how deep.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Encapsulations {
    /// Bits above; the upper half is a port of [`Self::with_vxlan_port`].
    pub enabled: u32,
    /// Tunnels within tunnels that are followed; VLAN, MPLS and PPPoE are no tunnels.
    pub max_depth: u8,
}

impl Encapsulations {
    /// VXLAN is also looked for at this UDP port, besides those that it is known by; 0 is none.
    #[must_use]
    pub fn with_vxlan_port(self, port: u16) -> Self {
        Self { enabled: self.enabled & 0xffff | (port as u32) << 16, ..self }
    }

    /// That port.
    #[inline(always)]
    #[must_use]
    pub fn vxlan_port(self) -> u16 {
        (self.enabled >> 16) as u16
    }
}

/// Nothing but what the plain parser knows.
pub const NONE: Encapsulations = Encapsulations { enabled: 0, max_depth: 0 };

/// Finds the TCP header at the end of the walk.
///
/// # Errors
/// The one [`Reject`] that says why there is none.
#[inline(always)]
pub fn locate<R: Reader>(
    reader: &R,
    encapsulations: Encapsulations,
    walk: &mut Walk,
    into: &mut Located,
) -> Result<(), Reject> {
    for _ in 0..MAX_STEPS {
        let walk = black_box(&mut *walk);
        if walk.layer == layer::IP_PROTOCOL && walk.protocol == 6 {
            return finish(reader, walk, into);
        }
        step(reader, encapsulations, walk)?;
    }
    Err(Reject::TunnelDepth)
}

#[inline(always)]
fn finish<R: Reader>(reader: &R, walk: &Walk, into: &mut Located) -> Result<(), Reject> {
    let place = Place {
        ip: walk.ip as usize,
        tcp: walk.at as usize,
        tcp_len: (walk.end as usize).wrapping_sub(walk.at as usize) & 0xf_ffff,
        v6: walk.ip_version == 6,
        fragment: walk.fragment != 0,
        vlan: walk.vlan,
    };
    *into = locate_tcp(reader, &place)?;
    into.tunnel_id = walk.tunnel_id;
    into.tunnels = walk.depth;
    Ok(())
}

#[inline(always)]
fn step<R: Reader>(reader: &R, encapsulations: Encapsulations, walk: &mut Walk) -> Result<(), Reject> {
    match walk.layer {
        layer::ETHERNET => {
            let Some(header) = reader.bytes::<14>(walk.at as usize) else { return Err(Reject::ShortLink) };
            walk.protocol = be16(header, 12);
            walk.go(layer::ETHER_TYPE, 14);
            Ok(())
        }
        layer::ETHER_TYPE => ether_type(reader, encapsulations, walk),
        layer::MPLS => mpls(reader, walk),
        layer::IP_BY_VERSION => by_version(reader, walk, 0),
        layer::IPV4 => ipv4(reader, walk),
        layer::IPV6 => ipv6(reader, walk),
        layer::IP_PROTOCOL => ip_protocol(reader, encapsulations, walk),
        layer::UDP => udp(reader, encapsulations, walk),
        layer::GRE => gre(reader, encapsulations, walk),
        layer::ERSPAN => erspan(reader, walk),
        layer::VXLAN => {
            let Some(header) = reader.bytes::<8>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
            if header[0] & 0x08 == 0 {
                return Err(Reject::TunnelHeader);
            }
            walk.tunnel_id = be32(header, 4) >> 8;
            // The P bit of the generic extension: 1 is IPv4, 2 is IPv6, 3 is Ethernet.
            let is_ip = header[0] & 0x04 != 0 && (header[3] == 1 || header[3] == 2);
            walk.go(if is_ip { layer::IP_BY_VERSION } else { layer::ETHERNET }, 8);
            Ok(())
        }
        layer::GENEVE => geneve(reader, walk),
        layer::GTP_U => gtp_u(reader, walk),
        layer::GTP_EXTENSION => gtp_extension(reader, walk),
        layer::TEREDO => teredo(reader, walk),
        _ => ppp(reader, walk),
    }
}

#[inline(always)]
fn ether_type<R: Reader>(reader: &R, encapsulations: Encapsulations, walk: &mut Walk) -> Result<(), Reject> {
    let enabled = encapsulations.enabled;
    match walk.protocol {
        0x0800 => walk.go(layer::IPV4, 0),
        0x86dd => walk.go(layer::IPV6, 0),
        0x8847 | 0x8848 if enabled & MPLS != 0 => walk.go(layer::MPLS, 0),
        // Transparent Ethernet bridging: what GRE and GENEVE call an Ethernet frame.
        0x6558 => walk.go(layer::ETHERNET, 0),
        0x8864 if enabled & PPPOE != 0 => walk.go(layer::PPP, 6),
        // VN-Tag (802.1BR's predecessor): four bytes, then the next EtherType, like a wide VLAN tag.
        0x8926 => {
            let Some(tag) = reader.bytes::<6>(walk.at as usize) else { return Err(Reject::ShortExtension) };
            walk.protocol = be16(tag, 4);
            walk.go(layer::ETHER_TYPE, 6);
        }
        // Cisco FabricPath (Wireshark's packet-cisco-fp-mim.c): switches, this, and a tag of two bytes; then the frame.
        0x8903 => walk.go(layer::ETHERNET, 2),
        // Cisco metadata (Wireshark's packet-cisco-metadata.c): version, length, one option, then the next EtherType.
        0x8909 => {
            let Some(tag) = reader.bytes::<8>(walk.at as usize) else { return Err(Reject::ShortExtension) };
            if be16(tag, 0) != 0x0101 {
                return Err(Reject::TunnelHeader);
            }
            walk.protocol = be16(tag, 6);
            walk.go(layer::ETHER_TYPE, 8);
        }
        tag if is_vlan(tag) => {
            let Some(tag) = reader.bytes::<4>(walk.at as usize) else { return Err(Reject::ShortExtension) };
            if walk.vlan == 0 && walk.depth == 0 {
                walk.vlan = be16(tag, 0) & 0x0fff;
            }
            walk.protocol = be16(tag, 2);
            walk.go(layer::ETHER_TYPE, 4);
        }
        _ => return Err(Reject::NotIp),
    }
    Ok(())
}

#[inline(always)]
fn mpls<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let Some(label) = reader.bytes::<4>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    if label[2] & 1 == 0 {
        walk.go(layer::MPLS, 4);
        return Ok(());
    }
    by_version(reader, walk, 4)
}

/// What has no protocol field is recognised by its first nibble: IPv4, IPv6, or (RFC 4385) a pseudowire control word.
#[inline(always)]
fn by_version<R: Reader>(reader: &R, walk: &mut Walk, skip: usize) -> Result<(), Reject> {
    let Some(next) = reader.bytes::<2>(walk.at as usize + skip) else { return Err(Reject::ShortIp) };
    match next[0] >> 4 {
        4 => walk.go(layer::IPV4, skip),
        6 => walk.go(layer::IPV6, skip),
        0 if walk.layer == layer::MPLS => walk.go(layer::ETHERNET, skip + 4),
        _ => return Err(Reject::NotIp),
    }
    Ok(())
}

#[inline(always)]
fn ipv4<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let at = walk.at as usize;
    let Some(header) = reader.bytes::<20>(at) else { return Err(Reject::ShortIp) };
    if header[0] >> 4 != 4 {
        return Err(Reject::IpVersion);
    }
    let header_len = (header[0] & 0x0f) as usize * 4;
    let mut total = be16(header, 2) as usize;
    if total == 0 {
        total = whole_len(reader, walk).wrapping_sub(at) & 0xf_ffff;
    }
    if header_len < 20 || header_len > total {
        return Err(Reject::IpHeaderLength);
    }
    let fragment = be16(header, 6);
    if fragment & 0x1fff != 0 {
        return Err(Reject::LaterFragment);
    }
    enter_packet(walk, total);
    walk.fragment = (fragment & 0x2000 != 0) as u8;
    walk.protocol = header[9] as u16;
    walk.ip_version = 4;
    walk.go(layer::IP_PROTOCOL, header_len);
    Ok(())
}

#[inline(always)]
fn ipv6<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let at = walk.at as usize;
    let Some(header) = reader.bytes::<40>(at) else { return Err(Reject::ShortIp) };
    if header[0] >> 4 != 6 {
        return Err(Reject::IpVersion);
    }
    let mut payload = be16(header, 4) as usize;
    if payload == 0 {
        payload = whole_len(reader, walk).wrapping_sub(at + 40) & 0xf_ffff;
    }
    enter_packet(walk, 40 + payload);
    walk.fragment = 0;
    walk.protocol = header[6] as u16;
    walk.ip_version = 6;
    walk.go(layer::IP_PROTOCOL, 40);
    Ok(())
}

/// End of what encloses the next header.
#[inline(always)]
fn whole_len<R: Reader>(reader: &R, walk: &Walk) -> usize {
    if walk.end == 0 { reader.wire_len() } else { walk.end as usize }
}

/// An IP packet of `len` bytes begins here. It is believed, also beyond the frame and what encloses it: a mirror that crops
/// frames and puts them into a tunnel writes the length of the outer packet anew, not that of the inner one.
#[inline(always)]
fn enter_packet(walk: &mut Walk, len: usize) {
    walk.end = walk.at as u32 + len as u32;
    walk.ip = walk.at;
}

#[inline(always)]
fn ip_protocol<R: Reader>(reader: &R, encapsulations: Encapsulations, walk: &mut Walk) -> Result<(), Reject> {
    match walk.protocol {
        4 => {
            walk.enter_tunnel(encapsulations, IP_IN_IP)?;
            walk.go(layer::IPV4, 0);
        }
        41 => {
            walk.enter_tunnel(encapsulations, IP_IN_IP)?;
            walk.go(layer::IPV6, 0);
        }
        17 => walk.go(layer::UDP, 0),
        47 => walk.go(layer::GRE, 0),
        // MPLS in IP (RFC 4023).
        137 if encapsulations.enabled & MPLS != 0 => walk.go(layer::MPLS, 0),
        kind if walk.ip_version == 6 || kind == 51 => {
            let (next, len, fragment) = extension(reader, kind as u8, walk.at as usize)?;
            walk.protocol = next as u16;
            walk.fragment |= fragment as u8;
            walk.go(layer::IP_PROTOCOL, len);
            if walk.at as u32 > walk.end {
                return Err(Reject::ShortExtension);
            }
        }
        _ => return Err(Reject::NotTcp),
    }
    Ok(())
}

#[inline(always)]
fn udp<R: Reader>(reader: &R, encapsulations: Encapsulations, walk: &mut Walk) -> Result<(), Reject> {
    // A first fragment holds the headers of what it carries, but not all of it: lengths inside would not fit.
    if walk.fragment != 0 {
        return Err(Reject::NotTcp);
    }
    let Some(header) = reader.bytes::<8>(walk.at as usize) else { return Err(Reject::NotTcp) };
    let (src, dst) = (be16(header, 0), be16(header, 2));
    let either = |port: u16| src == port || dst == port;
    let own = encapsulations.vxlan_port();
    let (bit, next) = if is_vxlan(dst) {
        (VXLAN, layer::VXLAN)
    } else if dst == GENEVE_PORT {
        (GENEVE, layer::GENEVE)
    } else if either(GTP_U_PORT) || either(GTP_C_PORT) {
        (GTP_U, layer::GTP_U)
    } else if either(TEREDO_PORT) {
        (TEREDO, layer::TEREDO)
    } else if own != 0 && dst == own {
        (VXLAN, layer::VXLAN)
    } else {
        return Err(Reject::NotTcp);
    };
    walk.enter_tunnel(encapsulations, bit)?;
    walk.go(next, 8);
    Ok(())
}

#[inline(always)]
fn gre<R: Reader>(reader: &R, encapsulations: Encapsulations, walk: &mut Walk) -> Result<(), Reject> {
    let Some(header) = reader.bytes::<4>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    walk.enter_tunnel(encapsulations, GRE)?;
    let flags = be16(header, 0);
    walk.protocol = be16(header, 2);
    let optional = |bit: u16| if flags & bit != 0 { 4 } else { 0 };
    // Checksum (or routing, RFC 1701), key and sequence number are four bytes each.
    let skip = 4 + if flags & 0xc000 != 0 { 4 } else { 0 } + optional(0x2000) + optional(0x1000);
    match (flags & 7, walk.protocol) {
        // PPTP (RFC 2637): the acknowledgement number is one more, and PPP follows.
        (1, 0x880b) => walk.go(layer::PPP, skip + optional(0x0080)),
        (0, 0x88be | 0x22eb) if encapsulations.enabled & ERSPAN != 0 => {
            // Type I has neither sequence number nor header of its own.
            let type_one = walk.protocol == 0x88be && flags & 0x1000 == 0;
            walk.go(if type_one { layer::ETHERNET } else { layer::ERSPAN }, skip);
        }
        (0, 0x88be | 0x22eb) => return Err(Reject::NotTcp),
        (0, _) => walk.go(layer::ETHER_TYPE, skip),
        _ => return Err(Reject::TunnelHeader),
    }
    Ok(())
}

#[inline(always)]
fn erspan<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let Some(header) = reader.bytes::<8>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    walk.tunnel_id = (be16(header, 2) & 0x03ff) as u32;
    if walk.protocol == 0x88be {
        walk.go(layer::ETHERNET, 8);
        return Ok(());
    }
    let Some(header) = reader.bytes::<12>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    // The O bit announces an eight-byte platform header; frame type 2 is a bare IP packet.
    let skip = 12 + if header[11] & 1 != 0 { 8 } else { 0 };
    let frame_type = (header[10] >> 2) & 0x1f;
    walk.go(if frame_type == 2 { layer::IP_BY_VERSION } else { layer::ETHERNET }, skip);
    Ok(())
}

#[inline(always)]
fn geneve<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let Some(header) = reader.bytes::<8>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    if header[0] >> 6 != 0 {
        return Err(Reject::TunnelHeader);
    }
    walk.tunnel_id = be32(header, 4) >> 8;
    walk.protocol = be16(header, 2);
    walk.go(layer::ETHER_TYPE, 8 + (header[0] & 0x3f) as usize * 4);
    Ok(())
}

#[inline(always)]
fn gtp_u<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let Some(header) = reader.bytes::<8>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    // Version 1, protocol type GTP, message type G-PDU: the only one that carries a user's packet.
    if header[0] & 0xf0 != 0x30 || header[1] != 0xff {
        return Err(Reject::NotTcp);
    }
    walk.tunnel_id = be32(header, 4);
    let options = header[0] & 0x07;
    if options == 0 {
        walk.go(layer::IP_BY_VERSION, 8);
        return Ok(());
    }
    // Any of E, S and PN makes all three optional fields present (TS 29.281 5.1).
    let Some(optional) = reader.bytes::<4>(walk.at as usize + 8) else { return Err(Reject::ShortTunnel) };
    let has_extensions = header[0] & 0x04 != 0 && optional[3] != 0;
    walk.go(if has_extensions { layer::GTP_EXTENSION } else { layer::IP_BY_VERSION }, 12);
    Ok(())
}

#[inline(always)]
fn gtp_extension<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let Some(header) = reader.bytes::<2>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    // Length in four-byte units; the last byte names the next extension header (TS 29.281 5.2.1).
    let len = header[0] as usize * 4;
    if len == 0 {
        return Err(Reject::TunnelHeader);
    }
    // Opaque, so that the bounds check and the load use one pointer: the verifier does not connect two.
    let last_at = black_box(walk.at as usize + len - 2);
    let Some(last) = reader.bytes::<2>(last_at) else { return Err(Reject::ShortTunnel) };
    walk.go(if last[1] != 0 { layer::GTP_EXTENSION } else { layer::IP_BY_VERSION }, len);
    Ok(())
}

#[inline(always)]
fn teredo<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let Some(header) = reader.bytes::<4>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    match be16(header, 0) {
        // Authentication: client id and value of these lengths, nonce and confirmation (RFC 4380 5.1.1).
        1 => walk.go(layer::TEREDO, 4 + header[2] as usize + header[3] as usize + 9),
        // Origin indication.
        0 => walk.go(layer::TEREDO, 8),
        version if version >> 12 == 6 => walk.go(layer::IPV6, 0),
        _ => return Err(Reject::NotTcp),
    }
    Ok(())
}

#[inline(always)]
fn ppp<R: Reader>(reader: &R, walk: &mut Walk) -> Result<(), Reject> {
    let Some(header) = reader.bytes::<4>(walk.at as usize) else { return Err(Reject::ShortTunnel) };
    // Address and control fields may be there (HDLC framing) or compressed away (RFC 1661 6.6).
    let (protocol, skip) = if be16(header, 0) == 0xff03 { (be16(header, 2), 4) } else { (be16(header, 0), 2) };
    match protocol {
        0x0021 => walk.go(layer::IPV4, skip),
        0x0057 => walk.go(layer::IPV6, skip),
        // The protocol field itself may be compressed to one byte.
        compressed if compressed >> 8 == 0x21 => walk.go(layer::IPV4, skip - 1),
        compressed if compressed >> 8 == 0x57 => walk.go(layer::IPV6, skip - 1),
        _ => return Err(Reject::NotIp),
    }
    Ok(())
}

mod not_tcp;
mod reassembled;
mod walk;

use walk::layer;

pub use not_tcp::is_not_tcp;
pub use reassembled::{
    ALL_OF_CAPTURES, ETHERIP, Known, L2TP, NAMES_OF_CAPTURES, OF_CAPTURES, TZSP, Unknown, locate_whole,
};
pub use walk::Walk;

#[cfg(test)]
mod tests;

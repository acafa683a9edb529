//! Early exit for frames that are neither TCP nor a tunnel (ARP, DNS, QUIC, ICMP), checked at fixed offsets before the
//! walk through tunnels. Ports of tunnels are those of `tunnel`; a new kind of tunnel needs its port here, too.

use super::{ETHERTYPES, GENEVE_PORT, GTP_C_PORT, GTP_U_PORT, TEREDO_PORT, is_vxlan};
use crate::parse::{ETHER_IPV4, ETHER_IPV6, IcmpError, Reader, Reject, be16, is_vlan};

const UDP: u8 = 17;
const ICMP: u8 = 1;
const ICMPV6: u8 = 58;
/// What in IP may lead on: IPv4, TCP, IPv6, GRE, an authentication header, MPLS; UDP is told by its ports.
const LEADS_ON: [u8; 6] = [4, 6, 41, 47, 51, 137];
/// Ethernet header and IPv4 header without options.
const V4_PAYLOAD: usize = 14 + 20;
/// Ethernet header and IPv6 header.
const V6_PAYLOAD: usize = 14 + 40;

/// True when a frame that [`crate::parse::locate`] gave up with `reject` certainly holds no encapsulation and no ICMP error:
/// the walk would end with the same `reject`, and there is nothing else to read. False says nothing. `vxlan_port` is that of [`super::Encapsulations::vxlan_port`].
#[inline(always)]
#[must_use]
pub fn is_not_tcp<R: Reader>(reader: &R, reject: Reject, vxlan_port: u16) -> bool {
    let Some(ether) = reader.bytes::<14>(0) else { return false };
    let ether_type = be16(ether, 12);
    match reject {
        Reject::NotIp => !is_vlan(ether_type) && !ETHERTYPES.contains(&ether_type),
        Reject::NotTcp if ether_type == ETHER_IPV4 => {
            let Some(header) = reader.bytes::<V4_PAYLOAD>(0) else { return false };
            match header[23] {
                UDP => header[14] == 0x45 && has_ports_of_none::<R, V4_PAYLOAD>(reader, vxlan_port),
                ICMP => header[14] == 0x45 && !is_icmp_error::<R, V4_PAYLOAD>(reader, 4),
                protocol => !LEADS_ON.contains(&protocol),
            }
        }
        Reject::NotTcp if ether_type == ETHER_IPV6 => {
            let Some(header) = reader.bytes::<V6_PAYLOAD>(0) else { return false };
            match header[20] {
                UDP => has_ports_of_none::<R, V6_PAYLOAD>(reader, vxlan_port),
                ICMPV6 => !is_icmp_error::<R, V6_PAYLOAD>(reader, 6),
                // Other numbers may be extension headers.
                _ => false,
            }
        }
        _ => false,
    }
}

/// True when the ICMP header at `AT` is of an error.
#[inline(always)]
fn is_icmp_error<R: Reader, const AT: usize>(reader: &R, version: u8) -> bool {
    let Some(&[kind, code]) = reader.bytes::<2>(AT) else { return false };
    IcmpError { version, kind, code }.is_error()
}

/// True when the UDP header at `AT` can be read and has no port of a tunnel.
#[inline(always)]
#[expect(clippy::needless_bitwise_bool, reason = "each branch would be a way of its own for the verifier")]
fn has_ports_of_none<R: Reader, const AT: usize>(reader: &R, vxlan_port: u16) -> bool {
    let Some(ports) = reader.bytes::<4>(AT) else { return false };
    let (src, dst) = (be16(ports, 0), be16(ports, 2));
    let either = |port: u16| (src == port) | (dst == port);
    !(is_vxlan(dst)
        | (dst == vxlan_port)
        | (dst == GENEVE_PORT)
        | either(GTP_U_PORT)
        | either(GTP_C_PORT)
        | either(TEREDO_PORT))
}

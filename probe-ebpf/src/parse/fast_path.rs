//! Fast path: the commonest header shapes at fixed offsets, for a few instructions.

use super::{ETHER_LEN, Located, PROTOCOL_TCP, Reader, be16, ne32};
use crate::layout::TCP_FLAGS;

/// The commonest shape, at fixed offsets and after one bounds check: no tag, IPv4 without options, not fragmented, TCP.
/// `None` says nothing of the frame; [`super::locate`] does, and finds the same.
#[inline(always)]
#[must_use]
pub fn fast_path_v4<R: Reader>(reader: &R) -> Option<Located> {
    let frame = reader.bytes::<{ ETHER_LEN + 20 + 20 }>(0)?;
    // EtherType, version and header length.
    let begin = ne32(frame, 12) & u32::from_ne_bytes([0xff, 0xff, 0xff, 0]);
    // No offset and no more fragments; after two bytes, the protocol.
    let middle = ne32(frame, 20) & u32::from_ne_bytes([0x3f, 0xff, 0, 0xff]);
    if begin != u32::from_ne_bytes([0x08, 0x00, 0x45, 0]) || middle != u32::from_ne_bytes([0, 0, 0, PROTOCOL_TCP]) {
        return None;
    }
    let total = be16(frame, 16) as usize;
    if !reader.reaches(ETHER_LEN + total) {
        return None;
    }
    plain(ETHER_LEN + 20, total, [frame[46], frame[47]], 4)
}

/// The same of IPv6 without extension headers.
#[inline(always)]
#[must_use]
pub fn fast_path_v6<R: Reader>(reader: &R) -> Option<Located> {
    let frame = reader.bytes::<{ ETHER_LEN + 40 + 20 }>(0)?;
    let begin = ne32(frame, 12) & u32::from_ne_bytes([0xff, 0xff, 0xf0, 0]);
    if begin != u32::from_ne_bytes([0x86, 0xdd, 0x60, 0]) || frame[20] != PROTOCOL_TCP {
        return None;
    }
    let payload = be16(frame, 18) as usize;
    if !reader.reaches(ETHER_LEN + 40 + payload) {
        return None;
    }
    plain(ETHER_LEN + 40, payload + 40, [frame[66], frame[67]], 6)
}

/// `ip_len` is all of the IP packet; there is nothing between its fixed header and that of TCP.
#[inline(always)]
fn plain(tcp: usize, ip_len: usize, [offset, flags]: [u8; 2], ip_version: u8) -> Option<Located> {
    let tcp_header_len = (offset >> 2) as usize & 0x3c;
    let ip_header_len = tcp - ETHER_LEN;
    if tcp_header_len < 20 || ip_header_len + tcp_header_len > ip_len {
        return None;
    }
    Some(Located {
        tcp_len: (ip_len - ip_header_len) as u32,
        tunnel_id: 0,
        ip: ETHER_LEN as u16,
        tcp: tcp as u16,
        vlan: 0,
        flags: u16::from_be_bytes([offset, flags]) & TCP_FLAGS,
        tcp_header_len: tcp_header_len as u8,
        ip_version,
        fragment: 0,
        tunnels: 0,
    })
}

//! The commonest shapes at offsets that are known beforehand: what most frames need, for a few instructions.

use super::{ETHER_LEN, Located, PROTOCOL_TCP, Reader, be16, ne32};
use crate::layout::TCP_FLAGS;

/// The commonest shape, at fixed offsets and after one bounds check: no tag, IPv4 without options, not fragmented, TCP.
/// `None` says nothing of the frame; [`super::locate`] does, and finds the same.
#[inline(always)]
#[must_use]
pub fn glance_v4<R: Reader>(reader: &R) -> Option<Located> {
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
    plain(ETHER_LEN + 20, total.checked_sub(20)?, be16(frame, 46), 4)
}

/// The same of IPv6 without extension headers.
#[inline(always)]
#[must_use]
pub fn glance_v6<R: Reader>(reader: &R) -> Option<Located> {
    let frame = reader.bytes::<{ ETHER_LEN + 40 + 20 }>(0)?;
    let begin = ne32(frame, 12) & u32::from_ne_bytes([0xff, 0xff, 0xf0, 0]);
    if begin != u32::from_ne_bytes([0x86, 0xdd, 0x60, 0]) || frame[20] != PROTOCOL_TCP {
        return None;
    }
    let payload = be16(frame, 18) as usize;
    if !reader.reaches(ETHER_LEN + 40 + payload) {
        return None;
    }
    plain(ETHER_LEN + 40, payload, be16(frame, 66), 6)
}

#[inline(always)]
fn plain(tcp: usize, tcp_len: usize, offset_and_flags: u16, ip_version: u8) -> Option<Located> {
    let tcp_header_len = (offset_and_flags >> 12) as usize * 4;
    if tcp_header_len < 20 || tcp_header_len > tcp_len {
        return None;
    }
    Some(Located {
        tcp_len: tcp_len as u32,
        tunnel_id: 0,
        ip: ETHER_LEN as u16,
        tcp: tcp as u16,
        vlan: 0,
        flags: offset_and_flags & TCP_FLAGS,
        tcp_header_len: tcp_header_len as u8,
        ip_version,
        fragment: 0,
        tunnels: 0,
    })
}

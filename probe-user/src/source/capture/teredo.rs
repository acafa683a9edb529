//! Teredo on ports other than its own: relays and peers use any (RFC 4380 5.2), so the payload must tell.

use probe_ebpf::parse::{Reader, SliceReader};

/// 2001:0000::/32.
const PREFIX: [u8; 4] = [0x20, 0x01, 0, 0];
const UDP_HEADER: usize = 8;

/// Whether the UDP payload after the header at `udp` is an IPv6 packet of exactly the rest of the datagram, from or to a
/// Teredo address, behind at most one authentication and one origin header.
pub(super) fn is_teredo(reader: &SliceReader<'_>, udp: usize, end: usize) -> bool {
    let mut at = udp + UDP_HEADER;
    if let Some(&[0, 1, client, authentication]) = reader.bytes::<4>(at) {
        at += 4 + usize::from(client) + usize::from(authentication) + 9;
    }
    if let Some([0, 0]) = reader.bytes::<2>(at) {
        at += 8;
    }
    let Some(header) = reader.bytes::<40>(at) else { return false };
    let payload = usize::from(u16::from_be_bytes([header[4], header[5]]));
    header[0] >> 4 == 6 && at + 40 + payload == end && (header[8..12] == PREFIX || header[24..28] == PREFIX)
}

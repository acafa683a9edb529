//! IP fragments: reads what an IP header says of one.

use probe_ebpf::parse::{Reader, SliceReader};

use super::checksum::{fold, sum};

/// Longest packet that an IPv4 total length or an IPv6 payload length can describe.
const LARGEST: usize = 65_535;
const FRAGMENT_HEADER: u8 = 44;
const MAX_EXTENSIONS: usize = 8;

/// What fragments of one packet have in common (RFC 791 3.2, RFC 8200 4.5).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct PacketId {
    /// Source and destination, IPv4 in the first four bytes each.
    pub(super) addresses: [u8; 32],
    pub(super) id: u32,
    /// 0 for IPv6, where it is no part of it.
    pub(super) protocol: u8,
    pub(super) version: u8,
    /// Tunnels, tunnel id and VLAN in which it travels.
    pub(super) surroundings: (u8, u32, u16),
}

/// One fragment.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'a> {
    pub(super) packet: PacketId,
    pub(super) offset: usize,
    /// More fragments follow.
    pub(super) more: bool,
    /// The headers that the whole packet begins with, the fragment header left out.
    pub(super) header: &'a [u8],
    /// What is fragmented; `None` when it was not captured whole.
    pub(super) payload: Option<&'a [u8]>,
    /// Protocol of the payload, and where in `header` it is written.
    pub(super) next: (u8, usize),
}

/// The fragment whose IP header is at `ip`; `None` when it is none or its headers make no sense.
pub(super) fn read<'a>(reader: &SliceReader<'a>, ip: usize, surroundings: (u8, u32, u16)) -> Option<Fragment<'a>> {
    match reader.bytes::<1>(ip)?[0] >> 4 {
        4 => read_v4(reader, ip, surroundings),
        6 => read_v6(reader, ip, surroundings),
        _ => None,
    }
}

fn read_v4<'a>(reader: &SliceReader<'a>, ip: usize, surroundings: (u8, u32, u16)) -> Option<Fragment<'a>> {
    let fixed = reader.bytes::<20>(ip)?;
    let header_len = usize::from(fixed[0] & 0x0f) * 4;
    let total = usize::from(u16::from_be_bytes([fixed[2], fixed[3]]));
    let bits = u16::from_be_bytes([fixed[6], fixed[7]]);
    if header_len < 20 || total < header_len {
        return None;
    }
    let mut addresses = [0; 32];
    addresses[..4].copy_from_slice(&fixed[12..16]);
    addresses[16..20].copy_from_slice(&fixed[16..20]);
    let id = u32::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    Some(Fragment {
        packet: PacketId { addresses, id, protocol: fixed[9], version: 4, surroundings },
        offset: usize::from(bits & 0x1fff) * 8,
        more: bits & 0x2000 != 0,
        header: reader.bytes.get(ip..ip + header_len)?,
        payload: reader.bytes.get(ip + header_len..ip + total),
        next: (fixed[9], 9),
    })
}

fn read_v6<'a>(reader: &SliceReader<'a>, ip: usize, surroundings: (u8, u32, u16)) -> Option<Fragment<'a>> {
    let fixed = reader.bytes::<40>(ip)?;
    let end = ip + 40 + usize::from(u16::from_be_bytes([fixed[4], fixed[5]]));
    let (mut next, mut next_at, mut at) = (fixed[6], 6, ip + 40);
    for _ in 0..MAX_EXTENSIONS {
        if next == FRAGMENT_HEADER {
            break;
        }
        let [following, len] = *reader.bytes::<2>(at)?;
        (next, next_at) = (following, at - ip);
        at += (usize::from(len) + 1) * 8;
    }
    let head = reader.bytes::<8>(at)?;
    if next != FRAGMENT_HEADER || at + 8 > end {
        return None;
    }
    let bits = u16::from_be_bytes([head[2], head[3]]);
    let mut addresses = [0; 32];
    addresses.copy_from_slice(&fixed[8..40]);
    let id = u32::from_be_bytes([head[4], head[5], head[6], head[7]]);
    Some(Fragment {
        packet: PacketId { addresses, id, protocol: 0, version: 6, surroundings },
        offset: usize::from(bits & 0xfff8),
        more: bits & 1 != 0,
        header: reader.bytes.get(ip..at)?,
        payload: reader.bytes.get(at + 8..end),
        next: (head[0], next_at),
    })
}

/// Makes a whole packet's header of a fragment's, at the beginning of `packet`; `None` when it would be too long.
pub(super) fn complete(packet: &mut [u8], header_len: usize, next: (u8, usize)) -> Option<()> {
    let len = packet.len();
    *packet.get_mut(next.1)? = next.0;
    if packet.first()? >> 4 == 6 {
        let payload = len.checked_sub(40).filter(|payload| *payload <= LARGEST)?;
        packet.get_mut(4..6)?.copy_from_slice(&(payload as u16).to_be_bytes());
        return Some(());
    }
    let header = packet.get_mut(..header_len).filter(|_| len <= LARGEST)?;
    header.get_mut(2..4)?.copy_from_slice(&(len as u16).to_be_bytes());
    header[6..8].fill(0);
    header[10..12].fill(0);
    let checksum = !fold(sum(header, 0));
    header[10..12].copy_from_slice(&checksum.to_ne_bytes());
    Some(())
}

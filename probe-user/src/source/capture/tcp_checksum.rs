//! TCP checksums of captured segments: right, wrong, or left to the NIC of the host that captured.

use probe_ebpf::layout::Segment;
use probe_ebpf::parse::{Located, Reader, SliceReader};

use super::address::Addresses;
use super::checksum::{add, fold, holds, sum};
use super::frame::Frame;

/// Whether the TCP checksum over pseudo header and `tcp` is right (RFC 9293 3.1, RFC 8200 8.1); true when the addresses
/// cannot be read.
#[inline(always)]
pub(super) fn is_right(reader: &SliceReader<'_>, located: &Located, instead: Option<Addresses>, tcp: &[u8]) -> bool {
    pseudo_header(reader, located, instead, tcp.len() as u32).is_none_or(|pseudo| holds(sum(tcp, pseudo)))
}

/// Whether the checksum field of a segment holds what a host leaves there when its NIC is to do the rest: the sum over the
/// pseudo header alone (Linux `CHECKSUM_PARTIAL`, `tcp_v4_send_check`), for segmentation offload also with length 0 (NDIS
/// large send offload). One wrong checksum in 30 000 looks like that by accident.
#[cold]
pub(super) fn is_offloaded(reader: &SliceReader<'_>, located: &Located, instead: Option<Addresses>) -> bool {
    let Some(&field) = reader.bytes::<2>(usize::from(located.tcp) + 16) else { return false };
    [located.tcp_len, 0].into_iter().any(|len| {
        let pseudo = pseudo_header(reader, located, instead, len);
        pseudo.is_some_and(|pseudo| fold(pseudo) == u16::from_ne_bytes(field))
    })
}

/// The same of a frame as nearly all are: Ethernet, IPv4 without options.
#[cold]
pub(super) fn is_plain_offloaded(frame: &Frame<'_>, segment: &Segment) -> bool {
    let tcp_len = segment.record.ip_len().saturating_sub(20);
    let located = Located { ip: 14, tcp: 34, tcp_len, ip_version: 4, ..Located::default() };
    is_offloaded(&SliceReader { bytes: frame.bytes, wire_len: frame.wire_len }, &located, None)
}

/// Sum over the pseudo header of a segment of `len` bytes.
#[inline(always)]
fn pseudo_header(reader: &SliceReader<'_>, located: &Located, instead: Option<Addresses>, len: u32) -> Option<u64> {
    let ip = usize::from(located.ip);
    let (addresses, address_len) = if located.ip_version == 6 { (ip + 8, 32) } else { (ip + 12, 8) };
    let addresses = reader.bytes.get(addresses..addresses + address_len)?;
    let addresses = match instead {
        Some(Addresses { source, target }) => sum(&target, sum(&source, 0)),
        None => sum(addresses, 0),
    };
    // Protocol number and length, each in network byte order; both below 2^16 unless it is a jumbogram.
    let rest = u64::from(6_u16.to_be()) + u64::from((len as u16).to_be()) + u64::from(((len >> 16) as u16).to_be());
    Some(add(addresses, rest))
}

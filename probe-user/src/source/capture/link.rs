//! What a frame begins with: from each link type to the first header that the shared parser knows.

use probe_ebpf::{
    parse::{Reader, Reject, SliceReader},
    tunnel::Walk,
};

/// Link-layer header types (<https://www.tcpdump.org/linktypes.html>).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum LinkType {
    /// 1: Ethernet.
    Ethernet,
    /// 0: BSD loopback, address family in the byte order of the capturing host.
    Null,
    /// 108: OpenBSD loopback, address family in network byte order.
    Loop,
    /// 12, 14, 101: IPv4 or IPv6 without any header before.
    Raw,
    /// 228: IPv4.
    Ipv4,
    /// 229: IPv6.
    Ipv6,
    /// 113: Linux "any" device.
    LinuxSll,
    /// 276: the same, second version.
    LinuxSll2,
    /// 9, 50: PPP, with or without HDLC framing.
    Ppp,
    /// 239: Linux netfilter log.
    NfLog,
    /// Anything else, by its number.
    Other(u32),
}

impl LinkType {
    /// From the number in a capture file.
    pub fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Null,
            1 => Self::Ethernet,
            9 | 50 => Self::Ppp,
            12 | 14 | 101 => Self::Raw,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            239 => Self::NfLog,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }
}

/// Where the walk to the TCP header of a frame begins; `None` for an unknown link type.
pub(super) fn start(reader: &SliceReader<'_>, link: LinkType) -> Option<Result<Walk, Reject>> {
    Some(match link {
        LinkType::Ethernet => Ok(Walk::ethernet(0)),
        LinkType::LinuxSll => tagged(reader, 14, 16),
        LinkType::LinuxSll2 => tagged(reader, 0, 20),
        LinkType::Raw => Ok(Walk::ip(0)),
        LinkType::Ipv4 => Ok(Walk::ether_type(0, ETHER_IPV4)),
        LinkType::Ipv6 => Ok(Walk::ether_type(0, ETHER_IPV6)),
        LinkType::Null | LinkType::Loop => family(reader),
        LinkType::Ppp => Ok(Walk::ppp(0)),
        LinkType::NfLog => nflog(reader),
        LinkType::Other(_) => return None,
    })
}

const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;

fn tagged(reader: &SliceReader<'_>, ether_type_at: usize, at: u16) -> Result<Walk, Reject> {
    be16(reader, ether_type_at).map(|ether_type| Walk::ether_type(at, ether_type)).ok_or(Reject::ShortLink)
}

/// BSD address families: 2 is IPv4 everywhere, IPv6 differs from system to system. Read in both byte orders.
fn family(reader: &SliceReader<'_>) -> Result<Walk, Reject> {
    let Some(&word) = reader.bytes::<4>(0) else { return Err(Reject::ShortLink) };
    let value = u32::from_be_bytes(word);
    let value = if value > 0xffff { value.swap_bytes() } else { value };
    match value {
        2 => Ok(Walk::ether_type(4, ETHER_IPV4)),
        10 | 24 | 28 | 30 => Ok(Walk::ether_type(4, ETHER_IPV6)),
        _ => Err(Reject::NotIp),
    }
}

/// Netfilter log: a header of four bytes, then type-length-value records padded to four bytes, the payload among them
/// (<https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html>).
fn nflog(reader: &SliceReader<'_>) -> Result<Walk, Reject> {
    const PAYLOAD: u16 = 9;
    /// More records than any packet has.
    const MAX_RECORDS: usize = 64;
    let mut at = 4;
    for _ in 0..MAX_RECORDS {
        let Some(&head) = reader.bytes::<4>(at) else { return Err(Reject::ShortLink) };
        let [length, kind] = [u16::from_ne_bytes([head[0], head[1]]), u16::from_ne_bytes([head[2], head[3]])];
        if kind & 0x7fff == PAYLOAD {
            return u16::try_from(at + 4).map(Walk::ip).map_err(|_| Reject::ShortLink);
        }
        if length < 4 {
            return Err(Reject::ShortLink);
        }
        at += usize::from(length).next_multiple_of(4);
    }
    Err(Reject::NotIp)
}

fn be16(reader: &SliceReader<'_>, at: usize) -> Option<u16> {
    reader.bytes::<2>(at).map(|&bytes| u16::from_be_bytes(bytes))
}

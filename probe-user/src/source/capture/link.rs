//! Link types: from each link type to the first header that the shared parser knows.

use probe_ebpf::{
    parse::{Reader, Reject, SliceReader},
    tunnel::Walk,
};

use super::{erf, ieee80211};

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
    /// 51: PPPoE, without the Ethernet header before.
    PppOverEthernet,
    /// 104: Cisco's HDLC.
    CiscoHdlc,
    /// 105: 802.11.
    Ieee80211,
    /// 127: 802.11 with a radiotap header.
    Radiotap,
    /// 117: OpenBSD's packet filter log.
    Pflog,
    /// 192: per-packet information, with a link type of its own.
    Ppi,
    /// 197: an ERF record.
    Erf,
    /// 239: Linux netfilter log.
    NfLog,
    /// Data link types of snoop files that are not understood, by their number there.
    Snoop(u32),
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
            51 => Self::PppOverEthernet,
            104 => Self::CiscoHdlc,
            105 => Self::Ieee80211,
            108 => Self::Loop,
            113 => Self::LinuxSll,
            117 => Self::Pflog,
            127 => Self::Radiotap,
            192 => Self::Ppi,
            197 => Self::Erf,
            228 => Self::Ipv4,
            229 => Self::Ipv6,
            239 => Self::NfLog,
            276 => Self::LinuxSll2,
            other => Self::Other(other),
        }
    }
}

/// What a frame is in that is not understood.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Unsupported {
    /// What the number counts: link types, or those of a format of its own.
    pub kind: &'static str,
    /// Which one.
    pub number: u32,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.kind, self.number)
    }
}

/// Why no walk to a TCP header begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unread {
    /// What there is to read is cut, damaged or something else.
    Rejected(Reject),
    /// It is not known how to read it.
    Unsupported(Unsupported),
    /// Several packets are in one frame.
    Aggregate,
}

impl Unread {
    /// The same of a frame within a packet.
    pub(super) fn in_a_tunnel(self) -> Reject {
        match self {
            Self::Rejected(Reject::ShortLink) => Reject::ShortTunnel,
            Self::Rejected(reason) => reason,
            Self::Unsupported(_) | Self::Aggregate => Reject::TunnelHeader,
        }
    }
}

impl From<Reject> for Unread {
    fn from(reason: Reject) -> Self {
        Self::Rejected(reason)
    }
}

impl From<Unsupported> for Unread {
    fn from(unsupported: Unsupported) -> Self {
        Self::Unsupported(unsupported)
    }
}

/// Where the walk to the TCP header of a frame begins.
///
/// # Errors
/// Why it begins nowhere.
pub(super) fn start(reader: &SliceReader<'_>, link: LinkType) -> Result<Walk, Unread> {
    match link {
        LinkType::Ppi => {
            let (inner, at) = ppi(reader)?;
            start_at(reader, inner, at)
        }
        LinkType::Erf => {
            let (inner, at) = erf::frame(reader, 0)?;
            start_at(reader, inner, at)
        }
        other => start_at(reader, other, 0),
    }
}

/// As [`start`], of what begins at `at`; link types with another within are none there.
fn start_at(reader: &SliceReader<'_>, link: LinkType, at: usize) -> Result<Walk, Unread> {
    let here = narrow(at)?;
    Ok(match link {
        LinkType::Ethernet => Walk::ethernet(here),
        LinkType::LinuxSll => tagged(reader, at + 14, at + 16)?,
        LinkType::LinuxSll2 => tagged(reader, at, at + 20)?,
        LinkType::Raw => Walk::ip(here),
        LinkType::Ipv4 => Walk::ether_type(here, ETHER_IPV4),
        LinkType::Ipv6 => Walk::ether_type(here, ETHER_IPV6),
        LinkType::Null | LinkType::Loop => family(reader, at)?,
        LinkType::Ppp => Walk::ppp(here),
        LinkType::PppOverEthernet => pppoe(reader, at)?,
        // Address, control, and an EtherType (<https://www.tcpdump.org/linktypes/LINKTYPE_C_HDLC.html>).
        LinkType::CiscoHdlc => tagged(reader, at + 2, at + 4)?,
        LinkType::Ieee80211 => named(ieee80211::ether_type(reader, at, false)?)?,
        LinkType::Radiotap => named(ieee80211::after_radiotap(reader, at)?)?,
        LinkType::Pflog => pflog(reader, at)?,
        LinkType::NfLog => nflog(reader, at)?,
        LinkType::Ppi => return Err(Unsupported { kind: LINK_TYPE, number: 192 }.into()),
        LinkType::Erf => return Err(Unsupported { kind: LINK_TYPE, number: 197 }.into()),
        LinkType::Snoop(number) => return Err(Unsupported { kind: "snoop data link type", number }.into()),
        LinkType::Other(number) => return Err(Unsupported { kind: LINK_TYPE, number }.into()),
    })
}

const LINK_TYPE: &str = "link type";
const ETHER_IPV4: u16 = 0x0800;
const ETHER_IPV6: u16 = 0x86dd;

fn narrow(at: usize) -> Result<u16, Reject> {
    u16::try_from(at).map_err(|_| Reject::ShortLink)
}

fn named((ether_type, at): (u16, usize)) -> Result<Walk, Reject> {
    Ok(Walk::ether_type(narrow(at)?, ether_type))
}

fn tagged(reader: &SliceReader<'_>, ether_type_at: usize, at: usize) -> Result<Walk, Reject> {
    named((be16(reader, ether_type_at).ok_or(Reject::ShortLink)?, at))
}

/// BSD address families, read in both byte orders.
fn family(reader: &SliceReader<'_>, at: usize) -> Result<Walk, Reject> {
    let Some(&word) = reader.bytes::<4>(at) else { return Err(Reject::ShortLink) };
    let value = u32::from_be_bytes(word);
    named((of_family(if value > 0xffff { value.swap_bytes() } else { value })?, at + 4))
}

/// The EtherType of an address family: 2 is IPv4 everywhere, IPv6 differs from system to system.
fn of_family(family: u32) -> Result<u16, Reject> {
    match family {
        2 => Ok(ETHER_IPV4),
        10 | 24 | 28 | 30 => Ok(ETHER_IPV6),
        _ => Err(Reject::NotIp),
    }
}

/// Version and type, code (0 for session data), session, length; then PPP (RFC 2516 4).
fn pppoe(reader: &SliceReader<'_>, at: usize) -> Result<Walk, Reject> {
    let Some(header) = reader.bytes::<6>(at) else { return Err(Reject::ShortLink) };
    if header[1] != 0 {
        return Err(Reject::NotIp);
    }
    Ok(Walk::ppp(narrow(at + 6)?))
}

/// Packet filter log: its length, without padding to four bytes, and the address family come first
/// (<https://www.tcpdump.org/linktypes/LINKTYPE_PFLOG.html>).
fn pflog(reader: &SliceReader<'_>, at: usize) -> Result<Walk, Reject> {
    let Some(&[len, family]) = reader.bytes::<2>(at) else { return Err(Reject::ShortLink) };
    named((of_family(u32::from(family))?, at + usize::from(len).next_multiple_of(4)))
}

/// Per-packet information: version 0, flags, length and link type in little endian, then fields
/// (<https://www.tcpdump.org/linktypes/LINKTYPE_PPI.html>).
fn ppi(reader: &SliceReader<'_>) -> Result<(LinkType, usize), Reject> {
    let Some(&[version, _, low, high, a, b, c, d]) = reader.bytes::<8>(0) else { return Err(Reject::ShortLink) };
    let len = usize::from(u16::from_le_bytes([low, high]));
    if version != 0 || len < 8 {
        return Err(Reject::TunnelHeader);
    }
    Ok((LinkType::from_number(u32::from_le_bytes([a, b, c, d])), len))
}

/// Netfilter log: a header of four bytes, then type-length-value records padded to four bytes, the payload among them
/// (<https://www.tcpdump.org/linktypes/LINKTYPE_NFLOG.html>).
fn nflog(reader: &SliceReader<'_>, begin: usize) -> Result<Walk, Reject> {
    const PAYLOAD: u16 = 9;
    /// More records than any packet has.
    const MAX_RECORDS: usize = 64;
    let mut at = begin + 4;
    for _ in 0..MAX_RECORDS {
        let Some(&head) = reader.bytes::<4>(at) else { return Err(Reject::ShortLink) };
        let [length, kind] = [u16::from_ne_bytes([head[0], head[1]]), u16::from_ne_bytes([head[2], head[3]])];
        if kind & 0x7fff == PAYLOAD {
            return narrow(at + 4).map(Walk::ip);
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

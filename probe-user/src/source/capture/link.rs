//! Link headers: from each link type to the first header that the shared parser knows.

use probe_ebpf::{
    parse::{Reader, Reject, SliceReader},
    tunnel::Walk,
};

use super::link_type::{LinkType, Unread, Unsupported};
use super::{erf, ieee80211};

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
        LinkType::BeyondInterfaces(number) => {
            return Err(Unsupported { kind: "interface after the first", number }.into());
        }
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

//! Link types of captures by their numbers, and why a frame of one cannot be read.

use probe_ebpf::parse::Reject;

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
    /// That of an interface beyond the first ones of its section, of which so many are told apart.
    BeyondInterfaces(u32),
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

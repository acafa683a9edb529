//! Link types (ARPHRD_*): what a frame of an interface begins with, and which of them the kernel program understands.

use std::fmt;

use netlink_packet_route::link::LinkLayerType;

/// What frames of an interface begin with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkLayer {
    /// An Ethernet header. The loopback device has one, too.
    Ethernet,
    /// An IPv4 or IPv6 header, nothing before it: tun, WireGuard, PPP, IP tunnels.
    Ip,
    /// Something that is not understood, by its number in include/uapi/linux/if_arp.h.
    Other(u16),
}

impl LinkLayer {
    /// True where frames can be read.
    pub fn is_understood(self) -> bool {
        !matches!(self, Self::Other(_))
    }

    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ethernet => "Ethernet",
            Self::Ip => "IP without a link header",
            Self::Other(number) => name_of(number),
        }
    }
}

impl From<LinkLayerType> for LinkLayer {
    fn from(kind: LinkLayerType) -> Self {
        match kind {
            LinkLayerType::Ether | LinkLayerType::Loopback => Self::Ethernet,
            LinkLayerType::None
            | LinkLayerType::Ppp
            | LinkLayerType::Rawip
            | LinkLayerType::Tunnel
            | LinkLayerType::Tunnel6
            | LinkLayerType::Sit
            | LinkLayerType::Ipgre
            | LinkLayerType::Ip6gre => Self::Ip,
            other => Self::Other(other.into()),
        }
    }
}

impl fmt::Display for LinkLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "{number} ({})", self.name()),
            Self::Ethernet | Self::Ip => f.write_str(self.name()),
        }
    }
}

/// Link types that interfaces of today may have (include/uapi/linux/if_arp.h).
fn name_of(number: u16) -> &'static str {
    match LinkLayerType::from(number) {
        LinkLayerType::Netrom => "NET/ROM, or none that its driver reports",
        LinkLayerType::Ax25 => "AX.25",
        LinkLayerType::Arcnet => "ARCnet",
        LinkLayerType::Atm => "ATM",
        LinkLayerType::Ieee1394 => "IEEE 1394, FireWire",
        LinkLayerType::Infiniband => "InfiniBand",
        LinkLayerType::Slip | LinkLayerType::Cslip | LinkLayerType::Slip6 | LinkLayerType::Cslip6 => "SLIP",
        LinkLayerType::X25 => "X.25",
        LinkLayerType::Can => "CAN bus",
        LinkLayerType::Mctp => "MCTP",
        LinkLayerType::Hdlc | LinkLayerType::Rawhdlc => "HDLC",
        LinkLayerType::Lapb => "LAPB",
        LinkLayerType::Frad => "Frame Relay",
        LinkLayerType::Pimreg => "multicast routing by PIM",
        LinkLayerType::Ieee80211 => "IEEE 802.11",
        LinkLayerType::Ieee80211Prism => "IEEE 802.11 with Prism header",
        LinkLayerType::Ieee80211Radiotap => "IEEE 802.11 with radiotap header",
        LinkLayerType::Ieee802154 | LinkLayerType::Ieee802154Monitor => "IEEE 802.15.4",
        LinkLayerType::Phonet | LinkLayerType::PhonetPipe => "Phonet",
        LinkLayerType::Sixlowpan => "6LoWPAN",
        LinkLayerType::Netlink => "netlink monitor",
        LinkLayerType::Vsockmon => "vsock monitor",
        // The library takes those that it does not know for this one.
        LinkLayerType::Void => "none, or one that is not known here",
        _ => "see include/uapi/linux/if_arp.h",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u16) -> LinkLayer {
        LinkLayer::from(LinkLayerType::from(number))
    }

    #[test]
    fn numbers_are_those_of_if_arp_h() {
        assert_eq!([1, 772].map(of), [LinkLayer::Ethernet; 2]);
        assert_eq!([65534, 512, 519, 768, 769, 776, 778, 823].map(of), [LinkLayer::Ip; 8]);
        for number in [0, 32, 280, 800, 801, 803, 804, 824, 0xffff] {
            assert_eq!(of(number), LinkLayer::Other(number));
            assert!(!of(number).is_understood());
        }
    }

    #[test]
    fn what_is_not_understood_has_its_number_and_name() {
        assert_eq!(of(803).to_string(), "803 (IEEE 802.11 with radiotap header)");
        assert_eq!(of(280).to_string(), "280 (CAN bus)");
        assert_eq!(of(824).to_string(), "824 (netlink monitor)");
        assert_eq!(of(1).to_string(), "Ethernet");
    }
}

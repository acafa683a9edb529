//! Reject reasons: why a frame is not a TCP segment.

/// Why a frame is not a TCP segment that can be tracked. The discriminant indexes `EpochCounters::rejected`.
#[repr(u8)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Reject {
    /// Shorter than an Ethernet header.
    ShortLink = 0,
    /// An EtherType that is neither IPv4, IPv6 nor VLAN (ARP, LLDP, MPLS, ...), or an 802.3 length.
    NotIp = 1,
    /// More VLAN tags than the parser follows.
    VlanDepth = 2,
    /// The IP header ends after the frame.
    ShortIp = 3,
    /// The version nibble contradicts the EtherType.
    IpVersion = 4,
    /// IPv4 IHL below 5 or beyond the total length.
    IpHeaderLength = 5,
    /// IPv4 total length or IPv6 payload length beyond the frame on the wire. This parser believes it, as a mirror may have
    /// cropped the frame ([`Located::is_cropped`]); who follows Zeek drops such frames.
    IpTotalLength = 6,
    /// A fragment that is not the first: it has no TCP header.
    LaterFragment = 7,
    /// A transport protocol other than TCP.
    NotTcp = 8,
    /// More IPv6 extension headers than the parser follows.
    ExtensionDepth = 9,
    /// IPv6 ESP: what follows is encrypted.
    Encrypted = 10,
    /// The IP payload (of a first fragment, or by the length field) is too short for a TCP header.
    ShortTcp = 11,
    /// The TCP header ends after what was captured.
    TruncatedTcp = 12,
    /// TCP data offset below 5 or beyond the IP payload.
    TcpDataOffset = 13,
    /// A VLAN tag or IPv6 extension header ends after the frame, or before its own fixed part.
    ShortExtension = 14,
    /// More tunnels within tunnels, or more headers, than are followed.
    TunnelDepth = 15,
    /// A tunnel header ends after the frame.
    ShortTunnel = 16,
    /// A tunnel header of an unknown version or with impossible fields.
    TunnelHeader = 17,
}

impl Reject {
    /// Every reason, in the order of the discriminants.
    pub const ALL: [Self; 18] = [
        Self::ShortLink,
        Self::NotIp,
        Self::VlanDepth,
        Self::ShortIp,
        Self::IpVersion,
        Self::IpHeaderLength,
        Self::IpTotalLength,
        Self::LaterFragment,
        Self::NotTcp,
        Self::ExtensionDepth,
        Self::Encrypted,
        Self::ShortTcp,
        Self::TruncatedTcp,
        Self::TcpDataOffset,
        Self::ShortExtension,
        Self::TunnelDepth,
        Self::ShortTunnel,
        Self::TunnelHeader,
    ];

    /// Stable name for outputs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ShortLink => "short_link",
            Self::NotIp => "not_ip",
            Self::VlanDepth => "vlan_depth",
            Self::ShortIp => "short_ip",
            Self::IpVersion => "ip_version",
            Self::IpHeaderLength => "ip_header_length",
            Self::IpTotalLength => "ip_total_length",
            Self::LaterFragment => "later_fragment",
            Self::NotTcp => "not_tcp",
            Self::ExtensionDepth => "extension_depth",
            Self::Encrypted => "encrypted",
            Self::ShortTcp => "short_tcp",
            Self::TruncatedTcp => "truncated_tcp",
            Self::TcpDataOffset => "tcp_data_offset",
            Self::ShortExtension => "short_extension",
            Self::TunnelDepth => "tunnel_depth",
            Self::ShortTunnel => "short_tunnel",
            Self::TunnelHeader => "tunnel_header",
        }
    }

    /// True when the frame is broken or cut, false when it is merely something else.
    #[must_use]
    pub fn is_malformed(self) -> bool {
        !matches!(self, Self::NotIp | Self::NotTcp | Self::LaterFragment | Self::Encrypted)
    }
}

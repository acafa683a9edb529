//! Tunnel parser for captures: the same walk, resumed after reassembly of fragments and with more encapsulations than the
//! kernel program knows.

use super::{ALL, Encapsulations, MAX_STEPS, TEREDO, Walk, finish, layer, step};
use crate::parse::{self, IcmpPlace, Located, Reader, Reject};

/// EtherIP (RFC 3378).
pub const ETHERIP: u32 = 1 << 10;
/// L2TP versions 2 and 3 (RFC 2661, RFC 3931).
pub const L2TP: u32 = 1 << 11;
/// TZSP.
pub const TZSP: u32 = 1 << 12;
/// Everything that captures are looked into for, and the kernel program is not.
pub const OF_CAPTURES: u32 = ETHERIP | L2TP | TZSP;
/// Everything that captures are looked into for.
pub const ALL_OF_CAPTURES: u32 = ALL | OF_CAPTURES;

/// Names of [`OF_CAPTURES`], for options.
pub const NAMES_OF_CAPTURES: [(&str, u32); 3] = [("etherip", ETHERIP), ("l2tp", L2TP), ("tzsp", TZSP)];

/// What a walk stopped before, as it knows no more of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unknown {
    /// What follows this EtherType, or an 802.3 length.
    EtherType(u16),
    /// What follows this protocol number in IP.
    IpProtocol(u16),
    /// A UDP header with ports of none of its encapsulations.
    Udp,
}

/// A header that a walk can go on at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Known {
    /// Ethernet.
    Ethernet,
    /// What follows this EtherType.
    EtherType(u16),
    /// PPP, from its protocol field or its HDLC framing on.
    Ppp,
    /// GRE.
    Gre,
    /// VXLAN.
    Vxlan,
}

impl Walk {
    /// What it stopped before, and where that begins; `None` when it knows what it is.
    #[must_use]
    pub fn unknown(&self) -> Option<(Unknown, usize)> {
        let what = match self.layer {
            layer::ETHER_TYPE => Unknown::EtherType(self.protocol),
            layer::IP_PROTOCOL => Unknown::IpProtocol(self.protocol),
            layer::UDP => Unknown::Udp,
            _ => return None,
        };
        Some((what, self.at as usize))
    }

    /// Enters one of the encapsulations.
    ///
    /// # Errors
    /// It is not enabled, or too deep.
    pub fn enter(&mut self, encapsulations: Encapsulations, bit: u32) -> Result<(), Reject> {
        self.enter_tunnel(encapsulations, bit)
    }

    /// Goes on at a header that it knows; where it stopped, or behind.
    ///
    /// # Errors
    /// It is further away than any frame reaches.
    pub fn go_on(&mut self, with: Known, at: usize) -> Result<(), Reject> {
        self.at = u16::try_from(at).map_err(|_| Reject::ShortTunnel)?;
        self.layer = match with {
            Known::Ethernet => layer::ETHERNET,
            Known::EtherType(protocol) => {
                self.protocol = protocol;
                layer::ETHER_TYPE
            }
            Known::Ppp => layer::PPP,
            Known::Gre => layer::GRE,
            Known::Vxlan => layer::VXLAN,
        };
        Ok(())
    }

    /// The innermost tunnel has this id.
    pub fn identify(&mut self, tunnel_id: u32) {
        self.tunnel_id = tunnel_id;
    }

    /// From an IP header of either version at `at` in other bytes, which are what this walk stands at, put together
    /// again: same tunnels, same tags.
    #[must_use]
    pub fn resumed_at_ip(&self, at: u16) -> Self {
        let (tunnel_id, vlan, depth) = (self.tunnel_id, self.vlan, self.depth);
        Self { at, tunnel_id, vlan, depth, layer: layer::IP_BY_VERSION, ..Self::default() }
    }

    /// Offset of the IP header the walk stands in or, for a later IPv4 fragment, before.
    #[must_use]
    pub fn packet_at(&self) -> usize {
        if self.layer == layer::IPV4 { self.at as usize } else { self.ip as usize }
    }

    /// Offset of the UDP header when the walk stands before one.
    #[must_use]
    pub fn udp_at(&self) -> Option<usize> {
        (self.layer == layer::UDP).then_some(self.at as usize)
    }

    /// Where the ICMP packet lies when the walk stands before one that is not in pieces (ICMP in IPv4, ICMPv6 in IPv6).
    #[inline(always)]
    #[must_use]
    pub fn icmp(&self) -> Option<IcmpPlace> {
        let is_icmp = matches!((self.ip_version, self.protocol), (4, 1) | (6, 58));
        (self.layer == layer::IP_PROTOCOL && self.fragment == 0 && is_icmp).then_some(IcmpPlace {
            version: self.ip_version,
            ip: self.ip as usize,
            icmp: self.at as usize,
            end: self.end as usize,
        })
    }

    /// End of the enclosing IP packet, 0 while there is none.
    #[must_use]
    pub fn end(&self) -> usize {
        self.end as usize
    }

    /// What tells apart packets of equal addresses: tunnels entered, innermost tunnel id, outermost VLAN id.
    #[must_use]
    pub fn surroundings(&self) -> (u8, u32, u16) {
        (self.depth, self.tunnel_id, self.vlan)
    }

    /// [`Located::domain`] of what lies here.
    #[inline(always)]
    #[must_use]
    pub fn domain(&self, domain: u32) -> u32 {
        parse::domain(domain, self.depth, self.vlan, self.tunnel_id)
    }

    /// The UDP payload is known to be Teredo, whatever the ports.
    ///
    /// # Errors
    /// As for any tunnel: not enabled, or too deep.
    pub fn enter_teredo(&mut self, encapsulations: Encapsulations) -> Result<(), Reject> {
        self.enter_tunnel(encapsulations, TEREDO)?;
        self.go(layer::TEREDO, 8);
        Ok(())
    }

    /// Where the TCP header is that could not be read to its end: its first 20 bytes can.
    #[must_use]
    pub fn headless(&self) -> Located {
        Located {
            tcp_len: self.end.saturating_sub(self.at as u32),
            tunnel_id: self.tunnel_id,
            ip: self.ip,
            tcp: self.at,
            vlan: self.vlan,
            flags: 0,
            tcp_header_len: 20,
            ip_version: self.ip_version,
            fragment: self.fragment,
            tunnels: self.depth,
        }
    }
}

/// As [`locate`], and stops at the first fragmented packet, be it the first fragment or a later one: the error is then
/// [`Reject::LaterFragment`], and [`Walk::packet_at`] says where.
///
/// # Errors
/// The one [`Reject`] that says why there is none.
pub fn locate_whole<R: Reader>(reader: &R, encapsulations: Encapsulations, walk: &mut Walk) -> Result<Located, Reject> {
    for _ in 0..MAX_STEPS {
        if walk.layer == layer::IP_PROTOCOL && walk.protocol == 6 {
            let mut located = Located::default();
            return finish(reader, walk, &mut located).map(|()| located);
        }
        step(reader, encapsulations, walk)?;
        if walk.fragment != 0 {
            return Err(Reject::LaterFragment);
        }
    }
    Err(Reject::TunnelDepth)
}

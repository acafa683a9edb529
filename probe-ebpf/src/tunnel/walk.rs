//! Walk state: offset and kind of the next header, and the tunnels entered so far.

use core::hint::black_box;

use super::Encapsulations;
use crate::parse::Reject;

/// Layers of the walk.
pub(super) mod layer {
    pub(in crate::tunnel) const ETHERNET: u8 = 0;
    pub(in crate::tunnel) const ETHER_TYPE: u8 = 1;
    pub(in crate::tunnel) const MPLS: u8 = 2;
    pub(in crate::tunnel) const IPV4: u8 = 3;
    pub(in crate::tunnel) const IPV6: u8 = 4;
    pub(in crate::tunnel) const IP_PROTOCOL: u8 = 5;
    pub(in crate::tunnel) const UDP: u8 = 6;
    pub(in crate::tunnel) const GRE: u8 = 7;
    pub(in crate::tunnel) const ERSPAN: u8 = 8;
    pub(in crate::tunnel) const VXLAN: u8 = 9;
    pub(in crate::tunnel) const GENEVE: u8 = 10;
    pub(in crate::tunnel) const GTP_U: u8 = 11;
    pub(in crate::tunnel) const GTP_EXTENSION: u8 = 12;
    pub(in crate::tunnel) const TEREDO: u8 = 13;
    pub(in crate::tunnel) const PPP: u8 = 14;
    pub(in crate::tunnel) const IP_BY_VERSION: u8 = 15;
}

/// Where the walk is. Narrow integers, for the verifier's sake.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Walk {
    /// End of the enclosing IP packet, 0 while there is none.
    pub(super) end: u32,
    /// Innermost tunnel id.
    pub(super) tunnel_id: u32,
    /// Offset of the next header.
    pub(super) at: u16,
    /// EtherType, IP protocol or ERSPAN version that says what is next.
    pub(super) protocol: u16,
    /// Outermost VLAN id.
    pub(super) vlan: u16,
    /// Offset of the innermost IP header.
    pub(super) ip: u16,
    /// Layer of the next header.
    pub(super) layer: u8,
    /// Version of the innermost IP header.
    pub(super) ip_version: u8,
    /// Tunnels entered.
    pub(super) depth: u8,
    /// 1 within the first fragment of a packet.
    pub(super) fragment: u8,
}

impl Walk {
    /// From an Ethernet header at `at`.
    #[inline(always)]
    #[must_use]
    pub fn ethernet(at: u16) -> Self {
        Self { at, layer: layer::ETHERNET, ..Self::default() }
    }

    /// As [`Self::ethernet`], in place and without the call of memset that a whole value becomes in BPF.
    #[inline(always)]
    pub fn restart_at_ethernet(&mut self, at: u16) {
        self.restart(at, layer::ETHERNET);
    }

    /// As [`Self::ip`], likewise.
    #[inline(always)]
    pub fn restart_at_ip(&mut self, at: u16) {
        self.restart(at, layer::IP_BY_VERSION);
    }

    #[inline(always)]
    fn restart(&mut self, at: u16, layer: u8) {
        let zero: u32 = black_box(0);
        self.end = zero;
        self.tunnel_id = zero;
        self.at = at;
        self.protocol = zero as u16;
        self.vlan = zero as u16;
        self.ip = zero as u16;
        self.layer = layer;
        self.ip_version = zero as u8;
        self.depth = zero as u8;
        self.fragment = zero as u8;
    }

    /// From whatever follows an EtherType, at `at`.
    #[inline(always)]
    #[must_use]
    pub fn ether_type(at: u16, ether_type: u16) -> Self {
        Self { at, layer: layer::ETHER_TYPE, protocol: ether_type, ..Self::default() }
    }

    /// From an IP header of either version at `at`.
    #[inline(always)]
    #[must_use]
    pub fn ip(at: u16) -> Self {
        Self { at, layer: layer::IP_BY_VERSION, ..Self::default() }
    }

    /// From a PPP protocol field at `at`.
    #[inline(always)]
    #[must_use]
    pub fn ppp(at: u16) -> Self {
        Self { at, layer: layer::PPP, ..Self::default() }
    }

    #[inline(always)]
    pub(super) fn go(&mut self, layer: u8, skip: usize) {
        self.layer = layer;
        self.at = self.at.wrapping_add(skip as u16);
    }

    #[inline(always)]
    pub(super) fn enter_tunnel(&mut self, encapsulations: Encapsulations, bit: u32) -> Result<(), Reject> {
        if encapsulations.enabled & bit == 0 {
            return Err(Reject::NotTcp);
        }
        if self.depth >= encapsulations.max_depth {
            return Err(Reject::TunnelDepth);
        }
        self.depth += 1;
        Ok(())
    }
}

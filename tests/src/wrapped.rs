//! TCP segments inside other protocols, built from the inside out, header by header as their documents draw them; what
//! the parser must find in each; and how far etherparse, which knows Ethernet, VLAN, IP and UDP, comes by itself.

use etherparse::{IpNumber, Ipv4Header, Ipv6Header, SlicedPacket, TransportSlice};
use probe_ebpf::tunnel::{DEEP_VLAN, ERSPAN, GENEVE, GRE, GTP_U, IP_IN_IP, MPLS, PPPOE, TEREDO, VXLAN};

mod catalogue;

pub use catalogue::{Inner, Shape, catalogue};

const IPV4: u16 = 0x0800;
const IPV6: u16 = 0x86dd;
/// Transparent Ethernet bridging: a whole frame.
const BRIDGED: u16 = 0x6558;
const MACS: [u8; 12] = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];

/// IP version of an outer header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outer {
    /// Without options.
    V4,
    /// With eight bytes of options.
    V4Options,
    /// Without extension headers.
    V6,
    /// With a destination options header.
    V6Options,
}

/// What must be found.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Facts {
    /// Outermost VLAN id outside tunnels.
    pub vlan: u16,
    /// Tunnels around the segment.
    pub tunnels: u8,
    /// Id of the innermost tunnel that has one.
    pub tunnel_id: Option<u32>,
    /// Encapsulations (bits of `probe_ebpf::tunnel`) that must be on.
    pub needs: u32,
}

/// What begins where etherparse is told to go on.
#[derive(Clone, Copy, Debug)]
enum Next {
    Frame,
    Typed(u16),
}

/// A packet under construction.
#[derive(Clone, Debug)]
pub struct Packet {
    bytes: Vec<u8>,
    kind: Next,
    vlans: usize,
    facts: Facts,
    /// Headers that etherparse does not know, innermost first: their length, and what follows.
    peels: Vec<(usize, Next)>,
}

impl Packet {
    /// An IP packet.
    pub fn ip(bytes: &[u8]) -> Self {
        let kind = Next::Typed(if bytes[0] >> 4 == 4 { IPV4 } else { IPV6 });
        Self { bytes: bytes.to_vec(), kind, vlans: 0, facts: Facts::default(), peels: vec![] }
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// What must be found in it.
    pub fn facts(&self) -> Facts {
        self.facts
    }

    fn prepend(mut self, header: &[u8], kind: Next) -> Self {
        self.bytes.splice(0..0, header.iter().copied());
        self.kind = kind;
        self
    }

    /// Prepends headers that etherparse does not know.
    fn opaque(mut self, header: &[u8], kind: Next) -> Self {
        self.peels.push((header.len(), self.kind));
        self.prepend(header, kind)
    }

    fn enter(mut self, needs: u32, tunnel_id: Option<u32>) -> Self {
        self.facts.needs |= needs;
        self.facts.tunnels += 1;
        self.facts.tunnel_id = self.facts.tunnel_id.or(tunnel_id);
        self.facts.vlan = 0;
        self.vlans = 0;
        self
    }

    fn ether_type(&self) -> u16 {
        match self.kind {
            Next::Frame => BRIDGED,
            Next::Typed(ether_type) => ether_type,
        }
    }

    /// As an Ethernet frame.
    #[must_use]
    pub fn ethernet(mut self) -> Self {
        let header = [&MACS[..], &self.ether_type().to_be_bytes()].concat();
        // More than two tags outside a tunnel are not for the plain parser.
        self.facts.needs |= if self.vlans > 2 && self.facts.tunnels == 0 { DEEP_VLAN } else { 0 };
        self.vlans = 0;
        self.prepend(&header, Next::Frame)
    }

    /// Behind a VLAN tag of protocol `tpid`.
    #[must_use]
    pub fn vlan(mut self, tpid: u16, id: u16) -> Self {
        let header = [id.to_be_bytes(), self.ether_type().to_be_bytes()].concat();
        self.facts.vlan = id;
        self.vlans += 1;
        self.prepend(&header, Next::Typed(tpid))
    }

    /// Behind a stack of MPLS labels; a frame gets a control word (RFC 4385) before it.
    #[must_use]
    pub fn mpls(mut self, labels: &[u32]) -> Self {
        let mut header = vec![];
        for (at, label) in labels.iter().enumerate() {
            let bottom = u32::from(at + 1 == labels.len());
            header.extend((label << 12 | bottom << 8 | 64).to_be_bytes());
        }
        if matches!(self.kind, Next::Frame) {
            header.extend([0; 4]);
        }
        self.facts.needs |= MPLS;
        self.opaque(&header, Next::Typed(0x8847))
    }

    /// Between FabricPath switches.
    #[must_use]
    pub fn fabric_path(self) -> Self {
        self.ethernet().opaque(&[4, 1], Next::Typed(0x8903))
    }

    /// Behind a Cisco metadata header.
    #[must_use]
    pub fn cisco_metadata(self) -> Self {
        let [high, low] = self.ether_type().to_be_bytes();
        self.opaque(&[1, 1, 0, 1, 0, 100, high, low], Next::Typed(0x8909))
    }

    /// In a PPPoE session.
    #[must_use]
    pub fn pppoe(mut self, session: u16) -> Self {
        let protocol: u16 = if self.ether_type() == IPV4 { 0x0021 } else { 0x0057 };
        let len = self.bytes.len() as u16 + 2;
        let header = [[0x11, 0], session.to_be_bytes(), len.to_be_bytes(), protocol.to_be_bytes()].concat();
        self.facts.needs |= PPPOE;
        self.opaque(&header, Next::Typed(0x8864))
    }

    /// Behind an IP header that says `protocol`.
    fn under(self, outer: Outer, protocol: u8) -> Self {
        let len = self.bytes.len();
        match outer {
            Outer::V4 | Outer::V4Options => {
                let mut header =
                    Ipv4Header::new(len as u16, 64, IpNumber(protocol), [198, 51, 100, 7], [198, 51, 100, 9])
                        .expect("a short packet");
                if outer == Outer::V4Options {
                    // Router alert, then padding (RFC 2113).
                    header.options = [148, 4, 0, 0, 1, 1, 1, 0].into();
                    header.total_len += 8;
                }
                header.header_checksum = header.calc_header_checksum();
                self.prepend(&header.to_bytes(), Next::Typed(IPV4))
            }
            Outer::V6 | Outer::V6Options => {
                // Destination options: next header, length, one padding option (RFC 8200 4.6).
                let options: &[u8] = if outer == Outer::V6Options { &[protocol, 0, 1, 4, 0, 0, 0, 0] } else { &[] };
                let header = Ipv6Header {
                    payload_length: (len + options.len()) as u16,
                    next_header: if options.is_empty() { IpNumber(protocol) } else { IpNumber(60) },
                    hop_limit: 64,
                    source: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7],
                    destination: [0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9],
                    ..Ipv6Header::default()
                };
                self.prepend(&[&header.to_bytes()[..], options].concat(), Next::Typed(IPV6))
            }
        }
    }

    /// In IP: IPIP, 6in4, 4in6, 6in6.
    #[must_use]
    pub fn in_ip(self, outer: Outer) -> Self {
        let (protocol, kind) = if self.ether_type() == IPV4 { (4, IPV4) } else { (41, IPV6) };
        self.enter(IP_IN_IP, None).opaque(&[], Next::Typed(kind)).under(outer, protocol)
    }

    /// In IP as MPLS (RFC 4023): no tunnel of its own.
    #[must_use]
    pub fn mpls_in_ip(self, outer: Outer, labels: &[u32]) -> Self {
        self.mpls(labels).under(outer, 137)
    }

    /// In GRE, with optional checksum, key and sequence number (RFC 2784, 2890).
    #[must_use]
    pub fn gre(self, outer: Outer, [checksum, key, sequence]: [bool; 3]) -> Self {
        let bit = |on: bool, bit: u16| if on { bit } else { 0 };
        let flags = bit(checksum, 0x8000) | bit(key, 0x2000) | bit(sequence, 0x1000);
        let mut header = [flags.to_be_bytes(), self.ether_type().to_be_bytes()].concat();
        for (field, _) in [0x1234_0000_u32, 77, 9].iter().zip([checksum, key, sequence]).filter(|(_, on)| *on) {
            header.extend(field.to_be_bytes());
        }
        self.enter(GRE, None).opaque(&header, Next::Typed(0)).under(outer, 47)
    }

    /// In PPP in GRE version 1 (RFC 2637).
    #[must_use]
    pub fn pptp(self, outer: Outer) -> Self {
        let protocol: u16 = if self.ether_type() == IPV4 { 0x0021 } else { 0x0057 };
        let payload = self.bytes.len() as u16 + 4;
        let mut header = vec![0x30, 0x81, 0x88, 0x0b];
        header.extend([payload.to_be_bytes(), 5_u16.to_be_bytes()].concat());
        header.extend([0, 0, 0, 9, 0, 0, 0, 8, 0xff, 0x03]);
        header.extend(protocol.to_be_bytes());
        self.enter(GRE, None).opaque(&header, Next::Typed(0)).under(outer, 47)
    }

    /// Mirrored by ERSPAN of this type (1 to 3); type 3 with the platform header when asked for. An IP packet that is
    /// mirrored as it is takes type 3.
    #[must_use]
    pub fn erspan(self, outer: Outer, kind: u8, session: u16, platform: bool) -> Self {
        let sequence: u16 = if kind == 1 { 0 } else { 0x1000 };
        let protocol: u16 = if kind == 3 { 0x22eb } else { 0x88be };
        let mut header = [sequence.to_be_bytes(), protocol.to_be_bytes()].concat();
        let bare = !matches!(self.kind, Next::Frame);
        match kind {
            1 => {}
            2 => {
                header.extend([0, 0, 0, 1, 0x10, 100]);
                header.extend(session.to_be_bytes());
                header.extend([0, 0, 0, 3]);
            }
            _ => {
                header.extend([0, 0, 0, 1, 0x20, 100]);
                header.extend(session.to_be_bytes());
                header.extend([1, 2, 3, 4, 0, 0, if bare { 2 << 2 } else { 0 }, u8::from(platform)]);
                header.extend(vec![0x55; if platform { 8 } else { 0 }]);
            }
        }
        let id = (kind != 1).then_some(u32::from(session));
        self.enter(GRE | ERSPAN, id).opaque(&header, Next::Typed(0)).under(outer, 47)
    }

    fn udp(self, outer: Outer, port: u16, header: &[u8]) -> Self {
        let len = (self.bytes.len() + header.len() + 8) as u16;
        let udp = [50_000, port, len, 0].map(u16::to_be_bytes).concat();
        self.opaque(header, Next::Typed(0)).prepend(&udp, Next::Typed(0)).under(outer, 17)
    }

    /// In VXLAN to `port`: a frame (RFC 7348), or an IP packet with the generic extension.
    #[must_use]
    pub fn vxlan(self, outer: Outer, port: u16, vni: u32) -> Self {
        let (flags, next) = match self.kind {
            Next::Frame if port != 4790 => (0x08, 0),
            Next::Frame => (0x0c, 3),
            Next::Typed(IPV4) => (0x0c, 1),
            Next::Typed(_) => (0x0c, 2),
        };
        let header = [[flags, 0, 0, next], (vni << 8).to_be_bytes()].concat();
        self.enter(VXLAN, Some(vni)).udp(outer, port, &header)
    }

    /// In GENEVE, with `options` of these many four-byte words each (RFC 8926 3.5).
    #[must_use]
    pub fn geneve(self, outer: Outer, vni: u32, options: &[u8]) -> Self {
        let words: u8 = options.iter().map(|words| words + 1).sum();
        let mut header = [[words, 0], self.ether_type().to_be_bytes()].concat();
        header.extend((vni << 8).to_be_bytes());
        for &words in options {
            header.extend([0x01, 0x02, 0x03, words]);
            header.extend(vec![0x47; usize::from(words) * 4]);
        }
        self.enter(GENEVE, Some(vni)).udp(outer, 6081, &header)
    }

    /// In a G-PDU of GTP-U, with a sequence number and extension headers of these many four-byte words each (TS 29.281).
    #[must_use]
    pub fn gtp_u(self, outer: Outer, teid: u32, sequence: bool, extensions: &[u8]) -> Self {
        // A PDU session container, as every 5G user packet has one (TS 38.415).
        const KIND: u8 = 0x85;
        let mut optional = vec![];
        if sequence || !extensions.is_empty() {
            optional.extend([0, u8::from(sequence), 0, if extensions.is_empty() { 0 } else { KIND }]);
        }
        for (at, &words) in extensions.iter().enumerate() {
            let last = at + 1 == extensions.len();
            optional.push(words);
            optional.extend(vec![0; usize::from(words) * 4 - 2]);
            optional.push(if last { 0 } else { KIND });
        }
        let flags = 0x30 | u8::from(!extensions.is_empty()) << 2 | u8::from(sequence) << 1;
        let len = (self.bytes.len() + optional.len()) as u16;
        let mut header = [[flags, 0xff], len.to_be_bytes()].concat();
        header.extend(teid.to_be_bytes());
        header.extend(optional);
        self.enter(GTP_U, Some(teid)).udp(outer, 2152, &header)
    }

    /// In Teredo, an IPv6 packet, with the indications asked for (RFC 4380 5.1.1).
    #[must_use]
    pub fn teredo(self, authentication: bool, origin: bool) -> Self {
        let mut header = vec![];
        if authentication {
            header.extend([0, 1, 2, 3, b'i', b'd', b'k', b'e', b'y', 1, 2, 3, 4, 5, 6, 7, 8, 0]);
        }
        if origin {
            header.extend([0, 0, 0x3c, 0xaf, 0x3a, 0xff, 0xff, 0xfe]);
        }
        self.enter(TEREDO, None).udp(Outer::V4, 3544, &header)
    }

    /// True when etherparse, told where the headers end that it does not know, comes to a TCP segment in the first `len`
    /// bytes; and then its sequence number.
    pub fn second_opinion(&self, len: usize) -> Option<u32> {
        let mut view = (Next::Frame, &self.bytes[..len]);
        let mut peels = self.peels.iter().rev();
        loop {
            let sliced = match view {
                (Next::Frame, bytes) => SlicedPacket::from_ethernet(bytes).ok()?,
                (Next::Typed(kind), bytes) => SlicedPacket::from_ether_type(kind.into(), bytes).ok()?,
            };
            let ether = sliced.ether_payload();
            let rest = match &sliced.transport {
                Some(TransportSlice::Tcp(tcp)) => return Some(tcp.sequence_number()),
                Some(TransportSlice::Udp(udp)) => udp.payload(),
                Some(_) => return None,
                None => match sliced.ip_payload() {
                    Some(ip) => ip.payload,
                    None => ether.as_ref()?.payload,
                },
            };
            view = match ether {
                // It stops after a few tags; they are its own business.
                Some(next) if sliced.net.is_none() && matches!(next.ether_type.0, 0x8100 | 0x88a8 | 0x9100) => {
                    (Next::Typed(next.ether_type.0), next.payload)
                }
                _ => {
                    let &(skip, kind) = peels.next()?;
                    (kind, rest.get(skip..)?)
                }
            };
        }
    }
}

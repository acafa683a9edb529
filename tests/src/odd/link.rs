//! Oddities of the link layer.

use probe_ebpf::parse::Reject;

use super::{ETHER_IPV4, ETHER_IPV6, Fate, Odd, TCP, ether, plain, push, v4, v6, with};
use crate::pcap::LINUX_SLL;

const MPLS: u16 = 0x8847;
const PPPOE_SESSION: u16 = 0x8864;
const MACSEC: u16 = 0x88e5;

pub(super) fn add(all: &mut Vec<Odd>) {
    let packet = v4(TCP, &[], &plain());
    for len in 0..14 {
        let frame = ether(ETHER_IPV4, &packet)[..len].to_vec();
        push(all, format!("{len}-byte frame"), Fate::Rejected(Reject::ShortLink), frame);
    }
    push(all, "802.3 length", Fate::Rejected(Reject::NotIp), ether(0x0100, &packet));
    push(all, "MACsec", Fate::Rejected(Reject::NotIp), ether(MACSEC, &packet));
    push(all, "ARP", Fate::Rejected(Reject::NotIp), ether(0x0806, &[0; 46]));
    tags(all, &packet);
    labels(all, &packet);
    pppoe(all, &packet);
    cooked(all, &packet);
    big(all);
}

fn tagged(tags: &[(u16, u16)], ether_type: u16, packet: &[u8]) -> Vec<u8> {
    let mut rest = packet.to_vec();
    let mut next = ether_type;
    for (kind, tag) in tags.iter().rev() {
        let mut bytes = tag.to_be_bytes().to_vec();
        bytes.extend_from_slice(&next.to_be_bytes());
        bytes.extend_from_slice(&rest);
        (rest, next) = (bytes, *kind);
    }
    ether(next, &rest)
}

fn tags(all: &mut Vec<Odd>, packet: &[u8]) {
    for depth in [1, 2, 3, 8] {
        push(all, format!("{depth} VLAN tags"), Fate::Tcp, tagged(&vec![(0x8100, 5); depth], ETHER_IPV4, packet));
    }
    let endless = tagged(&[(0x8100, 5); 64], ETHER_IPV4, packet);
    push(all, "64 VLAN tags", Fate::Rejected(Reject::TunnelDepth), endless);
    push(all, "priority tag", Fate::Tcp, tagged(&[(0x8100, 7 << 13)], ETHER_IPV4, packet));
    let mixed = [(0x88a8, 5), (0x9100, 6), (0x8100, 7)];
    push(all, "mixed tags", Fate::Tcp, tagged(&mixed, ETHER_IPV4, packet));
    push(all, "tag before IPv6", Fate::Tcp, tagged(&mixed[..2], ETHER_IPV6, &v6(TCP, &plain())));
    push(all, "tag and nothing", Fate::Rejected(Reject::ShortExtension), ether(0x8100, &[0, 5]));
}

fn labels(all: &mut Vec<Odd>, packet: &[u8]) {
    for depth in 1..=8 {
        let stack = |bottom: u8| {
            let mut labels = [0, 1, 0x00, 64].repeat(depth);
            let last = labels.len() - 2;
            labels[last] |= bottom;
            labels.extend_from_slice(packet);
            ether(MPLS, &labels)
        };
        push(all, format!("{depth} MPLS labels"), Fate::Tcp, stack(1));
        // What follows is taken for more labels, up to the end of the frame.
        push(all, format!("{depth} MPLS labels without bottom"), Fate::Rejected(Reject::ShortTunnel), stack(0));
    }
    let endless = ether(MPLS, &[0, 1, 0, 64].repeat(100));
    push(all, "100 MPLS labels", Fate::Rejected(Reject::TunnelDepth), endless);
}

fn pppoe(all: &mut Vec<Odd>, packet: &[u8]) {
    let session = |len: u16| {
        let mut bytes = vec![0x11, 0, 0, 1];
        bytes.extend_from_slice(&len.to_be_bytes());
        bytes.extend_from_slice(&[0x00, 0x21]);
        bytes.extend_from_slice(packet);
        ether(PPPOE_SESSION, &bytes)
    };
    // The inner packet has a length of its own.
    for len in [packet.len() as u16 + 2, 0, 1, 0xffff] {
        push(all, format!("PPPoE session of length {len}"), Fate::Tcp, session(len));
    }
    let control = with(session(4), 14 + 6, &[0xc0, 0x21]);
    push(all, "PPPoE with LCP", Fate::Rejected(Reject::NotIp), control);
}

fn cooked(all: &mut Vec<Odd>, packet: &[u8]) {
    let cooked = |protocol: u16| {
        let mut bytes = vec![0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0];
        bytes.extend_from_slice(&protocol.to_be_bytes());
        bytes.extend_from_slice(packet);
        bytes
    };
    let mut add = |name: &str, fate, bytes| all.push(Odd { name: name.into(), link: LINUX_SLL, bytes, fate });
    add("Linux cooked", Fate::Tcp, cooked(ETHER_IPV4));
    add("Linux cooked, IPv6 said and IPv4 there", Fate::Rejected(Reject::IpVersion), cooked(ETHER_IPV6));
    add("Linux cooked, 802.2", Fate::Rejected(Reject::NotIp), cooked(4));
}

fn big(all: &mut Vec<Odd>) {
    let segment = |len| super::segment(super::PSH_ACK, &[], &vec![0x55; len]);
    push(all, "jumbo frame", Fate::Tcp, ether(ETHER_IPV4, &v4(TCP, &[], &segment(8900))));
    push(all, "largest packet", Fate::Tcp, ether(ETHER_IPV4, &v4(TCP, &[], &segment(0xffff - 40))));
    let offloaded = with(v4(TCP, &[], &segment(70_000)), 2, &[0, 0]);
    push(all, "super-packet of 70 kB, total length 0", Fate::Tcp, ether(ETHER_IPV4, &offloaded));
    let offloaded = with(v6(TCP, &segment(70_000)), 4, &[0, 0]);
    push(all, "super-packet of 70 kB, payload length 0", Fate::Tcp, ether(ETHER_IPV6, &offloaded));
}

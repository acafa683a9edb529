//! Encapsulations that only captures are looked into for.

use probe_ebpf::parse::Reject;
use probe_ebpf::tunnel::{ETHERIP, GRE, L2TP, TZSP, VXLAN};

use super::rules::{ethernet, ipv4, ipv6, udp};
use super::*;

const OWN_PORT: u16 = 10_800;

fn decode_with(enabled: u32, max_depth: u8, bytes: &[u8]) -> (Option<Decoded>, Accounting) {
    let mut decoder =
        Decoder::new(true, Encapsulations { enabled, max_depth }, Domain::None).with_vxlan_ports(&[OWN_PORT, 9]);
    let found = decoder.decode(&Frame { time_ns: 1, wire_len: bytes.len(), link: LinkType::Ethernet, bytes });
    (found, decoder.accounting().clone())
}

fn rejected(bytes: &[u8]) -> Option<Reject> {
    let (_, accounting) = decode_with(ALL_OF_CAPTURES, 4, bytes);
    let reason = accounting.rejections().next();
    reason.map(|(reason, _)| reason)
}

fn in_udp(port: u16, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(17, 0, &udp(5555, port, payload)))
}

fn in_ip(protocol: u8, payload: &[u8]) -> Vec<u8> {
    ethernet(0x0800, &ipv4(protocol, 0, payload))
}

fn ppp() -> Vec<u8> {
    [&[0xff, 3, 0, 0x21][..], &syn()[14..]].concat()
}

fn wireless() -> Vec<u8> {
    [&[0x08, 1][..], &[0; 22], &[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &syn()[14..]].concat()
}

/// Each with the bits that it needs, and the tunnels that it counts as.
fn all() -> Vec<(&'static str, u32, u8, Vec<u8>)> {
    let frame = syn();
    let with = |header: &[u8], inner: &[u8]| [header, inner].concat();
    let cookie = [7, 7, 7, 7, 9, 9, 9, 9];
    vec![
        ("FabricPath", VXLAN, 0, ethernet(0x8903, &with(&[4, 1], &frame))),
        ("Cisco metadata", VXLAN, 0, ethernet(0x8909, &with(&[1, 1, 0, 1, 0, 100, 8, 0], &frame[14..]))),
        ("LLC", VXLAN, 0, ethernet(48, &with(&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &frame[14..]))),
        ("EtherIP", ETHERIP, 1, in_ip(97, &with(&[0x30, 0], &frame))),
        ("EtherIP in IPv6", ETHERIP, 1, ethernet(0x86dd, &ipv6(97, &with(&[0x30, 0], &frame)))),
        ("GRE in UDP", GRE, 1, in_udp(4754, &with(&[0, 0, 8, 0], &frame[14..]))),
        ("802.11 in GRE", GRE, 1, in_ip(47, &with(&[0, 0, 0x82, 0x40], &wireless()))),
        ("TZSP", TZSP, 1, in_udp(37_008, &with(&[1, 0, 0, 1, 0, 10, 1, 99, 1], &frame))),
        ("TZSP of 802.11", TZSP, 1, in_udp(37_008, &with(&[1, 0, 0, 18, 1], &wireless()))),
        ("VXLAN", VXLAN, 1, in_udp(OWN_PORT, &with(&[8, 0, 0, 0, 0, 0, 5, 0], &frame))),
        ("L2TP", L2TP, 1, in_udp(1701, &with(&[0, 2, 0, 1, 0, 1], &ppp()))),
        ("L2TP with all", L2TP, 1, in_udp(1701, &with(&[0x4a, 2, 0, 60, 0, 1, 0, 1, 0, 0, 0, 0, 0, 1, 0], &ppp()))),
        ("L2TP, PPP compressed", L2TP, 1, in_udp(1701, &with(&[0, 2, 0, 1, 0, 1], &ppp()[2..]))),
        ("L2TP 3 in UDP", L2TP, 1, in_udp(1701, &with(&[0, 3, 0, 0, 0, 0, 0, 9], &frame))),
        ("L2TP 3", L2TP, 1, in_ip(115, &with(&[0, 0, 0, 9], &frame))),
        ("L2TP 3 with cookie", L2TP, 1, in_ip(115, &with(&[0, 0, 0, 9, 7, 7, 7, 7], &frame))),
        ("L2TP 3 with more", L2TP, 1, in_ip(115, &[&[0, 0, 0, 9][..], &cookie, &[0; 4], &frame].concat())),
        ("L2TP 3 of PPP", L2TP, 1, in_ip(115, &with(&[0, 0, 0, 9], &ppp()))),
    ]
}

#[test]
fn each_leads_to_its_segment_unless_it_is_left_out() {
    let plain = decode_with(0, 0, &syn()).0.expect("plain").segment;
    for (name, bit, tunnels, frame) in all() {
        let (found, accounting) = decode_with(ALL_OF_CAPTURES, 1, &frame);
        let found =
            found.unwrap_or_else(|| panic!("{name}: {:?}", accounting.rejections().collect::<Vec<_>>())).segment;
        assert_eq!((found.record, accounting.tcp), (plain.record, 1), "{name}");
        assert_eq!(found.key == plain.key, tunnels == 0, "{name}: within tunnels keys differ");
        assert!(decode_with(bit, 1, &frame).0.is_some(), "{name} needs nothing else");
        let left_out = if tunnels == 0 { 0 } else { ALL_OF_CAPTURES & !bit };
        assert!(decode_with(left_out, 4, &frame).0.is_none(), "{name}");
        if tunnels > 0 {
            assert_eq!(decode_with(ALL_OF_CAPTURES, 0, &frame).1.rejections().next(), Some((Reject::TunnelDepth, 1)));
        }
    }
}

#[test]
fn tunnels_nest_within_bounds() {
    let mut frame = syn();
    for depth in 1..=6 {
        frame = in_ip(97, &[&[0x30, 0][..], &frame].concat());
        assert_eq!(decode_with(ALL_OF_CAPTURES, 4, &frame).0.is_some(), depth <= 4, "{depth}");
    }
    let mut tags = syn();
    for _ in 0..100 {
        tags = ethernet(0x8903, &[&[0, 0][..], &tags].concat());
    }
    assert_eq!(rejected(&tags), Some(Reject::TunnelDepth));
}

#[test]
fn what_carries_no_packet_is_something_else() {
    assert_eq!(rejected(&ethernet(0x8240, &wireless())), Some(Reject::NotIp), "not within GRE");
    let aggregate = [&[0, 0, 0x82, 0x40, 0x88, 2][..], &[0; 22], &[0x80, 0], &[0; 90]].concat();
    assert_eq!(rejected(&in_ip(47, &aggregate)), Some(Reject::TunnelHeader), "several packets, none of which is read");
    assert_eq!(rejected(&in_udp(1701, &[0xc8, 2, 0, 12, 0, 1, 0, 0, 0, 0, 0, 0])), Some(Reject::NotTcp), "control");
    assert_eq!(rejected(&in_ip(115, &[0, 0, 0, 0, 0xc8, 3])), Some(Reject::NotTcp), "control");
    assert_eq!(rejected(&in_ip(115, &[7; 60])), Some(Reject::NotTcp), "nothing that could be a frame");
    assert_eq!(rejected(&in_udp(37_008, &[1, 4, 0, 0])), Some(Reject::NotTcp), "a sign of life");
    assert_eq!(rejected(&in_udp(37_008, &[1, 0, 0, 119, 1])), Some(Reject::TunnelHeader), "Prism");
    assert_eq!(rejected(&in_ip(97, &[0x40, 0])), Some(Reject::TunnelHeader));
    assert_eq!(rejected(&ethernet(0x8909, &[2, 1, 0, 1, 0, 100, 8, 0])), Some(Reject::TunnelHeader));
    assert_eq!(rejected(&ethernet(38, &[0x42, 0x42, 3, 0, 0])), Some(Reject::NotIp), "spanning tree");
    assert_eq!(rejected(&in_udp(OWN_PORT + 1, &[8; 60])), Some(Reject::NotTcp));
}

#[test]
fn a_session_is_taken_for_a_frame_only_with_a_right_checksum() {
    let mut frame = syn();
    frame[24] ^= 1;
    assert_eq!(rejected(&in_ip(115, &[&[0, 0, 0, 9][..], &frame].concat())), Some(Reject::NotTcp));
}

#[test]
fn cut_or_damaged_anywhere_each_has_one_outcome() {
    for (name, _, _, frame) in all() {
        for at in 0..frame.len() {
            let mut damaged = frame.clone();
            for change in [0x01, 0x10, 0x80, 0xff] {
                damaged[at] = frame[at] ^ change;
                assert_one_outcome(name, &damaged);
            }
            assert_one_outcome(name, &frame[..at]);
        }
    }
}

fn assert_one_outcome(name: &str, frame: &[u8]) {
    let (_, accounting) = decode_with(ALL_OF_CAPTURES, 4, frame);
    let rejected: u64 = accounting.rejections().map(|(_, count)| count).sum();
    let other = accounting.bad_ip_checksum
        + accounting.bad_tcp_checksum
        + accounting.fragments_held
        + accounting.fragments_refused;
    assert_eq!(accounting.tcp + rejected + other + accounting.aggregates, 1, "{name}: {accounting:?}");
}

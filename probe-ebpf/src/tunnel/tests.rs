//! Tests of the walk through encapsulations.

extern crate std;

use proptest::prelude::*;

use super::*;
use crate::parse::{self, SliceReader};

/// A port of one's own.
const OWN: u16 = 10_800;

/// EtherTypes, protocols and ports at which ways part, and others.
fn frame() -> impl Strategy<Value = std::vec::Vec<u8>> {
    let ether_types =
        std::vec![0x0800_u16, 0x86dd, 0x0806, 0x8847, 0x8100, 0x88a8, 0x8864, 0x6558, 0x8926, 0x0026, 0x8903, 0x8909];
    let protocols = std::vec![1_u8, 4, 6, 17, 41, 47, 50, 51, 58, 60, 132, 137];
    let mut ports = std::vec![53_u16, GENEVE_PORT, GTP_U_PORT, GTP_C_PORT, TEREDO_PORT, OWN];
    ports.extend(VXLAN_PORTS);
    let port = prop::sample::select(ports);
    let kind = (prop::sample::select(ether_types), prop::sample::select(protocols), 0x44_u8..0x47, any::<bool>());
    (kind, port.clone(), port, prop::collection::vec(any::<u8>(), 14..120)).prop_map(
        |((ether_type, protocol, version, fragment), src, dst, mut bytes)| {
            let len = bytes.len();
            let mut put = |at: usize, what: &[u8]| {
                if at + what.len() <= len {
                    bytes[at..at + what.len()].copy_from_slice(what);
                }
            };
            put(12, &ether_type.to_be_bytes());
            let (v4, rest) = (ether_type == 0x0800, len.saturating_sub(14) as u16);
            put(14, &[if v4 { version } else { 0x60 }]);
            put(if v4 { 16 } else { 18 }, &(if v4 { rest } else { rest.saturating_sub(40) }).to_be_bytes());
            if v4 {
                put(20, &[u8::from(fragment) << 5, 0]);
            }
            put(if v4 { 23 } else { 20 }, &[protocol]);
            let udp = if v4 { 34 } else { 54 };
            put(udp, &src.to_be_bytes());
            put(udp + 2, &dst.to_be_bytes());
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]
    #[test]
    fn what_is_plain_ends_in_the_walk_with_the_same_reject(bytes in frame()) {
        let reader = SliceReader::whole(&bytes);
        if let Err(reject) = parse::locate(&reader)
            && is_not_tcp(&reader, reject, OWN)
        {
            let (mut walk, mut located) = (Walk::ethernet(0), Located::default());
            let every = Encapsulations { enabled: ALL, max_depth: 4 }.with_vxlan_port(OWN);
            prop_assert_eq!(locate(&reader, every, &mut walk, &mut located), Err(reject));
        }
    }
}

#[test]
fn arp_dns_and_icmp_are_plain_and_tunnels_are_not() {
    let mut frame = std::vec![0_u8; 80];
    frame[12..14].copy_from_slice(&[0x08, 0x06]);
    assert!(is_not_tcp(&SliceReader::whole(&frame), Reject::NotIp, 0));
    frame[12..24].copy_from_slice(&[0x08, 0, 0x45, 0, 0, 66, 0, 0, 0, 0, 64, 17]);
    frame[36..38].copy_from_slice(&53_u16.to_be_bytes());
    assert!(is_not_tcp(&SliceReader::whole(&frame), Reject::NotTcp, 0));
    frame[36..38].copy_from_slice(&VXLAN_PORT.to_be_bytes());
    assert!(!is_not_tcp(&SliceReader::whole(&frame), Reject::NotTcp, 0));
    frame[23] = 1;
    assert!(is_not_tcp(&SliceReader::whole(&frame), Reject::NotTcp, 0));
    frame[23] = 47;
    assert!(!is_not_tcp(&SliceReader::whole(&frame), Reject::NotTcp, 0));
}

/// A SYN behind these bytes.
fn behind(header: &[u8], from: usize) -> std::vec::Vec<u8> {
    let mut frame = std::vec![0_u8; 54];
    frame[12..24].copy_from_slice(&[0x08, 0, 0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6]);
    frame[46..48].copy_from_slice(&[0x50, 2]);
    [header, &frame[from..]].concat()
}

fn walk(frame: &[u8], encapsulations: Encapsulations) -> Result<Located, Reject> {
    let mut located = Located::default();
    locate(&SliceReader::whole(frame), encapsulations, &mut Walk::ethernet(0), &mut located).map(|()| located)
}

#[test]
fn cisco_s_tags_lead_on() {
    let every = Encapsulations { enabled: ALL, max_depth: 0 };
    let fabric_path = behind(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x89, 0x03, 4, 1], 0);
    assert_eq!(walk(&fabric_path, every).map(|located| located.tcp), Ok(50));
    let mut metadata = behind(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x89, 0x09, 1, 1, 0, 1, 0, 100], 12);
    assert_eq!(walk(&metadata, every).map(|located| located.tcp), Ok(42));
    metadata[15] = 2;
    assert_eq!(walk(&metadata, every), Err(Reject::TunnelHeader));
}

#[test]
fn vxlan_on_a_port_of_one_s_own() {
    let outer = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0x45, 0, 0, 90, 0, 0, 0, 0, 64, 17, 1, 1, 1, 1, 2, 2, 2, 2];
    let udp = [0, 9, 0x2a, 0x30, 0, 70, 0, 0, 8, 0, 0, 0, 0, 0, 5, 0];
    let mut frame = behind(&[&outer[..24], &[0, 0], &outer[24..], &udp].concat(), 0);
    let known = Encapsulations { enabled: ALL, max_depth: 4 };
    assert_eq!(walk(&frame, known), Err(Reject::NotTcp));
    let found = walk(&frame, known.with_vxlan_port(OWN)).map(|located| (located.tcp, located.tunnel_id));
    assert_eq!(found, Ok((84, 5)));
    assert_eq!(
        walk(&frame, Encapsulations { enabled: ALL & !VXLAN, ..known }.with_vxlan_port(OWN)),
        Err(Reject::NotTcp)
    );
    frame[36..38].fill(0);
    assert_eq!(walk(&frame, known), Err(Reject::NotTcp), "port 0 is none");
}

/// 10.0.0.1 to 10.0.0.2 in IP in IP, whose inner packet says that it is `inner` bytes long and whose frame is `len` long.
fn nested(inner: u16, len: usize) -> (std::vec::Vec<u8>, Result<Located, Reject>) {
    let mut frame = std::vec![0_u8; 14 + 20 + 20 + 20];
    frame[12..14].copy_from_slice(&[0x08, 0]);
    for (at, total, protocol) in [(14, 60_u16, 4), (34, inner, 6)] {
        frame[at] = 0x45;
        frame[at + 2..at + 4].copy_from_slice(&total.to_be_bytes());
        frame[at + 8..at + 10].copy_from_slice(&[64, protocol]);
    }
    frame[66] = 0x50;
    frame.resize(len, 0);
    let (mut walk, mut located) = (Walk::ethernet(0), Located::default());
    let every = Encapsulations { enabled: ALL, max_depth: 4 };
    let found = locate(&SliceReader::whole(&frame), every, &mut walk, &mut located).map(|()| located);
    (frame, found)
}

#[test]
fn an_inner_packet_beyond_its_outer_one_is_believed() {
    let (frame, whole) = nested(40, 74);
    assert!(whole.is_ok_and(|located| located.tcp_len == 20 && !located.is_cropped(&SliceReader::whole(&frame))));
    let (frame, cropped) = nested(1400, 74);
    assert!(cropped.is_ok_and(|located| located.tcp_len == 1380 && located.is_cropped(&SliceReader::whole(&frame))));
    let (frame, padded) = nested(50, 100);
    assert!(padded.is_ok_and(|located| located.tcp_len == 30 && !located.is_cropped(&SliceReader::whole(&frame))));
}

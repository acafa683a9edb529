//! Parser tests: a frame for every reject reason and every field; no bytes make it panic.
//!
//! Frames are built by hand here, field by field; `probe-tests` compares the parser with etherparse.

extern crate std;

use std::{collections::BTreeSet, vec, vec::Vec};

use proptest::prelude::*;

use super::*;
use crate::layout::{ACK, FIN, NO_WINDOW_SCALE};

mod options;

const TCP: u8 = PROTOCOL_TCP;
const UDP: u8 = 17;

fn ether(ether_type: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    frame.extend(ether_type.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A VLAN tag (after its EtherType) and what it carries.
fn tagged(id: u16, ether_type: u16, payload: &[u8]) -> Vec<u8> {
    // Priority and drop-eligible bits set: they are not part of the id.
    let mut tag = (id | 0xf000).to_be_bytes().to_vec();
    tag.extend(ether_type.to_be_bytes());
    tag.extend(payload);
    tag
}

fn v4_with(options: &[u8], protocol: u8, fragment: u16, payload: &[u8]) -> Vec<u8> {
    let len = 20 + options.len();
    let mut packet = vec![0x40 | (len / 4) as u8, 0];
    packet.extend(((len + payload.len()) as u16).to_be_bytes());
    packet.extend(0x1234_u16.to_be_bytes());
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    packet.extend(options);
    packet.extend(payload);
    packet
}

fn v4(payload: &[u8]) -> Vec<u8> {
    v4_with(&[], TCP, 0, payload)
}

fn v6_with(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 63]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    packet.extend(payload);
    packet
}

/// An IPv6 packet whose extension headers are `chain`: kind and bytes, whose first byte is overwritten with the next.
fn v6_chain(chain: &[(u8, Vec<u8>)], last: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (index, (_, header)) in chain.iter().enumerate() {
        let next = chain.get(index + 1).map_or(last, |(kind, _)| *kind);
        bytes.push(next);
        bytes.extend(&header[1..]);
    }
    bytes.extend(payload);
    v6_with(chain.first().map_or(last, |(kind, _)| *kind), &bytes)
}

/// Hop-by-hop, routing or destination options, `units` times eight bytes long.
fn options_header(units: u8) -> Vec<u8> {
    let mut header = vec![0; units as usize * 8];
    header[1] = units - 1;
    header
}

fn fragment_header(offset: u16, more: bool) -> Vec<u8> {
    let mut header = vec![0; 8];
    header[2..4].copy_from_slice(&(offset << 3 | u16::from(more)).to_be_bytes());
    header
}

/// Ports 40000 to 80, sequence 7, acknowledgement 9, window 500.
fn tcp_with(flags: u16, options: &[u8], payload: &[u8]) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0);
    let mut segment = Vec::new();
    segment.extend(40_000_u16.to_be_bytes());
    segment.extend(80_u16.to_be_bytes());
    segment.extend(7_u32.to_be_bytes());
    segment.extend(9_u32.to_be_bytes());
    segment.extend((((20 + options.len()) as u16 / 4) << 12 | flags).to_be_bytes());
    segment.extend(500_u16.to_be_bytes());
    segment.extend([0; 4]);
    segment.extend(options);
    segment.extend(payload);
    segment
}

fn tcp(flags: u16) -> Vec<u8> {
    tcp_with(flags, &[], &[])
}

fn parse_as<R: Reader>(reader: &R) -> Result<Segment, Reject> {
    let located = locate(reader)?;
    Ok(segment(reader, &located, 0, 1).expect("what was located can be read"))
}

fn parse(frame: &[u8]) -> Result<Segment, Reject> {
    parse_as(&SliceReader::whole(frame))
}

#[track_caller]
fn parsed(frame: &[u8]) -> SegmentRecord {
    parse(frame).expect("a good frame").record
}

#[test]
fn the_list_of_reasons_is_in_the_order_of_the_discriminants() {
    for (index, reject) in Reject::ALL.iter().enumerate() {
        assert_eq!(*reject as usize, index);
        assert!(index < crate::layout::REJECT_REASONS);
    }
    let names: BTreeSet<_> = Reject::ALL.iter().map(|reject| reject.name()).collect();
    assert_eq!(names.len(), Reject::ALL.len());
}

#[test]
fn every_reason_has_its_frame() {
    let data = tcp(ACK);
    let with_v4 = |edit: fn(&mut Vec<u8>)| {
        let mut packet = v4(&tcp(ACK));
        edit(&mut packet);
        ether(ETHER_IPV4, &packet)
    };
    let nine = vec![(60, options_header(1)); MAX_EXTENSIONS + 1];
    let vlans = |depth: usize| {
        (0..depth).fold(v4(&data), |inner, level| tagged(5, if level == 0 { ETHER_IPV4 } else { 0x8100 }, &inner))
    };
    let cut = |mut frame: Vec<u8>, len: usize| {
        frame.truncate(len);
        frame
    };
    let frames = [
        (Reject::ShortLink, vec![0; 13]),
        (Reject::NotIp, ether(0x0806, &[0; 46])),
        (Reject::VlanDepth, ether(0x8100, &vlans(3))),
        (Reject::ShortIp, cut(ether(ETHER_IPV4, &v4(&data)), 33)),
        (Reject::ShortIp, cut(ether(ETHER_IPV6, &v6_with(TCP, &data)), 53)),
        (Reject::IpVersion, ether(ETHER_IPV4, &v6_with(TCP, &data))),
        (Reject::IpVersion, ether(ETHER_IPV6, &v4_with(&[], TCP, 0, &[0; 60]))),
        (Reject::IpHeaderLength, with_v4(|packet| packet[0] = 0x44)),
        (Reject::IpHeaderLength, with_v4(|packet| packet[3] = 19)),
        (Reject::TruncatedTcp, cut(ether(ETHER_IPV6, &v6_with(TCP, &data)), 73)),
        (Reject::LaterFragment, ether(ETHER_IPV4, &v4_with(&[], TCP, 0x2001, &data))),
        (Reject::LaterFragment, ether(ETHER_IPV6, &v6_chain(&[(44, fragment_header(1, false))], TCP, &data))),
        (Reject::NotTcp, ether(ETHER_IPV4, &v4_with(&[], UDP, 0, &[0; 8]))),
        (Reject::NotTcp, ether(ETHER_IPV6, &v6_with(UDP, &[0; 8]))),
        (Reject::NotTcp, ether(ETHER_IPV6, &v6_with(59, &[0; 8]))),
        (Reject::ExtensionDepth, ether(ETHER_IPV6, &v6_chain(&nine, TCP, &data))),
        (Reject::Encrypted, ether(ETHER_IPV6, &v6_with(50, &[0; 24]))),
        (Reject::ShortTcp, ether(ETHER_IPV4, &v4_with(&[], TCP, 0x2000, &data[..8]))),
        (Reject::ShortTcp, ether(ETHER_IPV6, &v6_with(TCP, &data[..19]))),
        (Reject::TcpDataOffset, with_v4(|packet| packet[32] = 0x40)),
        (Reject::TcpDataOffset, with_v4(|packet| packet[32] = 0x60)),
        (Reject::ShortExtension, ether(0x8100, &[0, 5])),
        (Reject::ShortExtension, ether(ETHER_IPV6, &v6_with(60, &[]))),
        (Reject::ShortExtension, ether(ETHER_IPV6, &v6_with(60, &[TCP, 1, 0, 0, 0, 0, 0, 0]))),
    ];
    let mut reasons: BTreeSet<u8> = BTreeSet::new();
    for (reject, frame) in &frames {
        assert_eq!(parse(frame), Err(*reject), "{frame:02x?}");
        reasons.insert(*reject as u8);
    }
    // The same by a snap length.
    let frame = ether(ETHER_IPV4, &v4(&data));
    let reader = SliceReader { bytes: &frame[..53], wire_len: frame.len() };
    assert_eq!(parse_as(&reader), Err(Reject::TruncatedTcp));
    // Packets in packets are followed elsewhere, and their reasons tested there.
    let elsewhere = [Reject::TunnelDepth, Reject::ShortTunnel, Reject::TunnelHeader, Reject::IpTotalLength];
    assert_eq!(reasons.len(), Reject::ALL.len() - elsewhere.len(), "a reason without a frame");
}

#[test]
fn fields_are_those_of_the_headers() {
    let segment = parse(&ether(ETHER_IPV4, &v4(&tcp_with(ACK | FIN, &[], &[1; 10])))).unwrap();
    let from = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 1]), 40_000);
    let to = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 2]), 80);
    let (key, from_hi) = FlowKey::normalised(from, to, 0);
    assert_eq!((segment.key, segment.record.from_hi()), (key, from_hi));
    let SegmentRecord { seq, ack, window, payload_len, ip_id, header_len, ttl, option_len, .. } = segment.record;
    assert_eq!((seq, ack, window, payload_len), (7, 9, 500, 10));
    assert_eq!((ip_id, header_len, ttl, option_len), (0x1234, 40, 64, 0));
    assert_eq!(segment.record.flags & TCP_FLAGS, ACK | FIN);
    assert_eq!(segment.record.window_scale(), None);
    assert_eq!(segment.record.flags >> 12, NO_WINDOW_SCALE);
}

#[test]
fn ipv6_fields_are_those_of_the_headers() {
    let segment = parse(&ether(ETHER_IPV6, &v6_with(TCP, &tcp_with(RST, &[], &[])))).unwrap();
    let end = |last, port| {
        let mut octets = [0; 16];
        (octets[0], octets[15]) = (0xfd, last);
        Endpoint::from_octets(octets, port)
    };
    let (key, from_hi) = FlowKey::normalised(end(1, 40_000), end(2, 80), 0);
    assert_eq!((segment.key, segment.record.from_hi()), (key, from_hi));
    assert_eq!((segment.record.ip_id, segment.record.header_len, segment.record.ttl), (0, 60, 63));
}

#[test]
fn vlan_tags_are_followed_and_the_outermost_is_the_domain() {
    let packet = v4(&tcp(SYN));
    for (outer, frame) in [
        (7, ether(0x8100, &tagged(7, ETHER_IPV4, &packet))),
        (8, ether(0x88a8, &tagged(8, 0x8100, &tagged(9, ETHER_IPV4, &packet)))),
        (9, ether(0x9100, &tagged(9, 0x88a8, &tagged(1, ETHER_IPV4, &packet)))),
    ] {
        let reader = SliceReader::whole(&frame);
        let located = locate(&reader).unwrap();
        assert_eq!(located.vlan, outer);
        let segment = segment(&reader, &located, u32::from(located.vlan), 0).unwrap();
        assert_eq!(segment.key.domain(), u32::from(outer));
    }
}

#[test]
fn ipv4_options_are_skipped_and_counted() {
    for words in 1..=10 {
        let record = parsed(&ether(ETHER_IPV4, &v4_with(&vec![1; words * 4], TCP, 0, &tcp_with(ACK, &[], &[0; 5]))));
        assert_eq!((record.header_len, record.payload_len), (40 + words as u16 * 4, 5));
    }
}

#[test]
fn ethernet_padding_is_not_payload() {
    let mut frame = ether(ETHER_IPV4, &v4(&tcp(ACK)));
    frame.resize(60, 0xee);
    assert_eq!(parsed(&frame).payload_len, 0);
}

#[test]
fn eight_extension_headers_are_followed() {
    let chain = vec![(60, options_header(2)); MAX_EXTENSIONS];
    let record = parsed(&ether(ETHER_IPV6, &v6_chain(&chain, TCP, &tcp_with(FIN, &[], &[0; 3]))));
    assert_eq!((record.header_len, record.payload_len), (40 + 8 * 16 + 20, 3));
    assert_eq!(record.flags & TCP_FLAGS, FIN);
}

#[test]
fn each_kind_of_extension_header_is_measured_by_its_own_rule() {
    let mut authentication = vec![0; 24];
    authentication[1] = 4;
    for (kind, header) in [
        (0, options_header(1)),
        (43, options_header(3)),
        (60, options_header(255)),
        (135, options_header(2)),
        (139, options_header(2)),
        (140, options_header(2)),
        (51, authentication),
        (44, fragment_header(0, false)),
    ] {
        let len = header.len() as u16;
        let record = parsed(&ether(ETHER_IPV6, &v6_chain(&[(kind, header)], TCP, &tcp_with(ACK, &[], &[0; 9]))));
        assert_eq!((record.header_len, record.payload_len), (60 + len, 9), "extension header {kind}");
    }
}

#[test]
fn first_fragments_are_read_and_marked() {
    let segment = tcp_with(ACK, &[], &[0; 16]);
    let frames = [
        (true, ether(ETHER_IPV4, &v4_with(&[], TCP, 0x2000, &segment))),
        (false, ether(ETHER_IPV4, &v4_with(&[], TCP, 0x4000, &segment))),
        (true, ether(ETHER_IPV6, &v6_chain(&[(44, fragment_header(0, true))], TCP, &segment))),
        (false, ether(ETHER_IPV6, &v6_chain(&[(44, fragment_header(0, false))], TCP, &segment))),
    ];
    for (fragment, frame) in frames {
        let located = locate(&SliceReader::whole(&frame)).unwrap();
        assert_eq!(located.fragment, u8::from(fragment));
        assert_eq!(parsed(&frame).payload_len, 16);
    }
}

#[test]
fn a_length_of_zero_means_the_frame_length() {
    let payload = vec![0; 70_000];
    let mut big = v4(&tcp(ACK));
    big[2..4].fill(0);
    big.extend(&payload);
    assert_eq!(parsed(&ether(ETHER_IPV4, &big)).payload_len, 70_000);
    let mut jumbo = v6_with(TCP, &tcp(ACK));
    jumbo[4..6].fill(0);
    jumbo.extend(&payload);
    assert_eq!(parsed(&ether(ETHER_IPV6, &jumbo)).payload_len, 70_000);
    // RFC 2675: the jumbo payload option in a hop-by-hop header.
    let mut with_option = v6_chain(&[(0, options_header(1))], TCP, &tcp(ACK));
    with_option[4..6].fill(0);
    with_option.extend(&payload);
    assert_eq!(parsed(&ether(ETHER_IPV6, &with_option)).payload_len, 70_000);
}

#[test]
fn an_empty_ipv6_packet_is_too_short_for_tcp() {
    assert_eq!(parse(&ether(ETHER_IPV6, &v6_with(TCP, &[]))), Err(Reject::ShortTcp));
}

#[test]
fn an_rst_of_eight_bytes_and_what_may_be_an_alert_have_first_bytes() {
    let note =
        |flags, payload: &[u8]| parse(&ether(ETHER_IPV4, &v4(&tcp_with(flags, &[], payload)))).unwrap().first_bytes;
    assert_eq!(note(RST, b"whynotthat"), u64::from_ne_bytes(*b"whynotth"));
    assert_eq!(note(RST, b"whynott"), 0);
    assert_eq!(note(ACK, b"whynotthat"), 0);
    assert_eq!(note(ACK, b"\x15\x03\x03\0\x02\x02\x28"), u64::from_ne_bytes(*b"\x15\x03\x03\0\x02\x02\x28\0"));
}

#[test]
fn the_nine_flags_are_kept_as_they_are() {
    for flags in 0..=TCP_FLAGS {
        let located = locate(&SliceReader::whole(&ether(ETHER_IPV4, &v4(&tcp(flags))))).unwrap();
        assert_eq!(located.flags, flags);
        assert_eq!(located.is_control(), flags & (SYN | FIN | RST) != 0);
    }
}

/// Frames that reach deep into the parser, as a start for mutation.
fn good_frames() -> Vec<Vec<u8>> {
    let syn = tcp_with(SYN, &[2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 1, 3, 3, 7], &[]);
    let data = tcp_with(ACK, &[1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2], &[7; 20]);
    let chain =
        [(0, options_header(1)), (44, fragment_header(0, true)), (51, vec![0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])];
    let mut long = chain.to_vec();
    long[2].1 = vec![0; 24];
    long[2].1[1] = 4;
    vec![
        ether(ETHER_IPV4, &v4(&syn)),
        ether(ETHER_IPV4, &v4_with(&[1; 12], TCP, 0, &data)),
        ether(0x88a8, &tagged(8, 0x8100, &tagged(9, ETHER_IPV4, &v4(&data)))),
        ether(ETHER_IPV6, &v6_with(TCP, &syn)),
        ether(ETHER_IPV6, &v6_chain(&long, TCP, &data)),
        ether(0x8100, &tagged(5, ETHER_IPV6, &v6_chain(&vec![(60, options_header(1)); 8], TCP, &tcp(RST)))),
    ]
}

#[test]
fn a_frame_cropped_on_the_wire_keeps_its_lengths_as_long_as_it_has_a_header() {
    for frame in good_frames() {
        let whole = parse(&frame).expect("a good frame");
        let located = locate(&SliceReader::whole(&frame)).expect("a good frame");
        assert!(!located.is_cropped(&SliceReader::whole(&frame)));
        for len in 0..frame.len() {
            let reader = SliceReader::whole(&frame[..len]);
            let Ok(cropped) = parse_as(&reader) else {
                assert!(len < located.tcp as usize + 20, "the fixed header is there at {len} of {}", frame.len());
                continue;
            };
            assert_eq!(cropped.record.payload_len, whole.record.payload_len);
            assert!(locate(&reader).is_ok_and(|found| found == located && found.is_cropped(&reader)));
        }
    }
}

#[test]
fn a_frame_cut_by_the_capture_keeps_its_lengths_or_is_rejected() {
    for frame in good_frames() {
        let whole = parse(&frame).unwrap();
        let headers = frame.len() - whole.record.payload_len as usize;
        for len in 0..frame.len() {
            let cut = parse_as(&SliceReader { bytes: &frame[..len], wire_len: frame.len() });
            match cut {
                Ok(segment) => assert_eq!(segment.record.payload_len, whole.record.payload_len),
                Err(reject) => assert!(reject.is_malformed() && len < headers, "{reject:?} at {len}"),
            }
            assert!(len < headers || cut == Ok(whole), "all headers are there at {len}");
        }
    }
}

#[test]
fn a_packet_without_a_link_header_is_read_as_the_same_packet_behind_one() {
    let mut packets = Vec::new();
    for payload in [tcp(FIN | ACK), tcp_with(SYN, &[2, 4, 5, 0xb4], &[]), vec![0; 7]] {
        packets.extend([
            v4(&payload),
            v4_with(&[1; 8], TCP, 0, &payload),
            v6_with(TCP, &payload),
            v6_with(UDP, &payload),
        ]);
    }
    for packet in packets {
        let ether_type = if packet[0] >> 4 == 4 { ETHER_IPV4 } else { ETHER_IPV6 };
        let behind = locate(&SliceReader::whole(&ether(ether_type, &packet)));
        let expected = behind.map(|found| Located { ip: 0, tcp: found.tcp - ETHER_LEN as u16, ..found });
        assert_eq!(locate_ip(&SliceReader::whole(&packet)), expected);
    }
    assert_eq!(locate_ip(&SliceReader::whole(&[0x45])), Err(Reject::ShortIp));
    assert_eq!(locate_ip(&SliceReader::whole(&[0x55; 60])), Err(Reject::NotIp));
}

#[test]
fn the_fast_path_finds_what_the_whole_parser_finds() {
    let fast_path = |frame: &[u8]| {
        let reader = SliceReader::whole(frame);
        fast_path_v4(&reader).or_else(|| fast_path_v6(&reader)).map(|found| (found, locate(&reader)))
    };
    let mut found = 0;
    for frame in good_frames() {
        for len in 0..=frame.len() {
            assert!(fast_path(&frame[..len]).is_none_or(|(ours, whole)| whole == Ok(ours)), "{len} of {frame:02x?}");
        }
        for at in 12..frame.len() {
            for byte in 0..=255 {
                let mut changed = frame.clone();
                changed[at] = byte;
                if let Some((ours, whole)) = fast_path(&changed) {
                    assert_eq!(whole, Ok(ours), "byte {at}: {changed:02x?}");
                    found += 1;
                }
            }
        }
    }
    assert!(found > 10_000, "the commonest shapes are among them: {found}");
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), more in 0_usize..2000) {
        let outcome = parse_as(&SliceReader { bytes: &bytes, wire_len: bytes.len() + more });
        prop_assert!(outcome.is_ok() || outcome.is_err_and(|reject| Reject::ALL.contains(&reject)));
    }

    #[test]
    fn no_change_of_a_good_frame_makes_it_panic(
        which in 0_usize..6,
        changes in proptest::collection::vec((any::<proptest::sample::Index>(), any::<u8>()), 1..6),
        keep in any::<proptest::sample::Index>(),
    ) {
        let mut frame = good_frames().swap_remove(which);
        for (at, byte) in changes {
            let at = at.index(frame.len());
            frame[at] = byte;
        }
        if let Ok(segment) = parse(&frame) {
            let reader = SliceReader::whole(&frame);
            let is_cropped = locate(&reader).is_ok_and(|located| located.is_cropped(&reader));
            prop_assert!(is_cropped || segment.record.ip_len() as usize <= frame.len() - ETHER_LEN);
        }
        let wire_len = frame.len();
        let cut = &frame[..keep.index(wire_len)];
        let captured = parse_as(&SliceReader { bytes: cut, wire_len });
        prop_assert!(captured.is_ok() || parse(cut).is_err(), "a longer wire cannot make it worse");
    }
}

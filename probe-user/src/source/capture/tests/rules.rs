//! Decoder rules: what is taken, put together, looked into or refused, one rule per test.

use probe_ebpf::layout::SYN;
use probe_ebpf::parse::Reject;

use super::*;

/// Decodes Ethernet frames, a second apart.
fn decode(frames: &[Vec<u8>]) -> (Vec<Decoded>, Decoder) {
    let mut decoder = Decoder::new(true, Encapsulations { enabled: ALL, max_depth: 4 }, Domain::None);
    let mut found = Vec::new();
    for (nth, bytes) in frames.iter().enumerate() {
        let time_ns = nth as u64 * 1_000_000_000;
        let frame = Frame { time_ns, wire_len: bytes.len(), link: LinkType::Ethernet, bytes };
        found.extend(decoder.decode(&frame));
    }
    (found, decoder)
}

pub(super) fn ethernet(ether_type: u16, packet: &[u8]) -> Vec<u8> {
    [&[0; 12][..], &ether_type.to_be_bytes(), packet].concat()
}

/// An IPv4 packet, checksum right; `bits` are fragment flags and offset.
pub(super) fn ipv4(protocol: u8, bits: u16, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len() as u16).to_be_bytes();
    let mut packet = vec![0x45, 0, total[0], total[1], 0, 77];
    packet.extend(bits.to_be_bytes());
    packet.extend([64, protocol, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
    let sum = !checksum::fold(checksum::sum(&packet, 0));
    packet[10..12].copy_from_slice(&sum.to_ne_bytes());
    packet.extend(payload);
    packet
}

/// An IPv6 packet from fd00::1 to fd00::2.
pub(super) fn ipv6(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    for last in [1, 2] {
        packet.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, last]);
    }
    packet.extend(payload);
    packet
}

/// The TCP part of [`syn`].
pub(super) fn tcp() -> Vec<u8> {
    syn()[34..].to_vec()
}

pub(super) fn udp(source: u16, target: u16, payload: &[u8]) -> Vec<u8> {
    let len = (8 + payload.len() as u16).to_be_bytes();
    [&source.to_be_bytes()[..], &target.to_be_bytes(), &len, &[0, 0], payload].concat()
}

/// The two halves of a packet's payload as fragments.
fn halves(protocol: u8, payload: &[u8], at: usize) -> [Vec<u8>; 2] {
    let first = ipv4(protocol, 0x2000, &payload[..at]);
    let second = ipv4(protocol, (at / 8) as u16, &payload[at..]);
    [ethernet(0x0800, &first), ethernet(0x0800, &second)]
}

#[test]
fn a_fragmented_syn_is_one_segment_at_the_time_of_its_last_piece() {
    let [first, second] = halves(6, &tcp(), 8);
    for (frames, ttl) in [([first.clone(), second.clone()], 64), ([second, first], 64)] {
        let (found, decoder) = decode(&frames);
        assert_eq!(found.len(), 1);
        let record = &found[0].segment.record;
        assert_eq!((record.time_ns, record.flags & SYN, record.ttl, record.header_len), (1_000_000_000, SYN, ttl, 40));
        assert!(!found[0].bad_checksum, "over the whole packet");
        assert_eq!((decoder.accounting().fragments_held, decoder.accounting().tcp), (1, 1));
        assert_eq!(decoder.reassembled().whole, 1);
    }
}

#[test]
fn ipv6_fragments() {
    let tcp = tcp();
    let piece = |bits: u16, payload: &[u8]| {
        let header = [&[6, 0][..], &bits.to_be_bytes(), &[0, 0, 0, 9], payload].concat();
        // Behind destination options with nothing but padding.
        ethernet(0x86dd, &ipv6(60, &[&[44, 0, 1, 4, 0, 0, 0, 0][..], &header].concat()))
    };
    let (found, decoder) = decode(&[piece(16, &tcp[16..]), piece(1, &tcp[..16])]);
    assert_eq!((found.len(), decoder.accounting().fragments_held), (1, 1));
    assert_eq!(found[0].segment.record.header_len, 40 + 8 + 20);
}

#[test]
fn a_tunnel_in_fragments_around_fragments() {
    let [first, second] = halves(6, &tcp(), 16);
    let frames: Vec<Vec<u8>> = [first, second]
        .iter()
        .flat_map(|inner| halves(47, &[&[0, 0, 0x08, 0][..], &inner[14..]].concat(), 24))
        .collect();
    let (found, decoder) = decode(&frames);
    assert_eq!((found.len(), decoder.accounting().fragments_held, decoder.accounting().tcp), (1, 3, 1));
    assert_ne!(found[0].segment.key.domain(), 0, "it was in a tunnel");
    assert_eq!(decoder.reassembled().whole, 3);
}

#[test]
fn a_cut_first_fragment_is_good_for_its_headers() {
    let [mut first, mut second] = halves(6, &[tcp(), vec![0; 20]].concat(), 32);
    let wire = [first.len(), second.len()];
    first.truncate(60);
    second.truncate(38);
    let mut decoder = Decoder::new(true, Encapsulations { enabled: ALL, max_depth: 4 }, Domain::None);
    let mut decode = |bytes: &[u8], wire_len| {
        decoder.decode(&Frame { time_ns: 0, wire_len, link: LinkType::Ethernet, bytes }).is_some()
    };
    assert_eq!([decode(&first, wire[0]), decode(&second, wire[1])], [true, false]);
    assert_eq!(decoder.accounting().rejected[Reject::LaterFragment as usize], 1);
}

#[test]
fn a_header_that_ends_too_early_names_its_connection_only() {
    let mut long = syn();
    long[46] = 0x60;
    let mut short = syn();
    short[46] = 0x40;
    let (found, decoder) = decode(&[long, short]);
    let headers: Vec<Header> = found.iter().map(|one| one.header).collect();
    assert_eq!(headers, [Header::Cut, Header::Contradictory]);
    assert!(found.iter().all(|one| one.segment.record.flags & SYN != 0 && !one.bad_checksum));
    assert_eq!((decoder.accounting().tcp, decoder.accounting().rejected[Reject::TcpDataOffset as usize]), (0, 2));
}

#[test]
fn a_checksum_that_was_left_to_the_nic_is_none_and_a_wrong_one_is() {
    let pseudo = |len: u8| [10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, len];
    for (len, is_offloaded) in [(20, true), (0, true), (21, false)] {
        let mut bytes = syn();
        bytes[50..52].copy_from_slice(&checksum::fold(checksum::sum(&pseudo(len), 0)).to_ne_bytes());
        let tagged = ethernet(0x8100, &[&[0, 5, 0x08, 0][..], &bytes[14..]].concat());
        for bytes in [bytes, tagged] {
            for as_zeek in [false, true] {
                let encapsulations = Encapsulations { enabled: ALL, max_depth: 4 };
                let mut decoder = Decoder::new(true, encapsulations, Domain::None).as_zeek(as_zeek);
                let frame = Frame { time_ns: 0, wire_len: bytes.len(), link: LinkType::Ethernet, bytes: &bytes };
                let found = decode_quickly(&mut decoder, &frame).expect("a segment");
                let believed = is_offloaded && !as_zeek;
                assert_eq!(found.bad_checksum, !believed, "length {len}");
                let accounting = decoder.accounting();
                let expected = if believed { (1, 0, 1) } else { (0, 1, 0) };
                assert_eq!((accounting.tcp, accounting.bad_tcp_checksum, accounting.offloaded_checksums), expected);
            }
        }
    }
}

/// Large send offload leaves the IPv4 header checksum at 0.
#[test]
fn an_ip_checksum_of_zero_was_left_to_the_nic_and_a_wrong_one_is_damage() {
    for (checksum, as_zeek, is_taken) in
        [([0, 0], false, true), ([0, 0], true, false), ([0, 1], false, false), ([0, 1], true, false)]
    {
        let mut bytes = syn();
        bytes[24..26].copy_from_slice(&checksum);
        let encapsulations = Encapsulations { enabled: ALL, max_depth: 4 };
        let mut decoder = Decoder::new(true, encapsulations, Domain::None).as_zeek(as_zeek);
        let frame = Frame { time_ns: 0, wire_len: bytes.len(), link: LinkType::Ethernet, bytes: &bytes };
        assert_eq!(decode_quickly(&mut decoder, &frame).is_some(), is_taken, "{checksum:?}");
        let accounting = decoder.accounting();
        let expected = if is_taken { (1, 0, 1) } else { (0, 1, 0) };
        assert_eq!((accounting.tcp, accounting.bad_ip_checksum, accounting.offloaded_ip_checksums), expected);
    }
}

/// The SYN of [`syn`] with four bytes of options and four of data.
fn syn_with_options() -> Vec<u8> {
    let mut tcp = [tcp(), vec![2, 4, 5, 0xb4, 1, 2, 3, 4]].concat();
    tcp[12] = 0x60;
    ethernet(0x0800, &ipv4(6, 0, &tcp))
}

#[test]
fn options_that_were_not_captured_are_unknown_and_the_rest_counts() {
    let whole = syn_with_options();
    for len in 0..whole.len() {
        let frame = Frame { time_ns: 0, wire_len: whole.len(), link: LinkType::Ethernet, bytes: &whole[..len] };
        for as_zeek in [false, true] {
            let encapsulations = Encapsulations { enabled: ALL, max_depth: 4 };
            let mut decoder = Decoder::new(false, encapsulations, Domain::None).as_zeek(as_zeek);
            let found = decoder.decode(&frame);
            let accounting = decoder.accounting();
            assert_eq!(found.is_some(), len >= 54, "{len}");
            let Some(found) = found else { continue };
            let is_cut = len < 58;
            assert_eq!(found.header, if as_zeek && is_cut { Header::Cut } else { Header::Whole });
            assert_eq!(accounting.rejected[Reject::TruncatedTcp as usize], u64::from(as_zeek && is_cut));
            assert_eq!(
                (accounting.tcp, accounting.options_cut),
                if as_zeek { (u64::from(!is_cut), 0) } else { (1, u64::from(is_cut)) }
            );
            let record = &found.segment.record;
            assert_eq!((record.flags & SYN, record.seq, record.window), (SYN, 7, 0xfaf0));
            if !as_zeek {
                assert_eq!((record.option_len, record.payload_len, found.payload_cut), (4, 4, len < whole.len()));
                assert_eq!(record.mss, if is_cut { 0 } else { 1460 });
            }
        }
    }
}

#[test]
fn a_cropped_frame_counts_with_the_length_that_its_packet_had() {
    let whole = syn_with_options();
    let packet = &whole[14..];
    let erspan = [&[0x10, 0, 0x88, 0xbe, 0, 0, 0, 1, 0x10, 0, 0, 7, 0, 0, 0, 0][..], &whole[..58]].concat();
    let frames = [
        whole[..60].to_vec(),
        ethernet(0x8100, &[&[0, 5, 0x08, 0][..], &packet[..46]].concat()),
        // The outer packet was made of the cropped frame.
        ethernet(0x0800, &ipv4(47, 0, &erspan)),
    ];
    for bytes in &frames {
        let (found, decoder) = decode(std::slice::from_ref(bytes));
        let [found] = found.try_into().expect("a segment");
        assert_eq!((found.segment.record.payload_len, found.segment.record.mss), (4, 1460));
        assert!(found.payload_cut && !found.bad_checksum);
        let accounting = decoder.accounting();
        assert_eq!(
            (accounting.tcp, accounting.cropped, accounting.options_cut, accounting.rejections().count()),
            (1, 1, 0, 0)
        );
        let mut zeek = Decoder::new(true, Encapsulations { enabled: ALL, max_depth: 4 }, Domain::None).as_zeek(true);
        let frame = Frame { time_ns: 0, wire_len: bytes.len(), link: LinkType::Ethernet, bytes };
        assert!(zeek.decode(&frame).is_none());
        assert_eq!(zeek.accounting().rejections().collect::<Vec<_>>(), [(Reject::IpTotalLength, 1)]);
    }
}

#[test]
fn routing_headers_and_home_addresses_name_the_ends() {
    let mut routing = vec![60, 2, 0, 1, 0, 0, 0, 0];
    routing.extend([0x0a; 16]);
    let mut options = vec![6, 2, 1, 2, 0, 0, 201, 16];
    options.extend([0x0b; 16]);
    let mut tcp = tcp();
    tcp[16..18].fill(0);
    let pseudo = [&[0x0b; 16][..], &[0x0a; 16], &[0, 0, 0, 20, 0, 0, 0, 6]].concat();
    let sum = !checksum::fold(checksum::sum(&tcp, checksum::sum(&pseudo, 0)));
    tcp[16..18].copy_from_slice(&sum.to_ne_bytes());
    let (found, _) = decode(&[ethernet(0x86dd, &ipv6(43, &[routing, options, tcp].concat()))]);
    assert!(!found[0].bad_checksum, "the checksum goes by the same addresses");
    let (lo, hi) = (found[0].segment.key.lo(), found[0].segment.key.hi());
    let sender = if found[0].segment.record.from_hi() { hi } else { lo };
    assert_eq!((sender.octets(), sender.port), ([0x0b; 16], 1000));
    assert!([lo.octets(), hi.octets()].contains(&[0x0a; 16]));
}

#[test]
fn teredo_on_any_port() {
    let teredo = |prefix: [u8; 4]| {
        let mut inner = ipv6(6, &tcp());
        inner[24..28].copy_from_slice(&prefix);
        let payload = [&[0, 0, 1, 2, 3, 4, 5, 6][..], &inner].concat();
        ethernet(0x0800, &ipv4(17, 0, &udp(32_900, 3797, &payload)))
    };
    let (found, decoder) = decode(&[teredo([0x20, 1, 0, 0]), teredo([0x20, 1, 0, 1])]);
    assert_eq!(found.len(), 1);
    assert_eq!(decoder.accounting().rejected[Reject::NotTcp as usize], 1);
}

#[test]
fn vxlan_with_a_next_protocol() {
    let frame = |next: u8, inner: &[u8]| {
        let payload = [&[0x0c, 0, 0, next, 0, 0, 9, 0][..], inner].concat();
        ethernet(0x0800, &ipv4(17, 0, &udp(5000, 4790, &payload)))
    };
    let (found, _) = decode(&[frame(3, &syn()), frame(1, &syn()[14..]), frame(2, &ipv6(6, &tcp())), frame(0, &syn())]);
    assert_eq!(found.len(), 4);
}

#[test]
fn a_fraction_of_a_second_below_zero_lies_before_it() {
    let mut file = pcap(BOTH[0], 0xa1b2_c3d4, 1, &[&syn()]);
    file[28..32].copy_from_slice(&(-1_000_000_i32).to_le_bytes());
    assert_eq!(read(file).0, [6_000_000_000]);
}

#[test]
fn more_bytes_than_the_wire_had_are_believed_and_counted() {
    let mut frame = syn();
    frame[16..18].fill(0);
    frame[24..26].fill(0);
    let sum = !checksum::fold(checksum::sum(&frame[14..34], 0));
    frame[24..26].copy_from_slice(&sum.to_ne_bytes());
    let mut file = pcap(BOTH[0], 0xa1b2_c3d4, 1, &[&frame]);
    file[36..40].copy_from_slice(&4_u32.to_le_bytes());
    let (_, accounting, _) = read(file);
    assert_eq!((accounting.tcp, accounting.short_wire_lengths), (1, 1));
}

//! Link types whose frames do not begin with Ethernet or IP.

use probe_ebpf::parse::Reject;

use super::*;

/// The packet of [`syn`].
fn packet() -> Vec<u8> {
    syn()[14..].to_vec()
}

fn llc() -> Vec<u8> {
    [&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0][..], &packet()].concat()
}

/// An 802.11 header with these first two bytes, `more` before the body.
fn wireless(control: [u8; 2], more: &[u8], body: &[u8]) -> Vec<u8> {
    [&control[..], &[0; 22], more, body].concat()
}

fn decode(link: u32, bytes: &[u8]) -> Accounting {
    let mut decoder = Decoder::new(true, Encapsulations { enabled: ALL_OF_CAPTURES, max_depth: 4 }, Domain::None);
    let link = LinkType::from_number(link);
    decoder.decode(&Frame { time_ns: 1, wire_len: bytes.len(), link, bytes });
    decoder.accounting().clone()
}

/// The one reason for which a frame was rejected.
fn rejected(link: u32, bytes: &[u8]) -> Option<Reject> {
    let accounting = decode(link, bytes);
    let mut reasons = accounting.rejections();
    let first = reasons.next()?;
    assert_eq!((first.1, reasons.next(), accounting.tcp), (1, None, 0));
    Some(first.0)
}

fn radiotap(words: &[u32], fields: &[u8]) -> Vec<u8> {
    let len = (4 + 4 * words.len() + fields.len()) as u16;
    let words: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    [&[0, 0][..], &len.to_le_bytes(), &words, fields].concat()
}

fn ppi(link: u32, fields: &[u8], frame: &[u8]) -> Vec<u8> {
    let len = (8 + fields.len()) as u16;
    [&[0, 0][..], &len.to_le_bytes(), &link.to_le_bytes(), fields, frame].concat()
}

fn erf(kind: u8, more: &[u8], frame: &[u8]) -> Vec<u8> {
    let len = (16 + more.len() + frame.len()) as u16;
    let wire_len = frame.len() as u16;
    let time = [0, 0, 0, 0x80, 1, 0, 0, 0];
    [&time[..], &[kind, 0], &len.to_be_bytes(), &[0, 0], &wire_len.to_be_bytes(), more, frame].concat()
}

/// Frames that all hold the same SYN.
fn all() -> Vec<(u32, Vec<u8>)> {
    let mut pflog = vec![61, 2];
    pflog.resize(64, 0);
    let padded = radiotap(&[2], &[0x20]);
    let second_word = radiotap(&[0x8000_0003, 0], &[0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 0x20]);
    let qos = wireless([0x88, 1], &[0, 0], &[]);
    vec![
        (51, [&[0x11, 0, 0, 1, 0, 42, 0, 0x21][..], &packet()].concat()),
        (104, [&[0x0f, 0, 8, 0][..], &packet()].concat()),
        (104, [&[0x8f, 0, 8, 0][..], &packet()].concat()),
        (117, [&pflog[..], &packet()].concat()),
        (105, wireless([0x08, 1], &[], &llc())),
        (105, wireless([0x08, 3], &[0; 6], &llc())),
        (105, wireless([0x88, 2], &[0, 0], &llc())),
        (105, wireless([0x88, 0x82], &[0, 0, 0, 0, 0, 0], &llc())),
        (105, wireless([0x88, 3], &[0; 8], &llc())),
        (105, wireless([0x88, 2], &[0x80, 0], &[&[0; 12][..], &[0, 48], &llc()].concat())),
        (127, [radiotap(&[0], &[]), wireless([0x08, 2], &[], &llc())].concat()),
        (127, [&padded[..], &qos, &[0, 0], &llc()].concat()),
        (127, [&second_word[..], &qos, &[0, 0], &llc()].concat()),
        (192, ppi(1, &[2, 0, 0, 0], &syn())),
        (192, ppi(105, &[], &wireless([0x08, 1], &[], &llc()))),
        (197, erf(2, &[0, 0], &syn())),
        (197, erf(0x82, &[0x83, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0, 0], &syn())),
        (197, erf(1, &[], &[&[0xff, 3, 0, 0x21][..], &packet()].concat())),
        (197, erf(1, &[], &[&[0x0f, 0, 8, 0][..], &packet()].concat())),
        (197, erf(22, &[], &packet())),
    ]
}

#[test]
fn a_segment_is_found_in_each() {
    for (nth, (link, frame)) in all().iter().enumerate() {
        assert_eq!(decode(*link, frame).tcp, 1, "{nth}: link type {link}, {:?}", rejected(*link, frame));
    }
}

#[test]
fn cut_anywhere_each_has_one_outcome() {
    for (link, frame) in all() {
        for len in 0..frame.len() {
            let accounting = decode(link, &frame[..len]);
            let rejected: u64 = accounting.rejections().map(|(_, count)| count).sum();
            assert_eq!(accounting.tcp + rejected, 1, "link type {link}, {len} of {}: {accounting:?}", frame.len());
        }
    }
}

#[test]
fn what_carries_no_packet_is_something_else() {
    let beacon = wireless([0x80, 0], &[], &[0; 40]);
    assert_eq!(rejected(105, &beacon), Some(Reject::NotIp));
    assert_eq!(rejected(105, &wireless([0x48, 1], &[], &[])), Some(Reject::NotIp), "no data");
    assert_eq!(rejected(105, &wireless([0x08, 0x41], &[], &llc())), Some(Reject::Encrypted));
    assert_eq!(
        rejected(105, &wireless([0x08, 0x05], &[], &llc())),
        Some(Reject::LaterFragment),
        "the first of several"
    );
    let mut later = wireless([0x08, 1], &[], &llc());
    later[22] = 1;
    assert_eq!(rejected(105, &later), Some(Reject::LaterFragment));
    assert_eq!(rejected(105, &wireless([0x08, 1], &[], &[0x42, 0x42, 3])), Some(Reject::NotIp), "spanning tree");
    assert_eq!(rejected(51, &[0x11, 0xa7, 0, 1, 0, 0, 0, 0]), Some(Reject::NotIp), "the end of a session");
    assert_eq!(rejected(197, &erf(48, &[], &[0; 40])), Some(Reject::NotIp), "padding");
    assert_eq!(rejected(127, &[1, 0, 8, 0, 0, 0, 0, 0]), Some(Reject::TunnelHeader));
    assert_eq!(rejected(127, &radiotap(&[u32::MAX; 40], &[])), Some(Reject::ShortLink));
}

#[test]
fn several_packets_in_one_frame_are_counted_apart() {
    let subframe = [&[0; 12][..], &[0, 48], &llc()].concat();
    let padded = subframe.len().next_multiple_of(4);
    let mut body = subframe.clone();
    body.resize(padded, 0);
    body.extend(&subframe);
    let accounting = decode(105, &wireless([0x88, 2], &[0x80, 0], &body));
    assert_eq!((accounting.aggregates, accounting.tcp), (1, 0));
}

#[test]
fn what_is_not_understood_is_named_by_number() {
    let unsupported = |link, frame: &[u8]| {
        let accounting = decode(link, frame);
        assert_eq!(accounting.link_unsupported, 1);
        accounting.unsupported.keys().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(unsupported(147, &syn()), ["link type 147"]);
    assert_eq!(unsupported(192, &ppi(147, &[], &syn())), ["link type 147"], "the one within");
    assert_eq!(unsupported(192, &ppi(192, &[], &ppi(1, &[], &syn()))), ["link type 192"], "no nesting");
    assert_eq!(unsupported(197, &erf(5, &[], &syn())), ["ERF record type 5"]);
}

#[test]
fn ever_more_numbers_take_no_more_memory() {
    let mut decoder = Decoder::new(true, Encapsulations { enabled: 0, max_depth: 0 }, Domain::None);
    for number in 1000..3000 {
        let link = LinkType::Other(number);
        decoder.decode(&Frame { time_ns: 1, wire_len: 60, link, bytes: &[0; 60] });
    }
    assert_eq!((decoder.accounting().link_unsupported, decoder.accounting().unsupported.len()), (2000, 64));
}

proptest::proptest! {
    #[test]
    fn any_bytes_have_one_outcome(
        link in proptest::sample::select(vec![51, 104, 105, 117, 127, 192, 197, 239]),
        bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..120),
    ) {
        let accounting = decode(link, &bytes);
        let rejected: u64 = accounting.rejections().map(|(_, count)| count).sum();
        let other = accounting.bad_ip_checksum + accounting.bad_tcp_checksum + accounting.fragments_held + accounting.fragments_refused;
        proptest::prop_assert_eq!(accounting.tcp + rejected + other + accounting.link_unsupported + accounting.aggregates, 1);
    }
}

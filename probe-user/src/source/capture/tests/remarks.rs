//! Remark tests: what frames say beyond segments.

use probe_ebpf::layout::{FlowKey, RST};
use probe_ebpf::parse::{Reject, RstOption};

use super::rules::{ethernet, ipv4, ipv6, tcp};
use super::*;
use crate::source::capture::checksum::{fold, sum};

fn decoder(enabled: u32) -> Decoder {
    Decoder::new(true, Encapsulations { enabled, max_depth: 4 }, Domain::None)
}

fn remark_of(decoder: &mut Decoder, bytes: &[u8]) -> Option<Remark> {
    decode_quickly(decoder, &Frame { time_ns: 5, wire_len: bytes.len(), link: LinkType::Ethernet, bytes });
    decoder.take_remark()
}

/// An ICMP message with its checksum right.
fn icmp(kind: u8, code: u8, quoted: &[u8], pseudo: &[u8]) -> Vec<u8> {
    let mut message = [&[kind, code, 0, 0, 0, 0, 0, 0][..], quoted].concat();
    let checksum = !fold(sum(&message, sum(pseudo, 0)));
    message[2..4].copy_from_slice(&checksum.to_ne_bytes());
    message
}

/// Refuses the SYN of [`syn`], of which it quotes no more than it must.
fn refusal() -> Vec<u8> {
    ethernet(0x0800, &ipv4(1, 0, &icmp(3, 13, &syn()[14..42], &[])))
}

fn syn_flow() -> (FlowKey, bool) {
    let mut decoder = decoder(0);
    let bytes = syn();
    let frame = Frame { time_ns: 5, wire_len: bytes.len(), link: LinkType::Ethernet, bytes: &bytes };
    let segment = decoder.decode(&frame).expect("a segment").segment;
    (segment.key, segment.record.from_hi())
}

#[test]
fn an_icmp_error_names_the_flow_that_it_quotes() {
    let tagged = ethernet(0x8100, &[&[0, 5, 0x08, 0][..], &refusal()[14..]].concat());
    for enabled in [0, ALL] {
        for bytes in [refusal(), tagged.clone()] {
            let mut decoder = decoder(enabled);
            let Some(Remark::Icmp { quote, time_ns }) = remark_of(&mut decoder, &bytes) else { panic!("no quote") };
            assert_eq!(((quote.key, quote.from_hi), quote.seq, time_ns), (syn_flow(), 7, 5));
            assert_eq!((quote.error.name(), &quote.reporter.octets()[12..]), ("admin_prohibited", &[10, 0, 0, 1][..]));
            assert_eq!((decoder.accounting().icmp_errors, decoder.accounting().rejections().count()), (1, 0));
            assert_eq!(decoder.take_remark(), None, "once");
        }
    }
}

#[test]
fn an_icmpv6_error_has_a_checksum_of_its_own_kind() {
    let quoted = ipv6(6, &tcp());
    let message = |pseudo: &[u8]| icmp(1, 4, &quoted, pseudo);
    let mut pseudo = ipv6(58, &message(&[]))[8..40].to_vec();
    pseudo.extend([0, 0, 0, message(&[]).len() as u8, 0, 0, 0, 58]);
    let mut decoder = decoder(ALL);
    let good = ethernet(0x86dd, &ipv6(58, &message(&pseudo)));
    let Some(Remark::Icmp { quote, .. }) = remark_of(&mut decoder, &good) else { panic!("no quote") };
    assert_eq!((quote.error.name(), quote.seq), ("port_unreachable", 7));
    assert_eq!(remark_of(&mut decoder, &ethernet(0x86dd, &ipv6(58, &message(&[])))), None);
    assert_eq!((decoder.accounting().icmp_errors, decoder.accounting().bad_icmp_checksum), (1, 1));
}

#[test]
fn other_icmp_and_any_end_of_it_is_no_quote() {
    let mut decoder = decoder(ALL);
    let echo = ethernet(0x0800, &ipv4(1, 0, &icmp(8, 0, &syn()[14..42], &[])));
    assert_eq!(remark_of(&mut decoder, &echo), None);
    assert_eq!(decoder.accounting().rejected[Reject::NotTcp as usize], 1);
    let refusal = refusal();
    for len in 0..refusal.len() {
        assert_eq!(remark_of(&mut decoder, &refusal[..len]), None, "{len}");
    }
    let mut damaged = refusal;
    damaged[36] ^= 1;
    assert_eq!(remark_of(&mut decoder, &damaged), None);
    assert_eq!((decoder.accounting().icmp_errors, decoder.accounting().bad_icmp_checksum), (0, 1));
}

/// An RST with options and payload, checksum right.
fn rst(options: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut tcp = [tcp(), options.to_vec(), payload.to_vec()].concat();
    tcp[12] = (5 + options.len() as u8 / 4) << 4;
    tcp[13] = RST as u8;
    tcp[16..18].fill(0);
    let pseudo = [10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, tcp.len() as u8];
    let checksum = !fold(sum(&tcp, sum(&pseudo, 0)));
    tcp[16..18].copy_from_slice(&checksum.to_ne_bytes());
    ethernet(0x0800, &ipv4(6, 0, &tcp))
}

#[test]
fn an_rst_says_more_by_options_and_text() {
    let prohibited = [30, 4, 0x80, 3];
    let mut padded = rst(&[], b"no");
    padded.extend([0; 4]);
    for (bytes, said) in [
        (rst(&prohibited, b""), Some((RstOption::Mptcp(3), &b""[..]))),
        (rst(&prohibited, b"go away"), Some((RstOption::Mptcp(3), b"go away"))),
        (rst(&[], &[b'x'; 100]), Some((RstOption::None, &[b'x'; RST_TEXT_LEN]))),
        (padded, Some((RstOption::None, b"no"))),
        (rst(&[], b""), None),
        (rst(&[1, 1, 8, 10, 0, 0, 0, 0, 0, 0, 0, 0], b""), None),
        (syn(), None),
    ] {
        // By either way through the headers.
        let tagged = ethernet(0x8100, &[&[0, 5, 0x08, 0][..], &bytes[14..]].concat());
        for bytes in [bytes, tagged] {
            let remark = remark_of(&mut decoder(ALL), &bytes);
            let seen = remark.as_ref().map(|remark| match remark {
                Remark::Reset { option, text, key, .. } if *key == syn_flow().0 => (*option, &text[..]),
                other => panic!("{other:?}"),
            });
            assert_eq!(seen, said);
        }
    }
}

#[test]
fn a_damaged_rst_says_nothing_and_a_cut_one_what_is_there() {
    let mut damaged = rst(&[30, 4, 0x80, 3], b"go away");
    damaged[60] ^= 1;
    assert_eq!(remark_of(&mut decoder(ALL), &damaged), None);
    let whole = rst(&[30, 4, 0x80, 3], b"go away");
    for len in 0..whole.len() {
        let frame = Frame { time_ns: 5, wire_len: whole.len(), link: LinkType::Ethernet, bytes: &whole[..len] };
        let mut decoder = decoder(ALL);
        decode_quickly(&mut decoder, &frame);
        let text_len = decoder.take_remark().map(|remark| match remark {
            Remark::Reset { text, .. } => text.len(),
            other @ Remark::Icmp { .. } => panic!("{other:?}"),
        });
        assert_eq!(text_len, (len >= 58).then(|| len - 58), "{len}");
    }
}

//! Captures built byte by byte.

use std::io::{Cursor, Write};

use probe_ebpf::layout::Segment;
use probe_ebpf::tunnel::{ALL, ALL_OF_CAPTURES, Encapsulations};

use super::*;
use crate::source::Domain;

/// A frame with a SYN from 10.0.0.1:1000 to 10.0.0.2:80, checksums right.
fn syn() -> Vec<u8> {
    let mut frame = vec![0; 12];
    frame.extend([0x08, 0x00]);
    let mut ip = vec![0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];
    let sum = !checksum::fold(checksum::sum(&ip, 0));
    ip[10..12].copy_from_slice(&sum.to_ne_bytes());
    let mut tcp = vec![0x03, 0xe8, 0, 80, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 0x02, 0xfa, 0xf0, 0, 0, 0, 0];
    let pseudo = [10, 0, 0, 1, 10, 0, 0, 2, 0, 6, 0, 20];
    let sum = !checksum::fold(checksum::sum(&tcp, checksum::sum(&pseudo, 0)));
    tcp[16..18].copy_from_slice(&sum.to_ne_bytes());
    frame.extend(ip);
    frame.extend(tcp);
    frame
}

#[derive(Clone, Copy)]
struct Order {
    big: bool,
}

impl Order {
    fn u32(self, value: u32) -> [u8; 4] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }

    fn u16(self, value: u16) -> [u8; 2] {
        if self.big { value.to_be_bytes() } else { value.to_le_bytes() }
    }
}

const BOTH: [Order; 2] = [Order { big: false }, Order { big: true }];

fn pcap(order: Order, magic: u32, link: u32, frames: &[&[u8]]) -> Vec<u8> {
    let mut file = order.u32(magic).to_vec();
    file.extend([order.u16(2), order.u16(4)].concat());
    file.extend([order.u32(0), order.u32(0), order.u32(65535), order.u32(link)].concat());
    for frame in frames {
        let len = order.u32(frame.len() as u32);
        file.extend([order.u32(7), order.u32(9), len, len].concat());
        file.extend(*frame);
    }
    file
}

fn block(order: Order, kind: u32, body: &[u8]) -> Vec<u8> {
    let mut padded = body.to_vec();
    padded.resize(body.len().next_multiple_of(4), 0);
    let len = order.u32(padded.len() as u32 + 12);
    [&order.u32(kind)[..], &len, &padded, &len].concat()
}

fn interface(order: Order, link: u16, tsresol: Option<u8>) -> Vec<u8> {
    let mut body = [&order.u16(link)[..], &order.u16(0), &order.u32(0)].concat();
    if let Some(exponent) = tsresol {
        body.extend([&order.u16(9)[..], &order.u16(1), &[exponent, 0, 0, 0], &order.u32(0)].concat());
    }
    block(order, 1, &body)
}

fn enhanced(order: Order, interface: u32, ticks: u64, frame: &[u8]) -> Vec<u8> {
    let len = order.u32(frame.len() as u32);
    let time = [order.u32((ticks >> 32) as u32), order.u32(ticks as u32)].concat();
    block(order, 6, &[&order.u32(interface)[..], &time, &len, &len, frame].concat())
}

fn section(order: Order) -> Vec<u8> {
    let unknown_length = [0xff; 8];
    block(order, 0x0a0d_0d0a, &[&order.u32(0x1a2b_3c4d)[..], &order.u16(1), &order.u16(0), &unknown_length].concat())
}

/// The quick way first, as `rstprobe read` goes.
fn decode_quickly(decoder: &mut Decoder, frame: &Frame<'_>) -> Option<Decoded> {
    let mut segment = Segment::default();
    match decoder.decode_plain(frame, &mut segment) {
        Some(Payload { bad_checksum, payload_cut }) => {
            Some(Decoded { segment, bad_checksum, payload_cut, header: Header::Whole })
        }
        None => decoder.decode(frame),
    }
}

/// Takes two frames of each three that it is offered, and then waits to be asked again.
struct Fickle<'a> {
    decoder: &'a mut Decoder,
    times: &'a mut Vec<u64>,
    offered: usize,
}

impl Take for Fickle<'_> {
    fn take(&mut self, frame: &Frame<'_>) -> Took {
        self.offered += 1;
        if self.offered == 3 {
            return Took::Nothing;
        }
        self.times.push(frame.time_ns);
        decode_quickly(self.decoder, frame);
        if self.times.len().is_multiple_of(5) { Took::Last } else { Took::More }
    }
}

/// Times and books of a capture, and the error that ended it; the quick way to them is gone too, and must lead there.
fn read(file: Vec<u8>) -> (Vec<u64>, Accounting, Option<CaptureError>) {
    let plainly = read_plainly(file.clone());
    let mut decoder = Decoder::new(true, Encapsulations { enabled: ALL_OF_CAPTURES, max_depth: 4 }, Domain::None);
    let mut times = Vec::new();
    let mut error = None;
    if let Ok(mut capture) = CaptureFile::from_reader(Cursor::new(file)) {
        loop {
            capture.offer_in_memory(&mut Fickle { decoder: &mut decoder, times: &mut times, offered: 0 });
            match capture.next_frame() {
                Ok(None) => break,
                Err(failed) => error = Some(failed),
                Ok(Some(frame)) => {
                    times.push(frame.time_ns);
                    decode_quickly(&mut decoder, &frame);
                }
            }
        }
        assert_eq!((&times, decoder.accounting()), (&plainly.0, &plainly.1));
        assert_eq!(error.map(|error| error.to_string()), plainly.2.as_ref().map(ToString::to_string));
    }
    plainly
}

#[test]
fn the_quick_way_sees_what_the_other_sees() {
    for verify in [true, false] {
        for at in 0..syn().len() {
            for change in [0x01, 0x02, 0x0f, 0x10, 0x20, 0x40, 0x80, 0xff] {
                let mut bytes = syn();
                bytes[at] ^= change;
                for (cut, wire_len) in [(54, 54), (54, 60), (54, 50), (53, 54), (40, 54)] {
                    let frame = Frame { time_ns: 9, wire_len, link: LinkType::Ethernet, bytes: &bytes[..cut] };
                    let new = || Decoder::new(verify, Encapsulations { enabled: ALL, max_depth: 4 }, Domain::Vlan);
                    let (mut quick, mut other) = (new(), new());
                    let found = decode_quickly(&mut quick, &frame);
                    assert_eq!(format!("{found:?}"), format!("{:?}", other.decode(&frame)), "{at} {change} {cut}");
                    assert_eq!(quick.accounting(), other.accounting());
                }
            }
        }
    }
}

fn read_plainly(file: Vec<u8>) -> (Vec<u64>, Accounting, Option<CaptureError>) {
    let mut decoder = Decoder::new(true, Encapsulations { enabled: ALL_OF_CAPTURES, max_depth: 4 }, Domain::None);
    let mut times = Vec::new();
    let mut capture = match CaptureFile::from_reader(Cursor::new(file)) {
        Ok(capture) => capture,
        Err(error) => return (times, decoder.accounting().clone(), Some(error)),
    };
    let error = loop {
        match capture.next_frame() {
            Ok(None) => break None,
            Err(error) => break Some(error),
            Ok(Some(frame)) => {
                times.push(frame.time_ns);
                decoder.decode(&frame);
            }
        }
    };
    (times, decoder.accounting().clone(), error)
}

#[test]
fn pcap_in_every_byte_order_and_unit() {
    for order in BOTH {
        for (magic, expected) in [(0xa1b2_c3d4, 7_000_009_000), (0xa1b2_3c4d, 7_000_000_009)] {
            let (times, accounting, error) = read(pcap(order, magic, 1, &[&syn(), &syn()]));
            assert_eq!(times, [expected; 2]);
            assert_eq!((accounting.frames, accounting.tcp), (2, 2));
            assert!(error.is_none());
        }
    }
}

#[test]
fn pcapng_with_interfaces_of_different_resolution() {
    for order in BOTH {
        let frame = syn();
        let mut file = section(order);
        file.extend(interface(order, 1, None));
        file.extend(interface(order, 1, Some(9)));
        file.extend(interface(order, 101, Some(0x8a)));
        file.extend(block(order, 5, b"statistics"));
        file.extend(enhanced(order, 0, 5, &frame));
        file.extend(enhanced(order, 1, 6001, &frame));
        file.extend(enhanced(order, 2, 2048, &frame[14..]));
        let simple = [&order.u32(frame.len() as u32)[..], &frame].concat();
        file.extend(block(order, 3, &simple));
        let (times, accounting, error) = read(file);
        assert_eq!(times, [5000, 6001, 2_000_000_000, 2_000_000_000]);
        assert_eq!(accounting.tcp, 4);
        assert!(error.is_none());
    }
}

#[test]
fn compressed_captures() {
    let plain = pcap(BOTH[0], 0xa1b2_c3d4, 1, &[&syn()]);
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&plain).expect("in memory");
    assert_eq!(read(gzip.finish().expect("in memory")).1.tcp, 1);
    let halves = [&plain[..30], &plain[30..]].map(|half| zstd::encode_all(half, 1).expect("in memory"));
    assert_eq!(read(halves.concat()).1.tcp, 1, "two frames, one after the other");
}

#[test]
fn what_was_readable_comes_before_the_error() {
    let mut file = pcap(BOTH[0], 0xa1b2_c3d4, 1, &[&syn(), &syn()]);
    let second = file.len() - 70;
    file.truncate(file.len() - 5);
    let (times, accounting, error) = read(file);
    assert_eq!((times.len(), accounting.tcp), (1, 1));
    assert!(
        matches!(error, Some(CaptureError::Truncated { offset, missing: 5 }) if offset == second as u64),
        "{error:?}"
    );
}

#[test]
fn damage_names_its_place() {
    let mut file = pcap(BOTH[0], 0xa1b2_c3d4, 1, &[&syn()]);
    file[24 + 8..24 + 12].copy_from_slice(&u32::MAX.to_le_bytes());
    assert!(matches!(read(file).2, Some(CaptureError::Damaged { offset: 24, .. })));
    assert!(matches!(read(b"GIF89a..".to_vec()).2, Some(CaptureError::UnknownFormat { .. })));
    assert!(matches!(read(vec![1]).2, Some(CaptureError::TooShort { len: 1 })));
}

#[test]
fn every_link_type() {
    let packet = &syn()[14..];
    let null = |family: [u8; 4]| [&family, packet].concat();
    let mut sll = vec![0; 14];
    sll.extend([0x08, 0x00]);
    let mut sll2 = vec![0x08, 0x00];
    sll2.extend([0; 18]);
    let frames: [(u32, Vec<u8>); 9] = [
        (0, null([2, 0, 0, 0])),
        (0, null([0, 0, 0, 2])),
        (108, null([0, 0, 0, 2])),
        (12, packet.to_vec()),
        (14, packet.to_vec()),
        (101, packet.to_vec()),
        (228, packet.to_vec()),
        (113, [&sll, packet].concat()),
        (276, [&sll2, packet].concat()),
    ];
    for (link, frame) in frames {
        assert_eq!(read(pcap(BOTH[0], 0xa1b2_c3d4, link, &[&frame])).1.tcp, 1, "link type {link}");
    }
    assert_eq!(read(pcap(BOTH[0], 0xa1b2_c3d4, 195, &[packet])).1.link_unsupported, 1);
}

#[test]
fn every_frame_has_one_outcome() {
    let mut bad_tcp = syn();
    bad_tcp[50] ^= 1;
    let mut bad_ip = syn();
    bad_ip[24] ^= 1;
    let mut udp = syn();
    udp[23] = 17;
    let frames: [&[u8]; 5] = [&syn(), &bad_tcp, &bad_ip, &udp, &[0; 6]];
    let (_, accounting, _) = read(pcap(BOTH[0], 0xa1b2_c3d4, 1, &frames));
    assert_eq!((accounting.tcp, accounting.bad_tcp_checksum, accounting.bad_ip_checksum), (1, 1, 1));
    let rejected: u64 = accounting.rejections().map(|entry| entry.1).sum();
    assert_eq!(accounting.frames, 3 + rejected);
}

#[test]
fn tags_and_labels_beyond_the_kernel_parser() {
    let frame = syn();
    let tags = [&frame[..12], &[0x81, 0, 0, 5, 0x81, 0, 0, 6, 0x81, 0, 0, 7, 0x08, 0x00], &frame[14..]].concat();
    let mpls = [&frame[..12], &[0x88, 0x47, 0, 1, 0x01, 64], &frame[14..]].concat();
    let pppoe = [&frame[..12], &[0x88, 0x64, 0x11, 0, 0, 1, 0, 42, 0, 0x21], &frame[14..]].concat();
    let (_, accounting, _) = read(pcap(BOTH[0], 0xa1b2_c3d4, 1, &[&tags, &mpls, &pppoe]));
    assert_eq!(accounting.tcp, 3);
}

mod encapsulations;
mod formats;
mod hostile;
mod links;
mod plain_frames;
mod remarks;
mod rules;

proptest::proptest! {
    #[test]
    fn damaged_captures_end_in_an_error_or_not_at_all(
        blocks in proptest::bool::ANY,
        edits in proptest::collection::vec((0..400_usize, proptest::num::u8::ANY), 0..12),
        keep in 0..400_usize,
    ) {
        let order = BOTH[0];
        let mut file = if blocks {
            [section(order), interface(order, 1, Some(9)), enhanced(order, 0, 5, &syn()), enhanced(order, 0, 6, &syn())].concat()
        } else {
            pcap(order, 0xa1b2_c3d4, 1, &[&syn(), &syn(), &syn()])
        };
        for (at, value) in edits {
            if let Some(byte) = file.get_mut(at) {
                *byte = value;
            }
        }
        file.truncate(keep);
        let (times, accounting, _) = read(file);
        let rejected: u64 = accounting.rejections().map(|entry| entry.1).sum();
        let held = accounting.fragments_held + accounting.fragments_refused;
        let outcomes =
            accounting.tcp + accounting.bad_tcp_checksum + accounting.bad_ip_checksum + accounting.link_unsupported + held + rejected;
        proptest::prop_assert_eq!(times.len() as u64, accounting.frames);
        proptest::prop_assert_eq!(accounting.frames, outcomes);
    }
}

//! Damaged captures: a file that is cut, changed or lies about its lengths gives what was readable, says where it ends, and
//! makes nothing panic.
//!
//! The captures lie beside the workspace (`../shared/oracle`), not in it. Where they are absent the tests say SKIP; with
//! CI=true that is a failure.

use std::{collections::BTreeMap, fs, io::Cursor};

use probe_ebpf::parse::Reject;
use probe_tests::{
    oracle,
    pcap::{self, Random, record_ends},
    reading::{Outcome, capture, frames, read},
    tier::say,
};
use probe_user::source::capture::CaptureError;

/// Asserts that `cut`, the first bytes of a capture of `whole`, gave what was readable, and says why it is no more.
fn assert_prefix(name: &str, bytes: &[u8], cut: usize, whole: &Outcome) {
    let outcome = read(Cursor::new(bytes[..cut].to_vec()), true);
    let ends = record_ends(&bytes[..cut]);
    let packets = ends.iter().filter(|(_, packet)| *packet).count().min(whole.frames.len());
    assert_eq!(outcome.frames.len(), packets, "{name} cut at {cut}: {:?}", outcome.error);
    assert!(outcome.frames == whole.frames[..packets], "{name} cut at {cut}: other frames");
    let complete = ends.last().is_some_and(|(end, _)| *end == cut) || cut == pcap::FILE_HEADER;
    match outcome.error {
        // Damaged before the cut.
        Some(_) if whole.error.is_some() => {}
        None => {
            let begin = ends.last().map_or(0, |(end, _)| *end);
            assert!(complete || is_skipped(&bytes[begin..cut]), "{name} cut at {cut}: no error");
        }
        Some(error) => {
            assert!(!complete, "{name} cut at {cut}, where a record ends: {error}");
            let begin = ends.last().map_or(0, |(end, _)| *end);
            let text = error.to_string();
            match error {
                CaptureError::TooShort { len } => assert_eq!((len, cut < 4), (cut as u64, true), "{name}"),
                CaptureError::Truncated { offset, missing } => {
                    assert!(text.contains(&format!("byte {offset}")), "{text}");
                    let header = if bytes.starts_with(&[10, 13, 13, 10]) { 0 } else { pcap::FILE_HEADER };
                    let begin = if begin == 0 && cut > header { header } else { begin };
                    assert_eq!((offset, missing > 0), (begin as u64, true), "{name} cut at {cut}: {text}");
                }
                other => panic!("{name} cut at {cut}: {other}"),
            }
        }
    }
}

/// True at a pcapng block that holds neither packets nor what packets need: told in a test of its own.
fn is_skipped(block: &[u8]) -> bool {
    let kind = block.first_chunk::<4>().map(|kind| u32::from_le_bytes(*kind).min(u32::from_be_bytes(*kind)));
    kind.is_some_and(|kind| !matches!(kind, 1 | 2 | 3 | 6 | 0x0a0d_0d0a))
}

/// All captures beside the workspace, or `None` with a SKIP; CI has them.
fn captures(test: &str) -> Option<Vec<oracle::Capture>> {
    let Some(folder) = oracle::folder() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say(&format!("SKIP {test}: no captures at ../shared/oracle"));
        return None;
    };
    Some(oracle::captures(&folder.join("captures")).expect("captures"))
}

#[test]
fn a_cut_capture_gives_what_was_readable() {
    let Some(captures) = captures("a_cut_capture_gives_what_was_readable") else { return };
    let mut random = Random::new(1);
    for capture in &captures {
        let bytes = fs::read(&capture.path).expect("readable");
        let whole = read(Cursor::new(bytes.clone()), true);
        let tries = if bytes.len() > 1 << 20 { 1 } else { 4 };
        for _ in 0..tries {
            assert_prefix(&capture.name, &bytes, random.below(bytes.len() + 1), &whole);
        }
        // At and around the end of some record.
        let ends = record_ends(&bytes);
        if let Some((end, _)) = ends.get(random.below(ends.len().max(1))) {
            assert_prefix(&capture.name, &bytes, *end, &whole);
            assert_prefix(&capture.name, &bytes, end - 1, &whole);
        }
    }
}

#[test]
fn a_damaged_capture_never_panics() {
    let Some(captures) = captures("a_damaged_capture_never_panics") else { return };
    let mut random = Random::new(2);
    let mut errors = BTreeMap::<&str, u64>::new();
    for capture in &captures {
        let mut bytes = fs::read(&capture.path).expect("readable");
        bytes.truncate(1 << 17);
        for _ in 0..=bytes.len() / 200 {
            let at = random.below(bytes.len());
            bytes[at] = random.next_u64() as u8;
        }
        let kind = match read(Cursor::new(bytes), random.once_in(2)).error {
            None => "none",
            Some(CaptureError::Truncated { .. }) => "truncated",
            Some(CaptureError::Damaged { .. }) => "damaged",
            Some(_) => "other",
        };
        *errors.entry(kind).or_default() += 1;
    }
    assert!(errors.contains_key("truncated") && errors.contains_key("damaged"), "{errors:?}");
}

#[test]
fn a_capture_cut_within_statistics_is_cut_all_the_same() {
    let frame = &frames(">S", 40_000)[0];
    let section = block(0x0a0d_0d0a, &[&[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0][..], &[0xff; 8]].concat(), None);
    let begin =
        [section, block(1, &[1, 0, 0, 0, 0, 0, 4, 0], None), block(6, &packet(0, frame, frame.len() as u32), None)];
    let (begin, statistics) = (begin.concat(), block(5, &[0; 12], None));
    for len in 1..statistics.len() {
        let outcome = read(Cursor::new([&begin[..], &statistics[..len]].concat()), true);
        assert_eq!(outcome.frames.len(), 1, "{len}");
        let text = outcome.error.unwrap_or_else(|| panic!("{len} bytes of {}: no error", statistics.len())).to_string();
        assert!(text.contains(&format!("byte {}", begin.len())), "{len}: {text}");
    }
}

/// A pcapng block, little endian, with a length of its own choice.
fn block(kind: u32, body: &[u8], len: Option<u32>) -> Vec<u8> {
    let len = len.unwrap_or(body.len() as u32 + 12).to_le_bytes();
    [&kind.to_le_bytes(), &len, body, &len].concat()
}

/// An enhanced packet block of interface `interface`, which says that it holds `captured` bytes of `frame`.
fn packet(interface: u32, frame: &[u8], captured: u32) -> Vec<u8> {
    let words = [interface, 0, 1_000_000, captured, captured];
    let mut body: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    body.extend_from_slice(frame);
    body.resize(body.len().next_multiple_of(4), 0);
    body
}

#[test]
fn blocks_that_lie_are_told_by_their_offset() {
    const SECTION: u32 = 0x0a0d_0d0a;
    let frame = &frames(">S", 40_000)[0];
    let len = frame.len() as u32;
    let begin = [
        block(SECTION, &[0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], None),
        block(1, &[1, 0, 0, 0, 0, 0, 4, 0], None),
        block(6, &packet(0, frame, len), None),
    ]
    .concat();
    let body = packet(0, frame, len);
    let lies = [
        ("length 0", block(6, &body, Some(0))),
        ("length 8", block(6, &body, Some(8))),
        ("length 12", block(6, &body, Some(12))),
        ("odd length", block(6, &body, Some(body.len() as u32 + 13))),
        ("length beyond the file", block(6, &body, Some(body.len() as u32 + 16))),
        ("largest length", block(6, &body, Some(0xffff_fffc))),
        ("packet larger than its block", block(6, &packet(0, frame, len + 100), None)),
        ("packet of 4 GB", block(6, &packet(0, frame, u32::MAX), None)),
        ("packet of an unknown interface", block(6, &packet(7, frame, len), None)),
        ("packet block without fields", block(6, &[0; 8], None)),
        ("interface without fields", block(1, &[0; 4], None)),
        ("section of no byte order", block(SECTION, &[0; 16], None)),
        ("half a block", block(6, &body, None)[..20].to_vec()),
        ("half a block header", vec![6, 0, 0]),
    ];
    for (name, lie) in lies {
        let outcome = read(Cursor::new([&begin[..], &lie].concat()), true);
        assert_eq!(outcome.frames.len(), 1, "{name}");
        assert_eq!(outcome.frames[0].1, *frame, "{name}");
        let text = outcome.error.unwrap_or_else(|| panic!("{name}: no error")).to_string();
        assert!(text.contains(&format!("byte {}", begin.len())), "{name}: {text}");
    }
    let unknown = [&begin[..], &block(0x0bad, &[1, 2, 3, 4], None), &block(6, &body, None)].concat();
    let outcome = read(Cursor::new(unknown), true);
    assert_eq!((outcome.frames.len(), outcome.error.is_none()), (2, true), "unknown blocks are skipped");
}

#[test]
fn records_that_lie_are_told_by_their_offset() {
    let frame = &frames(">S", 40_000)[0];
    let good = capture(std::slice::from_ref(frame)).into_inner();
    for (captured, name) in [(u32::MAX, "4 GB"), (1 << 30, "1 GB"), (frame.len() as u32 + 1, "one byte too many")] {
        let lengths = [0, 0, captured, captured].map(u32::to_le_bytes).concat();
        let outcome = read(Cursor::new([&good[..], &lengths, frame].concat()), true);
        assert_eq!(outcome.frames.len(), 1, "{name}");
        let text = outcome.error.unwrap_or_else(|| panic!("{name}: no error")).to_string();
        assert!(text.contains(&format!("byte {}", good.len())), "{name}: {text}");
    }
    // A frame larger than the snap length of the file header, as some tools write; and one of no bytes.
    let mut modest = good.clone();
    modest[16..20].copy_from_slice(&10_u32.to_le_bytes());
    let outcome = read(Cursor::new(modest), true);
    assert_eq!((outcome.accounting.tcp, outcome.error.is_none()), (1, true));
    let empty = [&good[..], &[0; 16]].concat();
    let outcome = read(Cursor::new(empty), true);
    assert_eq!((outcome.frames.len(), outcome.accounting.rejected[Reject::ShortLink as usize]), (2, 1));
    for begin in [&b""[..], b"x", b"abc", b"abcd", b"#!/bin/sh\n"] {
        let outcome = read(Cursor::new(begin.to_vec()), true);
        assert!(outcome.frames.is_empty());
        let text = outcome.error.expect("no capture").to_string();
        assert!(text.starts_with("not a capture"), "{text}");
    }
}

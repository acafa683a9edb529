//! Pieces in every order, overlapping, impossible, and too many.

use super::*;
use crate::source::capture::checksum::{fold, sum};

/// IPv4 without options, 10.0.0.1 to 10.0.0.2, TCP.
const HEADER: [u8; 20] = [0x45, 0, 0, 20, 0, 9, 0x20, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2];

fn id(number: u32) -> PacketId {
    PacketId { addresses: [7; 32], id: number, protocol: 6, version: 4, surroundings: (0, 0, 0) }
}

struct Pieces {
    reassembler: Reassembler,
    now_ns: u64,
}

impl Pieces {
    fn new() -> Self {
        Self { reassembler: Reassembler::default(), now_ns: 1 }
    }

    fn add(&mut self, number: u32, offset: usize, more: bool, payload: &[u8]) -> Outcome {
        let packet = id(number);
        let fragment = Fragment { packet, offset, more, header: &HEADER, payload: Some(payload), next: (HEADER[9], 9) };
        self.reassembler.add(&fragment, payload, self.now_ns)
    }

    fn whole(&mut self, number: u32, offset: usize, more: bool, payload: &[u8]) -> Vec<u8> {
        match self.add(number, offset, more, payload) {
            Outcome::Whole(packet) => packet[HEADER.len()..].to_vec(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn every_order_gives_the_same_packet() {
    let payload: Vec<u8> = (0..40).collect();
    let parts = [(0, 16), (16, 24), (24, 40)];
    for order in [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let mut pieces = Pieces::new();
        for (nth, part) in order.into_iter().enumerate() {
            let (from, to) = parts[part];
            match pieces.add(1, from, to < 40, &payload[from..to]) {
                Outcome::Held => assert!(nth < 2, "{order:?}"),
                Outcome::Whole(packet) => {
                    assert_eq!((nth, &packet[20..]), (2, &payload[..]), "{order:?}");
                    assert_eq!(packet[2..4], [0, 60], "its length");
                    assert_eq!(packet[6..8], [0, 0], "no fragment any more");
                    assert_eq!(fold(sum(&packet[..20], 0)), 0xffff);
                }
                Outcome::Refused => panic!("{order:?}"),
            }
        }
        let stats = pieces.reassembler.stats();
        assert_eq!((stats.whole, stats.overlaps, stats.expired), (1, 0, 0));
        assert_eq!(pieces.reassembler.bytes, 0);
    }
}

#[test]
fn what_came_first_stays() {
    let mut pieces = Pieces::new();
    assert!(matches!(pieces.add(1, 8, true, &[1; 8]), Outcome::Held));
    assert!(matches!(pieces.add(1, 16, false, &[2; 8]), Outcome::Held));
    // Teardrop: it covers what is there, and only the hole takes from it.
    let packet = pieces.whole(1, 0, true, &[3; 24]);
    assert_eq!(packet, [[3; 8], [1; 8], [2; 8]].concat());
    assert_eq!(pieces.reassembler.stats().overlaps, 1);
}

#[test]
fn the_furthest_end_is_the_length() {
    let mut pieces = Pieces::new();
    assert!(matches!(pieces.add(1, 8, false, &[1; 8]), Outcome::Held));
    assert!(matches!(pieces.add(1, 24, true, &[2; 8]), Outcome::Held));
    assert!(matches!(pieces.add(1, 0, true, &[3; 8]), Outcome::Held), "a hole before the new end");
    assert_eq!(pieces.whole(1, 16, true, &[4; 8]).len(), 32);
}

#[test]
fn beyond_any_packet_is_refused() {
    let mut pieces = Pieces::new();
    assert!(matches!(pieces.add(1, 65_528, false, &[0; 8]), Outcome::Refused), "ping of death");
    assert!(matches!(pieces.add(2, 0, true, &[]), Outcome::Refused));
    assert!(matches!(pieces.add(3, 0, true, &vec![0; 65_528]), Outcome::Held));
    assert!(matches!(pieces.add(3, 65_528, false, &[0; 7]), Outcome::Refused), "too long with its header");
    assert_eq!(pieces.reassembler.bytes, 0);
}

#[test]
fn the_first_fragment_is_needed_for_its_header() {
    let mut pieces = Pieces::new();
    assert!(matches!(pieces.add(1, 8, false, &[0; 8]), Outcome::Held));
    assert!(matches!(pieces.add(2, 0, true, &[0; 8]), Outcome::Held), "another packet");
    assert_eq!(pieces.reassembler.stats().expired, 2, "in pieces at the end");
}

#[test]
fn thirty_seconds_are_enough() {
    let mut pieces = Pieces::new();
    assert!(matches!(pieces.add(1, 0, true, &[0; 8]), Outcome::Held));
    pieces.now_ns += PATIENCE_NS + 1;
    assert!(matches!(pieces.add(1, 8, false, &[0; 8]), Outcome::Held), "it begins anew");
    assert_eq!(pieces.reassembler.packets.len(), 1);
    assert_eq!(pieces.reassembler.stats().expired, 2);
}

#[test]
fn room_is_bounded_by_packets_and_bytes() {
    let mut pieces = Pieces::new();
    for number in 0..2 * MAX_PACKETS as u32 {
        assert!(matches!(pieces.add(number, 0, true, &[0; 8]), Outcome::Held));
    }
    assert_eq!(pieces.reassembler.packets.len(), MAX_PACKETS);
    let mut pieces = Pieces::new();
    for number in 0..1000 {
        assert!(matches!(pieces.add(number, 64_000, true, &[0; 8]), Outcome::Held));
        assert!(pieces.reassembler.bytes <= MAX_BYTES);
    }
    assert!(pieces.reassembler.stats().evicted > 400);
}

#[test]
fn holes_are_bounded() {
    let mut pieces = Pieces::new();
    let refused = (0..4000).any(|nth| matches!(pieces.add(1, nth * 16, true, &[0; 8]), Outcome::Refused));
    assert!(refused);
    assert!(pieces.reassembler.packets.is_empty());
}

proptest::proptest! {
    /// Against a model: a map from position to the first byte that came for it.
    #[test]
    fn as_the_model_says(parts in proptest::collection::vec((0..8_usize, 1..5_usize, proptest::bool::ANY), 1..20)) {
        let mut pieces = Pieces::new();
        let mut model: std::collections::BTreeMap<usize, u8> = std::collections::BTreeMap::new();
        let mut len = None;
        for (nth, (offset, blocks, more)) in parts.into_iter().enumerate() {
            let (from, to) = (offset * 8, (offset + blocks) * 8);
            let outcome = pieces.add(1, from, more, &vec![nth as u8; to - from]);
            for at in from..to {
                model.entry(at).or_insert(nth as u8);
            }
            if !more || len.is_some_and(|len| to > len) {
                len = Some(len.unwrap_or(0).max(to));
            }
            let contiguous = (0..usize::MAX).take_while(|at| model.contains_key(at)).count();
            match outcome {
                Outcome::Whole(packet) => {
                    proptest::prop_assert!(len.is_some_and(|len| contiguous >= len));
                    let expected: Vec<u8> = model.values().copied().take(contiguous).collect();
                    proptest::prop_assert_eq!(&packet[20..], &expected[..]);
                    return Ok(());
                }
                Outcome::Held => proptest::prop_assert!(len.is_none_or(|len| contiguous < len)),
                Outcome::Refused => proptest::prop_assert!(false),
            }
        }
    }
}

//! The rules of recording, one by one, and against a model that remembers everything.

extern crate std;

use std::{
    ops::{Deref, DerefMut},
    vec,
    vec::Vec,
};

use proptest::prelude::*;

use super::*;
use crate::layout::{FROM_HI, FlagCounts, TCP_FLAGS};

/// A slot, and its part of the journal.
#[derive(Clone, Copy)]
struct Flow {
    slot: Slot,
    segments: [SegmentRecord; SLOT_SEGMENTS],
}

impl Deref for Flow {
    type Target = Slot;

    fn deref(&self) -> &Slot {
        &self.slot
    }
}

impl DerefMut for Flow {
    fn deref_mut(&mut self) -> &mut Slot {
        &mut self.slot
    }
}

fn empty() -> Flow {
    let side = DirectionCounters::default();
    let mut slot = Slot {
        key: FlowKey::default(),
        first_bytes: 9,
        bucket: 9,
        segment_count: 9,
        state: 9,
        spilled: 9,
        isn: 9,
        syn_ack_isn: 9,
        lo: DirectionCounters { packets: 9, marks: 9, last_ns: 9, last_payload: 9, ..side },
        hi: DirectionCounters { rst: 9, ttl: 9, window: 9, zero_windows: 9, ..side },
    };
    open(&mut slot, &FlowKey { words: [1, 2, 3, 4, 5] }, 3);
    Flow { slot, segments: [SegmentRecord::default(); SLOT_SEGMENTS] }
}

fn segment(flags: u16, seq: u32, payload_len: u32) -> Segment {
    let record = SegmentRecord { flags, seq, payload_len, header_len: 40, window: 100, ..SegmentRecord::default() };
    Segment { key: FlowKey::default(), record, first_bytes: 0 }
}

/// What the kernel program does with a segment of this slot.
fn put(flow: &mut Flow, segment: &Segment) -> Disposition {
    let relevant = is_relevant(flow, &segment.record);
    apply(&mut flow.slot, segment, relevant, &mut flow.segments)
}

#[test]
fn an_opened_slot_is_empty_whatever_it_held() {
    let slot = empty();
    assert_eq!((slot.lo, slot.hi), (DirectionCounters::default(), DirectionCounters::default()));
    assert_eq!((slot.first_bytes, slot.segment_count, slot.state, slot.spilled, slot.isn), (0, 0, 0, 0, 0));
    assert_eq!((slot.key.words, slot.bucket, slot.syn_ack_isn), ([1, 2, 3, 4, 5], 3, 0));
}

#[test]
fn the_first_ack_and_the_first_data_of_each_direction_are_kept() {
    let mut slot = empty();
    assert_eq!(put(&mut slot, &segment(SYN, 10, 0)), Disposition::Verbatim);
    assert_eq!(put(&mut slot, &segment(SYN | ACK | FROM_HI, 20, 0)), Disposition::Verbatim);
    assert_eq!(put(&mut slot, &segment(ACK, 11, 0)), Disposition::Verbatim, "completes the handshake");
    assert_eq!(put(&mut slot, &segment(ACK, 11, 100)), Disposition::Verbatim, "first data");
    assert_eq!(
        put(&mut slot, &segment(ACK | FROM_HI, 21, 0)),
        Disposition::Verbatim,
        "the other direction has its own"
    );
    assert_eq!(put(&mut slot, &segment(ACK, 111, 100)), Disposition::CountedOnly);
    assert_eq!(put(&mut slot, &segment(ACK, 211, 0)), Disposition::CountedOnly);
    assert_eq!(put(&mut slot, &segment(FIN | ACK | FROM_HI, 21, 0)), Disposition::Verbatim);
    assert_eq!((slot.segments[5].from_hi(), slot.segments[5].payload_len), (false, 0), "what came before the FIN");
    assert_eq!(put(&mut slot, &segment(ACK, 211, 5)), Disposition::Verbatim, "data after the other's FIN");
    assert_eq!(put(&mut slot, &segment(ACK, 216, 0)), Disposition::Spilled, "relevant, and no room");
    assert_eq!((slot.segment_count, slot.spilled), (8, 1));
    assert_eq!(slot.segments[3].payload_len, 100);
}

#[test]
fn what_a_reset_answers_is_kept_before_it() {
    let mut slot = empty();
    for (flags, seq, len) in [(ACK, 10, 5), (ACK | FROM_HI, 20, 50), (ACK, 15, 7)] {
        put(&mut slot, &segment(flags, seq, len));
    }
    assert_eq!(slot.segment_count, 2, "the second request is only counted");
    put(&mut slot, &segment(RST | FROM_HI, 70, 0));
    let [.., request, reset, _, _, _, _] = slot.segments;
    assert_eq!((request.from_hi(), request.seq, request.payload_len), (false, 15, 7));
    assert!(reset.has(RST) && slot.segment_count == 4);
}

#[test]
fn keep_alive_probes_are_always_kept() {
    for garbage in [0, 1] {
        let mut slot = empty();
        for (flags, seq, len) in [(ACK, 100, 10), (ACK, 110, 0), (ACK, 110, 10)] {
            put(&mut slot, &segment(flags, seq, len));
        }
        assert_eq!(put(&mut slot, &segment(ACK, 119, garbage)), Disposition::Verbatim, "{garbage} bytes");
        assert_eq!(put(&mut slot, &segment(ACK, 119, garbage)), Disposition::Verbatim, "and the next");
        assert_eq!(
            put(&mut slot, &segment(ACK, 118, garbage)),
            Disposition::CountedOnly,
            "one byte off is not a probe"
        );
        assert_eq!(put(&mut slot, &segment(ACK, 119, 2)), Disposition::CountedOnly, "nor are two bytes");
    }
}

#[test]
fn a_slot_without_sequence_numbers_has_no_keep_alive() {
    let mut slot = empty();
    put(&mut slot, &segment(RST | ACK, 5, 0));
    put(&mut slot, &segment(ACK, u32::MAX, 0));
    assert_eq!(slot.lo.seq_end, u32::MAX);
    let mut fresh = empty();
    fresh.lo.marks = MARK_ACK;
    assert!(!is_relevant(&fresh, &segment(ACK, u32::MAX, 0).record), "seq_end of 0 is not valid here");
}

#[test]
fn who_needs_a_new_slot() {
    let after = |segments: &[Segment]| {
        let mut slot = empty();
        for segment in segments {
            put(&mut slot, segment);
        }
        slot
    };
    let syn = segment(SYN, 10, 0);
    let new = segment(SYN, 99, 0).record;
    assert!(supersedes(&after(&[segment(ACK, 5, 3)]), &new), "it began in the middle of another connection");
    assert!(supersedes(&after(&[segment(RST, 5, 0)]), &new), "it began with a leftover RST");
    assert!(supersedes(&after(&[syn]), &new), "another attempt: user space begins a new record");
    assert!(!supersedes(&after(&[syn]), &syn.record), "a retransmission");
    for close in [FIN | ACK, RST, RST | ACK] {
        let closed = after(&[syn, segment(close, 11, 0)]);
        assert!(supersedes(&closed, &new), "a new number after the end");
        assert!(supersedes(&closed, &syn.record), "the same number after the end: refused and tried again");
        for flags in [SYN | ACK, ACK, RST, FIN] {
            assert!(!supersedes(&closed, &segment(flags, 99, 0).record), "only a SYN without ACK opens: {flags:#x}");
        }
        for flags in [SYN | RST, SYN | FIN] {
            assert!(supersedes(&closed, &segment(flags, 99, 0).record), "an odd SYN is one: {flags:#x}");
        }
    }
    let mut slot = after(&[syn]);
    supersede(&mut slot.slot, &mut slot.segments);
    assert_eq!(slot.state & SLOT_SUPERSEDED, SLOT_SUPERSEDED);
}

#[test]
fn the_initial_number_is_that_of_the_last_pure_syn_of_either_side() {
    let mut slot = empty();
    put(&mut slot, &segment(SYN, 10, 0));
    put(&mut slot, &segment(SYN | ACK | FROM_HI, 77, 0));
    assert_eq!(slot.isn, 10);
    put(&mut slot, &segment(SYN | FROM_HI, 50, 0));
    assert_eq!(slot.isn, 50);
}

/// What the journal gets: flags, payload length, first bytes.
#[derive(Default)]
struct Beginnings(Vec<(u16, u32, u64)>);

impl Journal for Beginnings {
    fn keep(&mut self, _nth: u8, record: &SegmentRecord, first_bytes: u64) -> bool {
        self.0.push((record.flags & (TCP_FLAGS | FROM_HI), record.payload_len, first_bytes));
        true
    }
}

/// The journal after these segments.
fn beginnings(segments: &[(u16, u32, u64)]) -> Vec<(u16, u32, u64)> {
    let (mut slot, mut journal, mut seq) = (empty().slot, Beginnings::default(), 1);
    for &(flags, payload_len, first_bytes) in segments {
        let segment = Segment { first_bytes, ..segment(flags, seq, payload_len) };
        let relevant = is_relevant(&slot, &segment.record);
        apply(&mut slot, &segment, relevant, &mut journal);
        seq += payload_len;
    }
    journal.0
}

#[test]
fn every_kept_segment_has_its_own_first_bytes() {
    let dialogue = [(ACK, 24, 5), (FIN | ACK, 0, 0), (ACK | FROM_HI, 24, 6), (RST, 8, 7), (RST, 8, 8)];
    assert_eq!(beginnings(&dialogue), dialogue);
}

#[test]
fn the_last_segment_before_a_control_segment_has_first_bytes_even_when_it_was_only_counted() {
    let hi = ACK | FROM_HI;
    // An alert after other data, and after it the close.
    assert_eq!(
        beginnings(&[(ACK, 100, 0), (ACK, 7, 5), (FIN | ACK, 0, 0)]),
        [(ACK, 100, 0), (ACK, 7, 5), (FIN | ACK, 0, 0)]
    );
    // Bytes are of the segment that had them: not of a later one, nor of the other side's.
    assert_eq!(
        beginnings(&[(ACK, 100, 0), (ACK, 7, 5), (ACK, 100, 0), (FIN | ACK, 0, 0)]),
        [(ACK, 100, 0), (ACK, 100, 0), (FIN | ACK, 0, 0)]
    );
    let both = [(ACK, 100, 0), (hi, 100, 0), (ACK, 24, 5), (hi, 31, 6), (FIN | ACK, 0, 0)];
    assert_eq!(beginnings(&both), [(ACK, 100, 0), (hi, 100, 0), (ACK, 24, 0), (hi, 31, 6), (FIN | ACK, 0, 0)]);
    let other = [(ACK, 100, 0), (ACK, 24, 5), (hi, 100, 0), (FIN | ACK, 0, 0)];
    assert_eq!(beginnings(&other), [(ACK, 100, 0), (hi, 100, 0), (ACK, 24, 5), (FIN | ACK, 0, 0)]);
}

#[test]
fn sequence_ends_wrap_and_resets_do_not_move_them() {
    let mut slot = empty();
    put(&mut slot, &segment(ACK, u32::MAX - 9, 10));
    assert_eq!(slot.lo.seq_end, 0);
    put(&mut slot, &segment(ACK, 0, 100));
    assert_eq!((slot.lo.seq_end, slot.lo.retransmits), (100, 0));
    put(&mut slot, &segment(ACK, u32::MAX - 9, 10));
    assert_eq!((slot.lo.seq_end, slot.lo.retransmits), (100, 1));
    put(&mut slot, &segment(ACK, 100, 0));
    assert_eq!(slot.lo.retransmits, 1, "a pure ACK is no retransmission");
    put(&mut slot, &segment(RST, 5000, 20));
    assert_eq!((slot.lo.seq_end, slot.lo.retransmits), (100, 1));
}

#[test]
fn last_values_are_those_of_the_last_segment() {
    let mut slot = empty();
    let mut one = segment(ACK, 1, 1);
    (one.record.ack, one.record.ttl, one.record.ip_id, one.record.time_ns) = (50, 64, 7, 1000);
    put(&mut slot, &one);
    let mut two = segment(RST, 2, 0);
    (two.record.ack, two.record.ttl, two.record.ip_id, two.record.time_ns, two.record.window) = (0, 33, 8, 2000, 0);
    put(&mut slot, &two);
    assert_eq!(slot.lo.last_ack, 50, "an RST without ACK acknowledges nothing");
    assert_eq!((slot.lo.ttl, slot.lo.ip_id, slot.lo.last_ns, slot.lo.window), (33, 8, 2000, 0));
    assert_eq!(slot.lo.zero_windows, 0, "every such RST has window 0");
    let mut three = segment(ACK, 3, 0);
    three.record.window = 0;
    put(&mut slot, &three);
    assert_eq!(slot.lo.zero_windows, 1);
}

#[test]
fn small_counters_stop_at_their_end() {
    let mut slot = empty();
    (slot.lo.retransmits, slot.lo.zero_windows, slot.spilled) = (u16::MAX, u16::MAX, u16::MAX);
    slot.segment_count = SLOT_SEGMENTS as u8;
    put(&mut slot, &segment(FIN, 100, 10));
    let mut again = segment(FIN, 50, 10);
    again.record.window = 0;
    assert_eq!(put(&mut slot, &again), Disposition::Spilled);
    assert_eq!((slot.lo.retransmits, slot.lo.zero_windows, slot.spilled), (u16::MAX, u16::MAX, u16::MAX));
}

/// What the rule says, from the whole history instead of marks: everything of SYN, FIN, RST; else the first of its kind
/// (payload or not) of its direction since the last control segment of either; else a keep-alive probe.
fn must_be_kept(history: &[Segment], next: &SegmentRecord) -> bool {
    if next.is_control() {
        return true;
    }
    let since = history.iter().rposition(|past| past.record.is_control()).map_or(0, |at| at + 1);
    let same_side = |past: &&Segment| past.record.from_hi() == next.from_hi();
    let same_kind = |past: &Segment| (past.record.payload_len == 0) == (next.payload_len == 0);
    let first = !history[since..].iter().filter(same_side).any(same_kind);
    let ends = history.iter().filter(same_side).filter(|past| !past.record.has(RST)).map(|past| past.record.seq_end());
    let highest = ends.reduce(|high, end| if seq_after(end, high) { end } else { high });
    first || (next.payload_len <= 1 && highest.is_some_and(|high| next.seq == high.wrapping_sub(1)))
}

fn any_segment() -> impl Strategy<Value = Segment> {
    let flags = prop_oneof![
        4 => Just(ACK),
        1 => prop_oneof![Just(SYN), Just(SYN | ACK), Just(FIN | ACK), Just(RST), Just(RST | ACK)],
        1 => 0..=TCP_FLAGS,
    ];
    // Few sequence numbers, around the wrap, so that segments meet.
    (flags, any::<bool>(), 0_u32..20, prop_oneof![Just(0_u32), Just(1), 0_u32..20], 0_u16..2, any::<u32>()).prop_map(
        |(flags, hi, seq, payload_len, window, ack)| {
            let mut segment = segment(flags | if hi { FROM_HI } else { 0 }, seq.wrapping_sub(10), payload_len);
            (segment.record.window, segment.record.ack) = (window, ack);
            segment
        },
    )
}

/// What the model says becomes of segments that were only counted, when a control segment comes.
fn keep_pending_in(verbatim: &mut Vec<SegmentRecord>, pending: &mut [Option<SegmentRecord>; 2], last_from_hi: bool) {
    for side in [usize::from(!last_from_hi), usize::from(last_from_hi)] {
        if verbatim.len() + 1 < SLOT_SEGMENTS {
            verbatim.extend(pending[side].take());
        }
    }
}

/// The fields that a slot remembers of a segment it only counted; all others are compared where it is kept whole.
fn remembered(record: &SegmentRecord) -> (bool, bool, u32, u16, u16, u8) {
    let SegmentRecord { payload_len, window, ip_id, ttl, .. } = *record;
    (record.is_control(), record.from_hi(), payload_len, window, ip_id, ttl)
}

fn sum(slot: &Slot, pick: fn(&DirectionCounters) -> u32) -> u64 {
    u64::from(pick(&slot.lo)) + u64::from(pick(&slot.hi))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_the_order_stays(segments in proptest::collection::vec(any_segment(), 0..60)) {
        let mut slot = empty();
        let (mut flags, mut verbatim, mut spilled) = (FlagCounts::default(), vec![], 0_u16);
        let (mut pending, mut last_from_hi) = ([None; 2], false);
        for (at, next) in segments.iter().enumerate() {
            let relevant = must_be_kept(&segments[..at], &next.record);
            prop_assert_eq!(is_relevant(&slot, &next.record), relevant, "segment {} {:?}", at, next.record);
            flags.add(next.record.flags);
            if next.record.is_control() {
                keep_pending_in(&mut verbatim, &mut pending, last_from_hi);
            }
            let side = usize::from(next.record.from_hi());
            pending[side] = None;
            last_from_hi = next.record.from_hi();
            match put(&mut slot, next) {
                Disposition::Verbatim => verbatim.push(next.record),
                Disposition::Spilled => spilled += 1,
                Disposition::CountedOnly => {
                    prop_assert!(!relevant);
                    pending[side] = Some(next.record);
                }
            }
        }
        let seen = FlagCounts {
            syn: sum(&slot, |side| side.syn),
            syn_ack: sum(&slot, |side| side.syn_ack),
            fin: sum(&slot, |side| side.fin),
            rst: sum(&slot, |side| side.rst),
        };
        prop_assert_eq!(seen, flags);
        prop_assert_eq!(sum(&slot, |side| side.packets), segments.len() as u64);
        let total = |pick: fn(&SegmentRecord) -> u32| segments.iter().map(|s| u64::from(pick(&s.record))).sum::<u64>();
        prop_assert_eq!(slot.lo.payload_bytes + slot.hi.payload_bytes, total(|record| record.payload_len));
        prop_assert_eq!(slot.lo.ip_bytes + slot.hi.ip_bytes, total(SegmentRecord::ip_len));
        let facts = |records: &[SegmentRecord]| records.iter().map(remembered).collect::<Vec<_>>();
        prop_assert_eq!(facts(&slot.segments[..usize::from(slot.segment_count)]), facts(&verbatim));
        prop_assert_eq!(slot.spilled, spilled);
        prop_assert!(spilled == 0 || verbatim.len() == SLOT_SEGMENTS);
        let closing = segments.iter().any(|s| s.record.flags & (FIN | RST) != 0);
        prop_assert_eq!(slot.state & SLOT_CLOSING != 0, closing);
    }

    #[test]
    fn each_side_counts_only_its_own(segments in proptest::collection::vec(any_segment(), 0..60)) {
        let (mut both, mut lo, mut hi) = (empty(), empty(), empty());
        for next in &segments {
            put(&mut both, next);
            put(if next.record.from_hi() { &mut hi } else { &mut lo }, next);
        }
        // Marks depend on control segments of the other side; every counter does not.
        let bare = |side: DirectionCounters| DirectionCounters { marks: 0, ..side };
        prop_assert_eq!(bare(both.lo), bare(lo.lo));
        prop_assert_eq!(bare(both.hi), bare(hi.hi));
    }
}

#[test]
fn a_model_that_remembers_nothing_would_be_noticed() {
    let history: Vec<Segment> = vec![segment(ACK, 1, 0)];
    assert!(must_be_kept(&[], &history[0].record) && !must_be_kept(&history, &segment(ACK, 5, 0).record));
}

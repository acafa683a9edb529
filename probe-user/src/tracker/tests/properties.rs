//! Property tests of the tracker: what holds for any input.

use probe_ebpf::layout::FROM_HI;
use proptest::prelude::*;

use crate::tracker::tests::*;

/// Any segments of a few flows, times mostly going on.
pub(crate) fn soup() -> impl Strategy<Value = Vec<Segment>> {
    let one = (0..3_u8, any::<bool>(), 0..512_u16, 0..4_u32, 0..4_u32, 0..3_u32, 0..9_u64, any::<(u8, u16)>());
    proptest::collection::vec(one, 0..60).prop_map(|all| {
        let mut now = START;
        all.into_iter()
            .map(|(flow, back, flags, seq, ack, payload, gap, (ttl, window))| {
                now +=
                    [0, 1, 1000, 50_000_000, SECOND, 3 * SECOND, 6 * SECOND, 61 * SECOND, 400 * SECOND][gap as usize];
                let client = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, flow]), 30000);
                let server = Endpoint::v4(u32::from_ne_bytes([10, 0, 1, flow]), [80, 22, 30000][usize::from(flow)]);
                let (from, to) = if back { (server, client) } else { (client, server) };
                let (key, from_hi) = FlowKey::normalised(from, to, 0);
                let far = [0, 1, 100_000, u32::MAX - 5];
                let mut record = SegmentRecord {
                    time_ns: now,
                    seq: far[seq as usize],
                    ack: far[ack as usize],
                    payload_len: [0, 1, 1400][payload as usize],
                    window,
                    ttl,
                    header_len: 40,
                    flags: flags | if from_hi { FROM_HI } else { 0 },
                    ..SegmentRecord::default()
                };
                record.put_window_scale(None);
                Segment { key, record, first_bytes: 0 }
            })
            .collect()
    })
}

fn letters(history: &str, wanted: &str) -> String {
    history.chars().filter(|letter| wanted.contains(letter.to_ascii_uppercase())).collect()
}

proptest! {
    #[test]
    fn together_or_one_by_one_makes_no_difference(segments in soup(), headless in 0..200_usize) {
        let extra = |at: usize| Extra {
            bad_checksum: at % 17 == 3,
            payload_cut: at % 5 == 4,
            header: if at == headless { Header::Cut } else { Header::Whole },
        };
        let arrivals: Vec<Arrival> =
            segments.iter().enumerate().map(|(at, &segment)| Arrival { segment, extra: extra(at) }).collect();
        let mut one_by_one = Tracker::new(TrackerConfig::default());
        for arrival in &arrivals {
            one_by_one.observe(&arrival.segment, arrival.extra);
        }
        let mut together = Tracker::new(TrackerConfig::default());
        together.observe_all(&arrivals);
        for tracker in [&mut one_by_one, &mut together] {
            tracker.finish(u64::MAX >> 2);
        }
        prop_assert_eq!(one_by_one.stats(), together.stats());
        prop_assert_eq!(one_by_one.take_closed(), together.take_closed());
    }

    #[test]
    fn every_segment_is_counted_once(segments in soup()) {
        let mut tracker = Tracker::new(TrackerConfig::default());
        for segment in &segments {
            tracker.observe(segment, Extra::default());
        }
        let open = tracker.snapshot(START).len() as u64;
        prop_assert_eq!(open, tracker.stats().tracked);
        tracker.finish(u64::MAX >> 2);
        let records = tracker.take_closed();
        let packets: u64 = records.iter().map(|record| record.from_orig.packets + record.from_resp.packets).sum();
        prop_assert_eq!(packets, segments.len() as u64);
        let rsts: u64 = records.iter().map(Connection::rst_count).sum();
        prop_assert_eq!(rsts, segments.iter().filter(|segment| segment.record.has(RST)).count() as u64);
        prop_assert_eq!(records.len() as u64, tracker.stats().written);
    }

    #[test]
    fn the_same_input_gives_the_same_output(segments in soup(), seed in any::<u64>()) {
        let run = |hash_seed| {
            let mut tracker = Tracker::new(TrackerConfig { hash_seed, ..TrackerConfig::default() });
            for segment in &segments {
                tracker.observe(segment, Extra::default());
            }
            tracker.finish(u64::MAX >> 2);
            tracker.take_closed()
        };
        prop_assert_eq!(run(seed), run(!seed));
    }

    #[test]
    fn a_full_table_never_holds_more_than_allowed(segments in soup()) {
        let mut tracker = Tracker::new(TrackerConfig { max_connections: 2, ..TrackerConfig::default() });
        for segment in &segments {
            tracker.observe(segment, Extra::default());
            prop_assert!(tracker.stats().tracked <= 2);
        }
    }
}

#[test]
fn counters_apart_give_the_same_record() {
    let dialogues = ["S", "Sr", "SR", "ShADadFfA", "ShADaR", "ShADadFar", "ShR", "Shr", "ShAFRf", "hADdFf", "R", "Dar"];
    for letters_played in dialogues {
        let dialogue = Dialogue::new().play(letters_played);
        let whole = dialogue.record_of();
        let mut tracker = Tracker::new(TrackerConfig::default());
        for segment in &dialogue.segments {
            tracker.transition(segment);
            let (lo, hi) = counters_of(&segment.record);
            tracker.count(&segment.key, &lo, &hi, Basis::AllSegments);
        }
        tracker.finish(dialogue.now);
        let apart = tracker.take_closed().remove(0);
        assert_eq!(apart.conn_state, whole.conn_state, "{letters_played}");
        assert_eq!(letters(&apart.history, "SHADFR"), letters(&whole.history, "SHADFR"));
        assert_eq!((apart.from_orig, apart.from_resp), (whole.from_orig, whole.from_resp), "{letters_played}");
        assert_eq!((apart.closing, apart.verdict.cause), (whole.closing, whole.verdict.cause), "{letters_played}");
    }
}

#[test]
fn counters_of_a_whole_epoch_may_come_with_its_first_segment() {
    let dialogue = Dialogue::new().play("ShADadDdFfA");
    let whole = dialogue.record_of();
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut sums = (DirectionCounters::default(), DirectionCounters::default());
    for segment in &dialogue.segments {
        let (lo, hi) = counters_of(&segment.record);
        for (sum, one) in [(&mut sums.0, lo), (&mut sums.1, hi)] {
            if one.packets > 0 {
                sum.packets += 1;
                sum.ip_bytes += one.ip_bytes;
                sum.payload_bytes += one.payload_bytes;
                sum.syn += one.syn;
                sum.syn_ack += one.syn_ack;
                sum.fin += one.fin;
                (sum.seq_end, sum.last_ack, sum.marks, sum.last_ns) =
                    (one.seq_end, one.last_ack, one.marks, one.last_ns);
            }
        }
    }
    for (at, segment) in dialogue.segments.iter().enumerate() {
        tracker.transition(segment);
        if at == 0 {
            tracker.count(&segment.key, &sums.0, &sums.1, Basis::AllSegments);
        }
    }
    tracker.finish(dialogue.now);
    let apart = tracker.take_closed().remove(0);
    assert_eq!((apart.from_orig, apart.from_resp), (whole.from_orig, whole.from_resp));
    assert_eq!((apart.conn_state, apart.history), (whole.conn_state, whole.history));
}

/// Most of the table is established; every further SYN evicts an earlier one, and nothing else.
#[test]
fn a_flood_of_attempts_evicts_attempts_only() {
    let established = 950;
    let mut tracker = Tracker::new(TrackerConfig { max_connections: 1000, ..TrackerConfig::default() });
    let end = |host: u32, port| Endpoint::v4(host.to_be(), port);
    let server = end(0x0a00_0001, 80);
    let mut send = |host: u32, from_client: bool, flags: u16, time_ns: u64| {
        let (from, to) = if from_client { (end(host, 4000), server) } else { (server, end(host, 4000)) };
        let (key, from_hi) = FlowKey::normalised(from, to, 0);
        let flags = flags | if from_hi { FROM_HI } else { 0 };
        let record = SegmentRecord { time_ns, flags, ..SegmentRecord::default() };
        tracker.observe(&Segment { key, record, first_bytes: 0 }, Extra::default());
    };
    for host in 0..established {
        let base = SECOND + u64::from(host);
        send(0x0b00_0000 + host, true, SYN, base);
        send(0x0b00_0000 + host, false, SYN | ACK, base + 1);
        send(0x0b00_0000 + host, true, ACK, base + 2);
    }
    for host in 0..20_000 {
        send(0x0c00_0000 + host, true, SYN, SECOND + 10_000 + u64::from(host));
    }
    let stats = tracker.stats();
    assert_eq!((stats.tracked, stats.evicted_embryonic), (1000, 20_000 - 50));
    assert_eq!((stats.evicted_idle, stats.evicted_closed), (0, 0));
}

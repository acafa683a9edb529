//! Property tests of partitions: one by one, by batches that are cut anywhere, and by any number of threads, the same stream has
//! the same records in the same order, and the same books.

use std::{sync::Mutex, thread};

use probe_ebpf::{
    layout::FROM_HI,
    parse::{IcmpError, IcmpQuote, RstOption},
};
use proptest::{prelude::*, sample::select};

use crate::tracker::tests::*;

/// One frame of a stream.
#[derive(Clone, Debug)]
enum Frame {
    /// A segment, and what it says beyond its header.
    Segment(Arrival, Option<ResetText>),
    /// Without one.
    Other(u64),
    /// One that quotes a segment.
    Icmp(IcmpQuote, u64),
}

/// Clients of a few servers: some of them meet in one partition, some servers are known from connections of another.
fn flow(number: u8, is_back: bool) -> (FlowKey, bool) {
    let client = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, number % 5]), 30_000 + u16::from(number));
    let port = [80, 22, 31_000, 31_001][usize::from(number) % 4];
    let server = Endpoint::v4(u32::from_ne_bytes([10, 0, 1, number % 3]), port);
    let (from, to) = if is_back { (server, client) } else { (client, server) };
    FlowKey::normalised(from, to, 0)
}

/// Nanoseconds between frames: none, a few, and so many that one timer fires, or all.
fn gap() -> impl Strategy<Value = u64> {
    let gaps = [0, 0, 0, 1, 1, 1000, 1000, 50_000_000, 300_000_000, SECOND, 3 * SECOND, 5 * SECOND, 6 * SECOND];
    select(gaps.into_iter().chain([7 * SECOND, 61 * SECOND, 301 * SECOND, 4000 * SECOND]).collect::<Vec<_>>())
}

/// What may be said of a frame: its time, what else is about it, flow, direction.
type Said = (u64, u8, u8, bool);

fn frame((gap_ns, kind, number, is_back): Said, fields: (u16, u32, u32, u32, u64), now: &mut u64) -> Frame {
    let (flags, seq, ack, payload_len, late_ns) = fields;
    *now += gap_ns;
    // Some come late, some before everything else.
    let time_ns = *now - late_ns;
    let (key, from_hi) = flow(number, is_back);
    match kind {
        0..=3 => return Frame::Other(time_ns),
        4..=8 => {
            let error = IcmpError { version: 4, kind: 3, code: kind - 4 };
            let reporter = Endpoint::v4(u32::from_ne_bytes([192, 0, 2, number]), 0);
            return Frame::Icmp(IcmpQuote { error, key, from_hi, seq, reporter }, time_ns);
        }
        _ => {}
    }
    let mut record = SegmentRecord {
        time_ns,
        seq,
        ack,
        payload_len,
        window: 64240,
        ttl: 64,
        header_len: 40,
        flags: flags | if from_hi { FROM_HI } else { 0 },
        ..SegmentRecord::default()
    };
    record.put_window_scale(None);
    let header = match kind {
        9 => Header::Cut,
        10 => Header::Contradictory,
        _ => Header::Whole,
    };
    let extra = Extra { bad_checksum: kind == 11, payload_cut: kind == 12, header };
    let says = flags & RST != 0 && number % 2 == 0;
    let (option, text) = (RstOption::Mptcp(kind), b"No listener".as_slice().into());
    let said = says.then_some(ResetText { key, from_hi, option, text, time_ns });
    Frame::Segment(Arrival { segment: Segment { key, record, first_bytes: 0 }, extra }, said)
}

/// Any frames of a few flows.
fn stream() -> impl Strategy<Value = Vec<Frame>> {
    let usual = select(vec![SYN, SYN | ACK, ACK, ACK, PSH | ACK, PSH | ACK, FIN | ACK, RST, RST | ACK]);
    let flags = prop_oneof![9 => usual, 1 => 0..512_u16];
    let numbers = || select(vec![0, 1, 2, 1000, 1001, 1002, 100_000, u32::MAX - 5]);
    let late_ns = prop_oneof![8 => Just(0), 1 => select(vec![1, SECOND, 20 * SECOND])];
    let said = (gap(), 0..60_u8, 0..24_u8, any::<bool>());
    let fields = (flags, numbers(), numbers(), select(vec![0_u32, 1, 1400]), late_ns);
    proptest::collection::vec((said, fields), 0..150).prop_map(|all| {
        let mut now = START;
        all.into_iter().map(|(said, fields)| frame(said, fields, &mut now)).collect()
    })
}

/// Records in order, and books.
type Output = (Vec<Connection>, TrackerStats);

/// As the stream is at its end.
const END: u64 = START + (1 << 50);

fn one_by_one(mut tracker: Tracker, frames: &[Frame]) -> Output {
    for frame in frames {
        match frame {
            Frame::Segment(Arrival { segment, extra }, said) => {
                tracker.observe(segment, *extra);
                if let Some(ResetText { key, from_hi, option, text, time_ns }) = said {
                    tracker.reset_said(key, *from_hi, *option, text, *time_ns);
                }
            }
            Frame::Other(time_ns) => tracker.advance(*time_ns),
            Frame::Icmp(quote, time_ns) => {
                tracker.advance(*time_ns);
                tracker.unreachable(quote, *time_ns);
            }
        }
    }
    tracker.finish(END);
    (tracker.take_closed(), tracker.stats())
}

fn fill(batch: &mut Batch, frames: &[Frame]) {
    batch.clear();
    for frame in frames {
        match frame {
            Frame::Segment(arrival, said) => {
                batch.push(*arrival);
                if let Some(said) = said {
                    batch.add(Between::Said(Box::new(said.clone())));
                }
            }
            Frame::Other(time_ns) => batch.add(Between::Time(*time_ns)),
            Frame::Icmp(quote, time_ns) => batch.add(Between::Refused(*quote, *time_ns)),
        }
    }
}

/// Cuts them into batches of these sizes, over and over; some are empty.
fn cut<'a>(mut frames: &'a [Frame], sizes: &[usize]) -> Vec<&'a [Frame]> {
    let mut all = vec![];
    for size in sizes.iter().cycle() {
        let (batch, rest) = frames.split_at((*size).min(frames.len()));
        all.push(batch);
        frames = rest;
        if frames.is_empty() {
            return all;
        }
    }
    all
}

fn by_batches(mut tracker: Tracker, frames: &[Frame], sizes: &[usize]) -> Output {
    let (mut batch, mut closed) = (Batch::new(), vec![]);
    for some in cut(frames, sizes) {
        fill(&mut batch, some);
        tracker.take(&mut batch);
        tracker.append_closed(&mut closed);
    }
    let mut left = tracker.left(END);
    while tracker.write_left(&mut left, sizes[0].max(1)) {
        tracker.append_closed(&mut closed);
    }
    tracker.append_closed(&mut closed);
    (closed, tracker.stats())
}

/// A batch on its way, and what has ended with it in each partition.
struct Place {
    batch: Batch,
    outcomes: Vec<Mutex<Outcome>>,
}

/// As `rstprobe read` does it: batches go round, and each thread is as far ahead of what is merged as there are places.
fn by_threads(mut tracker: Tracker, frames: &[Frame], sizes: &[usize], threads: usize) -> Output {
    let (mut counter, count) = tracker.counter();
    let mut shares: Vec<Vec<(usize, Partition)>> = (0..threads).map(|_| Vec::new()).collect();
    for (number, partition) in tracker.split().into_iter().enumerate() {
        shares[number % threads].push((number, partition));
    }
    let place = |_| Place { batch: Batch::new(), outcomes: (0..count).map(|_| Mutex::default()).collect() };
    let mut places: Vec<Place> = (0..PLACES).map(place).collect();
    let mut merged: Vec<Outcome> = (0..count).map(|_| Outcome::default()).collect();
    let mut closed = vec![];
    for some in cut(frames, sizes).chunks(PLACES) {
        for (place, frames) in places.iter_mut().zip(some) {
            fill(&mut place.batch, frames);
            place.batch.seal(&mut counter, count);
        }
        let places = &places[..some.len()];
        thread::scope(|scope| {
            for share in &mut shares {
                scope.spawn(|| places.iter().for_each(|place| work(share, place)));
            }
        });
        for place in places {
            let swap = |merged: &mut [Outcome]| {
                for (there, here) in place.outcomes.iter().zip(merged) {
                    std::mem::swap(&mut *there.lock().expect("no panic"), here);
                }
            };
            swap(&mut merged);
            tracker.merge_outcomes(&mut merged, &mut closed);
            swap(&mut merged);
        }
    }
    let mut partitions: Vec<(usize, Partition)> = shares.into_iter().flatten().collect();
    partitions.sort_unstable_by_key(|(number, _)| *number);
    tracker.join(partitions.into_iter().map(|(_, partition)| partition).collect(), counter);
    let left = tracker.left(END);
    tracker.write_all_left(left, threads, |some| {
        closed.append(some);
        true
    });
    (closed, tracker.stats())
}

fn work(share: &mut [(usize, Partition)], place: &Place) {
    for (number, partition) in share {
        partition.work(&place.batch, *number);
        partition.swap_outcome(&mut place.outcomes[*number].lock().expect("no panic"));
    }
}

const PLACES: usize = 3;

/// A tracker of so many partitions with so few connections each that some are evicted.
fn tracker(partitions: usize, most: usize) -> Tracker {
    Tracker::divided(TrackerConfig::default(), partitions, most)
}

fn segment(number: u8, is_back: bool, flags: u16) -> Frame {
    frame((1, u8::MAX, number, is_back), (flags, 0, 0, 0, 0), &mut START.clone())
}

#[test]
fn what_ends_later_in_a_batch_is_no_news_to_what_ended_before() {
    // That nobody answers says something from when anything was seen to go both ways.
    let frames = [segment(3, false, SYN), segment(8, false, SYN), segment(8, true, SYN | ACK), segment(3, false, SYN)];
    let (closed, _) = one_by_one(tracker(1, 1), &frames);
    assert_eq!(by_threads(tracker(1, 1), &frames, &[frames.len()], 1).0, closed);
    let sure = |at: usize| closed[at].verdict.confidence;
    assert_eq!((closed.len(), sure(0), sure(2)), (3, Confidence::Low, Confidence::Medium), "{closed:#?}");
}

#[test]
fn what_time_ends_at_one_step_is_judged_in_the_order_of_ids() {
    // The second is due a nanosecond before the first.
    let reset = frame((0, u8::MAX, 8, true), (RST, 0, 0, 0, 0), &mut START.clone());
    let frames = [segment(3, false, SYN), segment(8, false, SYN), reset, Frame::Other(START + 5 * SECOND + 1)];
    let (closed, _) = one_by_one(tracker(1, 2), &frames);
    assert_eq!(by_threads(tracker(1, 2), &frames, &[1], 1).0, closed);
    let written: Vec<_> = closed.iter().map(|one| (one.id, one.written, one.verdict.confidence)).collect();
    let both = [(1, Written::AttemptTimeout, Confidence::Low), (2, Written::Closed, closed[1].verdict.confidence)];
    assert_eq!(written, both, "{closed:#?}");
}

proptest! {
    #[test]
    fn any_cut_and_any_number_of_threads_make_no_difference(
        frames in stream(),
        sizes in proptest::collection::vec(0..40_usize, 1..8).prop_filter("none would be taken", |sizes| sizes.iter().any(|size| *size > 0)),
        partitions in select(vec![1, 2, PARTITIONS]),
        most in prop_oneof![1..4_usize, Just(1000)],
    ) {
        let (closed, stats) = one_by_one(tracker(partitions, most), &frames);
        let (batches, batch_stats) = by_batches(tracker(partitions, most), &frames, &sizes);
        prop_assert_eq!(&batches, &closed, "by batches");
        prop_assert_eq!(batch_stats, stats, "by batches");
        for threads in [1, 2, 3] {
            let (shared, shared_stats) = by_threads(tracker(partitions, most), &frames, &sizes, threads);
            prop_assert_eq!(&shared, &closed, "{} threads", threads);
            prop_assert_eq!(shared_stats, stats, "{} threads", threads);
        }
    }
}

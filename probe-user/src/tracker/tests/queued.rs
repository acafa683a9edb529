//! Queued or at once: what live sources say has the same outcome, however much of it is worked off together, and by whoever.

use proptest::prelude::*;

use crate::tracker::{tests::properties::soup, tests::*, *};

/// What a live source says of a segment: it was counted apart, or nobody else has counted it.
fn at_once(tracker: &mut Tracker, segment: &Segment, is_apart: bool) {
    if !is_apart {
        return tracker.observe(segment, Extra::default());
    }
    let (lo, hi) = counters_of(&segment.record);
    tracker.transition(segment);
    tracker.count(&segment.key, &lo, &hi, Basis::AllSegments);
    tracker.settle(&segment.key, &lo, &hi, segment.record.from_hi());
}

fn queued(tracker: &mut Tracker, segment: &Segment, is_apart: bool) {
    if !is_apart {
        return tracker.queue_observe(segment);
    }
    let (lo, hi) = counters_of(&segment.record);
    tracker.queue_transition(segment);
    tracker.queue_count(&segment.key, &lo, &hi, Basis::AllSegments);
    tracker.queue_settle(&segment.key, &lo, &hi, segment.record.from_hi());
}

/// Does what is queued; the last partition first, as a thread may that is faster.
fn work_off(tracker: &mut Tracker, makes_records: bool) {
    let all = tracker.take_queued(makes_records);
    let mut done: Vec<_> = all.into_iter().rev().map(Work::run).collect();
    done.rotate_left(1);
    tracker.return_queued(done);
}

proptest! {
    #[test]
    fn makes_no_difference(segments in soup(), every in 1..20_usize, apart in any::<u8>(), makes_records in any::<bool>()) {
        let is_apart = |segment: &Segment| apart >> (segment.key.words[0] as u32 % 8) & 1 == 1;
        let (mut now, mut later) = (Tracker::new(TrackerConfig::default()), Tracker::new(TrackerConfig::default()));
        for (number, segment) in segments.iter().enumerate() {
            at_once(&mut now, segment, is_apart(segment));
            queued(&mut later, segment, is_apart(segment));
            if number % every == 0 {
                work_off(&mut later, makes_records);
                prop_assert_eq!(later.snapshot(segment.record.time_ns), now.snapshot(segment.record.time_ns));
            }
        }
        work_off(&mut later, makes_records);
        now.finish(u64::MAX >> 2);
        later.finish(u64::MAX >> 2);
        prop_assert_eq!(now.stats(), later.stats());
        prop_assert_eq!(now.take_closed(), later.take_closed());
    }
}

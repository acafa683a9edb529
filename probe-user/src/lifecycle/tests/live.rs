//! The live path against the capture path: the same segments through slots and epochs, as the kernel program and the
//! agent handle them, must give the same records.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use probe_ebpf::layout::{SLOT_LAST_FROM_HI, SLOT_SUPERSEDED, SegmentRecord, Slot};
use probe_ebpf::record::{Journal, Kept, apply, is_relevant, open, supersede, supersedes};
use probe_ebpf::tunnel::NONE;

use super::*;
use crate::source::Domain;
use crate::source::capture::{CaptureFile, Decoder};

const EPOCH: u64 = 100 * MILLISECOND;

/// Number of a slot, how many of its segments came before, one more, and how its payload begins.
type Entry = (usize, u8, SegmentRecord, u64);

/// The journal while the segments of one slot go into it.
struct Of<'a>(usize, &'a mut Vec<Entry>);

impl Journal for Of<'_> {
    fn keep(&mut self, nth: u8, record: &SegmentRecord, first_bytes: u64) -> bool {
        self.1.push((self.0, nth, *record, first_bytes));
        true
    }
}

/// Slots of one epoch in order of first use, the journal, and the log.
#[derive(Default)]
struct Epoch {
    slots: Vec<Slot>,
    journal: Vec<Entry>,
    open: HashMap<FlowKey, usize>,
    log: Vec<Segment>,
}

impl Epoch {
    fn take(&mut self, segment: &Segment) {
        let mut at = self.open.get(&segment.key).copied();
        if let Some(old) = at
            && supersedes(&self.slots[old], &segment.record)
        {
            supersede(&mut self.slots[old], &mut Of(old, &mut self.journal));
            at = None;
        }
        let at = at.unwrap_or_else(|| {
            let mut slot = Slot {
                key: FlowKey::default(),
                first_bytes: 0,
                bucket: 0,
                segment_count: 0,
                state: 0,
                spilled: 0,
                isn: 0,
                syn_ack_isn: 0,
                lo: DirectionCounters::default(),
                hi: DirectionCounters::default(),
            };
            open(&mut slot, &segment.key, 0);
            self.slots.push(slot);
            self.slots.len() - 1
        });
        self.open.insert(segment.key, at);
        let slot = &mut self.slots[at];
        let relevant = is_relevant(slot, &segment.record);
        if apply(slot, segment, relevant, &mut Of(at, &mut self.journal)) == Kept::Spilled {
            self.log.push(*segment);
        }
        assert!(slot.state & SLOT_SUPERSEDED == 0);
    }

    /// What the agent does with it: segments in order of time over all flows; a slot's counters after its first.
    fn drain(&mut self, tracker: &mut Tracker, end: u64) {
        let mut order: BTreeMap<(u64, usize, usize), Segment> = BTreeMap::new();
        for &(at, nth, record, first_bytes) in &self.journal {
            let slot = &self.slots[at];
            order.insert((record.time_ns, at, nth.into()), Segment { key: slot.key, record, first_bytes });
        }
        for (nth, segment) in self.log.iter().enumerate() {
            order.insert((segment.record.time_ns, usize::MAX, nth), *segment);
        }
        for ((_, at, nth), segment) in order {
            tracker.transition(&segment);
            if at != usize::MAX && nth == 0 {
                tracker.count(&segment.key, &self.slots[at].lo, &self.slots[at].hi, Basis::AllSegments);
            }
        }
        for slot in self.slots.iter().filter(|slot| slot.state & SLOT_SUPERSEDED == 0) {
            tracker.settle(&slot.key, &slot.lo, &slot.hi, slot.state & SLOT_LAST_FROM_HI != 0);
        }
        tracker.advance(end);
        *self = Self::default();
    }
}

fn live_records(segments: &[Segment]) -> Vec<Connection> {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let mut epoch = Epoch::default();
    let mut end = 0;
    for segment in segments {
        let time = segment.record.time_ns;
        if time >= end {
            epoch.drain(&mut tracker, end);
            end = (time / EPOCH + 1) * EPOCH;
        }
        epoch.take(segment);
    }
    epoch.drain(&mut tracker, end);
    tracker.finish(end);
    tracker.take_closed()
}

fn capture_records(segments: &[Segment]) -> Vec<Connection> {
    let mut tracker = Tracker::new(TrackerConfig::default());
    for segment in segments {
        tracker.observe(segment, Extra::default());
    }
    tracker.finish(segments.last().map_or(0, |segment| segment.record.time_ns));
    tracker.take_closed()
}

fn letters(history: &str) -> String {
    let mut wanted: Vec<char> = history.chars().filter(|letter| "SHADFRQI^shadfrqi".contains(*letter)).collect();
    wanted.dedup();
    wanted.into_iter().collect()
}

#[test]
fn random_conversations_give_the_same_records_live() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/oracle/zeek-random");
    for name in ["seed101.pcap", "seed102.pcap"] {
        let Ok(mut file) = CaptureFile::open(&root.join(name)) else {
            println!("SKIPPED: {name} is not there");
            continue;
        };
        let mut decoder = Decoder::new(true, NONE, Domain::None);
        let mut segments = Vec::new();
        while let Some(frame) = file.next_frame().expect("a whole capture") {
            segments.extend(decoder.decode(&frame).map(|decoded| decoded.segment));
        }
        let key = |record: &Connection| {
            let mut ends = [record.orig, record.resp];
            ends.sort();
            (record.start_ns, ends)
        };
        let live: HashMap<_, _> = live_records(&segments).into_iter().map(|record| (key(&record), record)).collect();
        let whole = capture_records(&segments);
        let sums = |record: &Connection| {
            [record.from_orig, record.from_resp].map(|side| {
                (side.syn, side.syn_ack, side.fin, side.rst, side.packets, side.ip_bytes, side.payload_bytes)
            })
        };
        let mut differing = [0_usize; 5];
        for record in &whole {
            let Some(other) = live.get(&key(record)) else {
                differing[0] += 1;
                continue;
            };
            differing[1] += usize::from(record.conn_state != other.conn_state);
            differing[2] += usize::from(sums(record) != sums(other));
            differing[3] += usize::from(letters(&record.history) != letters(&other.history));
            differing[4] += usize::from(record.verdict.cause != other.verdict.cause);
        }
        println!("{name}: missing, state, counts, history, cause: {differing:?} of {}", whole.len());
        // Not every segment comes verbatim: which bulk segment was the last before an RST stays unknown, and odd SYNs
        // split records in another place. Both are rare, also among conversations made to be odd.
        let rare = whole.len() / 100;
        assert!(differing.iter().all(|&count| count <= rare), "{name}: {differing:?}");
    }
}

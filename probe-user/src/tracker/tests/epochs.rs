//! Epoch model: what the kernel program and the agent do with segments that are counted: each CPU has its own slots, journal and log; an
//! epoch's are handed to the tracker together, in the order of time (as [`crate::source::live`] drains them).

use std::collections::HashMap;

use probe_ebpf::layout::{SLOT_LAST_FROM_HI, SLOT_SUPERSEDED, SegmentRecord, Slot};
use probe_ebpf::record::{Disposition, Journal, apply, is_relevant, open, supersede, supersedes};

use crate::tracker::tests::*;

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

/// What one CPU has in one epoch: slots in order of first use, the journal, and the log.
#[derive(Default)]
struct Cpu {
    slots: Vec<Slot>,
    journal: Vec<Entry>,
    open: HashMap<FlowKey, usize>,
    log: Vec<Segment>,
}

impl Cpu {
    fn take(&mut self, segment: &Segment) {
        let mut at = self.open.get(&segment.key).copied();
        if let Some(old) = at
            && supersedes(&self.slots[old], &segment.record)
        {
            supersede(&mut self.slots[old], &mut Of(old, &mut self.journal));
            at = None;
        }
        let at = at.unwrap_or_else(|| {
            let mut slot = Slot::default();
            open(&mut slot, &segment.key, 0);
            self.slots.push(slot);
            self.slots.len() - 1
        });
        self.open.insert(segment.key, at);
        let slot = &mut self.slots[at];
        let relevant = is_relevant(slot, &segment.record);
        if apply(slot, segment, relevant, &mut Of(at, &mut self.journal)) == Disposition::Spilled {
            self.log.push(*segment);
        }
        assert!(slot.state & SLOT_SUPERSEDED == 0);
    }

    /// A segment of the journal, and the slot whose counters go with it: those of a slot's first.
    fn segment_of(&self, (at, nth, record, first_bytes): Entry) -> (Segment, Option<&Slot>) {
        let slot = &self.slots[at];
        (Segment { key: slot.key, record, first_bytes }, (nth == 0).then_some(slot))
    }
}

/// Segments in the order of time over all CPUs and flows, equal times in that of arrival; a slot's counters after its first;
/// then what the slots say of their last segments.
fn drain(cpus: &mut [Cpu], tracker: &mut Tracker, end: u64, basis: Basis) {
    let journals = cpus.iter().flat_map(|cpu| cpu.journal.iter().map(|&entry| cpu.segment_of(entry)));
    let logs = cpus.iter().flat_map(|cpu| cpu.log.iter().map(|&segment| (segment, None)));
    let mut all: Vec<(Segment, Option<&Slot>)> = journals.chain(logs).collect();
    all.sort_by_key(|(segment, _)| segment.record.time_ns);
    for (segment, slot) in all {
        tracker.transition(&segment);
        if let Some(slot) = slot {
            tracker.count(&segment.key, &slot.lo, &slot.hi, basis);
        }
    }
    let slots = cpus.iter().flat_map(|cpu| &cpu.slots);
    for slot in slots.filter(|slot| slot.state & SLOT_SUPERSEDED == 0) {
        tracker.settle(&slot.key, &slot.lo, &slot.hi, slot.state & SLOT_LAST_FROM_HI != 0);
    }
    tracker.advance(end);
    cpus.fill_with(Cpu::default);
}

/// Every direction of a connection comes to one CPU: to the same, or to one of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Spread {
    OneCpu,
    CpuForEachDirection,
}

/// Runs segments through epochs into `tracker`, to the end of the last one, which it returns.
pub(crate) fn run(segments: &[Segment], tracker: &mut Tracker, spread: Spread, basis: Basis) -> u64 {
    let mut cpus = [Cpu::default(), Cpu::default()];
    let mut end = 0;
    for segment in segments {
        let time = segment.record.time_ns;
        if time >= end {
            drain(&mut cpus, tracker, end, basis);
            end = (time / EPOCH + 1) * EPOCH;
        }
        let apart = spread == Spread::CpuForEachDirection && segment.record.from_hi();
        cpus[usize::from(apart)].take(segment);
    }
    drain(&mut cpus, tracker, end, basis);
    end
}

//! Admission: decides which new flows get a slot when the table is nearly full, and where segments without one are counted.
//!
//! Room is for conversations: openings (SYN, SYN-ACK, the RST that refuses) get slots up to the mark and half of the log,
//! and of one service no more than its share; data at depth `auto` gets slots up to the mark. The rest belongs to
//! everything else. What gets no room is counted by flag and by service; openings are also kept for a while.

use core::hint::black_box;

use aya_ebpf::{bindings::BPF_F_MMAPABLE, macros::map, maps::Array};
use probe_ebpf::{
    flood,
    layout::{
        DEPTH_AUTO, FlowKey, LOG_RECALLED, OPENING_WAYS, Opening, OpeningSet, SERVICE_PROBES, SERVICE_ROWS, SYN,
        Segment, SegmentRecord, ServiceRow,
    },
};

use crate::{
    entry::DEPTH,
    tables::{HASH_SEED, LOG, LOG_PER_CPU, Refusal, Region, SLOTS_PER_CPU, global, opaque_number},
};

/// Counts by service: `[cpu][epoch][row]`.
#[map]
static SERVICES: Array<ServiceRow> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The way to the latest openings: `[cpu][set]`.
#[map]
static OPENING_SETS: Array<OpeningSet> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The latest openings that got no room: `[cpu][set][way]`.
#[map]
static OPENINGS: Array<Opening> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Sets of openings per CPU, a power of two; 0 when floods are not told from other traffic. Set by the loader.
#[unsafe(no_mangle)]
static OPENING_SETS_PER_CPU: u32 = 0;

/// Openings of one flow that are recalled at once: SYN and SYN-ACK, each twice.
const MOST_RECALLED: u32 = 4;

impl Region {
    /// Whether a slot may be opened for `record`; `indexed` when the index has room for it. When not, says why, and where
    /// the segment is to be charged.
    #[inline(always)]
    pub(crate) fn admits(&mut self, key: &FlowKey, record: &SegmentRecord, indexed: bool) -> bool {
        let next = self.counters.slots;
        let slots = global!(SLOTS_PER_CPU);
        let mut admitted = indexed && next < slots;
        if global!(DEPTH) == DEPTH_AUTO && !record.is_control() && self.is_past_mark() && !self.has_opening() {
            self.refusal = Refusal::Shed;
            admitted = false;
        }
        if global!(OPENING_SETS_PER_CPU) == 0 {
            return admitted;
        }
        let opening = black_box(flood::is_opening(record));
        if opening {
            admitted = admitted && next < mark(slots) && self.counters.opened < self.openings() as u64;
        }
        if opening || !admitted {
            let service_openings = self.service_openings();
            self.row = service_row(self.at, key, record);
            if let Some(row) = &mut self.row
                && opening
            {
                if row.opened >= service_openings {
                    self.refusal = Refusal::Flooded;
                    return false;
                }
                row.opened += 1;
            }
        }
        self.counters.opened += (admitted && opening) as u64;
        admitted
    }

    /// Table or log are as full as data and openings may make them.
    #[inline(always)]
    fn is_past_mark(&self) -> bool {
        self.counters.slots >= mark(global!(SLOTS_PER_CPU)) || self.counters.log_entries >= half(global!(LOG_PER_CPU))
    }

    /// How far `record` may fill the log.
    #[inline(always)]
    pub(crate) fn log_limit(&self, record: &SegmentRecord, size: u32) -> u32 {
        if global!(DEPTH) == DEPTH_AUTO && !record.is_control() {
            return half(size);
        }
        if global!(OPENING_SETS_PER_CPU) != 0 && flood::is_opening(record) {
            let half = half(size);
            let openings = self.openings();
            return if half < openings { half } else { openings };
        }
        size
    }

    /// A segment whose flow has no slot: into the log, or into the counters.
    #[inline(always)]
    pub(crate) fn without_slot(&mut self, segment: &Segment) {
        let flags = segment.record.flags;
        if segment.record.is_control() {
            if self.refusal != Refusal::Flooded && self.log(segment, false) {
                self.counters.logged += 1;
                self.counters.logged_flags.add(flags);
                return;
            }
            if global!(OPENING_SETS_PER_CPU) != 0 && flood::is_opening(&segment.record) {
                self.counters.flooded += 1;
                self.counters.flooded_flags.add(flags);
                if flags & SYN != 0 {
                    self.keep_opening(segment);
                }
            } else {
                self.counters.untracked += 1;
                self.counters.untracked_flags.add(flags);
            }
        } else if self.refusal == Refusal::Shed {
            self.counters.shed += 1;
        } else {
            self.counters.untracked_data += 1;
        }
        if global!(OPENING_SETS_PER_CPU) != 0 {
            self.charge(&segment.record);
        }
    }

    #[inline(always)]
    fn charge(&mut self, record: &SegmentRecord) {
        match &mut self.row {
            Some(row) => flood::charge(row, record.flags),
            None if record.is_control() => self.counters.rowless_flags.add(record.flags),
            None => self.counters.rowless_data += 1,
        }
    }

    #[inline(always)]
    fn opening_set(&self) -> Option<(u32, &'static mut OpeningSet)> {
        let sets = global!(OPENING_SETS_PER_CPU);
        let at = self.cpu * sets + OpeningSet::of(self.hash, sets);
        // SAFETY: as for the books: one writer.
        OPENING_SETS.get_ptr_mut(at).map(|set| (at, unsafe { &mut *set }))
    }

    /// Whether an opening of the flow at hand is probably kept on this CPU: its handshake is being completed.
    #[inline(always)]
    fn has_opening(&self) -> bool {
        if global!(OPENING_SETS_PER_CPU) == 0 {
            return false;
        }
        let Some((_, set)) = self.opening_set() else { return false };
        same_tag(set, OpeningSet::tag(self.hash)) != 0
    }

    /// The flow at hand shows more than an opening: its openings go to the log, where nothing overwrites them.
    #[inline(always)]
    pub(crate) fn recall(&mut self, key: &FlowKey, record: &SegmentRecord) {
        if global!(OPENING_SETS_PER_CPU) == 0
            || self.counters.flooded | self.remembered() == 0
            || flood::is_opening(record)
        {
            return;
        }
        let Some((at, set)) = self.opening_set() else { return };
        let mut ways = same_tag(set, OpeningSet::tag(self.hash));
        let mut left = MOST_RECALLED;
        while ways != 0 && left != 0 {
            self.recall_one(at, lowest(ways), key);
            ways &= ways - 1;
            // Opaque, so that the loop is not unrolled.
            left = opaque_number(left) - 1;
        }
    }

    #[inline(always)]
    fn recall_one(&mut self, set: u32, way: u32, key: &FlowKey) {
        let Some(opening) = OPENINGS.get_ptr_mut(set * OPENING_WAYS as u32 + way) else { return };
        // SAFETY: one writer; the agent reads meanwhile, and believes what has a time.
        let opening = unsafe { &mut *opening };
        let next = self.counters.log_entries;
        let size = global!(LOG_PER_CPU);
        if next >= size || opening.record.time_ns == 0 || !opening.key.same(key) {
            return;
        }
        let Some(entry) = LOG.get_ptr_mut(self.at * size + next) else { return };
        // SAFETY: as for the books: one writer.
        let entry = unsafe { &mut *entry };
        entry.key.copy_from(key);
        entry.record.copy_from(&opening.record);
        entry.first_bytes = 0;
        entry.counted = LOG_RECALLED;
        entry.way = way;
        self.counters.log_entries = next + 1;
        opening.record.time_ns = 0;
    }

    /// Keeps a SYN or SYN-ACK in place of the oldest of its set.
    #[inline(always)]
    fn keep_opening(&mut self, segment: &Segment) {
        let Some((at, set)) = self.opening_set() else { return };
        let way = if set.next < OPENING_WAYS as u32 { set.next } else { 0 };
        let way = opaque_number(way) & 31;
        if way >= OPENING_WAYS as u32 {
            return;
        }
        set.next = way + 1;
        set.tags[way as usize] = OpeningSet::tag(self.hash);
        let Some(opening) = OPENINGS.get_ptr_mut(at * OPENING_WAYS as u32 + way) else { return };
        // SAFETY: one writer; the agent may read meanwhile, whatever order stores have, and believes what its seal fits.
        let opening = unsafe { &mut *opening };
        opening.key.copy_from(&segment.key);
        opening.record.copy_from(&segment.record);
        opening.seal = Opening::seal_of(self.hash, &segment.record);
    }
}

/// Which openings of a set may be of the flow with this tag, a bit for each. Without a branch per way, which the verifier
/// would walk each.
#[inline(always)]
fn same_tag(set: &OpeningSet, tag: u16) -> u32 {
    let (mut found, mut way) = (0_u32, 0_u32);
    while way < OPENING_WAYS as u32 {
        let differs = (set.tags[way as usize] ^ tag) as u32;
        found |= (differs.wrapping_sub(1) >> 31) << way;
        // Opaque, so that the loop is not unrolled.
        way = opaque_number(way) + 1;
    }
    black_box(found)
}

/// Number of the lowest bit that is set. BPF has no instruction for it.
#[inline(always)]
fn lowest(bits: u32) -> u32 {
    let bit = bits & bits.wrapping_neg();
    let part = |mask: u32, shift: u32| ((bit & mask != 0) as u32) << shift;
    part(0xaaaa_aaaa, 0) | part(0xcccc_cccc, 1) | part(0xf0f0_f0f0, 2) | part(0xff00_ff00, 3) | part(0xffff_0000, 4)
}

/// Slots that are for all; the rest is for conversations.
#[inline(always)]
fn mark(slots: u32) -> u32 {
    slots - slots / 4
}

#[inline(always)]
fn half(size: u32) -> u32 {
    size - size / 2
}

/// The row of the service that the segment is charged to: its own, or one in which nothing is counted.
#[inline(always)]
fn service_row(at: u32, key: &FlowKey, record: &SegmentRecord) -> Option<&'static mut ServiceRow> {
    let service = flood::service(key, record);
    let first = flood::first_row(service, global!(HASH_SEED));
    let rows = SERVICE_ROWS as u32;
    let mut free = rows;
    let mut probe = 0;
    while probe < SERVICE_PROBES as u32 {
        let place = (first + probe) & (rows - 1);
        let row = SERVICES.get_ptr_mut(at * rows + place)?;
        // SAFETY: as for the books: one writer.
        let row = unsafe { &mut *row };
        if flood::is_row_of(row, service) {
            return Some(row);
        }
        if free == rows && row.is_replaceable() {
            free = place;
        }
        // Opaque, so that the loop is not unrolled.
        probe = opaque_number(probe) + 1;
    }
    if free == rows {
        return None;
    }
    let row = SERVICES.get_ptr_mut(at * rows + free)?;
    // SAFETY: as for the books: one writer.
    let row = unsafe { &mut *row };
    flood::take_row(row, service);
    Some(row)
}

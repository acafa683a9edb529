//! Flow tables: the mapped arrays, and the look-up of a flow's slot in them.
//!
//! Every map is one mmapable array of N CPUs times two epochs; `Region` is the part that this CPU may write in the
//! current epoch. Slots are handed out in order (`0..slots`); a hashed index of one-cache-line buckets leads to them.

use core::ptr::{read_volatile, write_volatile};

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps,
    helpers::{bpf_get_smp_processor_id, bpf_ktime_get_ns},
    macros::{btf_map, map},
    maps::{Array, PerCpuArray},
};
use probe_ebpf::{
    layout::{
        ABI_VERSION, BUCKET_ENTRIES, Bucket, Control, CpuCounters, ENTRY_SLOT_BITS, ENTRY_SLOT_MASK, EpochCounters,
        FlowKey, JournalEntry, LogEntry, SLOT_SEGMENTS, SLOT_SUPERSEDED, Segment, SegmentRecord, ServiceRow, Slot,
    },
    parse::{IcmpQuote, Located},
    record::{self, Journal},
    tunnel::Walk,
};

/// Agent to program: epoch and coarse clock.
#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The books: `[cpu]`.
#[map]
static CPU_COUNTERS: Array<CpuCounters> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The index: `[cpu][epoch][bucket]`.
#[map]
static INDEX: Array<Bucket> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The slots: `[cpu][epoch][slot]`.
#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The journal: `[cpu][epoch][entry]`, room for [`SLOT_SEGMENTS`] of every slot.
#[map]
static JOURNAL: Array<JournalEntry> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The log: `[cpu][epoch][entry]`.
#[map]
pub(crate) static LOG: Array<LogEntry> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Working memory of one program run; see `entry::run` for why it is not on the stack.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
/// Never read here. An update of a map of maps waits for an RCU grace period in the kernel (`maybe_wait_bpf_programs`),
/// which is how the agent knows that nobody writes the old epoch any more.
#[btf_map]
static GRACE: btf_maps::ArrayOfMaps<btf_maps::Array<u32, 1>, 1> = btf_maps::ArrayOfMaps::new();

// Set by the loader; read-only data that the verifier folds into the program.
#[unsafe(no_mangle)]
static BUCKETS_PER_CPU: u32 = 1;
#[unsafe(no_mangle)]
pub(crate) static SLOTS_PER_CPU: u32 = 1;
#[unsafe(no_mangle)]
pub(crate) static LOG_PER_CPU: u32 = 1;
#[unsafe(no_mangle)]
pub(crate) static HASH_SEED: u64 = 0;
/// Turns of an idle loop between reading the epoch and using it. For tests of the grace period; the verifier removes a
/// loop of 0 turns.
#[unsafe(no_mangle)]
static LINGER: u32 = 0;
/// The layout this object was built with, in its name: a loader of another layout does not find its own and refuses.
#[unsafe(no_mangle)]
#[used]
static RSTPROBE_ABI_6: u32 = ABI_VERSION;

const _: () = assert!(ABI_VERSION == 6, "rename RSTPROBE_ABI_6 with the layout version");

macro_rules! global {
    ($name:ident) => {
        // SAFETY: a static of this object; volatile because the loader replaces its value in the section.
        unsafe { core::ptr::read_volatile(&raw const $name) }
    };
}
pub(crate) use global;

/// The same reference, of which the compiler knows nothing any more, neither where it points nor what lies there. As
/// [`core::hint::black_box`], but without the way through memory, which the loads that follow would wait for.
#[inline(always)]
pub(crate) fn opaque<T>(it: &mut T) -> &mut T {
    // SAFETY: the pointer is the same afterwards.
    unsafe { &mut *opaque_at(it) }
}

/// The same of a pointer.
#[inline(always)]
pub(crate) fn opaque_at<T>(it: *mut T) -> *mut T {
    let mut at = it;
    // An instruction, because the verifier refuses line information without one.
    // SAFETY: changes nothing.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) at, options(nostack, preserves_flags)) };
    at
}

/// The same number, of which the compiler knows nothing any more: a loop that counts with it is not unrolled, and a bound
/// that follows is checked and used in this very register. The verifier still knows what it is.
#[inline(always)]
pub(crate) fn opaque_number(number: u32) -> u32 {
    let mut it = u64::from(number);
    // SAFETY: changes nothing.
    unsafe { core::arch::asm!("{0} = {0}", inout(reg) it, options(nomem, nostack, preserves_flags)) };
    it as u32
}

/// Where the segment at hand lies while it is being parsed and recorded.
#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct Scratch {
    /// Its headers.
    pub(crate) located: Located,
    /// The way to them through encapsulations.
    pub(crate) walk: Walk,
    /// Its fields.
    pub(crate) segment: Segment,
    /// What the frame is: [`SEGMENT`], [`SEGMENT_AND_MORE`], either of them with [`CROPPED`], [`PASSED_BY`], or the reason
    /// for which it is rejected.
    pub(crate) found: u32,
    /// Bytes of its frame's first buffer.
    #[cfg(feature = "trace")]
    pub(crate) frame_len: u32,
}

/// [`Scratch::found`]: a segment to be recorded.
pub(crate) const SEGMENT: u32 = 1 << 8;
/// [`Scratch::found`]: the same, and `parse::rest` has something to read.
pub(crate) const SEGMENT_AND_MORE: u32 = SEGMENT + 1;
/// [`Scratch::found`]: a data segment that is not recorded at this depth.
pub(crate) const PASSED_BY: u32 = SEGMENT + 2;
/// Bit of [`Scratch::found`]: the segment's frame ends before its packet does.
pub(crate) const CROPPED: u32 = 1 << 9;

/// Whether [`Scratch::found`] is a segment to be recorded.
#[inline(always)]
pub(crate) fn is_segment(found: u32) -> bool {
    matches!(found & !CROPPED, SEGMENT | SEGMENT_AND_MORE)
}

impl Scratch {
    /// Stores `segment`, its record in whole words (see [`SegmentRecord::words`]).
    #[inline(always)]
    pub(crate) fn put(&mut self, segment: &Segment, more: bool) {
        self.found = if more { SEGMENT_AND_MORE } else { SEGMENT };
        self.segment.key.copy_from(&segment.key);
        self.segment.first_bytes = segment.first_bytes;
        // SAFETY: the record is 32 bytes of integers without padding, aligned as a `u64` is.
        unsafe { *(&raw mut self.segment.record).cast::<[u64; 4]>() = segment.record.words() };
    }
}

/// This CPU's working memory.
#[inline(always)]
pub(crate) fn scratch() -> Option<&'static mut Scratch> {
    // SAFETY: per CPU, and bottom halves are off: nobody else uses it until the program returns.
    SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
}

/// What this CPU may write in this epoch.
pub(crate) struct Region {
    /// Its books.
    pub(crate) counters: &'static mut EpochCounters,
    /// What the agent tells; the less of it is read, the less there is to be kept in registers.
    control: *const Control,
    /// The epoch.
    #[cfg(feature = "trace")]
    pub(crate) epoch: u64,
    /// `2 * cpu + epoch bit`.
    pub(crate) at: u32,
    /// The running CPU.
    pub(crate) cpu: u32,
    /// Hash of the flow at hand.
    pub(crate) hash: u64,
    /// Where the index leads to it.
    bucket: Option<*mut Bucket>,
    /// Number of the slot at hand.
    pub(crate) slot: u32,
    /// Why [`Region::slot`] had none.
    pub(crate) refusal: Refusal,
    /// Where a segment without slot is charged, if its service has a row.
    pub(crate) row: Option<&'static mut ServiceRow>,
}

/// Why there is no slot for a segment.
#[derive(Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Refusal {
    /// Nothing is free.
    Full,
    /// It opens one flow too many.
    Flooded,
    /// It is a data segment, and what is free is for others.
    Shed,
}

/// The region of the running CPU, or `None` when the agent is not ready or the maps were sized for fewer CPUs.
#[inline(always)]
pub(crate) fn region() -> Option<Region> {
    let control = CONTROL.get_ptr(0)?;
    // SAFETY: a map value of this type; the agent writes it through its mapping, hence volatile.
    let (epoch, armed) =
        unsafe { (read_volatile(&raw const (*control).epoch), read_volatile(&raw const (*control).armed)) };
    if armed == 0 {
        return None;
    }
    for turn in 0..global!(LINGER) {
        opaque_number(turn);
    }
    // SAFETY: no precondition.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let block = CPU_COUNTERS.get_ptr_mut(cpu)?;
    let half = epoch as usize & 1;
    // SAFETY: bottom halves are off, so this CPU's region has no other writer until the program returns; the agent
    // reads it only after an epoch flip and a grace period.
    let counters = unsafe { &mut (*block).counters[half] };
    Some(Region {
        counters,
        control,
        #[cfg(feature = "trace")]
        epoch,
        at: 2 * cpu + half as u32,
        cpu,
        hash: 0,
        bucket: None,
        slot: 0,
        refusal: Refusal::Full,
        row: None,
    })
}

impl Region {
    /// The agent's last tick.
    #[inline(always)]
    pub(crate) fn coarse_ns(&self) -> u64 {
        // SAFETY: a map value of this type; the agent writes it through its mapping, hence volatile.
        unsafe { read_volatile(&raw const (*self.control).now_ns) }
    }

    /// [`Control::service_openings`].
    #[inline(always)]
    pub(crate) fn service_openings(&self) -> u32 {
        // SAFETY: as above.
        unsafe { read_volatile(&raw const (*self.control).service_openings) }
    }

    /// [`Control::openings`].
    #[inline(always)]
    pub(crate) fn openings(&self) -> u32 {
        // SAFETY: as above.
        unsafe { read_volatile(&raw const (*self.control).openings) }
    }

    /// [`Control::remembered`].
    #[inline(always)]
    pub(crate) fn remembered(&self) -> u64 {
        // SAFETY: as above.
        unsafe { read_volatile(&raw const (*self.control).remembered) }
    }

    /// Number of the bucket in which the flow at hand is.
    #[inline(always)]
    fn bucket_at(&self) -> u32 {
        self.hash as u32 & (global!(BUCKETS_PER_CPU) - 1)
    }

    /// Finds where the index would have the flow of `key`, as early as can be. With `touch` its cache line is asked for
    /// by a store: unlike a load, that comes in beside a reading of the clock, which waits for all loads before it.
    #[inline(always)]
    pub(crate) fn aim(&mut self, key: &FlowKey, touch: bool) {
        self.hash = key.hash(global!(HASH_SEED));
        self.bucket = INDEX.get_ptr_mut(self.at * global!(BUCKETS_PER_CPU) + self.bucket_at());
        if let Some(bucket) = self.bucket
            && touch
        {
            // SAFETY: a map value of this type, and one writer, as for the books; volatile, because nobody reads it.
            unsafe { write_volatile(&raw mut (*bucket).touched, 1) };
        }
    }

    /// The slot that takes `record`: the flow's own, or a newly opened one. `None` when there is no room. [`Self::aim`]
    /// has been told of the flow.
    #[inline(always)]
    pub(crate) fn slot(&mut self, key: &FlowKey, record: &SegmentRecord) -> Option<&'static mut Slot> {
        let tag = (self.hash >> 32) as u32 & !ENTRY_SLOT_MASK;
        // SAFETY: as for the books: one writer.
        let bucket = unsafe { &mut *self.bucket? };
        let first = self.at * global!(SLOTS_PER_CPU);
        let (mut free, mut old) = (BUCKET_ENTRIES as u32, 0);
        let home = (self.hash >> 24) as u32;
        for turn in 0..=BUCKET_ENTRIES as u32 {
            // A sum, which verifiers before 6.9 keep a bound of; of an exclusive or they know nothing.
            let position = opaque_number(home.wrapping_add(turn)) & BUCKET_ENTRIES as u32;
            // What is beyond the last entry is none.
            let Some(&entry) = bucket.entries.get(position as usize) else { continue };
            if entry == 0 {
                free = position;
                break;
            }
            if entry & !ENTRY_SLOT_MASK != tag {
                continue;
            }
            let number = (entry & ENTRY_SLOT_MASK) - 1;
            let slot = SLOTS.get_ptr_mut(first + number)?;
            // SAFETY: as for the books: one writer.
            let slot = unsafe { &mut *slot };
            if !slot.key.same(key) || slot.state & SLOT_SUPERSEDED != 0 {
                continue;
            }
            if !record::supersedes(slot, record) {
                self.slot = number;
                return Some(slot);
            }
            // The new slot takes the old one's place in the index: reconnects cannot fill a bucket.
            free = position;
            old = entry & ENTRY_SLOT_MASK;
            break;
        }
        // One state for the verifier, whatever the way here.
        let [free, old] = self.aside([free, old]);
        self.counters.bucket_full += (free >= BUCKET_ENTRIES as u32) as u64;
        let admitted = self.admits(key, record, free < BUCKET_ENTRIES as u32);
        let [admitted, refusal] = self.aside([admitted as u32, self.refusal as u32]);
        // A flood must not end what is established; otherwise the new connection must not be counted in the old one's slot.
        if old != 0 && refusal != Refusal::Flooded as u32 {
            let slot = SLOTS.get_ptr_mut(first + old - 1)?;
            // SAFETY: as for the books: one writer.
            let slot = unsafe { &mut *slot };
            self.slot = old - 1;
            record::supersede(slot, self);
        }
        if admitted == 0 {
            return None;
        }
        self.row = None;
        self.recall(key, record);
        // Checked and used in one register, after the look-up: verifiers before 6.12 do not connect it with its copies.
        let entry = bucket.entries.get_mut(opaque_number(free) as usize)?;
        self.open(entry, first, tag, key, self.bucket_at())
    }

    /// The same numbers, through map memory and behind the compiler's back: the verifier forgets what they are.
    #[inline(always)]
    fn aside(&mut self, [a, b]: [u32; 2]) -> [u32; 2] {
        let counters = &mut *self.counters;
        counters.aside[0] = a;
        counters.aside[1] = b;
        let counters = opaque(counters);
        [counters.aside[0], counters.aside[1]]
    }

    #[inline(always)]
    fn open(&mut self, entry: &mut u32, first: u32, tag: u32, key: &FlowKey, bucket: u32) -> Option<&'static mut Slot> {
        let next = self.counters.slots;
        let slot = SLOTS.get_ptr_mut(first + next)?;
        // SAFETY: as for the books: one writer.
        let slot = unsafe { &mut *slot };
        self.counters.slots = next + 1;
        self.slot = next;
        *entry = (next + 1) | tag;
        record::open(slot, key, bucket);
        Some(slot)
    }

    /// Appends to the log. False when it is full, as far as this segment may fill it.
    #[inline(always)]
    pub(crate) fn log(&mut self, segment: &Segment, counted: bool) -> bool {
        let next = self.counters.log_entries;
        let size = global!(LOG_PER_CPU);
        if next >= self.log_limit(&segment.record, size) {
            return false;
        }
        let Some(entry) = LOG.get_ptr_mut(self.at * size + next) else { return false };
        // SAFETY: as for the books: one writer.
        let entry = unsafe { &mut *entry };
        entry.key.copy_from(&segment.key);
        entry.record.copy_from(&segment.record);
        entry.first_bytes = segment.first_bytes;
        entry.counted = counted as u32;
        entry.way = 0;
        self.counters.log_entries = next + 1;
        true
    }

    /// Appends an ICMP error to the log, half of which is for segments alone. Without room it is only counted.
    #[inline(always)]
    pub(crate) fn log_icmp(&mut self, quote: &IcmpQuote) {
        let next = self.counters.log_entries;
        let size = global!(LOG_PER_CPU);
        if next >= size - size / 2 {
            return;
        }
        let Some(entry) = LOG.get_ptr_mut(self.at * size + next) else { return };
        // SAFETY: no precondition.
        let now = unsafe { bpf_ktime_get_ns() };
        // SAFETY: as for the books: one writer.
        quote.put_into(unsafe { &mut *entry }, now);
        self.counters.log_entries = next + 1;
    }
}

impl Journal for Region {
    #[inline(always)]
    fn keep(&mut self, nth: u8, record: &SegmentRecord, first_bytes: u64) -> bool {
        let size = global!(SLOTS_PER_CPU) * SLOT_SEGMENTS as u32;
        let next = self.counters.journal_entries;
        // Never: there is room for as many of every slot as a slot keeps.
        if next >= size {
            return false;
        }
        let Some(entry) = JOURNAL.get_ptr_mut(self.at * size + next) else { return false };
        // SAFETY: as for the books: one writer.
        let entry = unsafe { &mut *entry };
        entry.record.copy_from(record);
        entry.first_bytes = first_bytes;
        entry.slot = self.slot;
        entry.nth = nth as u32;
        self.counters.journal_entries = next + 1;
        true
    }
}

const _: () = assert!(ENTRY_SLOT_BITS < 32);

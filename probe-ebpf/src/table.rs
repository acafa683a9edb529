//! The maps, and how a flow finds its slot in them.
//!
//! Every map is one mmapable array of two epochs times N CPUs; `Region` is the part that this CPU may write in the
//! current epoch. Slots are handed out in order (`0..slots`); a hashed index of one-cache-line buckets leads to them.

use core::ptr::read_volatile;

use aya_ebpf::{
    bindings::BPF_F_MMAPABLE,
    btf_maps,
    helpers::bpf_get_smp_processor_id,
    macros::{btf_map, map},
    maps::{Array, PerCpuArray},
};
use probe_ebpf::{
    layout::{
        ABI_VERSION, BUCKET_ENTRIES, Bucket, Control, CpuEpoch, ENTRY_SLOT_BITS, ENTRY_SLOT_MASK, FlowKey, LogEntry,
        SLOT_SUPERSEDED, Segment, SegmentRecord, Slot,
    },
    parse::Located,
    record,
    tunnel::Walk,
};

/// Agent to program: epoch and coarse clock.
#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The books: `[epoch][cpu]`.
#[map]
static BOOKS: Array<CpuEpoch> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The index: `[epoch][cpu][bucket]`.
#[map]
static INDEX: Array<Bucket> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The slots: `[epoch][cpu][slot]`.
#[map]
static SLOTS: Array<Slot> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The log: `[epoch][cpu][entry]`.
#[map]
static LOG: Array<LogEntry> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// Working memory of one program run; see `program::tcp` for why it is not on the stack.
#[map]
static SCRATCH: PerCpuArray<Scratch> = PerCpuArray::with_max_entries(1, 0);
/// Never read here. An update of a map of maps waits for an RCU grace period in the kernel (`maybe_wait_bpf_programs`),
/// which is how the agent knows that nobody writes the old epoch any more.
#[btf_map]
static GRACE: btf_maps::ArrayOfMaps<btf_maps::Array<u32, 1>, 1> = btf_maps::ArrayOfMaps::new();

// Set by the loader; read-only data that the verifier folds into the program.
#[unsafe(no_mangle)]
static CPUS: u32 = 1;
#[unsafe(no_mangle)]
static BUCKETS_PER_CPU: u32 = 1;
#[unsafe(no_mangle)]
static SLOTS_PER_CPU: u32 = 1;
#[unsafe(no_mangle)]
static LOG_PER_CPU: u32 = 1;
#[unsafe(no_mangle)]
static HASH_SEED: u64 = 0;
/// The layout this object was built with, in its name: a loader of another layout does not find its own and refuses.
#[unsafe(no_mangle)]
#[used]
static RSTPROBE_ABI_1: u32 = ABI_VERSION;

const _: () = assert!(ABI_VERSION == 1, "rename RSTPROBE_ABI_1 with the layout version");

macro_rules! global {
    ($name:ident) => {
        // SAFETY: a static of this object; volatile because the loader replaces its value in the section.
        unsafe { core::ptr::read_volatile(&raw const $name) }
    };
}
pub(crate) use global;

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
    /// 1 when `parse::rest` has something to read.
    pub(crate) more: u32,
}

impl Scratch {
    /// Stores `segment`, its record in whole words (see [`SegmentRecord::words`]).
    #[inline(always)]
    pub(crate) fn put(&mut self, segment: &Segment, more: bool) {
        self.more = more as u32;
        self.segment.key.copy_from(&segment.key);
        self.segment.rst_note = segment.rst_note;
        // SAFETY: the record is 32 bytes of integers without padding, aligned as a `u64` is.
        unsafe { *(&raw mut self.segment.record).cast::<[u64; 4]>() = segment.record.words() };
    }
}

/// What this CPU may write in this epoch.
pub(crate) struct Region {
    /// Its books.
    pub(crate) books: &'static mut CpuEpoch,
    /// The agent's last tick.
    pub(crate) coarse_ns: u64,
    /// `epoch bit * CPUS + cpu`.
    at: u32,
}

/// The region of the running CPU, or `None` when the agent is not ready or the maps were sized for fewer CPUs.
#[inline(always)]
pub(crate) fn region() -> Option<Region> {
    let control = CONTROL.get_ptr(0)?;
    // SAFETY: a map value of this type; the agent writes it through its mapping, hence volatile.
    let (epoch, coarse_ns, armed) = unsafe {
        (
            read_volatile(&raw const (*control).epoch),
            read_volatile(&raw const (*control).now_ns),
            read_volatile(&raw const (*control).armed),
        )
    };
    if armed == 0 {
        return None;
    }
    // SAFETY: no precondition.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let cpus = global!(CPUS);
    if cpu >= cpus {
        return None;
    }
    let at = (epoch as u32 & 1) * cpus + cpu;
    let books = BOOKS.get_ptr_mut(at)?;
    // SAFETY: bottom halves are off, so this CPU's region has no other writer until the program returns; the agent
    // reads it only after an epoch flip and a grace period.
    Some(Region { books: unsafe { &mut *books }, coarse_ns, at })
}

impl Region {
    /// This CPU's working memory.
    #[inline(always)]
    pub(crate) fn scratch(&self) -> Option<&'static mut Scratch> {
        // SAFETY: per CPU, and bottom halves are off: nobody else uses it until the program returns.
        SCRATCH.get_ptr_mut(0).map(|scratch| unsafe { &mut *scratch })
    }

    /// The slot that takes `record`: the flow's own, or a newly opened one. `None` when there is no room.
    #[inline(always)]
    pub(crate) fn slot(&mut self, key: &FlowKey, record: &SegmentRecord) -> Option<&'static mut Slot> {
        let hash = key.hash(global!(HASH_SEED));
        let buckets = global!(BUCKETS_PER_CPU);
        let bucket_at = hash as u32 & (buckets - 1);
        let tag = (hash >> 32) as u32 & !ENTRY_SLOT_MASK;
        let bucket = INDEX.get_ptr_mut(self.at * buckets + bucket_at)?;
        // SAFETY: as for the books: one writer.
        let bucket = unsafe { &mut *bucket };
        let slots = global!(SLOTS_PER_CPU);
        let first = self.at * slots;
        for position in 0..BUCKET_ENTRIES {
            let entry = bucket.entries[position];
            if entry == 0 {
                return self.open(&mut bucket.entries[position], first, tag, key, bucket_at);
            }
            if entry & !ENTRY_SLOT_MASK != tag {
                continue;
            }
            let slot = SLOTS.get_ptr_mut(first + (entry & ENTRY_SLOT_MASK) - 1)?;
            // SAFETY: as for the books: one writer.
            let slot = unsafe { &mut *slot };
            if !slot.key.same(key) || slot.state & SLOT_SUPERSEDED != 0 {
                continue;
            }
            if record::supersedes(slot, record) {
                record::supersede(slot);
                // The new slot takes the old one's place in the index: reconnects cannot fill a bucket.
                return self.open(&mut bucket.entries[position], first, tag, key, bucket_at);
            }
            return Some(slot);
        }
        self.books.bucket_full += 1;
        None
    }

    #[inline(always)]
    fn open(&mut self, entry: &mut u32, first: u32, tag: u32, key: &FlowKey, bucket: u32) -> Option<&'static mut Slot> {
        let next = self.books.slots;
        if next >= global!(SLOTS_PER_CPU) {
            return None;
        }
        let slot = SLOTS.get_ptr_mut(first + next)?;
        // SAFETY: as for the books: one writer.
        let slot = unsafe { &mut *slot };
        self.books.slots = next + 1;
        *entry = (next + 1) | tag;
        record::open(slot, key, bucket);
        Some(slot)
    }

    /// Appends to the log. False when it is full.
    #[inline(always)]
    pub(crate) fn log(&mut self, segment: &Segment, counted: bool) -> bool {
        let next = self.books.log_entries;
        let size = global!(LOG_PER_CPU);
        if next >= size {
            return false;
        }
        let Some(entry) = LOG.get_ptr_mut(self.at * size + next) else { return false };
        // SAFETY: as for the books: one writer.
        let entry = unsafe { &mut *entry };
        entry.key.copy_from(&segment.key);
        entry.record.copy_from(&segment.record);
        entry.rst_note = segment.rst_note;
        entry.counted = counted as u32;
        entry.pad = 0;
        self.books.log_entries = next + 1;
        true
    }
}

const _: () = assert!(ENTRY_SLOT_BITS < 32);

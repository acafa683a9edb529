//! Benchmark baseline: a conventional BPF hash map with one entry per 5-tuple, looked up or inserted for every counted
//! segment. Same parser, same fields, same clock as the real program; only the table differs. Without atomics: a real one
//! would need them, or a table per CPU.

use core::hint::black_box;

use aya_ebpf::{
    bindings::{BPF_NOEXIST, xdp_action},
    helpers::bpf_ktime_get_ns,
    macros::{map, xdp},
    maps::{HashMap, LruHashMap, PerCpuArray},
    programs::XdpContext,
};
use probe_ebpf::{
    layout::{DEPTH_FULL, FlowKey, SLOT_SEGMENTS, Segment, SegmentRecord, Slot},
    parse::{self, Located, Reader, Reject},
    record,
};

/// The loader sets the size of the one that is measured, and 1 for the other.
#[map]
static FLOWS: HashMap<FlowKey, Flow> = HashMap::with_max_entries(1, 0);
#[map]
static FLOWS_LRU: LruHashMap<FlowKey, Flow> = LruHashMap::with_max_entries(1, 0);
#[map]
static WORK: PerCpuArray<Work> = PerCpuArray::with_max_entries(1, 0);
#[map]
static COUNTS: PerCpuArray<Counts> = PerCpuArray::with_max_entries(1, 0);

// Set by the loader.
#[unsafe(no_mangle)]
static DEPTH: u32 = DEPTH_FULL;

/// What is kept of one flow: without an order of all flows, its first segments lie with its counters.
#[repr(C)]
#[derive(Clone, Copy)]
struct Flow {
    slot: Slot,
    segments: [SegmentRecord; SLOT_SEGMENTS],
}

/// Working memory, as the real program has it.
#[repr(C)]
#[derive(Clone, Copy)]
struct Work {
    located: Located,
    segment: Segment,
    /// What is inserted.
    fresh: Flow,
}

/// What is counted of every frame.
#[repr(C)]
#[derive(Clone, Copy)]
struct Counts {
    frames: u64,
    bytes: u64,
    tcp: u64,
    passed_by: u64,
    /// No room, or the kernel refused for another reason.
    failed: u64,
    rejected: [u64; Reject::ALL.len()],
}

#[xdp(frags)]
fn conventional_hash(ctx: XdpContext) -> u32 {
    run(&ctx, |key| FLOWS.get_ptr_mut(key), |key, flow| FLOWS.insert(key, flow, BPF_NOEXIST as u64).is_ok());
    xdp_action::XDP_DROP
}

#[xdp(frags)]
fn conventional_lru(ctx: XdpContext) -> u32 {
    run(&ctx, |key| FLOWS_LRU.get_ptr_mut(key), |key, flow| FLOWS_LRU.insert(key, flow, BPF_NOEXIST as u64).is_ok());
    xdp_action::XDP_DROP
}

struct Frame {
    start: usize,
    end: usize,
}

impl Reader for Frame {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        if offset > 0x3ffe {
            return None;
        }
        let at = self.start + offset;
        if at + N > self.end {
            return None;
        }
        // SAFETY: within the packet, as just checked.
        Some(unsafe { &*(at as *const [u8; N]) })
    }

    #[inline(always)]
    fn wire_len(&self) -> usize {
        self.end - self.start
    }
}

#[inline(always)]
fn run(
    ctx: &XdpContext,
    find: impl Fn(&FlowKey) -> Option<*mut Flow>,
    insert: impl Fn(&FlowKey, &Flow) -> bool,
) -> Option<()> {
    let frame = Frame { start: ctx.data(), end: ctx.data_end() };
    // SAFETY: per CPU, and bottom halves are off: nobody else uses it until the program returns.
    let counts = unsafe { &mut *COUNTS.get_ptr_mut(0)? };
    counts.frames += 1;
    counts.bytes += (frame.end - frame.start) as u64;
    // SAFETY: as above.
    let work = unsafe { &mut *WORK.get_ptr_mut(0)? };
    match parse::locate(&frame) {
        Ok(located) => work.located = located,
        Err(reject) => {
            counts.rejected[reject as usize] += 1;
            return None;
        }
    }
    counts.tcp += 1;
    // SAFETY: a static of this object; volatile because the loader replaces its value.
    let depth = unsafe { core::ptr::read_volatile(&raw const DEPTH) };
    if !work.located.is_control() && depth != DEPTH_FULL {
        counts.passed_by += 1;
        return None;
    }
    // As in the real program: the verifier forgets by which path it came.
    let work = black_box(work);
    let (segment, more) = parse::head(&frame, &work.located, 0, 0).ok()?;
    work.segment.key.copy_from(&segment.key);
    work.segment.first_bytes = segment.first_bytes;
    // SAFETY: the record is 32 bytes of integers without padding, aligned as a `u64` is.
    unsafe { *(&raw mut work.segment.record).cast::<[u64; 4]>() = segment.record.words() };
    let work = black_box(work);
    if more {
        parse::rest(&frame, &work.located, &mut work.segment);
    }
    let work = black_box(work);
    if work.segment.record.is_control() {
        // SAFETY: no precondition.
        work.segment.record.time_ns = unsafe { bpf_ktime_get_ns() };
    }
    if count(work, find, insert).is_none() {
        counts.failed += 1;
    }
    Some(())
}

#[inline(always)]
fn count(
    work: &mut Work,
    find: impl Fn(&FlowKey) -> Option<*mut Flow>,
    insert: impl Fn(&FlowKey, &Flow) -> bool,
) -> Option<()> {
    let flow = match find(&work.segment.key) {
        Some(flow) => flow,
        None => {
            record::open(&mut work.fresh.slot, &work.segment.key, 0);
            if !insert(&work.segment.key, &work.fresh) {
                return None;
            }
            find(&work.segment.key)?
        }
    };
    // SAFETY: a map value of this type.
    let flow = unsafe { &mut *flow };
    let relevant = record::is_relevant(&flow.slot, &work.segment.record);
    if relevant && !work.segment.record.is_control() {
        // SAFETY: no precondition.
        work.segment.record.time_ns = unsafe { bpf_ktime_get_ns() };
    }
    // What does not fit is lost here: there is no log.
    record::apply(&mut flow.slot, &work.segment, relevant, &mut flow.segments);
    Some(())
}

//! Trace (feature `trace`): writes one line through aya-log for a frame that is rejected or that finds no room.
//!
//! The verifier walks what follows the parser once for nearly each of the many ways through the headers, and whatever
//! is added there, or kept in registers until the end, multiplies. So the programs only call, as their last act, a
//! function with global linkage that takes one number: the verifier checks such a function once and by itself (Linux
//! 5.6), and takes a call of it for one instruction. It finds out from the books what has just been counted.
//!
//! Told is the first frame of each kind per CPU and epoch: a flood of such frames makes a few lines per second, and how
//! many there were is in the books.

use core::ptr::read_volatile;

use aya_ebpf::{helpers::bpf_get_smp_processor_id, macros::map, maps::PerCpuArray};
use probe_ebpf::{layout::EpochCounters, parse::Reject};

use crate::tables::{self, Scratch};

/// Kinds, by number: rejects as in [`Reject`]; then, as in the books, a SYN, FIN or RST that found room neither in a slot
/// nor in the log, another segment that found no slot, an opening that a flood had no room for, and a segment left out
/// under pressure.
const UNTRACKED: usize = Reject::ALL.len();
const UNTRACKED_DATA: usize = UNTRACKED + 1;
const FLOODED: usize = UNTRACKED_DATA + 1;
const SHED: usize = FLOODED + 1;
const KINDS: usize = SHED + 1;

/// Names are padded to this with spaces, which user space takes off: aya-log wants sizes that are known beforehand.
const NAME_LEN: usize = 16;
/// Names by kind. Not a table of `&str`, which would hold addresses: an object has no relocations within its data.
#[unsafe(no_mangle)]
static TRACE_NAMES: [[u8; NAME_LEN]; KINDS] = names();

const fn names() -> [[u8; NAME_LEN]; KINDS] {
    let mut all = [[b' '; NAME_LEN]; KINDS];
    let mut kind = 0;
    while kind < KINDS {
        let name = match kind {
            UNTRACKED => "untracked",
            UNTRACKED_DATA => "untracked_data",
            FLOODED => "flooded",
            SHED => "shed",
            _ => Reject::ALL[kind].name(),
        };
        let (mut at, bytes) = (0, name.as_bytes());
        while at < bytes.len() {
            all[kind][at] = bytes[at];
            at += 1;
        }
        kind += 1;
    }
    all
}

/// What this CPU has told of already.
#[repr(C)]
#[derive(Clone, Copy)]
struct Reported {
    /// In this epoch.
    epoch: u64,
    /// One bit for each kind.
    kinds: u64,
}

#[map]
static REPORTED: PerCpuArray<Reported> = PerCpuArray::with_max_entries(1, 0);

/// Keeps the length of the frame's first buffer, in bytes, for the line that may be written of it.
#[inline(always)]
pub(crate) fn note_length(scratch: &mut Scratch, len: u32) {
    scratch.frame_len = len;
}

/// Logs a line when the frame at hand was the first of its kind in this epoch. To be called where all ways through the
/// program have come together.
#[inline(always)]
pub(crate) fn tell() {
    // SAFETY: no precondition.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    // The verifier takes all five argument registers for used by a function of ours, whatever it takes. Between that
    // helper and this call they are empty; were they not, no two ways would look alike here.
    rstprobe_trace(cpu);
}

/// With C linkage under a name of its own, and never inlined: see the module documentation. Returns 0, for the verifier
/// wants a number.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_trace(cpu: u32) -> u32 {
    // A flip since the frame was counted leads to the other half, where nothing is yet: then the next one is told of.
    if let (Some(region), Some(scratch), Some(reported)) =
        (tables::region(), tables::scratch(), REPORTED.get_ptr_mut(0))
    {
        // SAFETY: per CPU, and bottom halves are off: nobody else uses it until the program returns.
        let reported = unsafe { &mut *reported };
        if reported.epoch != region.epoch {
            *reported = Reported { epoch: region.epoch, kinds: 0 };
        }
        if let Some(kind) = first_unreported(region.counters, reported.kinds) {
            reported.kinds |= 1 << kind;
            log(kind, scratch.frame_len, cpu);
        }
    }
    0
}

#[inline(always)]
fn first_unreported(counters: &EpochCounters, reported: u64) -> Option<usize> {
    (0..KINDS).find(|&kind| {
        let counted = match kind {
            UNTRACKED => counters.untracked,
            UNTRACKED_DATA => counters.untracked_data,
            FLOODED => counters.flooded,
            SHED => counters.shed,
            _ => counters.rejected[kind],
        };
        counted != 0 && reported & 1 << kind == 0
    })
}

#[inline(always)]
fn log(kind: usize, len: u32, cpu: u32) {
    // SAFETY: a static of this object, and `kind` is below KINDS; volatile, or the compiler makes a branch of each name.
    let name = unsafe { read_volatile(&raw const TRACE_NAMES[kind]) };
    // SAFETY: names are ASCII.
    let name = unsafe { str::from_utf8_unchecked(&name) };
    aya_log_ebpf::info!((), "frame of {} bytes on CPU {} not tracked: {}", len, cpu, name);
}

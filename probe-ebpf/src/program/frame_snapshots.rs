//! Frame snapshots: copies the first bytes of frames whose segments are kept verbatim into a ring buffer, for `--evidence`.

use aya_ebpf::{
    btf_maps::{ArrayOfMaps, RingBuf},
    helpers::bpf_get_smp_processor_id,
    macros::{btf_map, map},
    maps::PerCpuArray,
};
use probe_ebpf::frame_snapshot::{NO_ROOM, SNAPSHOT_BYTES, SNAPSHOT_COUNTS, Snapshot, TAKEN};

use crate::tables::{self, global, opaque_number};

/// 1 to take snapshots. Read-only data: without, the verifier removes all of it.
#[unsafe(no_mangle)]
static EVIDENCE: u32 = 0;
/// The smallest ring buffer there can be, on pages of any size: what the verifier is shown of them.
const SMALLEST: usize = 1 << 16;
/// Snapshots on their way, by CPU: a ring buffer has one lock for all who write to it. The agent makes them, in the size that
/// it wants, and looks often enough: nobody needs to be woken.
#[btf_map]
static SNAPSHOT_RINGS: ArrayOfMaps<RingBuf<Snapshot, SMALLEST>, 1> = ArrayOfMaps::new();
/// How many were taken, and how many found no room.
#[map]
static SNAPSHOT_COUNTED: PerCpuArray<u64> = PerCpuArray::with_max_entries(SNAPSHOT_COUNTS, 0);

/// include/uapi/linux/bpf.h.
const BPF_RB_NO_WAKEUP: u64 = 1;

/// Where a frame came from.
pub(crate) trait Origin {
    /// Index of the interface, and queue as [`Snapshot::queue`].
    fn origin(&self) -> (u32, u32);
    /// Bytes in all buffers, asked anew: without a pointer into the packet, of which the verifier knows something else on
    /// each way through the headers.
    fn len(&self) -> u32;
    /// Copies the first `len` bytes to `to`, which has room for them.
    fn load(&self, to: *mut u8, len: u32) -> bool;
}

/// Keeps the first bytes of the frame whose segment is in the scratch memory.
#[inline(always)]
pub(crate) fn keep<R: Origin>(frame: &R) {
    if global!(EVIDENCE) == 0 {
        return;
    }
    let Some(scratch) = tables::scratch() else { return };
    let segment = &scratch.segment;
    // SAFETY: no conditions.
    let cpu = unsafe { bpf_get_smp_processor_id() };
    let Some(mut entry) = SNAPSHOT_RINGS.get(cpu).and_then(|ring| ring.reserve(0)) else { return count(NO_ROOM) };
    let snapshot = entry.as_mut_ptr();
    // SAFETY: memory of the ring buffer for one `Snapshot`, which is ours until it is submitted; only integers are stored,
    // and `len` says which of the bytes were.
    unsafe {
        (*snapshot).key.copy_from(&segment.key);
        (*snapshot).record.copy_from(&segment.record);
        let (interface, queue) = frame.origin();
        (*snapshot).interface = interface;
        (*snapshot).queue = queue;
        let len = frame.len();
        (*snapshot).wire_len = len;
        (*snapshot).len = copy(frame, len, (&raw mut (*snapshot).bytes).cast());
    }
    entry.submit(BPF_RB_NO_WAKEUP);
    count(TAKEN);
}

/// Copies as much as there is room for, by a helper: a loop over packet memory would be walked once for each of the many
/// ways by which the verifier comes here.
#[inline(always)]
fn copy<R: Origin>(frame: &R, there: u32, to: *mut u8) -> u32 {
    let most = if there < SNAPSHOT_BYTES as u32 { there } else { SNAPSHOT_BYTES as u32 };
    // One less, compared, and one added again: from a comparison with 0, verifiers before 6.12 do not learn that it is at
    // least 1. Opaque, so that the comparison stays: the verifier does not see the bound that the compiler knows.
    let less = opaque_number(most.wrapping_sub(1));
    if less >= SNAPSHOT_BYTES as u32 {
        return 0;
    }
    let len = less + 1;
    if frame.load(to, len) { len } else { 0 }
}

#[inline(always)]
fn count(what: u32) {
    if let Some(place) = SNAPSHOT_COUNTED.get_ptr_mut(what) {
        // SAFETY: this CPU's own value, and bottom halves are off: one writer.
        unsafe { *place += 1 };
    }
}

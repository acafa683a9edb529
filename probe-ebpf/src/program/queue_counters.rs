//! Queue counters: frames and bytes by interface and receive queue, when the agent watches more than one.

use aya_ebpf::{bindings::BPF_F_MMAPABLE, macros::map, maps::Array};
use probe_ebpf::layout::{QUEUE_PROBES, QUEUE_ROWS, QueueRow};

use crate::{
    frame_snapshots::Origin,
    tables::{Region, global, opaque_number},
};

/// Counts by interface and queue: `[cpu][epoch][row]`.
#[map]
static QUEUES: Array<QueueRow> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// 1 to count by interface and queue. Read-only data: without, the verifier removes all of it.
#[unsafe(no_mangle)]
static BY_QUEUE: u32 = 0;

/// Interface and queue of a frame, when they are counted.
#[inline(always)]
pub(crate) fn place_of<R: Origin>(frame: &R) -> (u32, u32) {
    if global!(BY_QUEUE) == 0 { (0, 0) } else { frame.origin() }
}

/// Counts a frame of `len` bytes, which the books have counted, where it came from.
#[inline(always)]
pub(crate) fn count((interface, queue): (u32, u32), len: u32, region: &mut Region) {
    if global!(BY_QUEUE) == 0 {
        return;
    }
    let place = QueueRow::place(interface, queue);
    let first = QueueRow::first(place);
    let mut probe = 0;
    while probe < QUEUE_PROBES as u32 {
        let at = (first + probe) & (QUEUE_ROWS as u32 - 1);
        let Some(row) = QUEUES.get_ptr_mut(region.at * QUEUE_ROWS as u32 + at) else { break };
        // SAFETY: as for the books: one writer.
        let row = unsafe { &mut *row };
        if row.place == 0 {
            row.place = place;
        }
        if row.place == place {
            row.frames += 1;
            row.bytes += len as u64;
            return;
        }
        // Opaque, so that the loop is not unrolled.
        probe = opaque_number(probe) + 1;
    }
    region.counters.rowless_frames += 1;
    region.counters.rowless_bytes += len as u64;
}

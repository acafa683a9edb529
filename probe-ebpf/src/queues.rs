//! What came in on which interface and queue, when the agent watches more than one.

use core::hint::black_box;

use aya_ebpf::{bindings::BPF_F_MMAPABLE, macros::map, maps::Array};
use probe_ebpf::layout::{QUEUE_PROBES, QUEUE_ROWS, QueueRow};

use crate::{
    evidence::Origin,
    table::{Region, global},
};

/// Counts by interface and queue: `[cpu][epoch][row]`.
#[map]
static QUEUES: Array<QueueRow> = Array::with_max_entries(1, BPF_F_MMAPABLE);

/// 1 to count by interface and queue. Read-only data: without, the verifier removes all of it.
#[unsafe(no_mangle)]
static BY_QUEUE: u32 = 0;

/// Counts a frame, which the books have counted, where it came from.
#[inline(always)]
pub(crate) fn count<R: Origin>(frame: &R, len: usize, region: &mut Region) {
    if global!(BY_QUEUE) == 0 {
        return;
    }
    let (interface, queue) = frame.origin();
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
        probe = black_box(probe) + 1;
    }
    region.books.rowless_frames += 1;
    region.books.rowless_bytes += len as u64;
}

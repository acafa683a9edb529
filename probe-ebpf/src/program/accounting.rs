//! Accounting: counts one frame and its segment in counters, flow table and log, as one function that the verifier checks
//! by itself.

use aya_ebpf::helpers::bpf_ktime_get_ns;
use probe_ebpf::{
    layout::Segment,
    record::{self, Disposition},
};

use crate::{
    queue_counters,
    tables::{self, CROPPED, PASSED_BY, Region, opaque_number},
};

/// Counts a frame whose segment is in the scratch memory, and the segment; 1 when it is kept verbatim.
///
/// A function of global linkage: the verifier checks it once and by itself (Linux 5.6), and takes a call of it for one
/// instruction, whatever it knows of the frame. Inlined, all of this is walked once for nearly each of the many ways
/// through the headers, which is more than kernels before 6.12 have patience for.
#[unsafe(no_mangle)]
#[inline(never)]
pub(crate) extern "C" fn rstprobe_account(len: u32, interface: u32, queue: u32) -> u32 {
    let (Some(mut region), Some(scratch)) = (begin(len, (interface, queue)), tables::scratch()) else { return 0 };
    region.counters.frames += 1;
    region.counters.tcp += 1;
    region.counters.cropped += u32::from(scratch.found & CROPPED != 0);
    // Of what is only counted, nothing is read from the clock.
    region.aim(&scratch.segment.key, scratch.segment.record.is_control());
    record(&mut scratch.segment, &mut region) as u32
}

/// Counts a frame of which nothing is recorded: `found` is [`PASSED_BY`] or the number of a reject. Inlined: on processors
/// that guard each return a call would cost more than this.
#[inline(always)]
pub(crate) fn set_aside(found: u32, len: u32, place: (u32, u32)) {
    let Some(region) = begin(len, place) else { return };
    region.counters.frames += 1;
    if found == PASSED_BY {
        region.counters.tcp += 1;
        region.counters.passed_by += 1;
    } else if let Some(count) = region.counters.rejected.get_mut(opaque_number(found) as usize) {
        *count += 1;
    }
}

/// The region of this CPU, in which the frame's bytes, and the frame by its queue, are counted. It is sized for every
/// possible CPU, so there always is one, unless the agent is not ready.
#[inline(always)]
pub(crate) fn begin(len: u32, place: (u32, u32)) -> Option<Region> {
    let mut region = tables::region()?;
    region.counters.frame_bytes += len as u64;
    queue_counters::count(place, len, &mut region);
    Some(region)
}

/// True when the segment is one of those that are kept verbatim, as long as there is room.
#[inline(always)]
fn record(segment: &mut Segment, region: &mut Region) -> bool {
    segment.record.time_ns = if segment.record.is_control() {
        region.counters.seen.add(segment.record.flags);
        // Before the table is touched: reading the clock waits for every load before it, and would keep apart those of
        // one slot.
        now_ns()
    } else {
        region.coarse_ns()
    };
    match region.slot(&segment.key, &segment.record) {
        Some(slot) => {
            region.counters.in_slots += 1;
            let relevant = record::is_relevant(slot, &segment.record);
            if relevant && !segment.record.is_control() {
                segment.record.time_ns = now_ns();
            }
            if record::apply(slot, segment, relevant, region) == Disposition::Spilled && !region.log(segment, true) {
                region.counters.order_lost += 1;
            }
            relevant
        }
        None => {
            // A flood is counted: only what is kept has a snapshot.
            let logged = region.counters.logged;
            region.without_slot(segment);
            region.counters.logged != logged
        }
    }
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: no precondition.
    unsafe { bpf_ktime_get_ns() }
}

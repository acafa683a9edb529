//! Reset tracepoint: reports each RST that this kernel's TCP sends and why (`tcp:tcp_send_reset`), for `--host`.
//!
//! Field offsets differ between kernels, so the loader reads them from the tracepoint's format and sets them here; the
//! reason travels as a number and gets its name in user space, from the same format.

use core::hint::black_box;

use aya_ebpf::{
    helpers::{bpf_get_current_pid_tgid, bpf_ktime_get_ns, generated::bpf_get_current_comm},
    macros::{map, tracepoint},
    maps::{Array, RingBuf},
    programs::TracePointContext,
};
use probe_ebpf::layout::ResetEvent;

use crate::tables::global;

/// Events on their way to the agent.
#[map]
static RESETS: RingBuf = RingBuf::with_byte_size(1 << 18, 0);
/// Events that could not be read or found no room in `RESETS`.
#[map]
static RESETS_LOST: Array<u64> = Array::with_max_entries(1, 0);

// Set by the loader from the tracepoint's format.
#[unsafe(no_mangle)]
static RESET_SKB_OFFSET: u32 = 8;
#[unsafe(no_mangle)]
static RESET_STATE_OFFSET: u32 = 24;
#[unsafe(no_mangle)]
static RESET_REASON_OFFSET: u32 = 28;
#[unsafe(no_mangle)]
static RESET_SOURCE_OFFSET: u32 = 32;
#[unsafe(no_mangle)]
static RESET_DESTINATION_OFFSET: u32 = 60;

/// Reports one reset that this kernel sends.
#[tracepoint(category = "tcp", name = "tcp_send_reset")]
fn rstprobe_send_reset(ctx: TracePointContext) -> u32 {
    if report(&ctx).is_none()
        && let Some(lost) = RESETS_LOST.get_ptr_mut(0)
    {
        // SAFETY: a map value; two CPUs may lose an increment to each other, but never the fact that there was one.
        unsafe { *lost += 1 };
    }
    0
}

fn report(ctx: &TracePointContext) -> Option<()> {
    let (skb, state, reason) = (global!(RESET_SKB_OFFSET), global!(RESET_STATE_OFFSET), global!(RESET_REASON_OFFSET));
    let (source, destination) = (global!(RESET_SOURCE_OFFSET), global!(RESET_DESTINATION_OFFSET));
    // SAFETY: reads of the tracepoint's own record, at the offsets that its format names; a fault gives an error.
    let event = unsafe {
        ResetEvent {
            time_ns: bpf_ktime_get_ns(),
            skb: ctx.read_at(skb as usize).ok()?,
            state: ctx.read_at(state as usize).ok()?,
            reason: ctx.read_at(reason as usize).ok()?,
            source: ctx.read_at(source as usize).ok()?,
            destination: ctx.read_at(destination as usize).ok()?,
            pid: (bpf_get_current_pid_tgid() >> 32) as u32,
            reserved: 0,
            // Opaque: two zeros next to each other become a call of memset in BPF.
            comm: [black_box(0), black_box(0)],
        }
    };
    let mut entry = RESETS.reserve::<ResetEvent>(0)?;
    entry.write(event);
    // SAFETY: the entry's own memory, 16 bytes; on an error the kernel fills it with zeros.
    unsafe { bpf_get_current_comm((&raw mut (*entry.as_mut_ptr()).comm).cast(), 16) };
    entry.submit(0);
    Some(())
}

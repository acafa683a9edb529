//! One frame, repeated by the kernel, becomes the segments of many flows: source address, sequence number and flags are
//! written from a counter before the measured program is called (a tail call), or the frame is sent.

use aya_ebpf::{
    bindings::{BPF_F_MMAPABLE, xdp_action},
    helpers::{bpf_ktime_get_ns, bpf_redirect},
    macros::{map, xdp},
    maps::{Array, ProgramArray},
    programs::XdpContext,
};
use probe_ebpf::bench_flows::{DATA_FLAGS, Drive};

/// What to write; the counter.
#[map]
static DRIVE: Array<Drive> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// The measured program.
#[map]
static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// The measured program, when it accepts multi-buffer frames: the kernel keeps the two kinds apart.
#[map]
static TARGET_FRAGS: ProgramArray = ProgramArray::with_max_entries(1, 0);

/// Calls the program in `TARGET`.
#[xdp]
fn drive(ctx: XdpContext) -> u32 {
    if write(&ctx).is_some() {
        // SAFETY: the context is the kernel's own.
        unsafe { TARGET.tail_call(&ctx, 0) };
    }
    xdp_action::XDP_ABORTED
}

/// Calls the program in `TARGET_FRAGS`.
#[xdp(frags)]
fn drive_frags(ctx: XdpContext) -> u32 {
    if write(&ctx).is_some() {
        // SAFETY: the context is the kernel's own.
        unsafe { TARGET_FRAGS.tail_call(&ctx, 0) };
    }
    xdp_action::XDP_ABORTED
}

/// Sends the frame.
#[xdp]
fn generate(ctx: XdpContext) -> u32 {
    match write(&ctx) {
        // SAFETY: no precondition.
        Some(interface) => unsafe { bpf_redirect(interface, 0) as u32 },
        None => xdp_action::XDP_ABORTED,
    }
}

/// Does nothing: what every measurement contains.
#[xdp]
fn empty(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Does nothing.
#[xdp(frags)]
fn empty_frags(_: XdpContext) -> u32 {
    xdp_action::XDP_DROP
}

/// Reads the clock once, for what it costs.
#[xdp(frags)]
fn clock_frags(_: XdpContext) -> u32 {
    // SAFETY: no precondition.
    let now = unsafe { bpf_ktime_get_ns() };
    if now == 0 { xdp_action::XDP_PASS } else { xdp_action::XDP_DROP }
}

/// Writes the next segment into the frame; the interface it may be sent to.
#[inline(always)]
fn write(ctx: &XdpContext) -> Option<u32> {
    let drive = DRIVE.get_ptr_mut(0)?;
    // SAFETY: a map value of this type; one CPU drives at a time.
    let drive = unsafe { &mut *drive };
    let segment = drive.make();
    put(ctx, drive.source_at, segment.source.to_be_bytes())?;
    put(ctx, drive.seq_at, segment.seq.to_be_bytes())?;
    let flags = if segment.is_data { DATA_FLAGS } else { segment.flags };
    put(ctx, drive.flags_at, [drive.offset as u8, flags])?;
    Some(drive.interface)
}

#[inline(always)]
fn put<const N: usize>(ctx: &XdpContext, at: u32, bytes: [u8; N]) -> Option<()> {
    let start = ctx.data() + (at & 0x1ff) as usize;
    if start + N > ctx.data_end() {
        return None;
    }
    // SAFETY: within the packet, as just checked.
    unsafe { *(start as *mut [u8; N]) = bytes };
    Some(())
}

//! AF_XDP redirect: entry points that hand TCP frames to sockets; frames of queues without a socket are counted here.
//!
//! A frame of a queue without a socket takes the counting path with all that belongs to it, as does what is no segment to
//! be recorded; and `bpf_redirect_map` falls back to the configured action should the socket vanish in between.

use aya_ebpf::{
    helpers::{bpf_ktime_get_ns, bpf_xdp_adjust_meta},
    macros::{map, xdp},
    maps::{HashMap, PerCpuArray, XskMap},
    programs::XdpContext,
};
use probe_ebpf::xsk_redirect::{DELIVERY_COUNTS, FELL_BACK, REDIRECTED, STAMP_LEN, STAMP_MAGIC, Sockets, UNSTAMPED};

use crate::{
    entry::{self, ACTION, ETHERNET},
    frame::Frame,
    frame_snapshots::Origin as _,
    tables::{self, global},
};

/// Interfaces that can be watched by sockets at once.
const MAX_INTERFACES: u32 = 64;

/// One AF_XDP socket per interface and queue.
#[map]
static SOCKETS: XskMap = XskMap::with_max_entries(1, 0);
/// Interface index to its [`Sockets`], packed.
#[map]
static SOCKETS_OF: HashMap<u32, u64> = HashMap::with_max_entries(MAX_INTERFACES, 0);
/// What became of frames that had a socket, since the program was loaded.
#[map]
static DELIVERY: PerCpuArray<u64> = PerCpuArray::with_max_entries(DELIVERY_COUNTS, 0);

/// For kernels without multi-buffer XDP.
#[xdp]
#[inline(always)]
fn rstprobe_redirect(ctx: XdpContext) -> u32 {
    deliver::<false>(&ctx)
}

/// For kernels with multi-buffer XDP (5.18).
#[xdp(frags)]
#[inline(always)]
fn rstprobe_redirect_frags(ctx: XdpContext) -> u32 {
    deliver::<true>(&ctx)
}

#[inline(always)]
fn deliver<const FRAGS: bool>(ctx: &XdpContext) -> u32 {
    let frame = Frame::<FRAGS>::of(ctx);
    let Some(scratch) = entry::find::<_, ETHERNET>(&frame, frame.linear_len()) else { return global!(ACTION) };
    let scratch = tables::opaque(scratch);
    if tables::is_segment(scratch.found) {
        let (interface, queue) = frame.origin();
        let index = rstprobe_socket(interface, queue);
        if index != NO_SOCKET {
            return redirect(ctx, index);
        }
    }
    entry::count(&frame, scratch);
    global!(ACTION)
}

/// [`rstprobe_socket`]: there is none, or the agent is not ready.
const NO_SOCKET: u32 = u32::MAX;

/// Index of the socket of this interface and queue, or [`NO_SOCKET`]. Of global linkage, as [`crate::accounting::rstprobe_account`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_socket(interface: u32, queue: u32) -> u32 {
    match socket_of((interface, queue)) {
        // As in `accounting::rstprobe_account`: there always is a region, unless the agent is not ready.
        Some(index) if tables::region().is_some() => index,
        _ => NO_SOCKET,
    }
}

#[inline(always)]
fn socket_of((interface, queue): (u32, u32)) -> Option<u32> {
    // SAFETY: the agent writes the entry once, before the program is armed, and no entry is ever removed.
    let sockets = Sockets::unpack(unsafe { *SOCKETS_OF.get(interface)? });
    let index = sockets.of(queue)?;
    SOCKETS.get(index).map(|_queue| index)
}

#[inline(always)]
fn redirect(ctx: &XdpContext, index: u32) -> u32 {
    stamp(ctx);
    // The lower bits of the flags are the action of last resort (Linux 5.3).
    match SOCKETS.redirect(index, global!(ACTION) as u64) {
        Ok(redirected) => {
            count(REDIRECTED);
            redirected
        }
        Err(fallback) => {
            count(FELL_BACK);
            fallback
        }
    }
}

/// Puts time in front of the frame. Nothing may be read of the packet afterwards: its pointers are no longer valid.
#[inline(always)]
fn stamp(ctx: &XdpContext) {
    // SAFETY: the context pointer is the kernel's own.
    if unsafe { bpf_xdp_adjust_meta(ctx.ctx, -(STAMP_LEN as i32)) } != 0 {
        return count(UNSTAMPED);
    }
    let (start, end) = (ctx.metadata(), ctx.data());
    if start + STAMP_LEN > end {
        return count(UNSTAMPED);
    }
    // SAFETY: no precondition.
    let now = unsafe { bpf_ktime_get_ns() };
    let place = start as *mut u64;
    // SAFETY: two words of metadata, as just checked; the verifier checks the same.
    unsafe {
        place.write_unaligned(STAMP_MAGIC);
        place.add(1).write_unaligned(now);
    }
}

#[inline(always)]
fn count(what: u32) {
    if let Some(place) = DELIVERY.get_ptr_mut(what) {
        // SAFETY: this CPU's own value, and bottom halves are off: one writer.
        unsafe { *place += 1 };
    }
}

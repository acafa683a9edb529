//! Entry points: XDP, with and without multi-buffer support, and tc egress for what a host itself sends; each for Ethernet
//! and for interfaces whose frames begin with an IP header (tun, WireGuard, PPP, IP tunnels).

use aya_ebpf::{
    bindings::{TC_ACT_UNSPEC, xdp_action},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use probe_ebpf::{
    layout::{CONTROL, DEPTH_CONTROL, DEPTH_FULL},
    parse::{self, Located, Reader, Reject},
    tunnel,
};

#[cfg(feature = "trace")]
use crate::trace;
use crate::{
    accounting::{begin, rstprobe_account, set_aside},
    frame::{Again, Frame, Outgoing},
    frame_snapshots::{self, Origin},
    queue_counters,
    tables::{self, CROPPED, PASSED_BY, SEGMENT_AND_MORE, Scratch, global},
    tunnel_walk::{ARRIVED, DOMAIN, TUNNELS, Walks},
};

// Set by the loader; read-only data that the verifier folds into the program.
#[unsafe(no_mangle)]
pub(crate) static DEPTH: u32 = DEPTH_FULL;
/// XDP_PASS on hosts, XDP_DROP on dedicated mirror ports.
#[unsafe(no_mangle)]
pub(crate) static ACTION: u32 = xdp_action::XDP_PASS;

/// For kernels without multi-buffer XDP: the frame is `data..data_end`.
#[xdp]
#[inline(always)]
fn rstprobe(ctx: XdpContext) -> u32 {
    receive::<false, ETHERNET>(&ctx)
}

/// For kernels with multi-buffer XDP (5.18): headers are read from the first buffer, lengths cover all of them.
#[xdp(frags)]
#[inline(always)]
fn rstprobe_frags(ctx: XdpContext) -> u32 {
    receive::<true, ETHERNET>(&ctx)
}

/// As [`rstprobe`], for interfaces without Ethernet: the frame begins with an IP header.
#[xdp]
#[inline(always)]
fn rstprobe_ip(ctx: XdpContext) -> u32 {
    receive::<false, IP>(&ctx)
}

/// As [`rstprobe_frags`], for interfaces without Ethernet.
#[xdp(frags)]
#[inline(always)]
fn rstprobe_ip_frags(ctx: XdpContext) -> u32 {
    receive::<true, IP>(&ctx)
}

#[inline(always)]
fn receive<const FRAGS: bool, const LINK: u8>(ctx: &XdpContext) -> u32 {
    let frame = Frame::<FRAGS>::of(ctx);
    run::<_, LINK>(&frame, frame.linear_len());
    #[cfg(feature = "trace")]
    trace::tell();
    global!(ACTION)
}

/// What the host sends, before segmentation offload (`--host`). Lets the next program decide (`TCX_NEXT`).
#[classifier]
#[inline(always)]
fn rstprobe_egress(ctx: TcContext) -> i32 {
    send::<ETHERNET>(&ctx)
}

/// As [`rstprobe_egress`], for interfaces without Ethernet.
#[classifier]
#[inline(always)]
fn rstprobe_ip_egress(ctx: TcContext) -> i32 {
    send::<IP>(&ctx)
}

#[inline(always)]
fn send<const LINK: u8>(ctx: &TcContext) -> i32 {
    let frame = Outgoing::of(ctx);
    run::<_, LINK>(&frame, frame.packet_len());
    #[cfg(feature = "trace")]
    trace::tell();
    TC_ACT_UNSPEC
}

/// What frames begin with: an Ethernet header.
pub(crate) const ETHERNET: u8 = 0;
/// What frames begin with: an IP header of either version (`ARPHRD_NONE`, `ARPHRD_PPP`, `ARPHRD_TUNNEL` and the like).
pub(crate) const IP: u8 = 1;

/// The headers first, and what is found there into the scratch memory; then the books.
#[inline(always)]
pub(crate) fn run<R: Reader + Origin + Again + Walks, const LINK: u8>(frame: &R, len: usize) {
    if let Some(scratch) = find::<R, LINK>(frame, len) {
        count(frame, scratch);
    }
}

/// Counts what [`find`] has put into the scratch memory, and keeps the frame as evidence where its segment is kept.
#[inline(always)]
pub(crate) fn count<R: Reader + Origin + Again>(frame: &R, scratch: &mut Scratch) {
    // Through map memory, behind the compiler's back: the verifier forgets by which of the many paths through the
    // headers it came here, and need not walk the rest once for each.
    let scratch = tables::opaque(scratch);
    let len = frame.again().counted_len();
    #[cfg(feature = "trace")]
    trace::note_length(scratch, len);
    let (interface, queue) = queue_counters::place_of(frame);
    if !tables::is_segment(scratch.found) {
        return set_aside(scratch.found, len, (interface, queue));
    }
    if scratch.found & !CROPPED == SEGMENT_AND_MORE {
        parse::rest(&frame.again(), &scratch.located, &mut scratch.segment);
    }
    if rstprobe_account(len, interface, queue) != 0 {
        frame_snapshots::keep(frame);
    }
}

/// What is in `frame`, in [`Scratch::found`]; `None` when that has been counted.
#[inline(always)]
pub(crate) fn find<R: Reader + Origin + Again + Walks, const LINK: u8>(
    frame: &R,
    len: usize,
) -> Option<&'static mut Scratch> {
    if LINK == ETHERNET {
        // The commonest shapes first, at fixed offsets.
        if let Some(located) = parse::fast_path_v4(frame) {
            return on_fast_path(frame, &located, len);
        }
        if let Some(located) = parse::fast_path_v6(frame) {
            return on_fast_path(frame, &located, len);
        }
    }
    let scratch = tables::scratch()?;
    scratch.found = match locate::<R, LINK>(frame, scratch) {
        ARRIVED if passes_by(scratch.located.flags) => PASSED_BY,
        ARRIVED => return walked(frame, scratch),
        reject => reject,
    };
    Some(scratch)
}

/// A segment at offsets that the compiler knows. When it passes by, it needs no more than one look at the books.
#[inline(always)]
fn on_fast_path<R: Reader + Origin>(frame: &R, located: &Located, len: usize) -> Option<&'static mut Scratch> {
    if passes_by(located.flags) {
        begin(len as u32, queue_counters::place_of(frame))?.counters.passed_fast += 1;
        return None;
    }
    let scratch = tables::scratch()?;
    let (segment, more) = parse::head(frame, located, located.domain(global!(DOMAIN)), 0).ok()?;
    scratch.put(&segment, more);
    if more {
        scratch.located = *located;
    }
    Some(scratch)
}

/// Into the scratch memory, so that all ways through the headers end in one place: [`ARRIVED`], a [`Reject`], or
/// `ICMP_QUOTES`.
#[inline(always)]
fn locate<R: Reader + Walks, const LINK: u8>(frame: &R, scratch: &mut Scratch) -> u32 {
    let plain = if LINK == ETHERNET { parse::locate(frame) } else { parse::locate_ip(frame) };
    let reject = match plain {
        Ok(located) => {
            scratch.located = located;
            return ARRIVED;
        }
        Err(reject) => reject,
    };
    // Without encapsulations, only to an ICMP error.
    let leads_on = reject == Reject::NotTcp
        || matches!(reject, Reject::NotIp | Reject::VlanDepth | Reject::ExtensionDepth) && global!(TUNNELS) != 0;
    let vxlan_port = (global!(TUNNELS) >> 16) as u16;
    if !leads_on || (LINK == ETHERNET && tunnel::is_not_tcp(frame, reject, vxlan_port)) {
        return reject as u32;
    }
    if LINK == ETHERNET {
        scratch.walk.restart_at_ethernet(0);
    } else {
        scratch.walk.restart_at_ip(0);
    }
    let end = frame.walk();
    if end == Reject::NotTcp as u32 { frame.quote() } else { end }
}

/// True for segments that the configured depth does not record.
#[inline(always)]
fn passes_by(flags: u16) -> bool {
    flags & CONTROL == 0 && global!(DEPTH) == DEPTH_CONTROL
}

/// A segment wherever the walk through the headers has led.
#[inline(always)]
fn walked<R: Reader + Again>(frame: &R, scratch: &'static mut Scratch) -> Option<&'static mut Scratch> {
    // As in `run`.
    let scratch = tables::opaque(scratch);
    let domain = scratch.located.domain(global!(DOMAIN));
    // `locate` has just read these headers, so this cannot fail; the verifier wants the branch.
    let (segment, more) = parse::head(frame, &scratch.located, domain, 0).ok()?;
    scratch.put(&segment, more);
    // The fast path leaves cropped frames to this function.
    if scratch.located.is_cropped(&frame.again()) {
        scratch.found |= CROPPED;
    }
    Some(scratch)
}

//! Entry points: XDP, with and without multi-buffer support, and tc egress for what a host itself sends; of each one for
//! interfaces with Ethernet and one for those whose frames begin with an IP header (tun, WireGuard, PPP, IP tunnels).

use core::{hint::assert_unchecked, ptr::read_volatile};

use aya_ebpf::{
    bindings::{__sk_buff, TC_ACT_UNSPEC, xdp_action, xdp_md},
    helpers::{bpf_ktime_get_ns, bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use probe_ebpf::{
    layout::{CONTROL, DEPTH_CONTROL, DEPTH_FULL, Segment},
    parse::{self, Located, Reader, Reject},
    record::{self, Kept},
    snapshot::OUTGOING,
    tunnel::{self, Encapsulations},
};

use crate::evidence::{self, Origin};
use crate::queues;
use crate::table::{self, PASSED_BY, Region, SEGMENT, SEGMENT_AND_MORE, Scratch, global};
#[cfg(feature = "trace")]
use crate::trace;

// Set by the loader; read-only data that the verifier folds into the program.
#[unsafe(no_mangle)]
pub(crate) static DEPTH: u32 = DEPTH_FULL;
/// XDP_PASS on hosts, XDP_DROP on dedicated mirror ports.
#[unsafe(no_mangle)]
pub(crate) static ACTION: u32 = xdp_action::XDP_PASS;
/// Which id is part of the key: `DOMAIN_NONE`, `DOMAIN_VLAN` or `DOMAIN_TUNNEL`.
#[unsafe(no_mangle)]
static DOMAIN: u32 = 0;
/// Encapsulations that are looked into (bits of `tunnel`); what is off is removed by the verifier.
#[unsafe(no_mangle)]
static TUNNELS: u32 = 0;
/// Tunnels within tunnels that are followed.
#[unsafe(no_mangle)]
static TUNNEL_DEPTH: u32 = 0;

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
    let frame = Outgoing { start: ctx.data(), end: ctx.data_end(), len: ctx.len() as usize, ctx };
    run::<_, LINK>(&frame, frame.len);
    #[cfg(feature = "trace")]
    trace::tell();
    TC_ACT_UNSPEC
}

/// What frames begin with: an Ethernet header.
pub(crate) const ETHERNET: u8 = 0;
/// What frames begin with: an IP header of either version (`ARPHRD_NONE`, `ARPHRD_PPP`, `ARPHRD_TUNNEL` and the like).
pub(crate) const IP: u8 = 1;

/// Headers end before this offset: link header and tags, IP header with the longest chain followed, TCP header.
const MAX_OFFSET: usize = 0x3ffe;

/// The same frame with pointers and lengths that the verifier knows nothing of yet. What it has learned of the others
/// differs by the way through the headers, and so would all that follows.
pub(crate) trait Again {
    /// Read from the context once more.
    fn again(&self) -> Self;
    /// One step through encapsulations, from where the scratch memory says: [`WALKING`], [`ARRIVED`] or a [`Reject`].
    fn advance(&self) -> u32;
    /// Bytes that are counted of the frame: of its first buffer, or of an outgoing packet before segmentation.
    fn counted_len(&self) -> u32;
}

/// Packet memory of one XDP frame.
pub(crate) struct Frame<'a, const FRAGS: bool> {
    start: usize,
    end: usize,
    ctx: &'a XdpContext,
}

impl<'a, const FRAGS: bool> Frame<'a, FRAGS> {
    /// The frame of this run.
    #[inline(always)]
    pub(crate) fn of(ctx: &'a XdpContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end(), ctx }
    }

    /// Bytes in the first buffer.
    #[inline(always)]
    pub(crate) fn linear_len(&self) -> usize {
        self.end - self.start
    }
}

impl<const FRAGS: bool> Origin for Frame<'_, FRAGS> {
    #[inline(always)]
    fn origin(&self) -> (u32, u32) {
        // Volatile: two neighbouring words would be read as one, which the verifier refuses of a context.
        // SAFETY: the context pointer is the kernel's own.
        unsafe {
            let context = self.ctx.ctx;
            (read_volatile(&raw const (*context).ingress_ifindex), read_volatile(&raw const (*context).rx_queue_index))
        }
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        // SAFETY: the context pointer is the kernel's own.
        unsafe { bpf_xdp_get_buff_len(self.ctx.ctx) as u32 }
    }

    #[inline(always)]
    fn load(&self, to: *mut u8, len: u32) -> bool {
        // SAFETY: the context pointer is the kernel's own; the caller vouches for `to` (Linux 5.18).
        unsafe { bpf_xdp_load_bytes(self.ctx.ctx, 0, to.cast(), len) == 0 }
    }
}

impl<const FRAGS: bool> Reader for Frame<'_, FRAGS> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        packet_bytes(self.start, self.end, offset)
    }

    #[inline(always)]
    fn wire_len(&self) -> usize {
        if FRAGS {
            // SAFETY: the context pointer is the kernel's own.
            unsafe { bpf_xdp_get_buff_len(self.ctx.ctx) as usize }
        } else {
            self.end - self.start
        }
    }

    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        end <= self.end - self.start || (FRAGS && end <= self.wire_len())
    }
}

impl<const FRAGS: bool> Again for Frame<'_, FRAGS> {
    #[inline(always)]
    fn again(&self) -> Self {
        let context = table::opaque_at(self.ctx.ctx);
        // SAFETY: the context pointer is the kernel's own; volatile, so that these are loads of their own.
        let (start, end) =
            unsafe { (read_volatile(&raw const (*context).data), read_volatile(&raw const (*context).data_end)) };
        Self { start: start as usize, end: end as usize, ctx: self.ctx }
    }

    #[inline(always)]
    fn advance(&self) -> u32 {
        if FRAGS { rstprobe_step_frags(self.ctx.ctx) } else { rstprobe_step(self.ctx.ctx) }
    }

    #[inline(always)]
    fn counted_len(&self) -> u32 {
        (self.end - self.start) as u32
    }
}

/// The linear part of an outgoing socket buffer.
struct Outgoing<'a> {
    start: usize,
    end: usize,
    len: usize,
    ctx: &'a TcContext,
}

impl Origin for Outgoing<'_> {
    #[inline(always)]
    fn origin(&self) -> (u32, u32) {
        // SAFETY: the context pointer is the kernel's own.
        (unsafe { read_volatile(&raw const (*self.ctx.skb.skb).ifindex) }, OUTGOING)
    }

    #[inline(always)]
    fn len(&self) -> u32 {
        // Anew: of `self.len` the verifier knows something else on each way through the headers.
        // SAFETY: the context pointer is the kernel's own.
        unsafe { read_volatile(&raw const (*self.ctx.skb.skb).len) }
    }

    #[inline(always)]
    fn load(&self, to: *mut u8, len: u32) -> bool {
        // SAFETY: as above.
        unsafe { bpf_skb_load_bytes(self.ctx.skb.skb.cast(), 0, to.cast(), len) == 0 }
    }
}

impl Again for Outgoing<'_> {
    #[inline(always)]
    fn again(&self) -> Self {
        let context = table::opaque_at(self.ctx.skb.skb);
        // SAFETY: as above.
        let (start, end) =
            unsafe { (read_volatile(&raw const (*context).data), read_volatile(&raw const (*context).data_end)) };
        Self { start: start as usize, end: end as usize, len: self.len() as usize, ctx: self.ctx }
    }

    #[inline(always)]
    fn advance(&self) -> u32 {
        rstprobe_step_out(self.ctx.skb.skb)
    }

    #[inline(always)]
    fn counted_len(&self) -> u32 {
        self.len as u32
    }
}

impl Reader for Outgoing<'_> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        packet_bytes(self.start, self.end, offset)
    }

    #[inline(always)]
    fn wire_len(&self) -> usize {
        self.len
    }
}

/// A frame that is read at offsets which the compiler does not know. It would add such an offset once for the check and
/// once more for the access, or keep it on the stack in between, and verifiers before 6.12 do not connect the two: here
/// there is one number and one sum.
struct Anywhere<'a, R>(&'a R);

impl<R: Reader + Memory> Reader for Anywhere<'_, R> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let (start, end) = self.0.memory();
        let offset = table::opaque_number(offset as u32) as usize;
        if offset > MAX_OFFSET {
            return None;
        }
        let at = table::opaque_at((start + offset) as *mut u8) as usize;
        packet_bytes(at, end, 0)
    }

    #[inline(always)]
    fn wire_len(&self) -> usize {
        self.0.wire_len()
    }

    #[inline(always)]
    fn reaches(&self, end: usize) -> bool {
        self.0.reaches(end)
    }
}

/// Where a frame's bytes lie.
trait Memory {
    /// Begin and end.
    fn memory(&self) -> (usize, usize);
}

impl<const FRAGS: bool> Memory for Frame<'_, FRAGS> {
    #[inline(always)]
    fn memory(&self) -> (usize, usize) {
        (self.start, self.end)
    }
}

impl Memory for Outgoing<'_> {
    #[inline(always)]
    fn memory(&self) -> (usize, usize) {
        (self.start, self.end)
    }
}

/// The `N` bytes of packet memory at `start + offset`.
#[inline(always)]
fn packet_bytes<'a, const N: usize>(start: usize, end: usize, offset: usize) -> Option<&'a [u8; N]> {
    // No header lies farther in; the verifier wants a bound on what is added to a packet pointer.
    if offset > MAX_OFFSET {
        return None;
    }
    let at = start + offset;
    if at + N > end {
        return None;
    }
    // SAFETY: `at..at + N` lies within the packet, which outlives the program run; the verifier checks the same. Nor does a
    // packet lie at address 0, which the compiler would test for, to tell `None` from it.
    unsafe {
        assert_unchecked(at != 0);
        Some(&*(at as *const [u8; N]))
    }
}

/// The headers first, and what is found there into the scratch memory; then the books.
#[inline(always)]
pub(crate) fn run<R: Reader + Origin + Again, const LINK: u8>(frame: &R, len: usize) {
    if let Some(scratch) = find::<R, LINK>(frame, len) {
        count(frame, scratch);
    }
}

/// Counts what [`find`] has put into the scratch memory, and keeps the frame as evidence where its segment is kept.
#[inline(always)]
pub(crate) fn count<R: Reader + Origin + Again>(frame: &R, scratch: &mut Scratch) {
    // Through map memory, behind the compiler's back: the verifier forgets by which of the many paths through the
    // headers it came here, and need not walk the rest once for each.
    let scratch = table::opaque(scratch);
    if scratch.found == SEGMENT_AND_MORE {
        parse::rest(&frame.again(), &scratch.located, &mut scratch.segment);
    }
    let len = frame.again().counted_len();
    #[cfg(feature = "trace")]
    trace::note_length(table::opaque(scratch), len);
    let (interface, queue) = queues::place_of(frame);
    if rstprobe_account(len, interface, queue) != 0 {
        evidence::keep(frame);
    }
}

/// Counts the frame that is described in the scratch memory; 1 when its segment is kept verbatim.
///
/// A function of global linkage: the verifier checks it once and by itself (Linux 5.6), and takes a call of it for one
/// instruction, whatever it knows of the frame. Inlined, all of this is walked once for nearly each of the many ways
/// through the headers, which is more than kernels before 6.12 have patience for.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_account(len: u32, interface: u32, queue: u32) -> u32 {
    let (Some(mut region), Some(scratch)) = (begin(len, (interface, queue)), table::scratch()) else { return 0 };
    region.books.frames += 1;
    match scratch.found {
        SEGMENT | SEGMENT_AND_MORE => {
            region.books.tcp += 1;
            // Of what is only counted, nothing is read from the clock.
            region.aim(&scratch.segment.key, scratch.segment.record.is_control());
            return record(&mut scratch.segment, &mut region) as u32;
        }
        PASSED_BY => {
            region.books.tcp += 1;
            region.books.passed_by += 1;
        }
        reject => {
            if let Some(count) = region.books.rejected.get_mut(reject as usize) {
                *count += 1;
            }
        }
    }
    0
}

/// The region of this CPU, in which the frame's bytes, and the frame by its queue, are counted. It is sized for every
/// possible CPU, so there always is one, unless the agent is not ready.
#[inline(always)]
fn begin(len: u32, place: (u32, u32)) -> Option<Region> {
    let mut region = table::region()?;
    region.books.frame_bytes += len as u64;
    queues::count(place, len, &mut region);
    Some(region)
}

/// What is in `frame`, in [`Scratch::found`]; `None` when that has been counted.
#[inline(always)]
pub(crate) fn find<R: Reader + Origin + Again, const LINK: u8>(frame: &R, len: usize) -> Option<&'static mut Scratch> {
    if LINK == ETHERNET {
        // The commonest shapes first, at fixed offsets.
        if let Some(located) = parse::glance_v4(frame) {
            return glanced(frame, &located, len);
        }
        if let Some(located) = parse::glance_v6(frame) {
            return glanced(frame, &located, len);
        }
    }
    let scratch = table::scratch()?;
    scratch.found = match locate::<R, LINK>(frame, scratch) {
        ARRIVED if passes_by(scratch.located.flags) => PASSED_BY,
        ARRIVED => return walked(frame, scratch),
        reject => reject,
    };
    Some(scratch)
}

/// A segment at offsets that the compiler knows. When it passes by, it needs no more than one look at the books.
#[inline(always)]
fn glanced<R: Reader + Origin>(frame: &R, located: &Located, len: usize) -> Option<&'static mut Scratch> {
    if passes_by(located.flags) {
        begin(len as u32, queues::place_of(frame))?.books.glanced += 1;
        return None;
    }
    let scratch = table::scratch()?;
    let (segment, more) = parse::head(frame, located, located.domain(global!(DOMAIN)), 0).ok()?;
    scratch.put(&segment, more);
    if more {
        scratch.located = *located;
    }
    Some(scratch)
}

/// Into the scratch memory, so that all ways through the headers end in one place: [`ARRIVED`], or a [`Reject`].
#[inline(always)]
fn locate<R: Reader + Again, const LINK: u8>(frame: &R, scratch: &mut Scratch) -> u32 {
    let plain = if LINK == ETHERNET { parse::locate(frame) } else { parse::locate_ip(frame) };
    match plain {
        Ok(located) => {
            scratch.located = located;
            return ARRIVED;
        }
        Err(Reject::NotIp | Reject::NotTcp | Reject::VlanDepth | Reject::ExtensionDepth) if global!(TUNNELS) != 0 => {}
        Err(reject) => return reject as u32,
    }
    if LINK == ETHERNET {
        scratch.walk.restart_at_ethernet(0);
    } else {
        scratch.walk.restart_at_ip(0);
    }
    for _ in 0..tunnel::MAX_STEPS {
        let at = frame.advance();
        if at != WALKING {
            return at;
        }
    }
    Reject::TunnelDepth as u32
}

/// What a step of the walk through encapsulations says: there is another header. Other numbers but [`ARRIVED`] are those
/// of a [`Reject`].
const WALKING: u32 = 1 << 8;
/// A TCP header is reached.
const ARRIVED: u32 = WALKING + 1;

/// One step through encapsulations, see [`tunnel::advance`]. Of global linkage, as [`rstprobe_account`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_step(context: *mut xdp_md) -> u32 {
    advance(&Anywhere(&Frame::<false>::of(&XdpContext::new(context))))
}

/// The same for frames of several buffers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_step_frags(context: *mut xdp_md) -> u32 {
    advance(&Anywhere(&Frame::<true>::of(&XdpContext::new(context))))
}

/// The same for what the host sends.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_step_out(context: *mut __sk_buff) -> u32 {
    let ctx = TcContext::new(context);
    advance(&Anywhere(&Outgoing { start: ctx.data(), end: ctx.data_end(), len: ctx.len() as usize, ctx: &ctx }))
}

#[inline(always)]
fn advance<R: Reader>(frame: &R) -> u32 {
    let Some(scratch) = table::scratch() else { return Reject::NotIp as u32 };
    let encapsulations = Encapsulations { enabled: global!(TUNNELS), max_depth: global!(TUNNEL_DEPTH) as u8 };
    match tunnel::advance(frame, encapsulations, &mut scratch.walk, &mut scratch.located) {
        Ok(false) => WALKING,
        Ok(true) => ARRIVED,
        Err(reject) => reject as u32,
    }
}

/// True for segments that the configured depth does not record.
#[inline(always)]
fn passes_by(flags: u16) -> bool {
    flags & CONTROL == 0 && global!(DEPTH) == DEPTH_CONTROL
}

/// A segment wherever the walk through the headers has led.
#[inline(always)]
fn walked<R: Reader>(frame: &R, scratch: &'static mut Scratch) -> Option<&'static mut Scratch> {
    // As in `run`.
    let scratch = table::opaque(scratch);
    let domain = scratch.located.domain(global!(DOMAIN));
    // `locate` has just read these headers, so this cannot fail; the verifier wants the branch.
    let (segment, more) = parse::head(frame, &scratch.located, domain, 0).ok()?;
    scratch.put(&segment, more);
    Some(scratch)
}

/// True when the segment is one of those that are kept verbatim, as long as there is room.
#[inline(always)]
fn record(segment: &mut Segment, region: &mut Region) -> bool {
    segment.record.time_ns = if segment.record.is_control() {
        region.books.seen.add(segment.record.flags);
        // Before the table is touched: reading the clock waits for every load before it, and would keep apart those of
        // one slot.
        now_ns()
    } else {
        region.coarse_ns()
    };
    match region.slot(&segment.key, &segment.record) {
        Some(slot) => {
            region.books.in_slots += 1;
            let relevant = record::is_relevant(slot, &segment.record);
            if relevant && !segment.record.is_control() {
                segment.record.time_ns = now_ns();
            }
            if record::apply(slot, segment, relevant, region) == Kept::Spilled && !region.log(segment, true) {
                region.books.order_lost += 1;
            }
            relevant
        }
        None => {
            // A flood is counted: only what is kept has a snapshot.
            let logged = region.books.logged;
            region.without_slot(segment);
            region.books.logged != logged
        }
    }
}

#[inline(always)]
fn now_ns() -> u64 {
    // SAFETY: no precondition.
    unsafe { bpf_ktime_get_ns() }
}

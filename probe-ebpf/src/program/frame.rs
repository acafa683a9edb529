//! Frame readers: packet memory of XDP and of tc egress, by bounds-checked pointers.

use core::{hint::assert_unchecked, ptr::read_volatile};

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    helpers::{bpf_skb_load_bytes, bpf_xdp_get_buff_len, bpf_xdp_load_bytes},
    programs::{TcContext, XdpContext},
};
use probe_ebpf::{frame_snapshot::OUTGOING, parse::Reader};

use crate::{frame_snapshots::Origin, tables};

/// Headers end before this offset: link header and tags, IP header with the longest chain followed, TCP header.
const MAX_OFFSET: usize = 0x3ffe;

/// The same frame with pointers and lengths that the verifier knows nothing of yet. What it has learned of the others
/// differs by the way through the headers, and so would all that follows.
pub(crate) trait Again {
    /// Read from the context once more.
    fn again(&self) -> Self;
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

    /// The context of this run.
    #[inline(always)]
    pub(crate) fn context(&self) -> *mut xdp_md {
        self.ctx.ctx
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
        let context = tables::opaque_at(self.ctx.ctx);
        // SAFETY: the context pointer is the kernel's own; volatile, so that these are loads of their own.
        let (start, end) =
            unsafe { (read_volatile(&raw const (*context).data), read_volatile(&raw const (*context).data_end)) };
        Self { start: start as usize, end: end as usize, ctx: self.ctx }
    }

    #[inline(always)]
    fn counted_len(&self) -> u32 {
        (self.end - self.start) as u32
    }
}

/// The linear part of an outgoing socket buffer.
pub(crate) struct Outgoing<'a> {
    start: usize,
    end: usize,
    len: usize,
    ctx: &'a TcContext,
}

impl<'a> Outgoing<'a> {
    /// The packet of this run.
    #[inline(always)]
    pub(crate) fn of(ctx: &'a TcContext) -> Self {
        Self { start: ctx.data(), end: ctx.data_end(), len: ctx.len() as usize, ctx }
    }

    /// The context of this run.
    #[inline(always)]
    pub(crate) fn context(&self) -> *mut __sk_buff {
        self.ctx.skb.skb
    }

    /// Bytes of the packet, also where it is not linear.
    #[inline(always)]
    pub(crate) fn packet_len(&self) -> usize {
        self.len
    }
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
        let context = tables::opaque_at(self.ctx.skb.skb);
        // SAFETY: as above.
        let (start, end) =
            unsafe { (read_volatile(&raw const (*context).data), read_volatile(&raw const (*context).data_end)) };
        Self { start: start as usize, end: end as usize, len: self.len() as usize, ctx: self.ctx }
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
pub(crate) struct Anywhere<'a, R>(pub(crate) &'a R);

impl<R: Reader + Memory> Reader for Anywhere<'_, R> {
    #[inline(always)]
    fn bytes<const N: usize>(&self, offset: usize) -> Option<&[u8; N]> {
        let (start, end) = self.0.memory();
        let offset = tables::opaque_number(offset as u32) as usize;
        if offset > MAX_OFFSET {
            return None;
        }
        let at = tables::opaque_at((start + offset) as *mut u8) as usize;
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
pub(crate) trait Memory {
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

//! Steps of the walk through encapsulations, each kind of frame with a function that the verifier checks by itself.
//!
//! Inlined and in a loop, the verifier walks every header after every other, and all that follows once for each.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    programs::{TcContext, XdpContext},
};
use probe_ebpf::{
    parse::{Reader, Reject},
    tunnel::{self, Encapsulations},
};

use crate::{
    frame::{Anywhere, Frame, Outgoing},
    table::{self, global},
};

/// Encapsulations that are looked into (bits of `tunnel`); what is off is removed by the verifier. Set by the loader.
#[unsafe(no_mangle)]
pub(crate) static TUNNELS: u32 = 0;
/// Tunnels within tunnels that are followed. Set by the loader.
#[unsafe(no_mangle)]
static TUNNEL_DEPTH: u32 = 0;

/// Frames whose encapsulations can be walked through.
pub(crate) trait Steps {
    /// One step, from where the scratch memory says: [`WALKING`], [`ARRIVED`] or the number of a [`Reject`].
    fn advance(&self) -> u32;
}

impl<const FRAGS: bool> Steps for Frame<'_, FRAGS> {
    #[inline(always)]
    fn advance(&self) -> u32 {
        if FRAGS { rstprobe_step_frags(self.context()) } else { rstprobe_step(self.context()) }
    }
}

impl Steps for Outgoing<'_> {
    #[inline(always)]
    fn advance(&self) -> u32 {
        rstprobe_step_out(self.context())
    }
}

/// What a step of the walk through encapsulations says: there is another header. Other numbers but [`ARRIVED`] are those
/// of a [`Reject`].
pub(crate) const WALKING: u32 = 1 << 8;
/// A TCP header is reached.
pub(crate) const ARRIVED: u32 = WALKING + 1;

/// One step through encapsulations, see [`tunnel::advance`]. Of global linkage, as [`crate::account::rstprobe_account`].
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
    advance(&Anywhere(&Outgoing::of(&TcContext::new(context))))
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

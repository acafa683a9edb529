//! Tunnel walk: finds the TCP header behind encapsulations and logs ICMP errors, for each kind of frame as a function that
//! the verifier checks by itself.
//!
//! Inlined, it is walked once for each of the many ways through the plain headers, and all that follows once for each of
//! its own.

use aya_ebpf::{
    bindings::{__sk_buff, xdp_md},
    programs::{TcContext, XdpContext},
};
use probe_ebpf::{
    layout::ICMP_QUOTES,
    parse::{Reader, Reject, icmp_quote},
    tunnel::{self, Encapsulations},
};

use crate::{
    frame::{Anywhere, Frame, Outgoing},
    tables::{self, global},
};

/// Which id is part of the key: `DOMAIN_NONE`, `DOMAIN_VLAN` or `DOMAIN_TUNNEL`.
#[unsafe(no_mangle)]
pub(crate) static DOMAIN: u32 = 0;
/// Encapsulations that are looked into ([`Encapsulations::enabled`]); what is off is removed by the verifier. Set by the
/// loader.
#[unsafe(no_mangle)]
pub(crate) static TUNNELS: u32 = 0;
/// Tunnels within tunnels that are followed. Set by the loader.
#[unsafe(no_mangle)]
static TUNNEL_DEPTH: u32 = 0;

/// A TCP header is reached. Other numbers are those of a [`Reject`], or [`ICMP_QUOTES`].
pub(crate) const ARRIVED: u32 = 1 << 8;

/// Frames whose encapsulations can be walked through.
pub(crate) trait Walks {
    /// From where the scratch memory says to a TCP header: [`ARRIVED`] or the number of a [`Reject`].
    fn walk(&self) -> u32;
    /// Logs the ICMP error before which the walk has ended: [`ICMP_QUOTES`], or the number of a [`Reject`] when there is none.
    fn quote(&self) -> u32;
}

impl<const FRAGS: bool> Walks for Frame<'_, FRAGS> {
    #[inline(always)]
    fn walk(&self) -> u32 {
        if FRAGS { rstprobe_walk_frags(self.context()) } else { rstprobe_walk(self.context()) }
    }

    #[inline(always)]
    fn quote(&self) -> u32 {
        if FRAGS { rstprobe_quote_frags(self.context()) } else { rstprobe_quote(self.context()) }
    }
}

impl Walks for Outgoing<'_> {
    #[inline(always)]
    fn walk(&self) -> u32 {
        rstprobe_walk_out(self.context())
    }

    #[inline(always)]
    fn quote(&self) -> u32 {
        rstprobe_quote_out(self.context())
    }
}

/// See [`tunnel::locate`]. Of global linkage, as [`crate::accounting::rstprobe_account`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_walk(context: *mut xdp_md) -> u32 {
    walk(&Anywhere(&Frame::<false>::of(&XdpContext::new(context))))
}

/// The same for frames of several buffers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_walk_frags(context: *mut xdp_md) -> u32 {
    walk(&Anywhere(&Frame::<true>::of(&XdpContext::new(context))))
}

/// The same for what the host sends.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_walk_out(context: *mut __sk_buff) -> u32 {
    walk(&Anywhere(&Outgoing::of(&TcContext::new(context))))
}

#[inline(always)]
fn walk<R: Reader>(frame: &R) -> u32 {
    let Some(scratch) = tables::scratch() else { return Reject::NotIp as u32 };
    let encapsulations = Encapsulations { enabled: global!(TUNNELS), max_depth: global!(TUNNEL_DEPTH) as u8 };
    match tunnel::locate(frame, encapsulations, &mut scratch.walk, &mut scratch.located) {
        Ok(()) => ARRIVED,
        Err(reject) => reject as u32,
    }
}

/// See [`icmp_quote`]. Of global linkage, as [`crate::accounting::rstprobe_account`].
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_quote(context: *mut xdp_md) -> u32 {
    quote(&Anywhere(&Frame::<false>::of(&XdpContext::new(context))))
}

/// The same for frames of several buffers.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_quote_frags(context: *mut xdp_md) -> u32 {
    quote(&Anywhere(&Frame::<true>::of(&XdpContext::new(context))))
}

/// The same for what the host sends.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn rstprobe_quote_out(context: *mut __sk_buff) -> u32 {
    quote(&Anywhere(&Outgoing::of(&TcContext::new(context))))
}

#[inline(always)]
fn quote<R: Reader>(frame: &R) -> u32 {
    let none = Reject::NotTcp as u32;
    let Some(scratch) = tables::scratch() else { return none };
    let Some(place) = scratch.walk.icmp() else { return none };
    let Some(quote) = icmp_quote(frame, &place, scratch.walk.domain(global!(DOMAIN))) else { return none };
    if let Some(region) = &mut tables::region() {
        region.log_icmp(&quote);
    }
    ICMP_QUOTES as u32
}

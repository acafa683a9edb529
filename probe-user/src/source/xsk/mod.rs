//! AF_XDP: frames themselves, from the driver to the shared parser, one socket per receive queue.
//!
//! * `kernel`: memory shared with the kernel and the system calls; the only `unsafe` here.
//! * `ring`: one single-producer, single-consumer ring; the same code over a socket's memory and over ordinary memory.
//! * `channel`: UMEM, fill ring and receive ring of one queue, and which frame is with the kernel.
//! * [`queue`]: the frame loop: receive, join buffers, lend, give back. Needs no socket.
//! * `socket`: opens and binds.
//! * [`datapath`]: all sockets of a session in one order of time, and the books.
//!
//! **Why no crate.** Rings are a few dozen lines; what they must do here is what the crates lack (read in their sources,
//! November 2026):
//!
//! | crate | licence, upkeep | what is missing here |
//! |---|---|---|
//! | `xdp` 0.8.0 | MIT or Apache-2.0, pure Rust, kept by its author for Quilkin | never reads `XDP_RING_NEED_WAKEUP`; no public way to bind with `XDP_USE_SG`, so larger frames are lost; no `XDP_OPTIONS`, so it cannot say whether zero-copy is in use; rings exist only over a socket; packets are plain copies, so a lost or doubled one shows nowhere |
//! | `xsk-rs` 0.11.0 | MIT, active | multi-buffer and all else is there; builds libxdp and libbpf with a C compiler, and its library loads programs of its own unless told not to |
//! | `xdpilone` 1.3.0 | EUPL-1.2 (not for a project under MIT or Apache-2.0), pure Rust | no multi-buffer |
//!
//! [`Port`] is all that the loop knows of sockets, so that a crate can take this place later.
//!
//! Facts: Documentation/networking/af_xdp.rst, include/uapi/linux/if_xdp.h, net/xdp/xsk.c.
//!
//! Must not know: connections, verdicts, outputs, what the XDP program counts.

mod accounting;
mod channel;
pub mod datapath;
mod kernel;
pub mod queue;
mod ring;
mod socket;

use std::io;

pub use accounting::XskAccounting;
pub use kernel::Frame;

/// What the kernel counts of one socket (`XDP_STATISTICS`), frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statistics {
    /// No free frame of UMEM, or larger than what the socket takes.
    pub dropped: u64,
    /// The receive ring was full.
    pub ring_full: u64,
    /// Times the fill ring was found empty; what came then is among `dropped`, or in the driver's own counters.
    pub fill_empty: u64,
}

/// One receive queue as the frame loop sees it.
///
/// A [`Frame`] is with the kernel or a value in our hands, never both and never neither: [`Self::receive`] makes values of
/// what the kernel has delivered, [`Self::give`] consumes them.
pub trait Port {
    /// Appends up to `most` frames that the kernel has filled.
    fn receive(&mut self, into: &mut Vec<Frame>, most: usize);
    /// What is in a frame.
    fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8];
    /// Gives frames to the kernel to fill; those that find no room in the fill ring stay in `frames`.
    fn give(&mut self, frames: &mut Vec<Frame>);
    /// How many frames are with the kernel: in the fill ring, in its hands, or in the receive ring.
    fn with_kernel(&self) -> usize;
    /// Tells the kernel that there are frames to fill, if it has asked to be told (`XDP_USE_NEED_WAKEUP`).
    ///
    /// # Errors
    /// What the kernel says; `ENETDOWN` when the interface has gone.
    fn wake(&mut self) -> io::Result<()>;
    /// The kernel's counters.
    ///
    /// # Errors
    /// What `getsockopt` says.
    fn statistics(&self) -> io::Result<Statistics>;
}

#[cfg(test)]
mod tests;

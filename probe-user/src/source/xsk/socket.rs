//! Opening one AF_XDP socket: UMEM, rings, bind; in the best way that kernel and driver have.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd},
    sync::Arc,
};

use super::{
    Frame, Port, Statistics,
    channel::Channel,
    kernel::{self, Memory},
    ring::{Layout, Ring},
};

/// How the kernel hands frames over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Copying {
    /// The driver writes into UMEM.
    Zero,
    /// The kernel copies.
    Copy,
}

/// How UMEM is laid out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Size {
    /// Frames, a power of two.
    pub(super) frames: u32,
    /// Bytes of each: 2048 or 4096.
    pub(super) chunk: u32,
}

/// What the kernel keeps free in front of a packet (`XDP_PACKET_HEADROOM`, include/uapi/linux/bpf.h), bytes.
const HEADROOM: u32 = 256;
/// Ethernet header and two VLAN tags, bytes.
const LINK_HEADERS: u32 = 22;

impl Size {
    /// `frames` chunks that hold a packet of `mtu`, if one page does.
    pub(super) fn of(frames: u32, mtu: u32) -> Self {
        let fits = mtu.saturating_add(LINK_HEADERS + HEADROOM) <= 2048;
        Self { frames, chunk: if fits { 2048 } else { 4096 } }
    }

    /// True when no packet of `mtu` needs more than one chunk.
    fn holds(self, mtu: u32) -> bool {
        mtu.saturating_add(LINK_HEADERS + HEADROOM) <= self.chunk
    }
}

/// Step at which opening failed, and how.
#[derive(Debug)]
pub(super) struct Failure {
    /// What was being done.
    pub(super) step: &'static str,
    /// What the kernel said.
    pub(super) source: io::Error,
}

/// Names the step of an error.
fn at(step: &'static str) -> impl Fn(io::Error) -> Failure {
    move |source| Failure { step, source }
}

/// A bound socket.
#[derive(Debug)]
pub(super) struct Socket {
    // Before the memory that it uses: the kernel lets go first.
    fd: OwnedFd,
    channel: Channel,
    /// How frames come.
    pub(super) copying: Copying,
    /// The device has gone; the kernel has taken the socket off it.
    pub(super) is_dead: bool,
}

impl Socket {
    /// Opens a socket on one queue. All its frames are appended to `frames`.
    pub(super) fn open(place: &Place, size: Size, frames: &mut Vec<Frame>) -> Result<Self, Failure> {
        let fd = kernel::socket().map_err(at("opening the socket"))?;
        let umem = Memory::anonymous(size.frames as usize * size.chunk as usize).map_err(at("allocating UMEM"))?;
        kernel::register(fd.as_fd(), &umem, size.chunk).map_err(at("registering UMEM"))?;
        let rings = at("sizing the rings");
        kernel::size_ring(fd.as_fd(), libc::XDP_UMEM_FILL_RING, size.frames).map_err(&rings)?;
        // Nothing is ever sent; the kernel insists on the ring.
        kernel::size_ring(fd.as_fd(), libc::XDP_UMEM_COMPLETION_RING, 64).map_err(&rings)?;
        kernel::size_ring(fd.as_fd(), libc::XDP_RX_RING, size.frames).map_err(&rings)?;
        let offsets = kernel::offsets(fd.as_fd()).map_err(at("asking for the rings"))?;
        let fill = map(fd.as_fd(), &offsets.fr, libc::XDP_UMEM_PGOFF_FILL_RING.cast_signed(), size.frames, 8)?;
        let receive = map(fd.as_fd(), &offsets.rx, libc::XDP_PGOFF_RX_RING, size.frames, 16)?;
        let fill = Ring::producing(fill, layout(&offsets.fr), size.frames);
        let receive = Ring::consuming(receive, layout(&offsets.rx), size.frames);
        let channel = Channel::new(umem, size.chunk as usize, fill, receive, frames);
        let copying = place.bind(fd.as_fd(), size).map_err(at("binding"))?;
        Ok(Self { fd, channel, copying, is_dead: false })
    }

    /// Descriptors that made no sense.
    pub(super) fn invalid(&self) -> u64 {
        self.channel.invalid()
    }
}

fn layout(offsets: &libc::xdp_ring_offset) -> Layout {
    let place = |offset: u64| usize::try_from(offset).unwrap_or(usize::MAX);
    Layout {
        producer: place(offsets.producer),
        consumer: place(offsets.consumer),
        flags: place(offsets.flags),
        entries: place(offsets.desc),
    }
}

fn map(
    fd: BorrowedFd<'_>,
    offsets: &libc::xdp_ring_offset,
    page: i64,
    size: u32,
    entry: usize,
) -> Result<Arc<Memory>, Failure> {
    let len = layout(offsets).entries + size as usize * entry;
    Memory::of_ring(fd, len, page).map(Arc::new).map_err(at("mapping a ring"))
}

/// A queue to bind to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    /// Interface.
    pub(super) interface: u32,
    /// Its MTU, bytes.
    pub(super) mtu: u32,
    /// Queue.
    pub(super) queue: u32,
    /// The program runs in the network stack: then frames are copied in any case.
    pub(super) generic: bool,
}

impl Place {
    /// Zero-copy where there is such a thing, without multi-buffer where that is needed for it and no packet is too large;
    /// else copy mode. `XDP_USE_SG` came with Linux 6.6.
    fn bind(&self, fd: BorrowedFd<'_>, size: Size) -> io::Result<Copying> {
        use libc::{XDP_COPY, XDP_USE_NEED_WAKEUP as WAKEUP, XDP_USE_SG, XDP_ZEROCOPY};
        let mut ways = vec![];
        if !self.generic {
            ways.push(XDP_ZEROCOPY | WAKEUP | XDP_USE_SG);
            if size.holds(self.mtu) {
                ways.push(XDP_ZEROCOPY | WAKEUP);
            }
        }
        ways.extend([XDP_COPY | WAKEUP | XDP_USE_SG, XDP_COPY | WAKEUP]);
        let mut refusal = None;
        for flags in ways {
            match kernel::bind(fd, self.interface, self.queue, flags) {
                Ok(()) if kernel::is_zero_copy(fd)? => return Ok(Copying::Zero),
                Ok(()) => return Ok(Copying::Copy),
                Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::EINVAL)) => {
                    refusal = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        Err(refusal.unwrap_or_else(|| io::Error::from(io::ErrorKind::Unsupported)))
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Port for Socket {
    fn receive(&mut self, into: &mut Vec<Frame>, most: usize) {
        self.channel.receive(into, most);
    }

    fn bytes<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        self.channel.bytes(frame)
    }

    fn give(&mut self, frames: &mut Vec<Frame>) {
        self.channel.give(frames);
    }

    fn with_kernel(&self) -> usize {
        self.channel.with_kernel()
    }

    fn wake(&mut self) -> io::Result<()> {
        if self.channel.needs_wakeup() { kernel::wake(self.fd.as_fd()) } else { Ok(()) }
    }

    fn statistics(&self) -> io::Result<Statistics> {
        let counted = kernel::statistics(self.fd.as_fd())?;
        Ok(Statistics {
            dropped: counted.rx_dropped,
            ring_full: counted.rx_ring_full,
            fill_empty: counted.rx_fill_ring_empty_descs,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_holds_a_packet_if_a_page_can() {
        assert_eq!(Size::of(64, 1500).chunk, 2048);
        assert_eq!(Size::of(64, 1771).chunk, 4096);
        let jumbo = Size::of(64, 9000);
        assert!(jumbo.chunk == 4096 && !jumbo.holds(9000) && Size::of(64, 1500).holds(1500));
    }
}

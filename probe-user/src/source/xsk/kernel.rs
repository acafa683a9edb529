//! Memory that the kernel writes to, and the system calls of AF_XDP sockets.
//!
//! Everything here is safe to call. What it rests on: all words of the rings are read and written as atomics, whoever
//! else does so; and the bytes of a UMEM chunk are lent only through a [`Frame`], of which there is one per chunk at most
//! and none while the chunk is with the kernel (see [`super::channel`], which keeps the account).
#![expect(unsafe_code, reason = "mmap, socket options with C structures, and memory shared with the kernel")]

use std::{
    ffi::{c_int, c_void},
    io,
    mem::MaybeUninit,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU32, AtomicU64},
    time::Duration,
};

use probe_ebpf::xsk_redirect::{STAMP_LEN, STAMP_MAGIC};

/// One UMEM chunk in our hands: the only value of its chunk, and neither copied nor made outside of this room.
#[derive(PartialEq, Eq, Debug)]
pub struct Frame {
    /// Number of the chunk.
    pub(super) chunk: u32,
    /// Where the bytes begin in UMEM.
    pub(super) at: usize,
    /// How many there are.
    pub(super) len: usize,
    /// The packet goes on in the next frame (`XDP_PKT_CONTD`).
    pub(super) goes_on: bool,
    /// When the program saw it (`CLOCK_MONOTONIC`, nanoseconds), if it said so.
    pub(super) stamp_ns: Option<u64>,
}

/// A mapping, shared with the kernel or with nobody.
#[derive(Debug)]
pub(super) struct Memory {
    base: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to the process, not to a thread; what is in it is atomics, and bytes lent as the module says.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// Zeroed memory of our own.
    pub(super) fn anonymous(len: usize) -> io::Result<Self> {
        Self::map(len, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0)
    }

    /// A ring of a socket, by its page offset (`XDP_PGOFF_RX_RING` and its like).
    pub(super) fn of_ring(socket: BorrowedFd<'_>, len: usize, offset: i64) -> io::Result<Self> {
        Self::map(len, libc::MAP_SHARED | libc::MAP_POPULATE, socket.as_raw_fd(), offset)
    }

    fn map(len: usize, flags: c_int, fd: RawFd, offset: i64) -> io::Result<Self> {
        // SAFETY: a fresh mapping; no existing memory is touched.
        let base = unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, flags, fd, offset) };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<u8>()).ok_or_else(|| io::Error::other("mmap returned address 0"))?;
        Ok(Self { base, len })
    }

    fn place<T>(&self, offset: usize) -> NonNull<T> {
        let fits = offset.checked_add(size_of::<T>()).is_some_and(|end| end <= self.len);
        assert!(fits && offset.is_multiple_of(align_of::<T>()), "offset {offset} of {}", self.len);
        // SAFETY: within the mapping, as just checked.
        unsafe { self.base.add(offset).cast() }
    }

    /// A word of a ring.
    pub(super) fn word32(&self, offset: usize) -> &AtomicU32 {
        // SAFETY: mapped for as long as `self`, aligned (a page plus a checked offset), and everyone treats it as atomic.
        unsafe { self.place::<AtomicU32>(offset).as_ref() }
    }

    /// A double word of a ring.
    pub(super) fn word64(&self, offset: usize) -> &AtomicU64 {
        // SAFETY: as above.
        unsafe { self.place::<AtomicU64>(offset).as_ref() }
    }

    /// The bytes of a frame of this UMEM; nothing for one that does not lie in it.
    pub(super) fn lend<'a>(&'a self, frame: &'a Frame) -> &'a [u8] {
        if frame.at.checked_add(frame.len).is_none_or(|end| end > self.len) {
            return &[];
        }
        // SAFETY: within the mapping, as just checked; the chunk is not with the kernel while there is a `Frame` of it,
        // and nothing writes to it through a shared one.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr().add(frame.at), frame.len) }
    }

    /// Takes the stamp in front of a frame that the kernel has just delivered: reads it and wipes it. `chunk_at`: where
    /// its chunk begins, before which nothing may be read.
    pub(super) fn take_stamp(&mut self, at: usize, chunk_at: usize) -> Option<u64> {
        let stamp_at = at.checked_sub(STAMP_LEN).filter(|stamp_at| *stamp_at >= chunk_at && at <= self.len)?;
        // SAFETY: 16 bytes within the mapping and within a chunk that the kernel has given back; no `Frame` of it has been
        // handed out yet, so nobody else has a reference.
        unsafe {
            let stamp = self.base.as_ptr().add(stamp_at).cast::<[[u8; 8]; 2]>();
            let [magic, time] = stamp.read().map(u64::from_ne_bytes);
            stamp.write([[0; 8]; 2]);
            (magic == STAMP_MAGIC).then_some(time)
        }
    }

    /// Length, bytes.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Writes bytes as the kernel would; for tests.
    #[cfg(test)]
    pub(super) fn fill(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.len);
        // SAFETY: within the mapping; tests write only to chunks that they play the kernel's part for.
        unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.base.as_ptr().add(at), bytes.len()) };
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: this mapping, made in `map`; no reference outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.len) };
    }
}

fn check(result: c_int) -> io::Result<()> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// An unbound AF_XDP socket.
///
/// # Errors
/// `EPERM` without CAP_NET_RAW; `EAFNOSUPPORT` when the kernel has no AF_XDP.
pub(super) fn socket() -> io::Result<OwnedFd> {
    // SAFETY: no pointers.
    let fd = unsafe { libc::socket(libc::AF_XDP, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    check(fd)?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn set<T>(socket: BorrowedFd<'_>, option: c_int, value: &T) -> io::Result<()> {
    let (value, len) = (ptr::from_ref(value).cast::<c_void>(), size_of::<T>() as libc::socklen_t);
    // SAFETY: the pointer and the length describe `value`, which lives until the call returns; the kernel only reads.
    check(unsafe { libc::setsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, value, len) })
}

/// Reads an option of integers; zeros where an older kernel writes less.
fn option<T: Copy>(socket: BorrowedFd<'_>, option: c_int) -> io::Result<T> {
    let mut value = MaybeUninit::<T>::zeroed();
    let mut len = size_of::<T>() as libc::socklen_t;
    let place = value.as_mut_ptr().cast::<c_void>();
    // SAFETY: `value` and `len` are valid for writes until the call returns, and `len` says how much.
    check(unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_XDP, option, place, &raw mut len) })?;
    // SAFETY: only called for structures of integers, for which every bit pattern is a value, zeros to begin with.
    Ok(unsafe { value.assume_init() })
}

/// Registers UMEM: `memory` in chunks of `chunk` bytes (`XDP_UMEM_REG`).
pub(super) fn register(socket: BorrowedFd<'_>, memory: &Memory, chunk: u32) -> io::Result<()> {
    let (addr, len) = (memory.base.as_ptr() as u64, memory.len as u64);
    let umem = libc::xdp_umem_reg { addr, len, chunk_size: chunk, headroom: 0, flags: 0, tx_metadata_len: 0 };
    set(socket, libc::XDP_UMEM_REG, &umem)
}

/// Sizes a ring (`XDP_RX_RING` and its like), entries.
pub(super) fn size_ring(socket: BorrowedFd<'_>, ring: c_int, entries: u32) -> io::Result<()> {
    set(socket, ring, &entries)
}

/// Where the parts of the rings are in their mappings.
pub(super) fn offsets(socket: BorrowedFd<'_>) -> io::Result<libc::xdp_mmap_offsets> {
    option(socket, libc::XDP_MMAP_OFFSETS)
}

/// Binds to a queue of an interface.
pub(super) fn bind(socket: BorrowedFd<'_>, interface: u32, queue: u32, flags: u16) -> io::Result<()> {
    let address = libc::sockaddr_xdp {
        sxdp_family: libc::AF_XDP as u16,
        sxdp_flags: flags,
        sxdp_ifindex: interface,
        sxdp_queue_id: queue,
        sxdp_shared_umem_fd: 0,
    };
    let len = size_of::<libc::sockaddr_xdp>() as libc::socklen_t;
    // SAFETY: the address is valid for reads of its size until the call returns.
    check(unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), len) })
}

/// Whether the driver writes into UMEM itself (`XDP_OPTIONS`).
pub(super) fn is_zero_copy(socket: BorrowedFd<'_>) -> io::Result<bool> {
    let options: libc::xdp_options = option(socket, libc::XDP_OPTIONS)?;
    Ok(options.flags & libc::XDP_OPTIONS_ZEROCOPY != 0)
}

/// `XDP_STATISTICS`.
pub(super) fn statistics(socket: BorrowedFd<'_>) -> io::Result<libc::xdp_statistics> {
    option(socket, libc::XDP_STATISTICS)
}

/// Has the driver look at the fill ring.
pub(super) fn wake(socket: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: no buffer: the call only wakes the driver (af_xdp.rst, XDP_USE_NEED_WAKEUP).
    let result = unsafe {
        let nowhere = ptr::null_mut();
        libc::recvfrom(socket.as_raw_fd(), nowhere, 0, libc::MSG_DONTWAIT, ptr::null_mut(), ptr::null_mut())
    };
    match check(result as c_int) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::EAGAIN | libc::EBUSY | libc::EINTR)) => Ok(()),
        other => other,
    }
}

/// Waits until one of the sockets has frames, `patience` at most. Says of each whether it has failed for good.
pub(super) fn wait(sockets: &[BorrowedFd<'_>], patience: Duration) -> io::Result<Vec<bool>> {
    let events = |socket: &BorrowedFd<'_>| libc::pollfd { fd: socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let mut polled: Vec<libc::pollfd> = sockets.iter().map(events).collect();
    let timeout = c_int::try_from(patience.as_millis()).unwrap_or(c_int::MAX);
    // SAFETY: the array is valid for reads and writes of its length until the call returns.
    let result = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, timeout) };
    match check(result) {
        Err(error) if error.kind() != io::ErrorKind::Interrupted => Err(error),
        _ => Ok(polled.iter().map(|one| one.revents & (libc::POLLERR | libc::POLLNVAL) != 0).collect()),
    }
}

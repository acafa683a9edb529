//! A `BPF_F_MMAPABLE` array, seen through `mmap`.
//!
//! The kernel program writes these pages too. What keeps the two apart is the epoch protocol of [`super::engine`]: the
//! agent touches only the half that the program has left, after a grace period. This file knows nothing of epochs; it
//! offers copies of single elements, which are defined whatever the other side does, and hands out references only
//! through `unsafe` functions whose callers vouch for the protocol.
#![expect(unsafe_code, reason = "mmap, and memory shared with the kernel")]

use std::{
    io,
    marker::PhantomData,
    os::fd::{AsFd as _, AsRawFd as _, BorrowedFd},
    ptr::{self, NonNull},
};

use aya::{Ebpf, maps::Map};

use super::LiveError;

/// Types that lie in the maps: `repr(C)`, integers only, no padding, any bit pattern valid.
///
/// # Safety
/// The implementer guarantees just that; `probe_ebpf::layout` asserts sizes and offsets at compile time.
pub(super) unsafe trait MapValue: Copy {}

// SAFETY: see probe_ebpf::layout: integers only, every byte named.
unsafe impl MapValue for probe_ebpf::layout::Control {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::EpochCounters {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::CpuCounters {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::Bucket {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::Slot {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::LogEntry {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::JournalEntry {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::ServiceRow {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::QueueRow {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::OpeningSet {}
// SAFETY: as above.
unsafe impl MapValue for probe_ebpf::layout::Opening {}

/// `len` elements of a mapped array.
pub(super) struct Mapping<T> {
    base: NonNull<T>,
    len: usize,
    bytes: usize,
    values: PhantomData<T>,
}

// SAFETY: the mapping belongs to the process, not to a thread; access is through `&self`/`&mut self` as usual.
unsafe impl<T: Send> Send for Mapping<T> {}

impl<T: MapValue> Mapping<T> {
    /// Maps the whole array behind `fd`, which has `len` elements of `T`.
    ///
    /// # Errors
    /// What `mmap` says; `EPERM` when the map was created without `BPF_F_MMAPABLE`.
    pub(super) fn new(fd: BorrowedFd<'_>, len: usize) -> io::Result<Self> {
        // The kernel rounds the element size up to eight bytes and the area up to a page (kernel/bpf/arraymap.c).
        const { assert!(size_of::<T>().is_multiple_of(8)) };
        let bytes = len * size_of::<T>();
        // SAFETY: a fresh shared mapping; no existing memory is touched.
        let base = unsafe {
            libc::mmap(ptr::null_mut(), bytes, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd.as_raw_fd(), 0)
        };
        if base == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let base = NonNull::new(base.cast::<T>()).ok_or_else(|| io::Error::other("mmap returned address 0"))?;
        Ok(Self { base, len, bytes, values: PhantomData })
    }

    fn at(&self, index: usize) -> NonNull<T> {
        assert!(index < self.len, "map element {index} of {}", self.len);
        // SAFETY: within the mapping, as just checked.
        unsafe { self.base.add(index) }
    }

    /// A copy of one element.
    pub(super) fn read(&self, index: usize) -> T {
        // SAFETY: mapped, aligned (page base, element size), and every bit pattern is a value; volatile because the
        // kernel may write meanwhile, in which case the copy may mix old and new integers.
        unsafe { self.at(index).read_volatile() }
    }

    /// Replaces one element.
    pub(super) fn write(&mut self, index: usize, value: T) {
        // SAFETY: as for `read`.
        unsafe { self.at(index).write_volatile(value) }
    }

    fn part<P: MapValue>(&self, index: usize, offset: usize) -> NonNull<P> {
        let fits = size_of::<P>() <= size_of::<T>() && offset <= size_of::<T>() - size_of::<P>();
        assert!(fits && offset.is_multiple_of(align_of::<P>()), "part at {offset} of a map element");
        const { assert!(align_of::<P>() <= align_of::<T>()) };
        // SAFETY: within the element, as just checked.
        unsafe { self.at(index).byte_add(offset).cast() }
    }

    /// A copy of what lies `offset` bytes within one element.
    pub(super) fn read_part<P: MapValue>(&self, index: usize, offset: usize) -> P {
        // SAFETY: as for `read`; aligned, as `part` has checked.
        unsafe { self.part::<P>(index, offset).read_volatile() }
    }

    /// Replaces what lies `offset` bytes within one element.
    pub(super) fn write_part<P: MapValue>(&mut self, index: usize, offset: usize, value: P) {
        // SAFETY: as for `read_part`.
        unsafe { self.part::<P>(index, offset).write_volatile(value) }
    }

    /// Replaces `len` elements from `first` on.
    pub(super) fn fill(&mut self, first: usize, len: usize, value: T) {
        assert!(len <= self.len && first <= self.len - len, "{len} map elements from {first} of {}", self.len);
        for index in first..first + len {
            // SAFETY: within the mapping, as just checked; else as for `read`.
            unsafe { self.base.add(index).write_volatile(value) }
        }
    }

    /// `len` elements from `first` on, in place.
    ///
    /// # Safety
    /// The kernel program must not write these elements while the reference lives.
    pub(super) unsafe fn quiescent(&self, first: usize, len: usize) -> &[T] {
        assert!(len <= self.len && first <= self.len - len, "{len} map elements from {first} of {}", self.len);
        // SAFETY: within the mapping, as just checked, and aligned; the caller vouches that nobody writes.
        unsafe { std::slice::from_raw_parts(self.base.add(first).as_ptr(), len) }
    }
}

impl<T> Drop for Mapping<T> {
    fn drop(&mut self) {
        // SAFETY: this mapping, made in `new`; no reference outlives `self`.
        unsafe { libc::munmap(self.base.as_ptr().cast(), self.bytes) };
    }
}

/// Maps the array of that name.
///
/// # Errors
/// The object lacks the map, or the kernel refuses.
pub(super) fn map<T: MapValue>(ebpf: &Ebpf, name: &'static str, len: u32) -> Result<Mapping<T>, LiveError> {
    let map = ebpf.map(name).ok_or(LiveError::ObjectLacks(name))?;
    let Map::Array(data) = map else { return Err(LiveError::ObjectLacks(name)) };
    Mapping::new(data.fd().as_fd(), len as usize).map_err(|source| LiveError::Mmap { name, source })
}

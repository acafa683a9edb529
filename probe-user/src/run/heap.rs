//! Memory for reading a large capture, in large pages.
//!
//! A reader's memory only grows, and each of its pages is touched for the first time once: with pages of 4 KiB the
//! kernel's part of that is a tenth of all the time that reading takes. Must not know what the memory is for.

#![expect(unsafe_code, reason = "the allocator's settings, and advice about the memory it has")]

use std::path::Path;

/// Captures from this size on, together, are worth it. A large page takes longer to clear than the few small ones that a
/// small capture needs.
const WORTH_BYTES: u64 = 16 << 20;

/// Makes the heap grow at once by what a large capture may need, and asks the kernel to back it with large pages. Where
/// either is refused (`ulimit -v`, `transparent_hugepage/enabled` at `never`) everything stays as it is.
pub(super) fn for_captures(files: &[impl AsRef<Path>]) {
    let sizes = files.iter().filter_map(|file| std::fs::metadata(file).ok()).filter(std::fs::Metadata::is_file);
    if sizes.map(|file| file.len()).sum::<u64>() >= WORTH_BYTES {
        allocator::grow();
    }
}

/// Another allocator than GNU's is not known to take everything from the end of one heap.
#[cfg(not(target_env = "gnu"))]
mod allocator {
    pub(super) fn grow() {}
}

#[cfg(target_env = "gnu")]
mod allocator {
    use std::hint::black_box;

    /// How much is taken, as addresses: memory it becomes where it is used. Nearly a million open connections fit.
    const RESERVE_BYTES: i32 = 256 << 20;
    /// What glibc takes at a time unless told otherwise. What is smaller always comes from the heap.
    const USUAL_BYTES: i32 = 128 << 10;
    const LARGE_PAGE_BYTES: usize = 2 << 20;

    pub(super) fn grow() {
        // Or else what is free at the end of the heap would be given back as soon as something is freed there.
        set(libc::M_TRIM_THRESHOLD, i32::MAX);
        set(libc::M_TOP_PAD, RESERVE_BYTES);
        let begin = end();
        // More than the heap can have left at its end, so that it grows; it may be refused.
        let mut asked = [const { Vec::<u8>::new() }; 2];
        let _refused = asked.iter_mut().try_for_each(|one| one.try_reserve_exact(USUAL_BYTES as usize - 4096));
        set(libc::M_TOP_PAD, USUAL_BYTES);
        drop(black_box(asked));
        let first = begin.next_multiple_of(LARGE_PAGE_BYTES);
        let len = end().saturating_sub(first);
        // SAFETY: advice changes the size of pages, not what is in them, and asks nothing of what lies at its addresses.
        let _refused = unsafe { libc::madvise(first as *mut libc::c_void, len, libc::MADV_HUGEPAGE) };
    }

    fn set(setting: libc::c_int, bytes: i32) {
        // SAFETY: these settings take any number, and the allocator has its own lock.
        let _refused = unsafe { libc::mallopt(setting, bytes) };
    }

    /// Where the heap ends.
    fn end() -> usize {
        // SAFETY: by nothing, so that nothing moves.
        unsafe { libc::sbrk(0) }.addr()
    }
}

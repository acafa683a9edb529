//! System calls that only the benchmarks make: priority, CPU time, and emptying a kernel hash table the two ways there are.
#![expect(unsafe_code, reason = "raw system calls; each block says why its arguments are valid")]

use std::{io, os::fd::RawFd, time::Duration};

use super::{bpf::bpf, check};

/// Runs the calling thread before everybody else's: others share the cores.
pub fn come_first() -> io::Result<()> {
    // SAFETY: no pointers; 0 is the calling thread.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, -20) }).map(drop)
}

/// CPU time of the calling thread so far, its system calls included.
pub fn thread_time() -> io::Result<Duration> {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes until the call returns.
    check(unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) })?;
    Ok(Duration::new(time.tv_sec.cast_unsigned(), time.tv_nsec.cast_unsigned() as u32))
}

/// Attributes of `BPF_MAP_LOOKUP_AND_DELETE_BATCH` (include/uapi/linux/bpf.h).
#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Attributes of commands on one element: lookup, delete and next key.
#[repr(C)]
struct Element {
    map: u32,
    pad: u32,
    key: u64,
    value_or_next: u64,
    flags: u64,
}

const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_MAP_LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;

/// Takes everything out of a hash table, `at_once` elements per call; how many there were.
///
/// # Errors
/// What the kernel says, but for the end.
pub fn drain_batch(map: RawFd, key_size: usize, value_size: usize, at_once: u32) -> io::Result<u64> {
    let mut keys = vec![0_u8; key_size * at_once as usize];
    let mut values = vec![0_u8; value_size * at_once as usize];
    let (mut position, mut next, mut total) = ([0_u8; 64], [0_u8; 64], 0);
    let mut first = true;
    loop {
        let mut attributes = Batch {
            from: if first { 0 } else { position.as_ptr() as u64 },
            to: next.as_mut_ptr() as u64,
            keys: keys.as_mut_ptr() as u64,
            values: values.as_mut_ptr() as u64,
            count: at_once,
            map: map.cast_unsigned(),
            element_flags: 0,
            flags: 0,
        };
        // SAFETY: the attributes of this command; the buffers have room for `at_once` elements and live until it returns.
        let done = unsafe { bpf(BPF_MAP_LOOKUP_AND_DELETE_BATCH, &mut attributes) };
        match done {
            Err(error) if error.raw_os_error() != Some(libc::ENOENT) => return Err(error),
            Err(_) => return Ok(total + u64::from(attributes.count)),
            Ok(_) => total += u64::from(attributes.count),
        }
        position = next;
        first = false;
    }
}

/// Takes everything out of a hash table key by key, the next one asked for before one is deleted; how many elements there
/// were.
///
/// # Errors
/// What the kernel says, but for the end.
pub fn drain_one_by_one(map: RawFd, key_size: usize, value_size: usize) -> io::Result<u64> {
    let (mut key, mut next, mut value) = (vec![0_u8; key_size], vec![0_u8; key_size], vec![0_u8; value_size]);
    let map = map.cast_unsigned();
    let mut total = 0;
    let mut more = next_key(map, None, &mut key)?;
    while more {
        more = next_key(map, Some(&key), &mut next)?;
        let mut element =
            Element { map, pad: 0, key: key.as_ptr() as u64, value_or_next: value.as_mut_ptr() as u64, flags: 0 };
        // SAFETY: the attributes of this command; key and value have the sizes of the map's, as the caller says.
        unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut element) }?;
        element.value_or_next = 0;
        // SAFETY: as above.
        unsafe { bpf(BPF_MAP_DELETE_ELEM, &mut element) }?;
        total += 1;
        std::mem::swap(&mut key, &mut next);
    }
    Ok(total)
}

/// The key after `key`, or the first one; false at the end.
fn next_key(map: u32, key: Option<&[u8]>, next: &mut [u8]) -> io::Result<bool> {
    let key = key.map_or(0, |key| key.as_ptr() as u64);
    let mut attributes = Element { map, pad: 0, key, value_or_next: next.as_mut_ptr() as u64, flags: 0 };
    // SAFETY: the attributes of this command; both keys have the size of the map's, as the caller of our caller says.
    match unsafe { bpf(BPF_MAP_GET_NEXT_KEY, &mut attributes) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Has the kernel back `memory` with pages of the smallest size, as it does its own tables.
///
/// # Errors
/// What the kernel says; one without huge pages has nothing to refuse.
pub fn on_small_pages(memory: &mut [std::mem::MaybeUninit<u8>]) -> io::Result<()> {
    const PAGE: usize = 4096;
    let begin = memory.as_ptr().addr().next_multiple_of(PAGE);
    let len = (memory.as_ptr().addr() + memory.len()).saturating_sub(begin);
    let at = memory.as_mut_ptr().wrapping_add(begin - memory.as_ptr().addr());
    // SAFETY: advice on pages of our own; no byte of them changes.
    let done = unsafe { libc::madvise(at.cast(), len, libc::MADV_NOHUGEPAGE) };
    match io::Error::last_os_error() {
        error if done != 0 && error.raw_os_error() != Some(libc::EINVAL) => Err(error),
        _ => Ok(()),
    }
}

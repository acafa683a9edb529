//! Apart: has threads begin on processors of their own.
//!
//! The scheduler puts a new thread where its starter is when that is about to sleep, and leaves it there for some ten
//! milliseconds: as long as reading a small capture takes.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Moves this thread to the `number`th of the processors that it may run on. It may go elsewhere from there, and where
/// nothing may be said of processors it stays.
pub(super) fn begin_on(number: usize) {
    let Ok(allowed) = sched_getaffinity(None) else { return };
    let count = allowed.count().max(1) as usize;
    let nth = (0..CpuSet::MAX_CPU).filter(|processor| allowed.is_set(*processor)).nth(number % count);
    let Some(processor) = nth else { return };
    let mut one = CpuSet::new();
    one.set(processor);
    // Where it may not be narrowed there is nothing to be widened again.
    let _moved = sched_setaffinity(None, &one).and_then(|()| sched_setaffinity(None, &allowed));
}

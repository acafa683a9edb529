//! Session clock: monotonic time of the kernel as nanoseconds since the Unix epoch.

use std::time::{SystemTime, UNIX_EPOCH};

/// `CLOCK_MONOTONIC` (which the kernel program stamps with), and its distance to the Unix epoch, taken once: a wall
/// clock that is stepped later changes no duration.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    /// Nanoseconds.
    pub(crate) offset_ns: u64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        let unix_ns = wall_ns();
        Self { offset_ns: unix_ns.saturating_sub(monotonic_ns()) }
    }

    /// Now, nanoseconds since the Unix epoch.
    pub(crate) fn unix_ns(self) -> u64 {
        monotonic_ns() + self.offset_ns
    }
}

/// What the wall clock shows now, which anybody may set: nanoseconds since the Unix epoch.
pub(crate) fn wall_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The monotonic clock counts up from boot.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

//! Closed standard output: remembers whether rstprobe was started without one (`>&-`).
//!
//! Before `main`, std opens the null device in the place of a standard stream that is closed, so that no file gets its
//! number; from then on everything that is written seems to have been written. Hence the look before that.

use std::{
    io,
    os::fd::AsFd as _,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

static WAS_CLOSED: AtomicBool = AtomicBool::new(false);

/// Before std has begun: it duplicates the descriptor, by a system call, and does nothing else.
#[ctor::ctor(unsafe)]
fn look() {
    WAS_CLOSED.store(io::stdout().as_fd().try_clone_to_owned().is_err(), Relaxed);
}

/// Refuses to write where nothing was open.
///
/// # Errors
/// What the system would say.
pub(crate) fn refuse() -> io::Result<()> {
    if WAS_CLOSED.load(Relaxed) { Err(io::Error::from_raw_os_error(libc::EBADF)) } else { Ok(()) }
}

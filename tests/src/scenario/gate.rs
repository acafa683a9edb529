//! Gate: holds scenarios back until the probe watches, so that each begins where it is seen whole.

use std::{
    io,
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// Held until opened; then it stays open.
#[derive(Debug, Default)]
pub struct Gate {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: usize,
    open: bool,
}

impl Gate {
    /// Waits until it is open.
    pub fn pass(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(state, |state| !state.open));
    }

    /// Waits until `count` are held back.
    ///
    /// # Errors
    /// `TimedOut` when they are not within `patience`.
    pub fn await_waiting(&self, count: usize, patience: Duration) -> io::Result<()> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let result = self.changed.wait_timeout_while(state, patience, |state| state.waiting < count);
        let (state, _) = result.unwrap_or_else(PoisonError::into_inner);
        if state.waiting >= count {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::TimedOut, format!("{} of {count} connections are open", state.waiting)))
    }

    /// Lets everybody pass, now and from now on.
    pub fn open(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).open = true;
        self.changed.notify_all();
    }
}

//! Output writer: a thread that writes standard output while watching, so that a reader that does not read never holds up
//! the drains, nor the end of the run.

use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
};

use serde::Serialize;

use crate::{error::RunError, output};

/// Text that waits for the reader, beside what is being written; what comes on top of it is dropped.
const MAX_WAITING: usize = 4 << 20;

/// Where data goes.
pub(crate) enum Stdout {
    /// Written at once; a slow reader slows us down. For captures, which wait.
    Direct,
    /// Written by a thread. For live traffic, which does not.
    Queued(Writer),
}

impl Stdout {
    /// Takes text that may be dropped when the reader does not keep up; false when it was.
    ///
    /// # Errors
    /// What went wrong in writing, now or before; said once.
    pub(crate) fn stream(&self, text: &str) -> Result<bool, RunError> {
        match self {
            Self::Direct => output::data(text).map(|()| true),
            Self::Queued(writer) => writer.offer(text),
        }
    }

    /// Takes text that must not be lost, and waits for room.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub(crate) fn print(&self, text: &str) -> Result<(), RunError> {
        match self {
            Self::Direct => output::data(text),
            Self::Queued(writer) => writer.put(text),
        }
    }

    /// As [`Self::print`], of a JSON document.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub(crate) fn print_document(&self, document: &impl Serialize) -> Result<(), RunError> {
        match self {
            Self::Direct => output::data_document(document),
            Self::Queued(writer) => {
                let mut pieces = Pieces { writer, failed: None };
                let written = output::document(&mut pieces, document);
                match pieces.failed {
                    Some(failed) => Err(failed),
                    None => written.map_err(|source| RunError::Write { what: "standard output".to_string(), source }),
                }
            }
        }
    }

    /// Waits until everything is written.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub(crate) fn close(self) -> Result<(), RunError> {
        match self {
            Self::Direct => Ok(()),
            Self::Queued(writer) => writer.close(),
        }
    }
}

/// Puts pieces of text, as they come, before the thread.
struct Pieces<'a> {
    writer: &'a Writer,
    failed: Option<RunError>,
}

impl io::Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = str::from_utf8(bytes).map_err(io::Error::other)?;
        if let Err(error) = self.writer.put(text) {
            self.failed = Some(error);
            return Err(io::Error::other("said elsewhere"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The thread and what waits for it.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: String,
    /// Nothing more comes.
    closed: bool,
    /// Nothing more is written.
    over: bool,
    /// Why, until it was said.
    failed: Option<RunError>,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: writes what waits, until there is no more to come or nobody to read it.
    fn write(&self, mut sink: impl FnMut(&str) -> Result<(), RunError>) {
        let mut state = self.lock();
        loop {
            if !state.waiting.is_empty() {
                let text = std::mem::take(&mut state.waiting);
                drop(state);
                self.changed.notify_all();
                let written = sink(&text);
                state = self.lock();
                state.failed = written.err();
            }
            if state.failed.is_some() || (state.closed && state.waiting.is_empty()) {
                state.over = true;
                drop(state);
                return self.changed.notify_all();
            }
            if state.waiting.is_empty() {
                state = self.wait(state);
            }
        }
    }
}

/// What went wrong, once; after that, text is thrown away.
fn said_once(state: &mut State) -> Result<(), RunError> {
    state.failed.take().map_or(Ok(()), Err)
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start() -> Result<Self, RunError> {
        Self::to(output::data)
    }

    fn to(sink: impl FnMut(&str) -> Result<(), RunError> + Send + 'static) -> Result<Self, RunError> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("stdout".to_string()).spawn(move || theirs.write(sink));
        Ok(Self { shared, thread: thread.map_err(RunError::Runtime)? })
    }

    fn offer(&self, text: &str) -> Result<bool, RunError> {
        let mut state = self.shared.lock();
        said_once(&mut state)?;
        if state.over || text.is_empty() {
            return Ok(true);
        }
        if state.waiting.len() + text.len() > MAX_WAITING {
            return Ok(false);
        }
        state.waiting += text;
        self.shared.changed.notify_all();
        Ok(true)
    }

    fn put(&self, text: &str) -> Result<(), RunError> {
        let mut state = self.shared.lock();
        // Text that is larger than the bound waits until it is alone.
        while !state.over && !state.waiting.is_empty() && state.waiting.len() + text.len() > MAX_WAITING {
            state = self.shared.wait(state);
        }
        if !state.over {
            state.waiting += text;
            self.shared.changed.notify_all();
        }
        said_once(&mut state)
    }

    fn close(self) -> Result<(), RunError> {
        self.shared.lock().closed = true;
        self.shared.changed.notify_all();
        // It panics only where everything has to end anyway.
        let _panicked: Option<()> = self.thread.join().ok();
        said_once(&mut self.shared.lock())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_does_not_fit_is_dropped_and_the_rest_is_in_order() {
        let (go, gate) = channel::<()>();
        let written = Arc::new(Mutex::new(String::new()));
        let theirs = Arc::clone(&written);
        let writer = Writer::to(move |text| {
            // Ends with an error when the test lets go.
            let _open: Option<()> = gate.recv().ok();
            theirs.lock().expect("no panic").push_str(text);
            Ok(())
        })
        .expect("a thread");
        let line = "x".repeat(1 << 20) + "\n";
        let kept = (0..20).filter(|_| writer.offer(&line).expect("no failure")).count();
        assert!((3..=7).contains(&kept), "{kept}");
        drop(go);
        writer.put("the end").expect("no failure");
        writer.close().expect("no failure");
        let written = written.lock().expect("no panic");
        assert_eq!(written.len(), kept * line.len() + "the end".len());
        assert!(written.ends_with("the end"));
    }

    #[test]
    fn a_failure_is_said_once_and_blocks_nothing() {
        let writer = Writer::to(|_| Err(RunError::BrokenPipe)).expect("a thread");
        assert!(writer.offer("a").expect("not yet known"));
        while !writer.shared.lock().over {
            thread::yield_now();
        }
        assert!(matches!(writer.offer(""), Err(RunError::BrokenPipe)));
        writer.put(&"x".repeat(2 * MAX_WAITING)).expect("said before");
        writer.close().expect("said before");
    }
}

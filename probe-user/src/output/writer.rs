//! Output writer: a thread that writes standard output while watching, so that a reader that does not read never holds up
//! the drains, nor the end of the run; and that compresses it, of captures too.

use std::{
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use serde::Serialize;

use super::packer::Packer;
use crate::{error::RunError, output, plan::Compression};

/// Text that waits for the reader, beside what is being written; what comes on top of it is dropped.
const MAX_WAITING: usize = 4 << 20;
/// What was compressed can be read this long after the last of it was written,
const QUIET: Duration = Duration::from_millis(100);
/// and this long after the first of it: each time costs bytes.
const LONGEST: Duration = Duration::from_secs(1);

/// How lines come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Come {
    /// As fast as can be: nobody waits for one. The same lines are the same compressed bytes.
    AtOnce,
    /// As connections end: each can be read soon after.
    AsTheyDo,
}

/// Where data goes.
pub(crate) enum Stdout {
    /// Written at once; a slow reader slows us down. For captures, which wait.
    Direct,
    /// Compressed and written by a thread, which is waited for. For captures.
    Packed(Writer),
    /// Written by a thread, and compressed where that is asked for. For live traffic, which does not wait.
    Queued(Writer),
}

impl Stdout {
    /// For captures.
    ///
    /// # Errors
    /// As [`Self::of_traffic`].
    pub(crate) fn of_captures(compression: Option<Compression>, come: Come) -> Result<Self, RunError> {
        compression.map_or(Ok(Self::Direct), |compression| Writer::start(Some(compression), come).map(Self::Packed))
    }

    /// For live traffic.
    ///
    /// # Errors
    /// There is no thread to be had, or no standard output.
    pub(crate) fn of_traffic(compression: Option<Compression>) -> Result<Self, RunError> {
        Writer::start(compression, Come::AsTheyDo).map(Self::Queued)
    }

    /// Takes text that may be dropped when the reader does not keep up; false when it was.
    ///
    /// # Errors
    /// What went wrong in writing, now or before; said once.
    pub(crate) fn stream(&self, text: &str) -> Result<bool, RunError> {
        match self {
            Self::Direct => output::data(text).map(|()| true),
            Self::Packed(writer) => writer.put(text).map(|()| true),
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
            Self::Packed(writer) | Self::Queued(writer) => writer.put(text),
        }
    }

    /// As [`Self::print`], of a JSON document.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub(crate) fn print_document(&self, document: &impl Serialize) -> Result<(), RunError> {
        match self {
            Self::Direct => output::data_document(document),
            Self::Packed(writer) | Self::Queued(writer) => {
                let mut pieces = Pieces { writer, failed: None };
                let written = output::document(&mut pieces, document);
                match pieces.failed {
                    Some(failed) => Err(failed),
                    None => written.map_err(|source| RunError::Write { what: "standard output".to_string(), source }),
                }
            }
        }
    }

    /// Waits until everything is written, and the end of what is compressed.
    ///
    /// # Errors
    /// As [`Self::stream`].
    pub(crate) fn close(self) -> Result<(), RunError> {
        match self {
            Self::Direct => Ok(()),
            Self::Packed(writer) | Self::Queued(writer) => writer.close(),
        }
    }
}

/// Puts pieces of text, as they come, before the thread.
struct Pieces<'a> {
    writer: &'a Writer,
    failed: Option<RunError>,
}

impl Write for Pieces<'_> {
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

/// What the thread writes to.
trait Sink {
    fn write(&mut self, text: &str) -> Result<(), RunError>;
    /// Has what was written be read; `None` where nothing is held back.
    fn flush(&mut self) -> Option<Result<(), RunError>>;
    /// After everything.
    fn finish(self) -> Result<(), RunError>;
}

/// Writes, and holds nothing back.
struct Plain<F>(F);

impl<F: FnMut(&str) -> Result<(), RunError>> Sink for Plain<F> {
    fn write(&mut self, text: &str) -> Result<(), RunError> {
        (self.0)(text)
    }

    fn flush(&mut self) -> Option<Result<(), RunError>> {
        None
    }

    fn finish(self) -> Result<(), RunError> {
        Ok(())
    }
}

impl<W: Write> Sink for Packer<W> {
    fn write(&mut self, text: &str) -> Result<(), RunError> {
        output::written_out(self.write_all(text.as_bytes()))
    }

    fn flush(&mut self) -> Option<Result<(), RunError>> {
        Some(output::written_out(Write::flush(self)))
    }

    fn finish(self) -> Result<(), RunError> {
        output::written_out(Packer::finish(self))
    }
}

/// What the thread does next.
enum Next {
    Write,
    Flush,
    Finish,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread: writes what waits, until there is no more to come or nobody to read it.
    fn write(&self, sink: impl Sink, come: Come) {
        let failed = self.write_all(sink, come).err();
        let mut state = self.lock();
        state.failed = failed;
        state.over = true;
        drop(state);
        self.changed.notify_all();
    }

    fn write_all(&self, mut sink: impl Sink, come: Come) -> Result<(), RunError> {
        let mut text = String::new();
        // When the first and the last was written that a reader may not see yet.
        let mut unseen: Option<[Instant; 2]> = None;
        loop {
            let flush_at =
                unseen.filter(|_| come == Come::AsTheyDo).map(|[first, last]| (first + LONGEST).min(last + QUIET));
            match self.next(flush_at, &mut text) {
                Next::Write => {
                    sink.write(&text)?;
                    text.clear();
                    let now = Instant::now();
                    unseen = Some([unseen.map_or(now, |[first, _]| first), now]);
                }
                Next::Flush => {
                    sink.flush().unwrap_or(Ok(()))?;
                    unseen = None;
                }
                Next::Finish => return sink.finish(),
            }
        }
    }

    /// Waits for something to do. What is to be written is put into `text`, which is empty.
    fn next(&self, flush_at: Option<Instant>, text: &mut String) -> Next {
        let mut state = self.lock();
        loop {
            let until_flush = flush_at.map(|at| at.saturating_duration_since(Instant::now()));
            if until_flush.is_some_and(|time| time.is_zero()) {
                return Next::Flush;
            }
            if !state.waiting.is_empty() {
                std::mem::swap(&mut state.waiting, text);
                drop(state);
                self.changed.notify_all();
                return Next::Write;
            }
            if state.closed {
                return Next::Finish;
            }
            state = match until_flush {
                Some(time) => self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0,
                None => self.wait(state),
            };
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
    /// There is no thread to be had, or no standard output.
    fn start(compression: Option<Compression>, come: Come) -> Result<Self, RunError> {
        if compression.is_none() {
            return Self::to(Plain(output::data), come);
        }
        let packer = output::unbuffered().and_then(|stdout| Packer::new(compression, stdout));
        Self::to(packer.map_err(|source| RunError::Write { what: "standard output".to_string(), source })?, come)
    }

    fn to(sink: impl Sink + Send + 'static, come: Come) -> Result<Self, RunError> {
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        let thread = thread::Builder::new().name("stdout".to_string()).spawn(move || theirs.write(sink, come));
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
        let writer = Writer::to(
            Plain(move |text: &str| {
                // Ends with an error when the test lets go.
                let _open: Option<()> = gate.recv().ok();
                theirs.lock().expect("no panic").push_str(text);
                Ok(())
            }),
            Come::AsTheyDo,
        )
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
        let writer = Writer::to(Plain(|_: &str| Err(RunError::BrokenPipe)), Come::AsTheyDo).expect("a thread");
        assert!(writer.offer("a").expect("not yet known"));
        while !writer.shared.lock().over {
            thread::yield_now();
        }
        assert!(matches!(writer.offer(""), Err(RunError::BrokenPipe)));
        writer.put(&"x".repeat(2 * MAX_WAITING)).expect("said before");
        writer.close().expect("said before");
    }

    /// Lines that hardly compress.
    fn noise(len: usize) -> String {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
            char::from(b' ' + (state >> 58) as u8)
        };
        (0..len).map(|_| next()).collect()
    }

    fn packed(compression: Compression) -> (io::PipeReader, Writer) {
        let (reader, into) = io::pipe().expect("a pipe");
        (reader, Writer::to(Packer::new(Some(compression), into).expect("memory"), Come::AsTheyDo).expect("a thread"))
    }

    #[test]
    fn lines_are_read_while_more_are_to_come_and_the_end_is_whole() {
        let (reader, writer) = packed(Compression::Gzip);
        assert!(writer.offer("line 0\n").expect("no failure"));
        let mut lines = io::BufRead::lines(io::BufReader::new(flate2::read::GzDecoder::new(reader)));
        for number in 0..3 {
            // Comes although nothing else is written.
            assert_eq!(lines.next().expect("not the end").expect("valid"), format!("line {number}"));
            assert!(writer.offer(&format!("line {}\n", number + 1)).expect("no failure"));
        }
        assert_eq!(lines.next().expect("not the end").expect("valid"), "line 3");
        writer.close().expect("no failure");
        assert!(lines.next().is_none(), "neither a line nor an error");
    }

    #[test]
    fn a_reader_that_does_not_read_takes_no_memory_when_compressed_either() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let (mut reader, writer) = packed(compression);
            let text = noise(1 << 20);
            let kept = (0..40).filter(|_| writer.offer(&text).expect("no failure")).count();
            assert!((4..=12).contains(&kept), "{kept}: what waits, what is being written, the pipe");
            let reads = thread::spawn(move || io::copy(&mut reader, &mut io::sink()));
            writer.close().expect("no failure");
            assert!(reads.join().expect("no panic").is_ok());
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_noticed_when_compressed_too() {
        for compression in [Compression::Gzip, Compression::Zstd] {
            let (reader, writer) = packed(compression);
            drop(reader);
            let outcome = (0..100).find_map(|_| writer.put(&noise(1 << 20)).err());
            assert!(matches!(outcome, Some(RunError::BrokenPipe)), "{outcome:?}");
            writer.close().expect("said before");
        }
    }
}

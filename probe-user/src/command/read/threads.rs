//! Threads of reading: one decodes, one tracks, one prints. Everything passes from one to the next in the order of the
//! capture, so that the output is that of a single thread.

use std::{
    sync::mpsc::{Receiver, SyncSender, channel, sync_channel},
    thread,
};

use super::{
    batch::Batch,
    decoding::{Decoding, Take},
    printing::{Printer, Printing},
    tracking::Tracking,
};
use crate::{
    command::RunError,
    output::view::View,
    source::capture::{CaptureFile, Decoder, Named},
    tracker::Tracker,
};

/// Batches, and works of the printer, on their way from one thread to the next.
const ON_THE_WAY: usize = 8;

/// Whether one thread does it, where `asked` for are so many; 0 leaves it open.
pub(super) fn is_one_better(asked: usize) -> bool {
    match asked {
        0 => thread::available_parallelism().is_ok_and(|processors| processors.get() == 1),
        asked => asked == 1,
    }
}

/// What was read.
pub(super) struct HasRead {
    pub(super) decoder: Decoder,
    pub(super) tracker: Tracker,
    pub(super) view: View,
    /// Times of the first frame and of the latest one.
    pub(super) span_ns: [u64; 2],
    /// How reading ended.
    pub(super) read: Result<(), RunError>,
    /// How printing ended.
    pub(super) printed: Result<(), RunError>,
}

/// Reads `files`, the first of which is open, on this thread alone.
///
/// # Errors
/// Nobody reads the output any more.
pub(super) fn on_one(
    decoder: Decoder,
    tracker: Tracker,
    view: View,
    files: &[Named],
    first: CaptureFile,
) -> Result<HasRead, RunError> {
    let printer = Printer::here(Printing::new(view));
    let mut decoding = Decoding::new(decoder, Tracking::new(tracker, printer));
    let read = decoding.read(files, first);
    let Decoding { decoder, to: mut tracking, start_ns, end_ns, .. } = decoding;
    let printed = if is_broken(&read) { Err(RunError::BrokenPipe) } else { tracking.take_left(end_ns) };
    let Tracking { tracker, printer, .. } = tracking;
    let Some(Printing { view, .. }) = printer.into_printing() else { unreachable!("it prints here") };
    if is_broken(&printed) {
        view.end_progress();
        return Err(RunError::BrokenPipe);
    }
    Ok(HasRead { decoder, tracker, view, span_ns: [start_ns, end_ns], read, printed })
}

/// The same on three threads.
///
/// # Errors
/// Nobody reads the output any more. Then the thread that decodes is left alone: it may be waiting for a capture that never
/// goes on.
pub(super) fn on_three(
    decoder: Decoder,
    tracker: Tracker,
    view: View,
    files: &[Named],
    first: CaptureFile,
) -> Result<HasRead, RunError> {
    let (steps_in, steps) = sync_channel(ON_THE_WAY);
    let (empty_in, empty) = channel();
    let (works_in, works) = sync_channel(ON_THE_WAY);
    let (emptied_in, emptied) = channel();
    let files = files.to_vec();
    let decodes = thread::spawn(move || {
        let mut decoding = Decoding::new(decoder, Handing { steps: steps_in, empty });
        let read = decoding.read(&files, first);
        let Decoding { decoder, start_ns, end_ns, .. } = decoding;
        (decoder, [start_ns, end_ns], read)
    });
    let prints = thread::spawn(move || {
        let mut printing = Printing::new(view);
        let printed = printing.run(works, &emptied_in);
        (printing.view, printed)
    });
    let mut tracking = Tracking::new(tracker, Printer::there(works_in, emptied));
    // Who prints says what went wrong there; nobody sends to who is not there.
    if take_all(&mut tracking, steps, &empty_in).is_err() {
        let Tracking { tracker, printer, .. } = tracking;
        drop(printer);
        let (view, printed) = joined(prints);
        if is_broken(&printed) {
            view.end_progress();
            return Err(RunError::BrokenPipe);
        }
        let (decoder, span_ns, _) = joined(decodes);
        return Ok(HasRead { decoder, tracker, view, span_ns, read: Ok(()), printed });
    }
    let (decoder, span_ns, read) = joined(decodes);
    drop(tracking.take_left(span_ns[1]));
    let Tracking { tracker, printer, .. } = tracking;
    drop(printer);
    let (view, printed) = joined(prints);
    Ok(HasRead { decoder, tracker, view, span_ns, read, printed })
}

/// Whether nobody reads the output any more.
pub(super) fn is_broken(outcome: &Result<(), RunError>) -> bool {
    matches!(outcome, Err(RunError::BrokenPipe))
}

fn joined<T>(thread: thread::JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// What is handed from decoding to tracking.
enum Step {
    Begin(u64),
    Batch(Batch),
    Notice(String),
}

/// Sends what is decoded to another thread.
struct Handing {
    steps: SyncSender<Step>,
    /// Batches that have been tracked.
    empty: Receiver<Batch>,
}

impl Handing {
    fn send(&self, step: Step) -> Result<(), RunError> {
        self.steps.send(step).map_err(|_| RunError::BrokenPipe)
    }
}

impl Take for Handing {
    fn begin(&mut self, time_ns: u64) -> Result<(), RunError> {
        self.send(Step::Begin(time_ns))
    }

    fn batch(&mut self, batch: &mut Batch) -> Result<(), RunError> {
        let empty = self.empty.try_recv().unwrap_or_else(|_| Batch::new());
        self.send(Step::Batch(std::mem::replace(batch, empty)))
    }

    fn notice(&mut self, text: &str) -> Result<(), RunError> {
        self.send(Step::Notice(text.to_owned()))
    }
}

/// Takes every step, until there are no more or the printer has gone.
fn take_all(
    tracking: &mut Tracking,
    steps: Receiver<Step>,
    empty: &std::sync::mpsc::Sender<Batch>,
) -> Result<(), RunError> {
    for step in steps {
        match step {
            Step::Begin(time_ns) => tracking.begin(time_ns)?,
            Step::Batch(mut batch) => {
                tracking.batch(&mut batch)?;
                batch.clear();
                // Who decodes may be done.
                drop(empty.send(batch));
            }
            Step::Notice(text) => tracking.notice(&text)?,
        }
    }
    Ok(())
}

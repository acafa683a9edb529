//! Tracking: hands segments to the tracker and the records of connections that have ended to the printer.

use super::{batch::Batch, decoding::Take, printing::Printer};
use crate::{command::RunError, record::Connection, tracker::Tracker};

/// Records gathered before they are printed: few enough to stream, enough to write in one go.
const RECORDS: usize = 64;
/// The same of those that are left at the end.
const LEFT: usize = 128;

/// A tracker, and where its records go.
pub(super) struct Tracking {
    pub(super) tracker: Tracker,
    pub(super) printer: Printer,
    /// Memory for records on their way.
    closed: Vec<Connection>,
}

impl Tracking {
    /// Nothing is tracked yet.
    pub(super) fn new(tracker: Tracker, printer: Printer) -> Self {
        Self { tracker, printer, closed: Vec::new() }
    }

    /// Prints what is still tracked at `end_ns`, a batch at a time: there may be very many, and none is needed twice.
    ///
    /// # Errors
    /// It cannot be printed; all has been written by the tracker all the same.
    pub(super) fn take_left(&mut self, end_ns: u64) -> Result<(), RunError> {
        let mut left = self.tracker.left(end_ns);
        let mut taken = Ok(());
        loop {
            self.tracker.swap_closed(&mut self.closed);
            if taken.is_ok() {
                taken = self.printer.take(&mut self.closed);
            }
            self.closed.clear();
            if !self.tracker.write_left(&mut left, LEFT) {
                return taken;
            }
        }
    }
}

impl Take for Tracking {
    fn begin(&mut self, time_ns: u64) -> Result<(), RunError> {
        self.printer.begin(time_ns)
    }

    fn batch(&mut self, batch: &mut Batch) -> Result<(), RunError> {
        batch.track(&mut self.tracker);
        if self.tracker.closed_len() >= RECORDS {
            self.tracker.swap_closed(&mut self.closed);
            self.printer.take(&mut self.closed)?;
        }
        self.printer.progress(batch.frames)
    }

    fn notice(&mut self, text: &str) -> Result<(), RunError> {
        self.printer.notice(text)
    }
}

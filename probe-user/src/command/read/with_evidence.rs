//! Reading with evidence: frame by frame on one thread, as the frames of each verdict are kept.

use std::path::Path;

use super::{
    parcel::{arrival, hear},
    printing::Printing,
    unreadable,
};
use crate::{
    command::{RunError, capture_clock::CaptureClock},
    output::capture_evidence::CaptureEvidence,
    plan::Period,
    record::Connection,
    source::capture::{CaptureFile, Decoder, Frame, InTurn, Named},
    tracker::Tracker,
};

/// Records gathered before they are printed.
const RECORDS: usize = 64;
/// The same of those that are left at the end.
const LEFT: usize = 128;

/// Everything that a frame goes through.
pub(super) struct WithEvidence {
    pub(super) decoder: Decoder,
    pub(super) tracker: Tracker,
    pub(super) printing: Printing,
    pub(super) evidence: CaptureEvidence,
    /// When connections start whose packets are kept.
    pub(super) period: Period,
    pub(super) clock: CaptureClock,
    /// Time of the first frame of all; 0 before it.
    pub(super) start_ns: u64,
    /// Memory for records on their way.
    pub(super) closed: Vec<Connection>,
}

impl WithEvidence {
    /// Reads `files`, the first of which is open, as one stream; the latest time of a frame.
    ///
    /// # Errors
    /// The first capture that cannot be read to its end, or nobody reads the output.
    pub(super) fn read(&mut self, files: &[Named], first: CaptureFile) -> Result<(), RunError> {
        for (named, capture) in InTurn::new(files, first) {
            let mut capture = capture.map_err(|source| unreadable(named.path(), source))?;
            self.clock.begin();
            let read = self.frames_of(named.path(), &mut capture);
            for notice in self.clock.notices(named.path(), capture.is_evidence()) {
                self.printing.notice(&notice);
            }
            read?;
        }
        Ok(())
    }

    fn frames_of(&mut self, path: &Path, capture: &mut CaptureFile) -> Result<(), RunError> {
        self.evidence.begin(path);
        loop {
            let Some((frame, captured_on)) = capture.next_with_interface().map_err(|error| unreadable(path, error))?
            else {
                return Ok(());
            };
            self.see(&frame)?;
            let decoded = self.decoder.decode(&frame);
            match decoded {
                Some(decoded) => self.tracker.observe_all(&[arrival(decoded)]),
                None => self.tracker.advance(frame.time_ns),
            }
            if let Some(remark) = self.decoder.take_remark() {
                hear(&mut self.tracker, remark);
            }
            // What has ended goes before a frame of the next connection on the same ports comes.
            self.evidence.ended(&mut self.tracker, &mut self.closed);
            if let Some(decoded) = decoded {
                self.evidence.frame(&decoded, &frame, &captured_on);
            }
            if self.closed.len() >= RECORDS {
                self.printing.take(&mut self.closed)?;
            }
            self.printing.progress(self.decoder.accounting().frames);
        }
    }

    /// Notes the time of a frame.
    fn see(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        if self.start_ns == 0 {
            self.start_ns = frame.time_ns;
            if self.decoder.accounting().frames == 0 {
                self.printing.begin(frame.time_ns)?;
                self.evidence.restrict(self.period.resolved(frame.time_ns, frame.time_ns));
            }
        }
        if self.clock.awaits_first() {
            self.clock.see_first(frame.time_ns);
        } else {
            self.clock.see(frame.time_ns);
        }
        Ok(())
    }

    /// Prints what is still tracked, a batch at a time.
    ///
    /// # Errors
    /// It cannot be printed; all has become evidence all the same.
    pub(super) fn take_left(&mut self) -> Result<(), RunError> {
        let mut left = self.tracker.left(self.clock.latest_ns);
        let mut taken = Ok(());
        loop {
            self.evidence.ended(&mut self.tracker, &mut self.closed);
            if taken.is_ok() {
                taken = self.printing.take(&mut self.closed);
            }
            self.closed.clear();
            if !self.tracker.write_left(&mut left, LEFT) {
                return taken;
            }
        }
    }
}

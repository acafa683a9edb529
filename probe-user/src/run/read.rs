//! `rstprobe read`: capture files through the same tracker and views as live traffic.

use std::{path::Path, time::Instant};

use super::{RunError, losses, output, view::View, writer::Stdout};
use crate::{
    lifecycle::{Connection, Extra, Header, Tracker, TrackerConfig},
    plan::ReadPlan,
    report::{Window, flood::Flood},
    source::capture::{self, CaptureError, CaptureFile, Decoded, Decoder, Frame},
};

/// Records gathered before they are printed: few enough to stream, enough to write in one go.
const BATCH: usize = 128;
/// Frames between two looks at the wall clock, for progress.
const PROGRESS_FRAMES: u64 = 1 << 16;

/// Reads the captures in the given order, as one stream, and prints.
///
/// # Errors
/// The first capture that cannot be read to its end; everything readable before has been printed.
pub(super) fn read(plan: &ReadPlan) -> Result<(), RunError> {
    let mut reading = Reading {
        decoder: Decoder::new(plan.verify_checksums, plan.encapsulations, plan.domain),
        tracker: Tracker::new(TrackerConfig {
            timers: plan.timers,
            max_connections: plan.max_connections,
            hash_seed: std::hash::BuildHasher::hash_one(&foldhash::fast::RandomState::default(), plan.files.len()),
            ..TrackerConfig::default()
        }),
        view: View::open(&plan.view, Stdout::Direct)?,
        window: Window::default(),
        started: Instant::now(),
        closed: Vec::new(),
    };
    let mut outcome = Ok(());
    for file in &plan.files {
        if let Err(error) = reading.file(file) {
            outcome = Err(error);
            break;
        }
    }
    reading.view.end_progress();
    match outcome {
        Err(RunError::BrokenPipe) => Err(RunError::BrokenPipe),
        // Nothing was read, and there is nothing to say of it.
        Err(error) if reading.decoder.books().frames == 0 => Err(error),
        outcome => reading.finish().and(outcome),
    }
}

struct Reading {
    decoder: Decoder,
    tracker: Tracker,
    view: View,
    window: Window,
    started: Instant,
    /// Memory for records on their way.
    closed: Vec<Connection>,
}

impl Reading {
    fn file(&mut self, path: &Path) -> Result<(), RunError> {
        let named = |source: CaptureError| RunError::Capture { file: path.display().to_string(), source };
        let mut capture = CaptureFile::open(path).map_err(named)?;
        loop {
            match capture.next_frame() {
                Ok(Some(frame)) => self.frame(&frame)?,
                Ok(None) => return Ok(()),
                Err(error) => return Err(named(error)),
            }
        }
    }

    #[inline]
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        if self.decoder.books().frames == 0 {
            self.view.begin()?;
        }
        if self.window.start_ns == 0 {
            self.window.start_ns = frame.time_ns;
        }
        self.window.end_ns = self.window.end_ns.max(frame.time_ns);
        match self.decoder.decode(frame) {
            Some(Decoded { segment, bad_checksum, payload_cut, header }) => {
                let header = match header {
                    capture::Header::Whole => Header::Whole,
                    capture::Header::Cut => Header::Cut,
                    capture::Header::Contradictory => Header::Contradictory,
                };
                self.tracker.observe(&segment, Extra { bad_checksum, payload_cut, header });
            }
            None => self.tracker.advance(frame.time_ns),
        }
        if self.tracker.closed_len() >= BATCH {
            self.tracker.swap_closed(&mut self.closed);
            self.view.take(self.closed.drain(..))?;
        }
        let frames = self.decoder.books().frames;
        if frames.is_multiple_of(PROGRESS_FRAMES) {
            self.view.progress(self.started.elapsed(), &format!("{frames} frames, "));
        }
        Ok(())
    }

    fn finish(mut self) -> Result<(), RunError> {
        self.tracker.finish(self.window.end_ns);
        let books = self.decoder.books();
        if books.frames == 0 {
            self.view.begin()?;
            output::say("rstprobe: no frames");
        }
        self.view.take(self.tracker.take_closed())?;
        let (losses, books) = (
            losses::capture(books, &self.decoder.reassembled(), &self.tracker.stats()),
            losses::capture_books(books, &self.decoder.reassembled()),
        );
        self.view.finish(self.window, losses, books, Flood::default(), &self.tracker.stats())
    }
}

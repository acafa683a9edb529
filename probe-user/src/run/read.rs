//! `rstprobe read`: capture files through the same tracker and views as live traffic.

#![expect(clippy::inline_always, reason = "what every frame passes through")]

use std::{path::Path, time::Instant};

use super::{RunError, losses, output, view::View, writer::Stdout};
use crate::{
    lifecycle::{Arrival, Connection, Extra, Header, Tracker, TrackerConfig},
    plan::ReadPlan,
    report::{Window, flood::Flood},
    source::capture::{self, CaptureError, CaptureFile, Decoded, Decoder, Frame},
};

/// Segments gathered before the tracker gets them.
const ARRIVALS: usize = 128;
/// Records gathered before they are printed: few enough to stream, enough to write in one go.
const BATCH: usize = 64;
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
            evidence: plan.view.shows_evidence(),
            hash_seed: std::hash::BuildHasher::hash_one(&foldhash::fast::RandomState::default(), plan.files.len()),
            ..TrackerConfig::default()
        }),
        view: View::open(&plan.view, Stdout::Direct)?,
        window: Window::default(),
        started: Instant::now(),
        arrivals: Vec::with_capacity(ARRIVALS),
        progress_at: PROGRESS_FRAMES,
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
    /// On their way to the tracker, never while more is waited for.
    arrivals: Vec<Arrival>,
    /// Frames after which the wall clock is looked at again.
    progress_at: u64,
    /// Memory for records on their way.
    closed: Vec<Connection>,
}

impl Reading {
    fn file(&mut self, path: &Path) -> Result<(), RunError> {
        let named = |source: CaptureError| RunError::Capture { file: path.display().to_string(), source };
        let mut capture = CaptureFile::open(path).map_err(named)?;
        loop {
            while let Some(frame) = capture.frame_at_hand() {
                self.frame(&frame)?;
            }
            self.track()?;
            match capture.next_frame() {
                Ok(Some(frame)) => self.frame(&frame)?,
                Ok(None) => return self.track(),
                Err(error) => return self.track().and(Err(named(error))),
            }
        }
    }

    #[inline(always)]
    fn frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        if self.window.start_ns == 0 {
            self.first_frame(frame)?;
        }
        self.window.end_ns = self.window.end_ns.max(frame.time_ns);
        match self.decoder.decode_plain(frame) {
            Some(decoded) => self.arrivals.push(arrival(decoded)),
            None => self.odd_frame(frame)?,
        }
        if self.arrivals.len() >= ARRIVALS { self.track() } else { Ok(()) }
    }

    #[cold]
    fn first_frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        self.window.start_ns = frame.time_ns;
        if self.decoder.books().frames == 0 { self.view.begin() } else { Ok(()) }
    }

    #[cold]
    fn odd_frame(&mut self, frame: &Frame<'_>) -> Result<(), RunError> {
        if let Some(decoded) = self.decoder.decode(frame) {
            self.arrivals.push(arrival(decoded));
            return Ok(());
        }
        self.track()?;
        self.tracker.advance(frame.time_ns);
        Ok(())
    }

    /// Hands on what has gathered.
    fn track(&mut self) -> Result<(), RunError> {
        self.tracker.observe_all(&self.arrivals);
        self.arrivals.clear();
        if self.tracker.closed_len() >= BATCH {
            self.tracker.swap_closed(&mut self.closed);
            self.view.take(&mut self.closed)?;
        }
        let frames = self.decoder.books().frames;
        if frames >= self.progress_at {
            self.progress_at = frames + PROGRESS_FRAMES;
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
        self.view.take(&mut self.tracker.take_closed())?;
        let (losses, books) = (
            losses::capture(books, &self.decoder.reassembled(), &self.tracker.stats()),
            losses::capture_books(books, &self.decoder.reassembled()),
        );
        self.view.finish(self.window, losses, books, Flood::default(), &self.tracker.stats())
    }
}

/// In the tracker's words.
#[inline(always)]
fn arrival(decoded: Decoded) -> Arrival {
    let Decoded { segment, bad_checksum, payload_cut, header } = decoded;
    let header = match header {
        capture::Header::Whole => Header::Whole,
        capture::Header::Cut => Header::Cut,
        capture::Header::Contradictory => Header::Contradictory,
    };
    Arrival { segment, extra: Extra { bad_checksum, payload_cut, header } }
}

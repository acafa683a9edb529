//! Printing: gives the view its records, in order, and says what is to be said between them.

use std::time::Instant;

use super::parcel::Parcel;
use crate::{command::RunError, output, output::view::View, record::Connection};

/// Frames between two looks at the wall clock, for progress.
const PROGRESS_FRAMES: u64 = 1 << 16;
/// Records gathered before they are printed: few enough to stream, enough to write in one go.
const RECORDS: usize = 64;

/// A view, and since when it is fed.
pub(super) struct Printing {
    pub(super) view: View,
    started: Instant,
    /// Frames after which the wall clock is looked at again.
    progress_at: u64,
}

impl Printing {
    /// Begins now.
    pub(super) fn new(view: View) -> Self {
        Self { view, started: Instant::now(), progress_at: PROGRESS_FRAMES }
    }

    /// The first frame of all has this time.
    pub(super) fn begin(&mut self, time_ns: u64) -> Result<(), RunError> {
        self.view.begin(time_ns)
    }

    /// Prints `closed`, what has ended up to the end of `parcel`, unless it is too little to be worth it, and leaves none.
    pub(super) fn take_parcel(&mut self, parcel: &Parcel, closed: &mut Vec<Connection>) -> Result<(), RunError> {
        if closed.len() >= RECORDS || !parcel.notices.is_empty() && !closed.is_empty() {
            self.view.take(closed)?;
        }
        self.progress(parcel.frames);
        parcel.notices.iter().for_each(|notice| self.notice(notice));
        Ok(())
    }

    /// Takes connections and leaves none.
    pub(super) fn take(&mut self, closed: &mut Vec<Connection>) -> Result<(), RunError> {
        self.view.take(closed)
    }

    /// So many frames have been read.
    pub(super) fn progress(&mut self, frames: u64) {
        if frames >= self.progress_at {
            self.progress_at = frames + PROGRESS_FRAMES;
            self.view.progress(self.started.elapsed(), &format!("{frames} frames, "));
        }
    }

    /// To be said to people.
    pub(super) fn notice(&self, text: &str) {
        self.view.end_progress();
        output::say(&format!("rstprobe: {text}"));
    }
}

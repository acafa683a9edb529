//! Printing: gives the view its records, at once or on a thread of its own, in the same order.

use std::{
    sync::mpsc::{Receiver, Sender, SyncSender},
    time::Instant,
};

use crate::{command::RunError, output, output::view::View, record::Connection};

/// Frames between two looks at the wall clock, for progress.
const PROGRESS_FRAMES: u64 = 1 << 16;

/// What a printer does, in order.
pub(super) enum Work {
    /// The first frame of all has this time.
    Begin(u64),
    /// These connections have ended.
    Closed(Vec<Connection>),
    /// So many frames have been read.
    Progress(u64),
    /// To be said to people.
    Notice(String),
}

/// A view, and since when it is fed.
pub(super) struct Printing {
    pub(super) view: View,
    started: Instant,
}

impl Printing {
    /// Begins now.
    pub(super) fn new(view: View) -> Self {
        Self { view, started: Instant::now() }
    }

    /// Does one thing; leaves no connection in it.
    pub(super) fn do_work(&mut self, work: &mut Work) -> Result<(), RunError> {
        match work {
            Work::Begin(time_ns) => self.view.begin(*time_ns)?,
            Work::Closed(closed) => self.view.take(closed)?,
            Work::Progress(frames) => self.view.progress(self.started.elapsed(), &format!("{frames} frames, ")),
            Work::Notice(text) => {
                self.view.end_progress();
                output::say(text);
            }
        }
        Ok(())
    }

    /// Does everything that comes, and gives used memory back.
    ///
    /// # Errors
    /// The first that went wrong: then nothing more is done.
    pub(super) fn run(&mut self, works: Receiver<Work>, emptied: &Sender<Vec<Connection>>) -> Result<(), RunError> {
        for mut work in works {
            self.do_work(&mut work)?;
            if let Work::Closed(closed) = work {
                // Who tracked them may be done.
                drop(emptied.send(closed));
            }
        }
        Ok(())
    }
}

enum Where {
    /// On this thread.
    Here(Box<Printing>),
    /// On another one.
    There { works: SyncSender<Work>, emptied: Receiver<Vec<Connection>> },
}

/// Takes records for a view.
pub(super) struct Printer {
    place: Where,
    /// Frames after which the wall clock is looked at again.
    progress_at: u64,
}

impl Printer {
    /// Prints on this thread.
    pub(super) fn here(printing: Printing) -> Self {
        Self { place: Where::Here(Box::new(printing)), progress_at: PROGRESS_FRAMES }
    }

    /// Has another thread print.
    pub(super) fn there(works: SyncSender<Work>, emptied: Receiver<Vec<Connection>>) -> Self {
        Self { place: Where::There { works, emptied }, progress_at: PROGRESS_FRAMES }
    }

    /// The view, where it is on this thread.
    pub(super) fn into_printing(self) -> Option<Printing> {
        match self.place {
            Where::Here(printing) => Some(*printing),
            Where::There { .. } => None,
        }
    }

    pub(super) fn begin(&mut self, time_ns: u64) -> Result<(), RunError> {
        self.do_work(Work::Begin(time_ns))
    }

    /// Takes connections and leaves none.
    pub(super) fn take(&mut self, closed: &mut Vec<Connection>) -> Result<(), RunError> {
        match &mut self.place {
            Where::Here(printing) => printing.view.take(closed),
            Where::There { works, emptied } => {
                let empty = emptied.try_recv().unwrap_or_default();
                works.send(Work::Closed(std::mem::replace(closed, empty))).map_err(|_| RunError::BrokenPipe)
            }
        }
    }

    pub(super) fn progress(&mut self, frames: u64) -> Result<(), RunError> {
        if frames < self.progress_at {
            return Ok(());
        }
        self.progress_at = frames + PROGRESS_FRAMES;
        self.do_work(Work::Progress(frames))
    }

    pub(super) fn notice(&mut self, text: &str) -> Result<(), RunError> {
        self.do_work(Work::Notice(format!("rstprobe: {text}")))
    }

    fn do_work(&mut self, mut work: Work) -> Result<(), RunError> {
        match &mut self.place {
            Where::Here(printing) => printing.do_work(&mut work),
            // Who prints says what went wrong.
            Where::There { works, .. } => works.send(work).map_err(|_| RunError::BrokenPipe),
        }
    }
}

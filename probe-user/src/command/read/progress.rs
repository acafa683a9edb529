//! Progress: which batch is decoded, tracked, judged, formatted and written next, and by whom; workers that find nothing to do
//! wait here.
//!
//! A batch has a place in a ring from when it is decoded until it is written. Decoding is done by one worker at a time, in order,
//! by whichever comes; so are judging and writing, which both need the view. Each worker tracks every batch, for its own
//! partitions. Any worker formats. Nothing here touches a batch: who may is what the counters say. They are compiled once more with the primitives of a model checker
//! (`tests/tests/hand_over.rs`), hence `super::sync`.

use super::sync::{
    Condvar, LOOKS, Mutex, MutexGuard,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::SeqCst},
};

/// What is to be done with the view.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ForView {
    /// This batch is the next to be judged: every worker has tracked it.
    Judge(u64),
    /// This batch is the next to be written: its text is made.
    Write(u64),
}

/// See the module.
pub(crate) struct Progress {
    /// Places of the ring.
    places: u64,
    decoded: AtomicU64,
    /// By worker.
    tracked: Vec<AtomicU64>,
    judged: AtomicU64,
    /// Batches that somebody formats, or has.
    formatting: AtomicU64,
    /// By place: one more than the number of the batch that was formatted there last.
    formatted: Vec<AtomicU64>,
    written: AtomicU64,
    is_decoding: AtomicBool,
    is_viewing: AtomicBool,
    /// Nothing more will be decoded.
    has_ended: AtomicBool,
    /// Nothing more is wanted.
    is_stopped: AtomicBool,
    sleeping: AtomicUsize,
    lock: Mutex<()>,
    changed: Condvar,
}

impl Progress {
    /// Nothing has been done; batches lie in so many `places` until they are written.
    pub(crate) fn new(workers: usize, places: u64) -> Self {
        let zeros = |count: usize| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            places,
            decoded: AtomicU64::new(0),
            tracked: zeros(workers),
            judged: AtomicU64::new(0),
            formatting: AtomicU64::new(0),
            formatted: zeros(places as usize),
            written: AtomicU64::new(0),
            is_decoding: AtomicBool::new(false),
            is_viewing: AtomicBool::new(false),
            has_ended: AtomicBool::new(false),
            is_stopped: AtomicBool::new(false),
            sleeping: AtomicUsize::new(0),
            lock: Mutex::new(()),
            changed: Condvar::new(),
        }
    }

    /// Where batch `number` lies.
    pub(crate) fn place(&self, number: u64) -> usize {
        (number % self.places) as usize
    }

    /// The batch that this worker is to track next, if it is there.
    pub(crate) fn to_track(&self, worker: usize) -> Option<u64> {
        let next = self.tracked[worker].load(SeqCst);
        (next < self.decoded.load(SeqCst)).then_some(next)
    }

    /// The worker has tracked it.
    pub(crate) fn has_tracked(&self, worker: usize) {
        self.tracked[worker].fetch_add(1, SeqCst);
        self.wake();
    }

    fn next_to_decode(&self) -> Option<u64> {
        let next = self.decoded.load(SeqCst);
        let is_free = next < self.written.load(SeqCst) + self.places;
        (is_free && !self.has_ended.load(SeqCst) && !self.is_stopped.load(SeqCst)).then_some(next)
    }

    /// The batch to be decoded next, if there is room for it: the caller decodes it, and nobody else meanwhile.
    pub(crate) fn claim_decoding(&self) -> Option<u64> {
        if self.next_to_decode().is_none() || self.is_decoding.swap(true, SeqCst) {
            return None;
        }
        // Another may have done it between.
        let next = self.next_to_decode();
        if next.is_none() {
            self.is_decoding.store(false, SeqCst);
            self.wake();
        }
        next
    }

    /// The batch is there; `is_last`: there will be no other.
    pub(crate) fn has_decoded(&self, is_last: bool) {
        // In this order: that all is merged is said of what will be there in the end.
        self.decoded.fetch_add(1, SeqCst);
        self.has_ended.store(is_last, SeqCst);
        self.is_decoding.store(false, SeqCst);
        self.wake();
    }

    fn next_for_view(&self) -> Option<ForView> {
        if self.is_stopped.load(SeqCst) {
            return None;
        }
        let written = self.written.load(SeqCst);
        if self.formatted[self.place(written)].load(SeqCst) == written + 1 {
            return Some(ForView::Write(written));
        }
        let next = self.judged.load(SeqCst);
        self.tracked.iter().all(|tracked| tracked.load(SeqCst) > next).then_some(ForView::Judge(next))
    }

    /// What is to be done next with the view: the caller does it, and nobody else meanwhile.
    pub(crate) fn claim_view(&self) -> Option<ForView> {
        if self.next_for_view().is_none() || self.is_viewing.swap(true, SeqCst) {
            return None;
        }
        // Another may have done it between.
        let next = self.next_for_view();
        if next.is_none() {
            self.is_viewing.store(false, SeqCst);
            self.wake();
        }
        next
    }

    /// It is done; of a batch that was written, the place is free.
    pub(crate) fn has_viewed(&self, done: ForView) {
        match done {
            ForView::Judge(_) => self.judged.fetch_add(1, SeqCst),
            ForView::Write(_) => self.written.fetch_add(1, SeqCst),
        };
        self.is_viewing.store(false, SeqCst);
        self.wake();
    }

    fn next_to_format(&self) -> Option<u64> {
        let next = self.formatting.load(SeqCst);
        (next < self.judged.load(SeqCst) && !self.is_stopped.load(SeqCst)).then_some(next)
    }

    /// A batch whose text is to be made: by the caller, and by nobody else.
    pub(crate) fn claim_formatting(&self) -> Option<u64> {
        let next = self.next_to_format()?;
        // Where another was faster, there may be one more.
        self.formatting.compare_exchange(next, next + 1, SeqCst, SeqCst).ok()
    }

    /// Its text is made.
    pub(crate) fn has_formatted(&self, number: u64) {
        self.formatted[self.place(number)].store(number + 1, SeqCst);
        self.wake();
    }

    /// Nothing more is wanted.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, SeqCst);
        self.wake();
    }

    /// Everything is written, or it was stopped.
    pub(crate) fn is_over(&self) -> bool {
        let is_written = || self.written.load(SeqCst) == self.decoded.load(SeqCst);
        self.is_stopped.load(SeqCst) || self.has_ended.load(SeqCst) && is_written()
    }

    /// Waits until this worker has something to do, or all is over.
    pub(crate) fn wait_for_work(&self, worker: usize, decodes: bool) {
        self.wait(|| {
            self.to_track(worker).is_some()
                || !self.is_viewing.load(SeqCst) && self.next_for_view().is_some()
                || self.next_to_format().is_some()
                || decodes && !self.is_decoding.load(SeqCst) && self.next_to_decode().is_some()
                || self.is_over()
        });
    }

    /// Waits until there is room for one more batch, or none is wanted.
    pub(crate) fn wait_for_room(&self) {
        self.wait(|| self.next_to_decode().is_some() || self.is_over());
    }

    fn wait(&self, is_reason: impl Fn() -> bool) {
        for _ in 0..LOOKS {
            if is_reason() {
                return;
            }
            std::hint::spin_loop();
        }
        let mut guard = self.guard();
        // Said before looking once more: who changes something after that look sees it, and wakes.
        self.sleeping.fetch_add(1, SeqCst);
        while !is_reason() {
            guard = self.changed.wait(guard).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        self.sleeping.fetch_sub(1, SeqCst);
    }

    fn wake(&self) {
        if self.sleeping.load(SeqCst) > 0 {
            // Not between the last look of one that falls asleep and its sleep.
            drop(self.guard());
            self.changed.notify_all();
        }
    }

    fn guard(&self) -> MutexGuard<'_, ()> {
        self.lock.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

//! Hand-over between the threads of `rstprobe read`: every order of their steps, by a model checker, with a bound on how often
//! one is interrupted.
//!
//! The counters are those of the program, compiled once more with the primitives of the model. The loops are those of
//! `command/read/threads.rs`; what they do to a batch is replaced by a note of how far it has come, which nobody may find
//! otherwise than expected. A thread that sleeps for ever is found as well: the model says so when all sleep.

#[expect(clippy::reversed_empty_ranges, reason = "nobody looks before it sleeps, here")]
#[path = "../../probe-user/src/command/read/progress.rs"]
mod progress;

/// The model's primitives.
mod sync {
    pub(crate) use loom::sync::{Condvar, Mutex, MutexGuard};

    /// Sleeps at once: looking more often would add nothing but orders of the same steps.
    pub(crate) const LOOKS: u32 = 0;

    /// Atomics as `SeqCst` has them: every access sees the latest value. Loom takes `SeqCst` of loads and stores for less than
    /// it is, and would find faults that there are not; what reads and writes at once it has see the latest.
    pub(crate) mod atomic {
        pub(crate) use loom::sync::atomic::Ordering;

        macro_rules! atomic {
            ($($name:ident of $value:ty: $load:expr;)*) => {$(
                pub(crate) struct $name(loom::sync::atomic::$name);

                impl $name {
                    pub(crate) fn new(value: $value) -> Self {
                        Self(loom::sync::atomic::$name::new(value))
                    }

                    pub(crate) fn load(&self, _: Ordering) -> $value {
                        ($load)(&self.0)
                    }

                }

                impl std::ops::Deref for $name {
                    type Target = loom::sync::atomic::$name;

                    fn deref(&self) -> &Self::Target {
                        &self.0
                    }
                }
            )*};
        }

        atomic! {
            AtomicU64 of u64: |this: &loom::sync::atomic::AtomicU64| this.fetch_add(0, Ordering::SeqCst);
            AtomicUsize of usize: |this: &loom::sync::atomic::AtomicUsize| this.fetch_add(0, Ordering::SeqCst);
            AtomicBool of bool: |this: &loom::sync::atomic::AtomicBool| this.fetch_or(false, Ordering::SeqCst);
        }

        impl AtomicBool {
            pub(crate) fn store(&self, value: bool, _: Ordering) {
                self.0.swap(value, Ordering::SeqCst);
            }
        }

        impl AtomicU64 {
            pub(crate) fn store(&self, value: u64, _: Ordering) {
                self.0.swap(value, Ordering::SeqCst);
            }
        }
    }
}

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
};

use progress::{ForView, Progress};

/// How far a batch has come; a place says this of the batch in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Decoding,
    Decoded,
    Judging,
    Judged,
    Formatting,
    Formatted,
    Writing,
    Written,
}

const STAGES: [Stage; 8] = [
    Stage::Decoding,
    Stage::Decoded,
    Stage::Judging,
    Stage::Judged,
    Stage::Formatting,
    Stage::Formatted,
    Stage::Writing,
    Stage::Written,
];

/// A place of the ring.
struct Place {
    /// Eight times the number of the batch, and its stage. Of the model: others may come between any two accesses.
    stage: sync::atomic::AtomicU64,
    /// Workers that have tracked it, a bit for each. Not of the model, as everything below: no order of steps depends on it.
    tracked: AtomicU64,
}

/// What the threads share.
struct Reading {
    progress: Progress,
    places: Vec<Place>,
    workers: usize,
    batches: u64,
    /// Whoever comes to this stage of a batch wants nothing more.
    stops_at: Option<(u64, Stage)>,
    /// Worker 0 panics when it is to track this batch.
    panics_at: Option<u64>,
    is_decoding: AtomicBool,
    is_viewing: AtomicBool,
    decoded: AtomicU64,
    judged: AtomicU64,
    written: AtomicU64,
}

impl Reading {
    fn new(workers: usize, places: u64, batches: u64) -> Self {
        // As if the batches before the first had been written there.
        let written = |place: u64| (place.wrapping_sub(places)).wrapping_mul(8) + Stage::Written as u64;
        let place = |place| Place { stage: sync::atomic::AtomicU64::new(written(place)), tracked: AtomicU64::new(0) };
        Self {
            progress: Progress::new(workers, places),
            places: (0..places).map(place).collect(),
            workers,
            batches,
            stops_at: None,
            panics_at: None,
            is_decoding: AtomicBool::new(false),
            is_viewing: AtomicBool::new(false),
            decoded: AtomicU64::new(0),
            judged: AtomicU64::new(0),
            written: AtomicU64::new(0),
        }
    }

    fn place(&self, number: u64) -> &Place {
        &self.places[self.progress.place(number)]
    }

    /// A batch goes from one stage to the next.
    fn comes_to(&self, number: u64, stage: Stage) {
        let value = number.wrapping_mul(8) + stage as u64;
        let before = self.place(number).stage.swap(value, SeqCst);
        let expected = match stage {
            Stage::Decoding => number.wrapping_sub(self.places.len() as u64).wrapping_mul(8) + Stage::Written as u64,
            _ => value - 1,
        };
        let found = (before / 8, STAGES[(before % 8) as usize]);
        assert_eq!(before, expected, "batch {number} comes to {stage:?}, and there is {found:?}");
        if self.stops_at == Some((number, stage)) {
            self.progress.stop();
        }
    }

    fn decode(&self, number: u64) {
        assert!(!self.is_decoding.swap(true, SeqCst), "two decode");
        assert_eq!(self.decoded.fetch_add(1, SeqCst), number, "decoded in order");
        self.comes_to(number, Stage::Decoding);
        self.place(number).tracked.store(0, SeqCst);
        self.comes_to(number, Stage::Decoded);
        self.is_decoding.store(false, SeqCst);
        self.progress.has_decoded(number + 1 == self.batches);
    }

    fn track(&self, worker: usize, number: u64) {
        let place = self.place(number);
        assert_eq!(place.stage.load(SeqCst), number * 8 + Stage::Decoded as u64, "tracked once it is decoded");
        let before = place.tracked.fetch_or(1 << worker, SeqCst);
        assert_eq!(before & 1 << worker, 0, "{worker} tracks {number} twice");
    }

    fn view(&self, what: ForView) {
        assert!(!self.is_viewing.swap(true, SeqCst), "two have the view");
        match what {
            ForView::Judge(number) => {
                assert_eq!(self.judged.fetch_add(1, SeqCst), number, "judged in order");
                assert_eq!(
                    self.place(number).tracked.load(SeqCst),
                    (1 << self.workers) - 1,
                    "judged once all is tracked"
                );
                self.comes_to(number, Stage::Judging);
                self.comes_to(number, Stage::Judged);
            }
            ForView::Write(number) => {
                assert_eq!(self.written.fetch_add(1, SeqCst), number, "written in order");
                self.comes_to(number, Stage::Writing);
                self.comes_to(number, Stage::Written);
            }
        }
        self.is_viewing.store(false, SeqCst);
        self.progress.has_viewed(what);
    }

    fn format(&self, number: u64) {
        self.comes_to(number, Stage::Formatting);
        self.comes_to(number, Stage::Formatted);
        self.progress.has_formatted(number);
    }

    /// As `Shared::work` of the program.
    fn work(&self, worker: usize, decodes: bool) {
        loop {
            if let Some(what) = self.progress.claim_view() {
                self.view(what);
            } else if let Some(number) = self.progress.claim_formatting() {
                self.format(number);
            } else if let Some(number) = self.progress.to_track(worker) {
                if worker == 0 && self.panics_at == Some(number) {
                    return self.progress.stop();
                }
                self.track(worker, number);
                self.progress.has_tracked(worker);
            } else if decodes && let Some(number) = self.progress.claim_decoding() {
                self.decode(number);
            } else if self.progress.is_over() {
                return;
            } else {
                self.progress.wait_for_work(worker, decodes);
            }
        }
    }

    /// As `Shared::decode_all` of the program.
    fn decode_all(&self) {
        while !self.progress.is_over() {
            match self.progress.claim_decoding() {
                Some(number) => self.decode(number),
                None => self.progress.wait_for_room(),
            }
        }
    }
}

/// What is tried.
#[derive(Clone, Copy)]
struct Tried {
    workers: usize,
    places: u64,
    batches: u64,
    /// A thread of its own decodes.
    decodes_apart: bool,
    stops_at: Option<(u64, Stage)>,
    panics_at: Option<u64>,
    /// How often a thread is interrupted that could go on, at most.
    interruptions: usize,
}

/// Goes through every order of steps.
fn hold_for_every_order(tried: Tried) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(tried.interruptions);
    model.max_branches = 20_000;
    let orders = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&orders);
    model.check(move || {
        counted.fetch_add(1, SeqCst);
        let Tried { workers, places, batches, decodes_apart, stops_at, panics_at, .. } = tried;
        let reading = Arc::new(Reading { stops_at, panics_at, ..Reading::new(workers, places, batches) });
        let mut others: Vec<_> = (1..workers)
            .map(|worker| {
                let reading = Arc::clone(&reading);
                loom::thread::spawn(move || reading.work(worker, !decodes_apart))
            })
            .collect();
        others.extend(decodes_apart.then(|| {
            let reading = Arc::clone(&reading);
            loom::thread::spawn(move || reading.decode_all())
        }));
        reading.work(0, !decodes_apart);
        for other in others {
            other.join().expect("no panic");
        }
        if stops_at.is_none() && panics_at.is_none() {
            assert_eq!(reading.written.load(SeqCst), batches, "all is written");
        }
    });
    let orders = orders.load(SeqCst);
    assert!(orders > 30, "only {orders} orders of steps");
    #[expect(clippy::print_stdout, reason = "shown with --nocapture")]
    {
        println!("{orders} orders of steps");
    }
}

const TWO_WORKERS: Tried = Tried {
    workers: 2,
    places: 2,
    batches: 3,
    decodes_apart: false,
    stops_at: None,
    panics_at: None,
    interruptions: 2,
};

#[test]
fn workers_take_turns_at_decoding() {
    hold_for_every_order(TWO_WORKERS);
}

#[test]
fn a_ring_of_one_place() {
    hold_for_every_order(Tried { places: 1, batches: 2, ..TWO_WORKERS });
}

#[test]
fn three_workers() {
    hold_for_every_order(Tried { workers: 3, batches: 2, interruptions: 1, ..TWO_WORKERS });
}

#[test]
fn a_thread_of_its_own_decodes() {
    hold_for_every_order(Tried { decodes_apart: true, interruptions: 1, ..TWO_WORKERS });
}

#[test]
fn one_stops_all() {
    for stops_at in [(0, Stage::Decoding), (0, Stage::Judging), (0, Stage::Writing), (1, Stage::Judging)] {
        hold_for_every_order(Tried { stops_at: Some(stops_at), batches: 2, ..TWO_WORKERS });
    }
}

#[test]
fn one_stops_all_while_another_decodes() {
    for stops_at in [(0, Stage::Judging), (1, Stage::Writing)] {
        hold_for_every_order(Tried { decodes_apart: true, stops_at: Some(stops_at), interruptions: 1, ..TWO_WORKERS });
    }
}

#[test]
fn none_waits_for_one_that_panics() {
    for (panics_at, decodes_apart) in [(0, false), (1, false), (0, true), (1, true)] {
        let interruptions = if decodes_apart { 1 } else { 2 };
        hold_for_every_order(Tried { decodes_apart, panics_at: Some(panics_at), interruptions, ..TWO_WORKERS });
    }
}

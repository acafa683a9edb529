//! Threads of reading: one does everything, or several share the partitions of the tracker and take turns at decoding and
//! printing. The output is the same: everything is merged in the order of the capture.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock,
        mpsc::{SyncSender, sync_channel},
    },
    thread,
    thread::JoinHandle,
};

use super::{
    apart,
    decoding::Decoding,
    parcel::Parcel,
    printing::Printing,
    progress::{ForView, Progress},
};
use crate::{
    command::RunError,
    output::{lines::Lines, view::View},
    record::Connection,
    source::capture::{CaptureFile, Decoder, Named},
    tracker::{Outcome, PARTITIONS, Partition, StepCounter, Tracker},
};

/// Parcels on their way: so many that a worker that is held up does not hold up the others at once.
const PLACES: usize = 16;
/// Records of connections that are left at the end, printed at a time.
const LEFT: usize = 128;

/// How many threads track, where `asked` for are so many; 0 leaves it open.
pub(super) fn count(asked: usize) -> usize {
    let count = if asked == 0 { thread::available_parallelism().map_or(1, usize::from) } else { asked };
    count.min(PARTITIONS)
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

/// Reads `files`, the first of which is open, on so many threads.
///
/// # Errors
/// Nobody reads the output any more. Then a thread that reads a pipe is left alone: it may be waiting for a capture that never
/// goes on.
pub(super) fn read(
    threads: usize,
    decoder: Decoder,
    tracker: Tracker,
    view: View,
    files: &[Named],
    first: CaptureFile,
) -> Result<HasRead, RunError> {
    let decoding = Decoding::new(decoder, files, first);
    let printing = Printing::new(view);
    if threads == 1 { on_one(decoding, tracker, printing) } else { on_many(threads, decoding, tracker, printing) }
}

fn on_one(mut decoding: Decoding, mut tracker: Tracker, mut printing: Printing) -> Result<HasRead, RunError> {
    let (mut parcel, mut closed) = (Parcel::default(), Vec::new());
    let mut printed = Ok(());
    let mut goes_on = true;
    while goes_on && printed.is_ok() {
        goes_on = decoding.fill(&mut parcel);
        printed = parcel.begin_ns.map_or(Ok(()), |time_ns| printing.begin(time_ns));
        tracker.take(&mut parcel.batch);
        printed = printed.and_then(|()| {
            tracker.append_closed(&mut closed);
            printing.take_parcel(&parcel, &mut closed)
        });
    }
    let (decoder, span_ns, read) = decoding.finish();
    let mut done = HasRead { decoder, tracker, view: printing.view, span_ns, read, printed };
    if done.printed.is_ok() {
        // There may be very many, and none is needed twice.
        let mut left = done.tracker.left(span_ns[1]);
        loop {
            done.tracker.append_closed(&mut closed);
            if done.printed.is_ok() {
                done.printed = done.view.take(&mut closed);
            }
            closed.clear();
            if !done.tracker.write_left(&mut left, LEFT) {
                break;
            }
        }
    }
    unless_broken(done)
}

/// What was read, if anybody reads the output.
fn unless_broken(done: HasRead) -> Result<HasRead, RunError> {
    if is_broken(&done.printed) {
        done.view.end_progress();
        return Err(RunError::BrokenPipe);
    }
    Ok(done)
}

/// Whether nobody reads the output any more.
pub(super) fn is_broken(outcome: &Result<(), RunError>) -> bool {
    matches!(outcome, Err(RunError::BrokenPipe))
}

/// A parcel, what has ended with it in each partition, and the lines of that.
struct Place {
    parcel: RwLock<Parcel>,
    outcomes: [Mutex<Outcome>; PARTITIONS],
    lines: Mutex<Lines>,
    /// What making the lines says.
    formatted: Mutex<Result<(), RunError>>,
}

impl Place {
    fn new(lines: Lines) -> Self {
        Self {
            parcel: RwLock::default(),
            outcomes: Default::default(),
            lines: Mutex::new(lines),
            formatted: Mutex::new(Ok(())),
        }
    }
}

/// What decodes, one worker at a time.
struct Decodes {
    decoding: Decoding,
    counter: StepCounter,
    /// Partitions of the tracker.
    partitions: usize,
}

/// What merges and prints, one worker at a time.
struct Views {
    tracker: Tracker,
    printing: Printing,
    closed: Vec<Connection>,
    outcomes: Vec<Outcome>,
    printed: Result<(), RunError>,
}

/// What the workers share.
struct Shared {
    progress: Progress,
    places: Vec<Place>,
    /// Nothing once they have been taken out at the end.
    decodes: Mutex<Option<Decodes>>,
    views: Mutex<Option<Views>>,
}

/// What a worker needs to begin.
type Begin = (Arc<Shared>, Share);
/// Partitions with their numbers.
type Share = Vec<(usize, Partition)>;

/// A thread that has begun, and waits for its work.
struct Waiting {
    begin: SyncSender<Begin>,
    thread: JoinHandle<Share>,
}

impl Waiting {
    /// `None` where there is no further thread to be had: the others do its work.
    fn start(number: usize, decodes: bool) -> Option<Self> {
        let (begin, begins) = sync_channel::<Begin>(1);
        let work =
            move || begins.recv().map_or_else(|_| Vec::new(), |(shared, share)| shared.work(number, share, decodes));
        let thread = thread::Builder::new().name("read".to_owned()).spawn(work).ok()?;
        Some(Self { begin, thread })
    }
}

fn on_many(threads: usize, decoding: Decoding, mut tracker: Tracker, printing: Printing) -> Result<HasRead, RunError> {
    let apart = if decoding.may_wait() { Apart::start() } else { None };
    // The thread that decodes is one of them.
    let threads = if apart.is_some() { threads - 1 } else { threads };
    let workers: Vec<_> = (1..threads).map_while(|number| Waiting::start(number, apart.is_none())).collect();
    let (counter, partitions) = tracker.counter();
    let mut shares: Vec<Share> = (0..=workers.len()).map(|_| Vec::new()).collect();
    for (number, partition) in tracker.split().into_iter().enumerate() {
        shares[number % (workers.len() + 1)].push((number, partition));
    }
    let places = (0..PLACES).map(|_| Place::new(printing.view.new_lines())).collect();
    let outcomes = (0..partitions).map(|_| Outcome::default()).collect();
    let views = Views { tracker, printing, closed: Vec::new(), outcomes, printed: Ok(()) };
    let shared = Arc::new(Shared {
        progress: Progress::new(shares.len(), PLACES as u64),
        places,
        decodes: Mutex::new(Some(Decodes { decoding, counter, partitions })),
        views: Mutex::new(Some(views)),
    });
    let own = shares.remove(0);
    for (worker, share) in workers.iter().zip(shares) {
        // It waits for nothing else.
        let _sent = worker.begin.send((Arc::clone(&shared), share));
    }
    if let Some(apart) = &apart {
        let _sent = apart.begin.send(Arc::clone(&shared));
    }
    let mut partitions = shared.work(0, own, apart.is_none());
    let count = workers.len() + 1;
    partitions.extend(workers.into_iter().flat_map(|worker| joined(worker.thread)));
    partitions.sort_unstable_by_key(|(number, _)| *number);
    let partitions = partitions.into_iter().map(|(_, partition)| partition).collect();
    finish_many(&shared, partitions, apart, count)
}

/// Takes everything back, and prints what is left.
fn finish_many(
    shared: &Shared,
    partitions: Vec<Partition>,
    apart: Option<Apart>,
    threads: usize,
) -> Result<HasRead, RunError> {
    let Some(Views { mut tracker, printing: Printing { view, .. }, closed, printed, .. }) =
        locked(&shared.views).take()
    else {
        unreachable!("nobody else takes it")
    };
    if let Some(apart) = apart {
        // It may wait for a capture that never goes on, and nobody wants more of it.
        if printed.is_err() {
            view.end_progress();
            return Err(printed.err().unwrap_or(RunError::BrokenPipe));
        }
        joined(apart.thread);
    }
    let Some(Decodes { decoding, counter, .. }) = locked(&shared.decodes).take() else {
        unreachable!("nobody else takes it")
    };
    tracker.join(partitions, counter);
    let (decoder, span_ns, read) = decoding.finish();
    let mut done = HasRead { decoder, tracker, view, span_ns, read, printed };
    done.print_left(closed, threads);
    unless_broken(done)
}

/// The thread that decodes, where nobody is to wait with it.
struct Apart {
    begin: SyncSender<Arc<Shared>>,
    thread: JoinHandle<()>,
}

impl Apart {
    /// `None` where there is no further thread to be had: then all wait with whoever decodes.
    fn start() -> Option<Self> {
        let (begin, begins) = sync_channel::<Arc<Shared>>(1);
        // Once: who waits for it to end may still hold the other end.
        let work = move || begins.recv().iter().for_each(|shared| shared.decode_all());
        let thread = thread::Builder::new().name("decode".to_owned()).spawn(work).ok()?;
        Some(Self { begin, thread })
    }
}

impl HasRead {
    /// Prints `closed`, and what is still tracked: nothing more once something went wrong.
    fn print_left(&mut self, mut closed: Vec<Connection>, threads: usize) {
        let Self { tracker, view, printed, span_ns, .. } = self;
        let mut take = |closed: &mut Vec<Connection>| {
            if printed.is_ok() {
                *printed = view.take(closed);
            }
            printed.is_ok()
        };
        if take(&mut closed) {
            let left = tracker.left(span_ns[1]);
            tracker.write_all_left(left, threads, take);
        }
    }
}

impl Shared {
    /// Does whatever there is to do, until there is nothing more; gives its partitions back.
    fn work(&self, worker: usize, mut share: Vec<(usize, Partition)>, decodes: bool) -> Vec<(usize, Partition)> {
        apart::begin_on(worker);
        let _stops = StopsOnPanic(&self.progress);
        loop {
            if let Some(what) = self.progress.claim_view() {
                self.view(what);
            } else if let Some(number) = self.progress.claim_formatting() {
                self.format(number);
            } else if let Some(number) = self.progress.to_track(worker) {
                self.track(number, &mut share);
                self.progress.has_tracked(worker);
            } else if decodes && let Some(number) = self.progress.claim_decoding() {
                self.decode(number);
            } else if self.progress.is_over() {
                return share;
            } else {
                self.progress.wait_for_work(worker, decodes);
            }
        }
    }

    /// Decodes until there is nothing more: where that waits for who writes, and nobody is to wait with it.
    fn decode_all(&self) {
        let _stops = StopsOnPanic(&self.progress);
        while !self.progress.is_over() {
            match self.progress.claim_decoding() {
                Some(number) => self.decode(number),
                None => self.progress.wait_for_room(),
            }
        }
    }

    fn place(&self, number: u64) -> &Place {
        &self.places[self.progress.place(number)]
    }

    fn decode(&self, number: u64) {
        let mut goes_on = false;
        if let Some(Decodes { decoding, counter, partitions }) = &mut *locked(&self.decodes) {
            let mut parcel = self.place(number).parcel.write().unwrap_or_else(PoisonError::into_inner);
            goes_on = decoding.fill(&mut parcel);
            parcel.batch.seal(counter, *partitions);
        }
        self.progress.has_decoded(!goes_on);
    }

    fn track(&self, number: u64, share: &mut [(usize, Partition)]) {
        let place = self.place(number);
        let parcel = place.parcel.read().unwrap_or_else(PoisonError::into_inner);
        for (number, partition) in share {
            partition.work(&parcel.batch, *number);
            partition.swap_outcome(&mut locked(&place.outcomes[*number]));
        }
    }

    fn view(&self, what: ForView) {
        if let Some(views) = &mut *locked(&self.views) {
            views.printed = match what {
                ForView::Judge(number) => views.judge(self.place(number)),
                ForView::Write(number) => views.write(self.place(number)),
            };
            if views.printed.is_err() {
                self.progress.stop();
            }
        }
        self.progress.has_viewed(what);
    }

    fn format(&self, number: u64) {
        let place = self.place(number);
        *locked(&place.formatted) = locked(&place.lines).format();
        self.progress.has_formatted(number);
    }
}

impl Views {
    /// Merges what has ended, and chooses what is to be lines.
    fn judge(&mut self, place: &Place) -> Result<(), RunError> {
        let Self { tracker, printing, closed, outcomes, .. } = self;
        let parcel = place.parcel.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(time_ns) = parcel.begin_ns {
            printing.begin(time_ns)?;
        }
        let swap = |outcomes: &mut [Outcome]| {
            for (there, here) in place.outcomes.iter().zip(outcomes) {
                std::mem::swap(&mut *locked(there), here);
            }
        };
        swap(outcomes);
        tracker.merge_outcomes(outcomes, closed);
        swap(outcomes);
        printing.view.judge(closed, &mut locked(&place.lines));
        printing.progress(parcel.frames);
        Ok(())
    }

    /// Writes the lines, and says what is to be said after them.
    fn write(&mut self, place: &Place) -> Result<(), RunError> {
        std::mem::replace(&mut *locked(&place.formatted), Ok(()))?;
        self.printing.view.write(&mut locked(&place.lines))?;
        let parcel = place.parcel.read().unwrap_or_else(PoisonError::into_inner);
        parcel.notices.iter().for_each(|notice| self.printing.notice(notice));
        Ok(())
    }
}

/// Nobody waits for a worker that has panicked.
struct StopsOnPanic<'a>(&'a Progress);

impl Drop for StopsOnPanic<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.stop();
        }
    }
}

fn locked<T>(lock: &Mutex<T>) -> MutexGuard<'_, T> {
    lock.lock().unwrap_or_else(PoisonError::into_inner)
}

fn joined<T>(thread: JoinHandle<T>) -> T {
    thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

//! Partition pool: threads that do what the tracker has queued, beside the one that queued it.

use std::{
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread,
};

use crate::{
    error::RunError,
    tracker::{PARTITIONS, Tracker, Work},
};

/// Things that are worth doing on several threads: waking one takes as long as some hundred of them.
const WORTH_IT: usize = 1024;

struct Worker {
    /// Gone when the worker is to end.
    work: SyncSender<Vec<Work>>,
    done: Receiver<Vec<Work>>,
}

/// See the module.
pub struct PartitionPool {
    workers: Vec<Worker>,
}

impl PartitionPool {
    /// How many threads are worth it: one for each processor.
    pub(crate) fn threads() -> usize {
        thread::available_parallelism().map_or(1, usize::from)
    }

    /// So many threads, the caller's included.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub fn of(threads: usize) -> Result<Self, RunError> {
        let threads = threads.clamp(1, PARTITIONS);
        let workers = (1..threads).map(|_| Worker::start()).collect::<Result<_, _>>()?;
        Ok(Self { workers })
    }

    /// Does everything that is queued.
    ///
    /// # Panics
    /// When a thread has: what it had of the tracker is lost.
    pub fn run(&mut self, tracker: &mut Tracker) {
        let queued = tracker.queued();
        if queued == 0 {
            return;
        }
        let is_shared = queued >= WORTH_IT && !self.workers.is_empty();
        let mut own = tracker.take_queued(!self.workers.is_empty());
        let share = if is_shared { own.len().div_ceil(self.workers.len() + 1) } else { own.len() };
        let mut busy = Vec::new();
        for worker in &self.workers {
            let rest = own.len().saturating_sub(share);
            let given = if rest == 0 { Vec::new() } else { own.split_off(own.len() - share.min(rest)) };
            if given.is_empty() {
                break;
            }
            match worker.work.send(given) {
                Ok(()) => busy.push(worker),
                // It has panicked: what it said is on standard error.
                Err(unsent) => own.extend(unsent.0),
            }
        }
        let mut done: Vec<Work> = own.into_iter().map(Work::run).collect();
        for worker in busy {
            let Ok(more) = worker.done.recv() else { panic!("a thread of the tracker has panicked") };
            done.extend(more);
        }
        tracker.return_queued(done);
    }
}

impl Worker {
    fn start() -> Result<Self, RunError> {
        let (work, works) = sync_channel::<Vec<Work>>(1);
        let (done_in, done) = sync_channel(1);
        let run = move || {
            for given in works {
                if done_in.send(given.into_iter().map(Work::run).collect()).is_err() {
                    return;
                }
            }
        };
        thread::Builder::new().name("tracker".to_owned()).spawn(run).map_err(RunError::Runtime)?;
        Ok(Self { work, done })
    }
}

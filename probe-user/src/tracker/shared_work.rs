//! Shared work: the partitions of a tracker on several threads, which make records beside each other.
//!
//! Nothing depends on how many there are: each partition does what it would do alone, and what ends is merged in order.

use std::{
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use crate::{
    record::Connection,
    tracker::{
        ended::Outcome,
        making::Maker,
        partition::Partition,
        steps::StepCounter,
        tracking::{Left, Tracker},
    },
};

impl Tracker {
    /// Has each partition make its own records, or leave that to the merge.
    pub(crate) fn make_records_apart(&mut self, is_apart: bool) {
        for partition in &mut self.partitions {
            match &mut partition.maker {
                Some(maker) if is_apart => maker.words = Arc::clone(&self.words),
                maker if is_apart => *maker = Some(Maker::new(Arc::clone(&self.words))),
                maker => *maker = None,
            }
        }
    }

    /// As [`Tracker::write_left`] over and over, on so many threads, while `take` takes the records of those before; until
    /// nothing is left, or `take` has enough.
    pub(crate) fn write_all_left(
        &mut self,
        mut left: Left,
        threads: usize,
        mut take: impl FnMut(&mut Vec<Connection>) -> bool,
    ) {
        const AT_A_TIME: usize = 2048;
        let together = self.partitions.len().div_ceil(threads);
        let mut closed = std::mem::take(&mut self.closed);
        loop {
            let mut shares = left.take(AT_A_TIME, &mut self.counter, self.partitions.len());
            let is_last = shares.iter().all(Vec::is_empty);
            let jobs = self.partitions.chunks_mut(together).zip(shares.chunks_mut(together));
            let jobs: Vec<_> = jobs.map(|job| Mutex::new(Some(job))).collect();
            let work = || {
                for job in &jobs {
                    let job = job.lock().unwrap_or_else(PoisonError::into_inner).take();
                    if let Some((some, shares)) = job {
                        some.iter_mut().zip(shares).for_each(|(one, share)| one.write_left(share));
                    }
                }
            };
            let goes_on = thread::scope(|scope| {
                for _ in 1..threads {
                    // Where there is no thread to be had, the others do it.
                    let _started = thread::Builder::new().spawn_scoped(scope, work);
                }
                let goes_on = take(&mut closed);
                work();
                goes_on
            });
            drop(jobs);
            closed.clear();
            self.merge();
            std::mem::swap(&mut closed, &mut self.closed);
            if is_last || !goes_on {
                return;
            }
        }
    }

    /// The partitions, for threads of their own, each of which makes records; what is left here takes them back.
    pub(crate) fn split(&mut self) -> Vec<Partition> {
        self.make_records_apart(true);
        std::mem::take(&mut self.partitions)
    }

    /// What numbers the steps of batches while partitions are elsewhere, and how many partitions there are.
    pub(crate) fn counter(&self) -> (StepCounter, usize) {
        (self.counter, self.outcomes.len())
    }

    /// Appends the records of what has ended in the partitions that are elsewhere.
    pub(crate) fn merge_outcomes(&mut self, outcomes: &mut [Outcome], into: &mut Vec<Connection>) {
        self.merge.merge(outcomes, &self.config, &self.words, into);
    }

    /// Takes the partitions back, in their order, which have come to the last step of `counter`. They go on making records.
    pub(crate) fn join(&mut self, partitions: Vec<Partition>, counter: StepCounter) {
        self.partitions = partitions;
        self.counter = counter;
        self.quiet_until = 0;
    }
}

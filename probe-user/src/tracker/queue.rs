//! Queue: what live sources say, kept by partition until a few thousand of them can be worked on at once, by as many threads
//! as are at hand.
//!
//! Each partition gets its own in order, with the steps of all: what comes of it does not depend on how often the queue is
//! worked off, nor on who does it.

use std::sync::Arc;

use probe_ebpf::{
    layout::{DirectionCounters, FlowKey, Segment},
    parse::IcmpQuote,
};

use crate::{
    record::Basis,
    tcp::arrival::Extra,
    tracker::{
        batch::partition_of,
        partition::Partition,
        steps::{StepCounter, Steps},
    },
};

/// One thing for a partition; what it is about lies in lists of its own, in the same order.
#[derive(Clone, Copy, Debug)]
enum Entry {
    /// [`Partition::transition`] of the next segment.
    Transition,
    /// [`Partition::observe_at`] of the next segment.
    Observe,
    /// [`Partition::count`] of the next counters.
    Count(Basis),
    /// [`Partition::settle`] of the next counters.
    Settle { last_from_hi: bool },
    /// [`Partition::unreachable`] of the next quote.
    Refused,
}

/// What one partition is to do.
#[derive(Debug, Default)]
struct Share {
    /// With the number of steps in the queue by then, this one's included.
    entries: Vec<(u32, Entry)>,
    segments: Vec<Segment>,
    counters: Vec<(FlowKey, DirectionCounters, DirectionCounters)>,
    quotes: Vec<(IcmpQuote, u64)>,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    shares: Vec<Share>,
    steps: Arc<Steps>,
    len: usize,
}

impl Queue {
    /// Things in it.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn add(&mut self, key: &FlowKey, count: usize, entry: Entry) -> &mut Share {
        if self.shares.is_empty() {
            self.shares.resize_with(count, Share::default);
        }
        self.len += 1;
        let share = &mut self.shares[partition_of(key, count)];
        share.entries.push((self.steps.now_ns.len() as u32, entry));
        share
    }

    fn step(&mut self, counter: &mut StepCounter, time_ns: u64, is_segment: bool) {
        // Nobody else has them while things are added.
        let steps = Arc::make_mut(&mut self.steps);
        if steps.now_ns.is_empty() {
            counter.begin(steps);
        }
        counter.step(steps, time_ns, is_segment);
    }

    pub(crate) fn transition(&mut self, segment: &Segment, counter: &mut StepCounter, count: usize) {
        self.step(counter, segment.record.time_ns, true);
        self.add(&segment.key, count, Entry::Transition).segments.push(*segment);
    }

    pub(crate) fn observe(&mut self, segment: &Segment, counter: &mut StepCounter, count: usize) {
        self.step(counter, segment.record.time_ns, true);
        self.add(&segment.key, count, Entry::Observe).segments.push(*segment);
    }

    pub(crate) fn count(
        &mut self,
        key: &FlowKey,
        lo: &DirectionCounters,
        hi: &DirectionCounters,
        basis: Basis,
        count: usize,
    ) {
        self.add(key, count, Entry::Count(basis)).counters.push((*key, *lo, *hi));
    }

    pub(crate) fn settle(
        &mut self,
        key: &FlowKey,
        lo: &DirectionCounters,
        hi: &DirectionCounters,
        last_from_hi: bool,
        count: usize,
    ) {
        self.add(key, count, Entry::Settle { last_from_hi }).counters.push((*key, *lo, *hi));
    }

    pub(crate) fn unreachable(&mut self, quote: &IcmpQuote, time_ns: u64, counter: &mut StepCounter, count: usize) {
        self.step(counter, time_ns, false);
        self.add(&quote.key, count, Entry::Refused).quotes.push((*quote, time_ns));
    }

    /// Everything in it, with the partitions that are to do it.
    pub(crate) fn take(&mut self, partitions: Vec<Partition>) -> Vec<Work> {
        self.len = 0;
        self.shares.resize_with(partitions.len(), Share::default);
        let shares = self.shares.drain(..);
        let all = partitions.into_iter().zip(shares).enumerate();
        all.map(|(number, (partition, share))| Work { number, partition, share, steps: Arc::clone(&self.steps) })
            .collect()
    }

    /// Takes the partitions back, in their order; it is empty from then on, and keeps its memory.
    pub(crate) fn give_back(&mut self, mut done: Vec<Work>) -> Vec<Partition> {
        done.sort_unstable_by_key(|work| work.number);
        let (partitions, shares) = done.into_iter().map(|work| (work.partition, work.share)).unzip();
        self.shares = shares;
        Arc::make_mut(&mut self.steps).now_ns.clear();
        partitions
    }
}

/// A partition and what it is to do.
#[derive(Debug)]
pub(crate) struct Work {
    number: usize,
    partition: Partition,
    share: Share,
    steps: Arc<Steps>,
}

impl Work {
    /// Does it.
    pub(crate) fn run(mut self) -> Self {
        let Self { partition, share, steps, .. } = &mut self;
        let Share { entries, segments, counters, quotes } = share;
        let (mut segments, mut counters, mut quotes) = (segments.drain(..), counters.drain(..), quotes.drain(..));
        partition.begin_steps();
        for (number, (until, entry)) in entries.drain(..).enumerate() {
            if let Some(at) = until.checked_sub(1) {
                let at = at as usize;
                if matches!(entry, Entry::Count(_) | Entry::Settle { .. }) {
                    partition.run_timers_until(steps, at);
                } else {
                    partition.pass(steps, at);
                }
            }
            match entry {
                Entry::Transition if let Some(segment) = segments.next() => partition.transition(&segment),
                Entry::Observe if let Some(segment) = segments.next() => {
                    let place = partition.table.likely_place_of(&segment.key);
                    partition.observe_at(place, &segment, Extra::default());
                }
                Entry::Count(basis) if let Some((key, lo, hi)) = counters.next() => {
                    partition.count(&key, &lo, &hi, basis);
                }
                Entry::Settle { last_from_hi } if let Some((key, lo, hi)) = counters.next() => {
                    partition.settle(&key, &lo, &hi, last_from_hi);
                }
                Entry::Refused if let Some((quote, time_ns)) = quotes.next() => {
                    partition.unreachable(&quote, time_ns);
                }
                _ => unreachable!("each list is as long as there are entries for it"),
            }
            if number % RECORDS_EVERY == 0 {
                partition.make_records();
            }
        }
        drop((segments, counters, quotes));
        if let Some(last) = steps.now_ns.len().checked_sub(1) {
            partition.run_timers_until(steps, last);
        }
        partition.make_records();
        self
    }
}

/// Records are made after so many things: together, while what they are made of is near.
const RECORDS_EVERY: usize = 32;

//! Tracker: takes in segments and counters, and gives out connection records.
//!
//! Its work is done by partitions (`partition`), each for its flows, and what ends comes together in order (`merge`). Here
//! one thread does all of it, a step or a batch at a time; [`Tracker::split`] gives the partitions to threads.

use std::sync::Arc;

use probe_ebpf::{
    layout::{DirectionCounters, FlowKey, RST, Segment},
    parse::IcmpQuote,
};

use crate::record::{Basis, Connection, Written};
use crate::tcp::arrival::{Arrival, Extra};
use crate::tracker::batch::{Batch, PARTITIONS, partition_of};
use crate::tracker::config::TrackerConfig;
use crate::tracker::ended::Outcome;
use crate::tracker::kernel_resets::KernelResets;
use crate::tracker::merge::Merge;
use crate::tracker::partition::{Partition, ToWrite};
use crate::tracker::process::UnexplainedResets;
use crate::tracker::queue::{Queue, Work};
use crate::tracker::stats::TrackerStats;
use crate::tracker::steps::{StepCounter, Steps};
use crate::tracker::to_record::{self, Known};

/// Follows connections. Time is what segments and [`Tracker::advance`] say; records come out in the order in which
/// they were written, which depends on the input alone.
///
/// Two ways in, never mixed for one connection: [`Tracker::observe`] counts a segment and moves the state machine;
/// [`Tracker::transition`] only moves the state machine, and [`Tracker::count`] brings the counters.
#[derive(Debug)]
pub struct Tracker {
    pub(crate) config: Arc<TrackerConfig>,
    pub(crate) words: Arc<KernelResets>,
    /// What is to be done when there is enough of it, or when it is needed.
    queue: Queue,
    pub(crate) unexplained: UnexplainedResets,
    pub(crate) partitions: Vec<Partition>,
    /// What has ended in each of them, while it is merged.
    pub(crate) outcomes: Vec<Outcome>,
    pub(crate) merge: Merge,
    pub(crate) counter: StepCounter,
    /// The step at hand, where there is one at a time.
    steps: Steps,
    /// No partition has anything due before this time.
    pub(crate) quiet_until: u64,
    pub(crate) closed: Vec<Connection>,
    /// Of what no partition knows.
    pub(crate) stats: TrackerStats,
    /// Memory for segments that come together.
    batch: Option<Box<Batch>>,
}

/// With fewer connections at most there is one partition: a share of them would be too few to be even.
const PARTITIONED_FROM: usize = 1 << 16;

/// How many partitions there are for so many connections, and how many each may have: its share, and so many more (six
/// standard deviations) that none is full before all of them are.
fn shares(most: usize) -> (usize, usize) {
    if most < PARTITIONED_FROM {
        return (1, most);
    }
    let share = most.div_ceil(PARTITIONS);
    (PARTITIONS, share + 6 * share.isqrt())
}

impl Tracker {
    /// A tracker without connections.
    pub fn new(config: TrackerConfig) -> Self {
        let (count, most) = shares(config.max_connections);
        Self::divided(config, count, most)
    }

    /// The same, of `count` partitions (a power of two, [`PARTITIONS`] at most), each of which may have `most` connections.
    pub(crate) fn divided(config: TrackerConfig, count: usize, most: usize) -> Self {
        let words = KernelResets::new(&config.own_addresses);
        let config = Arc::new(config);
        Self {
            partitions: (0..count).map(|_| Partition::new(&config, most, count)).collect(),
            outcomes: (0..count).map(|_| Outcome::default()).collect(),
            merge: Merge::new(&config),
            counter: StepCounter::new(),
            steps: Steps::default(),
            quiet_until: 0,
            closed: Vec::new(),
            stats: TrackerStats::default(),
            batch: None,
            unexplained: UnexplainedResets::default(),
            words: Arc::new(words),
            queue: Queue::default(),
            config,
        }
    }

    /// Counts one segment and moves its connection on: captures, AF_XDP, log entries without a slot.
    pub fn observe(&mut self, segment: &Segment, extra: Extra) {
        self.step(segment.record.time_ns, true);
        self.with_partition(&segment.key, |partition, steps| {
            partition.pass(steps, 0);
            partition.observe_at(partition.table.likely_place_of(&segment.key), segment, extra);
        });
    }

    /// As [`Tracker::observe`] one by one, only faster: what one needs from memory is on its way while others are worked on.
    pub fn observe_all(&mut self, arrivals: &[Arrival]) {
        let mut batch = self.batch.take().unwrap_or_default();
        for some in arrivals.chunks(crate::tracker::batch::SEGMENTS) {
            for arrival in some {
                batch.push(*arrival);
            }
            self.take(&mut batch);
            batch.clear();
        }
        self.batch = Some(batch);
    }

    /// Takes everything in a batch, in order.
    pub fn take(&mut self, batch: &mut Batch) {
        batch.seal(&mut self.counter, self.partitions.len());
        self.quiet_until = u64::MAX;
        for (number, partition) in self.partitions.iter_mut().enumerate() {
            partition.work(batch, number);
            self.quiet_until = self.quiet_until.min(partition.quiet_until());
            partition.swap_outcome(&mut self.outcomes[number]);
        }
        self.merge.merge(&mut self.outcomes, &self.config, &self.words, &mut self.closed);
    }

    /// Moves the state machine only (live path); the counts come through [`Tracker::count`].
    pub fn transition(&mut self, segment: &Segment) {
        let (key, record) = (&segment.key, &segment.record);
        self.step(record.time_ns, true);
        self.with_partition(key, |partition, steps| {
            partition.pass(steps, 0);
            partition.transition(segment);
        });
        self.note_rst(segment);
    }

    /// A word of the kernel may be about it that names no peer.
    fn note_rst(&mut self, segment: &Segment) {
        let (key, record) = (&segment.key, &segment.record);
        if record.flags & RST != 0 && !self.config.kernel_reasons.is_empty() {
            let port = if record.from_hi() { key.hi().port } else { key.lo().port };
            self.unexplained.saw_rst(record.time_ns, port, *key, record.from_hi());
        }
    }

    /// Adds the counters of one slot to the connection of `key`, which a transition has created: directly after the
    /// first segment of the slot, or any time before the connection ends.
    pub fn count(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, basis: Basis) {
        self.partition_mut(key).count(key, lo, hi, basis);
    }

    /// What the same counters say of the last segment of each direction, after every [`Tracker::transition`] of the
    /// epoch: sequence numbers, acknowledgements and times of segments that were only counted. `last_from_hi`: who sent
    /// the very last one.
    pub fn settle(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, last_from_hi: bool) {
        self.partition_mut(key).settle(key, lo, hi, last_from_hi);
    }

    /// Segments were lost that might have been acknowledgements: from now on a missing one is no evidence.
    pub fn doubt_acknowledgements(&mut self) {
        if self.config.pure_acks_seen {
            self.reconfigure(|config| config.pure_acks_seen = false);
        }
    }

    /// Changes what holds from now on.
    pub(crate) fn reconfigure(&mut self, change: impl FnOnce(&mut TrackerConfig)) {
        let mut config = TrackerConfig::clone(&self.config);
        change(&mut config);
        self.config = Arc::new(config);
        for partition in &mut self.partitions {
            partition.config = Arc::clone(&self.config);
        }
    }

    /// Runs every timer up to `now_ns`, which is that of a frame without a segment, or of nothing at all. Time never goes
    /// back: an earlier `now_ns` changes nothing.
    pub fn advance(&mut self, now_ns: u64) {
        self.step(now_ns, false);
    }

    /// The same, and no frame of its own brings the time.
    pub(crate) fn pass(&mut self, now_ns: u64) {
        self.counter.again(&mut self.steps, now_ns);
        if self.counter.now_ns() >= self.quiet_until {
            self.run_timers();
        }
    }

    /// One more step; runs what is due.
    #[inline]
    fn step(&mut self, time_ns: u64, is_segment: bool) {
        self.counter.begin(&mut self.steps);
        self.counter.step(&mut self.steps, time_ns, is_segment);
        if self.counter.now_ns() >= self.quiet_until {
            self.run_timers();
        }
    }

    #[inline(never)]
    fn run_timers(&mut self) {
        self.quiet_until = u64::MAX;
        let mut has_ended = false;
        for partition in &mut self.partitions {
            partition.begin_steps();
            partition.run_timers_until(&self.steps, 0);
            self.quiet_until = self.quiet_until.min(partition.quiet_until());
            has_ended |= !partition.outcome.is_empty();
        }
        if has_ended {
            self.merge();
        }
    }

    /// Has the partition of a flow do something at the step at hand.
    #[inline(always)]
    fn with_partition(&mut self, key: &FlowKey, work: impl FnOnce(&mut Partition, &Steps)) {
        let number = partition_of(key, self.partitions.len());
        let partition = &mut self.partitions[number];
        partition.begin_steps();
        work(partition, &self.steps);
        self.quiet_until = self.quiet_until.min(partition.quiet_until());
        if !partition.outcome.is_empty() {
            self.merge();
        }
    }

    /// Makes the records of what has ended.
    #[inline(never)]
    pub(crate) fn merge(&mut self) {
        for (partition, outcome) in self.partitions.iter_mut().zip(&mut self.outcomes) {
            if !partition.outcome.is_empty() {
                partition.swap_outcome(outcome);
            }
        }
        self.merge.merge(&mut self.outcomes, &self.config, &self.words, &mut self.closed);
    }

    pub(crate) fn partition(&self, key: &FlowKey) -> &Partition {
        &self.partitions[partition_of(key, self.partitions.len())]
    }

    pub(crate) fn partition_mut(&mut self, key: &FlowKey) -> &mut Partition {
        let number = partition_of(key, self.partitions.len());
        &mut self.partitions[number]
    }

    /// Records written since the last call, in order of writing.
    pub fn take_closed(&mut self) -> Vec<Connection> {
        std::mem::take(&mut self.closed)
    }

    /// As [`Self::take_closed`], in exchange for an empty vector, so that both keep their memory.
    pub fn swap_closed(&mut self, with: &mut Vec<Connection>) {
        with.clear();
        std::mem::swap(&mut self.closed, with);
    }

    /// Appends them to others.
    pub fn append_closed(&mut self, to: &mut Vec<Connection>) {
        if to.is_empty() {
            std::mem::swap(&mut self.closed, to);
        } else {
            to.append(&mut self.closed);
        }
    }

    /// How many records wait for [`Tracker::take_closed`].
    pub fn closed_len(&self) -> usize {
        self.closed.len()
    }

    /// The tracked connections as they stand, in order of start.
    pub fn snapshot(&self, now_ns: u64) -> Vec<Connection> {
        let (servers, both_ways) = self.merge.servers();
        let watched_from = self.counter.watched_from_ns();
        let mut all = Vec::new();
        for partition in &self.partitions {
            let table = &partition.table;
            for track in table.slots().filter_map(|slot| table.get(slot)) {
                let (roles, aside) = (servers.roles(track), &partition.aside_of(track.id));
                let known = Known { both_ways, watched_from, roles, aside, words: &self.words };
                to_record::append(&mut all, track, Written::StillTracked, now_ns, &self.config, &known);
            }
        }
        all.sort_unstable_by_key(|connection| (connection.start_ns, connection.id));
        all
    }

    /// Writes everything that is left, in order of start.
    pub fn finish(&mut self, now_ns: u64) {
        let mut left = self.left(now_ns);
        self.write_left(&mut left, usize::MAX);
    }

    /// Everything that is left, after every timer up to `now_ns`, for [`Tracker::write_left`].
    pub fn left(&mut self, now_ns: u64) -> Left {
        // Words may have come since partitions made records last.
        self.make_records_apart(self.partitions.iter().any(|partition| partition.maker.is_some()));
        self.advance(now_ns);
        let mut tracked = Vec::with_capacity(self.stats().tracked as usize);
        for (number, Partition { table, .. }) in self.partitions.iter().enumerate() {
            let of = |slot| table.get(slot).map(|track| (track.start_ns, track.id, number as u32, slot));
            tracked.extend(table.slots().filter_map(of));
        }
        tracked.sort_unstable_by_key(|&by| std::cmp::Reverse(by));
        Left { now_ns, tracked }
    }

    /// Writes the next `most` of what is left, in order of start; false when nothing was.
    pub fn write_left(&mut self, left: &mut Left, most: usize) -> bool {
        let mut shares = left.take(most, &mut self.counter, self.partitions.len());
        let written = shares.iter().any(|share| !share.is_empty());
        for (partition, share) in self.partitions.iter_mut().zip(&mut shares) {
            partition.write_left(share);
        }
        self.merge();
        written
    }

    /// The books.
    pub fn stats(&self) -> TrackerStats {
        self.partitions.iter().fold(self.stats, |sum, partition| sum.plus(&partition.stats()))
    }
}

/// The queue: the same as these, later. Nothing else may be asked of the tracker until [`Tracker::take_queued`] and
/// [`Tracker::return_queued`] have emptied it.
impl Tracker {
    /// As [`Tracker::transition`].
    pub(crate) fn queue_transition(&mut self, segment: &Segment) {
        self.note_rst(segment);
        self.queue.transition(segment, &mut self.counter, self.outcomes.len());
    }

    /// As [`Tracker::observe`], of a segment with nothing unusual.
    pub fn queue_observe(&mut self, segment: &Segment) {
        self.queue.observe(segment, &mut self.counter, self.outcomes.len());
    }

    /// As [`Tracker::count`].
    pub(crate) fn queue_count(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, basis: Basis) {
        self.queue.count(key, lo, hi, basis, self.outcomes.len());
    }

    /// As [`Tracker::settle`].
    pub(crate) fn queue_settle(
        &mut self,
        key: &FlowKey,
        lo: &DirectionCounters,
        hi: &DirectionCounters,
        last_from_hi: bool,
    ) {
        self.queue.settle(key, lo, hi, last_from_hi, self.outcomes.len());
    }

    /// As [`Tracker::unreachable`].
    pub(crate) fn queue_unreachable(&mut self, quote: &IcmpQuote, time_ns: u64) {
        self.queue.unreachable(quote, time_ns, &mut self.counter, self.outcomes.len());
    }

    /// How much is queued.
    pub fn queued(&self) -> usize {
        self.queue.len()
    }

    /// What is queued, for whoever does it; records are made there where `makes_records`.
    pub(crate) fn take_queued(&mut self, makes_records: bool) -> Vec<Work> {
        self.make_records_apart(makes_records);
        self.queue.take(std::mem::take(&mut self.partitions))
    }

    /// It is done.
    pub(crate) fn return_queued(&mut self, done: Vec<Work>) {
        self.partitions = self.queue.give_back(done);
        self.quiet_until = self.partitions.iter().map(Partition::quiet_until).min().unwrap_or(0);
        self.merge();
    }
}

/// Connections still tracked when the source has ended, the first to be written last.
#[derive(Debug)]
pub struct Left {
    now_ns: u64,
    /// Start, id, partition and slot.
    tracked: Vec<(u64, u64, u32, u32)>,
}

impl Left {
    /// The next `most`, each with a step of its own, by partition.
    pub(crate) fn take(&mut self, most: usize, counter: &mut StepCounter, partitions: usize) -> Vec<Vec<ToWrite>> {
        let rest = self.tracked.len().saturating_sub(most);
        let mut shares = vec![Vec::new(); partitions];
        for (_, _, partition, slot) in self.tracked.drain(rest..).rev() {
            let (step, watched_from_ns) = (counter.without_frame(), counter.watched_from_ns());
            shares[partition as usize].push(ToWrite { slot, step, now_ns: self.now_ns, watched_from_ns });
        }
        shares
    }
}

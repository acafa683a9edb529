//! Partition: a share of the flows, and everything that is known of them alone. Takes segments in the order of the stream, and
//! hands over connections as they end.
//!
//! Knows nothing of other partitions, so that each may be worked on by a thread of its own; what a record says that rests on
//! connections of others is settled where all come together (`merge`).

use std::sync::Arc;

use probe_ebpf::layout::{ACK, DirectionCounters, FIN, FlowKey, RST, SYN, Segment};

use crate::record::{Basis, Orientation, Written};
use crate::tcp::arrival::{Arrival, Extra, Header};
use crate::tcp::counting::{add_counters, count_one, settle_side};
use crate::tcp::endpoint::DID_CLOSE;
use crate::tcp::marks::NEVER;
use crate::tcp::state_machine;
use crate::tcp::track::{Counting, Track};
use crate::tracker::batch::{Batch, Between, What};
use crate::tracker::config::TrackerConfig;
use crate::tracker::deadline::{Deadlines, FEW, deadline, expire};
use crate::tracker::ended::{Aside, Outcome};
use crate::tracker::eviction::{Attempts, dispensable};
use crate::tracker::icmp::IcmpReports;
use crate::tracker::kernel_reports::KernelReports;
use crate::tracker::making::Maker;
use crate::tracker::pool::Pool;
use crate::tracker::process::Processes;
use crate::tracker::reset_options::AllResetOptions;
use crate::tracker::stats::TrackerStats;
use crate::tracker::steps::Steps;
use crate::tracker::table::{Place, Table};
use crate::tracker::timer_wheel::Wheel;
use crate::tracker::tombstone::Tombstones;
use crate::tracker::{duplicates, duplicates::Copies, icmp, kernel_reports, reset_options, roles, tombstone};

/// See the module.
#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) config: Arc<TrackerConfig>,
    pub(crate) table: Table,
    /// Connections at most.
    most: usize,
    wheel: Wheel,
    /// Latest time of the step that is worked on: a segment that comes with an earlier one does not turn it back.
    now: u64,
    /// Twice the number of the step that is worked on; one more once its timers have run.
    turn: u64,
    /// The earliest time of a segment of all until then.
    watched_from: u64,
    /// Place in its batch of the first step of which timers have not run.
    cursor: usize,
    /// Nothing is due before this time.
    quiet_until: u64,
    pub(crate) outcome: Outcome,
    /// Makes records here, where that is beside what others do.
    pub(crate) maker: Option<Maker>,
    tombstones: Tombstones,
    pub(crate) pool: Pool,
    /// Where the search for a victim goes on.
    eviction_cursor: u32,
    attempts: Attempts,
    copies: Copies,
    pub(crate) stats: TrackerStats,
    pub(crate) icmp: IcmpReports,
    pub(crate) reset_options: AllResetOptions,
    pub(crate) processes: Processes,
    pub(crate) kernel_reports: KernelReports,
}

impl Partition {
    /// Without connections, one of `count`; `most` connections at once.
    pub(crate) fn new(config: &Arc<TrackerConfig>, most: usize, count: usize) -> Self {
        Self {
            table: Table::new(config.hash_seed),
            tombstones: Tombstones::new(tombstone::MOST / count as u32),
            most,
            wheel: Wheel::new(),
            now: 0,
            turn: 0,
            watched_from: u64::MAX,
            cursor: 0,
            quiet_until: 0,
            outcome: Outcome::default(),
            maker: None,
            pool: Pool::default(),
            eviction_cursor: 0,
            attempts: Attempts::default(),
            copies: Copies::new(duplicates::PLACES),
            stats: TrackerStats::default(),
            icmp: IcmpReports::new(icmp::MOST / count),
            reset_options: AllResetOptions::new(reset_options::MOST / count),
            processes: Processes::default(),
            kernel_reports: KernelReports::new(kernel_reports::MOST / count),
            config: Arc::clone(config),
        }
    }

    /// Does everything that `batch` has for the partition of this number; what ends is in `outcome`.
    pub(crate) fn work(&mut self, batch: &Batch, number: usize) {
        let mut places = [Place::default(); AT_ONCE];
        self.cursor = 0;
        for some in batch.owned_by(number).chunks(AT_ONCE) {
            self.table.approach(some.iter().map(|owned| batch.key(*owned)), &mut places[..some.len()]);
            for (place, owned) in places.iter().zip(some) {
                self.pass(&batch.steps, usize::from(owned.step));
                match batch.what(*owned) {
                    What::Segment(Arrival { segment, extra }) => self.observe_at(*place, segment, *extra),
                    What::Between(Between::Refused(quote, time_ns)) => drop(self.unreachable(quote, *time_ns)),
                    What::Between(Between::Said(said)) => {
                        self.reset_said(&said.key, said.from_hi, said.option, &said.text, said.time_ns);
                    }
                    What::Between(Between::Time(_)) => {}
                }
            }
            self.make_records();
        }
        if let Some(last) = batch.steps.now_ns.len().checked_sub(1) {
            self.run_timers_until(&batch.steps, last);
        }
        self.make_records();
    }

    /// Comes to a step: what is due before goes first.
    #[inline(always)]
    pub(crate) fn pass(&mut self, steps: &Steps, at: usize) {
        self.run_timers_until(steps, at);
        (self.now, self.turn) = (steps.now_ns[at], 2 * steps.number(at) + 1);
        self.watched_from = steps.watched_from_ns(at);
        self.cursor = at + 1;
    }

    /// Writes what is left when the source has ended, a few at a time.
    pub(crate) fn write_left(&mut self, left: &mut Vec<ToWrite>) {
        for few in left.chunks(AT_ONCE) {
            self.table.warm_ends(few.iter().map(|one| one.slot));
            for one in few {
                (self.now, self.turn, self.watched_from) = (one.now_ns, 2 * one.step, one.watched_from_ns);
                self.write(one.slot, Written::StillTracked);
            }
            self.make_records();
        }
        left.clear();
    }

    /// Begins a run of steps.
    pub(crate) fn begin_steps(&mut self) {
        self.cursor = 0;
    }

    /// Before this time nothing is due.
    pub(crate) fn quiet_until(&self) -> u64 {
        self.quiet_until
    }

    /// Counts one segment and moves its connection on.
    #[inline(always)]
    pub(crate) fn observe_at(&mut self, place: Place, segment: &Segment, extra: Extra) {
        let record = &segment.record;
        if extra.bad_checksum || extra.header != Header::Whole {
            return self.observe_damaged(place, segment, extra.header);
        }
        self.stats.segments += 1;
        let mut slot = place.slot;
        let track = match self.table.get_mut(slot) {
            Some(track) if track.key.same(&segment.key) && !state_machine::is_reuse(track, record) => track,
            _ => {
                slot = self.connection_of(segment, place, Counting::Whole);
                let Some(track) = self.table.get_mut(slot) else { return };
                track
            }
        };
        if record.is_control() {
            if record.flags & (FIN | RST) != 0 {
                self.pool.equip(track, record.flags & RST != 0);
            }
            state_machine::step_control(track, segment, extra, &self.config);
            track.add_control(track.side_of(record), record.flags);
            self.copies.control(record, &segment.key);
            count_one(track, record);
            if deadline(track, &self.config.timers) < track.armed_ns {
                self.rearm(slot);
            }
            return;
        }
        let (last_ns, patience, was_deferred) = (track.last_ns, track.patience, track.close_deferred());
        state_machine::step_plain(track, segment, extra, &self.config);
        if duplicates::is_sampled(record) {
            self.copies.data(record, &segment.key);
        }
        count_one(track, record);
        // Nothing else of what these segments do brings a deadline forward.
        if was_deferred || track.patience != patience || track.last_ns < last_ns {
            self.rearm(slot);
        } else {
            debug_assert!(deadline(track, &self.config.timers) >= track.armed_ns, "{track:?}");
        }
    }

    /// A segment of which not all is believed.
    #[cold]
    fn observe_damaged(&mut self, place: Place, segment: &Segment, header: Header) {
        if header != Header::Whole {
            return self.note_headless(segment, header);
        }
        let slot = self.connection_of(segment, place, Counting::Whole);
        let Some(track) = self.table.get_mut(slot) else { return };
        self.stats.bad_checksums += 1;
        state_machine::bad_checksum(track, &segment.record);
    }

    /// Moves the state machine only (live path); the counts come through [`Partition::count`].
    pub(crate) fn transition(&mut self, segment: &Segment) {
        let place = self.table.place_of(&segment.key);
        if segment.record.is_control() {
            self.copies.control(&segment.record, &segment.key);
        }
        let slot = self.connection_of(segment, place, Counting::Apart);
        let Some(track) = self.table.get_mut(slot) else { return };
        track.count_apart();
        state_machine::step(track, segment, Extra::default(), &self.config);
        self.rearm(slot);
    }

    /// Adds the counters of one slot to the connection of `key`, which a transition has created: directly after the
    /// first segment of the slot, or any time before the connection ends.
    pub(crate) fn count(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, basis: Basis) {
        let Some(track) = self.table.find(key).and_then(|slot| self.table.get_mut(slot)) else {
            self.stats.orphan_counts += 1;
            return;
        };
        track.counting = match basis {
            Basis::AllSegments => Counting::Apart,
            Basis::ControlOnly => Counting::ApartControlOnly,
            Basis::BeforeSegmentation => Counting::ApartBeforeSegmentation,
        };
        let hi_side = usize::from(!track.orig_is_hi);
        for (side, counters) in [(hi_side, hi), (1 - hi_side, lo)] {
            if counters.packets != 0 || counters.ip_bytes != 0 {
                add_counters(track, side, counters);
            }
        }
    }

    /// What the same counters say of the last segment of each direction, after every [`Partition::transition`] of the
    /// epoch: sequence numbers, acknowledgements and times of segments that were only counted. `last_from_hi`: who sent
    /// the very last one.
    pub(crate) fn settle(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, last_from_hi: bool) {
        let Some(track) = self.table.find(key).and_then(|slot| self.table.get_mut(slot)) else { return };
        let hi_side = usize::from(!track.orig_is_hi);
        let both_closed = track.ends.iter().all(|end| end.has(DID_CLOSE));
        let mut sides = [(hi_side, hi), (1 - hi_side, lo)];
        if last_from_hi {
            sides.swap(0, 1);
        }
        for (side, counters) in sides {
            if counters.packets == 0 {
                continue;
            }
            settle_side(track, side, counters);
            if !both_closed {
                track.last_ns = track.last_ns.max(counters.last_ns);
            }
        }
    }

    /// The books.
    pub(crate) fn stats(&self) -> TrackerStats {
        TrackerStats { tracked: self.table.len() as u64, copies: self.copies.counts(), ..self.stats }
    }

    /// Slot of the segment's connection, created when there is none or when the segment begins anew.
    #[inline(never)]
    fn connection_of(&mut self, segment: &Segment, place: Place, counting: Counting) -> u32 {
        if let Some(slot) = self.table.find_at(place, &segment.key) {
            let reused = self.table.get(slot).is_some_and(|track| state_machine::is_reuse(track, &segment.record));
            if !reused {
                return slot;
            }
            self.write(slot, Written::Reused);
        }
        self.create(segment, place, counting)
    }

    /// A segment that says no more than that there is a connection.
    #[cold]
    fn note_headless(&mut self, segment: &Segment, header: Header) {
        if header != Header::Contradictory || self.table.find(&segment.key).is_none() {
            self.connection_of(segment, self.table.place_of(&segment.key), Counting::Whole);
        }
    }

    fn create(&mut self, segment: &Segment, place: Place, counting: Counting) -> u32 {
        let record = &segment.record;
        if self.table.len() >= self.most {
            self.evict();
        }
        let slot = self.table.insert(place, Track::new(segment.key, record, self.turn / 2, counting));
        self.stats.created += 1;
        self.stats.peak = self.stats.peak.max(self.table.len() as u64);
        let Some(track) = self.table.get_mut(slot) else { return slot };
        track.check_ns = self.now.saturating_add(self.config.timers.first_check);
        if state_machine::starts_flipped(record, track, &self.config.likely_server_ports) {
            track.flip();
            track.orientation = Orientation::ServicePort;
        }
        if track.orientation == Orientation::FirstSender
            && record.flags & SYN == 0
            && roles::starts_at_service(track, record, &self.config.likely_server_ports)
        {
            track.orientation = Orientation::ServicePort;
        }
        let end =
            (record.flags & (SYN | ACK) != SYN).then(|| self.tombstones.find(place.hash, record.time_ns)).flatten();
        if let Some(end) = end {
            roles::continues(track, end);
            self.stats.late_segments += u64::from(!end.silent);
        } else if record.flags & (SYN | RST) == RST {
            self.stats.unattributed_rst += 1;
        }
        self.rearm(slot);
        slot
    }

    /// Sees to it that the wheel wakes up in time for the connection's next deadline.
    fn rearm(&mut self, slot: u32) {
        let Some(track) = self.table.get_mut(slot) else { return };
        let due = deadline(track, &self.config.timers);
        if due < track.armed_ns {
            let due = self.wheel.arm(due, slot);
            track.armed_ns = due;
            self.quiet_until = self.quiet_until.min(due);
        }
    }

    /// Runs the timers that are due up to the step at `last`, each at the first step at or after it.
    #[inline(always)]
    pub(crate) fn run_timers_until(&mut self, steps: &Steps, last: usize) {
        if steps.now_ns[last] >= self.quiet_until {
            self.run_timers(steps, last);
        }
    }

    #[cold]
    fn run_timers(&mut self, steps: &Steps, last: usize) {
        let limit = steps.now_ns[last];
        while self.cursor <= last
            && let Some((due, slot)) =
                self.wheel.next(limit, &mut Deadlines { table: &mut self.table, timers: &self.config.timers })
        {
            let coming = self.wheel.coming();
            if !coming.is_empty() {
                self.table.warm(coming);
            }
            let many = self.table.len() > FEW;
            let Some(track) = self.table.get_mut(slot) else { continue };
            if track.armed_ns != due {
                continue;
            }
            track.armed_ns = NEVER;
            while steps.now_ns[self.cursor] < due {
                self.cursor += 1;
            }
            let at = self.cursor;
            (self.now, self.turn) = (steps.now_ns[at], 2 * steps.number(at));
            match expire(track, self.now, &self.config.timers, many) {
                Some(written) => {
                    self.watched_from = steps.watched_from_ns(at);
                    self.write(slot, written);
                }
                None => self.rearm(slot),
            }
        }
        self.quiet_until = self.wheel.quiet_until();
    }

    /// The connection is no longer tracked: it is in `outcome`, for its record.
    pub(crate) fn write(&mut self, slot: u32, written: Written) {
        let Some(track) = self.table.get(slot) else { return };
        let hash = self.table.hash(&track.key);
        if let Some(end) = roles::remembered(track, written) {
            self.tombstones.add(hash, end, self.now);
        }
        self.stats.written += 1;
        self.stats.offload.add(track);
        let aside = self.take_aside(track.id);
        let ended = self.outcome.ended.next();
        (ended.written, ended.now, ended.turn) = (written, self.now, self.turn);
        (ended.watched_from, ended.aside) = (self.watched_from, aside);
        self.table.remove(slot, hash, &mut ended.track);
    }

    /// What was said of a connection beside its segments, which is forgotten here.
    #[inline]
    fn take_aside(&mut self, id: u64) -> Option<Box<Aside>> {
        let Self { icmp, reset_options, processes, kernel_reports, .. } = self;
        if icmp.is_empty() && reset_options.is_empty() && processes.is_empty() && kernel_reports.is_empty() {
            return None;
        }
        let aside = Aside {
            icmp: icmp.take(id),
            said: reset_options.take(id),
            process: processes.take(id),
            reports: kernel_reports.take(id),
        };
        (!aside.is_empty()).then(|| Box::new(aside))
    }

    /// The same of one that goes on.
    pub(crate) fn aside_of(&self, id: u64) -> Aside {
        Aside {
            icmp: self.icmp.of(id),
            said: self.reset_options.of_both(id),
            process: self.processes.of(id).cloned(),
            reports: self.kernel_reports.of(id),
        }
    }

    /// Makes the records of what has ended, where that is done here.
    #[inline]
    pub(crate) fn make_records(&mut self) {
        if let Some(maker) = &mut self.maker
            && self.outcome.ended.has_new()
        {
            maker.make(&mut self.outcome, &self.config, &mut self.pool);
        }
    }

    /// Gives out what has ended, in exchange for what has been settled.
    pub(crate) fn swap_outcome(&mut self, with: &mut Outcome) {
        std::mem::swap(&mut self.outcome, with);
        for rare in self.outcome.spent.drain(..) {
            self.pool.take_back(rare);
        }
    }

    /// Makes room for one: an attempt without answer if there is any, or else the most dispensable of the next [`LOOK_AT`]
    /// connections.
    fn evict(&mut self) {
        let attempt = self.attempts.next(&self.table, self.stats.created);
        let victim = attempt.or_else(|| self.most_dispensable());
        let Some(victim) = victim else { return };
        match self.table.get(victim).map(dispensable) {
            Some(0) => self.stats.evicted_embryonic += 1,
            Some(1) => self.stats.evicted_closed += 1,
            _ => self.stats.evicted_idle += 1,
        }
        self.write(victim, Written::Evicted);
    }

    fn most_dispensable(&mut self) -> Option<u32> {
        let victim = self.table.next_slots(self.eviction_cursor, LOOK_AT).into_iter().min_by_key(|&slot| {
            self.table.get(slot).map_or((3, u64::MAX, slot), |track| (dispensable(track), track.last_ns, slot))
        });
        self.eviction_cursor = victim?.wrapping_add(1);
        victim
    }
}

/// A connection that is to be written although nothing has ended it, and at which step.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ToWrite {
    pub(crate) slot: u32,
    pub(crate) step: u64,
    pub(crate) now_ns: u64,
    pub(crate) watched_from_ns: u64,
}

/// Connections fetched from memory together: few enough to stay near until their turn.
const AT_ONCE: usize = 32;

/// Connections compared for one eviction.
const LOOK_AT: usize = 64;

//! Tracker: takes in segments and counters, and gives out connection records.

use probe_ebpf::layout::{ACK, DirectionCounters, FIN, FlowKey, RST, SYN, Segment};

use crate::record::{Basis, Connection, Orientation, Written};
use crate::tcp::arrival::{Arrival, Extra, Header};
use crate::tcp::counting::{add_counters, count_one, settle_side};
use crate::tcp::endpoint::DID_CLOSE;
use crate::tcp::marks::NEVER;
use crate::tcp::state_machine;
use crate::tcp::track::{Counting, Track};
use crate::tracker::config::TrackerConfig;
use crate::tracker::deadline::{Deadlines, FEW, deadline, expire};
use crate::tracker::ended::{Ended, EndedList};
use crate::tracker::eviction::{Attempts, dispensable};
use crate::tracker::icmp::IcmpReports;
use crate::tracker::table::{Place, Table};
use crate::tracker::timer_wheel::Wheel;
use crate::tracker::to_record::Known;
use crate::tracker::tombstone::Tombstones;
use crate::tracker::{duplicates, duplicates::Copies};
use crate::tracker::{kernel_reports::KernelReports, kernel_resets::KernelResets, pool::Pool, process::Processes};
use crate::tracker::{reset_options::AllResetOptions, stats::TrackerStats, to_record};
use crate::tracker::{roles, roles::Servers};

/// Follows connections. Time is what segments and [`Tracker::advance`] say; records come out in the order in which
/// they were written, which depends on the input alone.
///
/// Two ways in, never mixed for one connection: [`Tracker::observe`] counts a segment and moves the state machine;
/// [`Tracker::transition`] only moves the state machine, and [`Tracker::count`] brings the counters.
#[derive(Debug)]
pub struct Tracker {
    pub(crate) config: TrackerConfig,
    pub(crate) table: Table,
    wheel: Wheel,
    /// Latest time seen: a segment that comes with an earlier one does not turn it back (Zeek `network_time`).
    now: u64,
    /// Nothing is due before this time.
    quiet_until: u64,
    /// What is to be in `closed`: empty outside of calls from elsewhere.
    ended: EndedList,
    closed: Vec<Connection>,
    tombstones: Tombstones,
    servers: Servers,
    /// Both directions of some connection were seen: that an answer is missing says something.
    both_ways: bool,
    pool: Pool,
    next_id: u64,
    /// Where the search for a victim goes on.
    eviction_cursor: u32,
    attempts: Attempts,
    copies: Copies,
    pub(crate) stats: TrackerStats,
    pub(crate) icmp: IcmpReports,
    pub(crate) reset_options: AllResetOptions,
    pub(crate) processes: Processes,
    pub(crate) kernel_resets: KernelResets,
    pub(crate) kernel_reports: KernelReports,
    /// Time of the first segment.
    watched_from: u64,
}

impl Tracker {
    /// A tracker without connections.
    pub fn new(config: TrackerConfig) -> Self {
        Self {
            table: Table::new(config.hash_seed),
            tombstones: Tombstones::new(),
            servers: Servers::new(config.hash_seed),
            both_ways: false,
            wheel: Wheel::new(),
            now: 0,
            quiet_until: 0,
            ended: EndedList::default(),
            closed: Vec::new(),
            pool: Pool::default(),
            next_id: 1,
            eviction_cursor: 0,
            attempts: Attempts::default(),
            copies: Copies::default(),
            stats: TrackerStats::default(),
            icmp: IcmpReports::default(),
            reset_options: AllResetOptions::default(),
            processes: Processes::default(),
            kernel_resets: KernelResets::new(&config.own_addresses),
            kernel_reports: KernelReports::default(),
            watched_from: u64::MAX,
            config,
        }
    }

    /// Counts one segment and moves its connection on: captures, AF_XDP, log entries without a slot.
    pub fn observe(&mut self, segment: &Segment, extra: Extra) {
        self.observe_at(self.table.likely_place_of(&segment.key), segment, extra);
        self.make_records();
    }

    /// As [`Tracker::observe`] one by one, only faster: what one needs from memory is on its way while others are worked on.
    pub fn observe_all(&mut self, arrivals: &[Arrival]) {
        let mut places = [Place::default(); AT_ONCE];
        for some in arrivals.chunks(AT_ONCE) {
            self.table.approach(some.iter().map(|arrival| &arrival.segment.key), &mut places[..some.len()]);
            for (place, Arrival { segment, extra }) in places.iter().zip(some) {
                self.observe_at(*place, segment, *extra);
            }
        }
        self.make_records();
    }

    #[inline(always)]
    fn observe_at(&mut self, place: Place, segment: &Segment, extra: Extra) {
        let record = &segment.record;
        self.pass(record.time_ns);
        if extra.bad_checksum || extra.header != Header::Whole {
            return self.observe_damaged(place, segment, extra.header);
        }
        self.watched_from = self.watched_from.min(record.time_ns);
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
        self.watched_from = self.watched_from.min(segment.record.time_ns);
        let slot = self.connection_of(segment, place, Counting::Whole);
        let Some(track) = self.table.get_mut(slot) else { return };
        self.stats.bad_checksums += 1;
        state_machine::bad_checksum(track, &segment.record);
    }

    /// Moves the state machine only (live path); the counts come through [`Tracker::count`].
    pub fn transition(&mut self, segment: &Segment) {
        self.pass(segment.record.time_ns);
        let place = self.table.place_of(&segment.key);
        if segment.record.is_control() {
            self.copies.control(&segment.record, &segment.key);
        }
        let slot = self.connection_of(segment, place, Counting::Apart);
        self.make_records();
        let Some(track) = self.table.get_mut(slot) else { return };
        track.count_apart();
        state_machine::step(track, segment, Extra::default(), &self.config);
        let record = &segment.record;
        if record.flags & RST != 0 && !self.config.kernel_reasons.is_empty() {
            let key = &segment.key;
            let port = if record.from_hi() { key.hi().port } else { key.lo().port };
            self.processes.saw_rst(record.time_ns, port, *key, record.from_hi());
        }
        self.rearm(slot);
    }

    /// Adds the counters of one slot to the connection of `key`, which a transition has created: directly after the
    /// first segment of the slot, or any time before the connection ends.
    pub fn count(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, basis: Basis) {
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

    /// What the same counters say of the last segment of each direction, after every [`Tracker::transition`] of the
    /// epoch: sequence numbers, acknowledgements and times of segments that were only counted. `last_from_hi`: who sent
    /// the very last one.
    pub fn settle(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, last_from_hi: bool) {
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

    /// Segments were lost that might have been acknowledgements: from now on a missing one is no evidence.
    pub fn doubt_acknowledgements(&mut self) {
        self.config.pure_acks_seen = false;
    }

    /// Runs every timer up to `now_ns`. Time never goes back: an earlier `now_ns` changes nothing.
    pub fn advance(&mut self, now_ns: u64) {
        self.pass(now_ns);
        self.make_records();
    }

    #[inline]
    fn pass(&mut self, now_ns: u64) {
        self.now = self.now.max(now_ns);
        if self.now >= self.quiet_until {
            self.run_timers(self.now);
        }
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

    /// How many records wait for [`Tracker::take_closed`].
    pub fn closed_len(&self) -> usize {
        self.closed.len()
    }

    /// The tracked connections as they stand, in order of start.
    pub fn snapshot(&self, now_ns: u64) -> Vec<Connection> {
        let tracks = self.table.slots().filter_map(|slot| self.table.get(slot));
        let mut all: Vec<Connection> = tracks
            .map(|track| {
                let known = self.known(track, self.servers.roles(track));
                to_record::connection(track, Written::StillTracked, now_ns, &self.config, &known)
            })
            .collect();
        all.sort_unstable_by_key(|connection| (connection.start_ns, connection.id));
        all
    }

    /// What is known of a connection besides its own state.
    fn known(&self, track: &Track, roles: (Orientation, bool)) -> Known<'_> {
        let (icmp, said) = (self.icmp.of(track.id), self.reset_options.of_both(track.id));
        let (process, reports) = (self.processes.of(track.id), self.kernel_reports.of(track.id));
        let words = &self.kernel_resets;
        Known { both_ways: self.both_ways, watched_from: self.watched_from, roles, icmp, said, process, words, reports }
    }

    /// Writes everything that is left, in order of start.
    pub fn finish(&mut self, now_ns: u64) {
        let mut left = self.left(now_ns);
        self.write_left(&mut left, usize::MAX);
    }

    /// Everything that is left, after every timer up to `now_ns`, for [`Tracker::write_left`].
    pub fn left(&mut self, now_ns: u64) -> Left {
        self.advance(now_ns);
        let mut slots = Vec::with_capacity(self.table.len());
        let of = |slot| self.table.get(slot).map(|track| (track.start_ns, track.id, slot));
        slots.extend(self.table.slots().filter_map(of));
        slots.sort_unstable_by_key(|&by| std::cmp::Reverse(by));
        Left { now_ns, slots }
    }

    /// Writes the next `most` of what is left, in order of start; false when nothing was.
    pub fn write_left(&mut self, left: &mut Left, most: usize) -> bool {
        let rest = left.slots.len().saturating_sub(most);
        let some = left.slots.split_off(rest);
        for few in some.rchunks(AT_ONCE) {
            self.table.warm_ends(few.iter().map(|&(_, _, slot)| slot));
            for &(_, _, slot) in few.iter().rev() {
                self.write(slot, Written::StillTracked, left.now_ns);
            }
            self.make_records();
        }
        !some.is_empty()
    }

    /// The books.
    pub fn stats(&self) -> TrackerStats {
        TrackerStats { tracked: self.table.len() as u64, copies: self.copies.counts(), ..self.stats }
    }

    /// Slot of the segment's connection, created when there is none or when the segment begins anew.
    #[inline(never)]
    fn connection_of(&mut self, segment: &Segment, place: Place, counting: Counting) -> u32 {
        self.watched_from = self.watched_from.min(segment.record.time_ns);
        if let Some(slot) = self.table.find_at(place, &segment.key) {
            let reused = self.table.get(slot).is_some_and(|track| state_machine::is_reuse(track, &segment.record));
            if !reused {
                return slot;
            }
            self.write(slot, Written::Reused, self.now);
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
        if self.table.len() >= self.config.max_connections {
            self.evict(self.now);
        }
        let slot = self.table.insert(place, Track::new(segment.key, record, self.next_id, counting));
        self.next_id += 1;
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

    #[cold]
    fn run_timers(&mut self, now: u64) {
        let many = self.table.len() > FEW;
        while let Some((due, slot)) =
            self.wheel.next(now, &mut Deadlines { table: &mut self.table, timers: &self.config.timers })
        {
            let coming = self.wheel.coming();
            if !coming.is_empty() {
                self.table.warm(coming);
            }
            let Some(track) = self.table.get_mut(slot) else { continue };
            if track.armed_ns != due {
                continue;
            }
            track.armed_ns = NEVER;
            match expire(track, now, &self.config.timers, many) {
                Some(written) => self.write(slot, written, now),
                None => self.rearm(slot),
            }
        }
        self.quiet_until = self.wheel.quiet_until();
    }

    /// The connection is no longer tracked; [`Self::make_records`] makes its record.
    fn write(&mut self, slot: u32, written: Written, now: u64) {
        let Some(track) = self.table.get(slot) else { return };
        let hash = self.table.hash(&track.key);
        let roles = self.servers.roles(track);
        self.servers.learn(track);
        if let Some(end) = roles::remembered(track, written, roles.1) {
            self.tombstones.add(hash, end, now);
        }
        self.stats.written += 1;
        self.stats.offload.add(track);
        self.both_ways |= track.ends.iter().all(|end| end.packets > 0);
        let ended = self.ended.next();
        (ended.written, ended.now, ended.roles) = (written, now, roles);
        (ended.both_ways, ended.watched_from) = (self.both_ways, self.watched_from);
        self.table.remove(slot, hash, &mut ended.track);
    }

    /// Makes the records of what has ended, in its order.
    #[inline]
    fn make_records(&mut self) {
        if !self.ended.is_empty() {
            self.make_each_record();
        }
    }

    #[inline(never)]
    fn make_each_record(&mut self) {
        for Ended { track, written, now, roles, both_ways, watched_from } in self.ended.take() {
            let Some(ended) = track else { continue };
            let known = Known {
                both_ways: *both_ways,
                watched_from: *watched_from,
                roles: *roles,
                icmp: self.icmp.of(ended.id),
                said: self.reset_options.of_both(ended.id),
                process: self.processes.of(ended.id),
                words: &self.kernel_resets,
                reports: self.kernel_reports.of(ended.id),
            };
            let record = || to_record::connection(ended, *written, *now, &self.config, &known);
            // Not pushed: room is made before, so that it is put together where it stays.
            self.closed.extend(std::iter::once_with(record));
            self.icmp.forget(ended.id);
            self.reset_options.forget(ended.id);
            self.processes.forget(ended.id);
            self.kernel_reports.forget(ended.id);
            if let Some(rare) = ended.rare.take() {
                self.pool.take_back(rare);
            }
            *track = None;
        }
    }

    /// Makes room for one: an attempt without answer if there is any, or else the most dispensable of the next [`LOOK_AT`]
    /// connections.
    fn evict(&mut self, now: u64) {
        let attempt = self.attempts.next(&self.table, self.stats.created);
        let victim = attempt.or_else(|| self.most_dispensable());
        let Some(victim) = victim else { return };
        match self.table.get(victim).map(dispensable) {
            Some(0) => self.stats.evicted_embryonic += 1,
            Some(1) => self.stats.evicted_closed += 1,
            _ => self.stats.evicted_idle += 1,
        }
        self.write(victim, Written::Evicted, now);
    }

    fn most_dispensable(&mut self) -> Option<u32> {
        let victim = self.table.next_slots(self.eviction_cursor, LOOK_AT).into_iter().min_by_key(|&slot| {
            self.table.get(slot).map_or((3, u64::MAX, slot), |track| (dispensable(track), track.last_ns, slot))
        });
        self.eviction_cursor = victim?.wrapping_add(1);
        victim
    }
}

/// Connections still tracked when the source has ended, the first to be written last.
#[derive(Debug)]
pub struct Left {
    now_ns: u64,
    slots: Vec<(u64, u64, u32)>,
}

/// Connections fetched from memory together: few enough to stay near until their turn.
const AT_ONCE: usize = 32;

/// Connections compared for one eviction.
const LOOK_AT: usize = 64;

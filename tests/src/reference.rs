//! Reference model: what the kernel program must have done with a sequence of frames on one CPU: the same pure code around ordinary
//! collections instead of maps, and what a drain must therefore hand over.
//!
//! Knows nothing of hashing: it is exact as long as no index bucket overflows (up to 15 slots none can).

use std::collections::HashMap;

use probe_ebpf::{
    layout::{DirectionCounters, EpochCounters, FlowKey, ICMP_QUOTES, LogEntry, Segment, SegmentRecord, Slot},
    parse::{self, IcmpQuote, Located, Reject, SliceReader, icmp_quote},
    record::{self, Disposition, Journal},
    tunnel::{self, Encapsulations, Walk},
};
use probe_user::source::live::{
    accounting::Accounting,
    engine::{Depth, EngineConfig, Sink},
};

/// One thing that a drain hands over. Times are ranks: 1 for the earliest of the stream, 0 for one that is not in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// [`Sink::transition`].
    Transition(Segment),
    /// [`Sink::count`].
    Count(FlowKey, DirectionCounters, DirectionCounters),
    /// [`Sink::observe`].
    Observe(Segment),
    /// [`Sink::unreachable`].
    Unreachable(IcmpQuote),
}

/// A sink that keeps everything.
#[derive(Clone, Debug, Default)]
pub struct Recorder {
    /// In the order in which it came.
    pub events: Vec<Event>,
}

impl Sink for Recorder {
    fn transition(&mut self, segment: &Segment) {
        self.events.push(Event::Transition(*segment));
    }

    fn count(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters) {
        self.events.push(Event::Count(*key, *lo, *hi));
    }

    fn observe(&mut self, segment: &Segment) {
        self.events.push(Event::Observe(*segment));
    }

    fn unreachable(&mut self, quote: &IcmpQuote, _time_ns: u64) {
        self.events.push(Event::Unreachable(*quote));
    }
}

impl Recorder {
    /// The events with ranks for times, so that two clocks can be compared.
    #[must_use]
    pub fn ranked(mut self) -> Vec<Event> {
        let time = |event: &Event| match event {
            Event::Transition(segment) | Event::Observe(segment) => Some(segment.record.time_ns),
            Event::Count(..) | Event::Unreachable(_) => None,
        };
        let mut times: Vec<u64> = self.events.iter().filter_map(time).collect();
        times.sort_unstable();
        times.dedup();
        let rank = |time: &mut u64| *time = times.binary_search(time).map_or(0, |at| at as u64 + 1);
        for event in &mut self.events {
            match event {
                Event::Transition(segment) | Event::Observe(segment) => rank(&mut segment.record.time_ns),
                Event::Count(_, lo, hi) => {
                    rank(&mut lo.last_ns);
                    rank(&mut hi.last_ns);
                }
                Event::Unreachable(_) => {}
            }
        }
        self.events
    }
}

/// Number of a slot, how many of its segments came before, one more, and how its payload begins.
type Entry = (usize, u8, SegmentRecord, u64);

/// The journal while the segments of one slot go into it.
struct Of<'a>(usize, &'a mut Vec<Entry>);

impl Journal for Of<'_> {
    fn keep(&mut self, nth: u8, record: &SegmentRecord, first_bytes: u64) -> bool {
        self.1.push((self.0, nth, *record, first_bytes));
        true
    }
}

/// One CPU's half of the maps, and how it is filled.
#[derive(Clone, Debug)]
pub struct Reference {
    config: EngineConfig,
    slots: Vec<Slot>,
    journal: Vec<Entry>,
    index: HashMap<FlowKey, Vec<usize>>,
    log: Vec<LogEntry>,
    accounting: EpochCounters,
    clock: u64,
}

impl Reference {
    /// Empty, with the sizes and the depth of `config`.
    pub fn new(config: &EngineConfig) -> Self {
        let (config, accounting) = (config.clone(), EpochCounters::default());
        Self { config, slots: vec![], journal: vec![], index: HashMap::new(), log: vec![], accounting, clock: 0 }
    }

    /// Does what the program does with one frame.
    ///
    /// # Panics
    /// When the parser locates a segment that it then cannot read.
    pub fn frame(&mut self, frame: &[u8]) {
        self.clock += 1;
        self.accounting.frames += 1;
        self.accounting.frame_bytes += frame.len() as u64;
        let reader = SliceReader::whole(frame);
        let located = match locate(&reader, self.config.encapsulations) {
            Ok(located) => located,
            Err(reject) => {
                let is_quote = reject == Reject::NotTcp && self.quote(&reader);
                self.accounting.rejected[if is_quote { ICMP_QUOTES } else { reject as usize }] += 1;
                return;
            }
        };
        self.accounting.tcp += 1;
        if located.is_control() {
            self.accounting.seen.add(located.flags);
        } else if self.config.depth == Depth::Control {
            self.accounting.passed_by += 1;
            return;
        }
        self.accounting.cropped += u32::from(located.is_cropped(&reader));
        let domain = located.domain(self.config.domain.value());
        let segment = parse::segment(&reader, &located, domain, 0).expect("what was located can be read");
        self.segment(segment);
    }

    /// Logs an ICMP error that quotes a segment, in the half of the log that is not for segments alone.
    fn quote(&mut self, reader: &SliceReader<'_>) -> bool {
        let (mut walk, mut located) = (Walk::ethernet(0), Located::default());
        if tunnel::locate(reader, self.config.encapsulations, &mut walk, &mut located) != Err(Reject::NotTcp) {
            return false;
        }
        let domain = walk.domain(self.config.domain.value());
        let Some(quote) = walk.icmp().and_then(|place| icmp_quote(reader, &place, domain)) else { return false };
        let size = self.config.log_per_cpu as usize;
        if self.log.len() < size - size / 2 {
            let record = SegmentRecord::default();
            let mut entry = LogEntry { key: quote.key, record, first_bytes: 0, counted: 0, way: 0 };
            quote.put_into(&mut entry, self.clock);
            self.log.push(entry);
        }
        true
    }

    fn segment(&mut self, mut segment: Segment) {
        match self.slot(&segment.key, &segment.record) {
            Some(at) => {
                self.accounting.in_slots += 1;
                let (slot, journal) = (&mut self.slots[at], &mut Of(at, &mut self.journal));
                let relevant = record::is_relevant(slot, &segment.record);
                if relevant {
                    segment.record.time_ns = self.clock;
                }
                if record::apply(slot, &segment, relevant, journal) == Disposition::Spilled && !self.append(&segment, 1)
                {
                    self.accounting.order_lost += 1;
                }
            }
            None if segment.record.is_control() => {
                segment.record.time_ns = self.clock;
                if self.append(&segment, 0) {
                    self.accounting.logged += 1;
                    self.accounting.logged_flags.add(segment.record.flags);
                } else {
                    self.accounting.untracked += 1;
                    self.accounting.untracked_flags.add(segment.record.flags);
                }
            }
            None => self.accounting.untracked_data += 1,
        }
    }

    fn slot(&mut self, key: &FlowKey, record: &SegmentRecord) -> Option<usize> {
        let generations = self.index.entry(*key).or_default();
        // Only the last generation takes segments.
        if let Some(&at) = generations.last()
            && self.slots[at].state & probe_ebpf::layout::SLOT_SUPERSEDED == 0
        {
            if !record::supersedes(&self.slots[at], record) {
                return Some(at);
            }
            record::supersede(&mut self.slots[at], &mut Of(at, &mut self.journal));
        }
        if self.slots.len() == self.config.slots_per_cpu as usize {
            return None;
        }
        let mut slot = Slot::default();
        record::open(&mut slot, key, 0);
        self.slots.push(slot);
        generations.push(self.slots.len() - 1);
        Some(self.slots.len() - 1)
    }

    fn append(&mut self, segment: &Segment, counted: u32) -> bool {
        if self.log.len() == self.config.log_per_cpu as usize {
            return false;
        }
        let Segment { key, record, first_bytes } = *segment;
        self.log.push(LogEntry { key, record, first_bytes, counted, way: 0 });
        true
    }

    /// What a drain hands over, in order, and its books.
    pub fn drain(self) -> (Vec<Event>, Accounting) {
        let mut accounting = Accounting { epochs: 1, ..Accounting::default() };
        accounting.add_cpu(&self.accounting);
        let mut timed: Vec<(u64, Vec<Event>)> = vec![];
        for slot in &self.slots {
            for side in [&slot.lo, &slot.hi] {
                accounting.drained += u64::from(side.packets);
                accounting.drained_flags.syn += u64::from(side.syn);
                accounting.drained_flags.syn_ack += u64::from(side.syn_ack);
                accounting.drained_flags.fin += u64::from(side.fin);
                accounting.drained_flags.rst += u64::from(side.rst);
            }
        }
        for &(at, nth, record, first_bytes) in &self.journal {
            let slot = &self.slots[at];
            let mut events = vec![Event::Transition(Segment { key: slot.key, record, first_bytes })];
            if nth == 0 {
                events.push(Event::Count(slot.key, slot.lo, slot.hi));
            }
            timed.push((record.time_ns, events));
        }
        for entry in &self.log {
            let &LogEntry { key, record, first_bytes, counted, .. } = entry;
            if let Some(quote) = IcmpQuote::of_entry(entry) {
                accounting.drained_icmp += 1;
                timed.push((record.time_ns, vec![Event::Unreachable(quote)]));
                continue;
            }
            let segment = Segment { key, record, first_bytes };
            accounting.drained_log += u64::from(counted == 0);
            let event = if counted == 0 { Event::Observe(segment) } else { Event::Transition(segment) };
            timed.push((record.time_ns, vec![event]));
        }
        timed.sort_by_key(|(time, _)| *time);
        let recorder = Recorder { events: timed.into_iter().flat_map(|(_, events)| events).collect() };
        (recorder.ranked(), accounting)
    }
}

/// The whole way to a segment: the plain parser, and the walk through encapsulations where it gives up.
///
/// # Errors
/// The one [`Reject`] that says why there is none.
pub fn locate(reader: &SliceReader<'_>, encapsulations: Encapsulations) -> Result<Located, Reject> {
    match parse::locate(reader) {
        Err(Reject::NotIp | Reject::NotTcp | Reject::VlanDepth | Reject::ExtensionDepth)
            if encapsulations.enabled != 0 => {}
        plain => return plain,
    }
    let (mut walk, mut located) = (Walk::ethernet(0), Located::default());
    tunnel::locate(reader, encapsulations, &mut walk, &mut located).map(|()| located)
}

//! Tracker: segments of a few flows in any order, at any time, of any size, and what else is said of them. The books
//! balance, no counter falls, no more is held than is allowed, every connection is written once, as a record that can be
//! shown, and the same comes out when one comes after the other and when they come together.

use std::collections::BTreeMap;

use probe_ebpf::layout::{ACK, DirectionCounters, FIN, MARK_SEQ, RST, SYN, SegmentRecord};
use probe_user::{
    record::{Connection, Written},
    report::{LineBuffer, lines::LineFormat, table::Style},
    tracker::{Arrival, Header, Tracker, TrackerConfig, TrackerStats},
};

use crate::fuzz::{
    input::Input,
    printable::assert_one_line,
    script::{Script, Step},
};

/// So few that there is not enough room.
const MOST: usize = 3;

/// The target.
///
/// # Panics
/// When something of it does not hold.
pub fn run(bytes: &[u8]) {
    let mut input = Input(bytes);
    let small = input.byte() & 1 != 0;
    let steps = Script::read(input);
    let max_connections = if small { MOST } else { 1000 };
    let config = |hash_seed| TrackerConfig { max_connections, hash_seed, ..TrackerConfig::default() };
    let mut one_by_one = Watched::new(config(1));
    for step in &steps {
        one_by_one.step(step);
    }
    let (stats, records) = one_by_one.finish();
    check_records(&records, &stats, &steps);
    let (again_stats, again) = together(Tracker::new(config(u64::MAX / 3)), &steps);
    assert_eq!(again_stats, stats);
    assert_eq!(again, records);
}

/// A tracker, and what it said before.
struct Watched {
    tracker: Tracker,
    most: usize,
    before: TrackerStats,
    /// Of each connection in the last look, counters that must not fall.
    seen: BTreeMap<u64, [u64; 6]>,
    last_ns: u64,
    records: Vec<Connection>,
}

impl Watched {
    fn new(config: TrackerConfig) -> Self {
        let most = config.max_connections;
        let tracker = Tracker::new(config);
        Self { tracker, most, before: TrackerStats::default(), seen: BTreeMap::new(), last_ns: 0, records: vec![] }
    }

    fn step(&mut self, step: &Step) {
        apply(&mut self.tracker, step);
        self.last_ns = self.last_ns.max(step.time_ns());
        self.take();
        let stats = self.tracker.stats();
        assert!(stats.tracked <= self.most as u64, "{stats:?}");
        assert_eq!(stats.created, stats.written + stats.tracked, "{stats:?}");
        let rising = |stats: &TrackerStats| {
            let TrackerStats { peak, created, written, segments, bad_checksums, orphan_counts, .. } = *stats;
            let evicted = [stats.evicted_embryonic, stats.evicted_closed, stats.evicted_idle];
            ([peak, created, written, segments, bad_checksums, orphan_counts, stats.late_segments], evicted)
        };
        let ((now, evicted), (before, evicted_before)) = (rising(&stats), rising(&self.before));
        assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "{stats:?} after {:?}", self.before);
        assert!(evicted.iter().zip(evicted_before).all(|(now, before)| *now >= before), "{stats:?}");
        self.before = stats;
        if matches!(step, Step::Look { .. }) {
            self.look();
        }
    }

    /// Looks at what is tracked, as a snapshot does.
    fn look(&mut self) {
        let open = self.tracker.snapshot(self.last_ns);
        assert_eq!(open.len() as u64, self.tracker.stats().tracked);
        for connection in &open {
            assert_eq!(connection.written, Written::StillTracked);
            self.rises(connection);
        }
    }

    fn rises(&mut self, connection: &Connection) {
        let now = sums(connection);
        if let Some(before) = self.seen.insert(connection.id, now) {
            assert!(now.iter().zip(before).all(|(now, before)| *now >= before), "{before:?} fell to {connection:?}");
        }
    }

    fn take(&mut self) {
        let waiting = self.tracker.closed_len();
        let closed = self.tracker.take_closed();
        assert_eq!(closed.len(), waiting);
        for connection in &closed {
            self.rises(connection);
        }
        self.records.extend(closed);
    }

    fn finish(mut self) -> (TrackerStats, Vec<Connection>) {
        self.look();
        self.tracker.finish(self.last_ns);
        self.take();
        (self.tracker.stats(), self.records)
    }
}

fn sums(connection: &Connection) -> [u64; 6] {
    let (a, b) = (&connection.from_orig, &connection.from_resp);
    [a.packets + b.packets, a.syn + b.syn, a.syn_ack + b.syn_ack, a.fin + b.fin, a.rst + b.rst, a.ip_bytes + b.ip_bytes]
}

/// The same steps, segments that follow each other at once.
fn together(mut tracker: Tracker, steps: &[Step]) -> (TrackerStats, Vec<Connection>) {
    let mut waiting: Vec<Arrival> = vec![];
    let mut last_ns = 0;
    for step in steps {
        last_ns = last_ns.max(step.time_ns());
        if let Step::Observe(segment, extra) = step {
            waiting.push(Arrival { segment: *segment, extra: *extra });
            continue;
        }
        tracker.observe_all(&waiting);
        waiting.clear();
        apply(&mut tracker, step);
    }
    tracker.observe_all(&waiting);
    tracker.finish(last_ns);
    (tracker.stats(), tracker.take_closed())
}

fn apply(tracker: &mut Tracker, step: &Step) {
    match step {
        Step::Observe(segment, extra) => tracker.observe(segment, *extra),
        Step::Apart(segment, basis) => {
            let record = &segment.record;
            tracker.transition(segment);
            let (lo, hi) = counters_of(record);
            tracker.count(&segment.key, &lo, &hi, *basis);
            tracker.settle(&segment.key, &lo, &hi, record.from_hi());
        }
        Step::Refused(quote, time_ns) => drop(Some(tracker.unreachable(quote, *time_ns))),
        Step::Said(segment, option, text) => {
            let (key, record) = (&segment.key, &segment.record);
            tracker.reset_said(key, record.from_hi(), *option, text, record.time_ns);
        }
        Step::Advance(time_ns) => tracker.advance(*time_ns),
        Step::Look { .. } => {}
    }
}

/// What the kernel program would have counted of one segment.
fn counters_of(record: &SegmentRecord) -> (DirectionCounters, DirectionCounters) {
    let is = |is: bool| u32::from(is);
    let one = DirectionCounters {
        ip_bytes: u64::from(record.ip_len()),
        payload_bytes: u64::from(record.payload_len),
        last_ns: record.time_ns,
        packets: 1,
        syn: is(record.flags & (SYN | ACK) == SYN),
        syn_ack: is(record.has(SYN | ACK)),
        fin: is(record.has(FIN)),
        rst: is(record.has(RST)),
        seq_end: record.seq_end(),
        last_ack: record.ack,
        marks: if record.has(RST) { 0 } else { MARK_SEQ },
        ip_id: record.ip_id,
        ttl: record.ttl,
        window: record.window,
        last_payload: u16::try_from(record.payload_len).unwrap_or(u16::MAX),
        ..DirectionCounters::default()
    };
    let none = DirectionCounters::default();
    if record.from_hi() { (none, one) } else { (one, none) }
}

/// Every connection once, every segment in one of them, and each can be shown.
fn check_records(records: &[Connection], stats: &TrackerStats, steps: &[Step]) {
    assert_eq!((stats.created, stats.written, stats.tracked), (records.len() as u64, records.len() as u64, 0));
    let mut ids: Vec<u64> = records.iter().map(|record| record.id).collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), records.len(), "a connection was written twice");
    let is_whole = |step: &&Step| match step {
        Step::Observe(_, extra) => !extra.bad_checksum && extra.header == Header::Whole,
        Step::Apart(..) => true,
        _ => false,
    };
    let whole = steps.iter().filter(is_whole).count() as u64;
    let packets: u64 = records.iter().map(|record| record.from_orig.packets + record.from_resp.packets).sum();
    assert_eq!(packets, whole - stats.orphan_counts, "{stats:?}");
    for record in records {
        let end = record.start_ns.checked_add(record.duration_ns);
        assert!(end.is_some(), "{record:?}");
        for side in [&record.from_orig, &record.from_resp] {
            assert!(side.syn + side.syn_ack <= side.packets && side.fin <= side.packets, "{record:?}");
            assert!(side.rst <= side.packets, "{record:?}");
        }
        shown(record);
    }
}

fn shown(record: &Connection) {
    let line = |format: LineFormat| {
        let mut buffer = LineBuffer::default();
        format.append(&mut buffer, record, false);
        buffer.finish()
    };
    assert_one_line(&line(LineFormat::Zeek).trim_end_matches('\n').replace('\t', " "));
    for json in [line(LineFormat::Json), line(LineFormat::ZeekJson)] {
        assert_one_line(json.trim_end_matches('\n'));
        assert!(serde_json::from_str::<serde_json::Value>(&json).is_ok(), "{json}");
    }
    assert_one_line(line(LineFormat::Columns(Style::default())).trim_end_matches('\n'));
}

//! The tracker from outside: conversations in letters, and what becomes of them.

mod audited;
mod causes;
mod closes;
mod degraded;
mod epochs;
mod exchange;
mod live;
mod partitions;
mod places;
mod properties;
mod queued;
mod zeek;

use probe_ebpf::layout::{
    ACK, DirectionCounters, Endpoint, FIN, FlowKey, HAS_TIMESTAMPS, PSH, RST, SYN, Segment, SegmentRecord,
};

use super::*;
use crate::record::*;

pub(crate) const SECOND: u64 = 1_000_000_000;
pub(crate) const MILLISECOND: u64 = 1_000_000;
const START: u64 = 1_700_000_000 * SECOND;
const ISN: [u32; 2] = [1000, 5000];

/// A conversation between a client (side 0, upper case) and a server (side 1, lower case).
#[derive(Clone)]
pub(crate) struct Dialogue {
    pub(crate) segments: Vec<Segment>,
    pub(crate) now: u64,
    next: [u32; 2],
    ports: [u16; 2],
    ids: [u16; 2],
}

impl Dialogue {
    pub(crate) fn new() -> Self {
        Self { segments: Vec::new(), now: START, next: ISN, ports: [40000, 9999], ids: [100, 200] }
    }

    pub(crate) fn to_port(port: u16) -> Self {
        Self { ports: [40000, port], ..Self::new() }
    }

    /// Plays letters as in Zeek's history, a millisecond apart: S H A D F R; D carries 10 bytes; R is an abort.
    pub(crate) fn play(mut self, letters: &str) -> Self {
        for letter in letters.chars() {
            let side = usize::from(letter.is_ascii_lowercase());
            let mut record = self.record(side);
            match letter.to_ascii_uppercase() {
                'S' => record.flags = SYN,
                'H' => record.flags = SYN | ACK,
                'A' => record.flags = ACK,
                'D' => (record.flags, record.payload_len) = (PSH | ACK, 10),
                'F' => record.flags = FIN | ACK,
                'R' => record.flags = RST | ACK,
                other => panic!("no segment for {other}"),
            }
            self.send(side, record);
        }
        self
    }

    pub(crate) fn wait(mut self, ns: u64) -> Self {
        self.now += ns;
        self
    }

    /// The next segment of a side, without flags.
    pub(crate) fn record(&self, side: usize) -> SegmentRecord {
        let mut record = SegmentRecord {
            time_ns: self.now,
            seq: self.next[side],
            ack: self.next[1 - side],
            window: 64240,
            ttl: 64,
            ip_id: self.ids[side] + 1,
            header_len: 40,
            ..SegmentRecord::default()
        };
        record.put_window_scale(None);
        record
    }

    /// A segment of a side, changed by `change` before it is sent.
    pub(crate) fn with(mut self, side: usize, flags: u16, change: impl FnOnce(&mut SegmentRecord)) -> Self {
        let mut record = self.record(side);
        record.flags = flags;
        change(&mut record);
        self.send(side, record);
        self
    }

    /// An RST as a host sends it that knows no such connection, in answer to a segment with ACK.
    pub(crate) fn reply(self, side: usize) -> Self {
        self.with(side, RST, |record| (record.ack, record.window, record.ip_id) = (0, 0, 0))
    }

    /// An RST in answer to a SYN.
    pub(crate) fn refuse(self, side: usize) -> Self {
        self.with(side, RST | ACK, |record| (record.seq, record.window, record.ip_id) = (0, 0, 0))
    }

    fn send(&mut self, side: usize, record: SegmentRecord) {
        self.send_noted(side, record, 0);
    }

    pub(crate) fn send_noted(&mut self, side: usize, mut record: SegmentRecord, first_bytes: u64) {
        let Segment { key, record: placed, .. } = segment_between(self.ports, side, record, first_bytes);
        record = placed;
        if record.flags & RST == 0 && record.seq == self.next[side] {
            self.next[side] = record.seq_end();
        }
        self.ids[side] += 1;
        self.segments.push(Segment { key, record, first_bytes });
        self.now += MILLISECOND;
    }

    /// Runs it through a tracker to the end.
    pub(crate) fn records(&self) -> Vec<Connection> {
        let mut tracker = Tracker::new(TrackerConfig::default());
        for segment in &self.segments {
            tracker.observe(segment, Extra::default());
        }
        tracker.finish(self.now);
        tracker.take_closed()
    }

    /// The only record of it.
    pub(crate) fn record_of(&self) -> Connection {
        let mut records = self.records();
        assert_eq!(records.len(), 1, "{records:#?}");
        records.remove(0)
    }
}

/// A segment of one side of a connection to port 9999.
pub(crate) fn segment_of(side: usize, record: SegmentRecord, first_bytes: u64) -> Segment {
    segment_between([40000, 9999], side, record, first_bytes)
}

fn segment_between(ports: [u16; 2], side: usize, mut record: SegmentRecord, first_bytes: u64) -> Segment {
    let end = |side: usize| Endpoint::v4(u32::from_ne_bytes([10, 0, 0, side as u8 + 1]), ports[side]);
    let (key, from_hi) = FlowKey::normalised(end(side), end(1 - side), 0);
    if from_hi {
        record.flags |= probe_ebpf::layout::FROM_HI;
    }
    record.put_window_scale(None);
    Segment { key, record, first_bytes }
}

/// The counters of a slot that counted one segment.
pub(crate) fn counters_of(record: &SegmentRecord) -> (DirectionCounters, DirectionCounters) {
    let one = DirectionCounters {
        ip_bytes: u64::from(record.ip_len()),
        payload_bytes: u64::from(record.payload_len),
        last_ns: record.time_ns,
        packets: 1,
        syn: u32::from(record.flags & (SYN | ACK) == SYN),
        syn_ack: u32::from(record.has(SYN | ACK)),
        fin: u32::from(record.has(FIN)),
        rst: u32::from(record.has(RST)),
        seq_end: record.seq_end(),
        last_ack: record.ack,
        marks: if record.has(RST) { 0 } else { probe_ebpf::layout::MARK_SEQ },
        ip_id: record.ip_id,
        ttl: record.ttl,
        window: record.window,
        ..DirectionCounters::default()
    };
    let none = DirectionCounters::default();
    if record.from_hi() { (none, one) } else { (one, none) }
}

pub(crate) const TIMESTAMPS: u16 = HAS_TIMESTAMPS;

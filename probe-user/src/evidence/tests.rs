//! Evidence tests: what is kept of a connection, and what a reader makes of it.

use probe_ebpf::layout::{ACK, FIN, PSH, SegmentRecord};

use super::*;
use crate::{
    source::capture::CaptureFile,
    tracker::{Extra, Tracker, TrackerConfig},
};

const CLIENT: u16 = 40_000;

/// A segment of one conversation; the payload of its frame says which it is.
fn segment(number: u64, flags: u16, from_client: bool, seq: u32) -> Segment {
    let end = |address: [u8; 4], port| Endpoint::v4(u32::from_ne_bytes(address), port);
    let (client, server) = (end([10, 0, 0, 1], CLIENT), end([10, 0, 0, 2], 80));
    let (src, dst) = if from_client { (client, server) } else { (server, client) };
    let (key, from_hi) = FlowKey::normalised(src, dst, 0);
    let mut record =
        SegmentRecord { time_ns: 1_000_000_000 + number * 1000, seq, header_len: 40, ..SegmentRecord::default() };
    record.flags = flags | if from_hi { probe_ebpf::layout::FROM_HI } else { 0 };
    record.put_window_scale(None);
    Segment { key, record, first_bytes: 0 }
}

struct Play {
    tracker: Tracker,
    collector: Collector,
    number: u64,
    blocks: Vec<u8>,
}

impl Play {
    fn new(memory: usize) -> Self {
        Self::of("rst.count > 0", memory)
    }

    fn of(of: &str, memory: usize) -> Self {
        let interface = |index, name: &str| Interface {
            index,
            name: name.to_owned(),
            description: "a test".to_owned(),
            link_type: 1,
        };
        let of = of.parse().expect("a filter");
        let collector = Collector::new(vec![interface(7, "leg0"), interface(9, "leg1")], of, memory);
        let blocks = head(collector.interfaces());
        Self { tracker: Tracker::new(TrackerConfig::default()), collector, number: 0, blocks }
    }

    fn say(&mut self, flags: u16, from_client: bool, seq: u32) {
        self.number += 1;
        let segment = segment(self.number, flags, from_client, seq);
        self.tracker.observe(&segment, Extra::default());
        self.end();
        let mut bytes = vec![0; 54];
        bytes.extend(self.number.to_be_bytes());
        let frame = Frame { interface: 7, direction: Direction::Received { queue: 3 }, wire_len: 62, bytes: &bytes };
        self.collector.frame(&segment, &frame);
    }

    fn end(&mut self) {
        for connection in self.tracker.take_closed() {
            self.collector.ended(&connection, &mut self.blocks);
        }
    }

    /// The numbers of the frames that a reader finds.
    fn written(mut self) -> (Vec<u64>, CollectorStats) {
        self.tracker.finish(u64::MAX / 2);
        self.end();
        assert!(self.collector.store.is_empty(), "memory is given back");
        let mut file = CaptureFile::from_reader(std::io::Cursor::new(self.blocks)).expect("a capture");
        let mut numbers = vec![];
        while let Some(frame) = file.next_frame().expect("whole blocks") {
            let number = u64::from_be_bytes(frame.bytes[54..].try_into().expect("eight bytes"));
            assert_eq!((frame.wire_len, frame.time_ns), (62, 1_000_000_000 + number * 1000));
            numbers.push(number);
        }
        (numbers, self.collector.stats())
    }
}

const SYN_: u16 = probe_ebpf::layout::SYN;

#[test]
fn opening_end_and_nothing_between() {
    let mut play = Play::new(1 << 20);
    play.say(SYN_, true, 99);
    play.say(SYN_ | ACK, false, 499);
    play.say(ACK, true, 100);
    for turn in 0..40 {
        play.say(PSH | ACK, true, 100 + turn);
    }
    for _ in 0..10 {
        play.say(RST, false, 500);
    }
    let (numbers, stats) = play.written();
    let expected: Vec<u64> = (1..=4).chain(36..=43).chain(44..=51).collect();
    assert_eq!(numbers, expected);
    assert_eq!((stats.connections, stats.frames, stats.between, stats.no_memory), (1, 20, 33, 0));
}

#[test]
fn an_orderly_end_leaves_nothing() {
    let mut play = Play::new(1 << 20);
    for (flags, from_client) in [(SYN_, true), (SYN_ | ACK, false), (ACK, true), (FIN | ACK, true), (FIN | ACK, false)]
    {
        play.say(flags, from_client, 1);
    }
    let (numbers, stats) = play.written();
    assert!(numbers.is_empty() && stats == CollectorStats::default(), "{numbers:?} {stats:?}");
}

#[test]
fn of_other_connections_when_asked_for() {
    for (of, frames) in [("fin.count = 2", 5), ("cause = none", 5), ("rst.count > 0", 0), ("server.port = 81", 0)] {
        let mut play = Play::of(of, 1 << 20);
        for (flags, from_client) in
            [(SYN_, true), (SYN_ | ACK, false), (ACK, true), (FIN | ACK, true), (FIN | ACK, false)]
        {
            play.say(flags, from_client, 1);
        }
        let (numbers, stats) = play.written();
        assert_eq!((numbers.len(), stats.frames), (frames, frames as u64), "{of}");
    }
}

#[test]
fn an_interface_may_come_later() {
    let mut play = Play::new(1 << 20);
    let late = Interface { index: 11, name: "late".to_owned(), description: String::new(), link_type: 101 };
    let block = play.collector.add(late);
    play.blocks.extend(block);
    for flags in [SYN_, RST] {
        play.number += 1;
        let segment = segment(play.number, flags, true, 1);
        play.tracker.observe(&segment, Extra::default());
        let frame = Frame { interface: 11, direction: Direction::Unknown, wire_len: 62, bytes: &[0; 40] };
        play.collector.frame(&segment, &frame);
    }
    play.tracker.finish(u64::MAX / 2);
    play.end();
    let mut file = CaptureFile::from_reader(std::io::Cursor::new(play.blocks)).expect("a capture");
    for _ in 0..2 {
        let (frame, on) = file.next_with_interface().expect("whole blocks").expect("a frame");
        assert_eq!((frame.bytes.len(), frame.wire_len), (40, 62));
        assert_eq!((on.number, on.name, on.link_number), (2, Some("late"), 101));
    }
    assert!(file.next_frame().expect("whole blocks").is_none());
}

#[test]
fn ports_taken_anew_are_another_connection() {
    let mut play = Play::new(1 << 20);
    for isn in [100, 200, 300] {
        play.say(SYN_, true, isn);
        play.say(RST | ACK, false, 0);
    }
    let (numbers, stats) = play.written();
    assert_eq!((numbers, stats.connections), (vec![1, 2, 3, 4, 5, 6], 3));
}

#[test]
fn without_memory_frames_are_counted() {
    for memory in (0..4096).step_by(64) {
        let mut play = Play::new(memory);
        play.say(SYN_, true, 1);
        assert!(play.collector.store.used() <= memory);
        play.say(RST | ACK, false, 0);
        assert!(play.collector.store.used() <= memory);
        let (numbers, stats) = play.written();
        assert_eq!(numbers.len() as u64 + stats.no_memory, 2, "{memory}");
        let expected = if memory < 1200 { (0, 1) } else { (2, 0) };
        assert!((numbers.len(), stats.without_frames) == expected || (1200..1500).contains(&memory), "{memory}");
    }
}

/// The first segment of a connection of its own.
fn opening(number: u32) -> Segment {
    let mut segment = segment(u64::from(number), SYN_, true, number);
    let client = Endpoint::v4((10 << 24 | number).to_be(), CLIENT);
    (segment.key, _) = FlowKey::normalised(client, Endpoint::v4(u32::from_ne_bytes([192, 0, 2, 1]), 80), 0);
    segment
}

#[test]
fn connections_without_end_take_no_byte_beyond_the_bound() {
    let (memory, count) = (1 << 20, 200_000);
    let mut store = Store::new(memory);
    let frame = Frame { interface: 7, direction: Direction::Unknown, wire_len: 60, bytes: &[0; 60] };
    for number in 0..count {
        store.frame(&opening(number), &frame);
        assert!(store.used() <= memory, "{number}: {}", store.used());
    }
    let kept = u64::from(count) - store.no_memory;
    // More than half of the bound is what is kept, and not places of the map.
    assert!((1800..6000).contains(&kept), "{kept}");
    // What ends makes room again, also where the map is full of places of what has gone.
    for number in 0..count {
        store.ended(&opening(number).key, u64::MAX);
    }
    assert!(store.is_empty());
    let refused = store.no_memory;
    for number in count..count + 1000 {
        store.frame(&opening(number), &frame);
    }
    assert_eq!(store.no_memory, refused);
}

#[test]
fn one_connection_after_the_other_on_the_same_ports_is_within_the_bound() {
    let memory = 1 << 16;
    let mut store = Store::new(memory);
    let frame = Frame { interface: 7, direction: Direction::Unknown, wire_len: 60, bytes: &[0; 60] };
    for number in 0..10_000 {
        store.frame(&segment(number, SYN_, true, number as u32), &frame);
        assert!(store.used() <= memory, "{number}: {}", store.used());
    }
    assert!(store.no_memory > 9000);
    store.ended(&segment(0, SYN_, true, 0).key, u64::MAX);
    assert!(store.is_empty());
}

#[test]
fn a_file_that_was_cut_can_be_read_up_to_there() {
    let mut play = Play::new(1 << 20);
    play.say(SYN_, true, 1);
    play.say(RST | ACK, false, 0);
    play.tracker.finish(u64::MAX / 2);
    play.end();
    let whole = play.blocks;
    for len in head(play.collector.interfaces()).len()..whole.len() {
        let mut file = CaptureFile::from_reader(std::io::Cursor::new(whole[..len].to_vec())).expect("a capture");
        let mut frames = 0;
        while let Ok(Some(_)) = file.next_frame() {
            frames += 1;
        }
        assert!(frames < 2);
    }
}

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
        assert_eq!(self.collector.store.used(), 0, "memory is given back");
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
    let mut play = Play::new(300);
    play.say(SYN_, true, 1);
    play.say(RST | ACK, false, 0);
    let (numbers, stats) = play.written();
    assert_eq!((numbers, stats.no_memory), (vec![1], 1));
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

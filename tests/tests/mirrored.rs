//! Captures as mirror ports make them: every frame twice, or some of them never. What is wrong with the capture is said,
//! and what is said of the connection stays what it would be.

use std::fs;

use probe_tests::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    oneshot::OneShot,
    pcap::Pcap,
};
use serde_json::Value;

const ETHERNET: u32 = 1;
const START_NS: u64 = 1_700_000_000_000_000_000;
const MILLISECOND: u64 = 1_000_000;
const REQUEST: usize = 100;
const ANSWER: usize = 300;

/// One conversation: a request, an answer, and a close, each frame with an identification of its own.
fn frames() -> Vec<TcpFrame> {
    let client = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port: 40_000 };
    let server = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
    let from_client = |seq| TcpFrame::new(client, server, seq);
    let from_server = |seq| TcpFrame::new(server, client, seq);
    let (asked, answered) = (101 + REQUEST as u32, 501 + ANSWER as u32);
    vec![
        from_client(100).syn(),
        from_server(500).syn().ack(101),
        from_client(101).ack(501),
        from_client(101).ack(501).payload(&[1; REQUEST]),
        from_server(501).ack(asked).payload(&[2; ANSWER]),
        from_client(asked).ack(answered).fin(),
        from_server(answered).ack(asked + 1).fin(),
        from_client(asked + 1).ack(answered + 1),
    ]
}

/// What is said of the frames that `times` says how often to capture, by their place in the conversation.
fn read(times: impl Fn(usize) -> u64) -> Value {
    let mut pcap = Pcap::new(ETHERNET);
    for (at, frame) in frames().into_iter().enumerate() {
        let frame = frame.stamped(64, 1 + at as u16).bytes().expect("a frame");
        for copy in 0..times(at) {
            pcap.push(START_NS + at as u64 * MILLISECOND + copy * 5_000, &frame);
        }
    }
    read_capture(pcap)
}

fn read_capture(pcap: Pcap) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("mirrored.pcap");
    fs::write(&file, pcap.into_bytes()).expect("a file");
    let words = ["read", "--format", "json", file.to_str().expect("a plain name")];
    let finished = OneShot::new(words).run().expect("it runs");
    assert!(finished.status.success(), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).expect("a document")
}

fn quality(document: &Value, name: &str) -> Value {
    document["summary"]["quality"][name].clone()
}

#[test]
fn a_whole_capture_has_neither_copies_nor_loss() {
    let document = read(|_| 1);
    assert_eq!(quality(&document, "control_segments"), 4);
    assert_eq!(quality(&document, "control_copies"), 0);
    assert_eq!(quality(&document, "bytes"), REQUEST + ANSWER);
    assert_eq!(quality(&document, "capture_loss"), 0.0);
    assert_eq!(document["connections"][0]["conn_state"], "SF");
}

#[test]
fn frames_that_came_twice_are_copies() {
    let document = read(|_| 2);
    assert_eq!(quality(&document, "control_segments"), 8);
    assert_eq!(quality(&document, "control_copies"), 4);
    assert_eq!(quality(&document, "missing_bytes"), 0);
    assert_eq!(document["connections"][0]["conn_state"], "SF");
}

#[test]
fn data_that_was_acknowledged_and_never_seen_is_the_captures_loss() {
    let document = read(|at| u64::from(at != 4));
    assert_eq!(quality(&document, "missing_bytes"), ANSWER);
    assert_eq!(quality(&document, "capture_loss"), 0.75);
}

/// Data segments of a long transfer.
const SEGMENTS: u32 = 8_000;

/// What is said of a long transfer, each segment of which is captured as `times` says: so long after the first time, in
/// nanoseconds, with this TTL and this identification.
fn transfer(times: impl Fn(u32) -> Vec<(u64, u8, u16)>) -> Value {
    let from = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
    let to = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port: 40_000 };
    let mut captured: Vec<(u64, Vec<u8>)> = vec![];
    for number in 0..SEGMENTS {
        let segment = TcpFrame::new(from, to, 1 + number * 1448).ack(1).payload(&[0; 1448]);
        for (later_ns, ttl, id) in times(number) {
            let frame = segment.clone().stamped(ttl, id).bytes().expect("a frame");
            captured.push((u64::from(number) * 12_000 + later_ns, frame));
        }
    }
    captured.sort_by_key(|(time_ns, _)| *time_ns);
    let mut pcap = Pcap::new(ETHERNET);
    for (time_ns, frame) in captured {
        pcap.push(START_NS + time_ns, &frame);
    }
    read_capture(pcap)
}

/// Sampled data segments, and copies among them.
fn sample(document: &Value) -> (u64, u64) {
    let number = |name| quality(document, name).as_u64().expect("a number");
    assert_eq!(number("data_sampled_one_in"), 64);
    (number("data_sampled"), number("data_copies"))
}

/// An identification that each segment has alone.
fn id(number: u32) -> u16 {
    1 + number as u16
}

#[test]
fn data_that_came_twice_is_found_in_a_sample() {
    let whole = transfer(|number| vec![(0, 64, id(number))]);
    let (sampled, copies) = sample(&whole);
    assert!((60..=250).contains(&sampled), "one in 64 of {SEGMENTS}: {sampled}");
    assert_eq!(copies, 0);
    // In the order in which they were sent, and each a millisecond late: dozens lie in between.
    for later in [0, MILLISECOND] {
        let twice = transfer(|number| vec![(0, 64, id(number)), (later, 64, id(number))]);
        assert_eq!(sample(&twice), (2 * sampled, sampled));
        assert_eq!(quality(&twice, "data_copies_share"), 0.5);
        assert_eq!(quality(&twice, "copies_other_ttl"), 0);
    }
    let routed = transfer(|number| vec![(0, 64, id(number)), (20_000, 63, id(number))]);
    assert_eq!(sample(&routed), (2 * sampled, sampled));
    assert_eq!(quality(&routed, "copies_other_ttl"), sampled);
}

#[test]
fn what_was_sent_again_is_no_copy() {
    // A fast retransmission has the next identification; so has one after a timeout.
    for later in [100_000, 300 * MILLISECOND] {
        let again = transfer(|number| vec![(0, 64, id(number)), (later, 64, id(number) ^ 0x4000)]);
        assert_eq!(sample(&again).1, 0);
    }
    // Where the same identification comes again after a timeout, it was sent again.
    let again = transfer(|number| vec![(0, 64, id(number)), (300 * MILLISECOND, 64, id(number))]);
    assert_eq!(sample(&again).1, 0);
    // Without identification (RFC 6864 allows that of what may not be fragmented) nobody can tell.
    let unknown = transfer(|_| vec![(0, 64, 0), (0, 64, 0)]);
    assert_eq!(sample(&unknown), (0, 0));
    assert!(quality(&unknown, "data_copies_share").is_null());
}

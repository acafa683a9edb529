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
            pcap.push(1_700_000_000_000_000_000 + at as u64 * 1_000_000 + copy * 5_000, &frame);
        }
    }
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

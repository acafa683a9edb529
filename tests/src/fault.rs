//! Faults around a sensor: frames of connections, a place with two pairs of interfaces, and what must hold however it ends.

use std::{ffi::OsString, path::Path, thread, time::Duration};

use serde_json::Value;

use crate::{
    both_legs::{assert_calm, ndjson},
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, Loop, SERVER_MAC},
    probe::{Finished, Probe},
    sys::Outlet,
};

/// A pair that goes on while another has its faults.
pub const OTHER: (&str, &str) = ("other-source", "other");

fn stations(port: u16) -> (Station, Station) {
    let end = |mac, ip, port| Station { mac, ip, port };
    (end(CLIENT_MAC, Family::V4.client(), port), end(SERVER_MAC, Family::V4.server(), 80))
}

/// A handshake and a request, as a mirror port shows them.
pub fn opening(port: u16) -> Vec<TcpFrame> {
    let (client, server) = stations(port);
    vec![
        TcpFrame::new(client, server, 100).syn(),
        TcpFrame::new(server, client, 500).syn().ack(101),
        TcpFrame::new(client, server, 101).ack(501),
        TcpFrame::new(client, server, 101).ack(501).payload(b"GET / HTTP/1.1\r\n\r\n"),
    ]
}

/// The server resets instead of an answer.
pub fn reset(port: u16) -> TcpFrame {
    let (client, server) = stations(port);
    TcpFrame::new(server, client, 501).ack(119).rst()
}

/// Sends frames into an interface.
///
/// # Panics
/// When it is not so, or cannot be done.
pub fn send(place: &Loop, source: &str, frames: &[TcpFrame]) {
    let frames: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes().expect("a frame")).collect();
    let send = || {
        let outlet = Outlet::open(source)?;
        frames.iter().try_for_each(|frame| {
            thread::sleep(Duration::from_micros(200));
            outlet.send(frame)
        })
    };
    place.namespace.enter(send).expect("frames are sent");
}

/// So many connections from `first` on, each reset after its request.
///
/// # Panics
/// When it is not so, or cannot be done.
pub fn resets(place: &Loop, source: &str, first: u16, count: u16) {
    for port in first..first + count {
        let frames: Vec<TcpFrame> = opening(port).into_iter().chain([reset(port)]).collect();
        send(place, source, &frames);
    }
}

/// Two pairs of interfaces.
///
/// # Panics
/// When it is not so, or cannot be done.
pub fn place() -> Loop {
    let place = Loop::build().expect("namespaces");
    place.add_pair(OTHER.0, OTHER.1).expect("a pair");
    place
}

/// Starts `rstprobe` there.
///
/// # Panics
/// When it is not so, or cannot be done.
pub fn start(place: &Loop, words: &[&str]) -> Probe {
    let words: Vec<OsString> = words.iter().map(Into::into).collect();
    Probe::start(&place.namespace, &words).expect("it attaches")
}

/// The summary of a stream, whose books balance.
///
/// # Panics
/// When it is not so, or cannot be done.
pub fn summary(finished: &Finished) -> Value {
    assert_calm(finished);
    let summary = ndjson(&finished.stdout).pop().expect("a summary");
    assert_eq!(summary["schema"], "rstprobe.summary/1", "{}", finished.stderr);
    balanced(&summary);
    summary
}

/// Asserts that every segment is in a counter.
///
/// # Panics
/// When it is not so, or cannot be done.
pub fn balanced(summary: &Value) {
    let (books, losses) = (&summary["books"], &summary["losses"]);
    assert_eq!((&books["difference"], &losses["books.difference"]), (&0.into(), &0.into()), "{summary}");
    let parts = ["in_slots", "logged", "untracked", "passed_by", "flooded", "shed"];
    assert!(parts.iter().all(|part| books[*part].is_u64()), "{books}");
}

/// What is told as lost under this name.
///
/// # Panics
/// When it is not so, or cannot be done.
pub fn loss(summary: &Value, name: &str) -> u64 {
    summary["losses"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {summary}"))
}

/// Asserts an exit code, texts on stderr, and that nothing panicked.
///
/// # Panics
/// When it is not so, or cannot be done.
#[track_caller]
pub fn ended(finished: &Finished, code: i32, said: &[&str]) {
    assert_calm(finished);
    assert_eq!(finished.status.code(), Some(code), "{}", finished.stderr);
    for text in said {
        assert!(finished.stderr.contains(text), "`{text}` is not in: {}", finished.stderr);
    }
}

/// A path as a word.
///
/// # Panics
/// When it is not plain.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

//! `rstprobe` on both legs of a path between a client and a server, and assertions on how it ended.

use std::{
    ffi::OsString,
    io::Read as _,
    net::{TcpListener, TcpStream},
    thread,
};

use serde_json::Value;

use crate::{
    leftover,
    netns::{CLIENT_LEG, Family, Network, SERVER_LEG},
    oneshot::OneShot,
    probe::{Finished, Probe},
};

const BOTH_LEGS: [&str; 4] = ["-i", CLIENT_LEG, "-i", SERVER_LEG];

/// Namespaces of a client, a server and the probe between them.
///
/// # Panics
/// When they cannot be made.
pub fn network() -> Network {
    Network::build().expect("namespaces")
}

/// `rstprobe <command>` on both legs, with further words.
pub fn words<'a>(command: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [command].into_iter().chain(BOTH_LEGS).chain(more.iter().copied()).collect()
}

/// Starts `rstprobe <command>` on both legs.
///
/// # Panics
/// When it does not attach.
pub fn start(network: &Network, command: &str, more: &[&str]) -> Probe {
    let words: Vec<OsString> = words(command, more).into_iter().map(Into::into).collect();
    Probe::start(&network.middle, &words).expect("it attaches")
}

/// Runs `rstprobe` to its end.
///
/// # Panics
/// When it does not end.
pub fn one_shot(network: &Network, words: &[&str]) -> Finished {
    OneShot::new(words).run_in(&network.middle).expect("it runs to its end")
}

/// Asserts an exit code, texts on stderr, and that nothing panicked and nothing was left attached.
///
/// # Panics
/// When one of these is not so.
#[track_caller]
pub fn refused(network: &Network, finished: &Finished, code: i32, texts: &[&str]) {
    let stderr = &finished.stderr;
    assert_eq!(finished.status.code(), Some(code), "{stderr}");
    for text in texts {
        assert!(stderr.contains(text), "`{text}` is not in: {stderr}");
    }
    assert_calm(finished);
    assert_eq!(leftover::attached(&network.middle).expect("ip works").len(), 0);
}

/// Asserts that nothing panicked.
///
/// # Panics
/// When something did.
#[track_caller]
pub fn assert_calm(finished: &Finished) {
    for text in ["panicked", "RUST_BACKTRACE"] {
        assert!(!finished.stderr.contains(text) && !finished.stdout.contains(text), "{}", finished.stderr);
    }
}

/// The lines of a stream.
///
/// # Panics
/// When one is not JSON.
pub fn ndjson(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// Makes `count` connections, each closed by two FINs. Returns when both ends are closed.
///
/// # Panics
/// When one cannot be made.
pub fn connections(network: &Network, count: usize) {
    let listener = network.server.enter(|| TcpListener::bind((Family::V4.server(), 8080))).expect("a listener");
    let server = thread::spawn(move || {
        for _ in 0..count {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.read_to_end(&mut vec![]).expect("its end");
        }
    });
    let connect = || {
        for _ in 0..count {
            let mut stream = TcpStream::connect((Family::V4.server(), 8080))?;
            stream.shutdown(std::net::Shutdown::Write)?;
            stream.read_to_end(&mut vec![])?;
        }
        Ok(())
    };
    network.client.enter(connect).expect("connections");
    server.join().expect("the server served");
}

//! The agent as its operators meet it: signals, interfaces that go, stalled readers, and exact counts under real load.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    io::{BufRead, BufReader, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use probe_tests::{
    both_legs::{assert_calm, connections, ndjson, network, one_shot, refused, start, words},
    leftover::{self, Footprint},
    load,
    netns::{CLIENT_LEG, Network, SERVER_LEG},
    oneshot::OneShot,
    probe, sys,
    tcpdump::{self, Captured, Tcpdump},
    tier::{privileged, say},
};
use serde_json::Value;

/// Ending, a final drain and detaching take less.
const PATIENCE: Duration = Duration::from_secs(20);

/// What was connected right before `signal` is in the output; it ends well and detaches.
fn drains_and_detaches(signal: fn(u32) -> std::io::Result<()>) {
    const COUNT: usize = 20;
    let network = network();
    // A drain is far away: what is in the output came with the last one.
    let probe = start(&network, "run", &["--format", "ndjson", "--drain", "10s"]);
    let footprint = Footprint::take(&network.middle).expect("ip works");
    assert!(!footprint.programs.is_empty(), "nothing is attached");
    connections(&network, COUNT);
    signal(probe.pid()).expect("the signal is sent");
    let finished = probe.wait(PATIENCE).expect("it ends");
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert_calm(&finished);
    let lines = ndjson(&finished.stdout);
    let orderly = |line: &&Value| line["schema"] == "rstprobe.connection/1" && line["conn_state"] == "SF";
    assert_eq!(lines.iter().filter(orderly).count(), COUNT, "{}", finished.stdout);
    let summary = lines.last().expect("a summary");
    assert_eq!(summary["schema"], "rstprobe.summary/1");
    assert_eq!(summary["connections"], COUNT);
    assert_eq!(summary["fin"]["client"], COUNT);
    assert_eq!(summary["books"]["difference"], 0);
    assert_eq!(leftover::attached(&network.middle).expect("ip works").len(), 0);
    assert_eq!(footprint.remains(), Vec::<String>::new());
}

#[test]
fn an_interrupt_drains_prints_and_detaches() {
    privileged("agent", "an_interrupt_drains_prints_and_detaches", || drains_and_detaches(sys::interrupt));
}

#[test]
fn a_termination_drains_prints_and_detaches() {
    privileged("agent", "a_termination_drains_prints_and_detaches", || drains_and_detaches(sys::terminate));
}

#[test]
fn a_hangup_drains_prints_and_detaches() {
    privileged("agent", "a_hangup_drains_prints_and_detaches", || {
        sys::hear_hang_up().expect("a signal that can be set");
        drains_and_detaches(sys::hang_up);
    });
}

/// A probe whose stdout is a pipe that nobody reads yet. Dropping it kills it.
struct Stalled {
    child: Child,
    said: Receiver<String>,
}

impl Stalled {
    fn start(network: &Network, more: &[&str]) -> Self {
        let spawn = || {
            let mut command = Command::new(probe::binary());
            command.args(words("run", more)).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
        };
        let mut child = network.middle.enter(spawn).expect("it starts");
        let stderr = child.stderr.take().expect("a pipe");
        let (sender, said) = channel();
        thread::spawn(move || BufReader::new(stderr).lines().map_while(Result::ok).try_for_each(|l| sender.send(l)));
        let stalled = Self { child, said };
        let first = stalled.said.recv_timeout(PATIENCE).expect("it says something");
        assert!(first.starts_with("rstprobe: attached"), "{first}");
        stalled
    }

    /// Waits for its end.
    fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end");
    }
}

impl Drop for Stalled {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() {
            self.child.wait().expect("it is reaped");
        }
    }
}

/// So many that their lines fill the pipe and everything that waits before it.
const MORE_THAN_WAIT: usize = 12_000;
/// A connection is final 5 s after its end.
const LINGER: Duration = Duration::from_secs(7);

#[test]
fn a_reader_that_stalls_costs_lines_and_nothing_else() {
    privileged("agent", "a_reader_that_stalls_costs_lines_and_nothing_else", || {
        let network = network();
        let mut probe = Stalled::start(&network, &["--format", "ndjson"]);
        connections(&network, MORE_THAN_WAIT);
        thread::sleep(LINGER);
        sys::interrupt(probe.child.id()).expect("the signal is sent");
        // It detaches although its output is not read.
        let end = Instant::now() + PATIENCE;
        while !leftover::attached(&network.middle).expect("ip works").is_empty() {
            assert!(Instant::now() < end, "still attached");
            thread::sleep(Duration::from_millis(10));
        }
        assert!(probe.child.try_wait().expect("a child").is_none(), "it waits for its reader");
        let mut text = String::new();
        probe.child.stdout.take().expect("a pipe").read_to_string(&mut text).expect("its output");
        assert_eq!(probe.end().code(), Some(0));
        let lines = ndjson(&text);
        let summary = lines.last().expect("a summary");
        assert_eq!(summary["connections"], MORE_THAN_WAIT);
        assert_eq!(summary["books"]["difference"], 0);
        let not_printed = summary["losses"]["not_printed"].as_u64().expect("a count") as usize;
        assert!(not_printed > 0, "{summary}");
        assert_eq!(lines.len() - 1 + not_printed, MORE_THAN_WAIT);
    });
}

#[test]
fn a_second_signal_ends_a_stalled_print() {
    privileged("agent", "a_second_signal_ends_a_stalled_print", || {
        sys::hear_hang_up().expect("a signal that can be set");
        for (first, second) in
            [(sys::interrupt as fn(u32) -> _, sys::terminate as fn(u32) -> _), (sys::hang_up, sys::interrupt)]
        {
            let network = network();
            let mut probe = Stalled::start(&network, &["--format", "ndjson"]);
            // More than a pipe holds.
            connections(&network, 500);
            first(probe.child.id()).expect("the signal is sent");
            thread::sleep(Duration::from_secs(1));
            assert!(probe.child.try_wait().expect("a child").is_none(), "it waits for its reader");
            second(probe.child.id()).expect("the signal is sent");
            assert_eq!(probe.end().code(), Some(1));
            assert_eq!(leftover::attached(&network.middle).expect("ip works").len(), 0);
        }
    });
}

#[test]
fn a_file_that_cannot_be_written_is_refused_first_and_costs_nothing_later() {
    privileged("agent", "a_file_that_cannot_be_written_is_refused_first_and_costs_nothing_later", || {
        let network = network();
        let bad = words("snapshot", &["--for", "1m", "--json-out", "/no/such/folder/x.json"]);
        let finished = one_shot(&network, &bad);
        refused(&network, &finished, 2, &["--json-out /no/such/folder/x.json: No such file"]);
        assert!(!finished.stderr.contains("attached"), "{}", finished.stderr);
        // Opens, and takes nothing.
        let full = words("snapshot", &["--for", "100ms", "--format", "json", "--json-out", "/dev/full"]);
        let finished = one_shot(&network, &full);
        refused(&network, &finished, 1, &["/dev/full: No space left"]);
        let printed: Value = serde_json::from_str(&finished.stdout).expect("a document");
        assert_eq!(printed["summary"]["connections"], 0);
        // And one that can be written replaces what was there, also when nobody reads stdout.
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("x.json");
        std::fs::write(&path, "y".repeat(1 << 16)).expect("a file");
        let path_text = path.to_str().expect("a plain path");
        let unread = OneShot::new(words("snapshot", &["--for", "100ms", "--json-out", path_text])).unread();
        refused(&network, &unread.expect("a pipe").run_in(&network.middle).expect("it ends"), 0, &[]);
        let text = std::fs::read_to_string(&path).expect("the file");
        let written: Value = serde_json::from_str(&text).expect("a document and nothing else");
        assert_eq!(written["summary"]["connections"], 0);
    });
}

#[test]
fn interfaces_that_go_are_told_and_the_last_ends_it() {
    privileged("agent", "interfaces_that_go_are_told_and_the_last_ends_it", || {
        let network = network();
        let probe = start(&network, "run", &["--format", "ndjson"]);
        connections(&network, 3);
        let change = |words: String| {
            network.middle.ip(&words).expect("ip works");
            thread::sleep(Duration::from_millis(2500));
        };
        change(format!("link set {CLIENT_LEG} down"));
        change(format!("link set {CLIENT_LEG} up"));
        change(format!("link del {CLIENT_LEG}"));
        network.middle.ip(&format!("link del {SERVER_LEG}")).expect("ip works");
        let finished = probe.wait(PATIENCE).expect("it ends by itself");
        assert_eq!(finished.status.code(), Some(5), "{}", finished.stderr);
        assert_calm(&finished);
        for (leg, what) in [
            (CLIENT_LEG, "is down"),
            (CLIENT_LEG, "is up again"),
            (CLIENT_LEG, "was removed, or moved to another network namespace, between 20"),
            (SERVER_LEG, "was removed, or moved to another network namespace, between 20"),
        ] {
            let line = format!("rstprobe: {leg}: the interface {what}");
            let said = finished.stderr.lines().filter(|said| said.starts_with(&line));
            assert_eq!(said.count(), 1, "{line}: {}", finished.stderr);
        }
        assert!(finished.stderr.contains("no interface is left to watch"), "{}", finished.stderr);
        let lines = ndjson(&finished.stdout);
        let summary = lines.last().expect("a summary");
        assert_eq!(summary["connections"], 3, "{summary}");
        assert_eq!(summary["losses"]["interfaces.gone"], 2, "{summary}");
        assert_eq!(summary["losses"]["interfaces.gaps"], 2, "{summary}");
    });
}

#[test]
fn people_get_a_summary_too() {
    privileged("agent", "people_get_a_summary_too", || {
        let network = network();
        let probe = start(&network, "run", &[]);
        connections(&network, 3);
        let finished = probe.stop().expect("it ends");
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        let shown = finished.stdout.matches("10.77.0.2:8080").count();
        assert!(shown >= 3, "{}", finished.stdout);
        assert!(finished.stdout.contains("3 connections"), "{}", finished.stdout);
    });
}

#[test]
fn a_kill_frees_the_hook_at_once() {
    privileged("agent", "a_kill_frees_the_hook_at_once", || {
        let network = network();
        let probe = start(&network, "run", &["--format", "ndjson"]);
        let footprint = Footprint::take(&network.middle).expect("ip works");
        assert_eq!(footprint.programs.len(), 1);
        if leftover::has_bpftool() {
            assert_eq!(footprint.links.len(), 2, "a link for each leg");
            assert!(!footprint.maps.is_empty());
        }
        // SIGKILL.
        drop(probe);
        assert_eq!(leftover::attached(&network.middle).expect("ip works").len(), 0);
        let second = start(&network, "run", &["--format", "ndjson"]);
        connections(&network, 1);
        let finished = second.stop().expect("it ends");
        assert_eq!(ndjson(&finished.stdout).last().expect("a summary")["connections"], 1);
        assert_eq!(footprint.remains(), Vec::<String>::new());
    });
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    privileged("agent", "a_reader_that_leaves_is_no_error", || {
        let network = network();
        let lines = [
            words("snapshot", &["--for", "100ms"]),
            words("snapshot", &["--for", "100ms", "--format", "json"]),
            words("run", &["--for", "100ms", "--format", "ndjson"]),
            words("run", &[]),
            vec!["doctor"],
            vec!["--help"],
        ];
        for line in lines {
            let unread = OneShot::new(&line).unread().expect("a pipe");
            let finished = unread.run_in(&network.middle).expect("it ends");
            refused(&network, &finished, 0, &[]);
            assert!(!finished.stderr.contains("rstprobe: the reader"), "{line:?}: {}", finished.stderr);
        }
    });
}

/// Connections per second, at least.
const RATE: u32 = 3000;
/// A machine that is busy with something else gets further tries.
const TRIES: usize = 4;

#[test]
fn counts_under_load_are_those_of_tshark() {
    let missing = tcpdump::missing();
    if !missing.is_empty() {
        say(&format!("SKIP counts_under_load_are_those_of_tshark: no {}", missing.join(", no ")));
        return;
    }
    privileged("agent", "counts_under_load_are_those_of_tshark", || {
        for _ in 0..TRIES {
            match under_load() {
                Ok(()) => return,
                Err(why) => say(&format!("no measurement: {why}")),
            }
        }
        panic!("no measurement in {TRIES} tries");
    });
}

/// One measurement; the reason when it was none, because the machine was too slow for it.
fn under_load() -> Result<(), String> {
    const LOAD: Duration = Duration::from_secs(3);
    let network = network();
    let directory = tempfile::tempdir().expect("a directory");
    let tcpdump = Tcpdump::start(&network.middle, directory.path()).expect("tcpdump runs");
    let probe = start(&network, "snapshot", &["--for", "5s", "--format", "json"]);
    let played = load::play(&network, LOAD, RATE * 6 / 5).expect("every connection ends as it should");
    let finished = probe.wait(PATIENCE).expect("it ends");
    let exited = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64();
    let captured = tcpdump.stop().expect("tcpdump and tshark");
    if captured.dropped > 0 {
        return Err(format!("tcpdump lost {} frames", captured.dropped));
    }
    let connections = played.connections();
    if connections < u64::from(RATE) * LOAD.as_secs() {
        return Err(format!("only {connections} connections in {LOAD:?}"));
    }
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let document: Value = serde_json::from_str(&finished.stdout).expect("a document");
    assert_eq!(differences(&document["summary"], &captured), Vec::<String>::new(), "{played:?}");
    say(&format!("{connections} connections, {} segments", captured.client.packets + captured.server.packets));
    let end = document["window"]["end"].as_str().expect("the end of the window");
    let late = exited - humantime_seconds(end);
    assert!((0.0..1.0).contains(&late), "it ended {late} s after the end of its window");
    Ok(())
}

/// Where the summary's counts are not those of the capture.
fn differences(summary: &Value, captured: &Captured) -> Vec<String> {
    let Captured { client, server, .. } = captured;
    let expected = [
        ("/syn/client", client.syn),
        ("/syn/server", server.syn),
        ("/syn_ack/client", client.syn_ack),
        ("/syn_ack/server", server.syn_ack),
        ("/fin/client", client.fin),
        ("/fin/server", server.fin),
        ("/rst/client", client.rst),
        ("/rst/server", server.rst),
        ("/rst/unknown", 0),
        ("/packets", client.packets + server.packets),
        ("/books/tcp", client.packets + server.packets),
        ("/books/difference", 0),
    ];
    let said = |path: &str| summary.pointer(path).and_then(Value::as_u64);
    let different = |&(path, expected): &(&str, u64)| said(path) != Some(expected);
    let differing = expected.into_iter().filter(different);
    differing.map(|(path, expected)| format!("{path} is {:?} instead of {expected}", said(path))).collect()
}

/// Seconds since the Unix epoch of an RFC 3339 time.
fn humantime_seconds(text: &str) -> f64 {
    let time = humantime::parse_rfc3339_weak(text).expect("an RFC 3339 time");
    time.duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

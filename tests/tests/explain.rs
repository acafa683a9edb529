//! `rstprobe explain -r FILE`: the connection that `read` gives that number, with every segment that it counted.
//!
//! The captures lie beside the workspace (`../shared/oracle`), not in it. Where they are absent the test says SKIP; with
//! CI=true that is a failure.

use std::{ffi::OsString, path::Path};

use probe_tests::{oneshot::OneShot, oracle, pcap::Random, probe::Finished, tier::say};
use serde_json::Value;

/// Connections of each capture that are explained.
const CONNECTIONS: usize = 40;
/// Longer ladders are cut in the middle.
const WHOLE: u64 = 80;

fn run(words: &[&str], capture: &Path) -> Finished {
    let words = words.iter().map(OsString::from).chain([capture.into()]);
    OneShot::new(words).run().expect("it runs")
}

#[test]
fn a_connection_is_explained_with_every_segment_that_was_counted() {
    let Some(folder) = oracle::folder() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say("SKIP a_connection_is_explained_with_every_segment_that_was_counted: no captures at ../shared/oracle");
        return;
    };
    let capture = folder.join("zeek-random").join("seed101.pcap");
    let read = run(&["read", "--format", "ndjson"], &capture);
    let lines: Vec<Value> = read.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let connections: Vec<&Value> = lines.iter().filter(|line| line["schema"] == "rstprobe.connection/1").collect();
    let mut random = Random::new(7);
    let mut ladders = 0;
    for _ in 0..CONNECTIONS {
        let one = connections[random.below(connections.len())];
        let id = one["id"].to_string();
        let said = run(&["explain", &id, "-r"], &capture);
        assert_eq!(said.status.code(), Some(0), "{}", said.stderr);
        let port = |end: &str| one[end]["port"].to_string();
        let first = said.stdout.lines().next().expect("a line");
        assert!(first.starts_with(&format!("Connection {id}: client ")), "{first}");
        assert!(
            first.contains(&format!(":{},", port("client"))) && first.ends_with(&format!(":{}", port("server"))),
            "{first}"
        );
        for text in [&one["cause"]["id"], &one["impact"], &one["history"]] {
            assert!(said.stdout.contains(text.as_str().expect("text")), "{text}: {}", said.stdout);
        }
        let counted = ["from_client", "from_server"].map(|side| one[side]["packets"].as_u64().expect("a count"));
        let steps = said.stdout.lines().filter(|line| line.ends_with(" ->") || line.contains(" <- ")).count() as u64;
        // What came after the record was written, or is of the next one of these ports, may be there as well.
        if counted.iter().sum::<u64>() <= WHOLE {
            assert!(steps >= counted.iter().sum(), "{steps} of {counted:?}: {}", said.stdout);
            ladders += 1;
        }
    }
    assert!(ladders > CONNECTIONS / 2);
    let nothing = run(&["explain", "987654321", "-r"], &capture);
    assert_eq!(nothing.status.code(), Some(2), "{}", nothing.stderr);
}

/// Captures with a right answer each: what `explain` says of a connection is what `read` says of it.
#[test]
fn an_explanation_has_the_verdict_of_the_record() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut captures: Vec<_> =
        std::fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    captures.retain(|path| path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng"));
    captures.sort();
    let mut explained = 0;
    for capture in &captures {
        let read = run(&["read", "--format", "ndjson"], capture);
        let lines = read.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for one in lines.filter(|line| line["schema"] == "rstprobe.connection/1").take(3) {
            let said = run(&["explain", &one["id"].to_string(), "-r"], capture).stdout;
            let text = |value: &Value| value.as_str().expect("text").to_owned();
            let cause = &one["cause"];
            let verdict = format!("{} ({} confidence)", text(&cause["id"]), text(&cause["confidence"]));
            assert!(said.contains(&verdict), "{}: not {verdict}: {said}", capture.display());
            assert!(said.contains(&format!("impact {}", text(&one["impact"]))), "{}: {said}", capture.display());
            let facts = said.lines().filter(|line| line.starts_with("    ") && line.contains(" = ")).count();
            assert_eq!(facts, cause["evidence"].as_array().expect("facts").len(), "{}: {said}", capture.display());
            explained += 1;
        }
    }
    say(&format!("{explained} connections of {} captures", captures.len()));
    assert!(explained > 60);
}

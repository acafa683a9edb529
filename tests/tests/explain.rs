//! `rstprobe explain -r FILE`: the connection that `read` gives that number, with every segment that it counted, as text, JSON
//! and page, from every source of captures; and a display filter that selects just its packets.
//!
//! The captures lie beside the workspace (`../shared/oracle`), not in it. Where they are absent the test says SKIP; with
//! CI=true that is a failure.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use probe_tests::{
    oneshot::OneShot,
    oracle,
    pcap::Random,
    probe::{Finished, binary},
    tier::say,
};
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
        let steps = said.stdout.lines().filter(|line| line.contains(" --> ") || line.contains(" <-- ")).count() as u64;
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

/// Four blanks, a name, its value.
fn is_fact(line: &str) -> bool {
    line.strip_prefix("    ").is_some_and(|rest| !rest.starts_with(' ') && rest.contains(" = "))
}

/// Captures with a right answer each: what `explain` says of a connection is what `read` says of it.
#[test]
fn an_explanation_has_the_verdict_of_the_record() {
    let captures = captures();
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
            let facts = said.lines().filter(|line| is_fact(line)).count();
            assert_eq!(facts, cause["evidence"].as_array().expect("facts").len(), "{}: {said}", capture.display());
            explained += 1;
        }
    }
    say(&format!("{explained} connections of {} captures", captures.len()));
    assert!(explained > 60);
}

/// A capture of the cases that are part of the workspace.
fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name)
}

fn captures() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut captures: Vec<_> =
        std::fs::read_dir(&folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    captures.retain(|path| path.extension().is_some_and(|extension| extension == "pcap" || extension == "pcapng"));
    captures.sort();
    captures
}

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rstprobe-explain-{name}-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    folder
}

fn document(words: &[&str], capture: &Path) -> Value {
    let said = run(words, capture);
    serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{error}: {} {}", said.stdout, said.stderr))
}

/// Of every case: each fact has a meaning, a verdict of high confidence no rival that nothing speaks against, each row its
/// states; and the page has no markup but its own.
#[test]
fn every_part_of_an_explanation_is_there() {
    let mut rows = 0;
    for capture in captures() {
        // Of some, without options, nothing is understood.
        if run(&["explain", "-r"], &capture).stdout.is_empty() {
            continue;
        }
        let said = document(&["explain", "--format", "json", "-r"], &capture);
        assert_eq!(said["schema"], "rstprobe.explanation/1");
        for fact in said["facts"].as_array().expect("facts") {
            assert!(fact["meaning"].is_string(), "{}: {fact}", capture.display());
        }
        let cause = &said["connection"]["cause"];
        for rival in said["rivals"].as_array().expect("rivals") {
            let is_open = rival["against"].as_array().expect("facts").is_empty();
            assert!(!is_open || cause["confidence"] != "high", "{}: {cause}, {rival}", capture.display());
        }
        for row in said["ladder"]["rows"].as_array().expect("rows") {
            let states = [&row["client_state"], &row["server_state"]];
            assert!(states.iter().all(|end| end["assumed"].is_boolean()), "{row}");
            assert!(states.iter().any(|end| end["state"].is_string()) || row["flags"].as_array().is_some(), "{row}");
            rows += 1;
        }
        let page = run(&["explain", "--format", "html", "-r"], &capture).stdout;
        assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"), "{}", capture.display());
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
        let listed = page.matches("<tr><td class=\"number\">").count() + page.matches("<tr class=\"reset\">").count();
        assert_eq!(listed, said["ladder"]["rows"].as_array().expect("rows").len().min(80), "{}", capture.display());
    }
    assert!(rows > 500, "{rows}");
}

/// The states at the end of known conversations.
#[test]
fn states_are_those_of_the_ends() {
    let last = |name: &str| {
        let said = document(&["explain", "--format", "json", "-r"], &case(name));
        let row = said["ladder"]["rows"].as_array().expect("rows").last().expect("a row").clone();
        let state = |end: &str| {
            let assumed = if row[end]["assumed"] == true { "?" } else { "" };
            format!("{}{assumed}", row[end]["state"].as_str().unwrap_or("?"))
        };
        [state("client_state"), state("server_state")]
    };
    assert_eq!(last("synack_unanswered.pcap"), ["SYN-SENT", "SYN-RCVD"]);
    assert_eq!(last("linger0_after_answer.pcap"), ["CLOSED", "CLOSED?"]);
    assert_eq!(last("accept_queue_full.pcap"), ["CLOSED?", "CLOSED"]);
    assert_eq!(last("freertos_rst_ignored_then_accepted.pcap"), ["SYN-SENT", "CLOSED"]);
    // A device refused in the server's name, which shows nothing of the server.
    assert_eq!(last("firewall_reject_first_hop.pcap"), ["CLOSED?", "?"]);
}

/// Wireshark's own view of the filter: as many frames as there are rows. Where there is no tshark the test says SKIP.
#[test]
fn the_display_filter_selects_the_connections_packets_and_no_others() {
    if Command::new("tshark").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err() {
        say("SKIP the_display_filter_selects_the_connections_packets_and_no_others: no tshark");
        return;
    }
    let mut compared = 0;
    for capture in captures() {
        let name = capture.file_name().expect("a name").to_string_lossy().into_owned();
        // Two captures joined, which tshark does not read to its end.
        if name == "pc_cat.pcap" {
            continue;
        }
        let read = run(&["read", "--format", "ndjson"], &capture);
        let lines = read.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        for one in lines.filter(|line| line["schema"] == "rstprobe.connection/1").take(3) {
            let said = document(&["explain", "--format", "json", &one["id"].to_string(), "-r"], &capture);
            let filter = said["display_filter"].as_str().expect("text");
            let words = ["-Y", filter, "-T", "fields", "-e", "frame.number"];
            let frames = Command::new("tshark").arg("-r").arg(&capture).args(words).output().expect("it runs");
            assert!(frames.status.success(), "{name}: {filter}: {}", String::from_utf8_lossy(&frames.stderr));
            let rows = said["ladder"]["rows"].as_array().expect("rows").len();
            assert_eq!(String::from_utf8_lossy(&frames.stdout).lines().count(), rows, "{name}: {filter}");
            compared += 1;
        }
    }
    say(&format!("{compared} connections as tshark has them"));
    assert!(compared > 60);
}

/// Standard input, several files, compressed ones: the same explanation but for the names of the files.
#[test]
fn every_source_of_the_same_frames_gives_the_same_explanation() {
    let capture = case("early_403_python.pcap");
    let folder = folder("sources");
    let without_names = |text: &str| {
        let lines = text.lines().filter(|line| !line.contains("tshark -r") && !line.contains("rstprobe read"));
        lines
            .filter(|line| !line.contains("these packets") && !line.contains("how many of"))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let plain = without_names(&run(&["explain", "-r"], &capture).stdout);
    assert!(plain.contains("server_reply_then_reset"), "{plain}");
    let piped = Command::new(binary())
        .args(["explain", "-r", "-"])
        .stdin(std::fs::File::open(&capture).expect("a file"))
        .output()
        .expect("it runs");
    assert_eq!(without_names(&String::from_utf8_lossy(&piped.stdout)), plain);
    let compressed = folder.join("c.pcap.gz");
    let packed = Command::new("gzip").arg("-c").arg(&capture).output().expect("gzip");
    std::fs::write(&compressed, packed.stdout).expect("written");
    assert_eq!(without_names(&run(&["explain", "-r"], &compressed).stdout), plain);
    // Of several files the one that holds it is named.
    let other = case("accept_queue_full.pcap");
    let both = run(&["explain", "cause = server_reply_then_reset", "-r", &other.display().to_string(), "-r"], &capture);
    assert!(both.stdout.contains("early_403_python.pcap -Y"), "{}", both.stdout);
    assert!(!both.stdout.contains("accept_queue_full.pcap -Y"), "{}", both.stdout);
    std::fs::remove_dir_all(folder).expect("removed");
}

/// What an evidence file says of a connection is said again, with what is missing of it.
#[test]
fn evidence_is_explained_with_the_verdict_of_its_time() {
    let folder = folder("evidence");
    let evidence = folder.join("e.pcapng");
    let written = run(&["read", "--evidence", &evidence.display().to_string()], &case("early_403_python.pcap"));
    assert_eq!(written.status.code(), Some(0), "{}", written.stderr);
    let said = document(&["explain", "--format", "json", "-r"], &evidence);
    let recorded = said["recorded"].as_str().expect("a comment");
    assert!(recorded.starts_with("rstprobe connection ") && recorded.contains("cause server_reply_then_reset"));
    assert_eq!(said["ladder"]["completeness"], "kept_as_evidence");
    assert_eq!(said["ladder"]["has_gaps"], true);
    let text = run(&["explain", "-r"], &evidence).stdout;
    assert!(text.contains("When its frames were kept it was: rstprobe connection "), "{text}");
    assert!(text.contains("bytes before it not kept"), "{text}");
    std::fs::remove_dir_all(folder).expect("removed");
}

/// What changes what is seen is taken as `read` takes it.
#[test]
fn options_of_read_are_options_of_explain() {
    let capture = case("enc_vxlan10800.pcap");
    let said = document(&["explain", "--vxlan-port", "10800", "--format", "json", "-r"], &capture);
    assert!(!said["ladder"]["rows"].as_array().expect("rows").is_empty(), "{said}");
    // Other tools are told of the port, and `read` of the option.
    let steps = said["next_steps"].as_array().expect("steps").iter();
    let commands: Vec<_> = steps.filter_map(|step| step["command"].as_str()).collect();
    assert!(commands[0].contains(" -d udp.port==10800,vxlan -Y "), "{commands:?}");
    let nothing = run(&["explain", "-r"], &capture);
    assert_eq!(nothing.status.code(), Some(2), "{}", nothing.stdout);
    let wrong = run(&["explain", "--timers", "soon", "-r"], &capture);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(wrong.stderr.contains("--timers soon"), "{}", wrong.stderr);
}

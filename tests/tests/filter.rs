//! `--filter` on records of real captures: what is shown is what a second, independent reading of the unfiltered records
//! shows, in every format; and what is said of expressions that are none.
//!
//! The captures lie beside the workspace (`../shared/oracle`), not in it. Where they are absent the tests say SKIP; with
//! CI=true that is a failure.

use std::{
    ffi::OsString,
    net::IpAddr,
    path::{Path, PathBuf},
};

use probe_tests::{oneshot::OneShot, oracle, probe::Finished, tier::say};
use serde_json::Value;

/// A condition, in the language and on the record's JSON.
type Condition = (&'static str, fn(&Value) -> bool);

fn sum(one: &Value, field: &str) -> u64 {
    side(one, "from_client", field) + side(one, "from_server", field)
}

fn side(one: &Value, side: &str, field: &str) -> u64 {
    one[side][field].as_u64().expect("a count")
}

fn address(one: &Value, side: &str) -> IpAddr {
    one[side]["addr"].as_str().and_then(|text| text.parse().ok()).expect("an address")
}

fn port(one: &Value, side: &str) -> u64 {
    one[side]["port"].as_u64().expect("a port")
}

fn is_in_ten(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(four) if four.octets()[0] == 10)
}

fn is_completed(one: &Value) -> bool {
    one["opening"] == "completed"
}

/// Of these some ask for what is known of one connection alone, and some for what only all together tell.
const CONDITIONS: [Condition; 20] = [
    ("rst.count > 0 and fin.count = 0", |one| sum(one, "rst") > 0 && sum(one, "fin") == 0),
    ("rst.count > 0 and ct.count = 0", |one| sum(one, "rst") > 0 && !is_completed(one)),
    ("rst.count.srv > 0", |one| side(one, "from_server", "rst") > 0),
    ("fin.count.clt = 1 and not fin.count.srv >= 1", |one| {
        side(one, "from_client", "fin") == 1 && side(one, "from_server", "fin") == 0
    }),
    ("syn.count > 1 or syn_ack.count > 1", |one| sum(one, "syn") > 1 || sum(one, "syn_ack") > 1),
    ("conn_state in {RSTR, rsto}", |one| one["conn_state"] == "RSTR" || one["conn_state"] == "RSTO"),
    ("conn_state != SF", |one| one["conn_state"] != "SF"),
    ("cause = app_abort", |one| one["cause"]["id"] == "app_abort"),
    ("cause not in {none, app_abort, never_answered}", |one| {
        !["none", "app_abort", "never_answered"].iter().any(|cause| one["cause"]["id"] == *cause)
    }),
    ("reset_by = server and confidence >= medium", |one| {
        one["reset_by"] == "server" && one["cause"]["confidence"] != "low"
    }),
    ("not (reset_by = none or confidence = high)", |one| {
        one["reset_by"] != "none" && one["cause"]["confidence"] != "high"
    }),
    ("opening = refused || closing = half_closed", |one| {
        one["opening"] == "refused" || one["closing"] == "half_closed"
    }),
    ("duration > 1s", |one| one["duration_s"].as_f64().expect("a number") > 1.0),
    ("duration < 500ms and bytes >= 1K", |one| {
        one["duration_s"].as_f64().expect("a number") < 0.5 && sum(one, "bytes") >= 1024
    }),
    ("idle_gap > 1ms", |one| one["idle_gap_s"].as_f64().is_some_and(|seconds| seconds > 0.001)),
    ("client = 10.0.0.0/8", |one| is_in_ten(address(one, "client"))),
    ("ip != 10.0.0.0/8", |one| !is_in_ten(address(one, "client")) && !is_in_ten(address(one, "server"))),
    ("server.port in {80, 443, 8000..8999}", |one| matches!(port(one, "server"), 80 | 443 | 8000..=8999)),
    ("retransmits > 0 and packets.clt > 5", |one| {
        sum(one, "retransmits") > 0 && side(one, "from_client", "packets") > 5
    }),
    ("history contains 'F' and history contains \"r\"", |one| {
        let history = one["history"].as_str().expect("letters");
        history.contains('F') && history.contains('r')
    }),
];

fn read(words: &[&str], capture: &Path) -> Finished {
    let words = ["read"].iter().chain(words).map(OsString::from);
    let finished = OneShot::new(words.chain([capture.into()])).run().expect("it runs");
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    finished
}

fn document(words: &[&str], capture: &Path) -> Value {
    let finished = read(&[&["--format", "json"], words].concat(), capture);
    serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {}", finished.stderr))
}

/// Captures with many different records; none where there is no oracle.
fn captures(test: &str) -> Vec<PathBuf> {
    let Some(folder) = oracle::folder() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say(&format!("SKIP {test}: no captures at ../shared/oracle"));
        return vec![];
    };
    let random = ["seed101", "seed102"].map(|seed| folder.join("zeek-random").join(format!("{seed}.pcap")));
    let all = oracle::captures(&folder.join("captures")).expect("captures");
    let large = all.into_iter().filter(|capture| capture.name.contains("arkime/")).map(|capture| capture.path);
    random.into_iter().chain(large).collect()
}

fn connections(document: &Value) -> Vec<Value> {
    document["connections"].as_array().expect("connections").clone()
}

fn records(document: &Value) -> u64 {
    let count = |name: &str| document["summary"][name].as_u64().expect("a count");
    count("connections") + count("rst_without_connection")
}

#[test]
fn a_document_holds_and_counts_what_meets_the_condition() {
    let mut seen = [0_u64; CONDITIONS.len()];
    let captures = captures("a_document_holds_and_counts_what_meets_the_condition");
    for capture in &captures {
        let whole = document(&[], capture);
        assert!(whole["summary"]["filter"].is_null());
        for ((text, holds), seen) in CONDITIONS.into_iter().zip(&mut seen) {
            let said = document(&["--filter", text], capture);
            let expected: Vec<Value> = connections(&whole).into_iter().filter(holds).collect();
            assert!(connections(&said) == expected, "{text}: {}", capture.display());
            let summary = &said["summary"];
            assert_eq!(records(&said), expected.len() as u64, "{text}: {}", capture.display());
            assert_eq!(summary["filter"]["records"], expected.len());
            assert_eq!(summary["filter"]["left_out"], records(&whole) - records(&said), "{text}");
            let rsts: u64 = expected.iter().map(|one| sum(one, "rst")).sum();
            let said_rsts = ["client", "server", "unknown"].map(|side| summary["rst"][side].as_u64().expect("a count"));
            assert_eq!(said_rsts.iter().sum::<u64>(), rsts, "{text}");
            for of_all in ["losses", "books", "flood", "quality"] {
                assert_eq!(summary[of_all], whole["summary"][of_all], "{text}: {of_all}");
            }
            *seen += expected.len() as u64;
        }
    }
    if !captures.is_empty() {
        let meant: Vec<_> =
            CONDITIONS.into_iter().zip(seen).map(|((text, _), seen)| format!("{text}: {seen}")).collect();
        say(&format!("{} captures; {}", captures.len(), meant.join("; ")));
        assert!(seen.iter().zip(CONDITIONS).all(|(seen, (text, _))| *seen > 0 || text.contains("idle_gap")));
    }
}

#[test]
fn lines_are_those_of_the_whole_stream() {
    for capture in captures("lines_are_those_of_the_whole_stream").iter().take(2) {
        let lines = |words: &[&str]| -> Vec<Value> {
            let finished = read(words, capture);
            finished.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
        };
        let mut whole = lines(&["--format", "ndjson"]);
        let summary = whole.pop().expect("a summary");
        for (text, holds) in CONDITIONS {
            let mut said = lines(&["--format", "ndjson", "--filter", text]);
            let last = said.pop().expect("a summary");
            let expected: Vec<_> = whole.iter().filter(|one| holds(one)).cloned().collect();
            assert!(said == expected, "{text}: {}", capture.display());
            assert_eq!((&last["losses"], &last["filter"]["records"]), (&summary["losses"], &expected.len().into()));
        }
        let zeek = |words: &[&str]| read(words, capture).stdout.lines().filter(|line| !line.starts_with('#')).count();
        let reset = whole.iter().filter(|one| sum(one, "rst") > 0).count();
        assert_eq!(zeek(&["--format", "zeek", "--filter", "rst.count > 0"]), reset);
    }
}

#[test]
fn people_are_told_which_connections_these_are() {
    for capture in captures("people_are_told_which_connections_these_are").iter().take(1) {
        let whole = document(&[], capture);
        for (text, canonical) in
            [("rst.count>0&&fin.count==0", "rst.count > 0 and fin.count = 0"), ("cause=app_abort", "cause = app_abort")]
        {
            let filtered = document(&["--filter", text], capture);
            let (expected, all) = (records(&filtered), records(&whole));
            let said = read(&["--filter", text, "--top", "5"], capture).stdout;
            let heading =
                format!("Only what meets `{canonical}`: {expected} of {all} records; losses are those of all\n");
            assert!(said.contains(&heading), "{said}");
            assert!(said.contains("Of these connections only: rst.per_conn "), "{said}");
            let connections = &filtered["summary"]["connections"];
            let headline = format!("\n{connections} connections");
            assert!(said.contains(&(headline.clone() + ": ")) || said.contains(&(headline + " and ")), "{said}");
        }
    }
}

#[test]
fn what_is_no_expression_is_told_with_its_place() {
    let said = read(&["--filter", "ct.count = 1 and rst.cuont > 0"], Path::new("/nowhere"));
    assert_eq!((said.status.code(), &said.stdout[..]), (Some(2), ""));
    let lines: Vec<_> = said.stderr.lines().collect();
    assert_eq!(
        lines,
        [
            "rstprobe: --filter: unknown field `rst.cuont`; did you mean `rst.count`?",
            "  ct.count = 1 and rst.cuont > 0",
            "                   ^^^^^^^^^"
        ]
    );
    let said = read(&["--evidence", "x.pcapng", "--evidence-filter", "cause ="], Path::new("/nowhere"));
    assert_eq!(said.status.code(), Some(2));
    assert!(said.stderr.starts_with("rstprobe: --evidence-filter: expected a value for `cause`"), "{}", said.stderr);
    let said = read(&["--evidence-filter", "ct.count = 1"], Path::new("/nowhere"));
    assert!(said.status.code() == Some(2) && said.stderr.contains("--evidence <PATH>"), "{}", said.stderr);
}

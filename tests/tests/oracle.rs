//! `rstprobe read` against independent answers: Zeek 8.0.10 record by record, tshark and Arkime flag by flag.
//!
//! The captures lie beside the workspace (`../shared/oracle`), not in it. Where they are absent the tests say SKIP;
//! with CI=true that is a failure. What differs is listed here, capture by capture, with the reason; an entry that does
//! not differ any more is an error as well.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use probe_tests::{
    connlog::{self, Score, percent},
    oneshot::OneShot,
    oracle::{self, Capture},
    tier::say,
};

/// Why we differ.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Why {
    /// We do not read it: counts against us.
    Unsupported(&'static str),
    /// A rule of the other tool that is not one of TCP, by its place in the source: left out of the shares.
    Theirs(&'static str),
}

use Why::{Theirs, Unsupported};

impl Why {
    fn words(self) -> &'static str {
        let (Unsupported(words) | Theirs(words)) = self;
        words
    }
}

/// `packet_analysis/protocol/tcp/TCP.cc`, `TCPAnalyzer::ExtractTCP_Header`.
const JUMBO: Why = Theirs("TCP.cc, ExtractTCP_Header: IPv6 payload length 0 (BIG TCP) leaves it no room for a header");
/// What follows are rules of Zeek that the capture path follows, and these counters do not.
const ROUTE_0: Why =
    Theirs("tshark takes the next hop for the destination; Zeek the last address of the routing header");
const HOME: Why = Theirs("tshark takes the care-of address for the source; Zeek the home address option");
const TEREDO: Why = Theirs("tshark looks for Teredo on its port only; Zeek also between two peers");

/// Captures on which we differ from Zeek, and why.
const UNLIKE_ZEEK: &[(&str, Why)] = &[
    ("tcpdump/bigtcp-ipv4-vxlan-ipv6", JUMBO),
    ("tcpdump/bigtcp-ipv6", JUMBO),
    ("tcpdump/bigtcp-ipv6-geneve-ipv6", JUMBO),
    ("tcpdump/bigtcp-ipv6-vxlan-ipv6", JUMBO),
    (
        "tcpdump/mptcp-dss-oobr",
        Theirs("libpcap cuts a frame of 74 bytes to the snap length of the file header, 73; then as ExtractTCP_Header"),
    ),
    (
        "zeek/partial/tunnels__tunnel-direct-bypass",
        Theirs("IPBasedAnalyzer.cc: the same addresses and ports inside and outside of a tunnel are one connection"),
    ),
    ("zeek/tunnels__gre-aruba-amsdu", Unsupported("802.11 A-MSDU in GRE")),
];

/// Captures on which we count other flags than tshark or Arkime, and why.
const UNLIKE_COUNTERS: &[(&str, Why)] = &[
    (
        "suricata-more/bug-76",
        Theirs("tshark counts a FIN whose IP total length ends after the frame, and a SYN whose header does"),
    ),
    ("suricata/decode-teredo-01", TEREDO),
    ("zeek/tunnels__Teredo", TEREDO),
    ("zeek-more/chksums__ip6-hoa-tcp-bad-chksum", HOME),
    ("zeek-more/chksums__ip6-route0-tcp-bad-chksum", ROUTE_0),
    ("zeek-more/chksums__ip6-route0-tcp-good-chksum", ROUTE_0),
];

/// The folder of answers; without it says so, or fails in CI.
fn folder(test: &str) -> Option<PathBuf> {
    let folder = oracle::folder();
    if folder.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say(&format!("SKIP {test}: no captures at ../shared/oracle"));
    }
    folder
}

/// What `rstprobe read <words> <file>` prints on stdout.
fn read(words: &[&str], file: &Path) -> Result<String, String> {
    let all = ["read"].iter().chain(words).map(Into::into).chain([file.into()]).collect::<Vec<std::ffi::OsString>>();
    let finished = OneShot::new(all).run().map_err(|error| error.to_string())?;
    // 1: not readable to its end; what was readable has been printed.
    if !matches!(finished.status.code(), Some(0 | 1)) || finished.stderr.contains("panicked") {
        return Err(format!("{}: {}", finished.status, finished.stderr));
    }
    Ok(finished.stdout)
}

#[track_caller]
fn at_least(least: f64, what: &str, part: u64, whole: u64) {
    let share = percent(part, whole);
    assert!(share >= least, "{what}: {part} of {whole}, {share:.2} % instead of {least} %");
}

/// Thousands of random conversations: everything that Zeek's log says.
fn random(seed: &str) {
    let Some(folder) = folder(seed) else { return };
    let file = |suffix: &str| folder.join("zeek-random").join(format!("{seed}{suffix}"));
    let text = fs::read_to_string(file(".conn.log")).expect("Zeek's answer");
    let expected = connlog::parse(&text).expect("a conn.log");
    let actual = read(&["--format", "zeek"], &file(".pcap")).expect("it reads");
    let actual = connlog::parse(&actual).expect("a conn.log");
    let (score, differing) = connlog::compare(&expected, &actual);
    assert!(score.records > 3000, "{score:?}");
    assert!(score.agrees(), "{}", differing.join("\n"));
    at_least(100.0, "originator", score.originator, score.records);
    at_least(99.5, "history", score.history, score.records);
    at_least(99.5, "bytes", score.bytes, score.records);
    at_least(99.5, "duration", score.duration, score.records);
}

#[test]
fn random_conversations_101() {
    random("seed101");
}

#[test]
fn random_conversations_102() {
    random("seed102");
}

/// Asserts that exactly the listed captures differ.
fn exactly_as_listed(table: &[(&str, Why)], differing: &BTreeMap<String, Vec<String>>) {
    let listed: BTreeSet<&str> = table.iter().map(|(capture, _)| *capture).collect();
    assert_eq!(listed.len(), table.len(), "a capture is listed twice");
    let unlisted = differing.iter().filter(|(capture, _)| !listed.contains(&***capture));
    let unlisted: Vec<String> =
        unlisted.map(|(capture, lines)| format!("{capture}\n    {}", lines.join("\n    "))).collect();
    let stale = table.iter().filter(|(capture, _)| !differing.contains_key(*capture));
    let stale: Vec<String> = stale.map(|(capture, why)| format!("{capture} ({})", why.words())).collect();
    assert!(
        unlisted.is_empty() && stale.is_empty(),
        "{} captures differ and are not listed:\n{}\nlisted, and do not differ: {stale:?}",
        unlisted.len(),
        unlisted.join("\n")
    );
}

fn captures(folder: &Path) -> Vec<Capture> {
    let captures = oracle::captures(&folder.join("captures")).expect("captures");
    assert!(captures.len() > 700, "only {} captures", captures.len());
    captures
}

#[test]
fn captures_end_as_zeek_says() {
    let Some(folder) = folder("captures_end_as_zeek_says") else { return };
    let (mut sum, mut all, mut differing, mut compared) = (Score::default(), Score::default(), BTreeMap::new(), 0);
    for capture in captures(&folder) {
        let Some(log) = capture.read_beside(".zeek80.conn.log").expect("readable") else { continue };
        let expected = connlog::parse(&log).expect("a conn.log");
        let actual = read(&["--no-checksums", "--format", "zeek"], &capture.path);
        let actual = actual.unwrap_or_else(|why| panic!("{}: {why}", capture.name));
        let (score, lines) = connlog::compare(&expected, &connlog::parse(&actual).expect("a conn.log"));
        let why = UNLIKE_ZEEK.iter().find(|(name, _)| *name == capture.name).map(|(_, why)| why);
        if !matches!(why, Some(Theirs(_))) {
            sum.add(score);
        }
        all.add(score);
        compared += 1;
        if !score.agrees() {
            differing.insert(capture.name, lines);
        }
    }
    let quirks = UNLIKE_ZEEK.iter().filter(|(_, why)| matches!(why, Theirs(_))).count();
    say(&format!("{compared} captures, {} differ, {quirks} of them by a quirk", differing.len()));
    for (name, score) in [("all", all), ("without quirks", sum)] {
        let share = |part| percent(part, score.records);
        let (state, history, packets) = (share(score.state), share(score.history_without_gaps), share(score.packets));
        let records = score.records;
        say(&format!("{name}: {records} records, state {state:.2} %, history {history:.2} %, packets {packets:.2} %"));
    }
    assert!(compared > 600 && sum.records * 100 >= all.records * 95, "{compared} {sum:?} {all:?}");
    exactly_as_listed(UNLIKE_ZEEK, &differing);
    at_least(99.5, "conn_state", sum.state, sum.records);
    at_least(99.0, "history", sum.history_without_gaps, sum.records);
    // 99.5 when tunnelled packets in several fragments are put together.
    at_least(99.0, "packets", sum.packets, sum.records);
}

#[test]
fn flags_are_those_of_other_counters() {
    let Some(folder) = folder("flags_are_those_of_other_counters") else { return };
    let captures = captures(&folder);
    let agreed = oracle::agreed(&folder.join("captures"), &captures).expect("totals");
    let (mut differing, mut by_tshark, mut by_arkime) = (BTreeMap::new(), 0, 0);
    for capture in captures.iter().filter(|capture| agreed.contains(&capture.name)) {
        let said = read(&["--no-checksums", "--format", "ndjson"], &capture.path);
        let said = said.unwrap_or_else(|why| panic!("{}: {why}", capture.name));
        let said = oracle::by_rstprobe(&said).expect("lines of JSON");
        let mut lines = vec![];
        if let Some(text) = capture.read_beside(".tshark.tsv").expect("readable") {
            by_tshark += 1;
            lines.extend(oracle::differences(&oracle::by_tshark(&text).expect("a table"), &said));
        }
        let text = capture.read_beside(".expected.json").expect("readable");
        if let Some(table) = text.and_then(|text| oracle::by_arkime(&text).expect("JSON")) {
            by_arkime += 1;
            let differences = oracle::differences(&table, &oracle::undirected(&said));
            lines.extend(differences.into_iter().map(|line| format!("Arkime: {line}")));
        }
        if !lines.is_empty() {
            differing.insert(capture.name.clone(), lines);
        }
    }
    say(&format!("{by_tshark} captures counted by tshark, {by_arkime} by Arkime, {} differ", differing.len()));
    assert!(by_tshark > 600 && by_arkime > 70, "{by_tshark} {by_arkime}");
    exactly_as_listed(UNLIKE_COUNTERS, &differing);
}

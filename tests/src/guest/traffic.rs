//! Scenarios and counts: on both legs, in generic mode, through AF_XDP.

use std::{ffi::OsString, io, thread, time::Duration};

use serde_json::Value;

use super::{Outcome, Verdict, census::Census, ensure};
use crate::{
    conversation, load,
    netns::{Loop, Network, SINK, SOURCE},
    parity::replay,
    pcap::Random,
    probe::Probe,
    scenario::{self, Case},
    session::{self, Plan, Report},
};

/// Conversations that are replayed into sockets.
const CONVERSATIONS: u32 = 300;
/// Time for the last frames to be drained, however slow the machine.
const SETTLE: Duration = Duration::from_millis(1500);

fn plan(words: &[&str]) -> Plan {
    Plan { settle: SETTLE, words: words.iter().map(OsString::from).collect() }
}

/// Counts are those of a packet socket, the probe ended well, and nothing is left.
fn is_exact(report: &Report) -> io::Result<()> {
    ensure(report.probe.status.success(), format!("{}: {}", report.probe.status, report.probe.stderr))?;
    ensure(report.miscounted.is_empty(), format!("counts differ: {}", report.miscounted.join("; ")))?;
    ensure(report.remains.is_empty(), format!("left behind: {}", report.remains.join(", ")))?;
    lost_nothing(&report.snapshot)
}

/// Frames that are no TCP, ARP among them, are told with the losses.
const OTHERS: [&str; 2] = ["rejected.not_tcp", "rejected.not_ip"];

/// Counters of sockets that tell of no loss: a driver asked for more room than there was just then, and one that has no
/// place in front of a frame for its time.
pub(super) const NO_LOSS: [&str; 2] = ["afxdp.fill_empty", "afxdp.unstamped"];

/// Nothing is told as lost, but frames that are not TCP.
pub(super) fn lost_nothing(snapshot: &Value) -> io::Result<()> {
    lost_nothing_but(snapshot, &[])
}

/// The same, and `names` do not count as losses.
pub(super) fn lost_nothing_but(snapshot: &Value, names: &[&str]) -> io::Result<()> {
    let losses = snapshot["summary"]["losses"].as_object().ok_or_else(|| io::Error::other("no losses are told"))?;
    let reported = losses.iter().filter(|(name, value)| {
        !OTHERS.contains(&name.as_str()) && !names.contains(&name.as_str()) && value.as_u64() != Some(0)
    });
    let reported: Vec<String> = reported.map(|(name, value)| format!("{name} {value}")).collect();
    ensure(reported.is_empty(), format!("lost: {}", reported.join(", ")))
}

/// Every scenario of the demonstration over both families: verdicts, counts, and nothing left.
///
/// # Errors
/// The first of these that does not hold.
pub fn demo() -> Outcome {
    let before = Census::take()?;
    let report = session::run_settled(&scenario::cases(), &plan(&["--format", "table"]))?;
    let wrong = report.wrong().map(|(case, judgement)| {
        format!(
            "{}: expected {}, said {} because {}",
            case.name(),
            judgement.expected,
            judgement.said,
            judgement.evidence
        )
    });
    let wrong: Vec<String> = wrong.collect();
    ensure(wrong.is_empty(), wrong.join("; "))?;
    is_exact(&report)?;
    before.await_return()?;
    Ok(Verdict::Holds(format!("{} verdicts", report.judgements.len())))
}

/// Many short connections, both directions seen on an interface each: all of them are reported.
///
/// # Errors
/// When one is not, or something is lost.
pub fn two_legs() -> Outcome {
    let network = Network::build()?;
    let words = ["--for", "1h", "--format", "json"].map(OsString::from);
    let probe = Probe::snapshot(&network.middle, &words)?;
    let played = load::play(&network, Duration::from_secs(3), 400)?;
    thread::sleep(SETTLE);
    let snapshot = document(probe)?;
    lost_nothing(&snapshot)?;
    let reported = connections(&snapshot).len() as u64;
    // Four more are opened to end the servers.
    let expected = played.connections() + load::WAKING;
    ensure(reported == expected, format!("{reported} connections of {expected}"))?;
    Ok(Verdict::Holds(format!("{reported} connections")))
}

/// Scenarios without their verdicts (offloads differ in the network stack), counts exact.
///
/// # Errors
/// When counts differ.
pub fn generic() -> Outcome {
    let cases: Vec<Case> = scenario::cases().into_iter().filter(|c| c.scenario.id != "keep_alive_timeout").collect();
    let report = session::run(&cases, &plan(&["--mode", "generic"]))?;
    is_exact(&report)?;
    Ok(Verdict::Holds(String::new()))
}

/// Conversations replayed into sockets: each frame is a segment of the agent's.
///
/// # Errors
/// When one is missing, or counted twice.
pub fn afxdp() -> Outcome {
    let before = Census::take()?;
    let network = Loop::build()?;
    let words = ["snapshot", "-i", SINK, "--datapath", "afxdp", "--action", "drop", "--for", "1h", "--format", "json"];
    let probe = Probe::start(&network.namespace, &words.map(OsString::from))?;
    let frames = conversation::traffic(&mut Random::new(7), CONVERSATIONS)?;
    // However long it took.
    drop(replay(&network, &[SOURCE], &frames));
    thread::sleep(SETTLE);
    let snapshot = document(probe)?;
    lost_nothing(&snapshot)?;
    let segments = snapshot["summary"]["books"]["afxdp.segments"].as_u64().unwrap_or(0);
    ensure(segments == frames.len() as u64, format!("{segments} segments of {} frames", frames.len()))?;
    before.await_return()?;
    Ok(Verdict::Holds(format!("{segments} segments")))
}

/// The document of a probe that is told to end, and ends well.
pub(super) fn document(probe: Probe) -> io::Result<Value> {
    let done = probe.stop()?;
    ensure(done.status.success(), format!("{}: {}", done.status, done.stderr))?;
    serde_json::from_str(&done.stdout).map_err(io::Error::other)
}

/// Connections of a document.
pub(super) fn connections(snapshot: &Value) -> &[Value] {
    snapshot["connections"].as_array().map_or(&[], Vec::as_slice)
}

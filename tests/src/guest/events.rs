//! Interface events: what operators do to an interface while it is watched: a larger MTU, down, up, away.

use std::{ffi::OsString, io, thread, time::Duration};

use super::{
    Outcome, Verdict, ensure, kernel,
    traffic::{connections, document},
};
use crate::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_LEG, CLIENT_MAC, Family, Loop, Network, SERVER_LEG, SERVER_MAC, SINK, SOURCE},
    oneshot::OneShot,
    probe::Probe,
    sys::Outlet,
    tier,
};

/// Kernel, driver or interface cannot do it as asked.
const UNABLE: i32 = 5;
/// XDP programs for frames of several buffers.
const FRAGS: (u32, u32) = (5, 18);
const JUMBO: usize = 8000;
/// The agent looks at its interfaces this often, and the machine is slow.
const NOTICED: Duration = Duration::from_secs(4);

fn words(more: &[&str]) -> Vec<OsString> {
    ["snapshot", "-i", SINK, "--for", "1h", "--format", "json"].iter().chain(more).map(OsString::from).collect()
}

fn send(network: &Loop, port: u16, payload: usize) -> io::Result<()> {
    let end = |mac, ip, port| Station { mac, ip, port };
    let (client, server) = (end(CLIENT_MAC, Family::V4.client(), port), end(SERVER_MAC, Family::V4.server(), 80));
    let frame = TcpFrame::new(client, server, 1).ack(1).payload(&vec![b'.'; payload]).bytes()?;
    network.namespace.enter(|| Outlet::open(SOURCE)?.send(&frame))
}

/// Bytes that the connections of the document carried.
fn counted(probe: Probe) -> io::Result<u64> {
    thread::sleep(Duration::from_secs(1));
    let snapshot = document(probe)?;
    Ok(connections(&snapshot).iter().filter_map(|one| one["from_client"]["payload_bytes"].as_u64()).sum())
}

/// A peer with MTU 9000, and one that gets it while the probe is attached.
///
/// # Errors
/// When a jumbo frame is not counted, a refusal does not tell why, or the probe keeps the MTU from being raised where
/// the kernel does not.
pub fn mtu() -> Outcome {
    let network = Loop::build()?;
    let frags = kernel() >= FRAGS;
    // First raised while attached: 1500 to begin with.
    let probe = Probe::start(&network.namespace, &words(&[]))?;
    let raised = network.namespace.ip(&format!("link set {SOURCE} mtu 9000")).is_ok();
    ensure(raised == frags, format!("raising the peer's MTU while attached: {raised}, with frags {frags}"))?;
    send(&network, 1000, 10)?;
    if raised {
        network.namespace.ip(&format!("link set {SINK} mtu 9000"))?;
        send(&network, 1001, JUMBO)?;
    }
    let bytes = counted(probe)?;
    let expected = 10 + if raised { JUMBO as u64 } else { 0 };
    ensure(bytes == expected, format!("{bytes} bytes counted of {expected}"))?;
    for end in [SOURCE, SINK] {
        network.namespace.ip(&format!("link set {end} mtu 9000"))?;
    }
    // Then from the beginning.
    refused(&network, &words(&["--single-buffer"]))?;
    if frags {
        exact(&network, &[])?;
    } else {
        refused(&network, &words(&[]))?;
    }
    exact(&network, &["--mode", "generic"])?;
    Ok(Verdict::Holds(if frags { "native" } else { "generic; native refused" }.to_owned()))
}

fn exact(network: &Loop, more: &[&str]) -> io::Result<()> {
    let probe = Probe::start(&network.namespace, &words(more))?;
    send(network, 1002, JUMBO)?;
    let bytes = counted(probe)?;
    ensure(bytes == JUMBO as u64, format!("{more:?}: {bytes} bytes counted of {JUMBO}"))
}

fn refused(network: &Loop, words: &[OsString]) -> io::Result<()> {
    let done = OneShot::new(words).run_in(&network.namespace)?;
    ensure(done.status.code() == Some(UNABLE), format!("not refused: {}: {}", done.status, done.stderr))?;
    let is_reported = ["MTU", "--mode generic"].iter().all(|word| done.stderr.contains(word));
    ensure(is_reported, format!("the refusal does not tell MTU and generic mode: {}", done.stderr))
}

/// Down, up again, deleted: each is said once, and with the last interface the probe ends.
///
/// # Errors
/// When it does not say so, or goes on.
pub fn down_up_gone() -> Outcome {
    let network = Network::build()?;
    let probe = Probe::snapshot(&network.middle, &["--for", "1h"].map(OsString::from))?;
    for change in ["down", "up"] {
        network.middle.ip(&format!("link set {CLIENT_LEG} {change}"))?;
        thread::sleep(NOTICED);
    }
    for leg in [CLIENT_LEG, SERVER_LEG] {
        network.middle.ip(&format!("link del {leg}"))?;
        thread::sleep(NOTICED);
    }
    let done = probe.wait(tier::patient(Duration::from_secs(10)))?;
    ensure(done.status.code() == Some(UNABLE), format!("{}: {}", done.status, done.stderr))?;
    for (leg, what) in [
        (CLIENT_LEG, "is down"),
        (CLIENT_LEG, "is up again"),
        (CLIENT_LEG, "was removed, or moved to another network namespace, between"),
        (SERVER_LEG, "was removed, or moved to another network namespace, between"),
    ] {
        let line = format!("rstprobe: {leg}: the interface {what}");
        let times = done.stderr.lines().filter(|said| said.starts_with(&line)).count();
        ensure(times == 1, format!("said {times} times: {line}: {}", done.stderr))?;
    }
    Ok(Verdict::Holds(String::new()))
}

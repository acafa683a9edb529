//! Another user than root, with four capabilities and no more.

use std::{ffi::OsString, fs, io, path::Path, thread, time::Duration};

use super::{
    Outcome, Verdict, ensure, init,
    traffic::{connections, document, lost_nothing},
};
use crate::{
    load,
    netns::{Loop, Namespace, Network, SINK},
    probe::{self, Probe},
};

const USER: &str = "1000";
const CAPABILITIES: &str = "+bpf,+perfmon,+net_admin,+net_raw";
/// The same as the kernel shows them.
const MASK: u64 = 1 << 12 | 1 << 13 | 1 << 38 | 1 << 39;

/// Counts on both legs and through sockets.
///
/// # Errors
/// When it does not start, counts wrongly, or has other privileges than it was given.
pub fn four_capabilities() -> Outcome {
    // Before 5.11 a unit would have `LimitMEMLOCK=infinity`.
    init::lock_memory()?;
    let network = Network::build()?;
    let counting = ["snapshot", "-i", "leg-client", "-i", "leg-server", "--for", "1h", "--format", "json"];
    let probe = start(&network.middle, &counting)?;
    let status = fs::read_to_string(format!("/proc/{}/status", probe.pid()))?;
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned();
    ensure(field("Uid:").starts_with(USER), format!("it runs as {}", field("Uid:")))?;
    ensure(u64::from_str_radix(&field("CapEff:"), 16) == Ok(MASK), format!("it has {}", field("CapEff:")))?;
    let played = load::play(&network, Duration::from_secs(1), 100)?;
    thread::sleep(Duration::from_secs(1));
    let snapshot = document(probe)?;
    lost_nothing(&snapshot)?;
    let (reported, expected) = (connections(&snapshot).len() as u64, played.connections() + load::WAKING);
    ensure(reported == expected, format!("{reported} connections of {expected}"))?;
    drop(network);
    let network = Loop::build()?;
    let sockets =
        ["snapshot", "-i", SINK, "--datapath", "afxdp", "--action", "drop", "--for", "1h", "--format", "json"];
    document(start(&network.namespace, &sockets)?)?;
    Ok(Verdict::Holds(String::new()))
}

/// Words for setpriv(1).
pub(super) fn as_user() -> Vec<String> {
    let inherited = format!("--inh-caps={CAPABILITIES}");
    let ambient = format!("--ambient-caps={CAPABILITIES}");
    ["--reuid", USER, "--regid", USER, "--clear-groups", &inherited, &ambient].map(str::to_owned).into()
}

fn start(namespace: &Namespace, words: &[&str]) -> io::Result<Probe> {
    let user = as_user();
    let binary = [OsString::from(probe::binary())];
    let all: Vec<OsString> =
        user.iter().map(OsString::from).chain(binary).chain(words.iter().map(OsString::from)).collect();
    Probe::start_binary(Path::new("/bin/setpriv"), namespace, &all)
}

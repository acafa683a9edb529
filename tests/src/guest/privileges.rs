//! Privileges: another user than root, with four capabilities and no more, which go once it is attached; and the sandbox, for
//! that user and for root.

use std::{ffi::OsString, fs, io, path::Path, thread, time::Duration};

use super::{
    Outcome, Verdict, ensure, init, kernel,
    traffic::{connections, document, lost_nothing},
};
use crate::{
    load,
    netns::{Loop, Namespace, Network, SERVER_LEG, SINK},
    oneshot::OneShot,
    probe::{self, Probe},
    violation::{self, Confined, VIOLATIONS},
};
use probe_user::{
    sandbox::{
        self, Available, Needs,
        capabilities::Capability,
        seccomp::{Calls, OnViolation},
    },
    source::live::{
        attach::{self, Mode},
        engine::{Engine, EngineConfig},
    },
};

const USER: &str = "1000";
const CAPABILITIES: &str = "+bpf,+perfmon,+net_admin,+net_raw";
/// CAP_BPF as the kernel shows it.
const BPF: u64 = 1 << 39;

/// Counts on both legs and through sockets.
///
/// # Errors
/// When it does not start, counts wrongly, or keeps what it does not need.
pub fn four_capabilities() -> Outcome {
    // Before 5.11 a unit would have `LimitMEMLOCK=infinity`.
    init::lock_memory()?;
    let network = Network::build()?;
    let counting = ["snapshot", "-i", "leg-client", "-i", "leg-server", "--for", "1h", "--format", "json"];
    let probe = start(&network.middle, &counting)?;
    ensure(field(&probe, "Uid:")?.starts_with(USER), format!("it runs as {}", field(&probe, "Uid:")?))?;
    let kept = gave_up(&probe)?;
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
    let probe = start(&network.namespace, &sockets)?;
    gave_up(&probe)?;
    document(probe)?;
    Ok(Verdict::Holds(format!("keeps {kept}")))
}

/// The sandbox as this kernel has it: what root keeps while it watches, that every violation is stopped that can be, and what
/// `--sandbox require` says.
///
/// # Errors
/// When something is let through that should not be, or is not said.
pub fn sandbox() -> Outcome {
    init::lock_memory()?;
    let network = Network::build()?;
    let words: Vec<OsString> =
        ["snapshot", "-i", "leg-client", "--for", "1h", "--format", "json"].map(Into::into).into();
    let probe = Probe::start(&network.middle, &words)?;
    let kept = gave_up(&probe)?;
    attaches_anew(&network.middle, SERVER_LEG)?;
    let Available { landlock, seccomp } = Available::of_this_kernel();
    ensure(seccomp == Ok(()), format!("seccomp: {seccomp:?}"))?;
    let (says_lack, lacks) = (probe.said().contains("rstprobe: sandbox: "), landlock.is_err());
    ensure(says_lack == lacks, format!("it says: {}", probe.said()))?;
    document(probe)?;
    let mut stopped = 0;
    for confined in Confined::BOTH {
        for violation in VIOLATIONS.iter().filter(|violation| !violation.by_landlock || !lacks) {
            let folder = Path::new("/tmp/violation");
            violation::prepare(folder)?;
            let ended = violation::attempt(confined, violation::policy(OnViolation::Log), *violation, folder)?;
            ensure(ended == violation::Outcome::Denied, format!("{}: {}: {ended:?}", confined.name(), violation.name))?;
            stopped += 1;
        }
    }
    let required = ["read", "--sandbox", "require", "/init"].map(str::to_owned);
    let refused = OneShot::new(required).run()?;
    // Where all is there, what is wrong is that the file is no capture.
    let code = if lacks { 5 } else { 2 };
    ensure(refused.status.code() == Some(code), format!("--sandbox require: {}", refused.stderr))?;
    let landlock = landlock.map_or_else(|_| "no Landlock".to_owned(), |it| format!("Landlock ABI {}", it.abi));
    Ok(Verdict::Holds(format!("{landlock}, seccomp; keeps {kept}; {stopped} violations stopped")))
}

/// Attaches the program, enters the sandbox of those who watch, and attaches anew, as is done when a driver goes silent.
///
/// # Errors
/// It takes more than is kept.
pub fn attaches_anew(namespace: &Namespace, interface: &str) -> io::Result<()> {
    namespace.enter(|| {
        let config = EngineConfig { slots_per_cpu: 64, log_per_cpu: 64, ..EngineConfig::default() };
        let mut engine = Engine::load(&config).map_err(io::Error::other)?;
        let interfaces = [interface.to_owned()];
        let mut attached = attach::attach(&mut engine, &interfaces, Mode::Native, false).map_err(io::Error::other)?;
        let capabilities = if keeps_bpf() { vec![Capability::CAP_BPF] } else { Vec::new() };
        let calls = Calls::Interfaces { asks_owners: false, is_promiscuous: false };
        let needs = Needs { files: Vec::new(), calls, capabilities };
        let _lacking = sandbox::enter(violation::policy(OnViolation::Kill), &needs).map_err(io::Error::other)?;
        engine.wait_for_programs().map_err(io::Error::other)?;
        attached.iter_mut().try_for_each(|one| one.renew(&mut engine)).map_err(io::Error::other)
    })
}

/// Before Linux 5.19 nobody else may use bpf(2) where BPF is for root alone.
fn keeps_bpf() -> bool {
    let is_restricted =
        fs::read_to_string("/proc/sys/kernel/unprivileged_bpf_disabled").is_ok_and(|it| it.trim() != "0");
    kernel() < (5, 19) && is_restricted
}

/// What it keeps now that it is attached, in words.
fn gave_up(probe: &Probe) -> io::Result<&'static str> {
    let expected = if keeps_bpf() { BPF } else { 0 };
    for set in ["CapEff:", "CapPrm:"] {
        let held = field(probe, set)?;
        ensure(u64::from_str_radix(&held, 16) == Ok(expected), format!("{set} {held}, not {expected:x}"))?;
    }
    for (name, value) in [("NoNewPrivs:", "1"), ("Seccomp:", "2")] {
        ensure(field(probe, name)? == value, format!("{name} {}", field(probe, name)?))?;
    }
    Ok(if expected == 0 { "no capability" } else { "CAP_BPF" })
}

/// Of proc_pid_status(5).
fn field(probe: &Probe, name: &str) -> io::Result<String> {
    let status = fs::read_to_string(format!("/proc/{}/status", probe.pid()))?;
    Ok(status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().trim().to_owned())
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

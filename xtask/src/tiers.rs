//! `test`: all tiers of tests, and an honest account of which ran.
//!
//! build (object and program), unit (every package by itself), the unprivileged integration tests of `probe-tests`, and
//! its privileged ones, which load the object into the kernel. Knows tests by what `cargo metadata` lists, not by name,
//! but for those that must exist.

use std::{
    fs,
    process::{Command, ExitCode},
    time::Instant,
};

use anyhow::Result;

use crate::{
    caps, disk, object,
    outcome::{self, Outcome},
    setup::{self, Scope},
    sh, vm,
    workspace::{TESTS, Target, Workspace},
};

/// Integration tests that must exist and, with the privileges, have the kernel run the object: by test run, on a veth
/// pair, with every segment counted, as its operators meet it, against the capture path, with its log,
/// through sockets, with packets as evidence, beside traffic that must not notice, and while things go wrong around it.
const REQUIRED: [&str; 12] = [
    "prog_run",
    "live",
    "conservation",
    "agent",
    "parity",
    "trace",
    "afxdp",
    "evidence",
    "inline",
    "faults",
    "interface_faults",
    "untouched",
];
/// Told to privileged tests. A further target is privileged when its root file names it.
const PRIVILEGED: &str = "RSTPROBE_PRIVILEGED";
/// Told to all integration tests: the program to run.
pub(crate) const BINARY: &str = "RSTPROBE_BIN";
/// And the one that logs, so that the feature does not rot.
const TRACED_BINARY: &str = "RSTPROBE_TRACE_BIN";

/// Every package by itself; the tests of this one's modules, without the tiers.
const UNITS: [&[&str]; 2] = [&["--workspace", "--exclude", TESTS], &["--package", TESTS, "--lib"]];
/// All tiers that are targets.
const INTEGRATION: &[&str] = &["--package", TESTS, "--tests"];

struct Tier {
    name: String,
    outcome: Outcome,
    seconds: f64,
    note: String,
}

/// The subcommand. `guests` says which virtual machines are booted.
pub(crate) fn test(workspace: &Workspace, guests: vm::Extent) -> Result<ExitCode> {
    let mut tiers = vec![timed("build", || build(workspace))];
    let built = tiers[0].outcome.failed == 0;
    tiers.push(timed("unit", || if built { unit(workspace) } else { not_built() }));
    let (privileged, plain): (Vec<_>, Vec<_>) =
        workspace.targets(TESTS, "test").into_iter().partition(|t| is_privileged(t));
    for target in plain {
        tiers.push(timed(&target.name, || if built { integration(workspace, target) } else { not_built() }));
    }
    let lacking = caps::lacking_for_bpf();
    for target in &privileged {
        tiers.push(timed(&target.name, || match &lacking {
            _ if !built => not_built(),
            Some(lacking) => unprivileged(workspace, target, lacking),
            None => in_kernel(workspace, target),
        }));
    }
    let any = !workspace.targets(TESTS, "test").is_empty();
    let absent = REQUIRED.iter().filter(|name| any && !privileged.iter().any(|t| t.name == **name));
    tiers.extend(absent.map(|name| timed(name, || broken(format!("package {TESTS} has no test target `{name}`")))));
    tiers.push(timed("vm", || if built { virtual_machines(workspace, guests) } else { not_built() }));
    close(&tiers, lacking.is_some() && !privileged.is_empty())
}

fn is_privileged(target: &Target) -> bool {
    REQUIRED.contains(&&*target.name)
        || fs::read_to_string(&target.src_path).is_ok_and(|text| text.contains(PRIVILEGED))
}

fn timed(name: &str, work: impl FnOnce() -> (Outcome, String)) -> Tier {
    sh::step(format_args!("tier {name}"));
    let start = Instant::now();
    let (outcome, note) = work();
    if !note.is_empty() {
        sh::say(format_args!("{name}: {note}"));
    }
    Tier { name: name.to_owned(), outcome, seconds: start.elapsed().as_secs_f64(), note }
}

fn broken(note: String) -> (Outcome, String) {
    (Outcome { failed: 1, ..Outcome::default() }, note)
}

fn not_built() -> (Outcome, String) {
    let why = "not run: the build failed".to_owned();
    (Outcome { skipped: vec![why.clone()], ..Outcome::default() }, why)
}

/// Object, programs, and every test. What does not compile is one failure here, and not one in each tier.
fn build(workspace: &Workspace) -> (Outcome, String) {
    if let Some(why) = disk::obstacle(workspace.target_directory()) {
        return broken(why);
    }
    // Lacking test tools are no reason to stop: tests that need them say so.
    // What the tiers need comes first: one package that is not to be had keeps all that are installed with it away.
    for scope in [Scope::All, Scope::Zoo] {
        if let Err(error) = setup::ensure(workspace, scope) {
            sh::say(format_args!("{error:#}"));
        }
    }
    let built = object::build_traced(workspace, false).and_then(|_| {
        sh::step("tests");
        UNITS
            .into_iter()
            .chain([INTEGRATION])
            .try_for_each(|which| sh::run(workspace.cargo(&["test", "--locked", "--no-run", "--quiet"]).args(which)))
    });
    match built {
        Ok(()) => (Outcome::default(), String::new()),
        Err(error) => broken(format!("{error:#}")),
    }
}

fn unit(workspace: &Workspace) -> (Outcome, String) {
    let mut all = Outcome::default();
    for which in UNITS {
        let mut cargo = workspace.cargo(&["test", "--locked", "--no-fail-fast"]);
        match watch(cargo.args(which)) {
            Ok(outcome) => all.add(outcome),
            Err(error) => return broken(format!("{error:#}")),
        }
    }
    (all, String::new())
}

fn integration(workspace: &Workspace, target: &Target) -> (Outcome, String) {
    let mut cargo = test_target(workspace, target);
    // Without capture, so that a SKIP of a test that passes is seen.
    match watch(cargo.args(["--", "--nocapture"])) {
        Ok(outcome) => (outcome, String::new()),
        Err(error) => broken(format!("{error:#}")),
    }
}

fn in_kernel(workspace: &Workspace, target: &Target) -> (Outcome, String) {
    let mut cargo = test_target(workspace, target);
    cargo.args(["--", "--nocapture", "--test-threads=1"]).env(PRIVILEGED, "1");
    match watch(&mut cargo) {
        Ok(mut outcome) if outcome.ran == 0 => {
            outcome.failed += 1;
            (outcome, "this process may use BPF, and yet no test had the kernel do anything".to_owned())
        }
        Ok(outcome) => {
            let ran = format!("{} in the kernel", outcome.ran);
            (outcome, ran)
        }
        Err(error) => broken(format!("{error:#}")),
    }
}

/// Kernels other than this machine's.
fn virtual_machines(workspace: &Workspace, extent: vm::Extent) -> (Outcome, String) {
    if let Some(why) = vm::obstacle(workspace).or_else(|| vm::no_kernels(workspace, extent)) {
        let failed = u64::from(vm::is_strict());
        let note = format!("NOT RUN: {why}");
        return (Outcome { failed, skipped: vec![note.clone()], ..Outcome::default() }, note);
    }
    match vm::tier(workspace, extent) {
        Ok(account) => {
            let note = format!("{} checks in guests", account.passed + account.failed.len() as u64);
            let failed = account.failed.len() as u64;
            (Outcome { passed: account.passed, failed, skipped: account.skipped, ran: account.passed }, note)
        }
        Err(error) => broken(format!("{error:#}")),
    }
}

/// Compiles and counts what cannot be run here.
fn unprivileged(workspace: &Workspace, target: &Target, lacking: &str) -> (Outcome, String) {
    let mut cargo = test_target(workspace, target);
    let why = format!("NOT RUN: lacking {lacking}; run it as root");
    match sh::output(cargo.args(["--", "--list"])) {
        Ok(list) => {
            let count = outcome::listed(&list).max(1) as usize;
            (Outcome { skipped: vec![why.clone(); count], ..Outcome::default() }, why)
        }
        Err(error) => broken(format!("{error:#}")),
    }
}

fn test_target(workspace: &Workspace, target: &Target) -> Command {
    let mut cargo =
        workspace.cargo(&["test", "--locked", "--no-fail-fast", "--package", TESTS, "--test", &target.name]);
    cargo.env(BINARY, workspace.binary("release")).env(TRACED_BINARY, workspace.traced_binary("release"));
    cargo
}

fn watch(cargo: &mut Command) -> Result<Outcome> {
    let (status, stdout, stderr) = sh::watched(cargo)?;
    Ok(Outcome::read(&stdout, &stderr, status.success()))
}

/// The table, what was skipped and why, and the closing line.
fn close(tiers: &[Tier], unprivileged: bool) -> Result<ExitCode> {
    sh::say("\ntier            passed failed skipped seconds");
    for Tier { name, outcome, seconds, note } in tiers {
        let (passed, failed, skipped) = (outcome.passed, outcome.failed, outcome.skipped.len());
        let note = note.lines().next().unwrap_or_default();
        sh::say(format_args!("{name:<16}{passed:>6} {failed:>6} {skipped:>7} {seconds:>7.1}  {note}"));
    }
    for tier in tiers {
        let mut reasons = tier.outcome.skipped.clone();
        reasons.dedup();
        for why in reasons {
            sh::say(format_args!("skipped in {}: {why}", tier.name));
        }
    }
    let strict = unprivileged && std::env::var("CI").is_ok_and(|ci| ci == "true");
    if strict {
        sh::say("CI=true: tiers that cannot run are a failure");
    }
    let outcomes: Vec<_> = tiers.iter().map(|tier| &tier.outcome).collect();
    sh::tell(outcome::closing(&outcomes))?;
    let failed = strict || outcomes.iter().any(|outcome| outcome.failed > 0);
    Ok(if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

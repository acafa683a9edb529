//! `ci`: everything that must hold before a change goes in, in order of cost, up to the first failure.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

use crate::{ebpf, fuzz, sh, tidy, tiers, vm, workspace::Workspace};

/// How long each fuzz target is tried.
const EACH_TARGET: Duration = Duration::from_secs(20);

/// The subcommand.
pub(crate) fn ci(workspace: &Workspace) -> Result<ExitCode> {
    step("fmt", || sh::run(&mut workspace.cargo(&["fmt", "--all", "--check"])))?;
    let fuzzer = ["fmt", "--manifest-path", fuzz::MANIFEST, "--check"];
    step("fmt, fuzzer", || sh::run(&mut workspace.cargo(&fuzzer)))?;
    let clippy = ["clippy", "--locked", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("clippy", || sh::run(&mut workspace.cargo(&clippy)))?;
    let traced = ["clippy", "--locked", "--package", "probe-user", "--features", "trace", "--", "-D", "warnings"];
    step("clippy, trace", || sh::run(&mut workspace.cargo(&traced)))?;
    step("tidy", || tidy::tidy(workspace.root()))?;
    step("ebpf", || ebpf::ebpf(workspace, false, false))?;
    step("test", || match tiers::test(workspace, vm::Extent::All)? {
        code if code == ExitCode::SUCCESS => Ok(()),
        _ => bail!("tests failed"),
    })?;
    let mut not_fuzzed = None;
    step("fuzz", || {
        not_fuzzed = fuzz::briefly(workspace, EACH_TARGET)?;
        Ok(())
    })?;
    if let Some(why) = not_fuzzed {
        sh::say(format_args!("ci: fuzz NOT RUN: {why}"));
    }
    Ok(ExitCode::SUCCESS)
}

fn step(name: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
    sh::step(format_args!("ci: {name}"));
    let start = Instant::now();
    let result = work();
    let end = if result.is_ok() { "holds" } else { "FAILED" };
    sh::say(format_args!("ci: {name} {end} ({:.1} s)", start.elapsed().as_secs_f64()));
    result
}

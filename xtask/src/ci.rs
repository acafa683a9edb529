//! `ci`: everything that must hold before a change goes in, in order of cost, up to the first failure.

use std::{process::ExitCode, time::Instant};

use anyhow::{Result, bail};

use crate::{ebpf, sh, tidy, tiers, vm, workspace::Workspace};

/// The subcommand.
pub(crate) fn ci(workspace: &Workspace) -> Result<ExitCode> {
    step("fmt", || sh::run(&mut workspace.cargo(&["fmt", "--all", "--check"])))?;
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

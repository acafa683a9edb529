//! `demo`, `lab`, `zoo`, `bench` and `soak`: programs of the tests package, run on a fresh build.
//!
//! Only brings the pieces together: what they show is theirs.

use std::process::ExitCode;

use anyhow::{Result, bail};

use crate::{
    object::{self, Variant},
    setup::{self, Scope},
    sh,
    tiers::BINARY,
    workspace::{TESTS, Workspace},
};

/// Told to the benchmarks: what they need in the kernel.
const BENCH_OBJECT: &str = "RSTPROBE_BENCH_OBJECT";

/// Builds, then runs the program `name` of the tests package with these arguments; its exit code is ours.
pub(crate) fn run(workspace: &Workspace, name: &str, arguments: &[String]) -> Result<ExitCode> {
    if !workspace.targets(TESTS, "bin").iter().any(|target| target.name == name) {
        bail!("package {TESTS} has no program `{name}` yet");
    }
    // They play in network namespaces, which takes iproute2: a fresh machine has none.
    setup::ensure(workspace, if name == "zoo" { Scope::Zoo } else { Scope::All })?;
    let binary = object::build(workspace, false)?;
    if name == "bench" {
        object::build_object(workspace, Variant::Bench)?;
    }
    let mut cargo = workspace.cargo(&["build", "--release", "--locked", "--package", TESTS, "--bin", name]);
    sh::run(&mut cargo)?;
    let mut program = workspace.cargo(&["run", "--quiet", "--release", "--locked", "--package", TESTS, "--bin", name]);
    program.arg("--").args(arguments).env(BINARY, binary);
    if name == "bench" {
        program.env(BENCH_OBJECT, Variant::Bench.object(workspace));
    }
    if name == "demo" {
        // No test, but what a newcomer starts first: as rstprobe is used, and not as `.cargo/config.toml` says for tests.
        program.env("RSTPROBE_SECCOMP", "log");
    }
    let status = sh::status(&mut program)?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

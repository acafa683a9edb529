//! `fuzz`: builds the fuzzer with coverage and sanitizer, has it try the targets, and says what it tried and found.
//!
//! libFuzzer by way of `libfuzzer-sys`, and the coverage passes of LLVM: rustup's nightly as it comes is enough. Which
//! targets there are is read from the kept inputs, one file each; what a target does is not known here.

mod corpus;
mod libfuzzer;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;

use crate::{sh, toolchain, workspace::Workspace};
use libfuzzer::Account;

/// The package, which is no member of the workspace.
pub(crate) const MANIFEST: &str = "tests/fuzz/Cargo.toml";
/// How LLVM counts what runs, as `-Zsanitizer-coverage` would ask for it where the standard library's source is at hand.
const FLAGS: &str = "-Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares --cfg fuzzing -Ccodegen-units=1";

/// What is asked for.
#[derive(Args)]
#[command(after_help = "Examples:\n  \
    cargo xtask fuzz                          every target for a minute\n  \
    cargo xtask fuzz frame capture --for 10m  two of them for ten minutes each\n  \
    cargo xtask fuzz frame --input FILE       once more what was found\n  \
    cargo xtask fuzz --for 10m --keep         and keep in tests/fuzz/corpus what reaches most\n\n\
    Needs rustup's nightly (no further component) and a C++ compiler. Exit code 1 when something was found.")]
pub(crate) struct Options {
    /// Targets; all of them where none is named
    targets: Vec<String>,
    /// How long each is tried: 20s, 10m, 1h
    #[arg(long = "for", value_name = "TIME", default_value = "1m", value_parser = duration)]
    duration: Duration,
    /// Only hand this file to the one target named
    #[arg(long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Replace the kept inputs by the smallest of those that reach most
    #[arg(long)]
    keep: bool,
}

/// The subcommand.
pub(crate) fn fuzz(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if let Some(lack) = obstacle() {
        bail!("{lack}");
    }
    let known = corpus::targets(workspace.root())?;
    if let Some(strange) = options.targets.iter().find(|name| !known.contains(name)) {
        bail!("no target `{strange}`; there are {}", known.join(", "));
    }
    let targets = if options.targets.is_empty() { &known } else { &options.targets };
    let binary = build(workspace)?;
    if let Some(file) = &options.input {
        let [target] = &targets[..] else { bail!("--input needs the one target that is to read it") };
        return repeat(&binary, target, file);
    }
    run(workspace, &binary, targets, options)
}

/// For `ci`: every target, briefly. What it cannot do here is no failure, and said.
pub(crate) fn briefly(workspace: &Workspace, each: Duration) -> Result<Option<String>> {
    if let Some(lack) = obstacle() {
        return Ok(Some(lack));
    }
    let options = Options { targets: vec![], duration: each, input: None, keep: false };
    match fuzz(workspace, &options)? {
        code if code == ExitCode::SUCCESS => Ok(None),
        _ => bail!("something was found"),
    }
}

/// What is lacking, and how to get it.
fn obstacle() -> Option<String> {
    if sh::output(toolchain::rustup_nightly("rustc").arg("--version")).is_err() {
        let how = "rustup toolchain install nightly --profile minimal";
        return Some(format!("fuzzing takes rustup's nightly compiler, which is not installed: {how}"));
    }
    ["c++", "g++", "clang++"].into_iter().find_map(sh::on_path).is_none().then(|| {
        "fuzzing takes a C++ compiler for libFuzzer, and there is none: apt-get install g++ (or your system's)".into()
    })
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    sh::step("fuzzer");
    let version = sh::output(toolchain::rustup_nightly("rustc").arg("-vV"))?;
    // Named, so that programs which run while it is built are not instrumented.
    let host = version.lines().find_map(|line| line.strip_prefix("host: ")).context("rustc has a host")?;
    let folder = workspace.target_directory().join("fuzz");
    let mut cargo = toolchain::rustup_nightly("cargo");
    cargo.args(["build", "--locked", "--release", "--manifest-path", MANIFEST, "--target", host, "--target-dir"]);
    sh::run(cargo.arg(&folder).env("RUSTFLAGS", FLAGS).current_dir(workspace.root()))?;
    Ok(folder.join(host).join("release/probe-fuzz"))
}

fn repeat(binary: &Path, target: &str, file: &Path) -> Result<ExitCode> {
    if !file.is_file() {
        bail!("{} is no file", file.display());
    }
    let status = sh::status(libfuzzer::command(binary, target).arg(file))?;
    sh::say(format_args!("{target}: {}", if status.success() { "nothing breaks" } else { "BREAKS" }));
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn run(workspace: &Workspace, binary: &Path, targets: &[String], options: &Options) -> Result<ExitCode> {
    let mut accounts = Vec::new();
    for target in targets {
        let folder = workspace.target_directory().join("fuzz/work").join(target);
        let (inputs, finds) = (folder.join("corpus"), folder.join("finds"));
        for folder in [&inputs, &finds] {
            fs::create_dir_all(folder)?;
        }
        corpus::unpack(workspace.root(), target, &inputs)?;
        sh::step(format_args!("{target}, {} s", options.duration.as_secs()));
        let account = libfuzzer::run(binary, target, &inputs, &finds, options.duration)?;
        for find in &account.finds {
            let file = find.display();
            sh::say(format_args!("FOUND in {target}: {file}\n  repeat: cargo xtask fuzz {target} --input {file}"));
        }
        if options.keep && account.finds.is_empty() {
            let merged = folder.join("merged");
            libfuzzer::merge(binary, target, &inputs, &merged)?;
            corpus::pack(workspace.root(), target, &merged)?;
        }
        accounts.push((target, account));
    }
    sh::tell("target       runs        seconds   edges  features  inputs     bytes  finds")?;
    for (target, account) in &accounts {
        let Account { runs, seconds, edges, features, inputs, bytes, finds } = account;
        let finds = finds.len();
        sh::tell(format_args!(
            "{target:<10} {runs:>11} {seconds:>9.0} {edges:>7} {features:>9} {inputs:>7} {bytes:>9} {finds:>6}"
        ))?;
    }
    let found = accounts.iter().any(|(_, account)| !account.finds.is_empty());
    Ok(if found { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// `20s`, `10m`, `1h`.
fn duration(text: &str) -> Result<Duration, String> {
    let units = [("s", 1), ("m", 60), ("h", 3600)];
    let parsed = units.iter().find_map(|(unit, seconds)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*seconds).filter(|seconds| *seconds > 0)
    });
    parsed.map(Duration::from_secs).ok_or_else(|| "a number and a unit, as in 20s, 10m or 1h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_units() {
        assert_eq!(duration("20s"), Ok(Duration::from_secs(20)));
        assert_eq!(duration("10m"), Ok(Duration::from_mins(10)));
        assert_eq!(duration("1h"), Ok(Duration::from_hours(1)));
        for wrong in ["20", "m", "0s", "-1s", "1d", "99999999999999999999s", "9999999999999999999h"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}

//! `cargo xtask`: sets up, builds, demonstrates and tests rstprobe.
//!
//! The first thing compiled on a fresh machine: it depends on nothing of ours, runs cargo and other programs, and holds
//! no knowledge of TCP or BPF beyond what `ebpf` reads from an object file.

mod bpf;
mod caps;
mod ci;
mod daemons;
mod disk;
mod ebpf;
mod elf;
mod lab;
mod object;
mod outcome;
mod setup;
mod sh;
mod tidy;
mod tiers;
mod toolchain;
mod untouched;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Args, Parser, Subcommand};

use workspace::Workspace;

/// Sets up, builds, demonstrates and tests rstprobe.
#[derive(Parser)]
#[command(bin_name = "cargo xtask", disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Find or install the BPF toolchain and the test tools
    Setup {
        /// Only say what is missing
        #[arg(long)]
        check: bool,
    },
    /// Build the BPF object, then the program with it embedded
    Build {
        /// Build the program without optimisation
        #[arg(long)]
        debug: bool,
        /// Also build `rstprobe-trace`, whose option --trace tells of frames that the BPF program rejects
        #[arg(long)]
        trace: bool,
    },
    /// Show what the BPF programs cost, and hold them to their budget
    Ebpf {
        /// Disassemble, with source lines
        #[arg(long)]
        disasm: bool,
        /// Accept the present costs: write them to the budget file
        #[arg(long)]
        accept: bool,
    },
    /// Run all tiers of tests, and say which ran
    Test,
    /// Build, then check it inside the kernels that people have, booted in QEMU: `5.10 6.1 --only load`
    Vm(vm::Options),
    /// Build, then show rstprobe at work; or ask it something of the same traffic: `-- --by client --sort rst.count.srv`
    Demo(Passed),
    /// Build, then run the laboratory
    Lab(Passed),
    /// Build, then hold the verdicts against what real programs do: `--only NAME`, `--core`, `--markdown`, `--keep DIR`, `--stay`, `--loss PERCENT`
    Zoo(Passed),
    /// Build, then measure
    Bench(Passed),
    /// Build, then put the agent under load for as long as asked for: `--for 20m`, or `--packets 100000000 --pause 3s`
    Soak(Passed),
    /// Check the rules of the house that no compiler checks
    Tidy,
    /// Check everything: format, lints, tidy, budget, tests
    Ci,
}

#[derive(Args)]
struct Passed {
    /// Passed on as they are
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

fn main() -> ExitCode {
    match start(Arguments::parse().task) {
        Ok(code) => code,
        Err(error) => {
            sh::say(format_args!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn start(task: Task) -> Result<ExitCode> {
    let workspace = Workspace::load()?;
    match task {
        Task::Setup { check } => setup::setup(&workspace, check)?,
        Task::Build { debug, trace: false } => drop(object::build(&workspace, debug)?),
        Task::Build { debug, trace: true } => drop(object::build_traced(&workspace, debug)?),
        Task::Ebpf { disasm, accept } => ebpf::ebpf(&workspace, disasm, accept)?,
        Task::Test => return tiers::test(&workspace, vm::Extent::Decisive),
        Task::Vm(options) => return vm::vm(&workspace, &options),
        Task::Demo(passed) => return lab::run(&workspace, "demo", &passed.arguments),
        Task::Lab(passed) => return lab::run(&workspace, "lab", &passed.arguments),
        Task::Zoo(passed) => return lab::run(&workspace, "zoo", &passed.arguments),
        Task::Bench(passed) => return lab::run(&workspace, "bench", &passed.arguments),
        Task::Soak(passed) => return lab::run(&workspace, "soak", &passed.arguments),
        Task::Tidy => tidy::tidy(workspace.root())?,
        Task::Ci => return ci::ci(&workspace),
    }
    Ok(ExitCode::SUCCESS)
}

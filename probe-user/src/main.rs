//! Entry point: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use probe_user::{cli::Cli, run};

fn main() -> ExitCode {
    run::run(Cli::parse())
}

//! Entry point: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use probe_user::{cli::Cli, command};

fn main() -> ExitCode {
    command::run(Cli::parse())
}

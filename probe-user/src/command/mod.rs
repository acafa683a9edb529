//! Commands: one file per subcommand, which composes sources, agent, tracker and output; and the exit code.

mod capture_clock;
mod doctor;
mod explain;
mod fields;
mod live;
mod read;

use std::process::ExitCode;

use crate::{
    agent::detach,
    cli::{Cli, Command, exit},
    error::RunError,
    output,
    plan::{DetachPlan, DoctorPlan, ReadPlan, WatchPlan},
};

/// Follows the command line and says how it went.
pub fn run(cli: Cli) -> ExitCode {
    let result = match cli.command {
        Command::Snapshot(args) => {
            WatchPlan::try_from(args).map_err(RunError::from).and_then(|plan| live::watch(&plan))
        }
        Command::Run(args) => WatchPlan::try_from(args).map_err(RunError::from).and_then(|plan| live::watch(&plan)),
        Command::Read(args) => ReadPlan::try_from(args).map_err(RunError::from).and_then(|plan| read::read(&plan)),
        Command::Doctor(args) => doctor::doctor(&DoctorPlan::from(args)),
        Command::Detach(args) => detach::detach(&DetachPlan::from(args)),
        Command::Explain(args) => explain::explain(&args),
        Command::Fields(args) => fields::fields(&args),
    };
    match result {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            if !matches!(error, RunError::BrokenPipe) {
                output::say(&format!("rstprobe: {error}"));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

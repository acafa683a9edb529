//! Commands: one file per subcommand, which composes sources, agent, tracker and output; and the exit code.

mod capture_clock;
mod doctor;
mod doctor_sandbox;
mod explain;
mod explain_connection;
mod explain_live;
mod fields;
mod live;
mod live_losses;
mod read;
mod sandboxed;
mod time_order;
mod zones;

use std::{path::Path, process::ExitCode};

use clap::builder::StyledStr;

use crate::{
    agent::{descriptors, detach},
    cli::{self, Cli, ColorArg, Command, SandboxArg, exit},
    error::RunError,
    output::{self, Colors},
    plan::{DetachPlan, DoctorPlan, ExplainLivePlan, ReadPlan, WatchPlan},
    printable::shell,
    report::prose,
    sandbox::{Demand, Policy},
};

/// Says what was meant by a file in the place of a command.
pub fn refuse_file(file: &str) -> ExitCode {
    let word = shell::path(Path::new(file));
    output::say(&format!("rstprobe: `{file}` is a file and no command; did you mean `rstprobe read {word}`?"));
    ExitCode::from(exit::USAGE)
}

/// Says what was meant by a source, or a format, that the command has not.
pub fn refuse_source(meant: &str) -> ExitCode {
    output::say(&format!("rstprobe: {meant}"));
    ExitCode::from(exit::USAGE)
}

/// Prints help, in colour where people look.
pub fn print_help(help: &StyledStr) -> ExitCode {
    let text = if output::style(0).color { help.ansi().to_string() } else { help.to_string() };
    match output::data(&text) {
        Ok(()) | Err(RunError::BrokenPipe) => ExitCode::from(exit::OK),
        Err(_) => ExitCode::from(exit::FAILED),
    }
}

/// Prints a topic, or which there are.
fn help(topic: Option<&str>) -> Result<(), RunError> {
    let Some(topic) = topic else { return output::data(&cli::help::topics()) };
    match cli::help::on(topic) {
        Some(text) => output::data(&prose::reflowed(&text, output::style(0))),
        None => Err(RunError::NoSuchTopic { topic: topic.to_owned(), known: cli::help::names().join(", ") }),
    }
}

fn colors(choice: ColorArg) -> Colors {
    match choice {
        ColorArg::Auto => Colors::Auto,
        ColorArg::Always => Colors::Always,
        ColorArg::Never => Colors::Never,
    }
}

fn policy(choice: SandboxArg) -> Policy {
    Policy::new(match choice {
        SandboxArg::Auto => Demand::Auto,
        SandboxArg::Require => Demand::Require,
        SandboxArg::Off => Demand::Off,
    })
}

/// Follows the command line and says how it went.
pub fn run(cli: Cli) -> ExitCode {
    output::choose(colors(cli.color), cli.wide);
    let policy = policy(cli.sandbox);
    let result = match cli.command {
        Command::Snapshot(args) => {
            WatchPlan::try_from(args).map_err(RunError::from).and_then(|plan| live::watch(&plan, policy))
        }
        Command::Run(args) => {
            WatchPlan::try_from(args).map_err(RunError::from).and_then(|plan| live::watch(&plan, policy))
        }
        Command::Read(args) => {
            ReadPlan::try_from(args).map_err(RunError::from).and_then(|plan| read::read(&plan, policy))
        }
        Command::Doctor(args) => doctor::doctor(&DoctorPlan::from(args)),
        Command::Detach(args) => detach::detach(&DetachPlan::from(args)),
        Command::Help(args) => help(args.topic.as_deref()),
        // Their words have become those of another command.
        Command::Show | Command::Report(_) => Ok(()),
        Command::Explain(args) => explain::explain(args, policy),
        Command::ExplainLive(args) => ExplainLivePlan::try_from(args)
            .map_err(RunError::from)
            .and_then(|plan| explain_live::explain(&plan, policy)),
        Command::Fields(args) => fields::fields(&args),
    };
    match result {
        Ok(()) => ExitCode::from(exit::OK),
        Err(error) => {
            if !matches!(error, RunError::BrokenPipe) {
                output::say_error(&descriptors::with_remedy(error.to_string()));
            }
            ExitCode::from(error.exit_code())
        }
    }
}

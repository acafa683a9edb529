//! Entry point: parse, run, exit code.

use std::{env, path::Path, process::ExitCode};

use clap::{Parser as _, builder::StyledStr, error::ErrorKind};
use probe_user::{
    cli::{Cli, help, show, wrong_source},
    command, printable,
};

fn main() -> ExitCode {
    match Cli::try_parse_from(show::expanded(env::args_os().collect())) {
        Ok(cli) => command::run(cli),
        Err(error) => match (full_help(&error), file_in_place_of_a_command(), source_meant(&error)) {
            (Some(help), ..) => command::print_help(&help),
            (None, Some(file), _) => command::refuse_file(&file),
            (None, None, Some(meant)) => command::refuse_source(&meant),
            (None, None, None) => printable_error(error).exit(),
        },
    }
}

/// Every option of the command, where `--help` asks for them; `-h` has those that most people need.
fn full_help(error: &clap::Error) -> Option<StyledStr> {
    let words: Vec<String> =
        show::expanded(env::args_os().collect()).iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let is_help = error.kind() == ErrorKind::DisplayHelp;
    help::command_asked(&words).filter(|_| is_help).and_then(help::options)
}

/// The same error of words that a terminal shows and does not obey: it repeats what was typed, or what a pattern matched.
fn printable_error(error: clap::Error) -> clap::Error {
    let words = show::expanded(env::args_os().collect());
    let words = words.iter().map(|word| printable::path(Path::new(word)));
    Cli::try_parse_from(words).err().unwrap_or(error)
}

/// What was meant by a source or a format that the command has not.
fn source_meant(error: &clap::Error) -> Option<String> {
    let words: Vec<String> = env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    let is_help = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    if is_help { None } else { wrong_source::meant(&words) }
}

/// The first word, where it names a file.
fn file_in_place_of_a_command() -> Option<String> {
    let word = env::args_os().nth(1)?;
    Path::new(&word).is_file().then(|| printable::path(Path::new(&word)))
}

//! Entry point: parse, run, exit code.

use std::{env, path::Path, process::ExitCode};

use clap::{Parser as _, builder::StyledStr, error::ErrorKind};
use probe_user::{
    cli::{Cli, help, show},
    command, printable,
};

fn main() -> ExitCode {
    match Cli::try_parse_from(show::expanded(env::args_os().collect())) {
        Ok(cli) => command::run(cli),
        Err(error) => match (full_help(&error), file_in_place_of_a_command()) {
            (Some(help), _) => command::print_help(&help),
            (None, Some(file)) => command::refuse_file(&file),
            (None, None) => printable_error(error).exit(),
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

/// The first word, where it names a file.
fn file_in_place_of_a_command() -> Option<String> {
    let word = env::args_os().nth(1)?;
    Path::new(&word).is_file().then(|| printable::path(Path::new(&word)))
}

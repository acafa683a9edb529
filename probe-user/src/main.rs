//! Entry point: parse, run, exit code.

use std::{env, path::Path, process::ExitCode};

use clap::Parser as _;
use probe_user::{
    cli::{Cli, show},
    command,
};

fn main() -> ExitCode {
    match Cli::try_parse_from(show::expanded(env::args_os().collect())) {
        Ok(cli) => command::run(cli),
        Err(error) => match file_in_place_of_a_command() {
            Some(file) => command::refuse_file(&file),
            None => error.exit(),
        },
    }
}

/// The first word, where it names a file.
fn file_in_place_of_a_command() -> Option<String> {
    let word = env::args_os().nth(1)?;
    Path::new(&word).is_file().then(|| word.to_string_lossy().into_owned())
}

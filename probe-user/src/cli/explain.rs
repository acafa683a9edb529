//! `rstprobe explain`: its words, for captures and, with `-i`, for interfaces.

use std::{
    ffi::OsString,
    path::{Path, PathBuf},
};

use clap::{Args, ValueEnum};

use super::{CaptureArgs, LiveArgs, ZoneArgs, texts::EXPLAIN};

/// `rstprobe explain`.
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN)]
pub struct ExplainArgs {
    /// Id of a cause or of a finding, such as app_abort, or a fact, such as rst.mark; with -r the id that `read FILE`, with the same options about what is
    /// seen, gives a connection, or a condition: of those that meet it the one that lost most
    #[arg(value_name = "ID|EXPR")]
    pub id: Option<String>,
    /// Capture whose connection is explained, segment by segment; several are one stream, `-` is standard input
    #[arg(short, long, value_name = "FILE")]
    pub read: Vec<PathBuf>,
    /// The cause or finding of this id, without any connection; as the id alone
    #[arg(long, value_name = "ID", conflicts_with_all = ["id", "read"], hide_short_help = true)]
    pub cause: Option<String>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ExplainFormatArg::Table, requires = "read")]
    pub format: ExplainFormatArg,
    /// As other tools have it: --format json
    #[arg(long, hide = true, conflicts_with = "format", requires = "read")]
    pub json: bool,
    /// What is seen of captures.
    #[command(flatten, next_help_heading = "Options of captures, as `read` has them")]
    pub capture: CaptureArgs,
    /// Names of networks and services.
    #[command(flatten)]
    pub zones: ZoneArgs,
}

/// `rstprobe explain -i`.
#[derive(Args, Debug)]
pub struct ExplainLiveArgs {
    /// A condition: of the connections that meet it the one that lost most is explained
    #[arg(value_name = "EXPR")]
    pub id: Option<String>,
    /// Where and how to watch.
    #[command(flatten)]
    pub live: LiveArgs,
    /// Names of networks and services.
    #[command(flatten)]
    pub zones: ZoneArgs,
    /// How long to watch (10s, 2m, 500ms)
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = super::duration)]
    pub duration: std::time::Duration,
    /// How to print it
    #[arg(long, value_enum, default_value_t = ExplainFormatArg::Table)]
    pub format: ExplainFormatArg,
    /// As other tools have it: --format json
    #[arg(long, hide = true, conflicts_with = "format")]
    pub json: bool,
}

/// `--format` of `rstprobe explain`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExplainFormatArg {
    /// For people
    Table,
    /// One document
    Json,
    /// One page without scripts, for a browser
    Html,
}

/// Words of a command line, the program's name first: `explain` with an interface becomes the command for interfaces, which has
/// the options of `snapshot`. Files that follow the one of `-r`, as a pattern of the shell names them, are read as well.
pub(super) fn expanded(mut words: Vec<OsString>) -> Vec<OsString> {
    let is_interface = |word: &OsString| {
        let word = word.as_encoded_bytes();
        word == b"--interface" || word.starts_with(b"--interface=") || word.starts_with(b"-i")
    };
    let Some(command) = command_at(&words).filter(|at| words[*at] == "explain") else { return words };
    if words.iter().skip(command + 1).any(is_interface) {
        words[command] = "explain-live".into();
        return words;
    }
    with_all_files(words)
}

/// Where the command is: behind options that every command has.
fn command_at(words: &[OsString]) -> Option<usize> {
    let mut at = 1;
    loop {
        match words.get(at)?.to_str()? {
            "--color" | "--sandbox" => at += 2,
            word if word.starts_with("--") => at += 1,
            _ => return Some(at),
        }
    }
}

/// With `-r` before each file that follows another one.
fn with_all_files(words: Vec<OsString>) -> Vec<OsString> {
    let (mut all, mut is_file, mut follows_file) = (Vec::with_capacity(words.len()), false, false);
    for word in words {
        // A number is a connection's, also where a file is called so.
        let is_number = word.as_encoded_bytes().iter().all(u8::is_ascii_digit);
        if follows_file && !is_number && Path::new(&word).is_file() {
            all.push("-r".into());
        } else {
            follows_file = is_file;
        }
        is_file = word == "-r" || word == "--read";
        all.push(word);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_makes_it_live() {
        let command = |line: &str| expanded(line.split(' ').map(OsString::from).collect()).swap_remove(1);
        assert_eq!(command("rstprobe explain -r a.pcap 7"), "explain");
        assert_eq!(command("rstprobe explain app_abort"), "explain");
        for line in ["explain -i eth0", "explain --for 3s -ieth0", "explain --interface=eth0", "explain --interface e"]
        {
            assert_eq!(command(&format!("rstprobe {line}")), "explain-live");
        }
        assert_eq!(command("rstprobe snapshot -i eth0"), "snapshot");
    }

    #[test]
    fn files_that_follow_are_read_as_well() {
        let joined = |line: &str| {
            let words = expanded(line.split(' ').map(OsString::from).collect());
            words.join(std::ffi::OsStr::new(" ")).into_string().expect("UTF-8")
        };
        let with_each = "rstprobe explain -r Cargo.toml -r src/lib.rs -r src/main.rs 7";
        assert_eq!(joined("rstprobe explain -r Cargo.toml src/lib.rs src/main.rs 7"), with_each);
        let with_options = "rstprobe --sandbox off --color=never --wide explain -r Cargo.toml";
        assert_eq!(joined(&format!("{with_options} src/lib.rs 7")), format!("{with_options} -r src/lib.rs 7"));
        for line in
            [with_each, "rstprobe explain -r no.pcap 7", "rstprobe explain 7 -r Cargo.toml --format json Cargo.toml"]
        {
            assert_eq!(joined(line), line);
        }
    }
}

//! Wrong source: what was meant by a command line that names a source, or a format, which another command has.

use std::path::Path;

use crate::printable::shell;

/// The command that was probably meant, in a sentence; `None` where the words do not tell. `words` are those of the command line,
/// the program's name first, that could not be parsed.
pub fn meant(words: &[String]) -> Option<String> {
    let command = words.get(1)?.as_str();
    let words: Vec<&str> = words.iter().skip(2).take_while(|word| *word != "--").map(String::as_str).collect();
    let interface = value_of(&words, "-i", "--interface").map(shell::word);
    let file = value_of(&words, "-r", "--read").map(|file| shell::path(Path::new(file)));
    let is_html = value_of(&words, "--format", "--format") == Some("html") || words.contains(&"--html");
    let first = words.iter().find(|word| !word.starts_with('-')).map(|file| shell::path(Path::new(file)));
    let (interface, file, first) = (interface.as_deref(), file.as_deref(), first.as_deref());
    if let (None, None, Some(word)) = (interface, file, words.first().filter(|word| !word.starts_with('-')))
        && let Some(meant) = without_option(command, word)
    {
        return Some(meant);
    }
    match (command, interface, file) {
        ("show" | "report" | "explain", Some(interface), Some(file)) => Some(format!(
            "-r and -i: one source at a time: `rstprobe {command} -r {file}` is of a capture, `rstprobe {command} -i {interface}` of \
             an interface"
        )),
        ("read", Some(interface), _) => Some(format!(
            "-i {interface}: `read` reads captures; an interface is watched by `rstprobe snapshot -i {interface}` or `rstprobe run -i \
             {interface}`"
        )),
        ("snapshot" | "run", _, Some(file)) => {
            Some(format!("-r {file}: `{command}` watches interfaces; a capture is read by `rstprobe read {file}`"))
        }
        ("read", None, Some(file)) => {
            Some(format!("-r {file}: `read` takes captures without -r: `rstprobe read {file}`"))
        }
        ("read" | "snapshot" | "show" | "run", ..) if is_html => {
            let source = match (command, file.or(first), interface) {
                (_, _, Some(interface)) => format!("-i {interface}"),
                ("read" | "show", Some(file), _) => format!("-r {file}"),
                _ => "-r FILE".to_owned(),
            };
            Some(format!("a page is written by `rstprobe report -o page.html {source}`"))
        }
        ("explain", ..) if words.contains(&"--html") => {
            let source = file.map_or_else(|| "-r FILE ID".to_owned(), |file| format!("-r {file} ID"));
            Some(format!("--html: a page is printed by `rstprobe explain {source} --format html > page.html`"))
        }
        _ => None,
    }
}

/// What was meant by a source that stands for itself, directly behind the command.
fn without_option(command: &str, word: &str) -> Option<String> {
    let (is_file, source) = (Path::new(word).is_file(), shell::path(Path::new(word)));
    Some(match (command, is_file) {
        ("snapshot" | "run", true) => format!("{source}: a capture is read by `rstprobe read {source}`"),
        ("snapshot" | "run" | "show" | "doctor", false) => {
            format!("{source}: an interface is named by -i: `rstprobe {command} -i {source}`")
        }
        ("show" | "explain", true) => format!("{source}: a capture is named by -r: `rstprobe {command} -r {source}`"),
        ("report", true) => format!("{source}: a capture is named by -r: `rstprobe report -o page.html -r {source}`"),
        ("report", false) => {
            format!("{source}: an interface is named by -i: `rstprobe report -o page.html -i {source}`")
        }
        _ => return None,
    })
}

/// The value of an option, in the next word or in its own.
fn value_of<'a>(words: &[&'a str], short: &str, long: &str) -> Option<&'a str> {
    words.iter().enumerate().find_map(|(at, word)| {
        if *word == short || *word == long {
            return Some(words.get(at + 1).copied().unwrap_or(if short == "-i" { "IFACE" } else { "FILE" }));
        }
        let of_long = word.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
        let of_short = || word.strip_prefix(short).filter(|rest| short.len() == 2 && !rest.is_empty());
        of_long.or_else(of_short)
    })
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, show};

    fn sentence(line: &str) -> Option<String> {
        let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
        let expanded = show::expanded(words.iter().map(Into::into).collect());
        assert!(Cli::try_parse_from(expanded).is_err(), "{line} is right");
        meant(&words)
    }

    #[test]
    fn each_wrong_source_has_the_command_that_was_meant() {
        for (line, said) in [
            ("rstprobe read -i lo", "`rstprobe snapshot -i lo`"),
            ("rstprobe read -ilo", "`rstprobe snapshot -i lo`"),
            ("rstprobe show -r F -i lo", "`rstprobe show -r F` is of a capture"),
            ("rstprobe explain -r F 20 -i lo", "`rstprobe explain -i lo` of an interface"),
            ("rstprobe report -o P -r F -i lo", "one source at a time"),
            ("rstprobe snapshot -r F", "`rstprobe read F`"),
            ("rstprobe run --read=F", "`rstprobe read F`"),
            ("rstprobe read -r F", "`rstprobe read F`"),
            ("rstprobe snapshot -r it's", "`rstprobe read 'it'\\''s'`"),
            ("rstprobe run --read=-x", "`rstprobe read ./-x`"),
            ("rstprobe read F --format html", "`rstprobe report -o page.html -r F`"),
            ("rstprobe snapshot -i lo --format html", "`rstprobe report -o page.html -i lo`"),
            ("rstprobe snapshot eth0", "`rstprobe snapshot -i eth0`"),
            ("rstprobe show eth0 --for 5s", "`rstprobe show -i eth0`"),
            ("rstprobe snapshot Cargo.toml", "`rstprobe read Cargo.toml`"),
            ("rstprobe show Cargo.toml", "`rstprobe show -r Cargo.toml`"),
            ("rstprobe report Cargo.toml", "`rstprobe report -o page.html -r Cargo.toml`"),
            ("rstprobe explain -r F 20 --html", "`rstprobe explain -r F ID --format html > page.html`"),
        ] {
            let sentence = sentence(line).unwrap_or_else(|| panic!("{line}: nothing is said"));
            assert!(sentence.contains(said), "{line}: {sentence}");
        }
    }

    #[test]
    fn other_errors_stay_with_the_parser() {
        for line in ["rstprobe read F --no-such-option", "rstprobe snapshot", "rstprobe explain a b", "rstprobe"] {
            assert_eq!(sentence(line), None, "{line}");
        }
    }
}

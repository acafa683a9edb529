//! Help: every option of a command on a screen or two, and topics at length.

use clap::{Command, CommandFactory as _, builder::StyledStr};

use super::Cli;
use crate::{filter, report::counter_meaning};

/// A topic: its name, one line on it, and its text; those of filters and counters are made from their tables.
type Topic = (&'static str, &'static str, Option<&'static str>);

/// All topics, in the order in which they are listed.
const TOPICS: [Topic; 11] = [
    ("filter", "the language of --filter, --evidence-filter and --having, and every field", None),
    (
        "query",
        "groups: --by, --having, --sort, --columns; time: --since, --until",
        Some(include_str!("help/query.txt")),
    ),
    ("zones", "names of networks and services: --zones", Some(include_str!("help/zones.txt"))),
    ("evidence", "the packets behind each reset: --evidence", Some(include_str!("help/evidence.txt"))),
    ("output", "formats, streams, width, colours, exit codes", Some(include_str!("help/output.txt"))),
    ("capture", "reading captures: formats, encapsulations, checksums, timers", Some(include_str!("help/capture.txt"))),
    ("confidence", "how sure a verdict is, and how often each was right", Some(include_str!("help/confidence.txt"))),
    ("limits", "what is not seen, estimated or only counted", Some(include_str!("help/limits.txt"))),
    ("counters", "what is not, or not fully, in connections: every counter and its meaning", None),
    ("sandbox", "what is given up before anything is read: --sandbox", Some(include_str!("help/sandbox.txt"))),
    ("live", "watching interfaces: modes, depth, datapath, hosts, floods", Some(include_str!("help/live.txt"))),
];

/// The text of a topic, or the options of a command; `None` where there is neither.
pub fn on(topic: &str) -> Option<String> {
    let known = TOPICS.iter().find(|(name, ..)| *name == topic);
    let of_topic = known.map(|(name, _, text)| match text {
        Some(text) => text.trim_end().to_owned() + "\n",
        None if *name == "counters" => counter_meaning::page(),
        None => filter_help() + "\n",
    });
    of_topic.or_else(|| options(topic).map(|text| text.to_string()))
}

/// Every topic with one line, and how to come to the options of commands.
pub fn topics() -> String {
    let line = |(name, meaning, _): &Topic| format!("  {name:12}{meaning}\n");
    let all: String = TOPICS.iter().map(line).collect();
    format!(
        "Topics, as in `rstprobe help filter`:\n{all}\n`rstprobe help COMMAND` has the options of a command, `rstprobe --help` the commands.\n"
    )
}

/// Names of topics and commands.
pub fn names() -> Vec<String> {
    let commands = Cli::command();
    let commands = commands.get_subcommands().filter(|one| !one.is_hide_set()).map(|one| one.get_name().to_owned());
    TOPICS.iter().map(|(name, ..)| (*name).to_owned()).chain(commands).collect()
}

/// Every option of a command, those that -h leaves out among them; `None` where there is no such command. Each takes as few
/// lines as in the short help.
pub fn options(command: &str) -> Option<StyledStr> {
    // Built, so that usage and global options are those of the command line.
    let mut all = Cli::command();
    all.build();
    let known = all.find_subcommand_mut(command)?;
    let mut shown = std::mem::replace(known, Command::new("")).mut_args(|arg| arg.hide_short_help(false));
    if shown.get_arguments().any(|arg| arg.get_id() == "help") {
        shown = shown.mut_arg("help", |arg| arg.help("Print this; -h prints the options that most people need"));
    }
    Some(shown.render_help())
}

/// The command whose every option is asked for: `rstprobe COMMAND --help`.
pub fn command_asked(words: &[String]) -> Option<&str> {
    let before = words.split(|word| word == "--").next().unwrap_or_default();
    let is_asked = before.iter().any(|word| word == "--help");
    before.get(1).filter(|_| is_asked).map(String::as_str)
}

/// The language of filters; the fields come from the field table.
fn filter_help() -> String {
    format!("The language of --filter, --evidence-filter and --having\n\n{}", filter::help())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_is_a_screen_in_short_and_two_in_full() {
        let lines = |text: StyledStr| text.to_string().lines().count();
        for name in ["read", "snapshot", "run"] {
            let mut all = Cli::command().term_width(100);
            all.build();
            let short = all.find_subcommand_mut(name).expect("a command").render_help();
            assert!(lines(short.clone()) <= 42, "{name} -h: {} lines\n{short}", lines(short.clone()));
            let full = options(name).expect("a command");
            assert!((40..=90).contains(&lines(full.clone())), "{name} --help: {} lines\n{full}", lines(full.clone()));
        }
    }

    #[test]
    fn every_option_is_in_the_full_help_of_its_command() {
        for command in Cli::command().get_subcommands().filter(|one| !one.is_hide_set() && one.get_name() != "help") {
            let full = options(command.get_name()).expect("a command").to_string();
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let name = arg.get_long().map_or_else(
                    || format!("<{}>", arg.get_value_names().map_or("", |names| &names[0])),
                    |long| format!("--{long}"),
                );
                assert!(
                    full.contains(&name) || full.contains(&name.replace(['<', '>'], "")),
                    "{} {name}\n{full}",
                    command.get_name()
                );
            }
        }
    }

    #[test]
    fn topics_are_short_and_found_and_words_that_are_none_are_not() {
        for (name, ..) in TOPICS {
            let text = on(name).expect("a topic");
            let is_list = matches!(name, "filter" | "counters");
            assert!(is_list || text.lines().count() <= 60, "{name}: {} lines", text.lines().count());
            assert!(
                name == "filter" || text.lines().all(|line| line.chars().count() <= 140 && line.trim_end() == line),
                "{name}"
            );
            assert!(topics().contains(name));
        }
        assert!(on("read").expect("a command").contains("--filter") && on("nothing").is_none());
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(command_asked(&words("rstprobe read --help")), Some("read"));
        assert_eq!(command_asked(&words("rstprobe read -h")), None);
        assert_eq!(command_asked(&words("rstprobe read -- --help")), None);
    }
}

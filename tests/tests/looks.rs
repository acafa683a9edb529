//! Looks of causes in the documentation: each connection that it shows is what the program shows of it, and has that cause.
//!
//! What differs is told as it should stand there.

use std::{fmt::Write as _, path::Path, process::Command};

use probe_tests::probe::binary;
use probe_user::{
    record::Cause,
    report::explanation::{self, Look},
};
use serde_json::Value;

/// Lines of a ladder that are shown whole.
const WHOLE: usize = 10;
/// Of longer ones so many at the beginning and at the end.
const FIRST: usize = 3;
const LAST: usize = 6;

/// What the command prints, which is pasted by who stands in the workspace.
fn run(command: &str, more: &[&str]) -> String {
    let words = command.strip_prefix("rstprobe ").expect("a command of ours").split(' ');
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let said = Command::new(binary()).args(words).args(more).current_dir(workspace).env_remove("COLUMNS").output();
    let said = said.expect("it runs");
    assert!(said.status.success(), "{command}: {}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8(said.stdout).expect("text")
}

/// The ladder of a connection, short enough for a page.
fn ladder(command: &str, segments: usize) -> String {
    let text = run(command, &[]);
    let is_segment = |line: &&str| line.contains(" --> ") || line.contains(" <-- ");
    let lines: Vec<&str> = text.lines().filter(is_segment).map(str::trim_end).collect();
    if segments <= WHOLE {
        return lines.join("\n");
    }
    let mut short = lines[..FIRST].join("\n");
    write!(short, "\n{:>10}  ... {} segments ...\n", "", segments - FIRST - LAST).expect("a String takes everything");
    short + &lines[lines.len() - LAST..].join("\n")
}

#[test]
fn causes_look_as_the_documentation_shows_them() {
    let mut wrong = String::new();
    for cause in Cause::ALL {
        let id = cause.id();
        let Look { command, ladder: shown } = explanation::look(id).unwrap_or_else(|| panic!("{id} shows nothing"));
        let document: Value = serde_json::from_str(&run(&command, &["--format", "json"])).expect("JSON");
        assert_eq!(document["connection"]["cause"]["id"], id, "{command}");
        let is = ladder(&command, document["ladder"]["rows"].as_array().expect("rows").len());
        if is != shown {
            write!(wrong, "{id}, by `{command}`:\n{is}\n\n").expect("a String takes everything");
        }
    }
    assert!(wrong.is_empty(), "should be\n\n{wrong}");
}

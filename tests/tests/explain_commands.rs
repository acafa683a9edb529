//! Commands that `rstprobe explain` suggests, pasted into a shell as they stand: each sees all packets of the connection, from
//! whatever captures they came and however these are called.
//!
//! Where there is no tshark the tests say SKIP.

use std::{
    fs,
    path::Path,
    process::{Command, Output, Stdio},
};

use probe_tests::{probe::binary, tier::say};
use serde_json::Value;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// A capture of one connection, cut into two after some records; each is a whole pcap file.
fn halves(name: &str) -> [Vec<u8>; 2] {
    let whole = fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name)).expect("a case");
    let (header, mut rest) = whole.split_at(FILE_HEADER);
    let mut records = Vec::new();
    while let Some(length) = rest.get(8..12).and_then(|field| field.first_chunk()) {
        let (record, after) = rest.split_at(RECORD_HEADER + u32::from_le_bytes(*length) as usize);
        records.push(record);
        rest = after;
    }
    assert!(records.len() > 4, "{name} can be cut");
    let (first, second) = records.split_at(records.len() / 2);
    [first, second].map(|part| [header, &part.concat()].concat())
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("a folder"))
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        fs::write(self.0.path().join(name), bytes).expect("written");
    }

    fn gzip(&self, name: &str) {
        let packed = Command::new("gzip").arg("-c").arg("--").arg(name).current_dir(self.0.path()).output();
        self.write(&format!("{name}.gz"), &packed.expect("gzip").stdout);
    }

    /// The commands, and how many segments the ladder has.
    fn explained(&self, names: &[&str]) -> (Vec<String>, usize) {
        let files = names.iter().map(|name| format!("--read={name}"));
        let words = ["explain", "--format", "json"].map(str::to_owned).into_iter().chain(files);
        let said = Command::new(binary()).args(words).current_dir(self.0.path()).output().expect("it runs");
        let document: Value = serde_json::from_slice(&said.stdout).unwrap_or_else(|error| panic!("{error}: {said:?}"));
        let steps = document["next_steps"].as_array().expect("steps").iter();
        let commands = steps.map(|step| step["command"].as_str().expect("text").to_owned()).collect();
        (commands, document["ladder"]["rows"].as_array().expect("rows").len())
    }

    /// As somebody does who pastes it.
    fn pasted(&self, command: &str) -> Output {
        let own = binary().parent().expect("a folder").to_path_buf();
        let usual = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths([own].into_iter().chain(std::env::split_paths(&usual))).expect("a path");
        let mut shell = Command::new("sh");
        shell.args(["-c", command]).current_dir(self.0.path()).env("PATH", path).stdin(Stdio::null());
        shell.output().expect("a shell")
    }

    /// The first command sees every segment of the ladder, and the last one the connection.
    fn all_are_seen(&self, names: &[&str]) {
        let (commands, rows) = self.explained(names);
        assert!(rows > 6, "{names:?}: {rows}");
        let seen = self.pasted(&commands[0]);
        let frames = String::from_utf8_lossy(&seen.stdout).lines().count();
        let complaint = String::from_utf8_lossy(&seen.stderr).into_owned();
        assert!(seen.status.success() && !complaint.contains("damaged"), "{}: {complaint}", commands[0]);
        assert_eq!(frames, rows, "{names:?}: {}", commands[0]);
        let last = commands.last().expect("a command");
        assert!(last.starts_with("rstprobe read "), "{last}");
        let read = self.pasted(last);
        let table = String::from_utf8_lossy(&read.stdout);
        assert!(
            read.status.success() && table.lines().any(|line| line.trim_start().starts_with("10.")),
            "{last}: {table}"
        );
    }
}

fn has_no_tshark() -> bool {
    let is_missing = |program: &str| {
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
    };
    let lacks = is_missing("tshark") || is_missing("mergecap");
    if lacks {
        say("SKIP commands of explain: no tshark, or no mergecap");
    }
    lacks
}

const CASE: &str = "early_403_python.pcap";

#[test]
fn all_captures_are_read_however_they_are_called() {
    if has_no_tshark() {
        return;
    }
    let folder = Folder::new();
    let [first, second] = halves(CASE);
    for names in
        [["a.pcap", "b.pcap"], ["-x y.pcap", "it's \"b\" $HOME.pcap"], ["new\nline.pcap", "esc\u{1b}[2J%s.pcap"]]
    {
        folder.write(names[0], &first);
        folder.write(names[1], &second);
        folder.all_are_seen(&names);
    }
    folder.gzip("a.pcap");
    folder.all_are_seen(&["a.pcap.gz", "b.pcap"]);
    for name in ["-r", "-x y.pcap"] {
        folder.write(name, &[&first[..], &second[FILE_HEADER..]].concat());
    }
    folder.all_are_seen(&["-x y.pcap"]);
    folder.all_are_seen(&["-r"]);
}

#[test]
fn captures_that_were_joined_are_read_part_by_part() {
    if has_no_tshark() {
        return;
    }
    let folder = Folder::new();
    let [first, second] = halves(CASE);
    let [other, _] = halves("upload_413_client_abort.pcap");
    folder.write("joined by cat.pcap", &[&first[..], &second].concat());
    folder.all_are_seen(&["joined by cat.pcap"]);
    folder.gzip("joined by cat.pcap");
    folder.all_are_seen(&["joined by cat.pcap.gz"]);
    // The connection is in the parts in the middle, and in a file of its own.
    folder.write("more.pcap", &[&other[..], &first, &other].concat());
    folder.write("rest.pcap", &second);
    let (commands, _) = folder.explained(&["more.pcap", "rest.pcap"]);
    assert!(commands[0].starts_with("tail -c +") && commands[0].contains(" | head -c "), "{}", commands[0]);
    assert!(commands[0].contains("; tshark -r rest.pcap -Y "), "{}", commands[0]);
}

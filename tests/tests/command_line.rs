//! Command line: mistakes and their answers; each has a next step and its exit code.

use std::{
    fs::File,
    io::BufWriter,
    path::{Path, PathBuf},
};

use probe_tests::{bench::capture, oneshot::OneShot, probe::Finished};
use serde_json::Value;

fn run(words: &[&str]) -> Finished {
    let done = OneShot::new(words).run().expect("rstprobe runs");
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    done
}

/// A capture of many conversations, in a folder that lives as long.
fn made() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("made.pcap");
    capture::mixed(BufWriter::new(File::create(&file).expect("a file")), 7, 6_000, 300).expect("written");
    (folder, file)
}

fn name(file: &Path) -> &str {
    file.to_str().expect("UTF-8")
}

#[test]
fn programs_get_every_group_and_a_cut_is_told() {
    let (_folder, file) = made();
    let file = name(&file);
    let by_server = |more: &[&str]| run(&[&["read", file, "--by", "server,client", "--format", "csv"], more].concat());
    let (all, cut) = (by_server(&[]), by_server(&["--limit", "3"]));
    let groups = all.stdout.lines().count() - 1;
    assert!(groups > 50, "{groups} groups");
    assert!(!all.stderr.contains("more groups"), "{}", all.stderr);
    assert_eq!(cut.stdout.lines().count(), 4);
    assert!(cut.stderr.contains(&format!("rstprobe: {} more groups are not printed", groups - 3)), "{}", cut.stderr);
}

#[test]
fn a_period_beside_the_capture_is_told_and_nothing_has_no_findings() {
    let (_folder, file) = made();
    let file = name(&file);
    let done = run(&["read", file, "--since", "2001-01-01T00:00:00Z", "--until", "2001-01-02T00:00:00Z"]);
    let said = "no connection starts between 2001-01-01T00:00:00Z and 2001-01-02T00:00:00Z: the capture runs from ";
    assert!(done.stderr.contains(said), "{}", done.stderr);
    assert!(!done.stdout.contains("Findings"), "{}", done.stdout);
    let done = run(&["read", file, "--since", "11:00", "--until", "10:00"]);
    assert_eq!((done.status.code(), &done.stdout[..]), (Some(2), ""), "{}", done.stderr);
    let done = run(&["read", file, "--since", "2101-01-01T00:00:00Z", "--until", "00:00:01"]);
    assert_eq!(done.status.code(), Some(2), "{}", done.stderr);
}

#[test]
fn a_printed_address_is_a_filter_and_evidence_is_of_what_is_shown() {
    let (folder, file) = made();
    let file = name(&file);
    let document = |words: &[&str]| -> Value {
        let done = run(&[&["read", file, "--format", "json"], words].concat());
        serde_json::from_str(&done.stdout).unwrap_or_else(|error| panic!("{error}: {}", done.stderr))
    };
    let all = document(&[]);
    let server = &all["connections"][0]["server"];
    let (address, port) = (server["addr"].as_str().expect("an address"), &server["port"]);
    let printed = if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") };
    let of_server = |one: &&Value| one["server"]["addr"] == address && one["server"]["port"] == *port;
    let expected = all["connections"].as_array().expect("a list").iter().filter(of_server).count();
    let filter = format!("server = {printed}");
    let evidence = folder.path().join("some.pcapng");
    let found = document(&["--filter", &filter, "--evidence", name(&evidence)]);
    assert_eq!(found["connections"].as_array().map(Vec::len), Some(expected));
    assert_eq!(found["summary"]["books"]["evidence.connections"], expected);
    let more = folder.path().join("more.pcapng");
    let done = run(&["read", file, "--filter", &filter, "--evidence", name(&more)]);
    let said = format!("{}: ", more.display());
    let line = done.stderr.lines().find(|line| line.contains(&said)).unwrap_or_else(|| panic!("{}", done.stderr));
    assert!(line.contains(" packet") && line.contains(&format!(" of {expected} connection")), "{line}");
}

#[test]
fn wrong_sources_and_files_name_what_was_meant() {
    for (words, said) in [
        (&["read", "-i", "lo"][..], "rstprobe snapshot -i lo"),
        (&["show", "-r", "F", "-i", "lo"], "one source at a time"),
        (&["snapshot", "-r", "F"], "rstprobe read F"),
        (&["read", "F", "--format", "html"], "rstprobe report -o page.html -r F"),
        (&["explain", "--html"], "--format html"),
        (&["explain", "287"], "rstprobe explain -r FILE 287"),
        (&["snapshot", "-i", "lo", "--for", "abc"], "no time; write a number and a unit"),
        (&["read", "F", "--by", "time:abc"], "the step is no time"),
        (&["read", "/no/such.pcap"], "rstprobe: /no/such.pcap: cannot be opened: "),
        (&["read", concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")], "not a capture"),
    ] {
        let done = run(words);
        assert_eq!((done.status.code(), &done.stdout[..]), (Some(2), ""), "{words:?}: {}", done.stderr);
        assert!(done.stderr.contains(said) && !done.stderr.contains("-- -"), "{words:?}: {}", done.stderr);
    }
}

#[test]
fn who_explains_by_a_condition_says_of_how_many() {
    let (_folder, file) = made();
    let done = run(&["explain", "-r", name(&file), "rst.count > 0"]);
    let line = done.stderr.lines().find(|line| line.contains(" that meet it, the costliest; others: "));
    let line = line.unwrap_or_else(|| panic!("{}", done.stderr));
    let id = done.stdout.split([' ', ':']).nth(1).expect("Connection ID");
    assert!(line.starts_with(&format!("rstprobe: connection {id}: 1 of ")) && line.ends_with(", ..."), "{line}");
}

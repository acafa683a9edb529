//! Tests of `read`: what must not happen to files when something is mistyped.

use std::{fs, path::PathBuf};

use clap::Parser as _;

use crate::cli::{Cli, Command, exit};
use crate::command::read::*;
use crate::source::capture::{self, Frame};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("rstprobe-read-{name}-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// Exit code of `rstprobe read` with these words.
fn refused(words: &[&str]) -> u8 {
    let words = ["rstprobe", "read"].iter().chain(words);
    let Command::Read(args) = Cli::try_parse_from(words).expect("clap accepts it").command else {
        unreachable!("asked for")
    };
    let plan = ReadPlan::try_from(args).expect("valid");
    // The thread is in the sandbox from then on.
    let read = std::thread::spawn(move || read(&plan, Policy::default()).expect_err("refused").exit_code());
    read.join().expect("no panic")
}

#[test]
fn outputs_begin_when_there_is_something_to_read() {
    let folder = folder("mistyped");
    let path = |name: &str| folder.join(name).display().to_string();
    let (capture, evidence, json) = (path("no.pcap"), path("e.pcapng"), path("out.json"));
    let words = [&capture[..], "--evidence", &evidence, "--json-out", &json];
    assert_eq!(refused(&words), exit::USAGE);
    assert_eq!(fs::read_dir(&folder).expect("a folder").count(), 0, "nothing was made");
    fs::write(&evidence, "precious").expect("written");
    fs::write(&capture, "no capture at all").expect("written");
    assert_eq!(refused(&words), exit::USAGE, "another file was meant");
    assert_eq!(fs::read_to_string(&evidence).expect("a file"), "precious");
    fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn no_output_is_written_over_a_capture() {
    let folder = folder("over");
    let path = |name: &str| folder.join(name).display().to_string();
    let (capture, link) = (path("a.pcap"), path("link.pcap"));
    // A file header without frames, of Ethernet.
    let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    fs::write(&capture, header).expect("written");
    std::os::unix::fs::symlink("a.pcap", &link).expect("a link");
    for json in [&capture, &link] {
        assert_eq!(refused(&[&capture, "--json-out", json]), exit::USAGE);
        assert_eq!(refused(&["/dev/null", &link, "--json-out", json]), exit::USAGE, "any of them");
    }
    let evidence = path("e.pcapng");
    assert_eq!(refused(&[&capture, "--evidence", &evidence, "--json-out", &evidence]), exit::USAGE);
    assert_eq!(fs::read(&capture).expect("a file"), header);
    assert!(!fs::exists(evidence).expect("known"));
    fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn a_directory_is_a_wrong_name_and_a_full_disk_is_none() {
    let folder = folder("kinds");
    let path = |name: &str| folder.join(name).display().to_string();
    let (capture, linked) = (path("a.pcap"), path("full.pcapng"));
    let header = [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0, 0];
    fs::write(&capture, header).expect("written");
    let directory = folder.display().to_string();
    assert_eq!(refused(&[&directory]), exit::USAGE);
    assert_eq!(refused(&[&capture, &directory]), exit::USAGE, "any of them");
    assert_eq!(refused(&[&capture, "--json-out", &directory]), exit::USAGE);
    fs::create_dir(&linked).expect("made");
    assert_eq!(refused(&[&capture, "--evidence", &linked]), exit::USAGE, "a folder in the place of a file");
    let plan = crate::plan::EvidencePlan {
        path: "/dev/full".into(),
        is_file: true,
        max_bytes: 1 << 20,
        max_age: Duration::from_hours(1),
        of: "rst.count > 0".parse().expect("a filter"),
    };
    let full = CaptureEvidence::open(&plan, &[]).map(drop).expect_err("full");
    assert_eq!(full.exit_code(), exit::FAILED, "{full}");
    fs::remove_dir_all(folder).expect("removed");
}

#[test]
fn frames_that_are_not_understood_are_named_and_are_a_failure() {
    let mut decoder = Decoder::new(true, probe_ebpf::tunnel::NONE, Domain::None);
    for (number, times) in [(147, 2), (1, 1)] {
        for _ in 0..times {
            let link = capture::LinkType::from_number(number);
            decoder.decode(&Frame { time_ns: 1, wire_len: 60, link, bytes: &[0; 60] });
        }
    }
    let reported = counters::not_understood(decoder.accounting()).expect("told");
    assert_eq!(reported, "2 of 3 frames were not read: link type 147 (2 frames) is not understood");
    assert_eq!(RunError::LinkTypes(reported).exit_code(), exit::FAILED);
    assert_eq!(counters::not_understood(&capture::Accounting::default()), None);
}

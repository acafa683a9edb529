//! `--evidence`: the packets behind each reset, as Wireshark reads them; bounded, and whole after `kill -9`.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use probe_tests::{
    conversation, generator,
    netns::{Family, Loop, SINK, SOURCE},
    oneshot::OneShot,
    parity::replay,
    pcap::Random,
    probe::Probe,
    scenario, session, sys,
    tier::{privileged, say},
};
use probe_user::source::capture::CaptureFile;
use serde_json::Value;

/// A file of the folder, by tshark: of each packet its comment and its TCP flags.
struct Packet {
    connection: u64,
    cause: String,
    flags: u16,
    comment: String,
}

/// Captures in a folder, which also holds a lock.
fn files(folder: &Path) -> Vec<PathBuf> {
    let all = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    let mut files: Vec<_> = all.filter(|path| path.extension().is_some_and(|is| is == "pcapng")).collect();
    files.sort();
    files
}

/// What tshark says of a file; `None` without tshark.
fn tshark(file: &Path, fields: &[&str]) -> Option<io::Result<Vec<Vec<String>>>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "separator=|", "-r"]).arg(file);
    command.args(fields.iter().flat_map(|field| ["-e", *field]));
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        other => other,
    };
    Some(output.and_then(|output| {
        if !output.status.success() {
            return Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()));
        }
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        Ok(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
    }))
}

fn packets(folder: &Path) -> Vec<Packet> {
    let mut packets = vec![];
    for file in files(folder) {
        let fields = ["frame.comment", "tcp.flags", "frame.interface_name", "frame.packet_flags_direction"];
        let Some(lines) = tshark(&file, &fields) else {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have tshark");
            say("SKIP tshark: not installed");
            continue;
        };
        for line in lines.expect("tshark reads it") {
            let [comment, flags, interface, direction] = &line[..] else { panic!("{line:?}") };
            assert!(!interface.is_empty(), "{line:?}");
            assert!(direction.contains('1') || direction.contains('2'), "{line:?}");
            let word = |before: &str, after: &str| {
                let from = comment.find(before).map(|at| at + before.len()).expect("a comment of ours");
                comment[from..].split(after).next().unwrap_or_default().to_owned()
            };
            packets.push(Packet {
                connection: word("connection ", ":").parse().expect("a number"),
                cause: word("cause ", " "),
                flags: u16::from_str_radix(flags.trim_start_matches("0x"), 16).expect("flags"),
                comment: comment.clone(),
            });
        }
    }
    packets
}

/// Causes that are only concluded from what other connections did, which may end later.
const OF_HABIT: [&str; 2] = ["rst_instead_of_fin", "refused_by_firewall"];
const RST: u16 = 4;
const SYN: u16 = 2;

/// Every connection of the document with an RST has its packets, and they say so.
fn compare(document: &Value, packets: &[Packet]) {
    let mut of: BTreeMap<u64, Vec<&Packet>> = BTreeMap::new();
    for packet in packets {
        of.entry(packet.connection).or_default().push(packet);
    }
    let connections = document["connections"].as_array().expect("connections");
    let rsts = |one: &Value| ["from_client", "from_server"].map(|side| one[side]["rst"].as_u64().unwrap_or(0));
    let mut reset = BTreeSet::new();
    for one in connections.iter().filter(|one| rsts(one) != [0, 0]) {
        let id = one["id"].as_u64().expect("an id");
        reset.insert(id);
        let packets = of.get(&id).unwrap_or_else(|| panic!("no packets of {one:#}"));
        assert!(packets.iter().any(|packet| packet.flags & RST != 0), "no RST of {one:#}");
        if one["from_client"]["syn"].as_u64() > Some(0) {
            assert!(packets[0].flags & SYN != 0, "no SYN first of {one:#}");
        }
        let cause = one["cause"]["id"].as_str().expect("a cause");
        if !OF_HABIT.contains(&cause) {
            assert!(packets.iter().all(|packet| packet.cause == cause), "{}: {one:#}", packets[0].comment);
        }
        for packet in packets.iter().filter(|packet| packet.flags & RST != 0) {
            let [client, server] = rsts(one);
            let by = if packet.comment.starts_with("RST by the client") { client } else { server };
            assert!(by > 0, "{}: {one:#}", packet.comment);
        }
    }
    let named: BTreeSet<u64> = of.keys().copied().collect();
    assert_eq!(named, reset, "packets of connections without RST");
    say(&format!("{} packets of {} reset connections, of {} in all", packets.len(), reset.len(), connections.len()));
}

#[test]
fn every_reset_of_real_sockets_has_its_packets() {
    privileged("evidence", "every_reset_of_real_sockets_has_its_packets", || {
        let folder = tempfile::tempdir().expect("a folder");
        let cases: Vec<_> = scenario::cases().into_iter().filter(|case| case.family == Family::V4).collect();
        let words = vec!["--evidence".into(), folder.path().into(), "--format".into(), "table".into()];
        let plan = session::Plan { settle: Duration::from_millis(300), words };
        let report = session::run(&cases, &plan).expect("a run");
        assert!(report.probe.status.success(), "{}", report.probe.stderr);
        for name in ["evidence.no_memory", "evidence.not_written", "evidence.snapshots_lost"] {
            assert_eq!(report.snapshot["summary"]["losses"][name], 0, "{name}");
        }
        compare(&report.snapshot, &packets(folder.path()));
    });
}

fn words(more: &[&str], path: &Path) -> Vec<OsString> {
    let words = ["snapshot", "-i", SINK, "--action", "drop", "--for", "60s", "--format", "json", "--evidence"];
    words.iter().map(Into::into).chain([path.into()]).chain(more.iter().map(Into::into)).collect()
}

#[test]
fn every_reset_through_sockets_has_its_packets() {
    privileged("evidence", "every_reset_through_sockets_has_its_packets", || {
        for path in [["--datapath", "afxdp"], ["--datapath", "count"]] {
            let folder = tempfile::tempdir().expect("a folder");
            let network = Loop::build().expect("namespaces");
            let probe = Probe::start(&network.namespace, &words(&path, folder.path())).expect("it attaches");
            let frames = conversation::traffic(&mut Random::new(11), 600).expect("frames");
            replay(&network, &[SOURCE], &frames);
            let done = probe.stop().expect("it ends");
            assert!(done.status.success(), "{}", done.stderr);
            let document = serde_json::from_str(&done.stdout).expect("a document");
            compare(&document, &packets(folder.path()));
        }
    });
}

#[test]
fn filters_say_what_is_shown_and_whose_packets_are_kept() {
    privileged("evidence", "filters_say_what_is_shown_and_whose_packets_are_kept", || {
        for path in ["afxdp", "count"] {
            let folder = tempfile::tempdir().expect("a folder");
            let network = Loop::build().expect("namespaces");
            let filters = ["--filter", "rst.count > 0", "--evidence-filter", "rst.count = 0 and closing = two_fins"];
            let words = words(&[&["--datapath", path][..], &filters].concat(), folder.path());
            let probe = Probe::start(&network.namespace, &words).expect("it attaches");
            let frames = conversation::traffic(&mut Random::new(12), 300).expect("frames");
            replay(&network, &[SOURCE], &frames);
            let done = probe.stop().expect("it ends");
            assert!(
                done.status.success() && done.stderr.contains("only what meets `rst.count > 0`"),
                "{}",
                done.stderr
            );
            let document: Value = serde_json::from_str(&done.stdout).expect("a document");
            let connections = document["connections"].as_array().expect("connections");
            let rsts = |one: &Value| ["from_client", "from_server"].map(|side| one[side]["rst"].as_u64());
            assert!(!connections.is_empty() && connections.iter().all(|one| rsts(one) != [Some(0); 2]));
            let summary = &document["summary"];
            assert_eq!(summary["filter"]["expression"], "rst.count > 0");
            assert_eq!(summary["filter"]["records"], connections.len());
            let left_out = summary["filter"]["left_out"].as_u64().expect("a count");
            let stored = packets(folder.path());
            let named: BTreeSet<u64> = stored.iter().map(|packet| packet.connection).collect();
            say(&format!("{path}: {} shown, {left_out} not, {} with packets", connections.len(), named.len()));
            assert!(!named.is_empty() && named.len() as u64 <= left_out, "{named:?}");
            assert!(stored.iter().all(|packet| packet.flags & RST == 0));
            let whole = stored.iter().filter(|packet| packet.comment.contains("closing two_fins")).count();
            assert_eq!(whole, named.len(), "the first packet of each says all of it");
            assert_eq!(summary["books"]["evidence.connections"], named.len());
        }
    });
}

/// Frames in a file, and whether it ends with a whole block.
fn count(file: &Path) -> (u64, bool) {
    let mut capture = CaptureFile::open(file).expect("a capture");
    let mut frames = 0;
    loop {
        match capture.next_frame() {
            Ok(Some(_)) => frames += 1,
            Ok(None) => return (frames, true),
            Err(_) => return (frames, false),
        }
    }
}

fn storm(network: &Loop, count: u32) {
    let send = || generator::Generator::load(sys::interface_index(SOURCE)?)?.send(count);
    network.namespace.enter(send).expect("sent");
}

#[test]
fn a_storm_of_resets_keeps_the_bound_of_the_disk() {
    privileged("evidence", "a_storm_of_resets_keeps_the_bound_of_the_disk", || {
        let bound = 1 << 20;
        let folder = tempfile::tempdir().expect("a folder");
        let network = Loop::build().expect("namespaces");
        let words = words(&["--evidence-max", "1M", "--datapath", "afxdp"], folder.path());
        let probe = Probe::start(&network.namespace, &words).expect("it attaches");
        let in_use = || {
            // A file may go between listing and asking.
            let all = files(folder.path());
            all.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum::<u64>()
        };
        let mut most = 0;
        thread::scope(|scope| {
            let sender = scope.spawn(|| storm(&network, 1_000_000));
            while !sender.is_finished() {
                most = most.max(in_use());
                thread::sleep(Duration::from_millis(5));
            }
        });
        let done = probe.stop().expect("it ends");
        most = most.max(in_use());
        assert!(done.status.success(), "{}", done.stderr);
        let document: Value = serde_json::from_str(&done.stdout).expect("a document");
        let summary = &document["summary"];
        say(&format!(
            "at most {most} bytes; {} connections, losses {}",
            summary["books"]["evidence.connections"], summary["losses"]
        ));
        assert!(most <= bound && most > bound / 2, "{most} bytes");
        assert!(files(folder.path()).iter().all(|file| count(file).1), "whole files");
    });
}

#[test]
fn killed_while_writing_the_files_can_be_read() {
    privileged("evidence", "killed_while_writing_the_files_can_be_read", || {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("resets.pcapng");
        let network = Loop::build().expect("namespaces");
        let probe = Probe::start(&network.namespace, &words(&["--datapath", "afxdp"], &file)).expect("it attaches");
        thread::scope(|scope| {
            // The same ports again and again: each SYN ends the record of the connection before it.
            let sender = scope.spawn(|| storm(&network, 2_000_000));
            let end = Instant::now() + Duration::from_secs(20);
            while fs::metadata(&file).map_or(0, |file| file.len()) < 200_000 {
                assert!(Instant::now() < end, "nothing is written");
                thread::sleep(Duration::from_millis(2));
            }
            // With SIGKILL.
            drop(probe);
            sender.join().expect("it sends");
        });
        let (frames, is_whole) = count(&file);
        say(&format!("{frames} frames, {}", if is_whole { "the last one whole" } else { "the last one cut" }));
        assert!(frames > 100, "{frames} frames");
        let read = OneShot::new([OsString::from("read"), file.clone().into()]).run().expect("it runs");
        assert!(read.stdout.contains("connections:"), "{} {}", read.stdout, read.stderr);
        if let Some(Ok(lines)) = tshark(&file, &["frame.comment"]) {
            assert_eq!(lines.len() as u64, frames);
        }
    });
}

#[test]
fn where_nothing_can_be_written_is_said_at_once() {
    privileged("evidence", "where_nothing_can_be_written_is_said_at_once", || {
        let network = Loop::build().expect("namespaces");
        let nowhere = Path::new("/proc/rstprobe/none.pcapng");
        let said = OneShot::new(words(&[], nowhere)).run_in(&network.namespace).expect("it runs");
        assert_eq!(said.status.code(), Some(2), "{}", said.stderr);
        assert!(said.stderr.contains("--evidence /proc/rstprobe/none.pcapng: "), "{}", said.stderr);
    });
}

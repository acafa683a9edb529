//! `rstprobe read --evidence`: the packets behind each reset of a capture, as they were captured.
//!
//! The captures of the oracle lie beside the workspace (`../shared/oracle`), not in it. Where they are absent the tests say
//! SKIP; with CI=true that is a failure.

use std::{
    collections::{BTreeMap, BTreeSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use probe_ebpf::{
    layout::{FlowKey, RST, SYN},
    tunnel::{self, Encapsulations},
};
use probe_tests::{
    conversation,
    oneshot::OneShot,
    oracle,
    pcap::{self, Pcap, Random},
    pcapng::{self, Packet},
    probe::Finished,
    tier::say,
};
use probe_user::source::{
    Domain,
    capture::{CaptureFile, Decoder, Frame, LinkType},
};
use serde_json::Value;

/// Bytes of a frame that are kept.
const STORED: usize = 256;
/// Causes that are concluded from what other connections did, of which some end later.
const OF_HABIT: [&str; 2] = ["rst_instead_of_fin", "refused_by_firewall"];

fn read(words: &[&str], evidence: &Path, captures: &[&Path]) -> Finished {
    let words = ["read", "--no-checksums"].iter().chain(words).map(OsString::from);
    let all = words.chain(["--evidence".into(), evidence.into()]).chain(captures.iter().map(Into::into));
    let finished = OneShot::new(all).run().expect("it runs");
    assert!(!finished.stderr.contains("panicked"), "{}", finished.stderr);
    finished
}

/// What a capture holds, frame by frame: time, link type, length, and the bytes that evidence would keep.
type Original = (u64, u16, usize, Vec<u8>);

fn originals(capture: &Path) -> BTreeSet<Original> {
    let mut file = CaptureFile::open(capture).expect("a capture");
    let mut all = BTreeSet::new();
    // A damaged file ends where it is damaged.
    while let Ok(Some((frame, on))) = file.next_with_interface() {
        let wire_len = frame.wire_len.max(frame.bytes.len().min(STORED));
        all.insert((frame.time_ns, on.link_number, wire_len, frame.bytes[..frame.bytes.len().min(STORED)].to_vec()));
    }
    all
}

/// What stands between two texts of a comment.
fn between<'a>(comment: &'a str, before: &str, after: &str) -> &'a str {
    let from = comment.find(before).map(|at| at + before.len()).expect("a comment of ours");
    comment[from..].split(after).next().unwrap_or_default()
}

/// Flags and key of the segment in a packet; `None` for one that does not have all of it, as pieces of packets do.
fn segment(packet: &Packet) -> Option<(u16, FlowKey)> {
    let link = LinkType::from_number(u32::from(packet.interface.link));
    let frame = Frame { time_ns: packet.time, wire_len: packet.wire_len as usize, link, bytes: &packet.bytes };
    let decoded =
        Decoder::new(false, Encapsulations { enabled: tunnel::ALL, max_depth: 4 }, Domain::None).decode(&frame)?;
    Some((decoded.segment.record.flags, decoded.segment.key))
}

/// Segments with RST of both sides of a connection in a document.
fn rsts(one: &Value) -> [u64; 2] {
    ["from_client", "from_server"].map(|side| one[side]["rst"].as_u64().expect("a count"))
}

/// Every connection of the document with an RST has its packets, which are those of the capture, and they say so. Returns
/// how many connections that were.
fn compare(name: &str, document: &Value, packets: &[Packet], originals: &BTreeSet<Original>) -> u64 {
    let mut of: BTreeMap<u64, Vec<&Packet>> = BTreeMap::new();
    for packet in packets {
        let Packet { interface, time, wire_len, bytes, .. } = packet;
        let original = (*time, interface.link, *wire_len as usize, bytes.clone());
        assert!(originals.contains(&original), "{name}: not in the capture: {packet:?}");
        assert_eq!(packet.options, [1], "{name}: nothing but the comment is known of it");
        of.entry(between(&packet.comment, "connection ", ":").parse().expect("a number")).or_default().push(packet);
    }
    let connections = document["connections"].as_array().expect("connections");
    let mut reset = BTreeSet::new();
    for one in connections.iter().filter(|one| rsts(one) != [0, 0]) {
        let id = one["id"].as_u64().expect("an id");
        reset.insert(id);
        let packets = of.get(&id).unwrap_or_else(|| panic!("{name}: no packets of {one:#}"));
        of_connection(name, one, packets);
    }
    assert_eq!(of.keys().copied().collect::<BTreeSet<_>>(), reset, "{name}: packets of connections without RST");
    reset.len() as u64
}

fn of_connection(name: &str, one: &Value, packets: &[&Packet]) {
    let said: Vec<_> = packets.iter().filter_map(|packet| segment(packet)).collect();
    let with = |flag: u16| said.iter().filter(|(flags, _)| flags & flag != 0).count();
    let resets = packets.iter().filter(|packet| packet.comment.starts_with("RST by the ")).count();
    assert!(resets > 0, "{name}: no RST among the packets of {one:#}");
    if said.len() == packets.len() {
        assert_eq!(with(RST), resets, "{name}: {one:#}");
        assert!(said.iter().all(|(_, key)| *key == said[0].1), "{name}: packets of several connections: {one:#}");
        assert!(one["from_client"]["syn"] == 0 || said[0].0 & SYN != 0, "{name}: no SYN first of {one:#}");
    }
    let cause = one["cause"]["id"].as_str().expect("a cause");
    for packet in packets {
        let (is_reset, said) = (packet.comment.starts_with("RST by"), between(&packet.comment, "cause ", " "));
        assert!(
            [cause, said].iter().any(|cause| OF_HABIT.contains(cause)) || said == cause,
            "{name}: {}: {one:#}",
            packet.comment
        );
        let [client, server] = rsts(one);
        let by = if packet.comment.starts_with("RST by the client") { client } else { server };
        assert!(!is_reset || by > 0, "{name}: {}: {one:#}", packet.comment);
    }
}

/// What tshark says of a file, line by line; `None` without tshark.
fn tshark(file: &Path, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let mut command = Command::new("tshark");
    command.args(["-n", "-T", "fields", "-E", "separator=|", "-r"]).arg(file);
    command.args(fields.iter().flat_map(|field| ["-e", *field]));
    let output = match command.output() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have tshark");
            say("SKIP tshark: not installed");
            return None;
        }
        other => other.expect("tshark runs"),
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Some(text.lines().map(|line| line.split('|').map(str::to_owned).collect()).collect())
}

/// tshark finds the same packets with the same comments.
fn agrees_with_tshark(file: &Path, packets: &[Packet]) {
    let fields = ["frame.time_epoch", "frame.cap_len", "frame.len", "frame.interface_name", "frame.comment"];
    let Some(lines) = tshark(file, &fields) else { return };
    let ours = packets.iter().map(|packet| {
        let seconds = format!("{}.{:09}", packet.time / 1_000_000_000, packet.time % 1_000_000_000);
        let [captured, wire_len] = [packet.bytes.len(), packet.wire_len as usize].map(|len| len.to_string());
        vec![seconds, captured, wire_len, packet.interface.name.clone(), packet.comment.clone()]
    });
    let ours: Vec<_> = ours.collect();
    assert_eq!(lines.len(), ours.len());
    for (line, ours) in lines.iter().zip(&ours) {
        assert_eq!(line, ours);
    }
}

fn packets(file: &Path) -> Vec<Packet> {
    pcapng::packets(&fs::read(file).expect("a file"))
}

/// The folder of answers; without it says so, or fails in CI.
fn oracle(test: &str) -> Option<PathBuf> {
    let folder = oracle::folder();
    if folder.is_none() {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say(&format!("SKIP {test}: no captures at ../shared/oracle"));
    }
    folder
}

/// Losses of evidence, each by its name.
fn losses(document: &Value) -> Vec<(&str, &Value)> {
    let names = ["evidence.no_memory", "evidence.not_written", "evidence.without_frames"];
    names.into_iter().map(|name| (name, &document["summary"]["losses"][name])).collect()
}

#[test]
fn every_reset_of_every_capture_has_its_packets() {
    let Some(folder) = oracle("every_reset_of_every_capture_has_its_packets") else { return };
    let scratch = tempfile::tempdir().expect("a folder");
    let evidence = scratch.path().join("evidence.pcapng");
    let (mut captures, mut resets, mut frames, mut by_tshark) = (0, 0, 0, 0);
    for capture in oracle::captures(&folder.join("captures")).expect("captures") {
        let finished = read(&["--format", "json"], &evidence, &[&capture.path]);
        let name = &capture.name;
        // 1: not readable to its end; what was readable has been printed.
        assert!(matches!(finished.status.code(), Some(0 | 1)), "{name}: {}", finished.stderr);
        let document: Value = serde_json::from_str(&finished.stdout).unwrap_or_default();
        if document.is_null() {
            continue;
        }
        assert!(losses(&document).iter().all(|(_, count)| **count == 0), "{name}: {:?}", losses(&document));
        let packets = packets(&evidence);
        let reset = compare(name, &document, &packets, &originals(&capture.path));
        let accounting = &document["summary"]["books"];
        assert_eq!(
            (accounting["evidence.connections"].as_u64(), accounting["evidence.frames"].as_u64()),
            (Some(reset), Some(packets.len() as u64))
        );
        captures += 1;
        resets += reset;
        frames += packets.len();
        // tshark takes its time to begin: a part of them, the same each time.
        if reset > 0 && resets % 10 < reset {
            agrees_with_tshark(&evidence, &packets);
            by_tshark += 1;
        }
    }
    say(&format!(
        "{captures} captures, {resets} reset connections, {frames} packets; {by_tshark} files read by tshark"
    ));
    assert!(captures > 700 && resets > 350, "{captures} {resets}");
}

#[test]
fn thousands_of_resets_have_their_packets() {
    for seed in ["seed101", "seed102"] {
        let Some(folder) = oracle("thousands_of_resets_have_their_packets") else { return };
        let scratch = tempfile::tempdir().expect("a folder");
        let (capture, evidence) =
            (folder.join("zeek-random").join(format!("{seed}.pcap")), scratch.path().join("e.pcapng"));
        let finished = read(&["--format", "json"], &evidence, &[&capture]);
        assert!(finished.status.success(), "{}", finished.stderr);
        let document: Value = serde_json::from_str(&finished.stdout).expect("a document");
        let packets = packets(&evidence);
        let resets = compare(seed, &document, &packets, &originals(&capture));
        agrees_with_tshark(&evidence, &packets);
        say(&format!("{seed}: {} packets of {resets} reset connections", packets.len()));
        assert!(resets > 1000, "{resets}");
    }
}

/// Frames of conversations of which some are reset.
fn frames(seed: u64) -> Vec<Vec<u8>> {
    conversation::traffic(&mut Random::new(seed), 200).expect("frames")
}

/// Linux "any" device instead of Ethernet.
fn cooked(frame: &[u8]) -> Vec<u8> {
    [&[0, 0, 0, 1, 0, 6, 2, 0, 0, 0, 0, 1, 0, 0], &frame[12..]].concat()
}

#[test]
fn each_file_and_interface_keeps_its_link_type() {
    const SECOND: u64 = 1_000_000_000;
    let scratch = tempfile::tempdir().expect("a folder");
    let place = |name: &str| scratch.path().join(name);
    let (mut ethernet, mut any) = (Pcap::new(pcap::ETHERNET), Pcap::new(pcap::LINUX_SLL));
    for (number, frame) in frames(1).iter().enumerate() {
        ethernet.push(SECOND + number as u64, frame);
    }
    for (number, frame) in frames(2).iter().enumerate() {
        // Of each frame not more than 80 bytes were captured.
        let frame = cooked(frame);
        any.push_cut(2 * SECOND + number as u64, &frame[..frame.len().min(80)], frame.len());
    }
    // A section of raw IP and Ethernet in turn, and another one that begins with the other.
    let mut blocks = vec![];
    for (turn, names) in [[(101, Some("tun0")), (1, None)], [(1, None), (101, Some("tun0"))]].into_iter().enumerate() {
        blocks.push(pcapng::section());
        blocks.extend(names.iter().map(|(link, name)| pcapng::interface(*link, *name)));
        for (number, frame) in frames(3 + turn as u64).iter().enumerate() {
            let (which, time) = (number % 2, (3 + turn as u64) * SECOND + number as u64);
            let bytes = if names[which].0 == 101 { &frame[14..] } else { &frame[..] };
            blocks.push(pcapng::packet(which as u32, time, bytes, bytes.len() as u32));
        }
    }
    let captures = [place("a.pcap"), place("b.pcap"), place("c.pcapng")];
    for (capture, bytes) in captures.iter().zip([ethernet.into_bytes(), any.into_bytes(), blocks.concat()]) {
        fs::write(capture, bytes).expect("written");
    }
    let evidence = place("evidence.pcapng");
    let inputs: Vec<&Path> = captures.iter().map(PathBuf::as_path).collect();
    let finished = read(&["--format", "json", "--evidence-filter", "packets > 0"], &evidence, &inputs);
    assert!(finished.status.success(), "{}", finished.stderr);
    let stored = packets(&evidence);
    let known: BTreeMap<&Path, BTreeSet<Original>> = inputs.iter().map(|input| (*input, originals(input))).collect();
    let mut interfaces = BTreeSet::new();
    for packet in &stored {
        let Packet { interface, time, wire_len, bytes, .. } = packet;
        let capture = interface.description.split(" of ").nth(1).expect("the capture");
        let original = (*time, interface.link, *wire_len as usize, bytes.clone());
        assert!(known[Path::new(capture)].contains(&original), "{packet:?}");
        interfaces.insert((interface.name.clone(), interface.link));
    }
    let expected = [("a.pcap", 1), ("b.pcap", 113), ("c.pcapng", 1), ("tun0", 101)];
    assert_eq!(interfaces, expected.map(|(name, link)| (name.to_owned(), link)).into());
    assert!(stored.iter().any(|packet| packet.wire_len as usize > packet.bytes.len()), "cut frames keep their length");
    agrees_with_tshark(&evidence, &stored);
    // Interfaces of both sections are the same two.
    let described = fs::read(&evidence).expect("a file");
    assert_eq!(described.windows(4).filter(|name| name == b"tun0").count(), 1);
}

#[test]
fn other_connections_when_asked_for() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (capture, evidence) = (scratch.path().join("a.pcap"), scratch.path().join("evidence.pcapng"));
    let mut pcap = Pcap::new(pcap::ETHERNET);
    for (number, frame) in frames(7).iter().enumerate() {
        pcap.push(1_000_000_000 + 1000 * number as u64, frame);
    }
    fs::write(&capture, pcap.into_bytes()).expect("written");
    let words =
        ["--format", "json", "--evidence-filter", "fin.count >= 2 and rst.count = 0", "--filter", "rst.count > 9"];
    let finished = read(&words, &evidence, &[&capture]);
    assert!(finished.status.success(), "{}", finished.stderr);
    let packets = packets(&evidence);
    assert!(packets.len() > 20, "{}", packets.len());
    for packet in &packets {
        assert!(packet.comment.contains("connection "), "{}", packet.comment);
        assert!(segment(packet).is_some_and(|(flags, _)| flags & RST == 0), "{packet:?}");
    }
    // The view's filter has no part in it.
    let document: Value = serde_json::from_str(&finished.stdout).expect("a document");
    assert_eq!(document["summary"]["books"]["evidence.frames"], packets.len());
}

/// A capture of one connection after the other, each reset.
fn storm(path: &Path) {
    let mut pcap = Pcap::new(pcap::ETHERNET);
    let frames: Vec<_> = (0..30).flat_map(frames).collect();
    for (number, frame) in frames.iter().enumerate() {
        pcap.push(1_000_000_000 + 1_000_000 * number as u64, frame);
    }
    fs::write(path, pcap.into_bytes()).expect("written");
}

#[test]
fn the_disk_is_bounded_and_what_has_no_room_is_counted() {
    let scratch = tempfile::tempdir().expect("a folder");
    let capture = scratch.path().join("storm.pcap");
    storm(&capture);
    for name in ["evidence.pcapng", "folder"] {
        let place = scratch.path().join(name);
        let finished = read(&["--format", "json", "--evidence-max", "64K"], &place, &[&capture]);
        assert!(finished.status.success(), "{}", finished.stderr);
        let document: Value = serde_json::from_str(&finished.stdout).expect("a document");
        let files: Vec<PathBuf> = if place.is_dir() {
            let all = fs::read_dir(&place).expect("a folder").map(|entry| entry.expect("an entry").path());
            all.filter(|path| path.extension().is_some_and(|extension| extension == "pcapng")).collect()
        } else {
            vec![place]
        };
        let bytes: u64 = files.iter().map(|file| fs::metadata(file).expect("a file").len()).sum();
        let stored: usize = files.iter().map(|file| packets(file).len()).sum();
        let written = document["summary"]["books"]["evidence.frames"].as_u64().expect("a count");
        let lost = document["summary"]["losses"]["evidence.not_written"].as_u64().expect("a count");
        say(&format!("{name}: {bytes} bytes, {stored} packets of {written}, {lost} without room"));
        assert!(bytes <= 64 << 10 && bytes > 32 << 10 && stored > 0, "{bytes} {stored}");
        // One file is full one day; of a folder the oldest are deleted.
        assert_eq!(if files.len() == 1 { stored as u64 + lost } else { written }, written);
        assert_eq!(lost > 0, files.len() == 1);
    }
}

#[test]
fn captures_are_not_written_over_and_places_that_are_none_are_told() {
    let scratch = tempfile::tempdir().expect("a folder");
    let capture = scratch.path().join("a.pcapng");
    storm(&capture);
    let before = fs::read(&capture).expect("a file");
    let finished = read(&[], &capture, &[&capture]);
    assert_eq!((finished.status.code(), &finished.stdout[..]), (Some(2), ""), "{}", finished.stderr);
    assert!(finished.stderr.contains("would be written over"), "{}", finished.stderr);
    assert!(fs::read(&capture).expect("a file") == before);
    let finished = read(&[], Path::new("/proc/none/x.pcapng"), &[&capture]);
    assert_eq!(finished.status.code(), Some(2), "{}", finished.stderr);
    assert!(finished.stderr.contains("--evidence /proc/none/x.pcapng: "), "{}", finished.stderr);
}

#[test]
fn a_reader_that_leaves_ends_the_evidence_and_that_is_said() {
    let scratch = tempfile::tempdir().expect("a folder");
    let (capture, evidence) = (scratch.path().join("a.pcap"), scratch.path().join("evidence.pcapng"));
    storm(&capture);
    let words = ["read", "--format", "ndjson", "--evidence"].map(OsString::from).into_iter();
    let run = OneShot::new(words.chain([evidence.clone().into(), capture.into()])).unread().expect("a pipe");
    let finished = run.run().expect("it runs");
    assert!(finished.status.success(), "{}", finished.stderr);
    assert!(finished.stderr.contains("--evidence ends where the output does"), "{}", finished.stderr);
    assert!(!packets(&evidence).is_empty());
}

/// `--since` and `--until` cut the evidence as they cut what is shown.
#[test]
fn evidence_is_of_the_period_that_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let capture = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join("ka_race_client_view.pcap");
    let kept = |words: &[&str]| {
        let file = folder.path().join(format!("e{}.pcapng", words.concat().replace([':', '/'], "")));
        let words: Vec<&str> = ["--format", "json"].iter().chain(words).copied().collect();
        let done = read(&words, &file, &[&capture]);
        assert!(done.status.success(), "{}", done.stderr);
        let shown: Value = serde_json::from_str(&done.stdout).expect("JSON");
        let shown = shown["connections"].as_array().expect("connections").clone();
        let ids: BTreeSet<String> = packets(&file)
            .iter()
            .map(|packet| between(&packet.comment, "rstprobe connection ", ":").to_owned())
            .collect();
        (shown, ids)
    };
    let (all, every) = kept(&[]);
    let with_rst = |shown: &[Value]| -> BTreeSet<String> {
        shown.iter().filter(|one| rsts(one) != [0, 0]).map(|one| one["id"].to_string()).collect()
    };
    assert!(every.len() > 1 && every == with_rst(&all), "{every:?}");
    let middle = all[all.len() / 2]["start"].as_str().expect("a time").to_owned();
    let [(late, since), (early, until)] = ["--since", "--until"].map(|option| kept(&[option, &middle]));
    assert_eq!((&since, &until), (&with_rst(&late), &with_rst(&early)));
    assert!(since.len() < every.len() && until.len() < every.len(), "{since:?} {until:?}");
    assert_eq!(since.union(&until).cloned().collect::<BTreeSet<_>>(), every);
}

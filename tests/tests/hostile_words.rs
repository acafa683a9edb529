//! Hostile words: whatever names, notes, files and arguments hold, nothing that a terminal obeys is printed, and no line that
//! is not the program's own.

use std::{
    ffi::{OsStr, OsString},
    fs,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use probe_tests::{
    conversation::COURSES,
    frame::TcpFrame,
    netns::Family,
    oneshot::OneShot,
    pcapng,
    reading::{frames, stations},
};
use probe_user::printable::is_escaped;

/// Clears the screen, turns the direction, begins a line of its own, hides what follows.
const HOSTILE: &str = "a\u{1b}[2J\u{202e}\u{9b}31m\r\nFORGED: all is well\u{2066}\u{7f}\u{feff}\u{85}z";
/// The beginning of a line that only somebody else can have written.
const FORGED: &str = "FORGED";

/// A folder with a hostile name, and in it a capture and a zones file with such names.
struct Scene {
    _folder: tempfile::TempDir,
    inside: PathBuf,
    capture: PathBuf,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().expect("a folder");
    let inside = folder.path().join(HOSTILE);
    fs::create_dir(&inside).expect("a folder of any name");
    let capture = inside.join(format!("{HOSTILE}.pcapng"));
    fs::write(&capture, hostile_capture()).expect("written");
    Scene { _folder: folder, inside, capture }
}

/// Conversations on an interface of such a name, and an RST with such a note.
fn hostile_capture() -> Vec<u8> {
    let mut file = [pcapng::section(), pcapng::interface(1, Some(HOSTILE))].concat();
    let mut all: Vec<_> = COURSES.iter().flat_map(|course| frames(course.script, 40_000)).collect();
    let (client, server) = stations(Family::V4, 40_001);
    let note = TcpFrame::new(server, client, 7).rst().ack(1).payload(HOSTILE.as_bytes());
    all.push(TcpFrame::new(client, server, 0).syn().bytes().expect("a frame"));
    all.push(note.bytes().expect("a frame"));
    for (number, frame) in all.iter().enumerate() {
        file.extend(pcapng::packet(0, (1 + number as u64) * 1_000_000_000, frame, frame.len() as u32));
    }
    file
}

fn words(words: &[&dyn AsRef<OsStr>]) -> Vec<OsString> {
    words.iter().map(|word| word.as_ref().to_owned()).collect()
}

/// Runs the program, and looks at both streams.
fn printed(words: &[OsString]) -> String {
    let finished = OneShot::new(words).unprivileged().run().expect("it ends");
    for (name, text) in [("stdout", &finished.stdout), ("stderr", &finished.stderr)] {
        assert_harmless(&format!("{name} of {words:?}"), text);
    }
    assert_ne!(finished.status.code(), Some(101), "{words:?} panics: {}", finished.stderr);
    finished.stdout + &finished.stderr
}

fn assert_harmless(what: &str, text: &str) {
    let is_obeyed = |character: char| !matches!(character, '\n' | '\t') && is_escaped(character);
    if let Some(line) = text.lines().find(|line| line.contains(is_obeyed)) {
        panic!("{what}: a character that a terminal obeys: {line:?}");
    }
    assert!(!text.lines().any(|line| line.starts_with(FORGED)), "{what}: a line of somebody else: {text}");
}

#[test]
fn what_is_read_is_shown_harmlessly_in_every_format() {
    let scene = scene();
    for format in ["table", "json", "ndjson", "csv", "zeek", "zeek-json"] {
        let text = printed(&words(&[&"read", &"--all", &"--format", &format, &scene.capture]));
        assert!(text.contains("40000") || format == "csv", "{format}: {text}");
    }
    for by in ["client", "server", "service", "cause,client", "time:1s", "client-zone"] {
        for format in ["table", "json", "csv"] {
            printed(&words(&[&"read", &"--by", &by, &"--format", &format, &scene.capture]));
        }
    }
    for number in ["1", "2", "3", "no_state", HOSTILE] {
        printed(&words(&[&"explain", &"-r", &scene.capture, &number]));
    }
}

#[test]
fn what_is_written_is_named_harmlessly() {
    let scene = scene();
    let page = scene.inside.join("page.html");
    printed(&words(&[&"report", &"-o", &page, &"-r", &scene.capture]));
    let html = fs::read_to_string(&page).expect("a page");
    assert!(!html.contains(|one| one != '\n' && is_escaped(one)), "a page with hidden characters");
    let evidence = scene.inside.join("evidence.pcapng");
    printed(&words(&[&"read", &"--evidence", &evidence, &"--evidence-filter", &"packets > 0", &scene.capture]));
    for packet in pcapng::packets(&fs::read(&evidence).expect("evidence")) {
        for text in [&packet.comment, &packet.interface.name, &packet.interface.description] {
            assert!(!text.contains(is_escaped), "{text:?}");
        }
    }
    let folder = scene.inside.join("evidence");
    printed(&words(&[&"read", &"--evidence", &folder, &"--evidence-filter", &"packets > 0", &scene.capture]));
    let json = scene.inside.join("out.json");
    printed(&words(&[&"read", &"--json-out", &json, &scene.capture]));
    assert_harmless("--json-out", &fs::read_to_string(&json).expect("written"));
    // Over what is there, and where nothing can be written.
    printed(&words(&[&"read", &"--evidence", &scene.capture, &scene.capture]));
    for option in ["--json-out", "--evidence"] {
        printed(&words(&[&"read", &option, &scene.inside.join("none").join("x.pcapng"), &scene.capture]));
    }
}

#[test]
fn files_that_cannot_be_read_are_named_harmlessly() {
    let scene = scene();
    let damaged = scene.inside.join(format!("damaged{HOSTILE}"));
    let bytes = hostile_capture();
    fs::write(&damaged, &bytes[..bytes.len() - 9]).expect("written");
    let other = scene.inside.join(format!("other{HOSTILE}"));
    fs::write(&other, HOSTILE).expect("written");
    let absent = scene.inside.join("absent");
    let not_utf8 = scene.inside.join(OsStr::from_bytes(b"\xff\x1b[2J\xfe"));
    for path in [&damaged, &other, &absent, &not_utf8, &scene.inside] {
        printed(&words(&[&"read", path]));
        printed(&words(&[path]));
        printed(&words(&[&"explain", &"-r", path, &"1"]));
        printed(&words(&[&"report", &"-o", &scene.inside.join("page"), &"-r", path]));
        printed(&words(&[&"read", &"--since", &"-5s", path]));
        printed(&words(&[&"read", &"--zones", path, &scene.capture]));
    }
}

/// Each a text of a zones file, with the hostile words as TOML may have them and as it may not.
fn zones_files() -> Vec<String> {
    let toml = HOSTILE.chars().fold(String::new(), |text, one| text + &format!("\\U{:08x}", one as u32));
    let mut files = vec![];
    for text in [&toml, HOSTILE] {
        files.extend([
            format!("[[zone]]\nname = \"{text}\"\nprefixes = [\"10.0.0.0/8\"]\n"),
            format!("[[zone]]\nname = \"a\"\nprefixes = [\"{text}\"]\n"),
            format!("[[zone]]\nname = \"a\"\ninterfaces = [\"{text}\"]\n"),
            format!("[[zone]]\nname = \"{text}\"\n"),
            format!("[[service]]\nname = \"{text}\"\nports = [80]\n"),
            format!("[[service]]\nname = \"a\"\nports = [\"{text}\"]\n"),
            format!("[[service]]\nname = \"a\"\nports = [80]\nzone = \"{text}\"\n"),
            format!("services_file = \"{text}\"\n"),
            format!("\"{text}\" = 1\n"),
            format!("{text} = 1\n"),
            format!("default_zones = \"{text}\"\n"),
        ]);
    }
    files
}

#[test]
fn what_a_zones_file_says_is_repeated_harmlessly() {
    let scene = scene();
    let zones = scene.inside.join("zones.toml");
    for text in zones_files() {
        fs::write(&zones, &text).expect("written");
        for format in ["table", "json"] {
            printed(&words(&[&"read", &"--zones", &zones, &"--format", &format, &scene.capture]));
            printed(&words(&[
                &"read",
                &"--zones",
                &zones,
                &"--by",
                &"client-zone",
                &"--format",
                &format,
                &scene.capture,
            ]));
        }
    }
}

#[test]
fn arguments_are_repeated_harmlessly() {
    let scene = scene();
    let capture: &Path = &scene.capture;
    for option in [
        "--filter",
        "--by",
        "--having",
        "--sort",
        "--columns",
        "--since",
        "--until",
        "--format",
        "--color",
        "--encap",
        "--domain",
        "--timers",
        "--evidence-filter",
        "--evidence-max",
        "--evidence-age",
        "--vxlan-port",
        "--limit",
        "--max-connections",
        "--threads",
        "--top",
        "--encap-depth",
        "--nothing-such",
    ] {
        for value in [HOSTILE.to_owned(), format!("\"{HOSTILE}\""), format!("rst.count = {HOSTILE}")] {
            printed(&words(&[&"read", &option, &value, &capture]));
            printed(&words(&[&"read", &"--by", &"client", &option, &value, &capture]));
            let joined = format!("{option}={value}");
            printed(&words(&[&"read", &joined, &capture]));
        }
    }
    for command in [HOSTILE, "explain", "help", "show", "fields", "detach", "doctor", "report", "run", "snapshot"] {
        printed(&words(&[&command, &HOSTILE]));
        printed(&words(&[&command, &"-i", &HOSTILE]));
        printed(&words(&[&command, &"--format", &HOSTILE]));
    }
    for option in ["--filter", "--evidence", "--zones", "--mode", "--drain", "--for", "--flood-at", "--slots"] {
        printed(&words(&[&"run", &"-i", &"lo", &option, &HOSTILE]));
        printed(&words(&[&"snapshot", &"-i", &HOSTILE, &option, &HOSTILE]));
    }
}

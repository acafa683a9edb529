//! Compression in and out: `--compress` and names of files change nothing but the bytes, and compressed captures say what plain
//! ones say, with any number of threads.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{BufRead as _, BufReader, BufWriter, Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use probe_tests::{
    bench::capture,
    oneshot::OneShot,
    probe::{Finished, binary},
};

const KINDS: [(&str, &str); 2] = [("gzip", "gz"), ("zstd", "zst")];
const FORMATS: [&[&str]; 8] = [
    &["--format", "table", "--all"],
    &["--format", "json"],
    &["--format", "ndjson"],
    &["--format", "zeek"],
    &["--format", "zeek-json"],
    &["--by", "server", "--format", "csv"],
    &["--by", "client", "--format", "json"],
    &["-o", "-"],
];
/// More output than is on the way at once.
const PACKETS: u64 = 10_000;
/// Between two of them: some connections are final, five seconds after their end, long before the capture ends.
const GAP_US: u64 = 1500;

fn capture_in(folder: &Path) -> PathBuf {
    let file = folder.join("c.pcap");
    capture::mixed(BufWriter::new(File::create(&file).expect("a file")), 7, PACKETS, GAP_US).expect("written");
    file
}

/// One whole member or frame; anything else is no output of ours.
fn unpacked(how: &str, bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    if how == "gzip" {
        let mut rest = bytes;
        flate2::bufread::GzDecoder::new(&mut rest).read_to_end(&mut plain).expect("whole");
        assert_eq!(rest.len(), 0, "one member");
    } else {
        zstd::Decoder::new(bytes).expect("memory").read_to_end(&mut plain).expect("whole");
    }
    plain
}

fn packed(how: &str, bytes: &[u8]) -> Vec<u8> {
    if how == "zstd" {
        return zstd::encode_all(bytes, 1).expect("in memory");
    }
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).expect("in memory");
    encoder.finish().expect("in memory")
}

/// `rstprobe read <file> <words>`, what it said and what it wrote.
fn read(files: &[&Path], words: &[&str]) -> (Finished, Vec<u8>) {
    let stdout = tempfile::NamedTempFile::new().expect("a file");
    let files = files.iter().map(OsString::from);
    let words: Vec<_> = ["read"].iter().chain(words).map(OsString::from).chain(files).collect();
    let done = OneShot::new(words).into_file(stdout.reopen().expect("open")).run().expect("rstprobe runs");
    (done, fs::read(stdout.path()).expect("written"))
}

#[test]
fn every_format_is_the_same_but_for_the_compression() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = capture_in(folder.path());
    let cut = folder.path().join("cut.pcap");
    let bytes = fs::read(&file).expect("read");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("written");
    let empty = folder.path().join("empty.pcap");
    fs::write(&empty, &bytes[..24]).expect("written");
    for words in FORMATS {
        for (file, code) in [(&file, 0), (&cut, 1), (&empty, 0)] {
            let (plain, text) = read(&[file], words);
            assert_eq!(plain.status.code(), Some(code), "{}", plain.stderr);
            for ((how, _), threads) in KINDS.iter().zip(["1", "3"]) {
                let (done, bytes) = read(&[file], &[words, &["--compress", how, "--threads", threads]].concat());
                assert_eq!((done.status.code(), &done.stderr), (Some(code), &plain.stderr), "{words:?} {how}");
                assert!(unpacked(how, &bytes) == text, "{words:?} {how}");
                assert!(text.len() < 100_000 || bytes.len() * 3 < text.len(), "{words:?}: {} bytes", bytes.len());
            }
        }
    }
}

#[test]
fn files_are_compressed_by_their_names() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = capture_in(folder.path());
    let written = |option: &str, name: &str| {
        let path = folder.path().join(name);
        let (done, _) = read(&[&file], &[option, &path.display().to_string()]);
        assert!(done.status.success(), "{}", done.stderr);
        fs::read(path).expect("written")
    };
    for (option, name) in [("--json-out", "all.json"), ("-o", "page.html")] {
        let plain = written(option, name);
        for (how, ending) in KINDS {
            assert!(unpacked(how, &written(option, &format!("{name}.{ending}"))) == plain, "{name}.{ending}");
        }
    }
}

#[test]
fn where_compression_is_of_no_use_it_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = capture_in(folder.path());
    let page = folder.path().join("page.html");
    let (done, bytes) = read(&[&file], &["--compress", "gzip", "-o", &page.display().to_string()]);
    assert_eq!((done.status.code(), bytes.len(), page.exists()), (Some(2), 0, false));
    assert!(
        done.stderr.contains("--compress is for standard output") && done.stderr.contains(".gz"),
        "{}",
        done.stderr
    );
    // Both ends of a pseudo-terminal are terminals.
    let terminal = || File::options().read(true).write(true).open("/dev/ptmx").expect("a pseudo-terminal");
    for format in ["table", "ndjson"] {
        let words = ["read", "--compress", "zstd", "--format", format].map(OsString::from);
        let done = OneShot::new(words.into_iter().chain([file.clone().into()])).into_file(terminal()).run();
        let done = done.expect("rstprobe runs");
        assert_eq!(done.status.code(), Some(2), "{}", done.stderr);
        assert!(done.stderr.contains("standard output is a terminal"), "{}", done.stderr);
    }
}

#[test]
fn a_reader_that_has_gone_ends_it_without_a_word() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = capture_in(folder.path());
    let gz = folder.path().join("c.pcap.gz");
    fs::write(&gz, packed("gzip", &fs::read(&file).expect("read"))).expect("written");
    for (compress, file) in [(None, &gz), (Some("gzip"), &file), (Some("zstd"), &gz)] {
        let words = ["read", "--format", "ndjson"].into_iter().map(OsString::from);
        let compress = compress.into_iter().flat_map(|how| ["--compress", how]).map(OsString::from);
        let words = words.chain(compress).chain([file.into()]);
        let done = OneShot::new(words).unread().expect("a pipe").run().expect("rstprobe runs");
        assert_eq!((done.status.code(), done.stderr.as_str()), (Some(0), ""));
    }
}

#[test]
fn compressed_captures_say_what_plain_ones_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = capture_in(folder.path());
    let bytes = fs::read(&file).expect("read");
    // The second half is a capture of its own.
    let starts = record_starts(&bytes);
    let half = starts[starts.len() / 2];
    let halves = [bytes[..half].to_vec(), [&bytes[..24], &bytes[half..]].concat()];
    let words = ["--format", "ndjson", "--sandbox", "require"];
    let (_, whole) = read(&[&file], &words);
    for (how, ending) in KINDS {
        let paths: Vec<PathBuf> = (1..)
            .zip(&halves)
            .map(|(number, half)| {
                let path = folder.path().join(format!("{number}.pcap.{ending}"));
                fs::write(&path, packed(how, half)).expect("written");
                path
            })
            .collect();
        let cut = folder.path().join(format!("cut.pcap.{ending}"));
        let all = packed(how, &bytes);
        fs::write(&cut, &all[..all.len() / 2]).expect("written");
        let mut ends = Vec::new();
        for threads in ["1", "2", "8"] {
            let words = [&words[..], &["--threads", threads]].concat();
            let (done, text) = read(&[&paths[0], &paths[1]], &words);
            assert!(done.status.success(), "{}", done.stderr);
            assert!(text == whole, "{how}, {threads} threads");
            let (done, text) = read(&[&cut], &words);
            assert_eq!(done.status.code(), Some(1));
            let missing = folder.path().join("missing.pcap");
            let (then, before) = read(&[&paths[0], &missing, &paths[1]], &words);
            ends.push((done.stderr, text, then.status.code(), then.stderr, before));
        }
        assert!(ends[0].0.contains("cannot read on at byte"), "{}", ends[0].0);
        assert!(ends.iter().all(|end| *end == ends[0]), "{how}");
    }
}

/// Where records of a capture with a header of 24 bytes begin.
fn record_starts(bytes: &[u8]) -> Vec<usize> {
    let mut starts = vec![24];
    while let Some(len) = starts.last().and_then(|start| bytes.get(start + 8..start + 12)) {
        let len = u32::from_le_bytes(len.try_into().expect("four bytes")) as usize;
        starts.push(starts[starts.len() - 1] + 16 + len);
    }
    starts.pop();
    starts
}

#[test]
fn lines_come_while_a_pipe_is_open_compressed_on_both_sides() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = fs::read(capture_in(folder.path())).expect("read");
    let mut child = Command::new(binary())
        .args(["read", "-", "--threads", "3", "--format", "zeek", "--compress", "gzip"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("rstprobe runs");
    let mut into = flate2::write::GzEncoder::new(child.stdin.take().expect("a pipe"), flate2::Compression::fast());
    into.write_all(&bytes).and_then(|()| into.flush()).expect("it is read");
    let mut lines = BufReader::new(flate2::read::GzDecoder::new(child.stdout.take().expect("a pipe"))).lines();
    // Nothing more is written meanwhile, and the pipe stays open.
    let shown = lines.by_ref().map(|line| line.expect("valid")).take(100).collect::<Vec<_>>();
    assert!(shown[0].starts_with("#separator") && shown[99].split('\t').count() > 15, "{shown:?}");
    drop(into);
    let more: Vec<String> = lines.map(|line| line.expect("whole to its end")).collect();
    assert!(more.len() > 100, "{} more lines", more.len());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
}

/// What cannot be written is an error, whoever finds out, and when: the writer's thread may do so after all has been handed over.
#[test]
fn a_full_disk_is_never_a_success() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("c.pcap");
    capture::mixed(BufWriter::new(File::create(&file).expect("a file")), 3, 120, GAP_US).expect("written");
    for (turn, (format, threads)) in (0..60).zip([("zeek", "2"), ("ndjson", "4"), ("zeek", "1")].into_iter().cycle()) {
        let (compress, _) = KINDS[turn % 2];
        let words = ["read", "--format", format, "--compress", compress, "--threads", threads];
        let full = File::create("/dev/full").expect("a device");
        let done =
            Command::new(binary()).args(words).arg(&file).stdout(full).stderr(Stdio::piped()).output().expect("runs");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(1), "{words:?}: {said}");
        assert!(said.contains("No space left"), "{words:?}: {said}");
    }
}

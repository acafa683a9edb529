//! Threads of `rstprobe read`: whatever their number, what is printed is the same, byte for byte, on standard output and on
//! standard error, and so is the exit code.
//!
//! Every capture is read by 1, 2, 3 and 8 threads. Formats and views go in rotation over the captures of the oracle, which are
//! many, and over the random ones: each capture is read in one of them, and each of them is used for dozens of captures of
//! every kind. The cases are read in two. The captures of the oracle lie beside the workspace (`../shared/oracle`), not in it:
//! where they are absent a test says SKIP; with CI=true that is a failure.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use probe_tests::{
    bench::capture,
    conversation, odd,
    oneshot::OneShot,
    oracle,
    pcap::{self, Pcap, Random},
    tier::say,
};

const FORMATS: [&[&str]; 16] = [
    &["--format", "json"],
    &["--format", "table", "--all"],
    &["--format", "ndjson"],
    &["--format", "zeek"],
    &["--format", "table"],
    &["--format", "zeek-json"],
    &["--by", "server", "--format", "csv"],
    &["--filter", "rst.count > 0", "--format", "ndjson"],
    &["--format", "zeek", "--no-checksums"],
    &["--by", "cause,client", "--format", "json"],
    &["--filter", "cause != none", "--format", "table"],
    &["--by", "time:10s", "--format", "ndjson"],
    &["--since", "-2s", "--format", "json"],
    &["--max-connections", "3", "--format", "ndjson"],
    &["--by", "service", "--format", "table", "--all"],
    PAGE,
];
/// Of `rstprobe report`, which reads in the same way.
const PAGE: &[&str] = &["report"];
const THREADS: [&str; 4] = ["1", "2", "3", "8"];

/// How it ended, and what it printed.
type Output = (Option<i32>, String, String);

fn output(files: &[&Path], words: &[&str], threads: &str, input: Option<&[Vec<u8>]>) -> Output {
    let first: &[&str] = if words == PAGE { &["report", "-o", "-", "-r"] } else { &["read"] };
    let files = files.iter().map(|file| file.as_os_str().to_owned());
    let more = if words == PAGE { &[] } else { words };
    let words = ["--threads", threads].into_iter().chain(more.iter().copied()).map(OsString::from);
    let run = OneShot::new(first.iter().map(OsString::from).chain(files).chain(words));
    let run = if let Some(pieces) = input { run.fed(pieces.to_vec()) } else { run };
    let done = run.run().expect("rstprobe runs");
    assert!(!done.stderr.contains("panicked"), "{}", done.stderr);
    (done.status.code(), done.stdout, done.stderr)
}

/// Holds what is printed by any number of threads against what one prints; that.
fn hold_equal(files: &[&Path], words: &[&str], input: Option<&[Vec<u8>]>) -> Output {
    let one = output(files, words, THREADS[0], input);
    for threads in &THREADS[1..] {
        let many = output(files, words, threads, input);
        assert!(many == one, "{files:?} {words:?}, {threads} threads: {}", difference(&one, &many));
    }
    one
}

/// The first line that differs.
fn difference(one: &Output, many: &Output) -> String {
    if one.0 != many.0 {
        return format!("ends with {:?} instead of {:?}", many.0, one.0);
    }
    for (one, many) in [(&one.1, &many.1), (&one.2, &many.2)] {
        let mut lines = one.lines().map(Some).chain([None]).zip(many.lines().map(Some).chain([None]));
        if let Some((one, many)) = lines.find(|(one, many)| one != many) {
            return format!("{many:?} instead of {one:?}");
        }
    }
    "the end of a line".to_owned()
}

/// In turn one format of all.
fn in_turn(number: usize) -> &'static [&'static str] {
    FORMATS[number % FORMATS.len()]
}

#[test]
fn captures_of_the_oracle() {
    let Some(folder) = oracle::folder() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        return say("SKIP captures_of_the_oracle: no captures at ../shared/oracle");
    };
    let captures = oracle::captures(&folder).expect("captures");
    assert!(captures.len() > 700, "only {} captures", captures.len());
    let mut printed = 0;
    for (number, capture) in captures.iter().enumerate() {
        printed += usize::from(!hold_equal(&[&capture.path], in_turn(number), None).1.is_empty());
    }
    assert!(printed > 600, "only {printed} captures have any output");
}

#[test]
fn cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension != "json"));
    files.sort();
    assert!(files.len() > 60, "only {} captures", files.len());
    for (number, file) in files.iter().enumerate() {
        hold_equal(&[file], in_turn(number), None);
        hold_equal(&[file], in_turn(number + FORMATS.len() / 2), None);
    }
}

/// Conversations that end in every way and lie in more batches than one, among frames that parsers fail on; times that stand
/// still, jump and go back.
fn random_capture(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let count = 30 + random.below(300) as u32;
    let (frames, odd) = (conversation::traffic(&mut random, count).expect("courses"), odd::all());
    let odd: Vec<_> = odd.into_iter().filter(|odd| odd.link == pcap::ETHERNET).collect();
    let mut capture = Pcap::new(pcap::ETHERNET);
    let mut time_ns = 1_700_000_000_000_000_000;
    let often = [10, 100, 1000][random.below(3)];
    for frame in frames {
        time_ns += [0, 1000, 1_000_000][random.below(3)];
        if random.once_in(often) {
            time_ns += [6_000_000_000, 61_000_000_000, 400_000_000_000][random.below(3)];
        }
        let late_ns = if random.once_in(50) { 2_000_000_000 } else { 0 };
        capture.push(time_ns - late_ns, &frame);
        if random.once_in(20) {
            capture.push(time_ns, &odd[random.below(odd.len())].bytes);
        }
    }
    capture.into_bytes()
}

/// Writes it; its path.
fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let file = folder.join(name);
    fs::write(&file, bytes).expect("written");
    file
}

#[test]
fn random_captures() {
    let folder = tempfile::tempdir().expect("a folder");
    for number in 0..300 {
        let file = written(folder.path(), "random.pcap", &random_capture(1 + number));
        hold_equal(&[&file], in_turn(number as usize), None);
    }
}

/// As the bench reads it, only shorter.
fn bench_capture(seed: u64, packets: u64, gap_us: u64) -> Vec<u8> {
    let mut bytes = vec![];
    capture::mixed(&mut bytes, seed, packets, gap_us).expect("in memory");
    bytes
}

#[test]
fn the_capture_of_the_bench_in_every_format() {
    let folder = tempfile::tempdir().expect("a folder");
    let bytes = bench_capture(1, 30_000, 300);
    let whole = written(folder.path(), "bench.pcap", &bytes);
    // In the middle of a frame: how it ends is told the same.
    let cut = written(folder.path(), "cut.pcap", &bytes[..bytes.len() - 7]);
    for (number, words) in FORMATS.iter().enumerate() {
        assert_eq!(hold_equal(&[&whole], words, None).0, Some(0), "{words:?}");
        if number % 3 == 0 {
            let (code, _, said) = hold_equal(&[&cut], words, None);
            assert!(code == Some(1) && said.contains("cut.pcap"), "{words:?}: {code:?} {said}");
        }
    }
}

#[test]
fn captures_from_a_pipe_in_pieces() {
    let random = random_capture(400);
    let captures = [bench_capture(2, 3_000, 20_000), random.clone(), random[..random.len() - 5].to_vec(), vec![]];
    for (number, bytes) in captures.iter().enumerate() {
        for (at, most) in [100_000, 4096, 1500].into_iter().enumerate() {
            // Frames begin and end anywhere in them.
            let mut lengths = Random::new(most as u64);
            let (mut pieces, mut rest) = (vec![], &bytes[..]);
            while !rest.is_empty() {
                let (piece, more) = rest.split_at((1 + lengths.below(most)).min(rest.len()));
                pieces.push(piece.to_vec());
                rest = more;
            }
            hold_equal(&[Path::new("-")], FORMATS[(number + 3 * at) % 4], Some(&pieces));
        }
    }
}

#[test]
fn compressed_captures_and_several_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let plain = written(path, "a.pcap", &bench_capture(3, 4_000, 1000));
    let packed = Command::new("gzip").arg("-c").arg(&plain).output().expect("gzip").stdout;
    let cut = written(path, "cut.pcap.gz", &packed[..packed.len() - 100]);
    let packed = written(path, "a.pcap.gz", &packed);
    let random = written(path, "b.pcap", &random_capture(401));
    let missing = path.join("missing.pcap");
    let empty = written(path, "empty.pcap", &Pcap::new(pcap::ETHERNET).into_bytes());
    let calls: [&[&Path]; 8] = [
        &[&packed],
        &[&cut],
        &[&empty],
        &[&plain, &random],
        &[&random, &packed, &plain],
        &[&plain, &cut, &random],
        &[&empty, &random, &empty],
        &[&plain, &missing, &random],
    ];
    for (number, files) in calls.into_iter().enumerate() {
        hold_equal(files, in_turn(number), None);
        hold_equal(files, in_turn(number + 5), None);
    }
}

//! Threads of `rstprobe read`: whatever their number, the output is the same, byte for byte, in every format.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
};

use probe_tests::{bench::capture, oneshot::OneShot};

const FORMATS: [&[&str]; 6] = [
    &["--format", "table", "--all"],
    &["--format", "json"],
    &["--format", "ndjson"],
    &["--format", "zeek"],
    &["--by", "server", "--format", "csv"],
    &["--filter", "rst.count > 0", "--format", "ndjson"],
];
/// Segments of the captures that are made here: several batches, and conversations that lie in more than one.
const PACKETS: u64 = 6_000;

fn output(file: &Path, words: &[&str], threads: &str) -> (Option<i32>, String, String) {
    let words: Vec<OsString> = ["read", "--threads", threads].iter().chain(words).map(OsString::from).collect();
    let done = OneShot::new(words.into_iter().chain([file.into()])).run().expect("rstprobe runs");
    (done.status.code(), done.stdout, done.stderr)
}

fn hold_equal(file: &Path) {
    for words in FORMATS {
        let one = output(file, words, "1");
        for threads in ["2", "3", "8"] {
            assert!(output(file, words, threads) == one, "{} {words:?}, {threads} threads", file.display());
        }
    }
}

#[test]
fn generated_captures() {
    let folder = tempfile::tempdir().expect("a folder");
    for seed in 0..4 {
        let file = folder.path().join(format!("{seed}.pcap"));
        let into = BufWriter::new(File::create(&file).expect("a file"));
        capture::mixed(into, seed, PACKETS, 300).expect("written");
        hold_equal(&file);
        // Cut in the middle of a frame: how it ends is told the same.
        let bytes = fs::read(&file).expect("read");
        fs::write(&file, &bytes[..bytes.len() - 7]).expect("written");
        hold_equal(&file);
    }
}

#[test]
fn captures_with_other_frames() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases");
    let files: Vec<PathBuf> = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.path()).collect();
    let captures = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "pcap"));
    assert!(captures.clone().count() > 30);
    captures.for_each(|file| hold_equal(file));
}

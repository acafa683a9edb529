//! Faults: what goes wrong around a sensor while it watches. For each: a word to the operator, counters, the exit code, and no
//! lost book. The table is in `probe-user/docs/faults.md`.
//!
//! Interfaces are in `interface_faults.rs`, readers that stall or leave in `agent.rs`; a clock that is set needs a machine of its
//! own: check `faults` of `cargo xtask vm`.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use probe_tests::{
    both_legs::{assert_calm, ndjson},
    fault::{balanced, ended, loss, opening, place, reset, resets, start, summary, text},
    leftover,
    netns::{SINK, SOURCE},
    oneshot::OneShot,
    pcap::{ETHERNET, Pcap},
    sys,
    tier::{privileged, say},
};
use serde_json::Value;

/// A connection is final 5 s after its end.
const LINGER: Duration = Duration::from_secs(7);

/// Runs `test` with a file system of so many KiB of its own, mounted on the folder that it is given.
fn on_small_disk(kib: u32, test: impl FnOnce(&Path) + Send) {
    let folder = tempfile::tempdir().expect("a folder");
    let on = || {
        sys::own_mounts().expect("mounts of its own");
        let size = format!("size={kib}k");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "none"]).arg(folder.path()).status();
        assert!(mounted.expect("mount runs").success());
        test(folder.path());
    };
    thread::scope(|scope| scope.spawn(on).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}

/// Takes all room but so much.
fn fill(folder: &Path, but_kib: u64) {
    let path = folder.join("filling");
    let written =
        io::copy(&mut io::repeat(b'x'), &mut File::create(&path).expect("a file")).expect_err("the disk is full");
    assert_eq!(written.kind(), io::ErrorKind::StorageFull);
    let len = fs::metadata(&path).expect("a file").len();
    File::options().write(true).open(&path).and_then(|file| file.set_len(len - but_kib * 1024)).expect("shortened");
}

#[test]
fn evidence_on_a_full_disk_ends_with_a_word_and_costs_nothing_else() {
    privileged("faults", "evidence_on_a_full_disk_ends_with_a_word_and_costs_nothing_else", || {
        for name in ["kept.pcapng", "kept"] {
            on_small_disk(256, |disk| {
                fill(disk, 24);
                let (place, path) = (place(), disk.join(name));
                let probe = start(&place, &["run", "-i", SINK, "--format", "ndjson", "--evidence", text(&path)]);
                resets(&place, SOURCE, 1000, 60);
                thread::sleep(LINGER);
                let finished = probe.stop().expect("it ends");
                ended(&finished, 1, &["No space left on device"]);
                // While it watches, not only when it ends.
                let at_once = finished.stderr.find("no more evidence is written from now on").expect("a word at once");
                assert!(at_once < finished.stderr.find("the evidence ends there").expect("the last word"));
                let sum = summary(&finished);
                assert_eq!(sum["connections"], 60, "{sum}");
                let (kept, lost) = (sum["books"]["evidence.frames"].as_u64(), loss(&sum, "evidence.not_written"));
                assert!(lost > 0 && kept.is_some_and(|kept| kept >= lost), "{kept:?} {lost}");
                whole_blocks(&path);
            });
        }
    });
}

/// What is there can be read to its end.
fn whole_blocks(path: &Path) {
    let mut files: Vec<PathBuf> = match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| entry.expect("an entry").path()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    files.retain(|file| {
        file.extension().is_some_and(|kind| kind == "pcapng") && fs::metadata(file).is_ok_and(|f| f.len() > 0)
    });
    for file in files {
        let read = OneShot::new(["read", text(&file), "--format", "json"]).run().expect("it reads");
        assert_eq!(read.status.code(), Some(0), "{}", read.stderr);
        assert!(!read.stderr.contains("cut"), "{}", read.stderr);
    }
}

#[test]
fn every_output_on_a_full_disk_is_told_by_name_and_the_others_are_whole() {
    privileged("faults", "every_output_on_a_full_disk_is_told_by_name_and_the_others_are_whole", || {
        on_small_disk(128, |disk| {
            fill(disk, 0);
            let place = place();
            for words in [
                &["snapshot"][..],
                &["snapshot", "--format", "json"],
                &["run"],
                &["run", "--format", "ndjson"],
                &["run", "--format", "zeek"],
                &["snapshot", "--by", "server", "--format", "csv"],
            ] {
                let out = File::create(disk.join("out")).expect("an empty file");
                let words = [words, &["-i", SINK, "--for", "300ms"]].concat();
                let finished = OneShot::new(&words).into_file(out).run_in(&place.namespace).expect("it ends");
                ended(&finished, 1, &["standard output: No space left on device"]);
            }
            let file = disk.join("document.json");
            let words = ["snapshot", "-i", SINK, "--for", "300ms", "--format", "json", "--json-out", text(&file)];
            let finished = OneShot::new(words).run_in(&place.namespace).expect("it ends");
            ended(&finished, 1, &["document.json: No space left on device"]);
            let printed: Value = serde_json::from_str(&finished.stdout).expect("a whole document");
            balanced(&printed["summary"]);
            assert_eq!(leftover::attached(&place.namespace).expect("ip works").len(), 0);
        });
    });
}

#[test]
fn a_closed_standard_output_is_an_error_that_is_told() {
    privileged("faults", "a_closed_standard_output_is_an_error_that_is_told", || {
        let place = place();
        for format in ["table", "json", "ndjson"] {
            let words = ["snapshot", "-i", SINK, "--for", "200ms", "--format", format];
            let finished = OneShot::new(words).after("exec >&-").run_in(&place.namespace).expect("it ends");
            ended(&finished, 1, &["standard output: Bad file descriptor"]);
        }
    });
}

#[test]
fn out_of_file_descriptors_is_told_with_what_helps() {
    privileged("faults", "out_of_file_descriptors_is_told_with_what_helps", || {
        let place = place();
        let mut refused = 0;
        // Three are open before it begins.
        for limit in 5..70 {
            let words = ["snapshot", "-i", SINK, "--for", "50ms", "--format", "json"];
            let one = OneShot::new(words).after(&format!("ulimit -n {limit}"));
            let finished = one.run_in(&place.namespace).expect("it ends");
            match finished.status.code() {
                Some(0) => {
                    let document: Value = serde_json::from_str(&finished.stdout).expect("a document");
                    balanced(&document["summary"]);
                }
                Some(code @ (1 | 5)) => {
                    ended(&finished, code, &["ulimit -n"]);
                    refused += 1;
                }
                other => panic!("with {limit} files it ended with {other:?}: {}", finished.stderr),
            }
            assert_calm(&finished);
            assert_eq!(leftover::attached(&place.namespace).expect("ip works").len(), 0, "with {limit} files");
        }
        assert!((10..65).contains(&refused), "refused {refused} times");
    });
}

#[test]
fn little_locked_memory_is_no_obstacle_or_one_that_is_told() {
    privileged("faults", "little_locked_memory_is_no_obstacle_or_one_that_is_told", || {
        let place = place();
        let words = ["snapshot", "-i", SINK, "--for", "100ms", "--format", "json"];
        let finished = OneShot::new(words).after("ulimit -l 64").run_in(&place.namespace).expect("it ends");
        // Linux 5.11 and newer count the tables elsewhere; before, root may raise the limit.
        ended(&finished, 0, &[]);
    });
}

/// A memory control group of our own; removed on drop.
struct MemoryGroup(PathBuf);

impl MemoryGroup {
    /// With a limit; `None` where this machine has no such controller, or it is not ours to use.
    fn with_limit(bytes: u64) -> Option<Self> {
        let name = format!("rstp-faults-{}", std::process::id());
        for (root, limit) in [("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")] {
            let group = Path::new(root).join(&name);
            if fs::create_dir(&group).is_err() {
                continue;
            }
            let group = Self(group);
            if fs::write(group.0.join(limit), bytes.to_string()).is_ok() {
                return Some(group);
            }
        }
        None
    }
}

impl Drop for MemoryGroup {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir(&self.0) {
            say(&format!("cannot remove {}: {error}", self.0.display()));
        }
    }
}

#[test]
fn a_memory_group_without_room_for_the_tables_is_told() {
    privileged("faults", "a_memory_group_without_room_for_the_tables_is_told", || {
        let Some(group) = MemoryGroup::with_limit(96 << 20) else {
            return say("SKIP a_memory_group_without_room_for_the_tables_is_told: no memory control group to be had");
        };
        let place = place();
        // Far more than the group may have; the program itself takes far less.
        let words = ["snapshot", "-i", SINK, "--for", "100ms", "--slots", "1048576"];
        let enter = format!("echo $$ > {}/cgroup.procs", group.0.display());
        let finished = OneShot::new(words).after(&enter).run_in(&place.namespace).expect("it ends");
        ended(&finished, 5, &["Cannot allocate memory", "smaller --slots and --log"]);
        assert_eq!(leftover::attached(&place.namespace).expect("ip works").len(), 0);
    });
}

#[test]
fn a_stopped_process_loses_no_book_and_says_that_it_did_not_run() {
    privileged("faults", "a_stopped_process_loses_no_book_and_says_that_it_did_not_run", || {
        const STOPPED: Duration = Duration::from_secs(10);
        let place = place();
        let probe = start(&place, &["run", "-i", SINK, "--format", "ndjson"]);
        resets(&place, SOURCE, 1000, 5);
        thread::sleep(Duration::from_secs(1));
        sys::pause(probe.pid(), true).expect("a signal is sent");
        resets(&place, SOURCE, 2000, 200);
        thread::sleep(STOPPED);
        sys::pause(probe.pid(), false).expect("a signal is sent");
        thread::sleep(Duration::from_secs(1));
        resets(&place, SOURCE, 3000, 5);
        let finished = probe.stop().expect("it ends");
        ended(&finished, 0, &["rstprobe: did not run for 1"]);
        let sum = summary(&finished);
        let untracked: u64 =
            ["syn", "syn_ack", "rst"].map(|kind| loss(&sum, &format!("untracked.{kind}"))).iter().sum();
        assert_eq!((&sum["connections"], untracked), (&210.into(), 0), "{sum}");
        assert_eq!(
            [&sum["books"]["tcp"], &sum["books"]["agent.stalls"]],
            [&Value::from(5 * 210), &Value::from(1)],
            "{sum}"
        );
        assert!(sum["books"]["agent.stalled_ms"].as_u64().is_some_and(|ms| ms >= 10_000), "{sum}");
    });
}

#[test]
fn time_that_goes_back_in_a_capture_is_told_and_loses_no_segment() {
    const SECOND: u64 = 1_000_000_000;
    const BEGIN: u64 = 1_700_000_000 * SECOND;
    let mut capture = Pcap::new(ETHERNET);
    // Set back by two hours and forward by four, between connections and within one.
    let frames =
        |port: u16| opening(port).into_iter().chain([reset(port)]).map(|frame| frame.bytes().expect("a frame"));
    for (at, port) in [(BEGIN, 1000), (BEGIN - 7200 * SECOND, 2000), (BEGIN + 7200 * SECOND, 3000)] {
        for (step, frame) in frames(port).enumerate() {
            capture.push(at + step as u64 * SECOND / 100, &frame);
        }
    }
    for (step, frame) in frames(4000).enumerate() {
        let back = if step < 3 { 0 } else { 3600 * SECOND };
        capture.push(BEGIN + 7300 * SECOND + step as u64 * SECOND / 100 - back, &frame);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("back.pcap");
    fs::write(&file, capture.into_bytes()).expect("written");
    let finished = OneShot::new(["read", text(&file), "--format", "ndjson"]).run().expect("it reads");
    ended(&finished, 0, &["goes back 2 times, by up to 7200", "durations and timeouts around it are unsure"]);
    let lines = ndjson(&finished.stdout);
    let sum = lines.last().expect("a summary");
    assert_eq!([&sum["books"]["tcp"], &sum["packets"]], [&Value::from(20), &Value::from(20)], "{sum}");
    let through = lines.iter().find(|line| line["client"]["port"] == 4000).expect("the one that it went back within");
    assert!(through["duration_s"].as_f64().is_some_and(|seconds| (0.0..1.0).contains(&seconds)), "{through}");
    for port in [1000, 3000] {
        let one = lines.iter().find(|line| line["client"]["port"] == port).expect("one that it did not go back within");
        assert_eq!(one["cause"]["id"], "app_abort", "{one}");
    }
}

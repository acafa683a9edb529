//! Faults: what goes wrong around a sensor while it watches. For each: a word to the operator, counters, the exit code, and no
//! lost book. The table is in `probe-user/docs/faults.md`.
//!
//! Readers that stall or leave are in `agent.rs`; a clock that is set needs a machine of its own: check `clock` of
//! `cargo xtask vm`.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    ffi::OsString,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Duration,
};

use probe_tests::{
    both_legs::{assert_calm, ndjson},
    frame::{Station, TcpFrame},
    leftover,
    netns::{CLIENT_MAC, Family, Loop, SERVER_MAC, SINK, SOURCE},
    oneshot::OneShot,
    pcap::{ETHERNET, Pcap},
    probe::{Finished, Probe},
    sys::{self, Outlet},
    tier::{privileged, say},
};
use serde_json::Value;

/// The agent looks at its interfaces once a second.
const NOTICED: Duration = Duration::from_millis(2500);
/// A connection is final 5 s after its end.
const LINGER: Duration = Duration::from_secs(7);

/// A pair that goes on while another has its faults.
const OTHER: (&str, &str) = ("other-source", "other");

fn stations(port: u16) -> (Station, Station) {
    let end = |mac, ip, port| Station { mac, ip, port };
    (end(CLIENT_MAC, Family::V4.client(), port), end(SERVER_MAC, Family::V4.server(), 80))
}

/// A handshake and a request, as a mirror port shows them.
fn opening(port: u16) -> Vec<TcpFrame> {
    let (client, server) = stations(port);
    vec![
        TcpFrame::new(client, server, 100).syn(),
        TcpFrame::new(server, client, 500).syn().ack(101),
        TcpFrame::new(client, server, 101).ack(501),
        TcpFrame::new(client, server, 101).ack(501).payload(b"GET / HTTP/1.1\r\n\r\n"),
    ]
}

/// The server resets instead of an answer.
fn reset(port: u16) -> TcpFrame {
    let (client, server) = stations(port);
    TcpFrame::new(server, client, 501).ack(119).rst()
}

fn send(place: &Loop, source: &str, frames: &[TcpFrame]) {
    let frames: Vec<Vec<u8>> = frames.iter().map(|frame| frame.bytes().expect("a frame")).collect();
    let send = || {
        let outlet = Outlet::open(source)?;
        frames.iter().try_for_each(|frame| {
            thread::sleep(Duration::from_micros(200));
            outlet.send(frame)
        })
    };
    place.namespace.enter(send).expect("frames are sent");
}

/// So many connections from `first` on, each reset after its request.
fn resets(place: &Loop, source: &str, first: u16, count: u16) {
    for port in first..first + count {
        let frames: Vec<TcpFrame> = opening(port).into_iter().chain([reset(port)]).collect();
        send(place, source, &frames);
    }
}

fn place() -> Loop {
    let place = Loop::build().expect("namespaces");
    place.add_pair(OTHER.0, OTHER.1).expect("a pair");
    place
}

fn start(place: &Loop, words: &[&str]) -> Probe {
    let words: Vec<OsString> = words.iter().map(Into::into).collect();
    Probe::start(&place.namespace, &words).expect("it attaches")
}

fn ip(place: &Loop, words: &str) {
    place.namespace.ip(words).expect("ip works");
}

/// Makes the pair that the test has taken away, as it was.
fn pair_again(place: &Loop) {
    place.add_pair(SOURCE, SINK).expect("a pair");
}

/// The summary of a stream, whose books balance.
fn summary(finished: &Finished) -> Value {
    assert_calm(finished);
    let summary = ndjson(&finished.stdout).pop().expect("a summary");
    assert_eq!(summary["schema"], "rstprobe.summary/1", "{}", finished.stderr);
    balanced(&summary);
    summary
}

fn balanced(summary: &Value) {
    let (books, losses) = (&summary["books"], &summary["losses"]);
    assert_eq!((&books["difference"], &losses["books.difference"]), (&0.into(), &0.into()), "{summary}");
    let parts = ["in_slots", "logged", "untracked", "passed_by", "flooded", "shed"];
    assert!(parts.iter().all(|part| books[*part].is_u64()), "{books}");
}

fn loss(summary: &Value, name: &str) -> u64 {
    summary["losses"][name].as_u64().unwrap_or_else(|| panic!("no {name}: {summary}"))
}

#[track_caller]
fn ended(finished: &Finished, code: i32, said: &[&str]) {
    assert_calm(finished);
    assert_eq!(finished.status.code(), Some(code), "{}", finished.stderr);
    for text in said {
        assert!(finished.stderr.contains(text), "`{text}` is not in: {}", finished.stderr);
    }
}

#[test]
fn an_interface_that_comes_back_is_attached_again_and_the_gap_is_told() {
    privileged("faults", "an_interface_that_comes_back_is_attached_again_and_the_gap_is_told", || {
        let place = place();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("kept.pcapng");
        let probe = start(&place, &["run", "-i", SINK, "-i", OTHER.1, "--format", "ndjson", "--evidence", text(&file)]);
        resets(&place, SOURCE, 1000, 3);
        send(&place, SOURCE, &opening(2000));
        ip(&place, &format!("link del {SINK}"));
        thread::sleep(NOTICED);
        resets(&place, OTHER.0, 3000, 2);
        pair_again(&place);
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 4000, 4);
        send(&place, SOURCE, &[reset(2000)]);
        let finished = probe.stop().expect("it ends");
        let gone =
            format!("rstprobe: {SINK}: the interface was removed, or moved to another network namespace, between 2");
        ended(&finished, 0, &[&gone, &format!("rstprobe: {SINK}: attached again at 2"), "nothing was seen there for "]);
        let lines = ndjson(&finished.stdout);
        let sum = summary(&finished);
        // Before, on the other one meanwhile, after, and the one that lived through it.
        assert_eq!(sum["connections"], 3 + 2 + 4 + 1, "{sum}");
        assert_eq!([loss(&sum, "interfaces.gaps"), loss(&sum, "interfaces.gone")], [1, 0]);
        let gap_ms = loss(&sum, "interfaces.gaps_ms");
        assert!((2000..20_000).contains(&gap_ms), "{gap_ms} ms");
        lives_through(&lines, gap_ms);
        let interfaces = sum["window"]["interfaces"].as_array().expect("interfaces");
        let gaps: Vec<usize> = interfaces.iter().map(|one| one["gaps"].as_array().expect("gaps").len()).collect();
        assert_eq!(gaps, [1, 0], "{interfaces:?}");
        assert!(interfaces[0]["received"].is_null(), "counters of the one that was removed went with it");
        // Evidence goes on with what is attached by then.
        let read = OneShot::new(["read", text(&file), "--format", "ndjson"]).run().expect("it reads");
        assert_eq!(ndjson(&read.stdout).pop().expect("a summary")["connections"], 10, "{}", read.stderr);
        assert_eq!(leftover::attached(&place.namespace).expect("ip works").len(), 0);
    });
}

/// Of the connections only that which lived through the gap says so, and is not sure of its verdict.
fn lives_through(lines: &[Value], gap_ms: u64) {
    let connections = lines.iter().filter(|line| line["schema"] == "rstprobe.connection/1");
    let through: Vec<&Value> = connections.filter(|one| one["client"]["port"] == 2000).collect();
    let seconds = through[0]["unwatched_s"].as_f64().expect("how long it was not watched");
    assert!(seconds > 1.0 && seconds <= gap_ms as f64 / 1000.0, "{seconds} s of {gap_ms} ms");
    assert_eq!(through[0]["cause"]["confidence"], "low");
    let facts = through[0]["cause"]["evidence"].as_array().expect("facts");
    assert!(facts.iter().any(|fact| fact["name"] == "unwatched_ms"), "{facts:?}");
    let after = lines.iter().find(|one| one["client"]["port"] == 4000).expect("one after");
    assert!(after["unwatched_s"].is_null(), "{after}");
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

#[test]
fn the_only_interface_may_come_back_and_what_the_host_sends_is_seen_again() {
    privileged("faults", "the_only_interface_may_come_back_and_what_the_host_sends_is_seen_again", || {
        let place = place();
        let probe = start(&place, &["snapshot", "-i", SINK, "--for", "1m", "--host", "--format", "json"]);
        resets(&place, SOURCE, 1000, 2);
        ip(&place, &format!("link del {SINK}"));
        thread::sleep(NOTICED);
        pair_again(&place);
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 2000, 2);
        // Sent by this host, not received.
        resets(&place, SINK, 3000, 2);
        let finished = probe.stop().expect("it ends");
        ended(&finished, 0, &["attached again at 2"]);
        let document: Value = serde_json::from_str(&finished.stdout).expect("a document");
        balanced(&document["summary"]);
        assert_eq!(document["summary"]["connections"], 6, "{}", finished.stderr);
        assert_eq!(leftover::attached(&place.namespace).expect("ip works").len(), 0);
    });
}

#[test]
fn an_interface_that_moves_away_is_left_alone_and_watched_when_it_is_back() {
    privileged("faults", "an_interface_that_moves_away_is_left_alone_and_watched_when_it_is_back", || {
        let (place, elsewhere) = (place(), Loop::build().expect("namespaces"));
        elsewhere.namespace.ip(&format!("link del {SINK}")).expect("ip works");
        let probe = start(&place, &["run", "-i", SINK, "-i", OTHER.1, "--format", "ndjson"]);
        resets(&place, SOURCE, 1000, 3);
        ip(&place, &format!("link set {SINK} netns {}", elsewhere.namespace.name()));
        elsewhere.namespace.ip(&format!("link set {SINK} up")).expect("ip works");
        thread::sleep(NOTICED);
        // The program would go on to count what another namespace receives, in silence.
        assert_eq!(leftover::attached(&elsewhere.namespace).expect("ip works").len(), 0);
        resets(&place, SOURCE, 2000, 3);
        elsewhere.namespace.ip(&format!("link set {SINK} netns {}", place.namespace.name())).expect("ip works");
        ip(&place, &format!("link set {SINK} up"));
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 3000, 3);
        let finished = probe.stop().expect("it ends");
        ended(&finished, 0, &["was removed, or moved to another network namespace", "attached again at 2"]);
        let sum = summary(&finished);
        assert_eq!((&sum["connections"], loss(&sum, "interfaces.gaps")), (&6.into(), 1), "{sum}");
    });
}

#[test]
fn a_renamed_interface_is_watched_on() {
    privileged("faults", "a_renamed_interface_is_watched_on", || {
        let place = place();
        let probe = start(&place, &["run", "-i", SINK, "--format", "ndjson"]);
        resets(&place, SOURCE, 1000, 3);
        let renamed = place.namespace.ip(&format!("link set {SINK} name wan0")).is_ok();
        if !renamed {
            // Before Linux 6.2 one that is up keeps its name.
            for words in
                [format!("link set {SINK} down"), format!("link set {SINK} name wan0"), "link set wan0 up".into()]
            {
                ip(&place, &words);
            }
        }
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 2000, 3);
        let finished = probe.stop().expect("it ends");
        ended(&finished, 0, &[&format!("rstprobe: {SINK}: the interface was renamed to wan0 and is watched on")]);
        let sum = summary(&finished);
        assert_eq!((&sum["connections"], loss(&sum, "interfaces.gaps")), (&6.into(), 0), "{sum}");
    });
}

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

//! The sandbox: every violation is stopped, in the one of captures and in the one of interfaces; what is required and not to be
//! had is refused; real runs are in it, as root and as somebody else with three capabilities.
//!
//! What needs the kernel's help is privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    fs,
    io::{self, Write as _},
    os::unix::{
        fs::{PermissionsExt as _, chown},
        process::{CommandExt as _, ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread,
    time::Duration,
};

use probe_tests::{
    guest::privileges::attaches_anew,
    load,
    netns::{Network, SERVER_LEG},
    oneshot::OneShot,
    probe::{self, Probe},
    tier::privileged,
    violation::{Confined, VIOLATIONS},
};
use probe_user::sandbox::Available;

const CAPTURE: &str = "challenge_loop.pcap";
/// A user that has nothing.
const USER: u32 = 1000;
const UNABLE: Option<i32> = Some(5);

fn capture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(CAPTURE)
}

fn confined(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_confined")).args(words).output().expect("it runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Field of proc_pid_status(5).
fn status(pid: u32, field: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {field} in {text}")).trim().to_owned()
}

#[test]
fn every_violation_is_stopped() {
    let has_landlock = Available::of_this_kernel().landlock.is_ok();
    for which in Confined::BOTH {
        let folder = tempfile::tempdir().expect("a folder");
        let name = folder.path().to_str().expect("UTF-8");
        let output = confined(&["attempt", which.name(), name]);
        let said = text(&output.stdout);
        assert!(output.status.success(), "{said}{}", text(&output.stderr));
        let lines: Vec<&str> = said.lines().collect();
        assert_eq!(lines.len(), VIOLATIONS.len(), "{said}");
        for (line, violation) in lines.iter().zip(VIOLATIONS) {
            let expected = if violation.by_landlock && !has_landlock { "Done" } else { "Denied" };
            assert_eq!(*line, format!("{}: {expected}", violation.name), "{}", which.name());
        }
    }
}

#[test]
fn a_system_call_that_is_not_listed_kills_where_that_is_asked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().to_str().expect("UTF-8");
    for which in Confined::BOTH {
        for (number, violation) in VIOLATIONS.iter().enumerate() {
            let output = confined(&["kill", which.name(), name, &number.to_string()]);
            let (killed, said) = (output.status.signal() == Some(libc::SIGSYS), text(&output.stdout));
            // Of files it is Landlock that judges: the calls are needed.
            assert_eq!(killed, !violation.by_landlock, "{}, {}: {said}{output:?}", which.name(), violation.name);
        }
    }
}

#[test]
fn a_panic_is_told_and_kills_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().to_str().expect("UTF-8");
    for which in Confined::BOTH {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
        let output = command.args(["panic", which.name(), name]).env("RUST_BACKTRACE", "1").output().expect("it runs");
        let (said, told) = (text(&output.stdout), text(&output.stderr));
        assert!(said.contains("true") && told.contains("a bug"), "{}: {output:?}", which.name());
    }
}

/// Standard error of `read` on a kernel that seems to lack a part, and its exit code.
fn read_without(what: &str, demand: &str) -> (Option<i32>, String) {
    let (binary, capture) = (probe::binary(), capture());
    let words = [binary.to_str(), Some("--sandbox"), Some(demand), Some("read"), capture.to_str()];
    let words = words.map(|word| word.expect("UTF-8"));
    let output = confined(&[&["without", what], &words[..]].concat());
    assert_eq!(demand == "require", output.stdout.is_empty(), "{}", text(&output.stdout));
    (output.status.code(), text(&output.stderr))
}

#[test]
fn what_is_lacking_is_said_or_refused() {
    for (what, word) in [("landlock", "Landlock"), ("seccomp", "system calls are not restricted")] {
        let (code, said) = read_without(what, "require");
        assert_eq!(code, UNABLE, "{said}");
        assert!(said.starts_with("rstprobe: --sandbox require: ") && said.contains(word), "{said}");
        let (code, said) = read_without(what, "auto");
        assert_eq!(code, Some(0), "{said}");
        let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("rstprobe: sandbox: ")).collect();
        assert!(matches!(lines[..], [line] if line.contains(word)), "once: {said}");
        let (code, said) = read_without(what, "off");
        assert_eq!((code, said.contains("sandbox")), (Some(0), false), "{said}");
    }
}

#[test]
fn what_is_there_can_be_required_and_is_not_spoken_of() {
    let Available { landlock: Ok(_), seccomp: Ok(()) } = Available::of_this_kernel() else { return };
    for demand in ["require", "auto", "off"] {
        let words = ["read", "--sandbox", demand, capture().to_str().expect("UTF-8")].map(str::to_owned);
        let finished = OneShot::new(words).run().expect("it runs");
        assert_eq!((finished.status.code(), finished.stderr.as_str()), (Some(0), ""), "{demand}");
        assert!(finished.stdout.contains("3 connections"), "{}", finished.stdout);
    }
}

/// A pipe whose place another file takes while the one before it is being read.
fn swapped(demand: &str) -> (Option<i32>, String, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let [first, second, secret] = ["first", "second", "secret"].map(|name| folder.path().join(name));
    for pipe in [&first, &second] {
        let made = Command::new("mkfifo").arg(pipe).status().expect("coreutils");
        assert!(made.success());
    }
    fs::copy(capture(), &secret).expect("copied");
    let mut child = Command::new(probe::binary())
        .args(["--sandbox", demand, "read"])
        .args([&first, &second])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    // Opened once somebody reads: it is in the sandbox now.
    let mut pipe = fs::OpenOptions::new().write(true).open(&first).expect("it reads");
    let bytes = fs::read(capture()).expect("readable");
    pipe.write_all(&bytes[..100]).expect("it reads");
    if demand != "off" {
        assert_eq!((status(child.id(), "CapEff"), status(child.id(), "NoNewPrivs")), ("0".repeat(16), "1".to_owned()));
        assert_eq!(status(child.id(), "Seccomp"), "2");
    }
    fs::rename(&secret, &second).expect("renamed");
    pipe.write_all(&bytes[100..]).expect("it reads");
    drop(pipe);
    let status = child.wait().expect("it ends");
    let read = |pipe: Option<Box<dyn io::Read>>| io::read_to_string(pipe.expect("a pipe")).expect("text");
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    (status.code(), read(stdout.map(|pipe| Box::new(pipe) as _)), read(stderr.map(|pipe| Box::new(pipe) as _)))
}

/// The real program, taken for a ride: it opens what it was told to, and somebody has put another file there.
#[test]
fn another_file_in_the_place_of_an_input_is_not_read() {
    if Available::of_this_kernel().landlock.is_err() {
        return;
    }
    let (code, stdout, stderr) = swapped("auto");
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("second: cannot be opened: Permission denied"), "{stderr}");
    assert!(stdout.contains("\n3 connections"), "the first is told: {stdout}");
    let (code, stdout, stderr) = swapped("off");
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("\n3 connections") && stderr.contains("second begins "), "both: {stderr}");
}

/// Each thread of a process, by its name, with what it holds.
fn threads(pid: u32) -> Vec<(String, String, String)> {
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").flatten();
    let of = |task: fs::DirEntry| {
        let id = task.file_name().to_str().and_then(|id| id.parse().ok()).expect("a number");
        (status(id, "Name"), status(id, "CapEff"), status(id, "Seccomp"))
    };
    tasks.map(of).collect()
}

#[test]
fn a_watching_root_keeps_nothing_but_what_it_drains_with() {
    privileged("sandbox", "a_watching_root_keeps_nothing_but_what_it_drains_with", || {
        let network = Network::build().expect("namespaces");
        let folder = tempfile::tempdir().expect("a folder");
        let evidence = folder.path().join("evidence");
        let words = ["--evidence".into(), evidence.clone().into(), "--evidence-filter".into(), "syn.count > 0".into()];
        let probe = Probe::snapshot(&network.middle, &words).expect("attached");
        load::play(&network, Duration::from_millis(500), 20).expect("played");
        for (name, effective, seccomp) in threads(probe.pid()) {
            assert_eq!((effective, seccomp.as_str()), ("0".repeat(16), "2"), "thread {name}");
        }
        for field in ["CapPrm", "CapInh", "CapAmb", "CapBnd"] {
            assert_eq!(status(probe.pid(), field), "0".repeat(16), "{field}");
        }
        assert_eq!(status(probe.pid(), "NoNewPrivs"), "1");
        let finished = probe.stop().expect("it ends");
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        assert!(!finished.stderr.contains("sandbox"), "{}", finished.stderr);
        let written =
            fs::read_dir(&evidence).expect("made").flatten().map(|file| file.metadata().expect("there").len());
        assert!(written.sum::<u64>() > 1000, "evidence is written from within");
    });
}

#[test]
fn attaching_anew_takes_no_capability() {
    privileged("sandbox", "attaching_anew_takes_no_capability", || {
        let network = Network::build().expect("namespaces");
        attaches_anew(&network.middle, SERVER_LEG).expect("attached anew");
    });
}

#[test]
fn the_filter_of_an_older_kernel_is_removed_in_the_end() {
    privileged("sandbox", "the_filter_of_an_older_kernel_is_removed_in_the_end", || {
        let network = Network::build().expect("namespaces");
        let words: Vec<_> =
            ["snapshot", "-i", "leg-client", "--host", "--egress", "clsact"].map(Into::into).into_iter().collect();
        let probe = Probe::start(&network.middle, &words).expect("attached");
        thread::sleep(Duration::from_millis(200));
        assert_eq!(status(probe.pid(), "CapEff"), format!("{:016x}", 1 << 12), "CAP_NET_ADMIN");
        let finished = probe.stop().expect("it ends");
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        let left = network.middle.tc("qdisc show dev leg-client").expect("tc");
        assert!(!left.contains("clsact"), "{left}");
    });
}

/// A copy of the program that has three capabilities, whoever starts it.
fn copy_with_capabilities(folder: &Path) -> Option<PathBuf> {
    let copy = folder.join("rstprobe");
    fs::copy(probe::binary(), &copy).expect("copied");
    for path in [folder, &copy] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("ours");
    }
    let set = Command::new("setcap").arg("cap_bpf,cap_net_admin,cap_perfmon+ep").arg(&copy).status();
    set.is_ok_and(|status| status.success()).then_some(copy)
}

#[test]
fn three_capabilities_are_enough_and_then_given_up() {
    privileged("sandbox", "three_capabilities_are_enough_and_then_given_up", || {
        let network = Network::build().expect("namespaces");
        let folder = tempfile::tempdir().expect("a folder");
        let Some(copy) = copy_with_capabilities(folder.path()) else {
            return probe_tests::tier::say("SKIP three capabilities: no setcap, or no file capabilities there");
        };
        let evidence = folder.path().join("evidence");
        fs::create_dir(&evidence).expect("made");
        chown(&evidence, Some(USER), Some(USER)).expect("given");
        let user = USER.to_string();
        let program = copy.to_str().expect("UTF-8");
        let as_user = ["--reuid", &user, "--regid", &user, "--clear-groups", program];
        let watch = ["snapshot", "-i", "leg-client", "-i", "leg-server", "--for", "1m", "--sandbox", "auto"];
        let kept = ["--evidence", evidence.to_str().expect("UTF-8"), "--evidence-filter", "syn.count > 0"];
        let words: Vec<_> = as_user.iter().chain(&watch).chain(&kept).map(Into::into).collect();
        let probe = Probe::start_binary(Path::new("/usr/bin/setpriv"), &network.middle, &words).expect("attached");
        load::play(&network, Duration::from_millis(500), 20).expect("played");
        assert!(status(probe.pid(), "Uid").starts_with(&user));
        for (name, effective, seccomp) in threads(probe.pid()) {
            assert_eq!((effective, seccomp.as_str()), ("0".repeat(16), "2"), "thread {name}");
        }
        let finished = probe.stop().expect("it ends");
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        assert!(finished.stdout.contains("Nothing was lost"), "{}", finished.stdout);
        let written =
            fs::read_dir(&evidence).expect("there").flatten().map(|file| file.metadata().expect("there").len());
        assert!(written.sum::<u64>() > 1000, "evidence is written from within");
    });
}

#[test]
fn required_and_lacking_is_refused_before_anything_is_attached() {
    privileged("sandbox", "required_and_lacking_is_refused_before_anything_is_attached", || {
        let network = Network::build().expect("namespaces");
        let (binary, confined) = (probe::binary(), env!("CARGO_BIN_EXE_confined"));
        let watch = ["snapshot", "-i", "leg-client", "--for", "100ms", "--sandbox", "require"];
        let run = || Command::new(confined).args(["without", "landlock"]).arg(&binary).args(watch).output();
        let output = network.middle.enter(run).expect("it runs");
        assert_eq!(output.status.code(), UNABLE, "{}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("attached"), "{}", text(&output.stderr));
    });
}

#[test]
fn more_captures_than_may_be_open_are_explained() {
    let Available { landlock: Ok(_), seccomp: Ok(()) } = Available::of_this_kernel() else { return };
    // By a limit that can be raised, and by one that cannot.
    for limit in ["--nofile=100:4096", "--nofile=100:100"] {
        let mut command = Command::new("prlimit");
        command.arg(limit).arg(probe::binary()).args(["explain", "--sandbox", "require", "-r"]);
        let output = command.args(vec![capture(); 150]).arg("1").output().expect("util-linux");
        assert_eq!(output.status.code(), Some(0), "{limit}: {}", text(&output.stderr));
    }
}

#[test]
fn root_reads_files_of_others_in_order_of_time_and_to_their_end() {
    privileged("sandbox", "root_reads_files_of_others_in_order_of_time_and_to_their_end", || {
        let folder = tempfile::tempdir().expect("a folder");
        let [late, early] = ["cap10", "cap2"].map(|name| folder.path().join(name));
        let bytes = fs::read(capture()).expect("there");
        // The second of its first frame is behind the 24 bytes of the head.
        let second = u32::from_le_bytes(bytes[24..28].try_into().expect("four"));
        fs::write(&late, &bytes).expect("written");
        fs::write(&early, [&bytes[..24], &(second - 100).to_le_bytes(), &bytes[28..40], &[0; 74]].concat())
            .expect("written");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("ours");
        chown(folder.path(), Some(USER), Some(USER)).expect("given");
        let words = [&[PathBuf::from("read")][..], &[late, early]].concat();
        let output = Command::new(probe::binary()).args(&words).output().expect("it runs");
        let said = text(&output.stderr);
        assert!(said.contains("in order of their first packets") && said.contains("cap2 before "), "{said}");
        let output = Command::new(probe::binary()).args(["read", "--since", "-5m"]).arg(&words[1]).output();
        let output = output.expect("it runs");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    });
}

#[test]
fn a_pipe_of_another_user_is_read_by_its_descriptor() {
    privileged("sandbox", "a_pipe_of_another_user_is_read_by_its_descriptor", || {
        let folder = tempfile::tempdir().expect("a folder");
        let copy = folder.path().join("rstprobe");
        fs::copy(probe::binary(), &copy).expect("copied");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("ours");
        for path in ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"] {
            let mut command = Command::new(&copy);
            command.uid(USER).gid(USER).args(["read", path]).current_dir("/");
            // The pipe is root's.
            let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
            let mut child = child.expect("it runs");
            let written = child.stdin.take().expect("a pipe").write_all(&fs::read(capture()).expect("there"));
            let output = child.wait_with_output().expect("it ends");
            assert!(written.is_ok() && output.status.success(), "{path}: {}", text(&output.stderr));
        }
    });
}

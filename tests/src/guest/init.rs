//! The first process of a guest: mounts what programs expect, loads the packed modules, runs the checks named on the
//! kernel's command line, each as a process of its own, and powers off.
//!
//! Results go to the second serial port, talk to the console.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    mount::{MountFlags, mount},
    process::{Pid, Resource, Rlimit, Signal, kill_process, setrlimit},
    system::{RebootCommand, finit_module, reboot},
};

use super::{CHECKS, FAILED, HOLDS, SKIPPED};
use crate::tier::say;

/// Where results go.
const RESULTS: &str = "/dev/ttyS1";
/// Word of the kernel's command line.
const WORD: &str = "rstprobe.checks=";
const MOUNTS: [(&str, &str); 7] = [
    ("proc", "/proc"),
    ("sysfs", "/sys"),
    ("devtmpfs", "/dev"),
    ("tmpfs", "/run"),
    ("tmpfs", "/tmp"),
    ("bpf", "/sys/fs/bpf"),
    ("tracefs", "/sys/kernel/tracing"),
];

/// Does all of it.
///
/// # Errors
/// When there is no serial port to say anything on, or no power to turn off.
pub fn run() -> io::Result<()> {
    for (kind, place) in MOUNTS {
        if let Err(error) = mount(kind, place, kind, MountFlags::empty(), None) {
            // A kernel with devtmpfs already there, or without tracefs.
            say(&format!("init: mount {place}: {error}"));
        }
    }
    let mut results = OpenOptions::new().write(true).open(RESULTS)?;
    if let Err(error) = prepare() {
        writeln!(results, "ROW\tinit\tfail\t0\t{error}")?;
    }
    let line = fs::read_to_string("/proc/cmdline")?;
    let names = line.split_whitespace().find_map(|word| word.strip_prefix(WORD)).unwrap_or_default();
    for name in names.split(',').filter(|name| !name.is_empty()) {
        one(name, &mut results)?;
    }
    results.flush()?;
    // The port is emulated byte by byte; what is in its queue must be out before the machine stops.
    thread::sleep(Duration::from_millis(200));
    Ok(reboot(RebootCommand::PowerOff)?)
}

fn prepare() -> io::Result<()> {
    fs::create_dir_all("/run/netns")?;
    let mut modules: Vec<_> = fs::read_dir("/modules")?.flatten().map(|entry| entry.path()).collect();
    modules.sort();
    for module in modules {
        if let Err(error) = finit_module(File::open(&module)?, c"", 0) {
            // What is built in besides, or has no hardware here, is no loss; what is needed is missed by a check.
            say(&format!("init: {}: {error}", module.display()));
        }
    }
    let status = Command::new("/bin/ip").args(["link", "set", "lo", "up"]).status()?;
    if status.success() { Ok(()) } else { Err(io::Error::other("`ip link set lo up` failed")) }
}

/// Lets this process and those it starts lock memory without limit: without it, before 5.11, only root may load programs.
///
/// # Errors
/// When the kernel refuses.
pub fn lock_memory() -> io::Result<()> {
    Ok(setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None })?)
}

/// Runs one check and writes its row.
fn one(name: &str, results: &mut File) -> io::Result<()> {
    let limit = CHECKS.iter().find(|check| check.name == name).map_or(Duration::ZERO, |check| check.limit);
    say(&format!("== {name}"));
    let start = Instant::now();
    let mut child = Command::new("/proc/self/exe")
        .arg(name)
        .env("PATH", "/bin")
        .env("RSTPROBE_BIN", "/bin/rstprobe")
        .env("RSTPROBE_PATIENCE", "6")
        .env("RSTPROBE_PRIVILEGED", "1")
        .env("RSTPROBE_SECCOMP", "kill")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()?;
    let (code, note) = attend(&mut child, start + limit, results)?;
    let word = match code {
        Some(code) if code == i32::from(HOLDS) => "ok",
        Some(code) if code == i32::from(SKIPPED) => "skip",
        _ => "fail",
    };
    let note = match code {
        Some(code) if [HOLDS, SKIPPED, FAILED].map(i32::from).contains(&code) => note,
        Some(code) => format!("exit code {code}; {note}"),
        None => format!("killed after {} s; {note}", start.elapsed().as_secs()),
    };
    writeln!(results, "ROW\t{name}\t{word}\t{:.1}\t{note}", start.elapsed().as_secs_f64())?;
    kill_all()
}

/// Passes lines on until the check ends; its exit code (none when it was killed) and its note.
fn attend(child: &mut Child, end: Instant, results: &mut File) -> io::Result<(Option<i32>, String)> {
    let (sender, lines) = mpsc::channel();
    if let Some(stdout) = child.stdout.take() {
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
    }
    let mut note = String::new();
    let mut take = |line: String, results: &mut File| -> io::Result<()> {
        match line.strip_prefix("NOTE\t") {
            Some(text) => text.clone_into(&mut note),
            None => writeln!(results, "{line}")?,
        }
        Ok(())
    };
    let code = loop {
        if let Ok(line) = lines.recv_timeout(Duration::from_millis(20)) {
            take(line, results)?;
            continue;
        }
        if let Some(status) = child.try_wait()? {
            break status.code();
        }
        if Instant::now() > end {
            child.kill()?;
            child.wait()?;
            break None;
        }
    };
    while let Ok(line) = lines.recv_timeout(Duration::from_millis(100)) {
        take(line, results)?;
    }
    Ok((code, note))
}

/// Ends whatever the check has started and not ended: this process is the first, all others but the kernel's go.
fn kill_all() -> io::Result<()> {
    for entry in fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name().to_string_lossy().parse().ok().and_then(Pid::from_raw);
        let is_program = fs::read(entry.path().join("cmdline")).is_ok_and(|line| !line.is_empty());
        if let Some(pid) = pid.filter(|pid| is_program && pid.as_raw_nonzero().get() > 1) {
            say(&format!("init: ending process {}", pid.as_raw_nonzero()));
            if let Err(error) = kill_process(pid, Signal::KILL) {
                say(&format!("init: {error}"));
            }
        }
    }
    Ok(())
}

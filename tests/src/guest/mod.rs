//! Checks inside a virtual machine: what `cargo xtask vm` boots runs these, on a kernel with nothing else on it.
//!
//! * [`init`]: the first process of the guest: mounts, modules, checks one after the other, power off.
//! * [`load`]: every way to load the programs, and what the verifier counted.
//! * [`traffic`]: scenarios and counts on both legs, in generic mode and through AF_XDP.
//! * [`privileges`]: as another user with four capabilities; and in the sandbox.
//! * [`killed`]: nothing stays after `kill -9`.
//! * [`events`]: MTU, and interfaces that go down, up and away.
//! * [`faults`]: a clock that is set, and little locked memory.
//! * [`tun`]: an interface whose frames begin with an IP header.
//! * [`nics`]: the drivers of emulated network cards.
//!
//! Each check is a process of its own, so that one that hangs or dies takes no other with it.

pub mod census;
pub mod events;
pub mod faults;
pub mod init;
pub mod killed;
pub mod load;
pub mod nics;
pub mod privileges;
pub mod traffic;
pub mod tun;

use std::{
    any::Any,
    fmt::Display,
    io::{self, Write as _, stdout},
    panic,
    time::Duration,
};

/// How a check that did not fail ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It holds; with a note for the table, perhaps an empty one.
    Holds(String),
    /// It cannot be run here, and why.
    Skipped(String),
}

/// What a check returns.
pub type Outcome = io::Result<Verdict>;

/// One check.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// As the command line names it.
    pub name: &'static str,
    /// It is killed after this time.
    pub limit: Duration,
    run: fn() -> Outcome,
}

const fn check(name: &'static str, seconds: u64, run: fn() -> Outcome) -> Check {
    Check { name, limit: Duration::from_secs(seconds), run }
}

/// All checks.
pub const CHECKS: &[Check] = &[
    check("load", 900, load::every_variant),
    check("load-decisive", 300, load::decisive_variants),
    check("demo", 300, traffic::demo),
    check("two-legs", 180, traffic::two_legs),
    check("generic", 180, traffic::generic),
    check("afxdp", 180, traffic::afxdp),
    check("nonroot", 240, privileges::four_capabilities),
    check("sandbox", 180, privileges::sandbox),
    check("kill9", 400, killed::every_mode),
    check("mtu", 300, events::mtu),
    check("events", 180, events::down_up_gone),
    check("faults", 240, faults::all),
    check("tun", 180, tun::five_connections),
    check("nics", 1500, nics::all),
];

/// Exit codes of a check's process.
const HOLDS: u8 = 0;
const FAILED: u8 = 1;
const SKIPPED: u8 = 77;

/// Runs the check `name` in this process: its note goes to stdout as `NOTE`, the exit code says how it ended.
pub fn run(name: &str) -> u8 {
    let Some(check) = CHECKS.iter().find(|check| check.name == name) else {
        tell(&["NOTE", &format!("there is no check `{name}`")]);
        return FAILED;
    };
    let outcome = panic::catch_unwind(check.run).unwrap_or_else(|panic| Err(io::Error::other(panic_text(&*panic))));
    let (note, code) = match outcome {
        Ok(Verdict::Holds(note)) => (note, HOLDS),
        Ok(Verdict::Skipped(why)) => (why, SKIPPED),
        Err(error) => (error.to_string(), FAILED),
    };
    tell(&["NOTE", &note]);
    code
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("panicked: {}", text.unwrap_or("without a word"))
}

/// One line of words separated by tabs, on stdout.
fn tell(words: &[&str]) {
    let words: Vec<String> = words.iter().map(|word| word.replace(['\t', '\n', '\r'], " ")).collect();
    // Whoever started this has gone when it cannot be written.
    drop(writeln!(stdout().lock(), "{}", words.join("\t")));
}

/// A further row of the table, `check/part`.
fn row(name: &str, outcome: &Outcome, seconds: f64) {
    let (word, note) = match outcome {
        Ok(Verdict::Holds(note)) => ("ok", note.clone()),
        Ok(Verdict::Skipped(why)) => ("skip", why.clone()),
        Err(error) => ("fail", error.to_string()),
    };
    tell(&["ROW", name, word, &format!("{seconds:.1}"), &note]);
}

/// Fails with `what` unless `is_so`.
fn ensure(is_so: bool, what: impl Display) -> io::Result<()> {
    if is_so { Ok(()) } else { Err(io::Error::other(what.to_string())) }
}

/// Major and minor version of the running kernel: what must work, not how the probe finds out.
fn kernel() -> (u32, u32) {
    let name = rustix::system::uname();
    let release = name.release().to_string_lossy().into_owned();
    let mut numbers = release.split(['.', '-', '+']).map(|part| part.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

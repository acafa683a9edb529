//! Tiers: privileged tests run, skip with a reason on stderr, or fail in CI.
//!
//! `SKIP <name>: <reason>` or `RAN <tier> <name>` on stderr, one line each, so that a suite of nothing but skips
//! cannot pass for a suite that ran.

use std::{
    io::{Write, stderr},
    time::Duration,
};

use crate::sys;

/// Writes one line to stderr. What it is about must never fail for want of a terminal.
pub fn say(line: &str) {
    // One write per line: parallel tests do not cut each other's lines.
    let line = format!("{line}\n");
    if stderr().write_all(line.as_bytes()).is_err() {
        // Nobody listens.
    }
}

/// A limit of waiting, longer on a machine that is slow by nature: `RSTPROBE_PATIENCE` times as long (whole times).
pub fn patient(limit: Duration) -> Duration {
    let times = std::env::var("RSTPROBE_PATIENCE").ok().and_then(|times| times.parse().ok()).unwrap_or(1);
    limit * times
}

/// How often a scenario is played at most before its verdict is believed to be wrong.
pub fn tries() -> u32 {
    if is_slow() { 4 } else { 2 }
}

/// How often in a row a scenario must be right that was wrong at first: a disturbance does not come back, and a verdict that
/// is wrong every second time hardly ever passes. Once, in guests.
pub fn right_in_a_row() -> u32 {
    if is_slow() { 1 } else { 2 }
}

/// How many of `all` scenarios go on at a time: all, or few on a machine that is slow by nature, where so many at once
/// would keep each other from what they stage.
pub fn at_once(all: usize) -> usize {
    if is_slow() { 6 } else { all.max(1) }
}

/// Whether this machine is one that is slow by nature.
fn is_slow() -> bool {
    patient(Duration::from_secs(1)) > Duration::from_secs(1)
}

/// Why a privileged test cannot run here, or `None` when it can.
pub fn obstacle() -> Option<String> {
    if std::env::var("RSTPROBE_PRIVILEGED").as_deref() != Ok("1") {
        return Some("RSTPROBE_PRIVILEGED is not 1".to_owned());
    }
    if !sys::is_root() {
        return Some("not root".to_owned());
    }
    None
}

/// Why a benchmark cannot use the kernel here, or `None` when it can.
pub fn needs_root() -> Option<&'static str> {
    (!sys::is_root()).then_some("not root")
}

/// Runs `test` when the privileges are there, and says which it was.
///
/// # Panics
/// When `test` does.
pub fn privileged(tier: &str, name: &str, test: impl FnOnce()) {
    if let Some(reason) = obstacle() {
        say(&format!("SKIP {name}: {reason}"));
        return;
    }
    test();
    say(&format!("RAN {tier} {name}"));
}

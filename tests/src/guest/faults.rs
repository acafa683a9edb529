//! Faults that need a machine of their own: a clock that is set by hours while it is watched, and little locked memory.

use std::{ffi::OsString, io, process::Command, thread, time::Duration};

use rustix::{
    process::{Resource, Rlimit, setrlimit},
    time::{ClockId, Timespec, clock_gettime, clock_settime},
};

use super::{
    Outcome, Verdict, ensure, kernel, privileges,
    traffic::{connections, lost_nothing},
};
use crate::{
    load,
    netns::{Loop, Network, SINK},
    probe::{self, Probe},
};

const HOUR: i64 = 3600;
/// The agent looks at the clocks every second, and the machine is slow.
const NOTICED: Duration = Duration::from_secs(3);
/// Locked memory, bytes.
const LITTLE: u64 = 64 << 10;
/// From this kernel on tables do not count as locked memory.
const ACCOUNTED: (u32, u32) = (5, 11);

/// Both.
///
/// # Errors
/// The first that does not hold.
pub fn all() -> Outcome {
    let connections = clock_stepped()?;
    let refused = locked_memory()?;
    let memory = if refused { "little locked memory is refused" } else { "locked memory does not count" };
    Ok(Verdict::Holds(format!("{connections} connections over three steps of the clock; {memory}")))
}

fn set_clock(by_hours: i64) -> io::Result<()> {
    let now = clock_gettime(ClockId::Realtime);
    Ok(clock_settime(ClockId::Realtime, Timespec { tv_sec: now.tv_sec + by_hours * HOUR, tv_nsec: now.tv_nsec })?)
}

/// Three hours forward, six back: every connection is there, in order, as long as it was.
fn clock_stepped() -> io::Result<usize> {
    let network = Network::build()?;
    let probe = Probe::snapshot(&network.middle, &["--for", "1h", "--format", "json"].map(OsString::from))?;
    let mut expected = 0;
    for step in [3, -6, 3] {
        let played = load::play(&network, Duration::from_secs(1), 100)?;
        expected += played.connections() + load::WAKING;
        thread::sleep(NOTICED);
        set_clock(step)?;
        thread::sleep(NOTICED);
    }
    let done = probe.stop()?;
    ensure(done.status.success(), format!("{}: {}", done.status, done.stderr))?;
    for said in ["the clock was set forward by 3h", "the clock was set back by 6h"] {
        ensure(done.stderr.contains(said), format!("`{said}` is not said: {}", done.stderr))?;
    }
    let snapshot = serde_json::from_str(&done.stdout).map_err(io::Error::other)?;
    lost_nothing(&snapshot)?;
    let (all, books) = (connections(&snapshot), &snapshot["summary"]["books"]);
    ensure(all.len() as u64 == expected, format!("{} connections of {expected}", all.len()))?;
    ensure(books["clock.steps"] == 3 && books["difference"] == 0, format!("the books: {books}"))?;
    let seconds = snapshot["window"]["seconds"].as_f64().unwrap_or(f64::MAX);
    ensure(seconds < HOUR as f64, format!("watched for {seconds} s"))?;
    let too_long = all.iter().find(|one| one["duration_s"].as_f64().is_none_or(|length| length > seconds));
    ensure(too_long.is_none(), format!("longer than was watched: {too_long:?}"))?;
    // Text that orders as time does.
    let (start, end) = (snapshot["window"]["start"].as_str(), snapshot["window"]["end"].as_str());
    let outside = all.iter().find(|one| one["start"].as_str() < start || one["start"].as_str() > end);
    ensure(outside.is_none(), format!("not within {start:?} to {end:?}: {outside:?}"))?;
    Ok(all.len())
}

/// Without what it takes to raise the limit: told, or no obstacle. True when it was refused.
fn locked_memory() -> io::Result<bool> {
    let network = Loop::build()?;
    // Of this process, which is that of the check, and so of those that it starts.
    setrlimit(Resource::Memlock, Rlimit { current: Some(LITTLE), maximum: Some(LITTLE) })?;
    let mut setpriv = Command::new("setpriv");
    setpriv.args(privileges::as_user()).arg(probe::binary()).args(["snapshot", "-i", SINK, "--for", "200ms"]);
    let done = network.namespace.enter(|| setpriv.output())?;
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    let refused = kernel() < ACCOUNTED;
    let code = if refused { 5 } else { 0 };
    ensure(done.status.code() == Some(code), format!("{}: {said}", done.status))?;
    ensure(!refused || said.contains("LimitMEMLOCK=infinity"), format!("it does not tell what helps: {said}"))?;
    Ok(refused)
}

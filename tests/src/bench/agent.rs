//! The whole agent under a steady load of new flows: its share of a core, what the program costs meanwhile, by the
//! kernel's own count, and what the agent says of it in the end.

use std::{
    fs, io, thread,
    time::{Duration, Instant},
};

use super::{Setting, kernel::Driver, program::plain_segment};
use crate::{
    netns::{Loop, SINK, SOURCE},
    probe::Probe,
    sys,
};

/// The agent is watched for this long.
const WATCHED: Duration = Duration::from_secs(4);
/// Pause between two bursts.
const PAUSE: Duration = Duration::from_millis(2);
/// Flows, as a power of two, before one comes again.
const FLOWS: u32 = 22;

/// What the segments of a flow are, one after the other.
#[derive(Clone, Copy, Debug)]
pub struct Flow {
    /// In words.
    pub name: &'static str,
    /// Flags, the first segment's in the lowest byte.
    flags: u64,
    /// There are `1 << bits` segments.
    pub(super) bits: u32,
}

/// SYN, SYN-ACK, FIN, RST.
pub const CONNECTION: Flow = Flow { name: "four control segments each", flags: 0x0411_1202, bits: 2 };
/// SYN and RST.
pub const ATTEMPT: Flow = Flow { name: "SYN and RST each", flags: 0x0402, bits: 1 };

/// What came of a load.
#[derive(Clone, Debug)]
pub struct Seen {
    /// New flows that were sent per second.
    pub sent_per_second: f64,
    /// The agent's share of a core, percent, second by second.
    pub shares: Vec<f64>,
    /// What a frame cost in the program, nanoseconds, with what measuring it costs; nothing where no frame came.
    pub program_ns: Option<f64>,
    /// Connections the agent counted.
    pub connections: u64,
    /// Its word on what was lost.
    pub losses: String,
}

/// Sends `rate` new flows per second to an agent with these further words.
///
/// # Errors
/// When the agent or the generator does not run.
pub fn watch(setting: &Setting, rate: u32, flow: Flow, more: &[&str]) -> io::Result<Seen> {
    let place = Loop::build()?;
    // Every flow is to the same service: without a budget, or the most of them would be counted by service.
    let words = ["snapshot", "-i", SINK, "--action", "drop", "--for", "1h", "--flood-at", "0", "--top", "1"];
    let probe = Probe::start(&place.namespace, &words.iter().chain(more).map(Into::into).collect::<Vec<_>>())?;
    let agent = probe.pid();
    let measuring = aya::sys::enable_stats(aya::sys::Stats::RunTime).map_err(io::Error::other)?;
    let before = program_runs(agent)?;
    let (sent_per_second, shares) = place.namespace.enter(|| offer(setting, rate, flow, agent))?;
    let after = program_runs(agent)?;
    drop(measuring);
    let finished = probe.stop()?;
    if !finished.status.success() {
        return Err(io::Error::other(format!("the agent ended with {}: {}", finished.status, finished.stderr)));
    }
    let [time, runs] = [0, 1].map(|at| after[at].saturating_sub(before[at]) as f64);
    Ok(Seen {
        sent_per_second,
        shares,
        program_ns: (runs > 0.0).then(|| time / runs),
        connections: connections(&finished.stdout).ok_or(io::ErrorKind::InvalidData)?,
        losses: losses(&finished.stdout),
    })
}

/// Sends at `rate`; flows per second that were sent, and the agent's share of a core, second by second.
fn offer(setting: &Setting, rate: u32, flow: Flow, agent: u32) -> io::Result<(f64, Vec<f64>)> {
    sys::pin_to_cpu(setting.core)?;
    let template = plain_segment();
    let mut driver = Driver::load()?;
    let mut drive = template.drive(FLOWS, flow.flags);
    drive.turn_bits = flow.bits;
    drive.interface = sys::interface_index(SOURCE)?;
    driver.set(&drive)?;
    let (begun, mut sent, mut shares) = (Instant::now(), 0_u64, Vec::new());
    let (mut then, mut before) = (begun, cpu_of(agent)?);
    while begun.elapsed() < WATCHED {
        let due = (begun.elapsed().as_micros() as u64 * u64::from(rate) / 1_000_000).saturating_sub(sent);
        // A call of the kernel takes tens of milliseconds, however little it sends; what cannot be sent within a fifth of
        // a second is not made up for.
        let count = due.min(u64::from(rate / 5)) as u32;
        if count > 0 {
            driver.send(&template.frame, count << flow.bits)?;
        }
        sent += u64::from(count);
        thread::sleep(PAUSE);
        if then.elapsed() >= Duration::from_secs(1) {
            let now = cpu_of(agent)?;
            shares.push((now - before) * 100.0 / then.elapsed().as_secs_f64());
            (then, before) = (Instant::now(), now);
        }
    }
    Ok((sent as f64 / begun.elapsed().as_secs_f64(), shares))
}

/// CPU seconds of a process so far.
fn cpu_of(process: u32) -> io::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{process}/stat"))?;
    let fields: Vec<&str> = text.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    // utime and stime, in hundredths of a second on every Linux there is.
    Ok((ticks(11) + ticks(12)) / 100.0)
}

/// Nanoseconds and runs of the programs that a process holds, of the one that ran most.
fn program_runs(process: u32) -> io::Result<[u64; 2]> {
    let mut most = [0; 2];
    for entry in fs::read_dir(format!("/proc/{process}/fdinfo"))? {
        // One that was closed meanwhile was no program.
        let Ok(text) = fs::read_to_string(entry?.path()) else { continue };
        let number = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            line.and_then(|value| value.trim().parse::<u64>().ok())
        };
        let (Some(time), Some(runs)) = (number("run_time_ns"), number("run_cnt")) else { continue };
        if runs >= most[1] {
            most = [time, runs];
        }
    }
    Ok(most)
}

/// From the second line of the table.
fn connections(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.split_once(" connections: ")?.0.parse().ok())
}

/// The table's own line on losses.
fn losses(text: &str) -> String {
    let reported = |line: &&str| {
        ["Nothing was lost", "Every TCP segment", "Not (fully)"].iter().any(|begin| line.starts_with(begin))
    };
    text.lines().find(reported).unwrap_or("nothing said of losses").to_owned()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_table_is_read() {
        let text = "2026-01-01T00:00:00Z for 4.0 s\n70 connections: 70 attempts\n\nNothing was lost: all\nNot TCP: 1\n";
        assert_eq!(super::connections(text), Some(70));
        assert_eq!(super::losses(text), "Nothing was lost: all");
    }
}

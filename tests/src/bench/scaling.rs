//! Scaling bench: what costs grow with, with epochs per second, with CPUs, and with new flows per second. (With the number of flows:
//! section `program`.)

use std::{io, sync::Barrier, thread};

use aya::programs::ProgramFd;
use probe_user::source::live::engine::{Action, Depth, EngineConfig};

use super::{
    Report, Setting,
    agent::{self, ATTEMPT, CONNECTION, Flow},
    kernel::{Driver, OPEN_THEN_HIT, SCATTERED, SYNS, Samples, Subject},
    peers,
    program::plain_segment,
};
use crate::{sys, sys::measure, tier};

const SECTION: &str = "scaling";
/// Time between two drains, at one load.
const INTERVALS: [&str; 4] = ["10ms", "50ms", "100ms", "500ms"];
/// New flows per second of that load.
const LOAD: u32 = 25_000;
/// New flows per second, and what they are.
const RATES: [(u32, Flow); 4] = [(10_000, CONNECTION), (100_000, CONNECTION), (250_000, ATTEMPT), (500_000, ATTEMPT)];
/// Flows of each CPU, as a power of two.
const BITS: u32 = 16;
/// CPUs that are compared with one.
const CPUS: usize = 2;

/// The section.
///
/// # Errors
/// When the kernel refuses anything.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    if let Some(why) = tier::needs_root() {
        report.skip(format!("{SECTION}: {why}"));
        return Ok(());
    }
    epochs(setting, report)?;
    rates(setting, report)?;
    cpus(setting, report)
}

/// The same load, drained more or less often.
fn epochs(setting: &Setting, report: &mut Report) -> io::Result<()> {
    for interval in INTERVALS {
        let load = format!("{} k new flows/s, drained every {interval}", LOAD / 1000);
        if !setting.wants(&load) {
            continue;
        }
        let words = ["--drain", interval, "--slots", "65536", "--depth", "control"];
        let seen = agent::watch(setting, LOAD, CONNECTION, &words)?;
        report.add(SECTION, format!("{load}: agent"), "% of a core", &seen.shares);
        note(report, &seen, CONNECTION);
        if let Some(cost) = seen.program_ns {
            report.add(SECTION, format!("{load}: program"), "ns/frame", &[cost]);
            report.note("by the kernel's statistics, measuring included");
        }
    }
    Ok(())
}

/// More and more new flows.
fn rates(setting: &Setting, report: &mut Report) -> io::Result<()> {
    let mut measured = false;
    for (rate, flow) in RATES {
        let load = format!("agent at {} k new flows/s", rate / 1000);
        if !setting.wants(&load) {
            continue;
        }
        // Room for a drain interval of the greatest rate, and for all that lingers after its reset.
        let words = ["--slots", "262144", "--depth", "control", "--max-connections", "4000000"];
        let seen = agent::watch(setting, rate, flow, &words)?;
        report.add(SECTION, load.as_str(), "% of a core", &seen.shares);
        note(report, &seen, flow);
        if let Some(program_ns) = seen.program_ns {
            let of = |share: &f64| by_one_core(seen.sent_per_second, *share, flow.bits, program_ns) / 1e3;
            let rates: Vec<f64> = seen.shares.iter().map(of).collect();
            report.add(SECTION, format!("{load}: one core would take"), "k/s", &rates);
            report.note("agent and program, without what the kernel needs to receive");
            measured = true;
        }
    }
    if measured {
        peers::published(SECTION, report);
    }
    Ok(())
}

/// New flows per second that one core takes, when so many of them cost this share of it (percent) in the agent, and each of
/// their `1 << bits` segments so much in the program.
fn by_one_core(flows_per_s: f64, share_percent: f64, bits: u32, program_ns: f64) -> f64 {
    let agent_s = share_percent / 100.0 / flows_per_s;
    let program_s = f64::from(1_u32 << bits) * program_ns / 1e9;
    1.0 / (agent_s + program_s)
}

fn note(report: &mut Report, seen: &agent::Seen, flow: Flow) {
    let (sent, counted) = (seen.sent_per_second / 1e3, seen.connections);
    report.note(&format!("{sent:.0} k/s sent, {}; {counted} connections; {}", flow.name, seen.losses));
}

/// What is run on every CPU at once.
struct Kind {
    name: &'static str,
    flags: u64,
    control_every: u32,
    depth: Depth,
    /// Passes through all flows before the measured ones.
    before: u64,
    measured: u64,
}

const KINDS: [Kind; 3] = [
    Kind { name: "data, depth full", flags: SYNS, control_every: 0, depth: Depth::Full, before: 2, measured: 8 },
    Kind {
        name: "control of known flows",
        flags: OPEN_THEN_HIT,
        control_every: 1,
        depth: Depth::Control,
        before: 1,
        measured: 7,
    },
    Kind { name: "new flows", flags: SYNS, control_every: 1, depth: Depth::Control, before: 0, measured: 1 },
];

/// The program on one CPU, and on two at once; each has flows of its own, as receive queues do.
fn cpus(setting: &Setting, report: &mut Report) -> io::Result<()> {
    if thread::available_parallelism()?.get() < CPUS {
        report.skip(format!("{SECTION}: the program on {CPUS} CPUs: there is one"));
        return Ok(());
    }
    for kind in KINDS.iter().filter(|kind| setting.wants(kind.name)) {
        let entries = (CPUS as u32 * 2) << BITS;
        let config = EngineConfig {
            depth: kind.depth,
            action: Action::Drop,
            slots_per_cpu: 1 << BITS,
            ..EngineConfig::default()
        };
        let mut subjects = [
            ("ours", Subject::ours(&config)?),
            ("hash", Subject::conventional("conventional_hash", entries, kind.depth)?),
        ];
        let mut samples = Samples::default();
        for round in 0..=setting.rounds {
            for (name, subject) in &mut subjects {
                let alone = at_once(kind, 1, subject)?;
                let together = at_once(kind, CPUS, subject)?;
                if round > 0 {
                    samples.add(&format!("{name}, one CPU"), alone);
                    samples.add(&format!("{name}, {CPUS} CPUs"), together);
                }
            }
        }
        for (name, values) in samples.iter() {
            report.add(SECTION, format!("{}, 64 Ki flows per CPU: {name}", kind.name), "M frames/s", values);
        }
        for name in ["ours", "hash"] {
            let ratios = samples.ratio(&format!("{name}, {CPUS} CPUs"), &format!("{name}, one CPU"));
            report.add(SECTION, format!("{}: {name}, {CPUS} CPUs / one", kind.name), "", &ratios);
        }
    }
    Ok(())
}

/// Millions of frames per second of `cpus` CPUs together, driver included.
fn at_once(kind: &Kind, cpus: usize, subject: &mut Subject) -> io::Result<f64> {
    subject.clear()?;
    let frags = subject.is_frags();
    let Some(program) = subject.program()? else { return Err(io::ErrorKind::InvalidInput.into()) };
    let program = program.fd().map_err(io::Error::other)?;
    let ready = Barrier::new(cpus);
    thread::scope(|scope| {
        let one = |cpu| {
            let ready = &ready;
            move || on_cpu(kind, cpu, program, frags, ready)
        };
        let all: Vec<_> = (0..cpus).map(|cpu| scope.spawn(one(cpu))).collect();
        let costs = all.into_iter().map(|cpu| cpu.join().map_err(|_| io::Error::other("a CPU panicked"))?);
        // Each one's own rate: they begin together, and run about as long.
        costs.map(|cost| Ok(1e3 / cost?)).sum()
    })
}

/// Nanoseconds of a frame on one CPU, while the others do the same.
fn on_cpu(kind: &Kind, cpu: usize, program: &ProgramFd, frags: bool, ready: &Barrier) -> io::Result<f64> {
    let prepare = || -> io::Result<_> {
        sys::pin_to_cpu(cpu)?;
        measure::come_first()?;
        let mut driver = Driver::load()?;
        driver.aim(program, frags)?;
        let template = plain_segment();
        let mut drive = template.drive(BITS, kind.flags);
        drive.control_every = kind.control_every;
        // 10.0.0.0, 11.0.0.0: no two CPUs have a flow in common.
        drive.first += (cpu as u32) << 24;
        if kind.before > 0 {
            driver.set(&drive)?;
            driver.repeat(frags, &template.frame, kind.before << BITS)?;
        }
        drive.count = kind.before << BITS;
        drive.order = SCATTERED;
        driver.set(&drive)?;
        Ok((driver, template))
    };
    let prepared = prepare();
    // Whoever failed is waited for as well.
    ready.wait();
    let (mut driver, template) = prepared?;
    driver.repeat(frags, &template.frame, kind.measured << BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_is_shared_by_agent_and_program() {
        // A microsecond in the agent, and four times a quarter of one in the program: half a million of two each.
        assert!((by_one_core(100_000.0, 10.0, 2, 250.0) - 500_000.0).abs() < 1.0);
        assert!((by_one_core(100_000.0, 0.0, 1, 500.0) - 1e6).abs() < 1.0);
    }
}

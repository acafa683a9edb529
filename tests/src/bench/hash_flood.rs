//! Hash flood bench: flows by somebody who knows the hash and not the seed, against flows by chance: what a segment costs
//! the tracker, and the kernel's tables under BPF_PROG_TEST_RUN.

use std::{
    hash::{BuildHasher as _, RandomState},
    hint::black_box,
    io,
};

use aya::programs::{TestRun as _, TestRunOptions};
use probe_ebpf::layout::{ACK, SYN};
use probe_user::{
    source::live::engine::{Action, Engine, EngineConfig},
    tracker::{Extra, Tracker, TrackerConfig},
};

use super::{Report, Setting, kernel::Nowhere};
use crate::{
    hash_flood::{self, Flow},
    sys,
    sys::measure,
    tier,
};

const SECTION: &str = "hash_flood";
/// As many as there are slots.
const FLOWS: u32 = 1 << 14;
/// What nobody may slow either by more than.
const LIMIT: f64 = 1.2;
/// How often the same is measured.
const SAME_AGAIN: usize = 3;
const SECOND: u64 = 1_000_000_000;

/// The section.
///
/// # Errors
/// When the kernel refuses anything.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    sys::pin_to_cpu(setting.core)?;
    let lacking = tier::needs_root();
    if lacking.is_none() {
        measure::come_first()?;
    }
    let sets = hash_flood::all(FLOWS);
    let rounds = setting.rounds * 3;
    compare(report, "tracker", &sets, rounds, tracker)?;
    if let Some(why) = lacking {
        report.skip(format!("{SECTION}, kernel table: {why}"));
        return Ok(());
    }
    let tables = EngineConfig { action: Action::Drop, slots_per_cpu: FLOWS, ..EngineConfig::default() };
    compare(report, "kernel table", &sets, setting.rounds, |flows| kernel(&tables, flows))
}

/// The cost of each set, and how many times that by chance it is, round by round.
fn compare(
    report: &mut Report,
    what: &str,
    sets: &[(String, Vec<Flow>)],
    rounds: usize,
    mut cost: impl FnMut(&[Flow]) -> io::Result<f64>,
) -> io::Result<()> {
    let (mut by_chance, mut ratios) = (vec![], vec![vec![]; sets.len()]);
    for round in 0..=rounds {
        for (number, (_, flows)) in sets.iter().enumerate() {
            // Beside each other, so that what disturbs one disturbs both.
            let chance = cost(&hash_flood::by_chance(FLOWS, round as u64))?;
            let crafted = cost(flows)?;
            // The first round warms up.
            if round > 0 {
                by_chance.push(chance);
                ratios[number].push(crafted / chance);
            }
        }
    }
    report.add(SECTION, format!("{what}: flows by chance"), "ns/segment", &by_chance);
    for ((name, _), ratio) in sets.iter().zip(&ratios) {
        report.add(SECTION, format!("{what}: {name} / by chance"), "", ratio);
        report.at_most(LIMIT);
    }
    Ok(())
}

/// Nanoseconds per segment, by a seed of its own: each flow opened, and found twice; the least of some, since nothing but
/// others on this machine makes it more.
fn tracker(flows: &[Flow]) -> io::Result<f64> {
    let hash_seed = RandomState::new().hash_one(0);
    let mut least = f64::INFINITY;
    for _ in 0..SAME_AGAIN {
        let mut tracker = Tracker::new(TrackerConfig { hash_seed, ..TrackerConfig::default() });
        let begun = measure::thread_time()?;
        for (turn, flags) in [SYN, ACK, ACK].into_iter().enumerate() {
            for (number, flow) in flows.iter().enumerate() {
                let time_ns = SECOND + (turn * flows.len() + number) as u64;
                tracker.observe(&flow.segment(flags, time_ns), Extra::default());
            }
        }
        let spent = measure::thread_time()?.saturating_sub(begun);
        black_box(tracker.stats());
        least = least.min(spent.as_nanos() as f64 / (3 * flows.len()) as f64);
    }
    Ok(least)
}

/// Nanoseconds per frame, as the kernel measures each run, of a seed of its own: each flow opened, and found once; less
/// what a frame costs that is no TCP.
fn kernel(config: &EngineConfig, flows: &[Flow]) -> io::Result<f64> {
    let mut engine = Engine::load(config).map_err(io::Error::other)?;
    engine.tick(1);
    let mut spent = 0.0;
    for frame in [|flow: &Flow| flow.frame(1).syn().bytes(), |flow: &Flow| flow.frame(2).ack(1).bytes()] {
        for flow in flows {
            spent += one(&mut engine, &frame(flow)?)?;
        }
    }
    let mut arp = flows[0].frame(1).bytes()?;
    arp[12..14].copy_from_slice(&[8, 6]);
    let mut floor = 0.0;
    for _ in flows {
        floor += one(&mut engine, &arp)?;
    }
    let accounting = engine.drain(&mut Nowhere).map_err(io::Error::other)?;
    if accounting.in_slots + accounting.logged + accounting.untracked_data != 2 * flows.len() as u64 {
        return Err(io::Error::other(format!("not all were counted: {accounting:?}")));
    }
    Ok((spent / 2.0 - floor) / flows.len() as f64)
}

fn one(engine: &mut Engine, frame: &[u8]) -> io::Result<f64> {
    let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
    let ran = engine.program().map_err(io::Error::other)?.test_run(options).map_err(io::Error::other)?;
    Ok(ran.duration.as_nanos() as f64)
}

//! Taking what the kernel has collected: cost per entry against the two ways there are to empty a kernel hash table, and how
//! long a flip takes.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    thread,
    time::Instant,
};

use probe_ebpf::layout::{FlowKey, SLOT_SEGMENTS, SegmentRecord, Slot};
use probe_user::source::live::engine::{Action, Depth, EngineConfig};

use super::{
    Report, Setting, cache_lines,
    kernel::{Driver, OPEN_THEN_HIT, SCATTERED, Subject},
    program::plain_segment,
};
use crate::{
    sys::{self, measure},
    tier,
};

const SECTION: &str = "drain";
/// Entries, as a power of two.
const ENTRIES: [(u32, &str); 4] = [(12, "4 Ki"), (14, "16 Ki"), (16, "64 Ki"), (20, "1 Mi")];
/// Elements per system call: what is fastest here, and usual.
const AT_ONCE: u32 = 16_384;

/// The section.
///
/// # Errors
/// When the kernel refuses anything.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    if let Some(why) = tier::needs_root() {
        report.skip(format!("{SECTION}: {why}"));
        return Ok(());
    }
    let pinned = || {
        sys::pin_to_cpu(setting.core)?;
        measure::come_first()?;
        entries(setting, report)
    };
    // On a thread of its own: what follows shall not be pinned.
    thread::scope(|scope| scope.spawn(pinned).join()).map_err(|_| io::Error::other("a measurement panicked"))?
}

/// Fills `subject` with two control segments of each of `1 << bits` flows.
fn fill(driver: &mut Driver, subject: &mut Subject, bits: u32) -> io::Result<()> {
    let template = plain_segment();
    let mut drive = template.drive(bits, OPEN_THEN_HIT);
    drive.order = SCATTERED;
    driver.set(&drive)?;
    driver.run(subject, true, &template.frame, 2 << bits).map(drop)
}

/// CPU time of `work`, seconds.
fn cpu(work: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let before = measure::thread_time()?;
    work()?;
    Ok(measure::thread_time()?.saturating_sub(before).as_secs_f64())
}

fn entries(setting: &Setting, report: &mut Report) -> io::Result<()> {
    let mut driver = Driver::load()?;
    let mut flips = Vec::new();
    let wanted = |bits: u32, name: &str| (!setting.quick || bits < 20) && setting.wants(&format!("{name} entries"));
    for (bits, name) in ENTRIES.into_iter().filter(|(bits, name)| wanted(*bits, name)) {
        let slots_per_cpu = 1 << bits.max(14);
        let config =
            EngineConfig { depth: Depth::Control, action: Action::Drop, slots_per_cpu, ..EngineConfig::default() };
        let mut ours = Subject::ours(&config)?;
        let mut theirs = Subject::conventional("conventional_hash", 2 << bits, Depth::Control)?;
        let mut times = [const { Vec::new() }; 3];
        for _ in 0..=setting.rounds {
            let begun = Instant::now();
            let empty = cpu(|| ours.clear())?;
            flips.push(begun.elapsed().as_secs_f64() * 1e3);
            fill(&mut driver, &mut ours, bits)?;
            times[0].push(cpu(|| ours.clear())? - empty);
            fill(&mut driver, &mut theirs, bits)?;
            times[1].push(cpu(|| empty_table(&theirs, bits, false))?);
            if bits < 20 {
                fill(&mut driver, &mut theirs, bits)?;
                times[2].push(cpu(|| empty_table(&theirs, bits, true))?);
            }
        }
        let [ours, batch, single] = times
            .map(|times| times.iter().skip(1).map(|time| time * 1e9 / f64::from(1_u32 << bits)).collect::<Vec<_>>());
        report.add(SECTION, format!("{name} entries, 2 segments each: ours, in time order"), "ns/entry", &ours);
        let alone = cache_lines::drained(bits, setting.rounds)?;
        report.add(SECTION, format!("{name} entries: of that, reading their cache lines once"), "ns/entry", &alone);
        let sorting = sorting(bits, setting.rounds);
        report.add(SECTION, format!("{name} entries: what sorting by time would take"), "ns/entry", &sorting);
        report.add(SECTION, format!("{name} entries: LOOKUP_AND_DELETE_BATCH"), "ns/entry", &batch);
        if !single.is_empty() {
            report.add(SECTION, format!("{name} entries: key by key"), "ns/entry", &single);
        }
        let ratios: Vec<f64> = ours.iter().zip(&batch).map(|(ours, batch)| ours / batch).collect();
        report.add(SECTION, format!("{name} entries: ours / LOOKUP_AND_DELETE_BATCH"), "", &ratios);
        report.at_most(1.0 / 30.0);
    }
    if !flips.is_empty() {
        report.add(SECTION, "flip of the halves, with nothing to drain", "ms", &flips);
    }
    Ok(())
}

/// What putting two segments of each of `1 << bits` flows into the order of their times takes by itself: first segments
/// come in order, second ones do not.
fn sorting(bits: u32, rounds: usize) -> Vec<f64> {
    let count = 1_u32 << bits;
    let second = |flow: u32| u64::from(count + (flow.wrapping_mul(SCATTERED) & (count - 1)));
    let one = || {
        let segments = (0..count).flat_map(|flow| [(u64::from(flow), flow, 0_u32), (second(flow), flow, 1)]);
        let mut order: Vec<(u64, u32, u32)> = segments.collect();
        let begun = Instant::now();
        order.sort_unstable();
        let took = begun.elapsed();
        std::hint::black_box(&order);
        took.as_secs_f64() * 1e9 / f64::from(count)
    };
    (0..rounds).map(|_| one()).collect()
}

fn empty_table(subject: &Subject, bits: u32, one_by_one: bool) -> io::Result<()> {
    let table = subject.table().ok_or_else(|| io::Error::other("no hash table"))?;
    let fd = table.fd().as_fd().as_raw_fd();
    let (key, value) = (size_of::<FlowKey>(), size_of::<Slot>() + SLOT_SEGMENTS * size_of::<SegmentRecord>());
    let count = if one_by_one {
        measure::drain_one_by_one(fd, key, value)?
    } else {
        measure::drain_batch(fd, key, value, AT_ONCE)?
    };
    if count == 1 << bits {
        return Ok(());
    }
    Err(io::Error::other(format!("{count} entries instead of {}", 1 << bits)))
}

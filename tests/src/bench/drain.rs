//! Taking what the kernel has collected: cost per entry against the two ways there are to empty a kernel hash table, how
//! long a flip takes, and what the agent needs of a core at a steady rate of new connections.

use std::{
    fs, io,
    os::fd::{AsFd as _, AsRawFd as _},
    thread,
    time::{Duration, Instant},
};

use probe_ebpf::layout::{FlowKey, SLOT_SEGMENTS, SegmentRecord, Slot};
use probe_user::source::live::engine::{Action, Depth, EngineConfig};

use super::{
    Report, Setting,
    kernel::{Driver, OPEN_THEN_HIT, SCATTERED, Subject},
    program::plain_segment,
};
use crate::{
    netns::{Loop, SINK, SOURCE},
    probe::Probe,
    sys::{self, measure},
    tier,
};

const SECTION: &str = "drain";
/// Entries, as a power of two.
const ENTRIES: [(u32, &str); 4] = [(12, "4 Ki"), (14, "16 Ki"), (16, "64 Ki"), (20, "1 Mi")];
/// Elements per system call: what is fastest here, and usual.
const AT_ONCE: u32 = 16_384;
/// New connections per second, four control segments each.
const RATES: [u32; 3] = [10_000, 100_000, 500_000];
/// The agent is watched for this long, at each rate.
const WATCHED: Duration = Duration::from_secs(4);
/// Pause between two bursts.
const PAUSE: Duration = Duration::from_millis(2);
/// SYN, SYN-ACK, FIN, RST.
const CONNECTION: u64 = 0x0411_1202;

/// The section.
///
/// # Errors
/// When the kernel refuses anything.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    if let Some(why) = tier::needs_root() {
        report.skip(format!("{SECTION}: {why}"));
        return Ok(());
    }
    let entries = |report: &mut Report| {
        sys::pin_to_cpu(setting.core)?;
        measure::come_first()?;
        entries(setting, report)
    };
    // On a thread of its own: what follows shall not be pinned.
    thread::scope(|scope| scope.spawn(|| entries(report)).join())
        .map_err(|_| io::Error::other("a measurement panicked"))??;
    if setting.wants("agent") { agent(setting, report) } else { Ok(()) }
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
        report.add(
            SECTION,
            format!("{name} entries: of that, sorting by time"),
            "ns/entry",
            &sorting(bits, setting.rounds),
        );
        report.add(SECTION, format!("{name} entries: LOOKUP_AND_DELETE_BATCH"), "ns/entry", &batch);
        if !single.is_empty() {
            report.add(SECTION, format!("{name} entries: key by key"), "ns/entry", &single);
        }
        let ratios: Vec<f64> = ours.iter().zip(&batch).map(|(ours, batch)| ours / batch).collect();
        report.add(SECTION, format!("{name} entries: ours / LOOKUP_AND_DELETE_BATCH"), "", &ratios);
        report.at_most(1.0 / 30.0);
    }
    report.add(SECTION, "flip of the halves, with nothing to drain", "ms", &flips);
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

/// The agent at each rate: share of a core.
fn agent(setting: &Setting, report: &mut Report) -> io::Result<()> {
    let place = Loop::build()?;
    for rate in RATES {
        let words = ["snapshot", "-i", SINK, "--action", "drop", "--depth", "control", "--for", "1h"];
        // Room for a drain interval of the greatest rate.
        let words = words.into_iter().chain(["--slots", "131072", "--format", "json"]).map(Into::into);
        let probe = Probe::start(&place.namespace, &words.collect::<Vec<_>>())?;
        let agent = probe.pid();
        let (sent, shares) = place.namespace.enter(|| offered(setting, rate, agent))?;
        report.add(SECTION, format!("agent at {} k new connections/s", rate / 1000), "% of a core", &shares);
        report.note(&format!("{:.0} k/s sent, four control segments each", sent / 1e3));
        let finished = probe.stop()?;
        if !finished.status.success() {
            report.note(&format!("the agent ended with {}: {}", finished.status, finished.stderr));
        }
    }
    Ok(())
}

/// Sends at `rate`; connections per second that were sent, and the agent's share of a core, second by second.
fn offered(setting: &Setting, rate: u32, agent: u32) -> io::Result<(f64, Vec<f64>)> {
    sys::pin_to_cpu(setting.core)?;
    let template = plain_segment();
    let mut driver = Driver::load()?;
    let mut drive = template.drive(22, CONNECTION);
    drive.turn_bits = 2;
    drive.interface = sys::interface_index(SOURCE)?;
    driver.set(&drive)?;
    let (begun, mut sent, mut shares) = (Instant::now(), 0_u64, Vec::new());
    let (mut then, mut before) = (begun, cpu_of(agent)?);
    while begun.elapsed() < WATCHED {
        let due = (begun.elapsed().as_micros() as u64 * u64::from(rate) / 1_000_000).saturating_sub(sent);
        // A call of the kernel takes tens of milliseconds, however little it sends; what cannot be sent within a fifth of
        // a second is not made up for.
        let count = due.min(u64::from(rate / 5)) as u32;
        driver.send(&template.frame, count * 4)?;
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

//! The whole way of a frame on one core: made, sent through a veth pair, received, seen by a program, dropped. The same
//! with a program that does nothing, with the conventional design, and with ours, whose tables are drained meanwhile.

use std::{
    io,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use aya::programs::{Xdp, xdp::XdpMode};
use probe_user::source::live::{
    accounting::Accounting,
    engine::{Action, Depth, EngineConfig},
};

use super::{
    Report, Setting,
    kernel::{Driver, Nowhere, SCATTERED, Samples, Subject},
    program::plain_segment,
};
use crate::{
    netns::{Loop, SINK, SOURCE},
    sys::{self, measure},
    tier,
};

const SECTION: &str = "path";
/// Frames of one sample.
const FRAMES: u32 = 400_000;
/// Flows, as a power of two.
const BITS: u32 = 16;
/// Time between two drains.
const EPOCH: Duration = Duration::from_millis(50);
/// SYN, SYN-ACK, FIN, RST.
const EVERY_KIND: u64 = 0x0411_1202_0411_1202;
/// Share of control segments, and every how manieth segment is one.
const MIXES: [(&str, u32); 3] = [("0 %", 0), ("5 %", 20), ("100 %", 1)];

/// The section.
///
/// # Errors
/// When the kernel refuses anything.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    if let Some(why) = tier::needs_root() {
        report.skip(format!("{SECTION}: {why}"));
        return Ok(());
    }
    let place = Loop::build()?;
    for (mix, control_every) in MIXES {
        let samples = place.namespace.enter(|| rounds(setting, control_every))?;
        for (name, values) in samples.iter() {
            report.add(SECTION, format!("{mix} control: {name}"), "M frames/s", values);
        }
        for name in ["ours, depth control", "ours, depth full", "conventional, depth control"] {
            let ratios = samples.ratio(name, "drop all");
            report.add(SECTION, format!("{mix} control: {name} / drop all"), "", &ratios);
            if name == "ours, depth control" && control_every == 20 {
                report.at_least(0.9);
            }
        }
    }
    Ok(())
}

fn rounds(setting: &Setting, control_every: u32) -> io::Result<Samples> {
    let mut driver = Driver::load()?;
    let ours = |depth| {
        let config = EngineConfig { depth, action: Action::Drop, slots_per_cpu: 1 << BITS, ..EngineConfig::default() };
        Subject::ours(&config)
    };
    let mut subjects = [
        ("drop all", Subject::Empty),
        ("ours, depth control", ours(Depth::Control)?),
        ("ours, depth full", ours(Depth::Full)?),
        ("conventional, depth control", Subject::conventional("conventional_hash", 2 << BITS, Depth::Control)?),
        ("conventional, depth full", Subject::conventional("conventional_hash", 2 << BITS, Depth::Full)?),
    ];
    let mut samples = Samples::default();
    for round in 0..=setting.rounds * 2 {
        for (name, subject) in &mut subjects {
            let rate = sample(setting, &mut driver, subject, control_every)?;
            // The first round warms up.
            if round > 0 {
                samples.add(name, rate);
            }
        }
    }
    Ok(samples)
}

/// Millions of frames per second, sent and received on one core.
fn sample(setting: &Setting, driver: &mut Driver, subject: &mut Subject, control_every: u32) -> io::Result<f64> {
    let template = plain_segment();
    let mut drive = template.drive(BITS, EVERY_KIND);
    drive.control_every = control_every;
    drive.order = SCATTERED;
    drive.interface = sys::interface_index(SOURCE)?;
    driver.set(&drive)?;
    let link = attach(match subject.program()? {
        Some(program) => program,
        None => driver.empty()?,
    })?;
    let stop = AtomicBool::new(false);
    let (seconds, accounting) = thread::scope(|scope| {
        let drainer = scope.spawn(|| drain_until(subject, &stop));
        let seconds = send(setting, driver, &template.frame);
        stop.store(true, Ordering::Relaxed);
        (seconds, drainer.join())
    });
    let accounting = accounting.map_err(|_| io::Error::other("the drain panicked"))??;
    let detached = match subject.program()? {
        Some(program) => program.detach(link),
        None => driver.empty()?.detach(link),
    };
    detached.map_err(io::Error::other)?;
    if matches!(subject, Subject::Ours(_)) && accounting.frames != u64::from(FRAMES) {
        return Err(io::Error::other(format!("{} of {FRAMES} frames arrived", accounting.frames)));
    }
    Ok(f64::from(FRAMES) / seconds? / 1e6)
}

fn attach(program: &mut Xdp) -> io::Result<aya::programs::xdp::XdpLinkId> {
    program.attach(SINK, XdpMode::Driver).map_err(io::Error::other)
}

fn send(setting: &Setting, driver: &mut Driver, frame: &[u8]) -> io::Result<f64> {
    sys::pin_to_cpu(setting.core)?;
    measure::come_first()?;
    let begun = Instant::now();
    driver.send(frame, FRAMES)?;
    Ok(begun.elapsed().as_secs_f64())
}

/// Drains ours every [`EPOCH`], as the agent does, on another core; the others are left alone.
fn drain_until(subject: &mut Subject, stop: &AtomicBool) -> io::Result<Accounting> {
    let mut sum = Accounting::default();
    let Subject::Ours(engine) = subject else { return Ok(sum) };
    let mut last = 0;
    // Twice after the end: both halves.
    while last < 2 {
        last += usize::from(stop.load(Ordering::Relaxed));
        thread::sleep(if last > 0 { Duration::ZERO } else { EPOCH });
        sum.add(&engine.drain(&mut Nowhere).map_err(io::Error::other)?);
    }
    Ok(sum)
}

//! AF_XDP beside counting: the same generator on one core, the whole agent on the other.
//!
//! A round takes four seconds; `--rounds 15` is a minute of each. Copy mode over veth: what zero-copy gives shows only on a
//! NIC that has it.

use std::{
    ffi::OsString,
    io,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{Report, Setting};
use crate::{
    generator::Generator,
    netns::{Loop, SINK, SOURCE},
    probe::Probe,
    sys,
};

const SECTION: &str = "afxdp";
const ROUND: Duration = Duration::from_secs(4);
/// Segments between two looks at the clock.
const BATCH: u32 = 200_000;

/// What came of a round.
struct Sample {
    sent_per_second: f64,
    taken_per_second: f64,
    /// Frames in no counter.
    lost: u64,
}

/// Measures both paths in turn.
///
/// # Errors
/// When a probe or the generator does not run.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    if !sys::is_root() {
        report.skip("afxdp: needs root");
        return Ok(());
    }
    let mut samples: [Vec<Sample>; 2] = [vec![], vec![]];
    for _ in 0..setting.rounds {
        for (path, samples) in ["count", "afxdp"].iter().zip(&mut samples) {
            samples.push(round(path)?);
        }
    }
    for (path, samples) in ["counting", "AF_XDP, copy mode"].iter().zip(&samples) {
        let all = |pick: fn(&Sample) -> f64| samples.iter().map(pick).collect::<Vec<_>>();
        report.add(SECTION, format!("{path}: sent"), "M segments/s", &all(|one| one.sent_per_second / 1e6));
        report.add(
            SECTION,
            format!("{path}: taken by the agent"),
            "M segments/s",
            &all(|one| one.taken_per_second / 1e6),
        );
        report.note("the rest is in a counter");
        report.add(SECTION, format!("{path}: in no counter"), "segments", &all(|one| one.lost as f64));
        report.at_most(0.0);
    }
    Ok(())
}

fn round(path: &str) -> io::Result<Sample> {
    let network = Loop::build()?;
    let words = ["snapshot", "-i", SINK, "--action", "drop", "--for", "60s", "--format", "json", "--umem", "16384"];
    let words: Vec<OsString> = words.iter().chain(&["--datapath", path]).map(Into::into).collect();
    let probe = Probe::start(&network.namespace, &words)?;
    let send = || {
        sys::pin_to_cpu(0)?;
        let generator = Generator::load(sys::interface_index(SOURCE)?)?;
        let (begin, mut sent) = (Instant::now(), 0);
        while begin.elapsed() < ROUND {
            generator.send(BATCH)?;
            sent += u64::from(BATCH);
        }
        Ok((sent, begin.elapsed().as_secs_f64()))
    };
    let (sent, seconds) = network.namespace.enter(send)?;
    let done = probe.stop()?;
    if !done.status.success() {
        return Err(io::Error::other(done.stderr));
    }
    let document: Value = serde_json::from_str(&done.stdout).map_err(io::Error::other)?;
    let of = |kind: &str, name: &str| document["summary"][kind][name].as_u64().unwrap_or(0);
    // What the veth pair itself drops came before the program.
    let (seen, taken, counted) = if path == "count" {
        let tcp = of("books", "tcp");
        (tcp, of("books", "in_slots") + of("books", "logged"), tcp - of("losses", "books.difference"))
    } else {
        let lost = of("losses", "afxdp.dropped") + of("losses", "afxdp.ring_full");
        (of("books", "afxdp.redirected"), of("books", "afxdp.frames"), of("books", "afxdp.frames") + lost)
    };
    let (sent_per_second, taken_per_second) = (sent as f64 / seconds, taken as f64 / seconds);
    Ok(Sample { sent_per_second, taken_per_second, lost: seen.abs_diff(counted) })
}

//! `rstprobe read` on several cores: threads and formats against each other, and against the fastest of the other tools.
//!
//! What runs on one core is measured by [`super::read`]; here nothing is pinned, and the ratios are those of one run.

use std::{io, path::Path, thread};

use super::{Report, Setting, kernel::Samples, peers, read};

const SECTION: &str = "read";

/// One way to read: its name, and its arguments.
struct Way {
    name: &'static str,
    arguments: &'static [&'static str],
}

/// A ratio of two ways, or of a way and another tool, and its limit.
struct Ratio {
    of: &'static str,
    to: &'static str,
    at_most: f64,
}

const WAYS: &[Way] = &[
    Way { name: "table", arguments: &["--format", "table"] },
    Way { name: "table, --threads 1", arguments: &["--format", "table", "--threads", "1"] },
    Way { name: "table, --threads 2", arguments: &["--format", "table", "--threads", "2"] },
    Way { name: "ndjson", arguments: &["--format", "ndjson"] },
    Way { name: "zeek", arguments: &["--format", "zeek"] },
];

/// The limits are for two cores; more cores make them easier.
const RATIOS: &[Ratio] = &[
    Ratio { of: "table", to: "table, --threads 1", at_most: 0.6 },
    Ratio { of: "ndjson", to: "table", at_most: 1.6 },
    Ratio { of: "zeek", to: "table", at_most: 1.3 },
    Ratio { of: "table", to: peers::FASTEST, at_most: 0.1 },
];

/// Reads `capture` of so many packets in every way, round after round.
///
/// # Errors
/// When a program cannot be run.
pub(super) fn run(setting: &Setting, capture: &Path, packets: u64, report: &mut Report) -> io::Result<()> {
    let cores = thread::available_parallelism()?.get();
    if cores < 2 {
        report.skip(format!("{SECTION}: threads: one core only"));
        return Ok(());
    }
    let peer = peers::fastest().filter(|peer| read::is_installed(peer.name));
    let mut samples = Samples::default();
    for round in 0..=setting.rounds {
        let mut add = |name: &str, took: f64| {
            // The first round warms up.
            if round > 0 {
                samples.add(name, took);
            }
        };
        for way in WAYS {
            add(way.name, read::ours(setting, way.arguments, capture, read::Cores::All)?);
        }
        if let Some(peer) = peer {
            add(peer.name, read::peer_reads(setting, peer, capture, read::Cores::All)?);
        }
    }
    rows(&samples, cores, packets, report);
    Ok(())
}

fn rows(samples: &Samples, cores: usize, packets: u64, report: &mut Report) {
    for (name, times) in samples.iter() {
        let ours = WAYS.iter().any(|way| way.name == name);
        let what = if ours { format!("rstprobe read --format {name}") } else { name.to_owned() };
        report.add(SECTION, format!("{cores} cores: {what}"), "s", times);
        if ours {
            report.note(&read::rate(packets, times));
        }
    }
    for Ratio { of, to, at_most } in RATIOS {
        let ratio = samples.ratio(of, to);
        if !ratio.is_empty() {
            report.add(SECTION, format!("{cores} cores: {of} / {to}"), "", &ratio);
            report.at_most(*at_most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ratio_is_of_what_is_measured() {
        let is_measured = |name: &str| WAYS.iter().any(|way| way.name == name);
        for ratio in RATIOS {
            assert!(is_measured(ratio.of), "{}", ratio.of);
            assert!(
                is_measured(ratio.to) || peers::fastest().is_some_and(|peer| peer.name == ratio.to),
                "{}",
                ratio.to
            );
        }
    }

    #[test]
    fn limits_are_of_the_time_of_one_run() {
        let mut samples = Samples::default();
        for (name, time) in [("table", 1.0), ("table, --threads 1", 2.0), ("ndjson", 1.5), ("zeek", 1.4)] {
            samples.add(name, time);
        }
        let mut report = Report::default();
        rows(&samples, 2, 1_000_000, &mut report);
        let json = report.json();
        let holds = |what: &str| {
            let row = json["rows"].as_array().into_iter().flatten().find(|row| row["what"] == what);
            row.map(|row| row["holds"].clone())
        };
        assert_eq!(holds("2 cores: table / table, --threads 1"), Some(true.into()));
        assert_eq!(holds("2 cores: ndjson / table"), Some(true.into()));
        assert_eq!(holds("2 cores: zeek / table"), Some(false.into()));
        // Without the other tool there is no ratio to it, and no verdict.
        assert_eq!(holds("2 cores: table / softflowd"), None);
    }
}

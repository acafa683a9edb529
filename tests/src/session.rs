//! One run of everything: network, probe on both legs, all scenarios, the probe's last word, and nothing left behind.

use std::{ffi::OsString, fs, io, thread, time::Duration};

use serde_json::Value;

use crate::{
    leftover::Footprint,
    netns::{self, Network},
    probe::{Finished, Probe},
    scenario::{self, Case},
    tier::{self, say},
    verdict::{self, Judgement},
    wire::Wire,
};

/// The probe is interrupted when the scenarios are done; this is only its limit if that goes wrong.
const LIMIT: &str = "10m";

/// How a run is done.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How long the probe goes on watching after the last scenario.
    pub settle: Duration,
    /// Further words for `rstprobe snapshot`.
    pub words: Vec<OsString>,
}

/// What came of it.
#[derive(Debug)]
pub struct Report {
    /// The snapshot document.
    pub snapshot: Value,
    /// Each case with the probe's word on it.
    pub judgements: Vec<(Case, Judgement)>,
    /// The probe's own output and exit status.
    pub probe: Finished,
    /// Where the probe's counts of SYN, SYN-ACK, FIN and RST differ from those of a packet socket.
    pub miscounted: Vec<String>,
    /// What is still there and should not be: programs, maps, links, namespaces.
    pub remains: Vec<String>,
}

impl Report {
    /// Cases about which the probe was wrong.
    pub fn wrong(&self) -> impl Iterator<Item = &(Case, Judgement)> {
        self.judgements.iter().filter(|(_, judgement)| !judgement.wrong.is_empty())
    }
}

/// Plays `cases` under a probe, and again those that came out wrong: on a busy machine the kernel itself may take another
/// turn than the scenario staged (a timer that fires first), and then the right verdict is another one too. Says so. What was
/// wrong at first has to be right [`tier::right_in_a_row`] times; in guests, where an emulated processor takes milliseconds
/// for what is to happen at once, once of three. Counts, losses and remains are never forgiven.
///
/// # Errors
/// Those of [`run`].
pub fn run_settled(cases: &[Case], plan: &Plan) -> io::Result<Report> {
    let mut report = run(cases, plan)?;
    for _ in 1..tier::tries() {
        if report.wrong().next().is_none() {
            break;
        }
        once_more(&mut report, plan)?;
    }
    Ok(report)
}

/// Plays the cases that came out wrong, and puts the new judgements into their places.
fn once_more(report: &mut Report, plan: &Plan) -> io::Result<()> {
    for (case, judgement) in report.wrong() {
        say(&format!("ONCE MORE {}: said {} because {}", case.name(), judgement.said, judgement.evidence));
    }
    let mut suspects: Vec<Case> = report.wrong().map(|(case, _)| case.clone()).collect();
    for _ in 0..tier::right_in_a_row() {
        let again = run(&suspects, plan)?;
        suspects.retain(|case| again.wrong().all(|(wrong, _)| wrong.name() != case.name()));
        for (case, judgement) in again.judgements {
            let known = report.judgements.iter_mut().find(|(known, _)| known.name() == case.name());
            if let Some(known) = known {
                known.1 = judgement;
            }
        }
        report.miscounted.extend(again.miscounted);
        report.remains.extend(again.remains);
        if report.probe.status.success() {
            report.probe = again.probe;
        }
        if suspects.is_empty() {
            break;
        }
    }
    Ok(())
}

/// Plays `cases` under a probe.
///
/// # Errors
/// When the network cannot be built, the probe does not run, or a scenario cannot be played.
pub fn run(cases: &[Case], plan: &Plan) -> io::Result<Report> {
    let network = Network::build()?;
    let names = [&network.client, &network.middle, &network.server].map(|namespace| namespace.name().to_owned());
    say(&format!("namespaces {} are up", names.join(", ")));
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("snapshot.json");
    let mut words: Vec<OsString> = ["--for", LIMIT, "--json-out"].map(OsString::from).into();
    words.push(file.clone().into());
    words.extend(plan.words.iter().cloned());
    let probe = Probe::snapshot(&network.middle, &words)?;
    let footprint = Footprint::take(&network.middle)?;
    if footprint.programs.is_empty() {
        // Otherwise "nothing left behind" would be true of nothing.
        return Err(io::Error::other("the probe says that it is attached, and no interface has an XDP program"));
    }
    say(&format!("probe {} is attached as XDP program {:?}", probe.pid(), footprint.programs));
    let wire = Wire::listen(&network.middle)?;
    let open_ends = scenario::play(&network, cases)?;
    say(&format!("{} cases are played; {} ends stay open", cases.len(), open_ends.len()));
    thread::sleep(plan.settle);
    // First the probe: a frame that only the packet socket sees shows as a difference, not the other way round.
    let probe = probe.stop()?;
    let truth = wire.stop()?;
    drop(open_ends);
    let snapshot = read(&file, &probe)?;
    let miscounted = truth.differences(&snapshot);
    let judgements = cases.iter().map(|case| (case.clone(), verdict::judge(&snapshot, case))).collect();
    let mut remains = footprint.remains();
    drop(network);
    let left = netns::remaining()?;
    remains.extend(names.into_iter().filter(|name| left.contains(name)).map(|name| format!("namespace {name}")));
    Ok(Report { snapshot, judgements, probe, miscounted, remains })
}

/// Plays `cases` under a probe that is asked `words` (of `rstprobe snapshot`), whatever they are; what it says.
///
/// # Errors
/// When the network cannot be built, the probe does not run, or a scenario cannot be played.
pub fn ask(cases: &[Case], words: &[OsString], settle: Duration) -> io::Result<Finished> {
    let network = Network::build()?;
    let limit = ["--for", LIMIT].map(OsString::from);
    let probe = Probe::snapshot(&network.middle, &[&limit[..], words].concat())?;
    let open_ends = scenario::play(&network, cases)?;
    thread::sleep(settle);
    let said = probe.stop()?;
    drop(open_ends);
    Ok(said)
}

fn read(file: &std::path::Path, probe: &Finished) -> io::Result<Value> {
    let text = fs::read_to_string(file)
        .map_err(|error| io::Error::new(error.kind(), format!("no snapshot: {error}; it said:\n{}", probe.stderr)))?;
    serde_json::from_str(&text).map_err(io::Error::other)
}

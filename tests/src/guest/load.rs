//! Every way to load the programs: accepted by this kernel's verifier, or refused with the first kernel that can.

use std::{
    ffi::OsString,
    io,
    time::{Duration, Instant},
};

use aya::programs::loaded_programs;

use super::{Outcome, Verdict, ensure, kernel, row, tell};
use crate::{
    netns::{ENDPOINT_INTERFACE, Loop, Namespace, Network, SINK},
    oneshot::OneShot,
    probe::Probe,
};

/// Kernel, driver or interface cannot do it as asked.
const UNABLE: i32 = 5;
const EVIDENCE: &str = "/tmp/evidence";

/// Where the probe stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    /// Both legs in the middle.
    Legs,
    /// At the end of a mirror port.
    Mirror,
    /// On the server itself.
    Server,
}

/// One way to load.
#[derive(Clone, Copy, Debug)]
struct Variant {
    name: &'static str,
    place: Place,
    words: &'static [&'static str],
    /// The first kernel that can, when the floor cannot.
    since: Option<(u32, u32)>,
    /// Of the tests that every change passes.
    decisive: bool,
}

const fn variant(name: &'static str, place: Place, words: &'static [&'static str]) -> Variant {
    Variant { name, place, words, since: None, decisive: false }
}

const fn decisive(variant: Variant) -> Variant {
    Variant { decisive: true, ..variant }
}

const fn since(version: (u32, u32), variant: Variant) -> Variant {
    Variant { since: Some(version), ..variant }
}

const AFXDP: [&str; 4] = ["--datapath", "afxdp", "--umem", "64"];

/// Depth by data path by buffers, then what is added to either.
const VARIANTS: &[Variant] = &[
    decisive(variant("auto", Place::Legs, &["--depth", "auto"])),
    decisive(variant("auto single", Place::Legs, &["--depth", "auto", "--single-buffer"])),
    variant("full", Place::Legs, &["--depth", "full"]),
    variant("full single", Place::Legs, &["--depth", "full", "--single-buffer"]),
    decisive(variant("control", Place::Legs, &["--depth", "control"])),
    variant("control single", Place::Legs, &["--depth", "control", "--single-buffer"]),
    variant("auto no encapsulation", Place::Legs, &["--encap", "none"]),
    variant("control no encapsulation", Place::Legs, &["--depth", "control", "--encap", "none"]),
    // What these ask for is told to one program by constants of its own: two at a time cost one verification.
    variant("auto vni, eight tunnels", Place::Legs, &["--domain", "vni", "--encap-depth", "8"]),
    variant("auto vlan, no flood", Place::Legs, &["--domain", "vlan", "--flood-at", "0"]),
    variant("auto drop, generic", Place::Mirror, &["--action", "drop", "--mode", "generic"]),
    decisive(variant("afxdp auto", Place::Mirror, &[AFXDP[0], AFXDP[1], AFXDP[2], AFXDP[3]])),
    variant("afxdp auto single", Place::Mirror, &[AFXDP[0], AFXDP[1], AFXDP[2], AFXDP[3], "--single-buffer"]),
    variant("afxdp control", Place::Mirror, &[AFXDP[0], AFXDP[1], AFXDP[2], AFXDP[3], "--depth", "control"]),
    variant("afxdp no encapsulation", Place::Mirror, &[AFXDP[0], AFXDP[1], AFXDP[2], AFXDP[3], "--encap", "none"]),
    variant("afxdp evidence", Place::Mirror, &[AFXDP[0], AFXDP[1], AFXDP[2], AFXDP[3], "--evidence", EVIDENCE]),
    decisive(variant("host auto", Place::Server, &["--host"])),
    variant("host control", Place::Server, &["--host", "--depth", "control"]),
    variant("host no encapsulation", Place::Server, &["--host", "--encap", "none"]),
    decisive(since((5, 18), variant("evidence auto", Place::Legs, &["--evidence", EVIDENCE]))),
    since((5, 18), variant("evidence auto single", Place::Legs, &["--evidence", EVIDENCE, "--single-buffer"])),
    since((5, 18), variant("evidence control", Place::Legs, &["--evidence", EVIDENCE, "--depth", "control"])),
    since((5, 18), variant("host evidence", Place::Server, &["--host", "--evidence", EVIDENCE])),
];

/// All variants.
///
/// # Errors
/// When one is not loaded, or refused otherwise than it should be.
pub fn every_variant() -> Outcome {
    variants("load", |_| true)
}

/// Those that cost the verifier most, and one of each kind.
///
/// # Errors
/// As [`every_variant`].
pub fn decisive_variants() -> Outcome {
    variants("load-decisive", |variant| variant.decisive)
}

fn variants(check: &str, is_meant: impl Fn(&Variant) -> bool) -> Outcome {
    let (legs, mirror) = (Network::build()?, Loop::build()?);
    let (mut loaded, mut refused, mut failed) = (0, 0, vec![]);
    for variant in VARIANTS.iter().filter(|variant| is_meant(variant)) {
        let start = Instant::now();
        let (namespace, interfaces): (&Namespace, &[&str]) = match variant.place {
            Place::Legs => (&legs.middle, &["-i", "leg-client", "-i", "leg-server"]),
            Place::Mirror => (&mirror.namespace, &["-i", SINK]),
            Place::Server => (&legs.server, &["-i", ENDPOINT_INTERFACE]),
        };
        let words: Vec<OsString> = ["snapshot", "--for", "1h", "--slots", "1024", "--log", "1024"]
            .iter()
            .chain(interfaces)
            .chain(variant.words)
            .map(OsString::from)
            .collect();
        let outcome = match variant.since.filter(|&since| kernel() < since) {
            Some(since) => is_refused(namespace, &words, since).inspect(|()| refused += 1),
            None => is_loaded(namespace, &words, variant.name).inspect(|()| loaded += 1),
        };
        if let Err(error) = outcome {
            // The others are of interest all the same.
            failed.push(variant.name);
            row(&format!("{check}/{}", variant.name), &Err(error), start.elapsed().as_secs_f64());
        }
    }
    ensure(failed.is_empty(), format!("not loaded: {}", failed.join(", ")))?;
    let note = if refused == 0 {
        format!("{loaded} variants")
    } else {
        format!("{loaded} variants, {refused} refused as said")
    };
    Ok(Verdict::Holds(note))
}

/// The first kernel that tells how many instructions its verifier processed (`bpf_prog_info.verified_insns`).
const TELLS_COUNTS: (u32, u32) = (5, 16);

/// Starts a probe and tells what the verifier processed of its programs.
///
/// # Errors
/// It does not start, or the kernel tells nothing of its programs although it could.
pub(super) fn start_counted(namespace: &Namespace, words: &[OsString], name: &str) -> io::Result<Probe> {
    let before: Vec<u32> = loaded_programs().flatten().map(|program| program.id()).collect();
    let probe = Probe::start(namespace, words)?;
    let mut reported = 0;
    for program in loaded_programs().flatten().filter(|program| !before.contains(&program.id())) {
        let title = program.name_as_str().unwrap_or("unnamed");
        if let Some(count) = program.verified_instruction_count() {
            tell(&["INSNS", title, name, &count.to_string()]);
            reported += 1;
        }
    }
    ensure(reported > 0 || kernel() < TELLS_COUNTS, "no program tells what the verifier processed")?;
    Ok(probe)
}

fn is_loaded(namespace: &Namespace, words: &[OsString], name: &str) -> io::Result<()> {
    let probe = start_counted(namespace, words, name)?;
    let done = probe.stop()?;
    ensure(done.status.success(), format!("ended with {}: {}", done.status, done.stderr))
}

/// Refused before anything is loaded, with the reason and the first kernel that can.
fn is_refused(namespace: &Namespace, words: &[OsString], since: (u32, u32)) -> io::Result<()> {
    let start = Instant::now();
    let done = OneShot::new(words).run_in(namespace)?;
    let first = format!("{}.{}", since.0, since.1);
    ensure(done.status.code() == Some(UNABLE), format!("not refused, {}: {}", done.status, done.stderr))?;
    ensure(done.stderr.contains(&first), format!("the refusal does not name Linux {first}: {}", done.stderr))?;
    ensure(!done.stderr.contains("processed"), format!("a verifier's log instead of a sentence: {}", done.stderr))?;
    ensure(start.elapsed() < Duration::from_secs(30), "the refusal took more than 30 s")
}

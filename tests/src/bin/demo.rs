//! Shows on this machine what rstprobe says of connections that end in every way we can stage.
//!
//! Builds three namespaces, attaches the probe to the two legs in the middle, plays every scenario over IPv4 and IPv6,
//! prints the probe's own tables and, beside each scenario, what was expected and what the probe said (what is wrong at first is
//! played again, and that is said on stderr); then makes sure
//! that nothing is left behind. Needs root. Results on stdout, progress on stderr.
//!
//! With words, such as `--by client --sort rst.count.srv`, the same is played, and the probe is asked that instead
//! (`rstprobe snapshot` on both legs): its answer is printed, and nothing is judged.
//!
//! Exit codes: 0 every verdict and count right and nothing left; 1 otherwise; 2 it could not be run;
//! 77 not root.

use std::{
    env,
    ffi::OsString,
    io::{self, Write, stdout},
    process::ExitCode,
    time::Duration,
};

use probe_tests::{
    leftover,
    scenario::{self, Case},
    session::{self, Plan, Report},
    sys,
    tier::say,
    verdict::Judgement,
};

/// What automake and others take for "skipped".
const NOT_ROOT: u8 = 77;
/// The last segments are long drained then. Verdicts that wait for a timeout are given at the end anyway.
const SETTLE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    if !sys::is_root() {
        say("demo: needs root (network namespaces, XDP); run it with sudo. Nothing was done.");
        return ExitCode::from(NOT_ROOT);
    }
    let words: Vec<OsString> = env::args_os().skip(1).collect();
    if !words.is_empty() {
        return ask(&words);
    }
    let plan = Plan { settle: SETTLE, words: ["--format", "table"].map(Into::into).into() };
    match session::run_settled(&scenario::cases(), &plan).and_then(|report| Ok((show(&report)?, report))) {
        Ok(((), report)) if is_right(&report) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("demo: {error}"));
            ExitCode::from(2)
        }
    }
}

/// Prints what the probe answers.
fn ask(words: &[OsString]) -> ExitCode {
    let said = session::ask(&scenario::cases(), words, SETTLE);
    let printed = said.and_then(|said| {
        stdout().lock().write_all(said.stdout.as_bytes())?;
        if said.status.success() { Ok(()) } else { Err(io::Error::other(said.stderr)) }
    });
    match printed {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("demo: {error}"));
            ExitCode::from(2)
        }
    }
}

fn is_right(report: &Report) -> bool {
    report.wrong().next().is_none()
        && report.miscounted.is_empty()
        && report.remains.is_empty()
        && report.probe.status.success()
}

fn show(report: &Report) -> io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "What the probe shows:\n\n{}\n", report.probe.stdout.trim_end())?;
    writeln!(out, "What was staged, and what the probe says of it:\n")?;
    for (case, judgement) in &report.judgements {
        line(&mut out, case, judgement)?;
    }
    let (all, wrong) = (report.judgements.len(), report.wrong().count());
    writeln!(out, "\n{} of {all} right.", all - wrong)?;
    if !report.probe.status.success() {
        writeln!(out, "The probe ended with {}:\n{}", report.probe.status, report.probe.stderr)?;
    }
    match &report.miscounted[..] {
        [] => writeln!(out, "SYN, SYN-ACK, FIN and RST counts are those of a packet socket on the same interfaces.")?,
        miscounted => writeln!(out, "Counts that differ from a packet socket's:\n{}", miscounted.join("\n"))?,
    }
    let checked = if leftover::has_bpftool() { "programs, maps, links, namespaces" } else { "programs, namespaces" };
    match &report.remains[..] {
        [] => writeln!(out, "Nothing left behind ({checked})."),
        remains => writeln!(out, "LEFT BEHIND: {}", remains.join(", ")),
    }
}

fn line(out: &mut impl Write, case: &Case, judgement: &Judgement) -> io::Result<()> {
    let mark = if judgement.wrong.is_empty() { "right" } else { "WRONG" };
    writeln!(out, "{mark}  {:<29} {}", case.name(), case.scenario.description)?;
    if judgement.wrong.is_empty() {
        writeln!(out, "       {}", judgement.said)?;
    } else {
        writeln!(out, "       expected {}", judgement.expected)?;
        writeln!(out, "       said     {}", judgement.said)?;
    }
    if !judgement.evidence.is_empty() {
        writeln!(out, "       because  {}", judgement.evidence)?;
    }
    judgement.wrong.iter().try_for_each(|wrong| writeln!(out, "       - {wrong}"))
}

//! The laboratory: plays every cause that Linux can produce, over IPv4 and IPv6, and sets the probe's verdicts beside
//! what was played and what the kernel itself said of each reset.
//!
//! The probe watches from several places: both legs in the middle, late, one leg only, and (when it can) on the server
//! itself. What it sees is also captured and read from the file. Needs root, tcpdump and iproute2; tables on stdout.
//!
//! `--view both|late|client|server|host` (several) restricts it to these views; `--keep DIRECTORY` keeps snapshots and
//! captures there.
//!
//! Exit codes: 0 no confident verdict is wrong; 1 otherwise; 2 it could not be run; 77 not root.

use std::{
    collections::BTreeMap,
    env, fs,
    io::{self, Write, stdout},
    path::PathBuf,
    process::ExitCode,
};

use probe_tests::{
    lab::{
        groups::GROUPS,
        matrix::Run,
        views::{self, View},
    },
    sys,
    tier::say,
};

/// What automake and others take for "skipped".
const NOT_ROOT: u8 = 77;

fn main() -> ExitCode {
    if !sys::is_root() {
        say("lab: needs root (network namespaces, XDP, tracefs); run it with sudo. Nothing was done.");
        return ExitCode::from(NOT_ROOT);
    }
    match Options::read(env::args().skip(1)).and_then(|options| all(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("lab: {error}"));
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
struct Options {
    views: Vec<View>,
    keep: Option<PathBuf>,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut options = Self { views: vec![], keep: None };
        while let Some(word) = words.next() {
            let value = words.next().unwrap_or_default();
            let view = View::ALL.iter().copied().find(|view| view.word() == value);
            match (word.as_str(), view) {
                ("--view", Some(view)) => options.views.push(view),
                ("--keep", _) if !value.is_empty() => options.keep = Some(value.into()),
                _ => {
                    return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("not understood: {word} {value}")));
                }
            }
        }
        if options.views.is_empty() {
            options.views = View::ALL.to_vec();
        }
        Ok(options)
    }
}

/// Runs every view; false when something confident was wrong.
fn all(options: &Options) -> io::Result<bool> {
    let temporary = tempfile::tempdir()?;
    let root = options.keep.as_deref().unwrap_or(temporary.path());
    let mut out = stdout().lock();
    writeln!(out, "= right   ~ of the same group   ! wrong\n")?;
    let (mut sound, host) = (true, views::host_is_there()?);
    for &view in &options.views {
        if view == View::Host && !host {
            writeln!(out, "{}: NOT RUN, this rstprobe has no --host\n", view.name())?;
            continue;
        }
        let directory = root.join(view.word());
        fs::create_dir_all(&directory)?;
        let run = views::run(view, &directory)?;
        sound &= show(&mut out, &run)?;
    }
    writeln!(out, "Groups, and why packets do not tell their causes apart:")?;
    for group in GROUPS {
        writeln!(out, "  {}: {}\n    {}", group.name, group.causes.join(", "), group.reason)?;
    }
    Ok(sound)
}

fn show(out: &mut impl Write, run: &Run) -> io::Result<bool> {
    writeln!(out, "Seen: {}\n\n{}", run.view.name(), run.table())?;
    if let Some(why) = &run.untraced {
        writeln!(out, "No word of the kernel: {why}")?;
    }
    for (source, [right, alike, wrong]) in ["live", "capture"].into_iter().zip(run.grades()) {
        writeln!(out, "{source}: {right} right, {alike} of the same group, {wrong} wrong")?;
    }
    let mistakes = run.mistakes();
    let mut shown: BTreeMap<(bool, &str), (usize, &str)> = BTreeMap::new();
    for mistake in &mistakes {
        shown.entry((!mistake.confident, &mistake.what)).or_insert((0, &mistake.text)).0 += 1;
    }
    for ((unsure, what), (times, text)) in shown {
        let word = if unsure { "wrong" } else { "CONFIDENT AND WRONG" };
        writeln!(out, "{word}: {times} x {what}\n    such as {text}")?;
    }
    let unlike = run.unlike_kernel();
    for line in &unlike {
        writeln!(out, "REASON {line}")?;
    }
    if run.view == View::Host && run.untraced.is_none() && unlike.is_empty() {
        writeln!(out, "kernel.reason is the tracepoint's in all {} resets of the server", run.traced())?;
    }
    writeln!(out)?;
    Ok(unlike.is_empty() && !mistakes.iter().any(|mistake| mistake.confident))
}

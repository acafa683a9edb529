//! The agent under load for as long as asked for: `cargo xtask soak [--for TIME | --packets N] [--pause TIME] [WORD ...]`.
//!
//! `--for 20m` (the default) sends conversations from one CPU, as fast as it makes them. `--packets 100000000` sends single
//! segments of a million tuples from every CPU, the harshest mixture: hardly any flow shows two of them before it is drained. With
//! `--pause 3s` the agent is stopped for three seconds in the middle. Further words go to `rstprobe run`.
//!
//! Exit codes: 0 nothing is wrong; 1 something is; 2 it could not be run; 77 not root.

use std::{env, io, process::ExitCode};

use probe_tests::{
    endurance::{Enough, Plan},
    mixture::Mixture,
    sys,
    tier::say,
};

/// What automake and others take for "skipped".
const NOT_ROOT: u8 = 77;

fn main() -> ExitCode {
    if !sys::is_root() {
        say("soak: needs root (network namespaces, XDP); run it with sudo. Nothing was done.");
        return ExitCode::from(NOT_ROOT);
    }
    match read(env::args().skip(1)).and_then(|plan| plan.run()) {
        Ok(outcome) => {
            say(&outcome.report());
            let wrong = outcome.wrong();
            for line in &wrong {
                say(&format!("WRONG {line}"));
            }
            if wrong.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            say(&format!("soak: {error}"));
            ExitCode::from(2)
        }
    }
}

fn read(mut words: impl Iterator<Item = String>) -> io::Result<Plan> {
    let conversations = Mixture { tuples: 200_000, row: 40, cpus: 1 };
    let enough = Enough::Time(humantime::parse_duration("20m").map_err(io::Error::other)?);
    let mut plan = Plan { mixture: conversations, enough, pause: None, words: vec![] };
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| io::Error::other(format!("{word} needs a value")));
        match word.as_str() {
            "--for" => plan.enough = Enough::Time(humantime::parse_duration(&value()?).map_err(io::Error::other)?),
            "--pause" => plan.pause = Some(humantime::parse_duration(&value()?).map_err(io::Error::other)?),
            "--packets" => {
                plan.enough = Enough::Packets(value()?.parse().map_err(io::Error::other)?);
                plan.mixture = Mixture { tuples: 1_000_000, row: 1, cpus: usize::MAX };
            }
            "--help" | "-h" => {
                let usage = "--for TIME | --packets N, --pause TIME; further words go to `rstprobe run`";
                return Err(io::Error::other(usage));
            }
            _ => plan.words.push(word),
        }
    }
    Ok(plan)
}

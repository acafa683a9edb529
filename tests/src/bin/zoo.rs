//! The zoo: real programs end connections in ways whose truth is known, and the probe's verdicts from four places are held
//! against it. Needs root, and the packages that `cargo xtask setup` installs; what is missing is skipped and said.
//!
//! `--only NAME` (several; the beginning of a name is enough) plays these situations, `--core` those of the test tier;
//! `--keep DIRECTORY` keeps captures, documents and scripts, and below `wrong` the packets of each wrong verdict; `--stay`
//! leaves network and servers until standard input ends, to look at both ends; `--loss PERCENT` has the line between router
//! and server lose frames: then not all goes as foreseen, and what is shown as wrong is to be read with its packets;
//! `--markdown` prints for a document.
//!
//! Exit codes: 0 sound; 1 a confident verdict is wrong, or less than 97 % right; 2 it could not be run; 77 not root.

use std::{
    env,
    io::{self, Write, stdout},
    path::PathBuf,
    process::ExitCode,
};

use probe_tests::{
    netns::Namespace,
    sys,
    tier::say,
    zoo::{
        judge, kernel_words,
        network::ZooNetwork,
        play::{self, Conditions},
        port_of,
        report::{self, Account},
        situation::Situation,
        table,
    },
};

/// What automake and others take for "skipped".
const NOT_ROOT: u8 = 77;

fn main() -> ExitCode {
    if !sys::is_root() {
        say("zoo: needs root (network namespaces, captures, BPF); run it with sudo. Nothing was done.");
        return ExitCode::from(NOT_ROOT);
    }
    match Options::read(env::args().skip(1)).and_then(|options| run(&options)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            say(&format!("zoo: {error}"));
            ExitCode::from(2)
        }
    }
}

/// What the command line asks for.
#[derive(Default)]
struct Options {
    only: Vec<String>,
    core: bool,
    keep: Option<PathBuf>,
    markdown: bool,
    stay: bool,
    loss_percent: u8,
}

impl Options {
    fn read(mut words: impl Iterator<Item = String>) -> io::Result<Self> {
        let mut options = Self::default();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--core" => options.core = true,
                "--markdown" => options.markdown = true,
                "--stay" => options.stay = true,
                "--only" | "--keep" | "--loss" => {
                    let Some(value) = words.next() else { return Err(wrong_usage(&format!("{word} needs a value"))) };
                    match word.as_str() {
                        "--only" => options.only.push(value),
                        "--keep" => options.keep = Some(value.into()),
                        _ => options.loss_percent = percent(&value)?,
                    }
                }
                _ => return Err(wrong_usage(&format!("not understood: {word}"))),
            }
        }
        Ok(options)
    }

    fn wants(&self, situation: &Situation) -> bool {
        let is_named = self.only.is_empty() || self.only.iter().any(|name| situation.name.starts_with(name));
        is_named && (situation.core || !self.core)
    }
}

fn percent(value: &str) -> io::Result<u8> {
    let percent = value.parse().ok().filter(|percent| *percent <= 100);
    percent.ok_or_else(|| wrong_usage(&format!("--loss {value}: not a number from 0 to 100")))
}

fn wrong_usage(what: &str) -> io::Error {
    let usage = "use --only NAME, --core, --keep DIRECTORY, --stay, --loss PERCENT, --markdown";
    io::Error::new(io::ErrorKind::InvalidInput, format!("{what}; {usage}"))
}

fn run(options: &Options) -> io::Result<bool> {
    if let Some(why) = play::obstacle() {
        return Err(io::Error::new(io::ErrorKind::NotFound, why));
    }
    let temporary = tempfile::tempdir()?;
    let directory = options.keep.as_deref().unwrap_or(temporary.path());
    let situations: Vec<_> =
        table::all().into_iter().enumerate().filter(|(_, situation)| options.wants(situation)).collect();
    if situations.is_empty() {
        return Err(wrong_usage("no situation has such a name"));
    }
    say(&format!("zoo: {} situations", situations.len()));
    let ports: Vec<_> =
        situations.iter().map(|(number, situation)| format!("{} {}", port_of(*number), situation.name)).collect();
    let wait = |network: &ZooNetwork| {
        let [client, router, server] = [&network.client, &network.router, &network.server].map(Namespace::name);
        say(&format!("zoo: ports {}", ports.join(", ")));
        say(&format!("zoo: client {client}, router {router}, server {server} stay until standard input ends"));
        // What comes, and whether it can be read, does not matter: that it ends does.
        let _ended: io::Result<u64> = io::copy(&mut io::stdin().lock(), &mut io::sink());
    };
    let conditions = Conditions { loss_percent: options.loss_percent, stay: options.stay.then_some(&wait) };
    let played = play::play_under(situations, directory, &conditions)?;
    let outcomes = judge::judge(&played)?;
    if options.keep.is_some() {
        report::keep_wrong(&outcomes, &played.captures, &directory.join("wrong"))?;
    }
    let mut out = stdout().lock();
    out.write_all(report::show(&outcomes, options.markdown).as_bytes())?;
    out.write_all(kernel_words::show(&played.documents, options.markdown).as_bytes())?;
    Ok(Account::of(&outcomes).is_sound())
}

//! libFuzzer: started with its bounds, watched, and read for its numbers.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::sh;

/// The longest input, bytes.
const LONGEST: usize = 4096;
/// No input may take more memory in all, and at once (a record of 64 MiB may be asked for), MiB.
const MEMORY: [usize; 2] = [1024, 200];
/// Nor more time, seconds: it is so many thousand times what an input takes.
const PATIENCE: u64 = 10;
/// How often is said how it goes.
const BETWEEN_WORDS: Duration = Duration::from_secs(10);
/// Lines that are shown of what broke, from the one on that says so.
const WORDS: usize = 12;

/// What came of a target.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Account {
    pub(super) runs: u64,
    pub(super) seconds: f64,
    /// Places in the program that were reached, and those by how often.
    pub(super) edges: u64,
    pub(super) features: u64,
    /// Inputs that reach something that no other does, and their bytes.
    pub(super) inputs: u64,
    pub(super) bytes: String,
    /// Files that break something.
    pub(super) finds: Vec<PathBuf>,
}

/// The fuzzer, for one target.
pub(super) fn command(binary: &Path, target: &str) -> Command {
    let mut command = Command::new(binary);
    command.env("RSTPROBE_FUZZ_TARGET", target);
    // What lives until the end is no leak; and looking for leaks takes ptrace, which not everybody may use.
    command.env("ASAN_OPTIONS", "detect_leaks=0").env("RUST_BACKTRACE", "0");
    let [all, at_once] = MEMORY;
    command.arg(format!("-rss_limit_mb={all}")).arg(format!("-malloc_limit_mb={at_once}"));
    command.arg(format!("-timeout={PATIENCE}")).arg(format!("-max_len={LONGEST}"));
    command
}

/// Tries inputs for so long, or until one breaks something.
pub(super) fn run(binary: &Path, target: &str, inputs: &Path, finds: &Path, time: Duration) -> Result<Account> {
    let mut command = command(binary, target);
    command.arg(format!("-max_total_time={}", time.as_secs())).arg(format!("-artifact_prefix={}/", finds.display()));
    // Without names of what is reached for the first time, which take longer to find than inputs to try.
    command.args(["-print_final_stats=1", "-print_funcs=0", "-reload=0"]).arg(inputs);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let begun = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", sh::shown(&command)))?;
    let mut account = Account::default();
    let why = watch(target, child.stderr.take().context("it has a stderr")?, &mut account);
    let status = child.wait()?;
    account.seconds = begun.elapsed().as_secs_f64();
    let was_found = !account.finds.is_empty();
    account.finds.retain(|file| !is_timeout(file) || !passes(binary, target, file));
    if was_found && account.finds.is_empty() {
        let once = format_args!("an input took {PATIENCE} s once and not again: this machine had no time for it");
        sh::say(format_args!("{target}: {once}"));
    } else if !status.success() {
        for line in &why {
            sh::say(format_args!("{line:.600}"));
        }
        if account.finds.is_empty() {
            bail!("{target}: {status}, and no input to blame");
        }
    }
    Ok(account)
}

/// Reads to its end what libFuzzer says, and hands some of it on; what it says of what broke.
fn watch(target: &str, stderr: impl Read, account: &mut Account) -> Vec<String> {
    let (mut said, mut why) = (Instant::now(), Vec::new());
    for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
        let line = String::from_utf8_lossy(&line).into_owned();
        account.read(&line);
        if said.elapsed() > BETWEEN_WORDS && line.starts_with('#') {
            sh::say(format_args!("{target}: {line}"));
            said = Instant::now();
        }
        let is_why = line.contains("panicked at") || line.contains("ERROR: ");
        if why.len() < WORDS && (is_why || !why.is_empty()) {
            why.push(line);
        }
    }
    why
}

/// The clock of libFuzzer runs on while others are busy or the program is stopped.
fn is_timeout(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name.to_string_lossy().starts_with("timeout-"))
}

fn passes(binary: &Path, target: &str, file: &Path) -> bool {
    let mut again = command(binary, target);
    sh::status(again.arg(file).stdout(Stdio::null()).stderr(Stdio::null())).is_ok_and(|status| status.success())
}

/// Of the inputs, few that reach together every place that all do, whatever the number of times.
pub(super) fn merge(binary: &Path, target: &str, inputs: &Path, into: &Path) -> Result<()> {
    if into.exists() {
        fs::remove_dir_all(into)?;
    }
    fs::create_dir_all(into)?;
    let mut command = command(binary, target);
    sh::run(command.args(["-set_cover_merge=1", "-use_counters=0"]).arg(into).arg(inputs).stderr(Stdio::null()))
}

impl Account {
    /// Reads `#4096 pulse cov: 900 ft: 1700 corp: 120/9Kb ...`, and the numbers at the end.
    fn read(&mut self, line: &str) {
        let number = |text: &str| text.trim().parse::<u64>().ok();
        if let Some(rest) = line.strip_prefix("stat::number_of_executed_units:") {
            self.runs = number(rest).unwrap_or(self.runs);
        }
        if let Some((_, file)) = line.split_once("Test unit written to ") {
            self.finds.push(file.trim().into());
        }
        let Some(rest) = line.strip_prefix('#') else { return };
        let words: Vec<&str> = rest.split_whitespace().collect();
        self.runs = words.first().and_then(|word| number(word)).unwrap_or(self.runs);
        let after = |name: &str| words.iter().position(|word| *word == name).and_then(|at| words.get(at + 1));
        self.edges = after("cov:").and_then(|word| number(word)).unwrap_or(self.edges);
        self.features = after("ft:").and_then(|word| number(word)).unwrap_or(self.features);
        if let Some((inputs, bytes)) = after("corp:").and_then(|word| word.split_once('/')) {
            self.inputs = number(inputs).unwrap_or(self.inputs);
            bytes.clone_into(&mut self.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_from_lines() {
        let mut account = Account::default();
        account.read("INFO: Seed: 1");
        account.read("#4096\tpulse  cov: 900 ft: 1700 corp: 120/9Kb lim: 40 exec/s: 2048 rss: 90Mb");
        account.read("#4100\tNEW    cov: 901 ft: 1702 corp: 121/10Kb lim: 40 exec/s: 2050 rss: 90Mb L: 7/40");
        let read = (account.runs, account.edges, account.features, account.inputs, &*account.bytes);
        assert_eq!(read, (4100, 901, 1702, 121, "10Kb"));
        account.read("stat::number_of_executed_units: 5000");
        account.read("artifact_prefix='f/'; Test unit written to f/crash-1");
        assert_eq!((account.runs, account.finds), (5000, vec![PathBuf::from("f/crash-1")]));
    }
}

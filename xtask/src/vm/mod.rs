//! `vm`: the checks of `tests/src/guest` inside the kernels that people have, booted in QEMU.
//!
//! Kernels are Debian's, by line ([`kernels`]), fetched through an apt state of our own ([`archive`]). Each guest boots one
//! kernel into a file tree made here ([`initramfs`]), runs the checks it is told and says how they ended ([`rows`]). Needs
//! no root but for installing QEMU; emulates without KVM.

mod archive;
mod initramfs;
mod kernels;
mod modules;
mod nics;
mod qemu;
mod rows;
mod verified;

use std::{
    fs,
    path::{Path, PathBuf},
    process::ExitCode,
    sync::{Mutex, PoisonError},
    thread,
    time::Instant,
};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;

use crate::{
    caps, object,
    object::Variant,
    setup::{self, Scope},
    sh,
    workspace::{TESTS, Workspace},
};
use initramfs::Initramfs;
use kernels::{DRIVERS, Kernel, LINES, Line};
use qemu::{Guest, Run};

/// What emulates; Debian's package has more names in it than its program.
pub(super) const PROGRAM: &str = "qemu-system-x86_64";

/// Another folder for kernels and package lists than `target/vm`, for machines that build many clones.
const CACHE: &str = "RSTPROBE_VM_CACHE";
/// Guests at a time: most of a guest's work is done by one of its two CPUs, and a part of its time it waits.
const GUESTS: usize = 3;
/// Boots of a guest that ends before its first check. The emulator runs its CPUs on threads of their own, and a kernel that
/// patches its code as it boots may meet a breakpoint of its own there (seen once: `Oops: int3`).
const BOOTS: usize = 3;
/// Checks of the kernel guests, in order; `tests/src/guest` has the same names.
const CHECKS: [&str; 12] =
    ["load", "demo", "two-legs", "generic", "afxdp", "nonroot", "sandbox", "kill9", "mtu", "events", "faults", "tun"];
/// Checks of the tier of `cargo xtask test`, and its kernels.
const TIER: [&str; 5] = ["load-decisive", "demo", "nonroot", "sandbox", "kill9"];
const TIER_LINES: [&str; 3] = ["5.10", "6.1", "newest"];
const NICS: &str = "nics";

/// What is to be run.
#[derive(Args)]
pub(crate) struct Options {
    /// Kernels: 5.10, 6.1, 6.12, 6.18, newest (7 or later), drivers (network cards); all when none is named
    #[arg(value_name = "KERNEL")]
    kernels: Vec<String>,
    /// Only this check (several times for several)
    #[arg(long, value_name = "TEST")]
    only: Vec<String>,
    /// Look for newer kernels, and fetch them
    #[arg(long)]
    refresh: bool,
    /// Write the instruction counts of the verifiers to the budget file
    #[arg(long)]
    accept: bool,
    /// Check this rstprobe, instead of building one
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
    /// The tables on stdout, as Markdown (they go to stderr otherwise)
    #[arg(long)]
    markdown: bool,
}

/// Which guests a run of all tests boots.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// The kernels at both ends and the one most installed, decisive checks only.
    Decisive,
    /// All kernels and network cards, all checks.
    All,
}

/// One guest to be: a kernel and its checks.
struct Job {
    kernel: Kernel,
    checks: Vec<String>,
    nics: bool,
}

/// How it all ended.
pub(crate) struct Account {
    pub(crate) passed: u64,
    pub(crate) failed: Vec<String>,
    pub(crate) skipped: Vec<String>,
}

/// The subcommand.
pub(crate) fn vm(workspace: &Workspace, options: &Options) -> Result<ExitCode> {
    if let Some(why) = obstacle(workspace) {
        sh::say(format_args!("vm: skipped: {why}"));
        return Ok(if is_strict() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let lines = lines(&options.kernels)?;
    let checks = |line: &Line| -> Vec<String> {
        let all: &[&str] = if *line == DRIVERS { &[NICS] } else { &CHECKS };
        if options.only.is_empty() {
            return owned(all);
        }
        options.only.iter().filter(|only| (*only == NICS) == (*line == DRIVERS)).cloned().collect()
    };
    let known = |only: &String| CHECKS.contains(&&**only) || TIER.contains(&&**only) || only == NICS;
    if let Some(unknown) = options.only.iter().find(|only| !known(only)) {
        bail!("no check `{unknown}`; there are {}, and {NICS} of `drivers`", CHECKS.join(", "));
    }
    let jobs: Vec<(Line, Vec<String>)> = lines.into_iter().map(|line| (line, checks(&line))).collect();
    let account = run(workspace, jobs, options)?;
    Ok(if account.failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The tier of `cargo xtask test`, and of `cargo xtask ci`.
pub(crate) fn tier(workspace: &Workspace, extent: Extent) -> Result<Account> {
    let options =
        Options { kernels: vec![], only: vec![], refresh: false, accept: false, binary: None, markdown: false };
    run(workspace, jobs(extent), &options)
}

fn jobs(extent: Extent) -> Vec<(Line, Vec<String>)> {
    if extent == Extent::All {
        let kernels = LINES.map(|line| (line, owned(&CHECKS)));
        return [(DRIVERS, owned(&[NICS]))].into_iter().chain(kernels).collect();
    }
    let lines = LINES.into_iter().filter(|line| TIER_LINES.contains(&line.name));
    lines.map(|line| (line, owned(&TIER))).collect()
}

/// Why the kernels of the tier cannot be had here; they are fetched otherwise.
pub(crate) fn no_kernels(workspace: &Workspace, extent: Extent) -> Option<String> {
    let lines: Vec<Line> = jobs(extent).into_iter().map(|(line, _)| line).collect();
    kernels::find(&cache(workspace), &lines, false).err().map(|error| format!("{error:#}"))
}

/// Where kernels are kept.
fn cache(workspace: &Workspace) -> PathBuf {
    std::env::var_os(CACHE).map_or_else(|| workspace.root().join("target/vm"), PathBuf::from)
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// Why guests cannot be run here, and it is not our fault.
pub(crate) fn obstacle(workspace: &Workspace) -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("guests are x86-64".to_owned());
    }
    let missing: Vec<&str> =
        workspace.bpf().vm_packages.iter().map(String::as_str).filter(|p| !setup::is_usable(p)).collect();
    if missing.is_empty() {
        return None;
    }
    match setup::ensure(workspace, Scope::All) {
        Ok(()) => None,
        Err(error) => Some(format!("{error:#}")),
    }
}

/// Whether a skip is a failure: in CI, where QEMU can be installed.
pub(crate) fn is_strict() -> bool {
    std::env::var("CI").is_ok_and(|ci| ci == "true") && caps::is_root() && sh::on_path("apt-get").is_some()
}

fn lines(named: &[String]) -> Result<Vec<Line>> {
    let all: Vec<Line> = [DRIVERS].into_iter().chain(LINES).collect();
    if named.is_empty() {
        return Ok(all);
    }
    let one = |name: &String| {
        let found = all.iter().find(|line| line.name == name.as_str()).copied();
        found.with_context(|| format!("no kernel `{name}`; there are 5.10, 6.1, 6.12, 6.18, newest, drivers"))
    };
    named.iter().map(one).collect()
}

fn run(workspace: &Workspace, jobs: Vec<(Line, Vec<String>)>, options: &Options) -> Result<Account> {
    let start = Instant::now();
    let folder = workspace.root().join("target/vm");
    let cache = cache(workspace);
    let jobs: Vec<_> = jobs.into_iter().filter(|(_, checks)| !checks.is_empty()).collect();
    if jobs.is_empty() {
        bail!("nothing to run: {NICS} is of `drivers`, the other checks are of kernels");
    }
    let lines: Vec<Line> = jobs.iter().map(|(line, _)| *line).collect();
    fs::create_dir_all(folder.join("logs"))?;
    let (kernels, programs) = thread::scope(|scope| {
        let kernels = scope.spawn(|| kernels::find(&cache, &lines, options.refresh));
        let programs = programs(workspace, options, &folder);
        (kernels.join(), programs)
    });
    let kernels = kernels.map_err(|_| anyhow!("the thread that fetches kernels panicked"))??;
    let (binary, guest) = programs?;
    sh::say(format_args!("vm: kernels and programs are here after {:.0} s", start.elapsed().as_secs_f64()));
    let jobs: Vec<Job> = kernels
        .into_iter()
        .zip(jobs)
        .map(|(kernel, (line, checks))| Job { kernel, checks, nics: line == DRIVERS })
        .collect();
    let runs = boot_all(&jobs, &folder, &binary, &guest)?;
    let mut account = Account { passed: 0, failed: Vec::new(), skipped: Vec::new() };
    for (job, run) in jobs.iter().zip(&runs) {
        account.add(job, run);
    }
    let columns: Vec<rows::Column<'_>> =
        jobs.iter().zip(&runs).map(|(job, run)| (head(&job.kernel), &run.rows, run.seconds)).collect();
    show(&columns, options.markdown)?;
    account.failed.extend(verified::check(workspace, &jobs_verified(&jobs, &runs), options.accept)?);
    let seconds = start.elapsed().as_secs_f64();
    sh::say(format_args!("vm: {} passed, {} failed, {seconds:.0} s", account.passed, account.failed.len()));
    account.failed.iter().for_each(|why| sh::say(format_args!("FAILED {why}")));
    Ok(account)
}

fn head(kernel: &Kernel) -> String {
    if kernel.line == DRIVERS { format!("{} (all drivers)", kernel.version) } else { kernel.version.clone() }
}

/// Counts by line, not by version: the next update of a kernel is held to the same budget.
fn jobs_verified(jobs: &[Job], runs: &[Run]) -> verified::Counts {
    let all = jobs.iter().zip(runs).filter(|(_, run)| !run.rows.verified.is_empty());
    all.map(|(job, run)| (job.kernel.line.name.to_owned(), run.rows.verified.clone())).collect()
}

fn show(columns: &[rows::Column<'_>], markdown: bool) -> Result<()> {
    for table in [rows::table(columns), rows::verified(columns)] {
        if markdown { sh::tell(format_args!("{table}\n"))? } else { sh::say(format_args!("{table}\n")) }
    }
    Ok(())
}

impl Account {
    fn add(&mut self, job: &Job, run: &Run) {
        for row in &run.rows.rows {
            let text = format!("{} {}: {}", job.kernel.line.name, row.check, row.note);
            match row.result {
                rows::Result::Ok => self.passed += 1,
                rows::Result::Failed => self.failed.push(text),
                rows::Result::Skipped => self.skipped.push(text),
            }
        }
    }
}

/// Builds rstprobe, unless one was named, and the program that is the guests' first process: optimised, because the
/// processor that runs it is emulated, and without debug information: it is copied into each guest's memory. While the
/// kernels are fetched: that waits for the network and this for the processors.
fn programs(workspace: &Workspace, options: &Options, folder: &Path) -> Result<(PathBuf, PathBuf)> {
    let guest = ["build", "--release", "--locked", "--package", TESTS, "--bin", "guest"];
    let binary = if let Some(built) = &options.binary {
        sh::run(&mut workspace.cargo(&guest))?;
        built.clone()
    } else {
        object::build_object(workspace, Variant::Plain)?;
        sh::step("rstprobe and the guests' program (release)");
        // In one call: the last step of each program has but one thread.
        sh::run(workspace.cargo(&guest).args(["--package", "probe-user", "--bin", "rstprobe"]))?;
        workspace.binary("release")
    };
    let stripped = folder.join("guest");
    let built = workspace.binary("release").with_file_name("guest");
    sh::run(std::process::Command::new("strip").arg("-o").arg(&stripped).arg(&built))?;
    Ok((binary, stripped))
}

/// Boots the guests, [`GUESTS`] at a time, in the order of the jobs.
fn boot_all(jobs: &[Job], folder: &Path, binary: &Path, guest: &Path) -> Result<Vec<Run>> {
    let next = Mutex::new(0);
    let done: Mutex<Vec<Option<Result<Run>>>> = Mutex::new(jobs.iter().map(|_| None).collect());
    let work = || {
        loop {
            let index = {
                let mut next = next.lock().unwrap_or_else(PoisonError::into_inner);
                *next += 1;
                *next - 1
            };
            let Some(job) = jobs.get(index) else { return };
            let run = boot(job, folder, binary, guest);
            done.lock().unwrap_or_else(PoisonError::into_inner)[index] = Some(run);
        }
    };
    thread::scope(|scope| {
        for _ in 0..GUESTS {
            scope.spawn(work);
        }
    });
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.into_iter().map(|run| run.context("a guest was not run")?).collect()
}

fn boot(job: &Job, folder: &Path, binary: &Path, guest: &Path) -> Result<Run> {
    let name = job.kernel.line.name;
    let image = folder.join(format!("{name}.cpio"));
    fs::write(&image, tree(&job.kernel, binary, guest)?)?;
    let log = folder.join("logs").join(format!("{name}.log"));
    let guest = Guest { kernel: &job.kernel, initramfs: &image, checks: &job.checks, log, nics: job.nics };
    sh::step(format_args!("vm: {name} ({}): {}", job.kernel.version, job.checks.join(" ")));
    let mut run = guest.run()?;
    for _ in 1..BOOTS {
        if !run.is_silent {
            break;
        }
        sh::say(format_args!("{name}: the guest ended before its first check and is booted again:\n{}", guest.tail()));
        run = guest.run()?;
    }
    if run.rows.failed().next().is_some() {
        sh::say(format_args!("{name}: the end of {}:\n{}", guest.log.display(), guest.tail()));
    }
    fs::remove_file(image)?;
    Ok(run)
}

fn tree(kernel: &Kernel, binary: &Path, guest: &Path) -> Result<Vec<u8>> {
    let mut tree = Initramfs::new();
    tree.program(guest, "/init")?;
    tree.program(binary, "/bin/rstprobe")?;
    for name in ["ip", "tc", "ethtool", "bpftool", "setpriv"] {
        tree.program(&initramfs::installed(name)?, &format!("/bin/{name}"))?;
    }
    for module in modules::find(&kernel.modules(), &|_| true) {
        let name = module.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tree.file(&format!("/modules/{name}"), &fs::read(module)?);
    }
    Ok(tree.finish())
}

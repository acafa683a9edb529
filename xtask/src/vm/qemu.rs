//! One guest: QEMU without hardware acceleration, the system console into a log file, and what the checks say on a second
//! serial port, read line by line.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::{PROGRAM, kernels::Kernel, nics, rows::Rows};
use crate::sh;

/// No guest runs longer, all checks together.
const LIMIT: Duration = Duration::from_mins(40);
const MEMORY_MIB: &str = "1536";
/// All that TCG can do but five levels of page tables and what guards memory against the kernel itself: their emulation costs
/// each access, and nothing here is about them.
const CPU: &str = "max,-la57,-smap,-smep,-pku";
const CPUS: &str = "2";
/// Lines of the console that are shown when something failed.
const TAIL: usize = 40;

/// What is booted.
pub(super) struct Guest<'a> {
    pub(super) kernel: &'a Kernel,
    pub(super) initramfs: &'a Path,
    /// The checks to run, by name.
    pub(super) checks: &'a [String],
    /// Where the console goes.
    pub(super) log: PathBuf,
    /// With the network cards of [`nics`].
    pub(super) nics: bool,
}

/// What came of it.
pub(super) struct Run {
    pub(super) rows: Rows,
    pub(super) seconds: f64,
    /// It ended before its first check said anything.
    pub(super) is_silent: bool,
}

impl Guest<'_> {
    /// Boots and waits for the end; lines of the checks are passed on as they come.
    pub(super) fn run(&self) -> Result<Run> {
        let start = Instant::now();
        let mut command = self.command();
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", sh::shown(&command)))?;
        let (sender, lines) = mpsc::channel();
        let stdout = child.stdout.take().context("no pipe")?;
        thread::spawn(move || {
            let lines = BufReader::new(stdout).split(b'\n').map_while(std::io::Result::ok);
            lines.for_each(|line| drop(sender.send(String::from_utf8_lossy(&line).trim_end_matches('\r').to_owned())));
        });
        let stderr = child.stderr.take().context("no pipe")?;
        let complaint = thread::spawn(move || std::io::read_to_string(stderr).unwrap_or_default());
        let mut rows = Rows::default();
        let end = start + LIMIT;
        let is_over = loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    if rows.read(&line) {
                        sh::say(format_args!("{}: {}", self.kernel.line.name, line.replace('\t', " ")));
                    }
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break false,
                Err(mpsc::RecvTimeoutError::Timeout) => break true,
            }
        };
        if is_over {
            child.kill()?;
        }
        let status = child.wait()?;
        let said = complaint.join().unwrap_or_default();
        let is_silent = !is_over && rows.rows.is_empty() && rows.verified.is_empty();
        let missing: Vec<&String> = self.checks.iter().filter(|check| !rows.has(check)).collect();
        for check in missing {
            let why = match (is_over, said.trim()) {
                (true, _) => format!("the guest was stopped after {} s", LIMIT.as_secs()),
                (false, "") => format!("the guest ended before ({status})"),
                (false, said) => said.replace('\n', "; "),
            };
            rows.fail(check, &why);
        }
        if !is_over && !status.success() {
            rows.fail("the guest's end", &format!("QEMU ended with {status}: {}", said.trim().replace('\n', "; ")));
        }
        Ok(Run { rows, seconds: start.elapsed().as_secs_f64(), is_silent })
    }

    fn command(&self) -> Command {
        let mut command = if self.nics { nics::in_namespace() } else { Command::new(PROGRAM) };
        let machine = if self.nics { "q35" } else { "pc" };
        command.args(["-machine", machine, "-accel", "tcg,thread=multi", "-cpu", CPU]);
        command.args([
            "-m",
            MEMORY_MIB,
            "-smp",
            CPUS,
            "-nodefaults",
            "-no-user-config",
            "-display",
            "none",
            "-no-reboot",
        ]);
        command.arg("-serial").arg(format!("file:{}", self.log.display())).args(["-serial", "stdio"]);
        command.arg("-kernel").arg(self.kernel.image()).arg("-initrd").arg(self.initramfs);
        let checks = self.checks.join(",");
        let (devices, pairs) = if self.nics { nics::devices(&nics::models()) } else { (vec![], String::new()) };
        command.arg("-append").arg(format!(
            "console=ttyS0 panic=-1 loglevel=4 net.ifnames=0 rdinit=/init rstprobe.checks={checks}{pairs}"
        ));
        command.args(devices);
        sh::without_our_cargo(&mut command);
        command
    }

    /// The end of the console's log.
    pub(super) fn tail(&self) -> String {
        let text =
            fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).replace('\r', "")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(TAIL)..].join("\n")
    }
}

//! The `rstprobe` binary as a child process inside a namespace: started, awaited, stopped by its own pid.

use std::{
    env,
    ffi::OsString,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    netns::{CLIENT_LEG, Namespace, SERVER_LEG},
    sys, tier,
};

/// Line on the probe's stderr that says that every interface is attached.
const READY: &str = "rstprobe: attached";
/// Loading, verifying and attaching take less even on a busy machine.
const START: Duration = Duration::from_secs(20);
/// Detaching and writing the last output take less.
const STOP: Duration = Duration::from_secs(20);

/// Path of the binary: `RSTPROBE_BIN`, or the release build of this workspace.
pub fn binary() -> PathBuf {
    match env::var_os("RSTPROBE_BIN") {
        Some(path) => path.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/release/rstprobe"),
    }
}

/// Path of the binary with the feature `trace`: `RSTPROBE_TRACE_BIN`, or that of this workspace.
pub fn traced_binary() -> PathBuf {
    match env::var_os("RSTPROBE_TRACE_BIN") {
        Some(path) => path.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/release/rstprobe-trace"),
    }
}

/// What the probe left behind when it ended.
#[derive(Debug)]
pub struct Finished {
    /// How it ended.
    pub status: ExitStatus,
    /// Everything on stdout.
    pub stdout: String,
    /// Everything on stderr.
    pub stderr: String,
}

/// A running probe. Dropping it kills it.
#[derive(Debug)]
pub struct Probe {
    child: Child,
    stdout: Option<JoinHandle<io::Result<String>>>,
    lines: Receiver<String>,
    stderr: String,
}

impl Probe {
    /// Starts `rstprobe <words>` in `namespace` and waits until all interfaces are attached.
    ///
    /// # Errors
    /// When it cannot be started, ends before it is ready, or is not ready in time; the error holds its stderr.
    pub fn start(namespace: &Namespace, words: &[OsString]) -> io::Result<Self> {
        Self::start_binary(&binary(), namespace, words)
    }

    /// The same with another binary.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_binary(binary: &Path, namespace: &Namespace, words: &[OsString]) -> io::Result<Self> {
        // A child begins in the namespace of the thread that starts it.
        let spawn = || {
            Command::new(binary)
                .args(words)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", binary.display())))
        };
        let mut child = namespace.enter(spawn)?;
        let stdout = child.stdout.take().map(|mut pipe| {
            thread::spawn(move || {
                let mut text = String::new();
                pipe.read_to_string(&mut text)?;
                Ok(text)
            })
        });
        let (sender, lines) = channel();
        if let Some(pipe) = child.stderr.take() {
            thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    if sender.send(line).is_err() {
                        return;
                    }
                }
            });
        }
        let mut probe = Self { child, stdout, lines, stderr: String::new() };
        probe.await_ready()?;
        Ok(probe)
    }

    /// Starts `rstprobe snapshot` on both legs of the middle namespace, with further words.
    pub fn snapshot(middle: &Namespace, words: &[OsString]) -> io::Result<Self> {
        let mut all: Vec<OsString> = ["snapshot", "-i", CLIENT_LEG, "-i", SERVER_LEG].map(Into::into).into();
        all.extend_from_slice(words);
        Self::start(middle, &all)
    }

    /// Process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its stderr up to the line that says that it is attached.
    pub fn said(&self) -> &str {
        &self.stderr
    }

    fn await_ready(&mut self) -> io::Result<()> {
        let end = Instant::now() + tier::patient(START);
        loop {
            match self.lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    let ready = line.starts_with(READY);
                    self.keep(&line);
                    if ready {
                        return Ok(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(self.complaint("is not ready in time")),
                Err(RecvTimeoutError::Disconnected) => return Err(self.complaint("ended before it was ready")),
            }
        }
    }

    fn keep(&mut self, line: &str) {
        self.stderr.push_str(line);
        self.stderr.push('\n');
    }

    fn complaint(&self, what: &str) -> io::Error {
        io::Error::other(format!("rstprobe {what}; it said:\n{}", self.stderr))
    }

    /// Sends SIGINT and waits for the end.
    pub fn stop(self) -> io::Result<Finished> {
        sys::interrupt(self.child.id())?;
        self.wait(tier::patient(STOP))
    }

    /// Waits until it ends by itself, `patience` at most.
    pub fn wait(mut self, patience: Duration) -> io::Result<Finished> {
        let end = Instant::now() + patience;
        let status = loop {
            if let Some(status) = self.child.try_wait()? {
                break status;
            }
            if Instant::now() > end {
                return Err(self.complaint("does not end"));
            }
            thread::sleep(Duration::from_millis(10));
        };
        let stdout = match self.stdout.take().map(JoinHandle::join) {
            Some(Ok(text)) => text?,
            _ => String::new(),
        };
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(1)) {
            self.keep(&line);
        }
        Ok(Finished { status, stdout, stderr: std::mem::take(&mut self.stderr) })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // Already reaped after `wait`; otherwise a failing test must not leave it attached.
        if matches!(self.child.try_wait(), Ok(None)) && self.child.kill().is_ok() && self.child.wait().is_err() {
            tier::say(&format!("rstprobe {} could not be reaped", self.child.id()));
        }
    }
}

//! The frames that the probe sees, as a file, and what `rstprobe read` says of it.

use std::{
    ffi::OsString,
    fs,
    io::{self, BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStderr, Command, Stdio},
};

use serde_json::Value;

use crate::{netns::Namespace, oneshot::OneShot, sys};

/// KiB for what tcpdump has not written yet.
const BUFFER: &str = "65536";

/// In immediate mode every frame takes that much of the buffer. Segments that the kernel has merged are cut.
const SNAPLEN: &str = "2048";

/// A running tcpdump.
#[derive(Debug)]
pub struct Recorder {
    child: Child,
    stderr: BufReader<ChildStderr>,
    file: PathBuf,
}

impl Recorder {
    /// Records TCP on `interface` (`any` for all) of `namespace` into `file`: what is received, or both directions.
    ///
    /// # Errors
    /// When tcpdump cannot be started or says that it cannot listen.
    pub fn start(namespace: &Namespace, interface: &str, both: bool, file: PathBuf) -> io::Result<Self> {
        Self::start_filtered(namespace, interface, both, "tcp", file)
    }

    /// The same of what passes the tcpdump filter `filter`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_filtered(
        namespace: &Namespace,
        interface: &str,
        both: bool,
        filter: &str,
        file: PathBuf,
    ) -> io::Result<Self> {
        let direction = if both { "inout" } else { "in" };
        let spawn = || {
            Command::new("tcpdump")
                .args(["-i", interface, "-Q", direction, "-n", "-p", "-B", BUFFER, "--nano", "-Z", "root"])
                // Without it, what is in the kernel's last block when tcpdump is stopped is lost in silence.
                .args(["--immediate-mode", "-U", "-s", SNAPLEN, "-w"])
                .arg(&file)
                .arg(filter)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::piped())
                .spawn()
        };
        let mut child = namespace.enter(spawn)?;
        let mut stderr = BufReader::new(child.stderr.take().ok_or(io::ErrorKind::BrokenPipe)?);
        let mut said = String::new();
        while stderr.read_line(&mut said)? > 0 {
            if said.contains("listening on") {
                return Ok(Self { child, stderr, file });
            }
        }
        child.wait()?;
        Err(io::Error::other(format!("tcpdump said: {said}")))
    }

    /// Ends it.
    ///
    /// # Errors
    /// When frames were lost.
    pub fn stop(mut self) -> io::Result<PathBuf> {
        sys::interrupt(self.child.id())?;
        let mut said = String::new();
        self.stderr.read_to_string(&mut said)?;
        self.child.wait()?;
        let complete = said.lines().any(|line| line == "0 packets dropped by kernel");
        if complete { Ok(self.file) } else { Err(io::Error::other(format!("tcpdump said: {said}"))) }
    }
}

/// What `rstprobe read` says of `file`. Checksums are not looked at: nothing computes them on a veth.
///
/// # Errors
/// When it fails.
pub fn read(file: &Path, words: &[&str]) -> io::Result<Value> {
    let json = file.with_extension("json");
    let mut all: Vec<OsString> = ["read", "--no-checksums", "--json-out"].map(Into::into).into();
    all.extend([json.clone().into(), file.into()]);
    all.extend(words.iter().map(Into::into));
    let finished = OneShot::new(all).run()?;
    if !finished.status.success() {
        return Err(io::Error::other(format!("rstprobe read: {}: {}", finished.status, finished.stderr)));
    }
    serde_json::from_str(&fs::read_to_string(json)?).map_err(io::Error::other)
}

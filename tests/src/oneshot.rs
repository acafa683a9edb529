//! The `rstprobe` binary run to its end: refusals, `doctor`, `read`.

use std::{
    ffi::OsStr,
    io::{self, Read, Write},
    process::{Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    netns::Namespace,
    probe::{Finished, binary},
    sys, tier,
};

/// Nothing that is run here takes longer.
const PATIENCE: Duration = Duration::from_mins(2);

/// Between two pieces of what standard input brings: enough that the first is read before the second comes.
const PAUSE: Duration = Duration::from_millis(1);

/// One run of the binary.
#[derive(Debug)]
pub struct OneShot {
    command: Command,
    /// What standard input brings, a piece at a time.
    input: Vec<Vec<u8>>,
}

impl OneShot {
    /// `rstprobe <words>`.
    pub fn new(words: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Self {
        let mut command = Command::new(binary());
        command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, input: vec![] }
    }

    /// With standard input from a pipe, into which these are written with pauses between.
    #[must_use]
    pub fn fed(mut self, pieces: Vec<Vec<u8>>) -> Self {
        self.command.stdin(Stdio::piped());
        self.input = pieces;
        self
    }

    /// Without any capability, even for root.
    #[must_use]
    pub fn unprivileged(mut self) -> Self {
        sys::without_capabilities(&mut self.command);
        self
    }

    /// With stdout written to a file.
    #[must_use]
    pub fn into_file(mut self, file: std::fs::File) -> Self {
        self.command.stdout(file);
        self
    }

    /// Within what a shell's words leave it, such as `ulimit -n 20`.
    #[must_use]
    pub fn after(self, shell: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")]);
        command.arg(self.command.get_program()).args(self.command.get_args());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self { command, input: vec![] }
    }

    /// With the reader of stdout gone before it starts.
    ///
    /// # Errors
    /// When there is no pipe to be had.
    pub fn unread(mut self) -> io::Result<Self> {
        let (reader, writer) = io::pipe()?;
        drop(reader);
        self.command.stdout(writer);
        Ok(self)
    }

    /// Runs it in `namespace`.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn run_in(self, namespace: &Namespace) -> io::Result<Finished> {
        namespace.enter(|| self.run())
    }

    /// Runs it.
    ///
    /// # Errors
    /// When it cannot be started or does not end.
    pub fn run(mut self) -> io::Result<Finished> {
        let mut child = self.command.spawn()?;
        // The parent's copy of a pipe's end would keep the pipe open.
        drop(self.command);
        if let Some(mut stdin) = child.stdin.take() {
            thread::spawn(move || {
                // Whoever has enough of it closes the pipe.
                for piece in self.input {
                    if stdin.write_all(&piece).is_err() {
                        return;
                    }
                    thread::sleep(PAUSE);
                }
            });
        }
        let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
        let end = Instant::now() + tier::patient(PATIENCE);
        let status: ExitStatus = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if Instant::now() > end {
                child.kill()?;
                child.wait()?;
                return Err(io::Error::new(io::ErrorKind::TimedOut, "rstprobe does not end"));
            }
            thread::sleep(Duration::from_millis(2));
        };
        let text = |reader: thread::JoinHandle<io::Result<String>>| {
            reader.join().unwrap_or_else(|_| Err(io::Error::other("a reader panicked")))
        };
        Ok(Finished { status, stdout: text(stdout)?, stderr: text(stderr)? })
    }
}

fn reader(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<io::Result<String>> {
    thread::spawn(move || {
        let mut bytes = vec![];
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes)?;
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    })
}

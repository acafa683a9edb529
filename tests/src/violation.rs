//! Violations of the sandbox: what somebody would try who has taken over rstprobe while it reads captures, or while it watches.
//!
//! Each is tried in a thread that has entered the sandbox of the library: it holds there and nowhere else.

use std::{
    fs::{self, Permissions},
    io,
    io::ErrorKind,
    net::{TcpStream, UdpSocket},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    thread,
};

use probe_user::sandbox::{
    self, Demand, Needs, Policy,
    landlock::{Access, Grant},
    seccomp::{Calls, OnViolation},
};

/// What is confined.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Confined {
    /// What reads captures and writes evidence.
    Captures,
    /// What watches interfaces and writes evidence.
    Interfaces,
}

impl Confined {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::Captures, Self::Interfaces];

    /// For command lines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Captures => "captures",
            Self::Interfaces => "interfaces",
        }
    }
}

/// Something that is tried.
#[derive(Clone, Copy, Debug)]
pub struct Violation {
    /// For command lines.
    pub name: &'static str,
    /// Landlock is what stops it, where the kernel has that.
    pub by_landlock: bool,
    attempt: fn(&Path) -> io::Result<()>,
}

const fn of_files(name: &'static str, attempt: fn(&Path) -> io::Result<()>) -> Violation {
    Violation { name, by_landlock: true, attempt }
}

const fn of_calls(name: &'static str, attempt: fn(&Path) -> io::Result<()>) -> Violation {
    Violation { name, by_landlock: false, attempt }
}

/// All that are tried, in a folder with a file `other` that is not granted, and a folder `kept` that is.
pub const VIOLATIONS: &[Violation] = &[
    of_files("read another file", |folder| fs::read(folder.join("other")).map(drop)),
    of_files("read a program", |_| fs::read("/proc/self/exe").map(drop)),
    of_files("write to another file", |folder| {
        fs::OpenOptions::new().append(true).open(folder.join("other")).map(drop)
    }),
    of_files("make a file elsewhere", |folder| fs::write(folder.join("new"), "")),
    of_files("remove another file", |folder| fs::remove_file(folder.join("other"))),
    of_files("list a folder", |folder| fs::read_dir(folder).map(drop)),
    of_calls("rename a file", |folder| fs::rename(folder.join("other"), folder.join("kept/other"))),
    of_calls("let others read it", |folder| fs::set_permissions(folder.join("other"), Permissions::from_mode(0o644))),
    of_calls("give a file an attribute", |folder| {
        Ok(rustix::fs::setxattr(folder.join("other"), "user.other", b"", rustix::fs::XattrFlags::empty())?)
    }),
    of_calls("take a file's attribute", |folder| Ok(rustix::fs::lremovexattr(folder.join("other"), "user.other")?)),
    of_calls("make a pipe with a name", |folder| {
        let mode = rustix::fs::Mode::RUSR;
        Ok(rustix::fs::mknodat(rustix::fs::CWD, folder.join("kept/pipe"), rustix::fs::FileType::Fifo, mode, 0)?)
    }),
    of_calls("connect to a TCP port", |_| answered(TcpStream::connect("127.0.0.1:9"))),
    of_calls("open a UDP socket", |_| UdpSocket::bind("127.0.0.1:0").map(drop)),
    of_calls("start a program", |_| Command::new("/proc/self/exe").arg("nothing").spawn()?.wait().map(drop)),
    of_calls("make a BPF map", |_| aya::maps::Array::<_, u32>::create(1, 0).map(drop).map_err(|error| denial(&error))),
    of_calls("signal another process", |_| Ok(rustix::process::test_kill_process(parent())?)),
    of_calls("mount", |folder| {
        let (to, none) = (folder.join("kept"), rustix::mount::MountFlags::empty());
        Ok(rustix::mount::mount("tmpfs", &to, "tmpfs", none, None)?)
    }),
    of_calls("turn another root", |folder| Ok(rustix::process::chroot(folder)?)),
];

/// A refusal by who listens there is an answer, too.
fn answered(connected: io::Result<TcpStream>) -> io::Result<()> {
    match connected {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Ok(()),
        other => other.map(drop),
    }
}

fn parent() -> rustix::process::Pid {
    rustix::process::getppid().unwrap_or(rustix::process::Pid::INIT)
}

/// The error of the system call within another.
fn denial(error: &(dyn std::error::Error + 'static)) -> io::Error {
    let within = std::iter::successors(Some(error), |error| error.source());
    let kind = within.filter_map(|error| error.downcast_ref::<io::Error>()).map(io::Error::kind).next();
    io::Error::new(kind.unwrap_or(ErrorKind::Other), error.to_string())
}

/// How one ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The sandbox refused it.
    Denied,
    /// It was done.
    Done,
    /// Something else prevented it.
    Failed(String),
}

/// Makes the files that violations are about.
///
/// # Errors
/// They cannot be made.
pub fn prepare(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder.join("kept"))?;
    ["granted", "other"].iter().try_for_each(|name| fs::write(folder.join(name), name))
}

fn needs(confined: Confined, folder: &Path) -> Needs {
    let grant = |path: PathBuf, access| Grant { path, access };
    let granted = grant(folder.join("granted"), Access::Read);
    let (calls, capabilities) = match confined {
        Confined::Captures => (Calls::Captures { writes: true }, Vec::new()),
        Confined::Interfaces => (Calls::Interfaces { asks_owners: false, is_promiscuous: false }, Vec::new()),
    };
    Needs { files: vec![granted, Grant::kept(&folder.join("kept"))], calls, capabilities }
}

/// Tries one violation in the sandbox. With [`OnViolation::Kill`] one of a system call ends this process.
///
/// # Errors
/// The sandbox that is required is not to be had, or does not let through what it should.
pub fn attempt(confined: Confined, policy: Policy, violation: Violation, folder: &Path) -> io::Result<Outcome> {
    let folder = folder.to_owned();
    let within = move || {
        let _lacking = sandbox::enter(policy, &needs(confined, &folder)).map_err(io::Error::other)?;
        // It must not be that nothing works any more.
        fs::read(folder.join("granted"))?;
        fs::write(folder.join("kept/new"), "new")?;
        fs::remove_file(folder.join("kept/new"))?;
        Ok(match (violation.attempt)(&folder) {
            Ok(()) => Outcome::Done,
            Err(error) if error.kind() == ErrorKind::PermissionDenied => Outcome::Denied,
            Err(error) => Outcome::Failed(error.to_string()),
        })
    };
    thread::spawn(within).join().unwrap_or_else(|_panic| Err(io::Error::other("it panicked")))
}

/// A bug within the sandbox: it is told, with its backtrace where that is asked for, and ends its thread alone.
///
/// # Panics
/// Only in that thread.
pub fn panics(confined: Confined, policy: Policy, folder: &Path) -> bool {
    let folder = folder.to_owned();
    let within = move || {
        let _lacking = sandbox::enter(policy, &needs(confined, &folder));
        // A thread of that thread, as reading has.
        thread::spawn(|| panic!("a bug")).join().is_err()
    };
    thread::spawn(within).join().unwrap_or(false)
}

/// The sandbox without a demand.
pub fn policy(on_violation: OnViolation) -> Policy {
    Policy { demand: Demand::Auto, on_violation }
}

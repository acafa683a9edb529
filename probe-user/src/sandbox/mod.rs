//! Sandbox: takes from this process what it does not need any more, before it reads what others have sent.
//!
//! * [`capabilities`]: which stay in all sets, and no new privileges.
//! * [`landlock`]: which files may be read, written, made and removed; no TCP, no signals to others.
//! * [`seccomp`]: which system calls there are.
//!
//! All three are inherited by threads that are started later, and concern no thread that runs already: enter it before
//! there are any. Nothing of it can be undone.
//!
//! Must not know: captures, interfaces, what a command is.

pub mod capabilities;
pub mod landlock;
pub mod seccomp;

use std::thread;

use thiserror::Error;

use self::{
    capabilities::Capability,
    landlock::{Grant, Landlock},
    seccomp::{Calls, OnViolation},
};

/// How much is demanded of the sandbox (`--sandbox`).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Demand {
    /// What this kernel has; what it lacks is said.
    #[default]
    Auto,
    /// All of it, or it is an error.
    Require,
    /// None.
    Off,
}

/// The sandbox as it is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Policy {
    /// How much of it.
    pub demand: Demand,
    /// What becomes of a system call that is neither known to be needed nor known to be dangerous.
    pub on_violation: OnViolation,
}

impl Policy {
    /// With [`OnViolation::Kill`] where the environment says `RSTPROBE_SECCOMP=kill`: it can only make the sandbox stricter.
    pub fn new(demand: Demand) -> Self {
        let kills = std::env::var_os("RSTPROBE_SECCOMP").is_some_and(|value| value == "kill");
        Self { demand, on_violation: if kills { OnViolation::Kill } else { OnViolation::Log } }
    }
}

/// What a process still needs.
#[derive(Clone, Debug)]
pub struct Needs {
    /// Files.
    pub files: Vec<Grant>,
    /// System calls.
    pub calls: Calls,
    /// Capabilities, where it has them.
    pub capabilities: Vec<Capability>,
}

/// Why the sandbox that is required is not to be had.
#[derive(Debug, Error)]
#[error("--sandbox require: {}; `--sandbox auto` goes on without", .0.join("; "))]
pub struct Lacking(pub Vec<String>);

/// What could not be taken, in words for people; nothing where all is in force.
#[must_use]
pub struct Entered(Vec<String>);

impl Entered {
    /// What is lacking, as one line; `None` where nothing is.
    pub fn lacks(&self) -> Option<String> {
        let Self(lacks) = self;
        (!lacks.is_empty()).then(|| format!("sandbox: {}; going on with the rest", lacks.join("; ")))
    }
}

/// Enters the sandbox: from here on this thread, and those that it starts, can do no more than `needs` says.
///
/// # Errors
/// Something is lacking, and all of it is required.
pub fn enter(policy: Policy, needs: &Needs) -> Result<Entered, Lacking> {
    if policy.demand == Demand::Off {
        return Ok(Entered(Vec::new()));
    }
    let mut lacks = Vec::new();
    lacks.extend(capabilities::keep_only(&needs.capabilities).err().map(|why| format!("capabilities stay: {why}")));
    let asks_owners = matches!(needs.calls, Calls::Interfaces { asks_owners: true, .. });
    lacks.extend(landlock::restrict(&needs.files, asks_owners).err());
    lacks.extend(seccomp::apply(needs.calls, policy.on_violation).err());
    told(policy, lacks)
}

/// Takes away more files and capabilities of a process that is in the sandbox already.
///
/// # Errors
/// As [`enter`].
pub fn narrow(policy: Policy, files: &[Grant], kept: &[Capability]) -> Result<(), Lacking> {
    if policy.demand == Demand::Off {
        return Ok(());
    }
    let lacks = capabilities::keep_only(kept).err().map(|why| format!("capabilities stay: {why}"));
    // That this kernel has no Landlock was said by the first.
    let narrowed = landlock::restrict(files, false).err().filter(|_| policy.demand == Demand::Require);
    told(policy, lacks.into_iter().chain(narrowed).collect()).map(drop)
}

fn told(policy: Policy, lacks: Vec<String>) -> Result<Entered, Lacking> {
    match policy.demand {
        Demand::Require if !lacks.is_empty() => Err(Lacking(lacks)),
        _ => Ok(Entered(lacks)),
    }
}

/// What this kernel has of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Available {
    /// Landlock, or why not.
    pub landlock: Result<Landlock, String>,
    /// System call filters, or why not.
    pub seccomp: Result<(), String>,
}

impl Available {
    /// Tries it, in a thread of its own, which ends at once.
    pub fn of_this_kernel() -> Self {
        let attempt = || Self {
            landlock: landlock::restrict(&[], false),
            seccomp: seccomp::apply(Calls::Captures { writes: false }, OnViolation::Log),
        };
        let lost = || Self { landlock: Err("unknown".to_owned()), seccomp: Err("unknown".to_owned()) };
        thread::spawn(attempt).join().unwrap_or_else(|_panic| lost())
    }
}

/// Refuses at once where the sandbox is required and this kernel lacks part of it.
///
/// # Errors
/// What is lacking.
pub fn check(policy: Policy) -> Result<(), Lacking> {
    if policy.demand != Demand::Require {
        return Ok(());
    }
    let Available { landlock, seccomp } = Available::of_this_kernel();
    let lacks: Vec<String> = landlock.err().into_iter().chain(seccomp.err()).collect();
    if lacks.is_empty() { Ok(()) } else { Err(Lacking(lacks)) }
}

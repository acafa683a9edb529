//! Privileges: what this process may do. Facts only; what follows from them is said by whoever asks.

use caps::CapSet;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::LiveError;

/// A capability that rstprobe may need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Capability {
    /// Load programs and maps (Linux 5.8).
    Bpf,
    /// Attach to interfaces.
    NetAdmin,
    /// Pointer arithmetic on packets in kernels up to 5.10.
    Perfmon,
    /// Promiscuous membership and AF_XDP sockets.
    NetRaw,
}

impl Capability {
    /// Its name in the kernel's headers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bpf => "CAP_BPF",
            Self::NetAdmin => "CAP_NET_ADMIN",
            Self::Perfmon => "CAP_PERFMON",
            Self::NetRaw => "CAP_NET_RAW",
        }
    }

    /// True when this process has it effectively.
    pub fn is_held(self) -> bool {
        let capability = match self {
            Self::Bpf => caps::Capability::CAP_BPF,
            Self::NetAdmin => caps::Capability::CAP_NET_ADMIN,
            Self::Perfmon => caps::Capability::CAP_PERFMON,
            Self::NetRaw => caps::Capability::CAP_NET_RAW,
        };
        caps::has_cap(None, CapSet::Effective, capability).unwrap_or(false)
    }
}

/// Every capability, for `doctor`.
pub const ALL: [Capability; 4] = [Capability::Bpf, Capability::NetAdmin, Capability::Perfmon, Capability::NetRaw];

/// What counting on an interface needs and this process lacks. CAP_SYS_ADMIN implies the BPF ones.
pub fn missing(promiscuous: bool) -> Vec<Capability> {
    let admin = caps::has_cap(None, CapSet::Effective, caps::Capability::CAP_SYS_ADMIN).unwrap_or(false);
    let mut needed = vec![Capability::NetAdmin];
    if !admin {
        needed.extend([Capability::Bpf, Capability::Perfmon]);
    }
    if promiscuous {
        needed.push(Capability::NetRaw);
    }
    needed.retain(|capability| !capability.is_held());
    needed
}

/// Lifts the limit of locked memory, against which kernels before 5.11 count tables, as far as that is allowed; tells what it
/// is then, bytes, `None` without one.
pub fn lift_locked_memory() -> Option<u64> {
    let unlimited = Rlimit { current: None, maximum: None };
    if setrlimit(Resource::Memlock, unlimited).is_ok() {
        return None;
    }
    let Rlimit { current, maximum } = getrlimit(Resource::Memlock);
    // What may be had without privileges.
    let raised = current != maximum && setrlimit(Resource::Memlock, Rlimit { current: maximum, maximum }).is_ok();
    if raised { maximum } else { current }
}

/// The same, where tables of `needed` bytes are to be made.
///
/// # Errors
/// [`LiveError::LockedMemory`] when it may not be lifted (CAP_SYS_RESOURCE) and `needed` bytes are above it.
pub fn raise_locked_memory(needed: u64) -> Result<(), LiveError> {
    match lift_locked_memory() {
        Some(limit) if limit < needed => {
            Err(LiveError::LockedMemory { needed: needed.div_ceil(1 << 20), limit: limit >> 10 })
        }
        _ => Ok(()),
    }
}

//! tracefs, where it is mounted and where it is not: fresh machines, containers and `ip netns exec` (which mounts a new
//! `/sys`) hide it, although the kernel has it. Knows nothing of tracepoints.

#![expect(unsafe_code, reason = "unshare: a mount that only one thread sees")]

use std::{path::Path, thread};

use rustix::{
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
    thread::{UnshareFlags, unshare_unsafe},
};

/// Where tracefs is looked for, the usual place first.
pub(super) const TRACEFS: [&str; 2] = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];

/// Does `work` with tracefs in one of its places: as it is, or, when it is in neither, on a thread that mounts it for
/// itself alone. That mount ends with the thread; descriptors opened by `work` stay valid.
///
/// # Errors
/// Why it cannot be mounted, for people.
pub(super) fn with_tracefs<T: Send>(work: impl FnOnce() -> T + Send) -> Result<T, String> {
    if TRACEFS.iter().any(|root| Path::new(root).join("events").exists()) {
        return Ok(work());
    }
    let alone = move || mount_for_this_thread().map(|()| work());
    let done = thread::scope(|scope| scope.spawn(alone).join());
    let Ok(done) = done else { return Err("the thread that reads tracefs panicked".to_owned()) };
    done.map_err(|error| {
        let [usual, _] = TRACEFS;
        format!("tracefs is not mounted, and mounting it failed: {error} (mount -t tracefs tracefs {usual})")
    })
}

fn mount_for_this_thread() -> rustix::io::Result<()> {
    // SAFETY: only the mount namespace becomes this thread's own; no descriptor table is unshared.
    unsafe { unshare_unsafe(UnshareFlags::NEWNS) }?;
    // So that nothing mounted here shows elsewhere.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    mount("tracefs", TRACEFS[0], "tracefs", MountFlags::NOSUID | MountFlags::NOEXEC | MountFlags::NODEV, None)
}

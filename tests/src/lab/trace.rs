//! The kernel's word on every reset it sends: the tracepoint `tcp:tcp_send_reset`, read as text from tracefs.
//!
//! Reasons are taken by name from the trace, as their numbers change between kernels. tracefs is mounted for one thread
//! alone and ends with it; the trace instance is ours and is removed. The trace covers all network namespaces.

use std::{
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process,
    sync::{
        atomic::{AtomicU32, Ordering},
        mpsc::{Receiver, Sender, channel},
    },
    thread::{self, JoinHandle},
};

use crate::sys;

const PREFIX: &str = "rstp-lab-";
/// Several traces of one process, as when tests run side by side.
static NEXT: AtomicU32 = AtomicU32::new(0);
const EVENT: &str = "events/tcp/tcp_send_reset/enable";

/// One reset that this kernel sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KernelReset {
    /// Its sender.
    pub from: SocketAddr,
    /// Its receiver.
    pub to: SocketAddr,
    /// Why, in the kernel's words.
    pub reason: String,
    /// True when the kernel or the application decided so; false when it answers a segment.
    pub active: bool,
}

/// A running trace.
#[derive(Debug)]
pub struct Trace {
    stop: Sender<()>,
    thread: JoinHandle<io::Result<Vec<KernelReset>>>,
}

impl Trace {
    /// Begins to trace.
    ///
    /// # Errors
    /// When there is no tracefs here, or no such tracepoint.
    pub fn start() -> io::Result<Self> {
        let ((stop, stopped), (ready, readied)) = (channel(), channel());
        let thread = thread::spawn(move || run(&ready, &stopped));
        if readied.recv().is_ok() {
            return Ok(Self { stop, thread });
        }
        match thread.join() {
            Ok(Err(error)) => Err(error),
            _ => Err(io::Error::other("the trace ended before it began")),
        }
    }

    /// Ends it and returns the resets in the order in which they were sent.
    ///
    /// # Errors
    /// When the trace cannot be read, or lost events.
    pub fn stop(self) -> io::Result<Vec<KernelReset>> {
        drop(self.stop);
        self.thread.join().unwrap_or_else(|_| Err(io::Error::other("the trace panicked")))
    }
}

/// The instance of one trace; removed on drop.
struct Instance {
    path: PathBuf,
}

impl Drop for Instance {
    fn drop(&mut self) {
        let removed = fs::write(self.path.join(EVENT), "0").and_then(|()| fs::remove_dir(&self.path));
        if let Err(error) = removed {
            crate::tier::say(&format!("cannot remove trace instance {}: {error}", self.path.display()));
        }
    }
}

fn run(ready: &Sender<()>, stopped: &Receiver<()>) -> io::Result<Vec<KernelReset>> {
    let directory = tempfile::tempdir()?;
    sys::mount_tracefs_privately(directory.path())?;
    let instances = directory.path().join("instances");
    sweep(&instances)?;
    let path = instances.join(format!("{PREFIX}{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir(&path)?;
    let instance = Instance { path };
    fs::write(instance.path.join(EVENT), "1")?;
    // The other end is dropped to say so; nothing is ever sent.
    let until_dropped = stopped.iter();
    if ready.send(()).is_ok() {
        until_dropped.for_each(drop);
    }
    let text = fs::read_to_string(instance.path.join("trace"))?;
    let lost = lost(&instance.path)?;
    drop(instance);
    sys::unmount(directory.path())?;
    if lost > 0 {
        return Err(io::Error::other(format!("the trace lost {lost} events")));
    }
    text.lines().filter(|line| line.contains("tcp_send_reset:")).map(parse).collect()
}

/// Removes the instances of processes that are gone.
fn sweep(instances: &Path) -> io::Result<()> {
    for entry in fs::read_dir(instances)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        let dead = |rest: &str| !Path::new("/proc").join(rest.split('-').next().unwrap_or(rest)).exists();
        if name.strip_prefix(PREFIX).is_some_and(dead) {
            drop(Instance { path: instances.join(name) });
        }
    }
    Ok(())
}

fn lost(instance: &Path) -> io::Result<u64> {
    let mut sum = 0;
    for cpu in fs::read_dir(instance.join("per_cpu"))? {
        let stats = fs::read_to_string(cpu?.path().join("stats"))?;
        let overrun = stats.lines().find_map(|line| line.strip_prefix("overrun: "));
        sum += overrun.and_then(|count| count.trim().parse::<u64>().ok()).unwrap_or(0);
    }
    Ok(sum)
}

/// `... tcp_send_reset: skbaddr=0000000000000000 skaddr=... src=10.77.0.2:80 dest=10.77.0.1:4000 state=... reason=NAME`.
fn parse(line: &str) -> io::Result<KernelReset> {
    let word = |name: &str| line.split_whitespace().find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
    let end = |name: &str| word(name)?.parse::<SocketAddr>().ok();
    let nothing = |pointer: &str| pointer.chars().all(|digit| digit == '0') || pointer.contains("null");
    let read = || {
        let (from, to) = (end("src")?, end("dest")?);
        // Before Linux 6.10 the tracepoint knew no reason.
        let reason = word("reason").unwrap_or("not_told").to_owned();
        Some(KernelReset { from, to, reason, active: word("skbaddr").is_some_and(nothing) })
    };
    read().ok_or_else(|| io::Error::other(format!("not a line of the trace: {line}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_each_family_is_read() {
        let line = "lab-7 [000] ..s2. 1.5: tcp_send_reset: skbaddr=0000000000000000 skaddr=00000000a8e1f3c1 \
                    src=10.77.0.2:80 dest=10.77.0.1:4000 state=TCP_ESTABLISHED reason=TCP_STATE";
        let reset = parse(line).unwrap();
        assert_eq!((reset.from.port(), &*reset.reason, reset.active), (80, "TCP_STATE", true));
        let line = "lab-7 [000] ..s2. 1.5: tcp_send_reset: skbaddr=00000000a8e1f3c1 skaddr=0000000000000000 \
                    src=[fd77::2]:80 dest=[fd77::1]:4000 state=UNKNOWN reason=NO_SOCKET";
        let reset = parse(line).unwrap();
        assert_eq!((reset.to.to_string().as_str(), reset.active), ("[fd77::1]:4000", false));
        assert!(parse("tcp_send_reset: nonsense").is_err());
    }
}

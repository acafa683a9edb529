//! Kernel words: hands what the host's own kernel says of its connections (`--host`) to the tracker: why it sends resets, errors
//! that it gives to sockets, segments that it drops.

use crate::{
    output, printable,
    source::live::{
        engine::EngineConfig,
        host::{HostTap, KernelReset, ResetFormat},
        host_event_format::HostEventFormat,
        host_events::{HostReport, HostWord},
    },
    tracker::{KernelReport, KernelWord, Process, ReportedReset, Tracker},
};

/// Joins everything that was said since the last call to its connections. `offset_ns` is what the kernel's clock lacks to the
/// time of day; everything that was said up to `until_ns` is here; what belongs to no connection waits for the next call, but
/// for the `last`.
pub(super) fn join(host: &mut HostTap, tracker: &mut Tracker, offset_ns: u64, until_ns: u64, last: bool) {
    let refused = host.join_resets(0, last, |reset| {
        let time_ns = reset.monotonic_ns.saturating_add(offset_ns);
        let process = reset.process.as_ref().map(|process| Process {
            pid: process.pid,
            name: printable::escaped(&process.name).into(),
            cgroup: process.cgroup.as_deref().map(|cgroup| printable::escaped(cgroup).into()),
        });
        let &KernelReset { key, from_hi, reason, provoked, .. } = reset;
        tracker.kernel_reset(&ReportedReset { key, from_hi, reason, provoked, process: process.as_ref(), time_ns })
    });
    tracker.count_unmatched_resets(refused);
    if host.lost() > 0 {
        tracker.doubt_kernel_resets();
    }
    tracker.joined_kernel_resets(until_ns);
    let mut unknown = Vec::new();
    let known = |report: &HostReport| {
        let &HostReport { key, from_hi, word, monotonic_ns } = report;
        let word = match word {
            HostWord::SocketError(errno) => KernelWord::SocketError(errno),
            HostWord::Dropped(reason) => KernelWord::Dropped(reason),
        };
        let time_ns = monotonic_ns.saturating_add(offset_ns);
        tracker.kernel_report(&KernelReport { key, from_hi, word, time_ns })
    };
    host.join_events(0, last, known, |report| unknown.push(report.key));
    for key in &unknown {
        tracker.count_unmatched_report(key);
    }
}

/// The format of the tracepoint of resets; why there will be no reasons is said.
pub(super) fn reset_format() -> Option<ResetFormat> {
    match ResetFormat::of_this_kernel() {
        Ok(format) => Some(format),
        Err(why) => {
            output::say(&format!("rstprobe: the kernel's reset reasons are not available: {why}; going on without"));
            None
        }
    }
}

/// What the kernel says besides resets; what it cannot say is told.
pub(super) fn host_event_format() -> HostEventFormat {
    let (format, lacks) = HostEventFormat::of_this_kernel();
    for why in lacks {
        output::say(&format!("rstprobe: {why}; going on without"));
    }
    format
}

/// Names of the reasons for which the kernel drops segments, by number.
pub(super) fn drop_reasons(config: &EngineConfig) -> Vec<String> {
    let drops = config.host_events.as_ref().and_then(|events| events.drops.as_ref());
    drops.map(|drops| drops.names.clone()).unwrap_or_default()
}

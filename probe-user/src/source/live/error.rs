//! Live errors: what can go wrong between the agent and the kernel, each with the thing, the cause and the next step.

use std::{error::Error as StdError, io};

use aya::{EbpfError, maps::MapError, programs::ProgramError};
use thiserror::Error;

use super::{egress::EgressRefusal, link_layer::LinkLayer, privilege::Capability, rtnetlink::Refusal, verifier};

/// Why the live source cannot start or go on.
#[derive(Debug, Error)]
pub enum LiveError {
    /// The binary was built without the BPF object.
    #[error("this rstprobe was built without its kernel program; build it with `cargo xtask build`")]
    NoObject,
    /// The embedded object does not fit this binary.
    #[error(
        "the embedded kernel program has no `{0}`: object and binary are of different builds; run `cargo xtask build`"
    )]
    ObjectLacks(&'static str),
    /// A table size that cannot be.
    #[error(
        "table size: {slots} slots and {log} log entries per CPU; slots must be a power of two up to 1048576, log \
         entries at least 1, and all CPUs together below 2^32"
    )]
    TableSize {
        /// Slots asked for.
        slots: u32,
        /// Log entries asked for.
        log: u32,
    },
    /// A file or a system fact could not be read.
    #[error("cannot read {what}: {source}")]
    Read {
        /// What.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The kernel refused the object or its maps.
    #[error("the kernel refused the maps or the object: {}{}", chain(.0), remedy(.0))]
    Load(#[source] Box<EbpfError>),
    /// The kernel refused the program.
    #[error("{}", describe_program(.0))]
    Program(#[source] Box<ProgramError>),
    /// There was tracefs when the session began, and now there is none.
    #[error("cannot attach to tcp:tcp_send_reset: {0}")]
    Tracefs(String),
    /// A map could not be mapped.
    #[error("cannot map the table {name} into memory: {source}{}", remedy(.source))]
    Mmap {
        /// Map.
        name: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A map operation failed.
    #[error("map {name}: {}{}", chain(.source), remedy(.source))]
    Map {
        /// Map.
        name: &'static str,
        /// Why.
        source: Box<MapError>,
    },
    /// Capabilities are missing.
    #[error(
        "not permitted: missing {}; run as root, or grant them once: sudo setcap cap_bpf,cap_net_admin,cap_perfmon,cap_net_raw+ep {}",
        list_names(.missing), .binary
    )]
    Privilege {
        /// Which.
        missing: Vec<Capability>,
        /// This binary's path.
        binary: String,
    },
    /// No interface of that name.
    #[error("{name}: no such interface{}{}", hint_of_any(.name), list_known(.known))]
    NoInterface {
        /// As asked.
        name: String,
        /// What there is.
        known: Vec<String>,
    },
    /// The interface is down.
    #[error("{name}: the interface is down; `ip link set {name} up` first")]
    InterfaceDown {
        /// Interface.
        name: String,
    },
    /// Frames of this interface begin with something that is not understood.
    #[error(
        "{name}: link type {link_layer} is not understood: Ethernet is, and IP without a link header (tun, WireGuard, PPP, \
         IP tunnels); watch the interface on which the same traffic passes in one of these"
    )]
    LinkType {
        /// Interface.
        name: String,
        /// What they begin with.
        link_layer: LinkLayer,
    },
    /// Frames of this interface are no Ethernet frames, which is what the sockets' reader reads.
    #[error(
        "{name}: link type {link_layer}: --datapath afxdp reads Ethernet frames only; watch it with the default \
         --datapath count"
    )]
    LinkTypeOverSockets {
        /// Interface.
        name: String,
        /// What its frames begin with.
        link_layer: LinkLayer,
    },
    /// Somebody else has the XDP hook.
    #[error(
        "{name}: the XDP hook is taken by {holder}; stop that program (`bpftool link` and `bpftool prog` show whose it is; \
         one attached without a link goes with `ip link set dev {name} xdp off`), or probe another interface"
    )]
    HookTaken {
        /// Interface.
        name: String,
        /// By what.
        holder: String,
    },
    /// Another rstprobe has it.
    #[error("{name}: the XDP hook is taken by {holder} of {whose}; {step}, or probe another interface")]
    HookOfRival {
        /// Interface.
        name: String,
        /// By what.
        holder: String,
        /// Whose that is.
        whose: String,
        /// What to do.
        step: String,
    },
    /// The kernel or the driver refused the attachment.
    #[error("{name}: driver {driver} refused {mode} XDP: {words}; {step}")]
    Refused {
        /// Interface.
        name: String,
        /// Its driver.
        driver: String,
        /// `native` or `generic`.
        mode: &'static str,
        /// What the kernel said: its words in quotes, or the number of its error and that it gave no reason.
        words: String,
        /// What to do.
        step: String,
        /// The error of the system call.
        source: io::Error,
    },
    /// The kernel lacks what was asked for.
    #[error("{who} needs {what} (Linux {since}), which this kernel lacks; use {instead}")]
    KernelLacks {
        /// What needs it.
        who: &'static str,
        /// The feature.
        what: &'static str,
        /// The first kernel that has it.
        since: &'static str,
        /// What does without it.
        instead: &'static str,
    },
    /// Before Linux 5.11 tables count as locked memory, and the limit is below them.
    #[error(
        "tables of {needed} MiB do not fit the limit of locked memory ({limit} KiB), which counts for BPF before Linux \
         5.11, and it may not be raised here; start with `ulimit -l unlimited` (LimitMEMLOCK=infinity in a unit), grant \
         CAP_SYS_RESOURCE, or use smaller --slots and --log"
    )]
    LockedMemory {
        /// What the tables take, MiB.
        needed: u64,
        /// The limit, KiB.
        limit: u64,
    },
    /// The kernel attached without a bpf_link, which would outlive this process.
    #[error(
        "{name}: the kernel made no bpf_link (needs Linux 5.9); refused, because the program would outlive rstprobe"
    )]
    NoLink {
        /// Interface.
        name: String,
    },
    /// Egress could not be attached.
    #[error("{name}: cannot attach to egress for --host {source}; without --host only what is received is seen")]
    Egress {
        /// Interface.
        name: String,
        /// What the kernel said to each way that was tried.
        source: EgressRefusal,
    },
    /// Something of rstprobe's could not be removed from an interface.
    #[error("{name}: cannot remove the {what}: {source}")]
    Detach {
        /// Interface.
        name: String,
        /// What.
        what: &'static str,
        /// What the kernel said.
        source: Refusal,
    },
    /// Promiscuous membership failed.
    #[error("{name}: cannot enter promiscuous mode: {source}; it needs CAP_NET_RAW")]
    Promiscuous {
        /// Interface.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// `--action drop` would take the host's own traffic away from it.
    #[error(
        "{name}: {why}, and --action drop lets no frame through to this host: all of its own traffic there would stop. Watch \
         it with the default --action pass, which lets frames through; or, if that traffic may stop, add --force"
    )]
    DropsOwnTraffic {
        /// Interface.
        name: String,
        /// What shows it.
        why: String,
    },
    /// AF_XDP would take the host's own traffic away from it.
    #[error(
        "{name}: {why}, and frames that go to AF_XDP sockets do not reach this host's stack: its own TCP connections would \
         stop. Watch it with the default --datapath count, which lets frames through; or, if that traffic may stop, \
         add --force"
    )]
    OwnTraffic {
        /// Interface.
        name: String,
        /// What shows it.
        why: String,
    },
    /// An AF_XDP socket could not be opened.
    #[error("{name} queue {queue}: no AF_XDP socket: {step}: {source}{}", xsk_hint(.source))]
    Xsk {
        /// Interface.
        name: String,
        /// Receive queue.
        queue: u32,
        /// What was being done.
        step: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
    /// Netlink failed.
    #[error("cannot ask the kernel about interfaces: {0}")]
    Netlink(io::Error),
}

impl LiveError {
    /// For `map_err` on operations of the named map.
    pub(super) fn map(name: &'static str) -> impl Fn(MapError) -> Self {
        move |source| Self::Map { name, source: Box::new(source) }
    }
}

fn list_names(missing: &[Capability]) -> String {
    missing.iter().map(|capability| capability.name()).collect::<Vec<_>>().join(", ")
}

/// tcpdump's pseudo device is none: XDP programs are attached to real ones.
fn hint_of_any(name: &str) -> &'static str {
    if name == "any" { "; a program is attached to each interface by its name: `-i eth0 -i eth1`" } else { "" }
}

fn list_known(names: &[String]) -> String {
    const LISTED: usize = 20;
    let listed = names.get(..LISTED).unwrap_or(names).join(", ");
    match names.len() {
        0 => String::new(),
        1..=LISTED => format!("; there are {listed}"),
        all => format!("; there are {listed} and {} more", all - LISTED),
    }
}

fn xsk_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error() {
        Some(libc::EBUSY) => "; another AF_XDP socket has this queue: stop that program (`ss --xdp` shows it)",
        Some(libc::EPERM) => "; it needs CAP_NET_RAW (see `rstprobe doctor`)",
        Some(libc::EAFNOSUPPORT) => "; this kernel was built without CONFIG_XDP_SOCKETS: use --datapath count",
        Some(libc::ENOBUFS | libc::ENOMEM) => {
            "; memory may not be locked (`ulimit -l`, or grant CAP_IPC_LOCK), or is short: try a smaller --umem"
        }
        Some(libc::EOPNOTSUPP | libc::EINVAL) => "; the driver refuses it: use --datapath count, or --mode generic",
        Some(libc::ENETDOWN) => "; the interface is down: `ip link set NAME up` first",
        _ => "",
    }
}

/// An error with everything that caused it, each said once. aya's errors leave the cause to their sources.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.contains(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    text
}

/// What to do about the system call error at the root of `error`, if there is one that says so.
fn remedy(error: &(dyn StdError + 'static)) -> &'static str {
    let mut number = None;
    let mut cause = Some(error);
    while let Some(error) = cause {
        number = number.or(error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error));
        cause = error.source();
    }
    match number {
        Some(libc::EPERM | libc::EACCES) => {
            "; it needs CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON (see `rstprobe doctor`), held outside of any user namespace, \
             and before Linux 5.11 also a `ulimit -l` that fits the tables"
        }
        Some(libc::ENOMEM) => "; there is no memory for tables of this size: try smaller --slots and --log",
        Some(libc::EMFILE | libc::ENFILE) => "; too many open files: raise `ulimit -n`",
        _ => "",
    }
}

/// The verifier's own words, or the number of the error where it has said nothing.
fn describe_program(error: &ProgramError) -> String {
    let ProgramError::LoadError { io_error, verifier_log } = error else {
        return format!("the kernel refused the program: {}{}", chain(error), remedy(error));
    };
    match verifier::first_complaint(&verifier_log.to_string()) {
        Some(complaint) => format!(
            "the kernel's verifier refused the program: \"{complaint}\"; a smaller one may pass (--depth control, --encap \
             none); please report this with the output of `rstprobe doctor`"
        ),
        None => {
            format!("the kernel refused the program, and gave no reason: {io_error}{}", remedy(error))
        }
    }
}

#[cfg(test)]
mod tests {
    use aya::maps::MapError;

    use super::*;

    fn load(errno: i32) -> String {
        let io_error = io::Error::from_raw_os_error(errno);
        let map = MapError::CreateError { name: "SLOTS".to_string(), io_error };
        LiveError::Load(Box::new(EbpfError::MapError(map))).to_string()
    }

    #[test]
    fn the_cause_and_what_to_do_are_told() {
        for (errno, remedy) in [(libc::EPERM, "ulimit -l"), (libc::ENOMEM, "--slots"), (libc::EMFILE, "ulimit -n")] {
            let text = load(errno);
            for part in ["`SLOTS`", &io::Error::from_raw_os_error(errno).to_string(), remedy] {
                assert!(text.contains(part), "`{part}` is not in: {text}");
            }
        }
        let text = load(libc::EINVAL);
        assert_eq!(text.matches("SLOTS").count(), 1, "{text}");
        assert!(text.ends_with("(os error 22)"), "{text}");
    }
}

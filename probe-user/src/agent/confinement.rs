//! Confinement of a session: what it gives up once it is attached, and what it keeps to the end.

use crate::{error::RunError, output};
use crate::{
    plan::EvidencePlan,
    sandbox::{
        self, Needs, Policy,
        capabilities::{self, Capability},
        landlock::{Access, Grant},
        seccomp::Calls,
    },
    source::live::{engine::Engine, host::HostTap},
};

/// A capability that is kept while watching, and why.
pub(crate) type Kept = (Capability, &'static str);

/// Gives up everything that is not needed any more. To be called when everything is attached and open, before there are threads.
///
/// # Errors
/// All of it is required, and something is lacking.
pub(super) fn enter(
    policy: Policy,
    engine: &mut Engine,
    host: Option<&HostTap>,
    evidence: Option<&EvidencePlan>,
    is_promiscuous: bool,
) -> Result<(), RunError> {
    let folder = evidence.filter(|evidence| !evidence.is_file).map(|evidence| evidence.path.as_path());
    // Processes that reset connections are told with their control groups.
    let processes = host.map(|_| Grant { path: "/proc".into(), access: Access::Read });
    let by_filter = host.is_some_and(HostTap::is_by_filter);
    let kept = kept(engine, by_filter, is_promiscuous).into_iter().map(|(capability, _)| capability);
    let needs = Needs {
        files: folder.map(Grant::kept).into_iter().chain(processes).collect(),
        // Before the qdisc is removed, whether its other filters are of somebody who lives.
        calls: Calls::Interfaces { asks_owners: host.is_some(), is_promiscuous },
        capabilities: kept.chain(folder.map(capabilities::to_write_into).unwrap_or_default()).collect(),
    };
    if let Some(lacks) = sandbox::enter(policy, &needs)?.lacks() {
        output::say(&format!("rstprobe: {lacks}"));
    }
    Ok(())
}

/// What is kept of the capabilities that attaching takes: found out by doing without.
pub(crate) fn kept(engine: &mut Engine, by_filter: bool, is_promiscuous: bool) -> Vec<Kept> {
    let mut kept = Vec::new();
    if by_filter {
        kept.push((Capability::CAP_NET_ADMIN, "to remove the egress filter in the end"));
    }
    if is_promiscuous {
        kept.push((Capability::CAP_NET_RAW, "to enter promiscuous mode again on an interface that comes back"));
    }
    let drains_without = capabilities::with_only(&[], || engine.wait_for_programs().is_ok()).unwrap_or(false);
    if !drains_without {
        let why =
            "to drain: this kernel lets nobody else use bpf(2) (kernel.unprivileged_bpf_disabled, before Linux 5.19)";
        let of_root = capabilities::held_of(&[Capability::CAP_BPF]).is_empty();
        kept.push((if of_root { Capability::CAP_SYS_ADMIN } else { Capability::CAP_BPF }, why));
    }
    kept
}

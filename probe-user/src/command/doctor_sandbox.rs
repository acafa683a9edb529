//! `rstprobe doctor`, sandbox: what of it this kernel has, and what is kept in it.

use crate::{
    agent::confinement,
    sandbox::Available,
    source::live::{
        engine::Engine,
        kernel_features::{Feature, KernelFeatures},
    },
};

/// A name and a value each. The program is the one that would be attached, if it could be loaded.
pub(super) fn facts(engine: Option<&mut Engine>) -> Vec<(&'static str, String)> {
    let Available { landlock, seccomp } = Available::of_this_kernel();
    let landlock = landlock.map_or_else(
        |why| format!("no: {why}"),
        |it| {
            let rest = if it.abi < 4 { " (TCP is refused by seccomp alone; from ABI 4 on by both)" } else { "" };
            format!("ABI {}: only files that are named or given as evidence{rest}", it.abi)
        },
    );
    let seccomp = seccomp.map_or_else(|why| format!("no: {why}"), |()| "yes: an allow-list of system calls".to_owned());
    vec![
        ("Landlock", landlock),
        ("seccomp", seccomp),
        ("reading", "keeps no capability, opens no socket, starts no program".to_owned()),
        ("watching", watching(engine)),
    ]
}

/// What is kept once everything is attached.
fn watching(engine: Option<&mut Engine>) -> String {
    let Some(engine) = engine else { return "unknown: the kernel program cannot be loaded (see above)".to_owned() };
    let by_filter = KernelFeatures::of_this_kernel().lacks(Feature::Tcx);
    let kept: Vec<_> = confinement::kept(engine, by_filter, false)
        .into_iter()
        .map(|(capability, why)| {
            let only = if capability == caps::Capability::CAP_NET_ADMIN { " with --host" } else { "" };
            format!("{capability}{only}: {why}")
        })
        .collect();
    if kept.is_empty() {
        "keeps no capability once it is attached; drains, counters and attaching anew need none".to_owned()
    } else {
        format!("keeps {}; all others go once it is attached", kept.join("; "))
    }
}

//! `rstprobe doctor`: what this host and its interfaces can do, what would be used, and why.

use std::{fmt::Write as _, fs};

use probe_ebpf::layout::{Bucket, JournalEntry, LogEntry, SLOT_SEGMENTS, SLOTS_PER_BUCKET, Slot};

use super::{RunError, output};
use crate::{
    plan::DoctorPlan,
    source::live::{
        LiveError,
        driver::DriverCounters,
        engine::{Engine, EngineConfig},
        netdev::{self, Netdev},
        privilege,
    },
};

/// Prints the findings to stdout.
///
/// # Errors
/// [`RunError::NotReady`] with the first thing that prevents watching; everything has been printed then.
pub(super) fn doctor(plan: &DoctorPlan) -> Result<(), RunError> {
    let devices = match plan.interfaces.as_slice() {
        [] => netdev::list()?,
        names => names.iter().map(|name| Netdev::find(name)).collect::<Result<_, _>>()?,
    };
    let mut report = Report::default();
    host(&mut report);
    let engine = program(&mut report);
    for device in &devices {
        interface(&mut report, device, engine);
        // What nobody asked about is no obstacle.
        if !plan.interfaces.is_empty() {
            obstacle(&mut report, device);
        }
    }
    output::data(&report.text)?;
    let missing = privilege::missing(false);
    if !missing.is_empty() {
        let binary = std::env::current_exe().map_or_else(|_| "rstprobe".to_string(), |path| path.display().to_string());
        return Err(LiveError::Privilege { missing, binary }.into());
    }
    match report.obstacle {
        Some(obstacle) => Err(RunError::NotReady(obstacle)),
        None => Ok(()),
    }
}

#[derive(Default)]
struct Report {
    text: String,
    obstacle: Option<String>,
}

impl Report {
    fn heading(&mut self, title: &str) {
        self.text.write_fmt(format_args!("{title}\n")).expect("a String takes everything");
    }

    fn fact(&mut self, name: &str, value: &str) {
        self.text.write_fmt(format_args!("  {name:<14} {value}\n")).expect("a String takes everything");
    }

    fn obstacle(&mut self, text: String) {
        self.obstacle.get_or_insert(text);
    }
}

fn line_of(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_string())
}

fn host(report: &mut Report) {
    report.heading("host");
    let unknown = || "unknown".to_string();
    report.fact("kernel", &line_of("/proc/sys/kernel/osrelease").unwrap_or_else(unknown));
    let cpus = aya::util::nr_cpus().ok();
    report.fact("possible CPUs", &cpus.map_or_else(unknown, |cpus| cpus.to_string()));
    report.fact("tables", &cpus.map_or_else(unknown, tables));
    let jit = match line_of("/proc/sys/net/core/bpf_jit_enable").as_deref() {
        Some("0") => {
            "off: the kernel interprets BPF, about ten times slower; sysctl net.core.bpf_jit_enable=1".to_string()
        }
        Some(_) => "on".to_string(),
        None => unknown(),
    };
    report.fact("BPF JIT", &jit);
    let btf = fs::metadata("/sys/kernel/btf/vmlinux").is_ok();
    report.fact("kernel BTF", if btf { "present" } else { "absent (not needed for counting)" });
    let realtime = line_of("/sys/kernel/realtime").is_some_and(|value| value == "1");
    if realtime {
        report.fact("PREEMPT_RT", "yes: softirqs may preempt each other, per-CPU counts are not guaranteed there");
    }
    for capability in privilege::ALL {
        report.fact(capability.name(), if capability.is_held() { "held" } else { "missing" });
    }
}

/// How much memory the default tables take: a half for each of two epochs, on every possible CPU.
fn tables(cpus: usize) -> String {
    let config = EngineConfig::default();
    let (slots, log) = (config.slots_per_cpu as usize, config.log_per_cpu as usize);
    let buckets = slots / SLOTS_PER_BUCKET as usize;
    let slot = size_of::<Slot>() + SLOT_SEGMENTS * size_of::<JournalEntry>();
    let per_cpu = slots * slot + buckets * size_of::<Bucket>() + log * size_of::<LogEntry>();
    let mebibytes = |bytes: usize| bytes as f64 / f64::from(1 << 20);
    let (all, each) = (mebibytes(2 * cpus * per_cpu), mebibytes(2 * per_cpu));
    format!("{all:.1} MiB of memory that is not swapped: {each:.1} per CPU with --slots {slots} --log {log}")
}

/// What prevents watching a device that was named.
fn obstacle(report: &mut Report, device: &Netdev) {
    let name = device.name.clone();
    if !device.link_layer.is_understood() {
        report.obstacle(LiveError::LinkType { name, link_layer: device.link_layer }.to_string());
    } else if let Some(holder) = &device.xdp {
        report.obstacle(LiveError::HookTaken { name, holder: holder.to_string() }.to_string());
    } else if !device.up {
        report.obstacle(LiveError::InterfaceDown { name }.to_string());
    }
}

/// Tries to load the program; tells which variant, if any.
fn program(report: &mut Report) -> Option<bool> {
    report.heading("kernel program");
    let config = EngineConfig { slots_per_cpu: 64, log_per_cpu: 64, ..EngineConfig::default() };
    match Engine::load(&config) {
        Ok(engine) => {
            let frags = engine.frags();
            report.fact("verifier", "accepts the program");
            let text = if frags { "yes (xdp.frags): native mode at any MTU" } else { "no: native mode up to MTU 3498" };
            report.fact("multi-buffer", text);
            Some(frags)
        }
        Err(error) => {
            report.fact("verifier", &error.to_string());
            report.obstacle(error.to_string());
            None
        }
    }
}

/// What the driver says of itself.
fn native(device: &Netdev) -> String {
    let Some(features) = device.features else { return "unknown (the kernel tells since 6.3)".to_string() };
    if !features.native() {
        return "no".to_string();
    }
    let abilities = [
        (features.multi_buffer(), "multi-buffer"),
        (features.redirect(), "redirect"),
        (features.zero_copy(), "AF_XDP zero-copy"),
    ];
    let known: Vec<_> = abilities.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
    if known.is_empty() { "yes".to_string() } else { format!("yes, with {}", known.join(", ")) }
}

/// Whether the driver will say what it lost.
fn loss_counters(device: &Netdev) -> String {
    match DriverCounters::read(&device.name) {
        Ok(counters) => format!("{} of the driver's own are watched", counters.len()),
        Err(why) => format!("none of the driver's own can be read: {why}"),
    }
}

fn interface(report: &mut Report, device: &Netdev, frags: Option<bool>) {
    report.heading(&format!("interface {}", device.name));
    report.fact("driver", &device.driver);
    report.fact("state", if device.up { "up" } else { "down" });
    report.fact("link type", &device.link_layer.to_string());
    report.fact("MTU", &device.mtu.to_string());
    let offload = |value: Option<bool>, consequence: &str, switch: &str| match value {
        Some(true) => format!("on: {consequence}; `ethtool -K {} {switch} off`", device.name),
        Some(false) => "off".to_string(),
        None => "unknown (the driver does not say)".to_string(),
    };
    report.fact(
        "VLAN strip",
        &offload(device.strips_vlan, "XDP sees no tags, --domain vlan has no effect; to keep them", "rxvlan"),
    );
    report.fact("LRO", &offload(device.lro, "some drivers refuse XDP; to switch it off", "lro"));
    report.fact("loss counters", &loss_counters(device));
    report.fact("native XDP", &native(device));
    match &device.xdp {
        Some(holder) => report.fact("XDP hook", &format!("taken by {holder}")),
        None => report.fact("XDP hook", "free"),
    }
    let verdict = if !device.link_layer.is_understood() {
        "nothing: frames of this link type are not understood"
    } else if device.xdp.is_some() {
        "nothing: the hook is taken; stop its owner first (`bpftool link` and `bpftool prog` show whose it is)"
    } else if !device.up {
        "nothing until it is up (`ip link set NAME up`)"
    } else if device.driver == "loopback" || device.name == "lo" {
        "--mode generic: the loopback device has no native XDP"
    } else if frags == Some(false) && device.mtu > 3498 {
        "--mode generic, or a lower MTU: native needs MTU <= 3498 without multi-buffer support"
    } else if frags.is_none() {
        "nothing: the kernel program cannot be loaded (see above)"
    } else {
        match device.features {
            Some(features) if features.native() => "native mode",
            Some(_) => "--mode generic: the driver has no native XDP",
            None => "native mode, if the driver has it (it is tried, never replaced silently)",
        }
    };
    report.fact("would use", verdict);
}

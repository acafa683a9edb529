//! `rstprobe doctor`: what this host and its interfaces can do, what would be used, and why.

use std::{fmt::Write as _, fs};

use super::doctor_sandbox;
use crate::{agent::detach, error::RunError, output};
use crate::{
    plan::DoctorPlan,
    printable,
    source::live::{
        LiveError,
        attach::{self, Mode},
        driver_losses::DriverCounters,
        engine::{Engine, EngineConfig},
        hook_holder,
        host::ResetFormat,
        host_event_format::HostEventFormat,
        kernel_features::{Feature, KernelFeatures},
        native_prediction::{self, Prediction},
        netdev::{self, Netdev},
        offloads, privilege, xsk_maps,
    },
};

/// Prints the findings to stdout.
///
/// # Errors
/// [`RunError::NotReady`] with the first thing that prevents watching; everything has been printed then.
pub(crate) fn doctor(plan: &DoctorPlan) -> Result<(), RunError> {
    let devices = match plan.interfaces.as_slice() {
        [] => netdev::list()?,
        names => names.iter().map(|name| Netdev::find(name)).collect::<Result<_, _>>()?,
    };
    let mut report = Report::default();
    host(&mut report);
    features(&mut report);
    let mut engine = program(&mut report);
    report.heading("sandbox");
    for (name, value) in doctor_sandbox::facts(engine.as_mut()) {
        report.fact(name, &value);
    }
    for device in &devices {
        interface(&mut report, device, engine.as_ref());
        // What nobody asked about is no obstacle.
        if !plan.interfaces.is_empty() && !obstacle(&mut report, device) && plan.attempt {
            warn(device);
            if let Some(engine) = &mut engine {
                attempt(&mut report, device, engine);
            }
        }
    }
    output::data(&printable::lines(&report.text))?;
    let missing = privilege::missing(false);
    if !missing.is_empty() {
        let binary = std::env::current_exe().map_or_else(|_| "rstprobe".to_string(), |path| printable::path(&path));
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
    let (slots, log, all) = (config.slots_per_cpu, config.log_per_cpu, config.table_bytes(cpus));
    let mebibytes = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let (all, each) = (mebibytes(all), mebibytes(config.table_bytes(1)));
    format!("{all:.1} MiB of memory that is not swapped: {each:.1} per CPU with --slots {slots} --log {log}")
}

/// Notes what prevents watching a device that was named; true if anything does.
fn obstacle(report: &mut Report, device: &Netdev) -> bool {
    let name = device.name.clone();
    let found = if !device.link_layer.is_understood() {
        LiveError::LinkType { name, link_layer: device.link_layer }
    } else if let Some(holder) = &device.xdp {
        hook_holder::refusal(&name, holder)
    } else if !device.up {
        LiveError::InterfaceDown { name }
    } else {
        return false;
    };
    report.obstacle(found.to_string());
    true
}

/// What trying may do.
fn warn(device: &Netdev) {
    output::say(&format!(
        "rstprobe: attaching to {} and detaching; some drivers (mlx5, ...) reset the link when XDP comes and goes",
        device.name
    ));
}

/// What this kernel has of what not every kernel has.
fn features(report: &mut Report) {
    report.heading("kernel features");
    let kernel = KernelFeatures::of_this_kernel();
    for feature in Feature::ALL {
        let found = match kernel.has(feature) {
            Some(true) => "yes".to_string(),
            Some(false) => format!("no (Linux {}): {}", feature.since(), feature.without()),
            None => "unknown (trying it was not permitted)".to_string(),
        };
        report.fact(feature.label(), &found);
    }
    if kernel.lacks(Feature::MemoryByControlGroup) {
        let needed = EngineConfig::default().table_bytes(aya::util::nr_cpus().unwrap_or(1));
        match privilege::raise_locked_memory(needed) {
            Ok(()) => report.fact("locked memory", "the limit is lifted, or above what the tables take"),
            Err(error) => {
                report.fact("locked memory", &error.to_string());
                report.obstacle(error.to_string());
            }
        }
    }
    let reasons = ResetFormat::of_this_kernel();
    report.fact("reset reasons", &reasons.map_or_else(|why| format!("no: {why}"), |_| "yes".to_string()));
    let (events, lacks) = HostEventFormat::of_this_kernel();
    for (label, is_there) in [("socket errors", events.errors.is_some()), ("dropped segments", events.drops.is_some())]
    {
        let why = lacks.iter().find_map(|why| why.strip_prefix(label)?.strip_prefix(": "));
        let found = if is_there { "yes".to_owned() } else { format!("no: {}", why.unwrap_or("unknown")) };
        report.fact(label, &found);
    }
}

/// Tries to load the program; hands it over when it is accepted.
fn program(report: &mut Report) -> Option<Engine> {
    report.heading("kernel program");
    let config = EngineConfig { slots_per_cpu: 64, log_per_cpu: 64, ..EngineConfig::default() };
    match Engine::load(&config) {
        Ok(engine) => {
            report.fact("verifier", "accepts the program");
            let text = if engine.frags() { "yes (xdp.frags)" } else { "no: native mode up to MTU 3498" };
            report.fact("multi-buffer", text);
            Some(engine)
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
    let Some(features) = device.features else { return "unknown (Linux 6.3 and newer report it)".to_string() };
    if !features.native() {
        return "no, the driver reports".to_string();
    }
    let abilities = [
        (features.multi_buffer(), "multi-buffer"),
        (features.redirect(), "redirect"),
        (features.zero_copy(), "AF_XDP zero-copy"),
    ];
    let known: Vec<_> = abilities.iter().filter(|(has, _)| *has).map(|(_, name)| *name).collect();
    let with = if known.is_empty() { String::new() } else { format!(", with {}", known.join(", ")) };
    format!("yes, the driver reports{with}")
}

/// Whether the driver will say what it lost.
fn loss_counters(device: &Netdev) -> String {
    match DriverCounters::read(device.index) {
        Ok(counters) => format!("{} of the driver's own are watched", counters.len()),
        Err(why) => format!("none of the driver's own can be read: {why}"),
    }
}

/// Offloads that drivers refuse XDP for.
fn deciding_offloads(device: &Netdev) -> String {
    match offloads::deciding(&device.name) {
        Ok(offloads) => offloads.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
        Err(why) => format!("unknown: {why}"),
    }
}

/// Receive queues, and the CPUs that they are for.
fn queues(device: &Netdev) -> String {
    let cpus = aya::util::nr_cpus().map_or_else(|_| "unknown".to_string(), |cpus| cpus.to_string());
    match xsk_maps::queue_limits(&device.name) {
        Ok((now, most)) => format!("{now} of {most}; possible CPUs: {cpus}"),
        Err(why) => format!("one, or unknown: {why}"),
    }
}

fn interface(report: &mut Report, device: &Netdev, engine: Option<&Engine>) {
    report.heading(&format!("interface {}", device.name));
    report.fact("driver", &device.driver);
    report.fact("state", if device.up { "up" } else { "down" });
    report.fact("link type", &device.link_layer.to_string());
    report.fact("MTU", &device.mtu.to_string());
    report.fact("queues", &queues(device));
    report.fact("offloads", &deciding_offloads(device));
    let strip = match device.strips_vlan {
        Some(true) => format!(
            "on: XDP sees no tags, --domain vlan has no effect; to keep them `ethtool -K {} rxvlan off`",
            device.name
        ),
        Some(false) => "off".to_string(),
        None => "unknown (the driver does not report it)".to_string(),
    };
    report.fact("VLAN strip", &strip);
    report.fact("loss counters", &loss_counters(device));
    report.fact("native XDP", &native(device));
    match &device.xdp {
        Some(holder) => {
            let whose = hook_holder::rival(holder).map_or_else(String::new, |rival| format!(" of {}", rival.words()));
            report.fact("XDP hook", &format!("taken by {holder}{whose}"));
        }
        None => report.fact("XDP hook", "free"),
    }
    for left in detach::described(device) {
        report.fact("of rstprobe's", &left);
    }
    report.fact("would use", &verdict(device, engine));
}

/// What would be used, and why.
fn verdict(device: &Netdev, engine: Option<&Engine>) -> String {
    let name = &device.name;
    let Some(engine) = engine else { return "nothing: the kernel program cannot be loaded (see above)".to_string() };
    if !device.link_layer.is_understood() {
        return "nothing: frames of this link type are not understood".to_string();
    }
    if let Some(holder) = &device.xdp {
        let usual = || "stop its owner first (`bpftool link` and `bpftool prog` show whose it is)".to_owned();
        let step = hook_holder::rival(holder).map_or_else(usual, |rival| rival.step(name));
        return format!("nothing: the hook is taken; {step}");
    }
    if !device.up {
        return format!("nothing until it is up (`ip link set {name} up`)");
    }
    match native_prediction::native(device, engine.frags()) {
        Prediction::Works => "native mode".to_string(),
        Prediction::Refused(why) => format!("--mode generic: {why}"),
        Prediction::OnlyByTrying(why) => {
            format!(
                "native mode, if the driver takes it: known only by trying (`rstprobe doctor --try -i {name}`): {why}"
            )
        }
    }
}

/// Attaches and detaches at once, natively and, where that is refused, generically.
fn attempt(report: &mut Report, device: &Netdev, engine: &mut Engine) {
    // What is tried must neither record nor keep anything.
    engine.arm(false);
    let mut refusal = None;
    for mode in [Mode::Native, Mode::Generic] {
        let name = format!("tried {}", mode.name());
        match attach::attach(engine, std::slice::from_ref(&device.name), mode, false) {
            Ok(attachments) => {
                drop(attachments);
                return report.fact(&name, "attached, and detached again");
            }
            Err(error) => {
                report.fact(&name, &error.to_string());
                refusal.get_or_insert(error);
            }
        }
    }
    if let Some(error) = refusal {
        report.obstacle(error.to_string());
    }
}

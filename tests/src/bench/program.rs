//! Program bench: what one frame costs in the kernel, by what it is and by how many flows there are: ours, and the conventional design.

use std::{io, net::IpAddr};

use probe_ebpf::tunnel::{self, Encapsulations};
use probe_user::source::live::engine::{Action, Depth, EngineConfig};

use super::{
    Report, Setting, cache_lines,
    kernel::{Driver, OPEN_THEN_HIT, SCATTERED, SYNS, Samples, Subject, Template},
};
use crate::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, SERVER_MAC},
    sys::{self, measure},
    tier,
    wrapped::{Inner, catalogue},
};

const SECTION: &str = "program";
/// Runs of a sample whose cost does not depend on how many flows were seen.
const REPEAT: u64 = 200_000;
const KI: u32 = 10;
const MI: u32 = 20;
/// Flows, as a power of two, and how often each thing is measured.
const FLOWS: [(u32, &str); 3] = [(2 + KI, "4 Ki"), (6 + KI, "64 Ki"), (MI, "1 Mi")];
/// Flows that stay in the nearest cache: of one alone only eight control segments per epoch are kept in its slot.
const HOT: (u32, &str) = (KI, "1 Ki");
const ALL: Encapsulations = Encapsulations { enabled: tunnel::ALL, max_depth: 4 };

/// The section.
///
/// # Errors
/// When the kernel refuses anything.
pub fn run(setting: &Setting, report: &mut Report) -> io::Result<()> {
    if let Some(why) = tier::needs_root() {
        report.skip(format!("{SECTION}: {why}"));
        return Ok(());
    }
    sys::pin_to_cpu(setting.core)?;
    measure::come_first()?;
    let mut bench = Bench { driver: Driver::load()?, rounds: setting.rounds * 3, setting: setting.clone() };
    bench.passing_by(report)?;
    bench.memory(report)?;
    bench.data(report)?;
    bench.control(report)?;
    bench.crowds(report)?;
    bench.tunnels(report)
}

struct Bench {
    driver: Driver,
    rounds: usize,
    setting: Setting,
}

/// One series of runs: how often each flow is seen before and while it is measured.
#[derive(Clone, Copy)]
struct Passes {
    bits: u32,
    flags: u64,
    /// 1: control segments; 0: data.
    control_every: u32,
    before: u64,
    measured: u64,
    /// Every sample begins with an empty table.
    afresh: bool,
}

/// What is sent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With the options of an opening segment.
    Opening,
    /// With timestamps and nothing else, as segments after it.
    Later,
    /// The same, with payload.
    Data,
}

fn segment(family: Family, kind: Kind) -> Template {
    let station = |mac, ip: IpAddr, port| Station { mac, ip, port };
    let from = station(CLIENT_MAC, family.client(), 40_000);
    let to = station(SERVER_MAC, family.server(), 443);
    let frame = TcpFrame::new(from, to, 1);
    let frame = match kind {
        Kind::Opening => frame.syn().timestamps(1, 0),
        Kind::Later => frame.ack(9).timestamps(2, 3),
        Kind::Data => frame.ack(9).timestamps(2, 3).payload(b"ten bytes."),
    };
    let (source_at, tcp_at) = if family == Family::V4 { (26, 34) } else { (34, 54) };
    Template { frame: frame.bytes().expect("one family"), source_at, tcp_at }
}

/// A segment without payload, for other sections.
pub(super) fn plain_segment() -> Template {
    segment(Family::V4, Kind::Later)
}

fn config(depth: Depth, bits: u32, encapsulations: Encapsulations) -> EngineConfig {
    // The log is small: what is measured does not spill.
    let slots_per_cpu = 1 << bits.max(4 + KI);
    EngineConfig { depth, action: Action::Drop, slots_per_cpu, encapsulations, ..EngineConfig::default() }
}

impl Bench {
    /// Runs every subject in turn, round after round; costs above the empty program.
    fn rounds(
        &mut self,
        subjects: &mut [(&str, Subject)],
        template: &Template,
        passes: Passes,
        rounds: usize,
    ) -> io::Result<Samples> {
        let mut samples = Samples::default();
        for round in 0..=rounds {
            let mut floor = [None; 2];
            for (name, subject) in subjects.iter_mut() {
                let frags = !name.ends_with("(plain)");
                if floor[usize::from(frags)].is_none() {
                    floor[usize::from(frags)] = Some(self.sample(&mut Subject::Empty, frags, template, passes)?);
                }
                let cost = self.sample(subject, frags, template, passes)?;
                // The first round warms up.
                if round > 0 {
                    samples.add(name, cost - floor[usize::from(frags)].unwrap_or_default());
                }
            }
        }
        Ok(samples)
    }

    fn sample(&mut self, subject: &mut Subject, frags: bool, template: &Template, passes: Passes) -> io::Result<f64> {
        if passes.afresh {
            subject.clear()?;
        }
        let Passes { bits, control_every, .. } = passes;
        let mut drive = template.drive(bits, passes.flags);
        drive.control_every = control_every;
        self.driver.set(&drive)?;
        if passes.before > 0 && !matches!(subject, Subject::Empty) {
            self.driver.run(subject, frags, &template.frame, passes.before << bits)?;
        }
        drive.count = passes.before << bits;
        drive.order = SCATTERED;
        self.driver.set(&drive)?;
        let repeat = if passes.afresh { passes.measured << bits } else { (passes.measured << bits).max(REPEAT) };
        self.driver.run(subject, frags, &template.frame, repeat)
    }

    fn flows(&self) -> impl Iterator<Item = (u32, &'static str)> + use<> {
        let quick = self.setting.quick;
        FLOWS.into_iter().filter(move |(bits, _)| !quick || *bits < MI)
    }

    /// Frames that change nothing but a counter.
    fn passing_by(&mut self, report: &mut Report) -> io::Result<()> {
        let passes = Passes { bits: 0, flags: SYNS, control_every: 0, before: 0, measured: 1, afresh: false };
        let ours = |frags, encapsulations| {
            Subject::ours(&EngineConfig { frags: Some(frags), ..config(Depth::Control, 0, encapsulations) })
        };
        let mut subjects = [
            ("every encapsulation", ours(true, ALL)?),
            ("no encapsulation", ours(true, tunnel::NONE)?),
            ("every encapsulation (plain)", ours(false, ALL)?),
            ("conventional", Subject::conventional("conventional_hash", 1 << 14, Depth::Control)?),
            ("clock", Subject::Clock),
        ];
        let mut udp = segment(Family::V4, Kind::Data);
        udp.frame[23] = 17;
        let mut arp = segment(Family::V4, Kind::Data);
        arp.frame[12..14].copy_from_slice(&[8, 6]);
        let kinds = [
            ("ARP", arp, None),
            ("UDP", udp, None),
            ("data, depth control", segment(Family::V4, Kind::Data), Some(5.0)),
            ("data over IPv6, depth control", segment(Family::V6, Kind::Data), Some(5.0)),
        ];
        for (kind, template, limit) in kinds {
            if !self.setting.wants(kind) {
                continue;
            }
            let samples = self.rounds(&mut subjects, &template, passes, self.rounds)?;
            for (name, values) in samples.iter().filter(|(name, _)| *name != "clock" || kind == "ARP") {
                let what =
                    if name == "clock" { "one reading of the clock".to_owned() } else { format!("{kind}: {name}") };
                report.add(SECTION, what, "ns", values);
                if let Some(limit) = limit.filter(|_| name.starts_with("every")) {
                    report.at_most(limit);
                }
            }
        }
        Ok(())
    }

    /// What a segment's way to its slot costs by itself.
    fn memory(&self, report: &mut Report) -> io::Result<()> {
        for (bits, flows) in self.flows() {
            let what = format!("two cache lines one after the other, {flows} flows");
            if self.setting.wants(&what) {
                report.add(SECTION, what, "ns", &cache_lines::chased(bits, self.rounds)?);
            }
        }
        Ok(())
    }

    /// Data at full depth, in slots that exist.
    fn data(&mut self, report: &mut Report) -> io::Result<()> {
        let template = segment(Family::V4, Kind::Data);
        let limits = [(2 + KI, 25.0), (6 + KI, 70.0)];
        for (bits, flows) in [(0, "1")].into_iter().chain(self.flows()) {
            let passes = Passes { bits, flags: SYNS, control_every: 0, before: 2, measured: 2, afresh: false };
            let limit = limits.iter().find(|(at, _)| *at == bits).map(|(_, limit)| *limit);
            let what = format!("data, depth full, {flows} flows");
            if self.setting.wants(&what) {
                self.compared(report, &what, &template, passes, limit)?;
            }
        }
        Ok(())
    }

    /// Control segments of flows that have a slot.
    fn control(&mut self, report: &mut Report) -> io::Result<()> {
        let template = segment(Family::V4, Kind::Later);
        for (bits, flows) in [HOT].into_iter().chain(self.flows()) {
            let measured = if bits == MI { 2 } else { 7 };
            let passes = Passes { bits, flags: OPEN_THEN_HIT, control_every: 1, before: 1, measured, afresh: true };
            let limit = (bits == 2 + KI).then_some(60.0);
            let what = format!("control, {flows} flows");
            if !self.setting.wants(&what) {
                continue;
            }
            let samples = self.compared(report, &what, &template, passes, limit)?;
            if samples.of("ours").is_empty() || samples.of("hash").is_empty() {
                continue;
            }
            report.add(
                SECTION,
                format!("control, {flows} flows: ours / kernel hash"),
                "",
                &samples.ratio("ours", "hash"),
            );
            match bits {
                16 => report.at_most(0.5),
                MI => report.at_most(0.7),
                _ => {}
            }
        }
        Ok(())
    }

    /// Flows that are new, and more of them than there is room for.
    fn crowds(&mut self, report: &mut Report) -> io::Result<()> {
        let template = segment(Family::V4, Kind::Opening);
        for (bits, flows) in self.flows() {
            let passes = Passes { bits, flags: SYNS, control_every: 1, before: 0, measured: 1, afresh: true };
            let what = format!("new flow, {flows} per epoch");
            if self.setting.wants(&what) {
                self.compared(report, &what, &template, passes, None)?;
            }
        }
        if !self.setting.wants("SYN flood") {
            return Ok(());
        }
        let flood = Passes { bits: MI, flags: SYNS, control_every: 1, before: 0, measured: 1, afresh: true };
        let mut subjects = [
            ("ours", Subject::ours(&config(Depth::Control, 0, ALL))?),
            ("hash", Subject::conventional("conventional_hash", 1 << 14, Depth::Control)?),
            ("LRU hash", Subject::conventional("conventional_lru", 1 << 14, Depth::Control)?),
        ];
        let samples = self.rounds(&mut subjects, &template, flood, self.rounds)?;
        for (name, values) in samples.iter() {
            report.add(SECTION, format!("SYN flood, 1 Mi flows into 16 Ki slots: {name}"), "ns", values);
        }
        let full = Passes { bits: 2 + KI, flags: SYNS, afresh: false, ..flood };
        let samples = self.rounds(&mut subjects, &template, full, self.rounds)?;
        for (name, values) in samples.iter() {
            report.add(SECTION, format!("SYN, table and log full: {name}"), "ns", values);
        }
        Ok(())
    }

    /// Ours beside both kernel tables.
    fn compared(
        &mut self,
        report: &mut Report,
        what: &str,
        template: &Template,
        passes: Passes,
        limit: Option<f64>,
    ) -> io::Result<Samples> {
        let depth = if passes.control_every == 0 { Depth::Full } else { Depth::Control };
        // Twice the room: shorter chains, and no eviction. In favour of what is compared with.
        let entries = 2 << passes.bits.max(4 + KI);
        let mut subjects = vec![
            ("ours", Subject::ours(&config(depth, passes.bits, ALL))?),
            ("hash", Subject::conventional("conventional_hash", entries, depth)?),
            ("LRU hash", Subject::conventional("conventional_lru", entries, depth)?),
        ];
        subjects.retain(|(name, _)| self.setting.wants_of(what, name));
        let rounds = if passes.bits == MI { self.rounds / 3 } else { self.rounds };
        let samples = self.rounds(&mut subjects, template, passes, rounds)?;
        for (name, values) in samples.iter() {
            report.add(SECTION, format!("{what}: {name}"), "ns", values);
            if let Some(limit) = limit.filter(|_| name == "ours") {
                report.at_most(limit);
            }
        }
        Ok(samples)
    }

    /// Every encapsulation by itself: data that passes by, and control segments that hit one of 4 Ki flows.
    fn tunnels(&mut self, report: &mut Report) -> io::Result<()> {
        let names = [
            "plain",
            "802.1Q",
            "QinQ",
            "three tags",
            "MPLS",
            "PPPoE",
            "in IPv4",
            "in IPv6",
            "GRE, key",
            "ERSPAN II",
            "ERSPAN III",
            "VXLAN",
            "GENEVE, options",
            "GTP-U, an extension header",
            "four tunnels",
        ];
        let mut subjects = [("ours", Subject::ours(&config(Depth::Control, 2 + KI, ALL))?)];
        let by = Passes { bits: 0, flags: SYNS, control_every: 0, before: 0, measured: 1, afresh: false };
        let hit = Passes { bits: 2 + KI, flags: OPEN_THEN_HIT, control_every: 1, before: 1, measured: 7, afresh: true };
        for (inner, what, passes) in
            [(Inner::Data, "data, depth control", by), (Inner::Data, "control, 4 Ki flows", hit)]
        {
            let shapes = catalogue(inner);
            for name in names {
                if !self.setting.wants(&format!("{what}: {name}")) {
                    continue;
                }
                let Some(shape) = shapes.iter().find(|shape| shape.name.starts_with(&format!("{name} (V4"))) else {
                    return Err(io::Error::other(format!("no shape {name}")));
                };
                let frame = shape.packet.bytes().to_vec();
                let ip_at = (frame.len() + 14 - shape.plain.len()) as u32;
                let template = Template { frame, source_at: ip_at + 12, tcp_at: ip_at + 20 };
                let samples = self.rounds(&mut subjects, &template, passes, self.rounds)?;
                report.add(SECTION, format!("{what}: {name}"), "ns", samples.of("ours"));
            }
        }
        Ok(())
    }
}

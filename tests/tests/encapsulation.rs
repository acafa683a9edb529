//! Frames of every encapsulation, whole, cut at every byte and damaged at every byte: the kernel program and the parser
//! in user space agree on each; etherparse agrees where it knows the protocol, and tshark on what was found.
//!
//! Privileged in part: those tests run with RSTPROBE_PRIVILEGED=1 and say so (see [`probe_tests::tier`]).

use std::{fs, process::Command, time::Instant};

use aya::{
    maps::{Array, Map, MapData, MapInfo},
    programs::{TestRun as _, TestRunOptions},
};
use probe_ebpf::{
    layout::{CpuCounters, EpochCounters, REJECT_REASONS, Segment},
    parse::{self, DOMAIN_NONE, DOMAIN_TUNNEL, DOMAIN_VLAN, Located, Reject, SliceReader, TUNNELLED},
    tunnel::{self, Encapsulations, NAMES},
};
use probe_tests::{
    pcap::{ETHERNET, Pcap},
    reference::{Recorder, Reference, locate},
    sys, tcpdump,
    tier::{privileged, say},
    wrapped::{Inner, Shape, catalogue},
};
use probe_user::source::{
    Domain,
    live::engine::{Depth, Engine, EngineConfig},
};

const EVERYTHING: Encapsulations = Encapsulations { enabled: tunnel::ALL, max_depth: 4 };
/// The kernel runs nothing on less than an Ethernet header.
const SHORTEST: usize = 14;

fn shapes() -> Vec<Shape> {
    [Inner::Syn, Inner::Data].into_iter().flat_map(catalogue).collect()
}

fn read(frame: &[u8], encapsulations: Encapsulations) -> Result<(Located, Segment), Reject> {
    let reader = SliceReader::whole(frame);
    let located = locate(&reader, encapsulations)?;
    Ok((located, parse::segment(&reader, &located, 0, 0).expect("what was located can be read")))
}

#[test]
fn the_segment_is_found_and_everything_around_it() {
    for shape in shapes() {
        let (located, segment) = read(shape.packet.bytes(), EVERYTHING)
            .unwrap_or_else(|reject| panic!("{}: {reject:?} {:02x?}", shape.name, shape.packet.bytes()));
        let (_, plain) = read(&shape.plain, tunnel::NONE).expect("a plain frame");
        assert_eq!(segment, plain, "{}", shape.name);
        let facts = shape.packet.facts();
        let found = (located.vlan, located.tunnels, located.tunnel_id);
        assert_eq!(found, (facts.vlan, facts.tunnels, facts.tunnel_id.unwrap_or(0)), "{}", shape.name);
        let tunnelled = if facts.tunnels > 0 { TUNNELLED } else { 0 };
        assert_eq!(located.domain(DOMAIN_NONE), tunnelled, "{}: inner and outer never share a key", shape.name);
        assert_eq!(located.domain(DOMAIN_VLAN), tunnelled | u32::from(facts.vlan));
        assert_eq!(located.domain(DOMAIN_TUNNEL) & TUNNELLED, tunnelled);
    }
}

#[test]
fn what_is_off_is_not_looked_into() {
    for shape in shapes() {
        let facts = shape.packet.facts();
        for (name, bit) in NAMES.iter().filter(|(_, bit)| facts.needs & bit != 0) {
            let without = Encapsulations { enabled: tunnel::ALL & !bit, ..EVERYTHING };
            // Tags are walked wherever the walk goes: what is off is going there for their sake.
            if *bit != tunnel::DEEP_VLAN {
                let found = read(shape.packet.bytes(), without).map(|(located, _)| located);
                assert!(found.is_err(), "{} without {name}: {found:?}", shape.name);
            }
        }
        if facts.needs != 0 {
            assert!(read(shape.packet.bytes(), tunnel::NONE).is_err(), "{}", shape.name);
        }
        if let Some(shallow) = facts.tunnels.checked_sub(1) {
            let too_deep = Encapsulations { max_depth: shallow, ..EVERYTHING };
            assert_eq!(read(shape.packet.bytes(), too_deep).err(), Some(Reject::TunnelDepth), "{}", shape.name);
        }
    }
}

#[test]
fn etherparse_reads_the_same_or_nothing() {
    let mut cuts = 0;
    for shape in shapes() {
        let frame = shape.packet.bytes();
        for len in 0..=frame.len() {
            let found = read(&frame[..len], EVERYTHING).ok();
            let ours = found.map(|(_, segment)| segment.record.seq);
            cuts += 1;
            // etherparse does not believe an IP header beyond the frame.
            if found.is_some_and(|(located, _)| located.is_cropped(&SliceReader::whole(&frame[..len]))) {
                assert_eq!(ours, shape.packet.second_opinion(frame.len()), "{}: {len} bytes", shape.name);
                continue;
            }
            assert_eq!(ours, shape.packet.second_opinion(len), "{}: {len} of {} bytes", shape.name, frame.len());
            assert_eq!(ours.is_some(), len == frame.len(), "{}: {len} of {} bytes", shape.name, frame.len());
        }
    }
    assert!(cuts > 15_000, "{cuts}");
}

/// What tshark finds innermost in each frame: TCP sequence number, and the id of a tunnel that has one.
fn tshark(shapes: &[Shape]) -> Vec<[String; 5]> {
    let mut pcap = Pcap::new(ETHERNET);
    for (number, shape) in shapes.iter().enumerate() {
        pcap.push(number as u64 * 1000, shape.packet.bytes());
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("shapes.pcap");
    fs::write(&file, pcap.into_bytes()).expect("written");
    let mut command = Command::new("tshark");
    command.args(["-n", "-o", "tcp.relative_sequence_numbers:FALSE", "-T", "fields", "-E", "occurrence=l", "-r"]);
    command.arg(&file).args(["-d", "udp.port==8472,vxlan"]);
    // A label does not say what it leads to; this one is the catalogue's for frames.
    command.args(["-d", "mpls.label==900,pwethcw"]);
    for field in ["tcp.seq_raw", "vxlan.vni", "geneve.vni", "gtp.teid", "erspan.spanid"] {
        command.args(["-e", field]);
    }
    let output = command.output().expect("tshark runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let row = |line: &str| {
        let mut fields = line.split('\t').map(str::to_owned);
        [(); 5].map(|()| fields.next().unwrap_or_default())
    };
    text.lines().map(row).collect()
}

#[test]
fn tshark_finds_the_same_segments() {
    if tcpdump::missing().contains(&"tshark") {
        say("SKIP tshark_finds_the_same_segments: tshark is not installed");
        return;
    }
    let shapes = shapes();
    let found = tshark(&shapes);
    assert_eq!(found.len(), shapes.len());
    let number =
        |text: &str| text.strip_prefix("0x").map_or_else(|| text.parse().ok(), |hex| u32::from_str_radix(hex, 16).ok());
    let mut wrong = vec![];
    for (shape, fields) in shapes.iter().zip(&found) {
        let ids: Vec<u32> = fields[1..].iter().filter_map(|field| number(field)).collect();
        let id_found = shape.packet.facts().tunnel_id.is_none_or(|id| ids.contains(&id));
        // A frame type that tshark leaves as it is.
        let is_read = fields[0] == shape.seq.to_string() || shape.name.starts_with("ERSPAN III, IP");
        if !is_read || !id_found {
            wrong.push(format!("{}: {fields:?}", shape.name));
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
}

/// The loaded program, and its books as they stand between two drains.
struct Kernel {
    engine: Engine,
    blocks: Array<MapData, [u64; WORDS]>,
}

const WORDS: usize = size_of::<CpuCounters>() / 8;
const BOOKS: usize = std::mem::offset_of!(CpuCounters, counters) / 8;
const HALF: usize = size_of::<EpochCounters>() / 8;
const TCP: usize = std::mem::offset_of!(EpochCounters, tcp) / 8;
const PASSED_FAST: usize = std::mem::offset_of!(EpochCounters, passed_fast) / 8;
const REJECTED: usize = std::mem::offset_of!(EpochCounters, rejected) / 8;

impl Kernel {
    fn load(config: &EngineConfig) -> Self {
        // Every CPU has books of its own.
        sys::pin_to_cpu(0).expect("CPU 0 exists");
        let mut engine = Engine::load(config).expect("the object is accepted by this kernel");
        let info = engine.program().expect("loaded").info().expect("a loaded program has one");
        let ids = info.map_ids().expect("map ids").expect("this kernel tells them");
        let is_control_block =
            |id: &u32| MapInfo::from_id(*id).is_ok_and(|info| info.name_as_str() == Some("CPU_COUNTERS"));
        let id = ids.into_iter().find(is_control_block).expect("the program has books");
        let blocks = Array::try_from(Map::Array(MapData::from_id(id).expect("the map"))).expect("an array");
        Self { engine, blocks }
    }

    /// TCP segments, and rejected frames by reason, in both halves.
    fn counts(&self) -> [u64; 1 + REJECT_REASONS] {
        let block = self.blocks.get(&0, 0).expect("in range");
        let sum = |word: usize| block[BOOKS + word] + block[BOOKS + HALF + word];
        std::array::from_fn(|at| if at == 0 { sum(TCP) + sum(PASSED_FAST) } else { sum(REJECTED + at - 1) })
    }

    fn run(&mut self, frame: &[u8]) {
        let options = TestRunOptions { data_in: Some(frame), ..TestRunOptions::new() };
        self.engine.program().expect("loaded").test_run(options).expect("a test run");
    }

    /// Runs each frame and compares what is counted with what the parser says of it.
    fn agrees<'a>(&mut self, name: &str, frames: impl Iterator<Item = (String, &'a [u8])>) -> u64 {
        let encapsulations = self.engine.config().encapsulations;
        let (mut before, mut compared) = (self.counts(), 0);
        for (what, frame) in frames {
            self.run(frame);
            match read(frame, encapsulations) {
                Ok(_) => before[0] += 1,
                Err(reject) => before[1 + reject as usize] += 1,
            }
            let after = self.counts();
            assert_eq!(after, before, "{name}, {what}: {:?} {frame:02x?}", read(frame, encapsulations));
            compared += 1;
        }
        compared
    }
}

/// Every shape whole, cut at every byte from [`SHORTEST`] on, and with every byte of its headers changed in three ways.
fn compare(config: &EngineConfig, shapes: &[Shape]) -> u64 {
    let mut kernel = Kernel::load(config);
    let mut compared = 0;
    for shape in shapes {
        let frame = shape.packet.bytes();
        compared +=
            kernel.agrees(&shape.name, (SHORTEST..frame.len()).map(|len| (format!("{len} bytes"), &frame[..len])));
        let changed = (12..frame.len()).flat_map(|at| [0x00, 0xff, frame[at] ^ 0x01].map(|byte| (at, byte)));
        for (at, byte) in changed {
            let mut frame = frame.to_vec();
            frame[at] = byte;
            compared += kernel.agrees(&shape.name, [(format!("byte {at} is {byte:02x}"), &frame[..])].into_iter());
        }
        forget(&mut kernel.engine);
        slots_agree(&mut kernel.engine, shape);
        compared += 1;
    }
    compared
}

fn forget(engine: &mut Engine) {
    engine.drain(&mut Recorder::default()).expect("a drain");
}

/// The whole frame, twice: what lies in the slots is what the model has.
fn slots_agree(engine: &mut Engine, shape: &Shape) {
    let mut reference = Reference::new(engine.config());
    for _ in 0..2 {
        let options = TestRunOptions { data_in: Some(shape.packet.bytes()), ..TestRunOptions::new() };
        engine.program().expect("loaded").test_run(options).expect("a test run");
        reference.frame(shape.packet.bytes());
    }
    let mut recorder = Recorder::default();
    let accounting = engine.drain(&mut recorder).expect("a drain");
    assert_eq!((recorder.ranked(), accounting), reference.drain(), "{}", shape.name);
}

fn config(frags: bool, domain: Domain, encapsulations: Encapsulations) -> EngineConfig {
    EngineConfig { frags: Some(frags), domain, encapsulations, slots_per_cpu: 1 << 10, ..EngineConfig::default() }
}

#[test]
fn program_and_parser_agree_on_every_frame() {
    privileged("encapsulation", "program_and_parser_agree_on_every_frame", || {
        let (syn, data) = (catalogue(Inner::Syn), catalogue(Inner::Data));
        let compared = compare(&config(true, Domain::Tunnel, EVERYTHING), &syn)
            + compare(&config(false, Domain::Vlan, EVERYTHING), &data)
            // The fast path touches no other counter.
            + compare(&EngineConfig { depth: Depth::Control, ..config(true, Domain::None, EVERYTHING) }, &data);
        say(&format!("{compared} frames, none of which the program reads differently"));
        assert!(compared > 90_000);
    });
}

#[test]
fn program_and_parser_agree_on_what_is_off() {
    privileged("encapsulation", "program_and_parser_agree_on_what_is_off", || {
        let shapes = catalogue(Inner::Syn);
        // Each is off in one of these and on in the other; a load of each by itself takes the verifier too long.
        let parted = [0x155, 0x2aa].map(|enabled| Encapsulations { enabled: tunnel::ALL & enabled, max_depth: 4 });
        let depths = [0, 1].map(|max_depth| Encapsulations { max_depth, ..EVERYTHING });
        for encapsulations in parted.into_iter().chain(depths).chain([tunnel::NONE]) {
            let mut kernel = Kernel::load(&config(true, Domain::None, encapsulations));
            let whole = shapes.iter().map(|shape| (shape.name.clone(), shape.packet.bytes()));
            kernel.agrees(&format!("{encapsulations:?}"), whole);
        }
    });
}

#[test]
fn the_verifier_takes_every_variant_that_people_can_ask_for() {
    privileged("encapsulation", "the_verifier_takes_every_variant_that_people_can_ask_for", || {
        let base = EngineConfig { opening_sets: 1 << 10, ..config(true, Domain::Tunnel, EVERYTHING) };
        let evidence = EngineConfig { snapshots: true, by_queue: true, ..base.clone() };
        let sockets = EngineConfig { sockets: 4, by_queue: true, ..base.clone() };
        let single = EngineConfig { frags: Some(false), domain: Domain::Vlan, ..evidence.clone() };
        let variants = [("bare", base), ("evidence", evidence), ("sockets", sockets), ("single buffer", single)];
        // Refused, the multi-buffer program would be replaced by the other without a word.
        for (name, variant) in variants {
            for depth in [Depth::Full, Depth::Control, Depth::Auto] {
                let config = EngineConfig { depth, ..variant.clone() };
                let begun = Instant::now();
                let engine = Engine::load(&config).expect("the object is accepted by this kernel");
                assert_eq!(Some(engine.frags()), config.frags);
                say(&format!("{name}, depth {depth:?}: loaded in {:.1} s", begun.elapsed().as_secs_f64()));
            }
        }
    });
}

//! Programs in the kernel and how they are run: ours, the conventional one, and the driver that makes many flows of one
//! frame and calls either. A cost is that of the driver with the program, less that of the driver with the empty one.

use std::{collections::HashMap, io, path::Path};

use aya::{
    Ebpf, EbpfLoader,
    maps::{Array, Map, MapData, ProgramArray},
    programs::{ProgramFd, TestRun as _, TestRunOptions, Xdp},
};
use probe_ebpf::{
    bench_flows::Drive,
    layout::{DEPTH_CONTROL, DEPTH_FULL, DirectionCounters, FlowKey, Segment},
};
use probe_user::source::live::engine::{Depth, Engine, EngineConfig, Sink};

/// A sink that does nothing.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

impl Sink for Nowhere {
    fn transition(&mut self, _: &Segment) {}
    fn count(&mut self, _: &FlowKey, _: &DirectionCounters, _: &DirectionCounters) {}
    fn observe(&mut self, _: &Segment) {}
}

/// Order within a pass that no prefetcher guesses.
pub const SCATTERED: u32 = 0x9e37_79b1;
/// SYN, then FIN and ACK again and again: opens a slot, then hits it.
pub const OPEN_THEN_HIT: u64 = 0x1111_1111_1111_1102;
/// SYN, always.
pub const SYNS: u64 = 0x0202_0202_0202_0202;

/// A frame and where in it the driver writes.
#[derive(Clone, Debug)]
pub struct Template {
    /// The frame.
    pub frame: Vec<u8>,
    /// Offset of the last four bytes of the source address.
    pub source_at: u32,
    /// Offset of the TCP header.
    pub tcp_at: u32,
}

impl Template {
    /// How the driver begins with it: `1 << bits` flows in natural order, every segment a control segment.
    pub fn drive(&self, bits: u32, flags: u64) -> Drive {
        Drive {
            count: 0,
            flags,
            bits,
            turn_bits: 0,
            order: 1,
            first: 0x0a00_0000,
            seq_step: 10,
            control_every: 1,
            left: 0,
            source_at: self.source_at,
            seq_at: self.tcp_at + 4,
            flags_at: self.tcp_at + 12,
            interface: 0,
            offset: u32::from(self.frame[self.tcp_at as usize + 12]),
        }
    }
}

/// What is being measured.
pub enum Subject {
    /// Nothing.
    Empty,
    /// A reading of the clock.
    Clock,
    /// Our program.
    Ours(Box<Engine>),
    /// The conventional one: its name and table size, so that it can be made afresh.
    Conventional(Ebpf, &'static str, u32, Depth),
}

/// The driver, loaded.
pub struct Driver {
    ebpf: Ebpf,
    drive: Array<MapData, [u64; 8]>,
    targets: [ProgramArray<MapData>; 2],
}

fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}

/// The bench-only object: told by `cargo xtask bench`.
fn object() -> io::Result<Vec<u8>> {
    let named = std::env::var_os("RSTPROBE_BENCH_OBJECT").map(Into::into);
    let path = named.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/bpf/bench.o"));
    std::fs::read(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))
}

fn program<'a>(ebpf: &'a mut Ebpf, name: &str) -> io::Result<&'a mut Xdp> {
    let program = ebpf.program_mut(name).ok_or_else(|| other(format!("no program {name}")))?;
    program.try_into().map_err(other)
}

impl Subject {
    /// Our program.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn ours(config: &EngineConfig) -> io::Result<Self> {
        Ok(Self::Ours(Box::new(Engine::load(config).map_err(other)?)))
    }

    /// The conventional program `name` with room for `entries` flows.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub fn conventional(name: &'static str, entries: u32, depth: Depth) -> io::Result<Self> {
        let value = if depth == Depth::Full { DEPTH_FULL } else { DEPTH_CONTROL };
        let map = if name == "conventional_lru" { "FLOWS_LRU" } else { "FLOWS" };
        let mut ebpf = EbpfLoader::new()
            .override_global("DEPTH", &value, true)
            .map_max_entries(map, entries)
            .load(&object()?)
            .map_err(other)?;
        program(&mut ebpf, name)?.load().map_err(other)?;
        Ok(Self::Conventional(ebpf, name, entries, depth))
    }

    /// Forgets every flow.
    ///
    /// # Errors
    /// When that fails in the kernel.
    pub fn clear(&mut self) -> io::Result<()> {
        match self {
            Self::Empty | Self::Clock => {}
            Self::Ours(engine) => {
                engine.drain(&mut Nowhere).map_err(other)?;
            }
            Self::Conventional(_, name, entries, depth) => {
                let (name, entries, depth) = (*name, *entries, *depth);
                // Before the next one is made: both would take the memory at once.
                *self = Self::Empty;
                *self = Self::conventional(name, entries, depth)?;
            }
        }
        Ok(())
    }

    /// The conventional program's hash table.
    pub fn table(&self) -> Option<&MapData> {
        let Self::Conventional(ebpf, ..) = self else { return None };
        match ebpf.map("FLOWS") {
            Some(Map::HashMap(data)) => Some(data),
            _ => None,
        }
    }

    /// The loaded program; `None` for the empty one, which the driver has.
    ///
    /// # Errors
    /// Never after a successful load.
    pub fn program(&mut self) -> io::Result<Option<&mut Xdp>> {
        match self {
            Self::Empty | Self::Clock => Ok(None),
            Self::Ours(engine) => engine.program().map(Some).map_err(other),
            Self::Conventional(ebpf, name, ..) => program(ebpf, name).map(Some),
        }
    }

    /// Whether it accepts multi-buffer frames.
    pub fn is_frags(&self) -> bool {
        match self {
            Self::Ours(engine) => engine.frags(),
            _ => true,
        }
    }
}

impl Driver {
    /// Loads it.
    ///
    /// # Errors
    /// When the object is missing or the kernel refuses it.
    pub fn load() -> io::Result<Self> {
        let mut ebpf = EbpfLoader::new().load(&object()?).map_err(other)?;
        for name in ["drive", "drive_frags", "empty", "empty_frags", "clock_frags", "generate"] {
            program(&mut ebpf, name)?.load().map_err(other)?;
        }
        let mut take = |name: &str| ebpf.take_map(name).ok_or_else(|| other(format!("no map {name}")));
        let targets = [take("TARGET")?, take("TARGET_FRAGS")?];
        let drive = Array::try_from(take("DRIVE")?).map_err(other)?;
        let [one, two] = targets.map(|map| ProgramArray::try_from(map).map_err(other));
        Ok(Self { ebpf, drive, targets: [one?, two?] })
    }

    /// Sets what is to be driven.
    ///
    /// # Errors
    /// When the kernel refuses it.
    pub fn set(&mut self, drive: &Drive) -> io::Result<()> {
        let pair = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
        let words = [
            drive.count,
            drive.flags,
            pair(drive.bits, drive.turn_bits),
            pair(drive.order, drive.first),
            pair(drive.seq_step, drive.control_every),
            pair(drive.left, drive.source_at),
            pair(drive.seq_at, drive.flags_at),
            pair(drive.interface, drive.offset),
        ];
        self.drive.set(0, words, 0).map_err(other)
    }

    /// Segments made since [`Self::set`], and before by its count.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn made(&self) -> io::Result<u64> {
        Ok(self.drive.get(&0, 0).map_err(other)?[0])
    }

    /// Runs `subject` on `repeat` segments: nanoseconds each, driver included. `like` says for an empty subject which of
    /// the two drivers it is to be compared with.
    ///
    /// # Errors
    /// When the kernel refuses, or the program was not reached.
    pub fn run(&mut self, subject: &mut Subject, frags: bool, frame: &[u8], repeat: u64) -> io::Result<f64> {
        let frags = if matches!(subject, Subject::Empty) { frags } else { subject.is_frags() };
        let empty;
        let target: &ProgramFd = if let Some(target) = subject.program()? {
            target.fd().map_err(other)?
        } else {
            let name = match subject {
                Subject::Clock => "clock_frags",
                _ if frags => "empty_frags",
                _ => "empty",
            };
            empty = program(&mut self.ebpf, name)?.fd().map_err(other)?.try_clone()?;
            &empty
        };
        self.aim(target, frags)?;
        self.repeat(frags, frame, repeat)
    }

    /// Has [`Self::repeat`] run `target`; `frags` says whether that accepts multi-buffer frames.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn aim(&mut self, target: &ProgramFd, frags: bool) -> io::Result<()> {
        self.targets[usize::from(frags)].set(0, target, 0).map_err(other)
    }

    /// Runs what was last aimed at on `repeat` segments: nanoseconds each, driver included.
    ///
    /// # Errors
    /// When the kernel refuses, or the program was not reached.
    pub fn repeat(&mut self, frags: bool, frame: &[u8], repeat: u64) -> io::Result<f64> {
        let driver = program(&mut self.ebpf, if frags { "drive_frags" } else { "drive" })?;
        let repeat = u32::try_from(repeat).map_err(other)?;
        let options = TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() };
        let result = driver.test_run(options).map_err(other)?;
        if result.return_value == 0 {
            return Err(other("the measured program was not reached"));
        }
        Ok(result.duration.as_nanos() as f64)
    }

    /// Sends `count` frames as [`Self::set`] says.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn send(&mut self, frame: &[u8], count: u32) -> io::Result<()> {
        let attrs = aya::programs::TestRunAttrs::new().xdp_live_frames(64);
        let options = TestRunOptions { data_in: Some(frame), repeat: count, attrs, ..TestRunOptions::new() };
        program(&mut self.ebpf, "generate")?.test_run(options).map_err(other).map(drop)
    }

    /// The empty program, for attaching.
    ///
    /// # Errors
    /// Never after a successful load.
    pub fn empty(&mut self) -> io::Result<&mut Xdp> {
        program(&mut self.ebpf, "empty_frags")
    }
}

/// Samples by name, in the order in which the names came.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    names: Vec<String>,
    values: HashMap<String, Vec<f64>>,
}

impl Samples {
    /// Adds one.
    pub fn add(&mut self, name: &str, value: f64) {
        if !self.values.contains_key(name) {
            self.names.push(name.to_owned());
        }
        self.values.entry(name.to_owned()).or_default().push(value);
    }

    /// Those of one name.
    pub fn of(&self, name: &str) -> &[f64] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[f64])> {
        self.names.iter().map(|name| (name.as_str(), self.of(name)))
    }

    /// `of / to`, round by round.
    pub fn ratio(&self, of: &str, to: &str) -> Vec<f64> {
        self.of(of).iter().zip(self.of(to)).map(|(of, to)| of / to).collect()
    }
}

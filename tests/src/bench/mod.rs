//! Measuring: what it costs to read, to track, and what others need for the same.
//!
//! A [`Section`] measures one thing and adds rows to the [`Report`]; `bin/bench.rs` runs those that are asked for. What is
//! compared is measured in the same run on the same core. A further section is a module here and a line in [`SECTIONS`].

pub mod afxdp;
pub mod agent;
mod cache_lines;
pub mod capture;
pub mod compression;
pub mod drain;
pub mod hash_flood;
pub mod kernel;
pub mod memory;
pub mod path;
pub mod peers;
pub mod program;
pub mod read;
mod read_threads;
pub mod report;
pub mod scaling;
pub mod tracker;

use std::{io, path::PathBuf};

pub use report::{Report, Row};

/// What a section may use.
#[derive(Clone, Debug)]
pub struct Setting {
    /// The `rstprobe` binary.
    pub binary: PathBuf,
    /// How often each thing is measured; the median counts.
    pub rounds: usize,
    /// The core on which commands run.
    pub core: usize,
    /// Frames of generated captures, at least.
    pub packets: u64,
    /// Time between the frames of a generated capture, microseconds: the shorter, the more connections linger at once.
    pub gap_us: u64,
    /// Seed of generated captures.
    pub seed: u64,
    /// Without what takes long: a million flows and more.
    pub quick: bool,
    /// Only what has this in its name, in the sections that can leave something out (`program`, `drain`, `scaling`, `tracker`).
    pub only: String,
    /// Where captures and what peers write go.
    pub folder: PathBuf,
}

impl Setting {
    /// Whether to measure `what`, or some of it: what is measured of one subject is called `what: subject`.
    pub fn wants(&self, what: &str) -> bool {
        what.contains(&self.only) || self.only.starts_with(what)
    }

    /// Whether to measure `subject` of `what`.
    pub fn wants_of(&self, what: &str, subject: &str) -> bool {
        format!("{what}: {subject}").contains(&self.only)
    }
}

/// One kind of measurement.
pub struct Section {
    /// What selects it.
    pub name: &'static str,
    /// In a line.
    pub about: &'static str,
    /// Does it.
    pub run: fn(&Setting, &mut Report) -> io::Result<()>,
}

/// All of them, in the order in which they run.
pub const SECTIONS: &[Section] = &[
    Section {
        name: "read",
        about: "reading a capture, against other tools, by threads and formats; memory of open connections",
        run: read::run,
    },
    Section {
        name: "compression",
        about: "reading compressed captures against zcat and zstdcat, and writing compressed lines, on all processors",
        run: compression::run,
    },
    Section {
        name: "program",
        about: "what a frame costs in the kernel, by kind and number of flows, against kernel hash tables",
        run: program::run,
    },
    Section {
        name: "path",
        about: "frames over a veth pair on one core: drop all, the conventional design, ours",
        run: path::run,
    },
    Section {
        name: "drain",
        about: "taking what the kernel has collected, against kernel hash tables",
        run: drain::run,
    },
    Section {
        name: "scaling",
        about: "with epochs per second, new flows per second, and CPUs: the agent's share of a core, the program's cost",
        run: scaling::run,
    },
    Section {
        name: "tracker",
        about: "the tracker alone: segments per second, bytes per connection",
        run: tracker::run,
    },
    Section {
        name: "hash_flood",
        about: "flows by somebody who knows the hash and not the seed, against flows by chance (root for the kernel's)",
        run: hash_flood::run,
    },
    Section { name: "afxdp", about: "frames through AF_XDP sockets, beside counting (root)", run: afxdp::run },
];

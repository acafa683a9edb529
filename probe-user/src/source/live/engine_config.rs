//! Engine configuration: what the kernel program records, what becomes of frames, and the sizes of its tables.

use probe_ebpf::{
    layout::{
        Bucket, DEPTH_AUTO, DEPTH_CONTROL, DEPTH_FULL, JournalEntry, LogEntry, OPENING_WAYS, Opening, OpeningSet,
        SLOT_SEGMENTS, SLOTS_PER_BUCKET, Slot,
    },
    tunnel::{self, Encapsulations},
};

use super::{fault_injection::FaultInjection, host_event_format::HostEventFormat};
use crate::source::Domain;

/// What the program records.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Depth {
    /// Only SYN, FIN and RST.
    Control,
    /// Every TCP segment.
    Full,
    /// Every TCP segment, and past the mark (three quarters of a CPU's slots, or half of its log) only SYN, FIN and RST
    /// open slots until the epoch ends; data segments that are refused one are counted (`shed`).
    Auto,
}

/// What becomes of the frame.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// Goes on to the network stack: for hosts and inline sensors.
    Pass,
    /// Ends here: for dedicated mirror ports.
    Drop,
}

/// How the program is loaded.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// What is recorded.
    pub depth: Depth,
    /// What becomes of frames.
    pub action: Action,
    /// Flow slots per CPU and epoch; a power of two, at most 2^20. Each takes 592 bytes in each of two epochs: itself,
    /// its part of the journal and of the index.
    pub slots_per_cpu: u32,
    /// Log entries per CPU and epoch (88 bytes each, in two epochs).
    pub log_per_cpu: u32,
    /// Which id is part of the key.
    pub domain: Domain,
    /// What is looked into, and how deep.
    pub encapsulations: Encapsulations,
    /// Load the program that accepts multi-buffer frames: `None` does where the kernel has such programs.
    pub frags: Option<bool>,
    /// Where `tcp:tcp_send_reset` keeps its fields ([`super::host::ResetFormat::offsets`]); `None` without `--host`.
    pub reset_offsets: Option<[u32; 5]>,
    /// Sets of remembered openings per CPU (a power of two; 30 openings of 72 bytes each, and 64 bytes), with which floods
    /// are told from conversations; 0 for none: then nothing is counted by service.
    pub opening_sets: u32,
    /// Added to kernel times (`CLOCK_MONOTONIC`) to make them nanoseconds since the Unix epoch.
    pub clock_offset_ns: u64,
    /// Where the kernel keeps what it says of connections besides resets; `None` without `--host`.
    pub host_events: Option<HostEventFormat>,
    /// Count frames by interface and queue, too ([`super::engine::Engine::queues`]).
    pub by_queue: bool,
    /// Take snapshots of frames, into the ring buffers that [`super::snapshots::Snapshots`] makes.
    pub snapshots: bool,
    /// AF_XDP sockets that the program has room for; with any, TCP frames of queues that have a socket go there.
    pub sockets: u32,
    /// Have the program log frames that it rejects or finds no room for: only with an object that has the feature.
    pub trace: bool,
    /// None in use.
    pub faults: FaultInjection,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            depth: Depth::Full,
            action: Action::Pass,
            slots_per_cpu: 1 << 14,
            log_per_cpu: 1 << 13,
            domain: Domain::None,
            encapsulations: Encapsulations { enabled: tunnel::ALL, max_depth: 4 },
            frags: None,
            reset_offsets: None,
            host_events: None,
            opening_sets: 0,
            clock_offset_ns: 0,
            by_queue: false,
            snapshots: false,
            sockets: 0,
            trace: false,
            faults: FaultInjection::default(),
        }
    }
}

impl EngineConfig {
    /// Memory of the tables of flows and log, a half for each of two epochs, and of openings, on every possible CPU, bytes.
    pub fn table_bytes(&self, cpus: usize) -> u64 {
        let (slots, log) = (self.slots_per_cpu as usize, self.log_per_cpu as usize);
        let buckets = slots / SLOTS_PER_BUCKET as usize;
        let slot = size_of::<Slot>() + SLOT_SEGMENTS * size_of::<JournalEntry>();
        let tables = 2 * (slots * slot + buckets * size_of::<Bucket>() + log * size_of::<LogEntry>());
        // Openings that floods are told by, of which a set has its ways.
        let openings = self.opening_sets as usize * (size_of::<OpeningSet>() + OPENING_WAYS * size_of::<Opening>());
        (cpus * (tables + openings)) as u64
    }

    /// [`Depth`] as the program knows it.
    pub(super) fn depth_value(&self) -> u32 {
        match self.depth {
            Depth::Control => DEPTH_CONTROL,
            Depth::Full => DEPTH_FULL,
            Depth::Auto => DEPTH_AUTO,
        }
    }

    /// [`Action`] as the program knows it.
    pub(super) fn action_value(&self) -> u32 {
        // enum xdp_action in include/uapi/linux/bpf.h: XDP_DROP 1, XDP_PASS 2.
        match self.action {
            Action::Drop => 1,
            Action::Pass => 2,
        }
    }
}

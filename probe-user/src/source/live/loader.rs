//! Program loader: sets the constants and the table sizes of the kernel program, and has the kernel take it.

use aya::{Ebpf, EbpfLoader};
use probe_ebpf::layout::{ABI_VERSION, SLOT_SEGMENTS, SLOTS_PER_BUCKET};

use super::{LiveError, engine_config::EngineConfig, flood::Flood, queues::QueueMap, verifier};

pub(super) static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/rstprobe.o"));

/// aya-log's most talkative level.
const LOG_EVERYTHING: u8 = 5;

/// Entries of the tables.
pub(super) struct TableSizes {
    /// CPUs that frames may be processed on.
    pub(super) cpus: u32,
    /// Index buckets per CPU and epoch.
    pub(super) buckets_per_cpu: u32,
    /// In all CPUs and epochs: index buckets.
    pub(super) buckets: u32,
    /// Likewise slots.
    pub(super) slots: u32,
    /// Likewise journal entries.
    pub(super) journal: u32,
    /// Likewise log entries.
    pub(super) log: u32,
}

impl TableSizes {
    /// # Errors
    /// [`LiveError::TableSize`] when a table would have more entries than a map can.
    pub(super) fn of(config: &EngineConfig, cpus: usize) -> Result<Self, LiveError> {
        let (slots, log) = (config.slots_per_cpu, config.log_per_cpu);
        let too_large = || LiveError::TableSize { slots, log };
        let cpus = u32::try_from(cpus).map_err(|_| too_large())?;
        let regions = cpus.checked_mul(2).ok_or_else(too_large)?;
        let total = |per_cpu: u32| per_cpu.checked_mul(regions).ok_or_else(too_large);
        let buckets_per_cpu = (slots / SLOTS_PER_BUCKET).max(1);
        let journal_per_cpu = slots.checked_mul(SLOT_SEGMENTS as u32).ok_or_else(too_large)?;
        Ok(Self {
            cpus,
            buckets_per_cpu,
            buckets: total(buckets_per_cpu)?,
            slots: total(slots)?,
            journal: total(journal_per_cpu)?,
            log: total(log)?,
        })
    }
}

/// Values that the loader borrows until the kernel has the program.
pub(super) struct Constants<'a> {
    config: &'a EngineConfig,
    sizes: &'a TableSizes,
    seed: u64,
    depth: u32,
    action: u32,
    domain: u32,
    tunnel_depth: u32,
    by_queue: u32,
    snapshots: u32,
    reset: [u32; 5],
    errors: [u32; 6],
    drops: [u32; 3],
    buffer: [u32; 2],
    /// Drop reasons that are reported, as bits: the lower 64, the upper.
    drop_reasons: [u64; 2],
    log_level: u8,
}

impl<'a> Constants<'a> {
    /// `seed`: of the hash by which flows are found.
    pub(super) fn of(config: &'a EngineConfig, sizes: &'a TableSizes, seed: u64) -> Self {
        let events = config.host_events.as_ref();
        let drops = events.and_then(|events| events.drops.as_ref());
        let reported = drops.map_or(0, |drops| drops.reported);
        Self {
            config,
            sizes,
            seed,
            depth: config.depth_value(),
            action: config.action_value(),
            domain: config.domain.value(),
            tunnel_depth: u32::from(config.encapsulations.max_depth),
            by_queue: u32::from(config.by_queue),
            snapshots: u32::from(config.snapshots),
            reset: config.reset_offsets.unwrap_or_default(),
            errors: events.and_then(|events| events.errors).unwrap_or_default(),
            drops: drops.map(|drops| drops.offsets).unwrap_or_default(),
            buffer: drops.map(|drops| drops.buffer).unwrap_or_default(),
            drop_reasons: [reported as u64, (reported >> 64) as u64],
            log_level: if config.trace { LOG_EVERYTHING } else { 0 },
        }
    }

    /// Has the kernel make the maps and take what is not verified yet.
    ///
    /// # Errors
    /// [`LiveError::Load`] with the kernel's words.
    pub(super) fn load(&self) -> Result<Ebpf, LiveError> {
        let mut loader = EbpfLoader::new();
        loader.verifier_log_level(verifier::LOG_LEVEL);
        self.set_constants(&mut loader);
        self.set_sizes(&mut loader);
        loader.load(OBJECT).map_err(|source| LiveError::Load(Box::new(source)))
    }

    fn set_constants<'b>(&'b self, loader: &mut EbpfLoader<'b>) {
        let config = self.config;
        loader
            // Present only in an object of this very layout; see probe_ebpf::layout::ABI_VERSION.
            .override_global("RSTPROBE_ABI_6", &ABI_VERSION, true)
            .override_global("SLOTS_PER_CPU", &config.slots_per_cpu, true)
            .override_global("BUCKETS_PER_CPU", &self.sizes.buckets_per_cpu, true)
            .override_global("LOG_PER_CPU", &config.log_per_cpu, true)
            .override_global("HASH_SEED", &self.seed, true)
            .override_global("OPENING_SETS_PER_CPU", &config.opening_sets, true)
            .override_global("DEPTH", &self.depth, true)
            .override_global("ACTION", &self.action, true)
            .override_global("DOMAIN", &self.domain, true)
            .override_global("TUNNELS", &config.encapsulations.enabled, true)
            .override_global("TUNNEL_DEPTH", &self.tunnel_depth, true)
            .override_global("LINGER", &config.faults.linger, true)
            .override_global("BY_QUEUE", &self.by_queue, true)
            .override_global("EVIDENCE", &self.snapshots, true)
            // Only an object with the feature `trace` has it.
            .override_global("AYA_LOG_LEVEL", &self.log_level, config.trace)
            .override_global("RESET_SKB_OFFSET", &self.reset[0], true)
            .override_global("RESET_STATE_OFFSET", &self.reset[1], true)
            .override_global("RESET_REASON_OFFSET", &self.reset[2], true)
            .override_global("RESET_SOURCE_OFFSET", &self.reset[3], true)
            .override_global("RESET_DESTINATION_OFFSET", &self.reset[4], true);
        self.set_host_constants(loader);
    }

    fn set_host_constants<'b>(&'b self, loader: &mut EbpfLoader<'b>) {
        const ERRORS: [&str; 6] = [
            "ERROR_OFFSET",
            "ERROR_SOURCE_PORT_OFFSET",
            "ERROR_DESTINATION_PORT_OFFSET",
            "ERROR_PROTOCOL_OFFSET",
            "ERROR_SOURCE_OFFSET",
            "ERROR_DESTINATION_OFFSET",
        ];
        const DROPS: [&str; 3] = ["DROP_SKB_OFFSET", "DROP_PROTOCOL_OFFSET", "DROP_REASON_OFFSET"];
        let named = ERRORS.iter().zip(&self.errors).chain(DROPS.iter().zip(&self.drops));
        for (name, value) in named {
            loader.override_global(name, value, true);
        }
        loader
            .override_global("SKB_HEAD_OFFSET", &self.buffer[0], true)
            .override_global("SKB_NETWORK_HEADER_OFFSET", &self.buffer[1], true)
            .override_global("DROP_REASONS_LOW", &self.drop_reasons[0], true)
            .override_global("DROP_REASONS_HIGH", &self.drop_reasons[1], true);
    }

    fn set_sizes(&self, loader: &mut EbpfLoader<'_>) {
        let (config, sizes) = (self.config, self.sizes);
        let (sets, cpus) = (config.opening_sets, sizes.cpus);
        loader
            .map_max_entries("CPU_COUNTERS", cpus)
            .map_max_entries("INDEX", sizes.buckets)
            .map_max_entries("SLOTS", sizes.slots)
            .map_max_entries("JOURNAL", sizes.journal)
            .map_max_entries("LOG", sizes.log)
            .map_max_entries("SNAPSHOT_RINGS", cpus)
            .map_max_entries("SOCKETS", config.sockets.max(1))
            .map_max_entries("QUEUES", QueueMap::rows(config.by_queue, cpus))
            .map_max_entries("SERVICES", Flood::rows(sets, cpus))
            .map_max_entries("OPENING_SETS", Flood::sets(sets, cpus))
            .map_max_entries("OPENINGS", Flood::openings(sets, cpus));
    }
}

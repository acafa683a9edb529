//! The agent's side of floods: reads the counts by service, and finds the openings of flows that turn out to be
//! conversations.

use aya::Ebpf;
use probe_ebpf::layout::{
    EpochCounters, FlagCounts, FlowKey, LogEntry, OPENING_WAYS, Opening, OpeningSet, SERVICE_ROWS, Segment, ServiceRow,
};

use super::{
    LiveError,
    accounting::Accounting,
    mapping::{Mapping, map},
    services::Services,
};

/// An opening is looked for so long after the last one was refused room (Zeek gives up on a handshake earlier).
const MEMORY_NS: u64 = 60_000_000_000;

/// Maps and sums.
pub(super) struct Flood {
    rows: Mapping<ServiceRow>,
    sets: Mapping<OpeningSet>,
    openings: Mapping<Opening>,
    cpus: usize,
    sets_per_cpu: u32,
    seed: u64,
    /// Time of the opening that was claimed from each place: none is claimed twice.
    claimed: Vec<u64>,
    /// Openings were refused room until then; 0 for never.
    last_ns: u64,
    services: Services,
}

impl Flood {
    /// Entries of the map `SERVICES`.
    pub(super) fn rows(sets_per_cpu: u32, cpus: u32) -> u32 {
        if sets_per_cpu == 0 { 1 } else { 2 * cpus * SERVICE_ROWS as u32 }
    }

    /// Entries of the map `OPENING_SETS`.
    pub(super) fn sets(sets_per_cpu: u32, cpus: u32) -> u32 {
        (sets_per_cpu * cpus).max(1)
    }

    /// Entries of the map `OPENINGS`.
    pub(super) fn openings(sets_per_cpu: u32, cpus: u32) -> u32 {
        (sets_per_cpu * cpus * OPENING_WAYS as u32).max(1)
    }

    /// Maps what the program writes.
    ///
    /// # Errors
    /// The object lacks a map, or the kernel refuses.
    pub(super) fn map(ebpf: &Ebpf, sets_per_cpu: u32, cpus: usize, seed: u64) -> Result<Self, LiveError> {
        let cpu_count = cpus as u32;
        Ok(Self {
            rows: map(ebpf, "SERVICES", Self::rows(sets_per_cpu, cpu_count))?,
            sets: map(ebpf, "OPENING_SETS", Self::sets(sets_per_cpu, cpu_count))?,
            openings: map(ebpf, "OPENINGS", Self::openings(sets_per_cpu, cpu_count))?,
            cpus,
            sets_per_cpu,
            seed,
            claimed: vec![0; Self::openings(sets_per_cpu, cpu_count) as usize],
            last_ns: 0,
            services: Services::default(),
        })
    }

    /// What was counted by service so far.
    pub(super) fn services(&self) -> &Services {
        &self.services
    }

    /// Adds the rows of a region that the program has left, and clears them. Returns by how much they differ from what
    /// its books say.
    pub(super) fn take_rows(&mut self, region: usize, accounting: &EpochCounters) -> u64 {
        let (mut flags, mut data) = (accounting.rowless_flags, accounting.rowless_data);
        for at in region * SERVICE_ROWS..(region + 1) * SERVICE_ROWS {
            let row = self.rows.read(at);
            if row.place == 0 {
                continue;
            }
            self.rows.write(at, ServiceRow::default());
            if !row.is_replaceable() {
                super::accounting::add_flags(&mut flags, &row.flags());
                data += u64::from(row.data);
                self.services.add_row(&row);
            }
        }
        self.services.add_rest(&accounting.rowless_flags, accounting.rowless_data);
        let differs = |pick: fn(&FlagCounts) -> u64| {
            pick(&flags).abs_diff(pick(&accounting.flooded_flags) + pick(&accounting.untracked_flags))
        };
        data.abs_diff(accounting.untracked_data + accounting.shed)
            + differs(|f| f.syn)
            + differs(|f| f.syn_ack)
            + differs(|f| f.fin)
            + differs(|f| f.rst)
    }

    /// Whether openings may be found; `sum`: the books of the epoch that was left at `now_ns`.
    pub(super) fn remembers(&mut self, sum: &Accounting, now_ns: u64) -> bool {
        if sum.flooded > 0 {
            self.last_ns = now_ns;
        }
        self.is_remembering(now_ns)
    }

    /// Whether openings were refused room not too long before `now_ns`.
    pub(super) fn is_remembering(&self, now_ns: u64) -> bool {
        self.last_ns > 0 && now_ns.saturating_sub(self.last_ns) < MEMORY_NS
    }

    /// Notes an opening that the program has recalled by itself on CPU `cpu`; false when it was claimed before.
    pub(super) fn recalled(&mut self, cpu: usize, entry: &LogEntry) -> bool {
        let hash = entry.key.hash(self.seed);
        let set = self.set_of(cpu, hash);
        // A number out of mapped memory is believed as far as there are ways.
        let way = entry.way as usize;
        if way >= OPENING_WAYS {
            return false;
        }
        let claimed = &mut self.claimed[set * OPENING_WAYS + way];
        if std::mem::replace(claimed, entry.record.time_ns) == entry.record.time_ns {
            return false;
        }
        self.services.claim(&Segment { key: entry.key, record: entry.record, first_bytes: 0 });
        true
    }

    fn set_of(&self, cpu: usize, hash: u64) -> usize {
        cpu * self.sets_per_cpu as usize + OpeningSet::of(hash, self.sets_per_cpu) as usize
    }

    /// Appends the openings of `key` that nobody has claimed.
    pub(super) fn claim(&mut self, key: &FlowKey, found: &mut Vec<Segment>) {
        let hash = key.hash(self.seed);
        let tag = OpeningSet::tag(hash);
        for cpu in 0..self.cpus {
            let set = self.set_of(cpu, hash);
            let tags = self.sets.read(set).tags;
            for way in (0..OPENING_WAYS).filter(|&way| tags[way] == tag) {
                let at = set * OPENING_WAYS + way;
                // One that is being replaced just now is none.
                let opening = self.openings.read(at);
                if opening.is_whole(key, hash) && self.claimed[at] != opening.record.time_ns {
                    self.claimed[at] = opening.record.time_ns;
                    let segment = Segment { key: *key, record: opening.record, first_bytes: 0 };
                    self.services.claim(&segment);
                    found.push(segment);
                }
            }
        }
    }
}

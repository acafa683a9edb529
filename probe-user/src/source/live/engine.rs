//! The kernel program and its maps, without an interface: load, flip, drain, balance.
//!
//! The epoch protocol, which everything unsafe here rests on: the program reads [`Control::epoch`] once per frame and
//! writes only that half of the maps. [`Engine::drain`] stores the next epoch number, waits for an RCU grace period
//! (an update of a map of maps does `synchronize_rcu`), and only then reads and clears the half that was left. Frames
//! are processed inside an RCU read-side section, so after the grace period none can still write there.
//!
//! Knows nothing of connections: it feeds a [`Sink`] in time order.
#![expect(unsafe_code, reason = "reads map memory in place, under the epoch protocol")]

use aya::{
    Ebpf,
    maps::{Array, ArrayOfMaps, Map, MapData},
    programs::{Program, ProgramError, Xdp},
};
use probe_ebpf::layout::{ABI_VERSION, Bucket, Control, JournalEntry, LogEntry, OPENING_WAYS, SLOT_SEGMENTS, Slot};

use super::{
    LiveError,
    accounting::Accounting,
    control_block::{self, ControlBlock},
    drain::{Drain, Left, Order},
    flood::Flood,
    kernel_features::{Feature, KernelFeatures},
    loader::{Constants, OBJECT, TableSizes},
    mapping::{Mapping, map},
    privilege,
    queues::{QueueMap, Queues},
    services::Services,
};
pub use super::{
    engine_config::{Action, Depth, EngineConfig},
    fault_injection::FaultInjection,
    sink::Sink,
};

/// The loaded program and its maps.
pub struct Engine {
    ebpf: Ebpf,
    program: &'static str,
    grace: ArrayOfMaps<MapData, Array<MapData, u32>>,
    grace_inner: Array<MapData, u32>,
    control_block: ControlBlock,
    index: Mapping<Bucket>,
    slots: Mapping<Slot>,
    journal: Mapping<JournalEntry>,
    log: Mapping<LogEntry>,
    cpus: usize,
    buckets_per_cpu: usize,
    epoch: u64,
    armed: bool,
    /// [`Control::service_openings`] and [`Control::openings`].
    budget: (u32, u32),
    flood: Option<Flood>,
    queues: Option<QueueMap>,
    config: EngineConfig,
    order: Order,
}

impl Engine {
    /// Loads the program with tables of the configured size.
    ///
    /// # Errors
    /// No object in this binary, wrong sizes, a kernel that refuses program or maps.
    pub fn load(config: &EngineConfig) -> Result<Self, LiveError> {
        if OBJECT.is_empty() {
            return Err(LiveError::NoObject);
        }
        let sets = config.opening_sets;
        if !config.slots_per_cpu.is_power_of_two()
            || config.slots_per_cpu > 1 << 20
            || config.log_per_cpu == 0
            || (sets != 0 && !sets.is_power_of_two())
            || sets > 1 << 17
        {
            return Err(LiveError::TableSize { slots: config.slots_per_cpu, log: config.log_per_cpu });
        }
        let cpus = aya::util::nr_cpus().map_err(|(path, source)| LiveError::Read { what: path.to_string(), source })?;
        let kernel = KernelFeatures::of_this_kernel();
        kernel.check(config)?;
        if kernel.lacks(Feature::MemoryByControlGroup) {
            privilege::raise_locked_memory(config.table_bytes(cpus))?;
        }
        // A refusal of the multi-buffer program by a kernel that has such is an error, never a silent downgrade.
        Self::load_variant(config, cpus, config.frags.unwrap_or(!kernel.lacks(Feature::Frags)))
    }

    fn load_variant(config: &EngineConfig, cpus: usize, frags: bool) -> Result<Self, LiveError> {
        let sizes = TableSizes::of(config, cpus)?;
        let seed: u64 = std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), cpus);
        let mut ebpf = Constants::of(config, &sizes, seed).load()?;
        let program = match (config.sockets > 0, frags) {
            (false, false) => "rstprobe",
            (false, true) => "rstprobe_frags",
            (true, false) => "rstprobe_redirect",
            (true, true) => "rstprobe_redirect_frags",
        };
        xdp(&mut ebpf, program)?.load().map_err(|source| LiveError::Program(Box::new(source)))?;
        let mut engine = Self {
            control_block: ControlBlock::map(&ebpf, sizes.cpus)?,
            index: map(&ebpf, "INDEX", sizes.buckets)?,
            slots: map(&ebpf, "SLOTS", sizes.slots)?,
            journal: map(&ebpf, "JOURNAL", sizes.journal)?,
            log: map(&ebpf, "LOG", sizes.log)?,
            grace: grace(&mut ebpf)?,
            grace_inner: Array::create(1, 0).map_err(LiveError::map("grace"))?,
            ebpf,
            program,
            cpus,
            buckets_per_cpu: sizes.buckets_per_cpu as usize,
            epoch: 0,
            armed: true,
            budget: (u32::MAX, u32::MAX),
            flood: None,
            queues: None,
            config: config.clone(),
            order: Order::default(),
        };
        if config.opening_sets > 0 {
            engine.flood = Some(Flood::map(&engine.ebpf, config.opening_sets, cpus, seed)?);
        }
        if config.by_queue {
            engine.queues = Some(QueueMap::map(&engine.ebpf, sizes.cpus)?);
        }
        engine.tell(0, 0);
        Ok(engine)
    }

    /// The loaded XDP program, for attaching and for test runs.
    ///
    /// # Errors
    /// Never after a successful load.
    pub fn program(&mut self) -> Result<&mut Xdp, LiveError> {
        xdp(&mut self.ebpf, self.program)
    }

    /// Another program of the object, not yet loaded.
    ///
    /// # Errors
    /// The object has no such program.
    pub(super) fn named_program<'a, P>(&'a mut self, name: &'static str) -> Result<&'a mut P, LiveError>
    where
        &'a mut P: TryFrom<&'a mut Program, Error = ProgramError>,
    {
        let program = self.ebpf.program_mut(name).ok_or(LiveError::ObjectLacks(name))?;
        program.try_into().map_err(|source| LiveError::Program(Box::new(source)))
    }

    /// The object itself.
    #[cfg(feature = "trace")]
    pub(super) fn ebpf(&mut self) -> &mut Ebpf {
        &mut self.ebpf
    }

    /// A map of the object that nobody else uses; `None` when it is of another kind.
    pub(super) fn take_map<M: TryFrom<Map>>(&mut self, name: &str) -> Option<M> {
        self.ebpf.take_map(name).and_then(|map| M::try_from(map).ok())
    }

    /// True when the multi-buffer variant is loaded.
    pub fn frags(&self) -> bool {
        self.program.ends_with("_frags")
    }

    /// How it was loaded.
    pub fn config(&self) -> &EngineConfig {
        &self.config
    }

    /// Tells the program the time (`CLOCK_MONOTONIC`, nanoseconds): the coarse clock of segments that are only counted.
    pub fn tick(&mut self, monotonic_ns: u64) {
        self.tell(self.epoch, monotonic_ns);
    }

    /// Lets the program record, or pass every frame unrecorded: several interfaces begin and end as one, although they
    /// are attached one after the other. A new engine is armed.
    pub fn arm(&mut self, armed: bool) {
        self.armed = armed;
        self.tell(self.epoch, self.control_block.control().now_ns);
    }

    fn tell(&mut self, epoch: u64, now_ns: u64) {
        let (service_openings, openings) = self.budget;
        let armed = u64::from(self.armed);
        let remembered = u64::from(self.flood.as_ref().is_some_and(|flood| flood.is_remembering(now_ns)));
        self.control_block.tell(Control { epoch, now_ns, armed, service_openings, openings, remembered });
    }

    /// From now on, how many flows may be opened in one epoch on one CPU: of one service, and of all together. Further
    /// ones are counted by service, and followed only once they show more than an opening. A new engine has no limits.
    pub fn set_budget(&mut self, service_openings: u32, openings: u32) {
        self.budget = (service_openings, openings);
        self.tell(self.epoch, self.control_block.control().now_ns);
    }

    /// What came in on which interface and queue, when that is counted.
    pub fn queues(&self) -> Option<&Queues> {
        self.queues.as_ref().map(QueueMap::queues)
    }

    /// What was counted by service instead of kept per flow.
    pub fn services(&self) -> Option<&Services> {
        self.flood.as_ref().map(Flood::services)
    }

    /// How full the fullest CPU's slots or log are in the running epoch, or how much of its memory of openings was used
    /// in it (all of it counts as eight times full: older openings are overwritten), 0 to 1.
    pub fn occupancy(&self) -> f64 {
        let openings = f64::from(self.config.opening_sets) * OPENING_WAYS as f64 / 8.0;
        self.regions(self.epoch)
            .map(|region| {
                let accounting = self.control_block.accounting(region);
                let slots = f64::from(accounting.slots) / f64::from(self.config.slots_per_cpu);
                let flooded = if openings > 0.0 { accounting.flooded as f64 / openings } else { 0.0 };
                slots.max(f64::from(accounting.log_entries) / f64::from(self.config.log_per_cpu)).max(flooded).min(1.0)
            })
            .fold(0.0, f64::max)
    }

    /// The regions that `epoch` writes, one for each CPU.
    fn regions(&self, epoch: u64) -> impl Iterator<Item = usize> + use<> {
        (0..self.cpus).map(move |cpu| control_block::region(cpu, epoch))
    }

    /// Ends the running epoch, feeds everything it recorded to `sink` in time order, clears it, and returns its books.
    ///
    /// # Errors
    /// The kernel refused the map update that waits for the grace period: then nothing was drained, and the next call
    /// tries again.
    pub fn drain(&mut self, sink: &mut impl Sink) -> Result<Accounting, LiveError> {
        let left = self.epoch;
        let now_ns = self.control_block.control().now_ns;
        self.tell(self.epoch + 1, now_ns);
        if !self.config.faults.no_grace
            && let Err(source) = self.grace.set(0, &self.grace_inner, 0)
        {
            // The program may already write the other half, which is clear; go back so that it stays the running one.
            self.tell(self.epoch, now_ns);
            return Err(LiveError::map("grace")(source));
        }
        self.epoch += 1;
        Ok(self.read_left(left, sink))
    }

    /// Waits until no program is at work any more that was when this was called, as [`Self::drain`] does. It takes what a drain
    /// takes of privileges.
    ///
    /// # Errors
    /// As [`Self::drain`].
    pub fn wait_for_programs(&mut self) -> Result<(), LiveError> {
        self.grace.set(0, &self.grace_inner, 0).map_err(LiveError::map("grace"))
    }

    fn read_left(&mut self, left: u64, sink: &mut impl Sink) -> Accounting {
        let mut order = std::mem::take(&mut self.order);
        let mut flood = self.flood.take();
        let drain = Drain {
            left: self.regions(left).map(|region| self.left(region)).collect(),
            clock_offset_ns: self.config.clock_offset_ns,
            now_ns: self.control_block.control().now_ns,
        };
        let mut sum = drain.feed(&mut order, flood.as_mut(), sink);
        self.flood = flood;
        self.order = order;
        for region in self.regions(left) {
            if let Some(queues) = &mut self.queues {
                sum.queue_difference += queues.take_rows(region, &self.control_block.accounting(region));
            }
            self.clear(region);
        }
        sum
    }

    /// What lies in a region that the program has left.
    fn left(&self, region: usize) -> Left<'_> {
        let accounting = self.control_block.accounting(region);
        let (slots, log) = (self.config.slots_per_cpu as usize, self.config.log_per_cpu as usize);
        // SAFETY: the region's epoch was left and a grace period has passed: see the module docs.
        unsafe {
            Left {
                region,
                cpu: control_block::cpu(region),
                accounting,
                slots: self.slots.quiescent(region * slots, within(accounting.slots, slots)),
                journal: self.journal.quiescent(
                    region * slots * SLOT_SEGMENTS,
                    within(accounting.journal_entries, slots * SLOT_SEGMENTS),
                ),
                log: self.log.quiescent(region * log, within(accounting.log_entries, log)),
            }
        }
    }

    /// Empties the index, from end to end where many buckets are in use: that is cheaper than to look for them.
    fn clear(&mut self, region: usize) {
        let used = within(self.control_block.accounting(region).slots, self.config.slots_per_cpu as usize);
        let (first, index) = (region * self.config.slots_per_cpu as usize, region * self.buckets_per_cpu);
        if used * 4 >= self.buckets_per_cpu {
            self.index.fill(index, self.buckets_per_cpu, Bucket::default());
        } else {
            // SAFETY: as in `left`.
            for slot in unsafe { self.slots.quiescent(first, used) } {
                let bucket = (slot.bucket as usize).min(self.buckets_per_cpu - 1);
                self.index.write(index + bucket, Bucket::default());
            }
        }
        self.control_block.clear(region);
    }
}

/// A length that the program has counted, as far as its region goes: what lies beyond is another CPU's, and perhaps being
/// written. A count beyond it is a difference in the books.
fn within(counted: u32, region: usize) -> usize {
    (counted as usize).min(region)
}

fn xdp<'a>(ebpf: &'a mut Ebpf, name: &'static str) -> Result<&'a mut Xdp, LiveError> {
    let program = ebpf.program_mut(name).ok_or(LiveError::ObjectLacks(name))?;
    program.try_into().map_err(|source| LiveError::Program(Box::new(source)))
}

fn grace(ebpf: &mut Ebpf) -> Result<ArrayOfMaps<MapData, Array<MapData, u32>>, LiveError> {
    let map = ebpf.take_map("GRACE").ok_or(LiveError::ObjectLacks("GRACE"))?;
    ArrayOfMaps::try_from(map).map_err(LiveError::map("GRACE"))
}

const _: () = assert!(ABI_VERSION == 6, "check the drain when the layout changes");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_count_leads_out_of_its_region() {
        assert_eq!([within(0, 64), within(64, 64), within(65, 64), within(u32::MAX, 64)], [0, 64, 64, 64]);
    }
}

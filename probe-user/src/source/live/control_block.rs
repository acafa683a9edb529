//! Control block and counters: what the agent tells the program, and what each CPU counted.

use aya::Ebpf;
use probe_ebpf::layout::{Control, CpuCounters, EpochCounters};

use super::{
    LiveError,
    mapping::{Mapping, map},
};

/// One [`Control`] for all, one [`CpuCounters`] per CPU.
pub(super) struct ControlBlock {
    control: Mapping<Control>,
    counters: Mapping<CpuCounters>,
}

impl ControlBlock {
    /// Maps them.
    ///
    /// # Errors
    /// The object lacks the map, or the kernel refuses.
    pub(super) fn map(ebpf: &Ebpf, cpus: u32) -> Result<Self, LiveError> {
        Ok(Self { control: map(ebpf, "CONTROL", 1)?, counters: map(ebpf, "CPU_COUNTERS", cpus)? })
    }

    /// What the program was last told.
    pub(super) fn control(&self) -> Control {
        self.control.read(0)
    }

    /// Tells the program, on all CPUs at once.
    pub(super) fn tell(&mut self, control: Control) {
        self.control.write(0, control);
    }

    /// The books of a region: those of one CPU in one half.
    pub(super) fn accounting(&self, region: usize) -> EpochCounters {
        let (cpu, offset) = Self::place(region);
        self.counters.read_part(cpu, offset)
    }

    /// Begins the books of a region anew.
    pub(super) fn clear(&mut self, region: usize) {
        let (cpu, offset) = Self::place(region);
        self.counters.write_part(cpu, offset, EpochCounters::default());
    }

    /// CPU and offset within its counters.
    fn place(region: usize) -> (usize, usize) {
        (cpu(region), std::mem::offset_of!(CpuCounters, counters) + region % 2 * size_of::<EpochCounters>())
    }
}

/// The region that the program on `cpu` writes in `epoch`, in every map that has two for each CPU.
pub(super) fn region(cpu: usize, epoch: u64) -> usize {
    2 * cpu + (epoch & 1) as usize
}

/// Whose region it is.
pub(super) fn cpu(region: usize) -> usize {
    region / 2
}

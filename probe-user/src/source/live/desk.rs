//! The agent's side of what each CPU finds in one place: what it is told, and its books.

use aya::Ebpf;
use probe_ebpf::layout::{Control, CpuEpoch, Desk};

use super::{LiveError, engine::map, mapping::Mapping};

/// One [`Desk`] per CPU.
pub(super) struct Desks {
    desks: Mapping<Desk>,
    cpus: usize,
}

impl Desks {
    /// Maps them.
    ///
    /// # Errors
    /// The object lacks the map, or the kernel refuses.
    pub(super) fn map(ebpf: &Ebpf, cpus: u32) -> Result<Self, LiveError> {
        Ok(Self { desks: map(ebpf, "DESKS", cpus)?, cpus: cpus as usize })
    }

    /// What the program was last told.
    pub(super) fn told(&self) -> Control {
        self.desks.read_part(0, std::mem::offset_of!(Desk, control))
    }

    /// Tells the program on every CPU. One after the other: until the last one knows, each goes by its own.
    pub(super) fn tell(&mut self, control: Control) {
        for cpu in 0..self.cpus {
            self.desks.write_part(cpu, std::mem::offset_of!(Desk, control), control);
        }
    }

    /// The books of a region: those of one CPU in one half.
    pub(super) fn books(&self, region: usize) -> CpuEpoch {
        let (cpu, offset) = Self::place(region);
        self.desks.read_part(cpu, offset)
    }

    /// Begins the books of a region anew.
    pub(super) fn clear(&mut self, region: usize) {
        let (cpu, offset) = Self::place(region);
        self.desks.write_part(cpu, offset, CpuEpoch::default());
    }

    /// CPU and offset within its desk.
    fn place(region: usize) -> (usize, usize) {
        (cpu(region), std::mem::offset_of!(Desk, books) + region % 2 * size_of::<CpuEpoch>())
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

//! One ring between the kernel and us: single producer, single consumer, counters that only grow (af_xdp.rst, "Rings").
//!
//! The same code works over the memory of a socket and over ordinary memory, where a test plays the kernel's part with
//! the other end of the same ring.

use std::sync::{
    Arc,
    atomic::Ordering::{Acquire, Relaxed, Release},
};

use super::kernel::Memory;

/// Where the parts of a ring are in its memory, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Layout {
    /// How many entries were ever written.
    pub(super) producer: usize,
    /// How many were ever taken.
    pub(super) consumer: usize,
    /// `XDP_RING_NEED_WAKEUP`.
    pub(super) flags: usize,
    /// The entries.
    pub(super) entries: usize,
}

/// One end of a ring whose entries are `WORDS` double words: 1 in the fill ring, 2 in the receive ring.
#[derive(Debug)]
pub(super) struct Ring<const WORDS: usize> {
    memory: Arc<Memory>,
    layout: Layout,
    size: u32,
    /// Our own counter: what this end has written or taken.
    own: u32,
}

impl<const WORDS: usize> Ring<WORDS> {
    /// An end of a ring of `size` entries, a power of two; it goes on where the counters are.
    pub(super) fn producing(memory: Arc<Memory>, layout: Layout, size: u32) -> Self {
        assert!(size.is_power_of_two());
        let own = memory.word32(layout.producer).load(Relaxed);
        Self { memory, layout, size, own }
    }

    /// As [`Self::producing`], for the end that takes.
    pub(super) fn consuming(memory: Arc<Memory>, layout: Layout, size: u32) -> Self {
        assert!(size.is_power_of_two());
        let own = memory.word32(layout.consumer).load(Relaxed);
        Self { memory, layout, size, own }
    }

    /// True when the other end wants to be woken.
    pub(super) fn needs_wakeup(&self) -> bool {
        self.memory.word32(self.layout.flags).load(Relaxed) & libc::XDP_RING_NEED_WAKEUP != 0
    }

    /// Room for new entries.
    pub(super) fn free(&self) -> u32 {
        // Acquire: an entry is overwritten only after the other end has read it.
        let taken = self.memory.word32(self.layout.consumer).load(Acquire);
        self.size.saturating_sub(self.own.wrapping_sub(taken))
    }

    /// Entries that can be taken.
    pub(super) fn waiting(&self) -> u32 {
        // Acquire: the entry, and the frame it tells of, are read only after the other end has written them.
        let written = self.memory.word32(self.layout.producer).load(Acquire);
        written.wrapping_sub(self.own).min(self.size)
    }

    fn entry(&self, index: u32) -> usize {
        self.layout.entries + (index & (self.size - 1)) as usize * 8 * WORDS
    }

    /// Writes an entry, not yet to be seen by the other end; there is [`Self::free`].
    pub(super) fn write(&mut self, entry: [u64; WORDS]) {
        let at = self.entry(self.own);
        for (word, value) in entry.into_iter().enumerate() {
            self.memory.word64(at + 8 * word).store(value, Relaxed);
        }
        self.own = self.own.wrapping_add(1);
    }

    /// Shows what was written.
    pub(super) fn publish(&mut self) {
        self.memory.word32(self.layout.producer).store(self.own, Release);
    }

    /// Takes an entry, whose place is not yet free; there is one [`Self::waiting`].
    pub(super) fn take(&mut self) -> [u64; WORDS] {
        let at = self.entry(self.own);
        self.own = self.own.wrapping_add(1);
        std::array::from_fn(|word| self.memory.word64(at + 8 * word).load(Relaxed))
    }

    /// Frees the places of what was taken.
    pub(super) fn release(&mut self) {
        self.memory.word32(self.layout.consumer).store(self.own, Release);
    }
}

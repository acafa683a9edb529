//! The agent's side of counts by interface and queue: what each CPU counted in each epoch, added up.

use std::collections::BTreeMap;

use aya::Ebpf;
use probe_ebpf::layout::{EpochCounters, QUEUE_ROWS, QueueRow};

use super::{
    LiveError,
    mapping::{Mapping, map},
};

/// What came in at one place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueCount {
    /// Frames that the program was called for, or, of what a host itself sends, packets before segmentation offload.
    pub frames: u64,
    /// Their bytes, link header included; of a multi-buffer frame, those of its first buffer.
    pub bytes: u64,
}

impl QueueCount {
    fn add(&mut self, frames: u64, bytes: u64) {
        self.frames += frames;
        self.bytes += bytes;
    }
}

/// Sums since the program was loaded.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Queues {
    of: BTreeMap<(u32, u32), QueueCount>,
    rest: QueueCount,
}

impl Queues {
    /// The queues of an interface that anything came in at, in order. What the host sent there is at
    /// [`probe_ebpf::frame_snapshot::OUTGOING`].
    pub fn of(&self, interface: u32) -> impl Iterator<Item = (u32, QueueCount)> {
        self.of.range((interface, 0)..=(interface, u32::MAX)).map(|(&(_, queue), &count)| (queue, count))
    }

    /// What came in where there was no row for: more queues than a CPU has rows.
    pub fn rest(&self) -> QueueCount {
        self.rest
    }
}

/// The rows that the program writes, and their sums.
pub(super) struct QueueMap {
    rows: Mapping<QueueRow>,
    queues: Queues,
}

impl QueueMap {
    /// Entries of the map `QUEUES`.
    pub(super) fn rows(by_queue: bool, cpus: u32) -> u32 {
        if by_queue { 2 * cpus * QUEUE_ROWS as u32 } else { 1 }
    }

    /// Maps what the program writes.
    ///
    /// # Errors
    /// The object lacks the map, or the kernel refuses.
    pub(super) fn map(ebpf: &Ebpf, cpus: u32) -> Result<Self, LiveError> {
        Ok(Self { rows: map(ebpf, "QUEUES", Self::rows(true, cpus))?, queues: Queues::default() })
    }

    /// What was counted so far.
    pub(super) fn queues(&self) -> &Queues {
        &self.queues
    }

    /// Adds the rows of a region that the program has left, and clears them. Returns by how much they differ from what
    /// its books say.
    pub(super) fn take_rows(&mut self, region: usize, accounting: &EpochCounters) -> u64 {
        let (mut frames, mut bytes) = (accounting.rowless_frames, accounting.rowless_bytes);
        self.queues.rest.add(frames, bytes);
        for at in region * QUEUE_ROWS..(region + 1) * QUEUE_ROWS {
            let row = self.rows.read(at);
            if row.place == 0 {
                continue;
            }
            self.rows.write(at, QueueRow::default());
            frames += row.frames;
            bytes += row.bytes;
            self.queues.of.entry(row.at()).or_default().add(row.frames, row.bytes);
        }
        frames.abs_diff(accounting.all_frames()) + bytes.abs_diff(accounting.frame_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interface_has_its_own_queues_only() {
        let count = |frames| QueueCount { frames, bytes: 60 * frames };
        let of = [((3, 1), count(1)), ((4, 0), count(2)), ((4, u32::MAX), count(3)), ((5, 0), count(4))].into();
        let queues = Queues { of, rest: count(9) };
        assert_eq!(queues.of(4).collect::<Vec<_>>(), [(0, count(2)), (u32::MAX, count(3))]);
        assert_eq!((queues.of(6).count(), queues.rest()), (0, count(9)));
    }
}

//! Queue counters: frames and bytes of one interface and receive queue.

/// What the program was called for on one interface and queue, on one CPU in one epoch.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct QueueRow {
    /// Interface index, and the queue above it as in [`crate::frame_snapshot::Snapshot::queue`]; 0 when the row is free.
    pub place: u64,
    /// Frames.
    pub frames: u64,
    /// Bytes of those frames, as [`super::EpochCounters::frame_bytes`].
    pub bytes: u64,
    /// Must be 0.
    pub pad: u64,
}

/// Rows per CPU and epoch; a power of two.
pub const QUEUE_ROWS: usize = 64;
/// Rows in which one queue may be.
pub const QUEUE_PROBES: usize = 8;

impl QueueRow {
    /// [`Self::place`] of a queue of an interface.
    #[inline(always)]
    #[must_use]
    pub const fn place(interface: u32, queue: u32) -> u64 {
        interface as u64 | (queue as u64) << 32
    }

    /// Interface index and queue.
    #[must_use]
    pub const fn at(&self) -> (u32, u32) {
        (self.place as u32, (self.place >> 32) as u32)
    }

    /// First of the rows, counted from 0 and going round, in which a queue may be.
    #[inline(always)]
    #[must_use]
    pub const fn first(place: u64) -> u32 {
        // Queues of one interface lie next to each other, interfaces far apart.
        (place as u32).wrapping_mul(0x9e37_79b1).wrapping_add((place >> 32) as u32) & (QUEUE_ROWS as u32 - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_names_its_queue() {
        for (interface, queue) in [(1, 0), (7, 63), (u32::MAX, 1 << 31)] {
            let place = QueueRow::place(interface, queue);
            assert_eq!(QueueRow { place, ..QueueRow::default() }.at(), (interface, queue));
            assert!((QueueRow::first(place) as usize) < QUEUE_ROWS);
        }
        let queues: [u32; QUEUE_ROWS] = core::array::from_fn(|queue| QueueRow::first(QueueRow::place(3, queue as u32)));
        assert!((1..QUEUE_ROWS).all(|queue| !queues[..queue].contains(&queues[queue])), "each has a row of its own");
    }
}

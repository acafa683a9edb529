//! Cache line bench: what memory alone costs, whatever the code: the cache lines that a segment or a drained entry consists of, in ordinary
//! memory of this process laid out as the tables are. What the program or the drain takes beyond that is instructions.

use std::{
    hint::black_box,
    io,
    time::{Duration, Instant},
};

use probe_ebpf::{
    bench_flows::flow_at,
    layout::{Bucket, JournalEntry, SLOTS_PER_BUCKET, SegmentRecord, Slot},
};

use super::kernel::SCATTERED;
use crate::sys::measure;

const LINE: usize = 64;

/// A block of small pages, as the kernel's tables have: `len` items of `size` bytes.
struct Block {
    bytes: Vec<u8>,
    size: usize,
}

impl Block {
    fn new(len: usize, size: usize) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(len * size + LINE);
        measure::on_small_pages(bytes.spare_capacity_mut())?;
        bytes.resize(len * size + LINE, 0);
        Ok(Self { bytes, size })
    }

    fn word(&self, item: usize, offset: usize) -> u64 {
        let at = item * self.size + offset;
        u64::from(self.bytes[at])
    }

    fn dirty(&mut self) {
        for byte in self.bytes.iter_mut().step_by(8) {
            *byte = 0;
        }
        black_box(&self.bytes);
    }
}

fn per(count: usize, took: Duration) -> f64 {
    took.as_secs_f64() * 1e9 / count as f64
}

/// Nanoseconds for two loads of which the second waits for the first, as a segment's way through the index to its slot,
/// each flow once and in no order.
///
/// # Errors
/// When the memory cannot be had.
pub(super) fn chased(bits: u32, rounds: usize) -> io::Result<Vec<f64>> {
    let count = 1_usize << bits;
    let index = Block::new((count / SLOTS_PER_BUCKET as usize).max(1), size_of::<Bucket>())?;
    let slots = Block::new(count, size_of::<Slot>())?;
    let one = || {
        let mut last = 0;
        let begun = Instant::now();
        for turn in 0..count {
            // `last` is 0, which only the loads can tell. The same order as the program sees: a product alone is a stride,
            // which processors foresee.
            let flow = flow_at((turn + last) as u32, bits, SCATTERED) as usize;
            let found = index.word(flow / SLOTS_PER_BUCKET as usize, 0) as usize;
            last = slots.word(flow + found, 0) as usize;
        }
        let took = begun.elapsed();
        black_box(last);
        per(count, took)
    };
    // The first round warms up.
    Ok((0..=rounds).map(|_| one()).skip(1).collect())
}

/// Nanoseconds for reading the lines of a drained entry with two segments once, and clearing its part of the index: three
/// lines of its slot and its part of the journal, all in order.
///
/// # Errors
/// When the memory cannot be had.
pub(super) fn drained(bits: u32, rounds: usize) -> io::Result<Vec<f64>> {
    let count = 1_usize << bits;
    let mut slots = Block::new(count, size_of::<Slot>())?;
    let mut journal = Block::new(2 * count, size_of::<JournalEntry>())?;
    let mut index = Block::new(count / SLOTS_PER_BUCKET as usize, size_of::<Bucket>())?;
    let mut one = || {
        slots.dirty();
        journal.dirty();
        index.dirty();
        let begun = Instant::now();
        let mut sum = 0;
        for item in 0..count {
            sum += slots.word(item, 0) + slots.word(item, LINE) + slots.word(item, 2 * LINE);
            sum += journal.word(2 * item, 0) + journal.word(2 * item + 1, size_of::<SegmentRecord>());
        }
        index.bytes.fill(0);
        black_box((sum, &index.bytes));
        per(count, begun.elapsed())
    };
    Ok((0..=rounds).map(|_| one()).skip(1).collect())
}

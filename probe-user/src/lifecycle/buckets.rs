//! Entries by bucket, a few at a time in blocks that any bucket may take: what one has given up the next uses again.
//!
//! A vector per bucket would keep, in each, memory for the most that ever was in any.

/// Entries of a block: with the rest two lines of memory.
const ENTRIES: usize = 15;
/// Blocks that memory is asked for at first.
const BLOCKS: usize = 1024;
/// No block.
const NONE: u32 = u32::MAX;

/// Some of the entries of one bucket.
#[derive(Clone, Debug)]
#[repr(align(64))]
struct Block {
    entries: [u64; ENTRIES],
    /// How many of them are in use.
    used: u32,
    /// The block with those that came before, or the next free one.
    next: u32,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Buckets {
    /// The latest block of each bucket.
    heads: Vec<u32>,
    blocks: Vec<Block>,
    /// The first of those that no bucket has.
    free: u32,
}

impl Buckets {
    pub(super) fn new(buckets: usize) -> Self {
        Self { heads: vec![NONE; buckets], blocks: Vec::with_capacity(BLOCKS), free: NONE }
    }

    /// Whether there are no entries at all.
    pub(super) fn are_empty(&self) -> bool {
        self.heads.iter().all(|&head| head == NONE)
    }

    /// Adds an entry to a bucket.
    #[inline]
    pub(super) fn put(&mut self, bucket: usize, entry: u64) {
        let head = self.heads[bucket];
        if let Some(block) = self.blocks.get_mut(head as usize)
            && let Some(free) = block.entries.get_mut(block.used as usize)
        {
            *free = entry;
            block.used += 1;
            return;
        }
        self.heads[bucket] = self.begin(entry, head);
    }

    /// A block with this entry, in front of another.
    fn begin(&mut self, entry: u64, next: u32) -> u32 {
        let at = self.free;
        if let Some(block) = self.blocks.get_mut(at as usize) {
            self.free = block.next;
            block.entries[0] = entry;
            (block.used, block.next) = (1, next);
            return at;
        }
        let mut entries = [0; ENTRIES];
        entries[0] = entry;
        self.blocks.push(Block { entries, used: 1, next });
        (self.blocks.len() - 1) as u32
    }

    /// Moves all entries of a bucket to `into`.
    pub(super) fn empty(&mut self, bucket: usize, into: &mut Vec<u64>) {
        let mut at = std::mem::replace(&mut self.heads[bucket], NONE);
        while let Some(block) = self.blocks.get_mut(at as usize) {
            into.extend(block.entries.iter().take(block.used as usize));
            let next = std::mem::replace(&mut block.next, self.free);
            self.free = at;
            at = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bucket_has_its_own_and_blocks_are_used_again() {
        let mut buckets = Buckets::new(4);
        let mut entries = Vec::new();
        for round in 0..100_u64 {
            assert!(buckets.are_empty());
            for number in 0..100 {
                buckets.put((number % 3) as usize, round << 32 | number);
            }
            for bucket in 0..4 {
                entries.clear();
                buckets.empty(bucket, &mut entries);
                entries.sort_unstable();
                let own = |number: &u64| number % 3 == bucket as u64;
                let expected: Vec<u64> = (0..100).filter(own).map(|number| round << 32 | number).collect();
                assert_eq!(entries, if bucket == 3 { vec![] } else { expected });
            }
        }
        assert_eq!(buckets.blocks.len(), 3 * 34_usize.div_ceil(ENTRIES), "as many as were in use at once");
    }
}

//! Entries by bucket, a few at a time in blocks that any bucket may take: what one has given up the next uses again.
//!
//! A vector per bucket would keep, in each, memory for the most that ever was in any. Which blocks are whose is kept apart
//! from them, in little memory: an entry is put away without a look at those before, and where all of a bucket are is
//! known before the first is read.

/// Entries of a block: two lines of memory.
const ENTRIES: usize = 16;
/// Blocks that memory is asked for at first.
const BLOCKS: usize = 1024;
/// No block.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block([u64; ENTRIES]);

/// The latest block of a bucket.
#[derive(Clone, Copy, Debug)]
struct Head {
    block: u32,
    /// Entries in it; those before it are full.
    used: u32,
}

impl Head {
    const NONE: Self = Self { block: NONE, used: ENTRIES as u32 };
}

/// See the module.
#[derive(Debug)]
pub(super) struct Buckets {
    heads: Vec<Head>,
    blocks: Vec<Block>,
    /// By block: the one that the same bucket filled before it, or the next that no bucket has.
    before: Vec<u32>,
    /// The first of those that no bucket has.
    free: u32,
}

impl Buckets {
    pub(super) fn new(buckets: usize) -> Self {
        let (blocks, before) = (Vec::with_capacity(BLOCKS), Vec::with_capacity(BLOCKS));
        Self { heads: vec![Head::NONE; buckets], blocks, before, free: NONE }
    }

    /// Whether there are no entries at all.
    pub(super) fn are_empty(&self) -> bool {
        self.heads.iter().all(|head| head.block == NONE)
    }

    /// Adds an entry to a bucket.
    #[inline]
    pub(super) fn put(&mut self, bucket: usize, entry: u64) {
        let head = &mut self.heads[bucket];
        if head.used as usize == ENTRIES {
            let block = self.free;
            if let Some(before) = self.before.get_mut(block as usize) {
                self.free = std::mem::replace(before, head.block);
                *head = Head { block, used: 0 };
            } else {
                *head = Self::open(&mut self.blocks, &mut self.before, head.block);
            }
        }
        if let Some(block) = self.blocks.get_mut(head.block as usize) {
            block.0[head.used as usize % ENTRIES] = entry;
            head.used += 1;
        }
    }

    /// A block that was never in use.
    #[cold]
    fn open(blocks: &mut Vec<Block>, befores: &mut Vec<u32>, before: u32) -> Head {
        blocks.push(Block([0; ENTRIES]));
        befores.push(before);
        Head { block: (blocks.len() - 1) as u32, used: 0 }
    }

    /// Moves all entries of a bucket to `into`.
    pub(super) fn empty(&mut self, bucket: usize, into: &mut Vec<u64>) {
        let Head { mut block, mut used } = std::mem::replace(&mut self.heads[bucket], Head::NONE);
        while let (Some(Block(entries)), Some(before)) =
            (self.blocks.get(block as usize), self.before.get_mut(block as usize))
        {
            into.extend(entries.iter().take(used as usize));
            let next = std::mem::replace(before, self.free);
            self.free = block;
            (block, used) = (next, ENTRIES as u32);
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

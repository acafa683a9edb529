//! Timer buckets: entries of the timer wheel's buckets, in linked blocks of 16 from one shared pool, so that a bucket has
//! no fixed capacity. Number and width of buckets are `timer_wheel`'s.
//!
//! A vector per bucket would keep, in each, memory for the most that ever was in any. Which blocks are whose is kept apart
//! from them, in little memory: an entry is put away without a look at those before, and where all of a bucket are is
//! known before the first is read. Memory for many that are gone is given back, so that a flood is forgotten.

/// Entries of a block: two lines of memory. Not aligned to lines: what is aligned cannot grow without being copied.
const ENTRIES: usize = 16;
/// Blocks that memory is asked for at first.
const BLOCKS: usize = 1024;
/// With more of them, of which hardly any are in use, all move to as few as they need.
const MANY_BLOCKS: usize = 8192;
/// "Hardly any": one in so many. Moving costs less than what has come and gone since it was done last.
const HARDLY_ANY: usize = 8;
/// No block.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
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
pub(crate) struct Buckets {
    heads: Vec<Head>,
    blocks: Vec<Block>,
    /// By block: the one that the same bucket filled before it, or the next that no bucket has.
    before: Vec<u32>,
    /// The first of those that no bucket has.
    free: u32,
    /// How many buckets have.
    used: usize,
}

impl Buckets {
    pub(crate) fn new(buckets: usize) -> Self {
        let (blocks, before) = (Vec::with_capacity(BLOCKS), Vec::with_capacity(BLOCKS));
        Self { heads: vec![Head::NONE; buckets], blocks, before, free: NONE, used: 0 }
    }

    /// Whether there are no entries at all.
    pub(crate) fn are_empty(&self) -> bool {
        self.heads.iter().all(|head| head.block == NONE)
    }

    /// Adds an entry to a bucket.
    #[inline]
    pub(crate) fn put(&mut self, bucket: usize, entry: u64) {
        let head = &mut self.heads[bucket];
        if head.used as usize == ENTRIES {
            self.used += 1;
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
    pub(crate) fn empty(&mut self, bucket: usize, into: &mut Vec<u64>) {
        self.take(bucket, into);
        if self.blocks.len() > MANY_BLOCKS && self.used * HARDLY_ANY < self.blocks.len() {
            self.move_together();
        }
    }

    fn take(&mut self, bucket: usize, into: &mut Vec<u64>) {
        let Head { mut block, mut used } = std::mem::replace(&mut self.heads[bucket], Head::NONE);
        while let (Some(Block(entries)), Some(before)) =
            (self.blocks.get(block as usize), self.before.get_mut(block as usize))
        {
            into.extend(entries.iter().take(used as usize));
            let next = std::mem::replace(before, self.free);
            self.free = block;
            self.used -= 1;
            (block, used) = (next, ENTRIES as u32);
        }
    }

    #[cold]
    fn move_together(&mut self) {
        let mut together = Self::new(self.heads.len());
        let mut entries = Vec::new();
        for bucket in 0..self.heads.len() {
            self.take(bucket, &mut entries);
            for entry in entries.drain(..) {
                together.put(bucket, entry);
            }
        }
        *self = together;
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

    #[test]
    fn a_flood_is_forgotten() {
        let mut buckets = Buckets::new(4);
        let (flood, others) = (MANY_BLOCKS * ENTRIES + 1, HARDLY_ANY * ENTRIES);
        (0..flood as u64).for_each(|number| buckets.put(0, number));
        (0..others as u64).for_each(|number| buckets.put(1 + (number % 2) as usize, number));
        let mut entries = Vec::new();
        buckets.empty(0, &mut entries);
        assert_eq!(entries.len(), flood);
        assert!(buckets.blocks.len() <= 2 * HARDLY_ANY, "{} blocks", buckets.blocks.len());
        for bucket in [1, 2] {
            entries.clear();
            buckets.empty(bucket, &mut entries);
            entries.sort_unstable();
            let expected: Vec<u64> = (0..others as u64).filter(|number| number % 2 + 1 == bucket as u64).collect();
            assert_eq!(entries, expected);
        }
        assert!(buckets.are_empty() && buckets.used == 0);
    }
}

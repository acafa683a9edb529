//! Where connections live: chunks that never move, and an index from key to place.

use hashbrown::HashTable;
use probe_ebpf::layout::FlowKey;

use super::track::Track;

const CHUNK: usize = 1024;

/// Slab of connections with an index by key.
#[derive(Debug)]
pub(super) struct Table {
    chunks: Vec<Vec<Option<Track>>>,
    free: Vec<u32>,
    index: HashTable<u32>,
    seed: u64,
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), index: HashTable::new(), seed }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn find(&self, key: &FlowKey) -> Option<u32> {
        let chunks = &self.chunks;
        self.index
            .find(key.hash(self.seed), |&slot| at(chunks, slot).is_some_and(|track| is_same(&track.key, key)))
            .copied()
    }

    pub(super) fn get(&self, slot: u32) -> Option<&Track> {
        at(&self.chunks, slot)
    }

    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Track> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)?.as_mut()
    }

    /// Puts a connection in; there is none of its key.
    pub(super) fn insert(&mut self, track: Track) -> u32 {
        let key = track.key;
        let slot = self.place(track);
        let (chunks, seed) = (&self.chunks, self.seed);
        let rehash = |&slot: &u32| at(chunks, slot).map_or(0, |track| track.key.hash(seed));
        self.index.insert_unique(key.hash(seed), slot, rehash);
        slot
    }

    fn place(&mut self, track: Track) -> u32 {
        if let Some(slot) = self.free.pop() {
            self.chunks[slot as usize / CHUNK][slot as usize % CHUNK] = Some(track);
            return slot;
        }
        if self.chunks.last().is_none_or(|chunk| chunk.len() == CHUNK) {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let chunk = self.chunks.len() - 1;
        self.chunks[chunk].push(Some(track));
        (chunk * CHUNK + self.chunks[chunk].len() - 1) as u32
    }

    /// Brings connections near: many at once, so that the waits for memory overlap.
    pub(super) fn warm(&self, slots: impl Iterator<Item = u32>) {
        let touched = slots.filter_map(|slot| self.get(slot)).map(Track::touch).fold(0, |all, one| all ^ one);
        std::hint::black_box(touched);
    }

    /// Takes a connection out.
    pub(super) fn remove(&mut self, slot: u32) -> Option<Track> {
        let track = self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)?.take()?;
        if let Ok(entry) = self.index.find_entry(track.key.hash(self.seed), |&other| other == slot) {
            entry.remove();
        }
        self.free.push(slot);
        Some(track)
    }

    /// Up to `count` slots in use from `from` on, going round.
    pub(super) fn next_slots(&self, from: u32, count: usize) -> Vec<u32> {
        let total = self.chunks.iter().map(Vec::len).sum::<usize>() as u32;
        let from = if from < total { from } else { 0 };
        (from..total).chain(0..from).filter(|&slot| self.get(slot).is_some()).take(count).collect()
    }

    /// Slots in use, in order of place.
    pub(super) fn slots(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().enumerate().flat_map(|(chunk, tracks)| {
            let used = tracks.iter().enumerate().filter(|(_, track)| track.is_some());
            used.map(move |(at, _)| (chunk * CHUNK + at) as u32)
        })
    }
}

/// Equality without a call to memcmp.
#[inline]
fn is_same(a: &FlowKey, b: &FlowKey) -> bool {
    a.words.iter().zip(&b.words).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

fn at(chunks: &[Vec<Option<Track>>], slot: u32) -> Option<&Track> {
    chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?.as_ref()
}

//! Where connections live: chunks that never move, and an index from key to place.

use probe_ebpf::layout::FlowKey;

use super::evidence::Rare;
use super::hash::hash;
use super::index::Index;
use super::track::Track;
use super::wheel::AHEAD;

const CHUNK: usize = 1024;

/// Where a key is looked for: its hash, and the slot where it was likely to be at some time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Place {
    pub(super) hash: u64,
    pub(super) slot: u32,
}

/// No slot.
const NOWHERE: u32 = u32::MAX;

/// Slab of connections with an index by key.
#[derive(Debug)]
pub(super) struct Table {
    chunks: Vec<Vec<Option<Track>>>,
    free: Vec<u32>,
    index: Index,
    seed: u64,
}

impl Table {
    pub(super) fn new(seed: u64) -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), index: Index::new(), seed }
    }

    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    /// By which a key is found.
    #[inline]
    pub(super) fn hash(&self, key: &FlowKey) -> u64 {
        hash(key, self.seed)
    }

    /// Where to look for a key.
    #[inline]
    pub(super) fn place_of(&self, key: &FlowKey) -> Place {
        Place { hash: self.hash(key), slot: NOWHERE }
    }

    pub(super) fn find(&self, key: &FlowKey) -> Option<u32> {
        self.find_at(self.place_of(key), key)
    }

    /// As [`Self::find`], where it was said to be looked for.
    #[inline]
    pub(super) fn find_at(&self, place: Place, key: &FlowKey) -> Option<u32> {
        let is_there = |slot: u32| self.get(slot).is_some_and(|track| track.key.same(key));
        // It may be somewhere else by now.
        if is_there(place.slot) { Some(place.slot) } else { self.index.find(place.hash, is_there) }
    }

    /// Brings the connections of these hashes near: what memory has to be waited for is waited for at the same time.
    #[inline]
    pub(super) fn approach(&self, places: &mut [Place]) {
        let guessed = places.iter().map(|place| self.index.guess(place.hash)).fold(0, |all, one| all ^ one);
        std::hint::black_box(guessed);
        for place in &mut *places {
            if let Some(slot) = self.index.find(place.hash, |_| true) {
                place.slot = slot;
            }
        }
        let touched = places.iter().filter_map(|place| self.get(place.slot)).map(Track::touch_own);
        std::hint::black_box(touched.fold(0, |all, one| all ^ one));
    }

    #[inline]
    pub(super) fn get(&self, slot: u32) -> Option<&Track> {
        at(&self.chunks, slot)
    }

    #[inline]
    pub(super) fn get_mut(&mut self, slot: u32) -> Option<&mut Track> {
        self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)?.as_mut()
    }

    /// Puts a connection in; there is none of its key, of which `place` is.
    #[inline]
    pub(super) fn insert(&mut self, place: Place, track: Track) -> u32 {
        let slot = self.put(track);
        self.index.insert(place.hash, slot);
        slot
    }

    #[inline]
    fn put(&mut self, track: Track) -> u32 {
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

    /// Brings connections near whose deadlines are coming: their timers, and all the rest of those that will be written.
    ///
    /// What points to something further is read for all of them before that is: so that no more than three waits come
    /// one after the other.
    pub(super) fn warm(&self, slots: impl Iterator<Item = u32>) {
        let mut near = [None; AHEAD];
        for (near, track) in near.iter_mut().zip(slots.filter_map(|slot| self.get(slot))) {
            *near = Some(track);
        }
        let all = || near.iter().map_while(|track| *track);
        std::hint::black_box(all().map(Track::touch_timers).fold(0, |all, one| all ^ one));
        let ending = || all().filter(|track| track.ends_soon());
        let ends = ending().map(Track::touch).fold(0, |all, one| all ^ one);
        let places = ending().map(|track| self.index.guess(self.hash(&track.key))).fold(0, |all, one| all ^ one);
        std::hint::black_box(ends ^ u64::from(places));
        std::hint::black_box(ending().map(Track::touch_rsts).fold(0, |all, one| all ^ one));
    }

    /// Takes a connection out, whose key has this hash; what memory it had beside its place is handed back.
    pub(super) fn remove(&mut self, slot: u32, hash: u64) -> Option<Box<Rare>> {
        let place = self.chunks.get_mut(slot as usize / CHUNK)?.get_mut(slot as usize % CHUNK)?;
        let track = place.as_mut()?;
        self.index.remove(hash, slot);
        let rare = track.rare.take();
        *place = None;
        self.free.push(slot);
        rare
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

#[inline]
fn at(chunks: &[Vec<Option<Track>>], slot: u32) -> Option<&Track> {
    chunks.get(slot as usize / CHUNK)?.get(slot as usize % CHUNK)?.as_ref()
}

//! Connection table: chunks that never move, and an index from flow key to place.

use probe_ebpf::layout::FlowKey;

use crate::tcp::track::Track;
use crate::tracker::flow_hash::Secrets;
use crate::tracker::index::Index;
use crate::tracker::timer_wheel::AHEAD;

const CHUNK: usize = 1024;

/// Where a key is looked for: its hash, and the slot where it was likely to be at some time.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Place {
    pub(crate) hash: u64,
    pub(crate) slot: u32,
}

/// No slot.
const NOWHERE: u32 = u32::MAX;

/// Whole, so that a place in one is found by one comparison.
type Chunk = [Option<Track>; CHUNK];

/// Slab of connections with an index by key.
#[derive(Debug)]
pub(crate) struct Table {
    chunks: Vec<Box<Chunk>>,
    /// Slots that were ever in use: those from here on are not.
    opened: u32,
    free: Vec<u32>,
    index: Index,
    secrets: Secrets,
}

impl Table {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chunks: Vec::new(), opened: 0, free: Vec::new(), index: Index::new(), secrets: Secrets::of(seed) }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    /// By which a key is found.
    #[inline]
    pub(crate) fn hash(&self, key: &FlowKey) -> u64 {
        self.secrets.hash(key)
    }

    /// Where to look for a key.
    #[inline]
    pub(crate) fn place_of(&self, key: &FlowKey) -> Place {
        Place { hash: self.hash(key), slot: NOWHERE }
    }

    /// As [`Self::place_of`], with the slot that is likely the right one.
    #[inline]
    pub(crate) fn likely_place_of(&self, key: &FlowKey) -> Place {
        let hash = self.hash(key);
        Place { hash, slot: self.index.find(hash, |_| true).unwrap_or(NOWHERE) }
    }

    pub(crate) fn find(&self, key: &FlowKey) -> Option<u32> {
        self.find_at(self.place_of(key), key)
    }

    /// As [`Self::find`], where it was said to be looked for.
    #[inline]
    pub(crate) fn find_at(&self, place: Place, key: &FlowKey) -> Option<u32> {
        let is_there = |slot: u32| self.get(slot).is_some_and(|track| track.key.same(key));
        // It may be somewhere else by now.
        if is_there(place.slot) { Some(place.slot) } else { self.index.find(place.hash, is_there) }
    }

    /// Where to look for each of these keys, as many as there are places, with their connections brought near: what memory
    /// has to be waited for is waited for at the same time.
    #[inline(always)]
    pub(crate) fn approach<'a>(&self, keys: impl Iterator<Item = &'a FlowKey>, places: &mut [Place]) {
        let mut near = 0;
        for (place, key) in places.iter_mut().zip(keys) {
            place.hash = self.hash(key);
            near ^= self.index.guess(place.hash);
        }
        std::hint::black_box(near);
        let mut near = 0;
        for place in places {
            place.slot = self.index.find(place.hash, |_| true).unwrap_or(NOWHERE);
            near ^= self.get(place.slot).map_or(0, Track::touch_own);
        }
        std::hint::black_box(near);
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&Track> {
        at(&self.chunks, slot)
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut Track> {
        self.place_mut(slot)?.as_mut()
    }

    #[inline]
    fn place_mut(&mut self, slot: u32) -> Option<&mut Option<Track>> {
        Some(&mut self.chunks.get_mut(slot as usize / CHUNK)?[slot as usize % CHUNK])
    }

    /// Puts a connection in; there is none of its key, of which `place` is.
    #[inline]
    pub(crate) fn insert(&mut self, place: Place, track: Track) -> u32 {
        let slot = self.put(track);
        self.index.insert(place.hash, slot);
        slot
    }

    #[inline]
    fn put(&mut self, track: Track) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| self.open());
        if let Some(place) = self.place_mut(slot) {
            *place = Some(track);
        }
        slot
    }

    /// A slot that was never in use.
    fn open(&mut self) -> u32 {
        let slot = self.opened;
        self.opened += 1;
        if slot as usize / CHUNK == self.chunks.len() {
            // On the heap from the start: it is larger than what a stack should hold.
            let empty: Box<[Option<Track>]> = std::iter::repeat_with(|| None).take(CHUNK).collect();
            self.chunks.extend(<Box<Chunk>>::try_from(empty));
        }
        slot
    }

    /// Brings near what the deadlines of these connections depend on.
    pub(crate) fn approach_timers(&self, entries: &[u64]) {
        let tracks = entries.iter().filter_map(|&entry| self.get(entry as u32));
        std::hint::black_box(tracks.map(|track| track.armed_ns).fold(0, |all, one| all ^ one));
    }

    /// Brings near what looks at these connections will need, and writing their records, if it comes to that now.
    ///
    /// What points to something further is read for all of them before that is: so that no more than two waits come one
    /// after the other.
    #[inline(never)]
    pub(crate) fn warm(&self, slots: &[u64]) {
        let (mut near, mut count, mut looks) = ([None; AHEAD], 0, 0);
        for track in slots.iter().filter_map(|&entry| self.get(entry as u32)) {
            if track.ends_soon() {
                near[count % AHEAD] = Some(track);
                count += 1;
            } else if track.is_looked_at_soon() {
                looks ^= track.touch_ends();
            }
        }
        std::hint::black_box(looks);
        self.warm_each(&near);
    }

    /// Brings near what writing the records of these connections will need.
    pub(crate) fn warm_ends(&self, slots: impl Iterator<Item = u32>) {
        let mut near = [None; AHEAD];
        for (place, track) in near.iter_mut().zip(slots.filter_map(|slot| self.get(slot))) {
            *place = Some(track);
        }
        self.warm_each(&near);
    }

    fn warm_each(&self, near: &[Option<&Track>; AHEAD]) {
        let ending = || near.iter().map_while(|track| *track);
        let ends = ending().map(Track::touch).fold(0, |all, one| all ^ one);
        let places = ending().map(|track| self.index.guess(self.hash(&track.key))).fold(0, |all, one| all ^ one);
        std::hint::black_box(ends ^ u64::from(places));
        std::hint::black_box(ending().map(Track::touch_rsts).fold(0, |all, one| all ^ one));
    }

    /// Takes a connection out, whose key has this hash, in exchange for nothing: in `into`, and in its place.
    #[inline]
    pub(crate) fn remove(&mut self, slot: u32, hash: u64, into: &mut Option<Track>) {
        let Some(place) = self.place_mut(slot).filter(|place| place.is_some()) else { return };
        std::mem::swap(place, into);
        self.index.remove(hash, slot);
        self.free.push(slot);
    }

    /// Up to `count` slots in use from `from` on, going round.
    pub(crate) fn next_slots(&self, from: u32, count: usize) -> Vec<u32> {
        let total = self.opened;
        let from = if from < total { from } else { 0 };
        (from..total).chain(0..from).filter(|&slot| self.get(slot).is_some()).take(count).collect()
    }

    /// Slots in use, in order of place.
    pub(crate) fn slots(&self) -> impl Iterator<Item = u32> {
        self.chunks.iter().enumerate().flat_map(|(chunk, tracks)| {
            let used = tracks.iter().enumerate().filter(|(_, track)| track.is_some());
            used.map(move |(at, _)| (chunk * CHUNK + at) as u32)
        })
    }
}

#[inline]
fn at(chunks: &[Box<Chunk>], slot: u32) -> Option<&Track> {
    chunks.get(slot as usize / CHUNK)?[slot as usize % CHUNK].as_ref()
}

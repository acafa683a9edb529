//! Hash index: from a hash to a slot by open addressing with linear probing, eight bytes per place.
//!
//! A place holds 32 bits of the hash beside the slot, so that neither growing nor removing looks at what the slots hold,
//! and a stranger is told from a friend without a look at him, but once in 2^32.

const EMPTY: u64 = u64::MAX;
const FEWEST: usize = 16;

/// See the module.
#[derive(Debug)]
pub(crate) struct Index {
    /// A power of two of them; hash above, slot below.
    places: Vec<u64>,
    used: usize,
}

impl Index {
    pub(crate) fn new() -> Self {
        Self { places: vec![EMPTY; FEWEST], used: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.used
    }

    fn mask(&self) -> usize {
        self.places.len() - 1
    }

    /// Where the search for a place begins.
    #[inline]
    fn home(&self, place: u64) -> usize {
        (place >> 32) as usize & self.mask()
    }

    /// The slot of this hash that is the right one.
    #[inline(always)]
    pub(crate) fn find(&self, hash: u64, is_right: impl Fn(u32) -> bool) -> Option<u32> {
        let mut at = self.home(hash);
        loop {
            let place = self.places[at];
            if place == EMPTY {
                return None;
            }
            if (place ^ hash) >> 32 == 0 && is_right(place as u32) {
                return Some(place as u32);
            }
            at = (at + 1) & self.mask();
        }
    }

    /// The slot that is likely to be found for this hash.
    #[inline]
    pub(crate) fn guess(&self, hash: u64) -> u32 {
        self.places[self.home(hash)] as u32
    }

    /// Adds a slot that is not in it.
    pub(crate) fn insert(&mut self, hash: u64, slot: u32) {
        if self.used * 8 >= self.places.len() * 5 {
            self.grow();
        }
        self.put(hash >> 32 << 32 | u64::from(slot));
        self.used += 1;
    }

    fn put(&mut self, place: u64) {
        let mut at = self.home(place);
        while self.places[at] != EMPTY {
            at = (at + 1) & self.mask();
        }
        self.places[at] = place;
    }

    #[cold]
    fn grow(&mut self) {
        let larger = vec![EMPTY; self.places.len() * 2];
        for place in std::mem::replace(&mut self.places, larger) {
            if place != EMPTY {
                self.put(place);
            }
        }
    }

    /// Takes a slot out; those behind it close up, so that no search ends early.
    pub(crate) fn remove(&mut self, hash: u64, slot: u32) {
        let wanted = hash >> 32 << 32 | u64::from(slot);
        let mut hole = self.home(hash);
        while self.places[hole] != wanted {
            if self.places[hole] == EMPTY {
                return;
            }
            hole = (hole + 1) & self.mask();
        }
        self.used -= 1;
        let mut at = hole;
        loop {
            at = (at + 1) & self.mask();
            let place = self.places[at];
            if place == EMPTY {
                break;
            }
            let (from_home, from_hole) = (at.wrapping_sub(self.home(place)), at.wrapping_sub(hole));
            if from_home & self.mask() >= from_hole & self.mask() {
                self.places[hole] = place;
                hole = at;
            }
        }
        self.places[hole] = EMPTY;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::Index;

    #[test]
    fn as_a_map_would_do_it() {
        let mut index = Index::new();
        let mut map = BTreeMap::new();
        let mut random = 1_u64;
        for slot in 0..20_000_u32 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            // Few homes, so that searches run into each other, and round the end.
            let hash = (random >> 40 | 0xff_f000) << 32;
            index.insert(hash, slot);
            map.insert(slot, hash);
            if slot % 3 != 0 {
                let (&gone, &hash) = map.iter().nth(slot as usize % map.len().min(50)).expect("not empty");
                index.remove(hash, gone);
                map.remove(&gone);
                assert_eq!(index.find(hash, |other| other == gone), None);
            }
            if slot % 500 == 0 {
                for (&slot, &hash) in &map {
                    assert_eq!(index.find(hash, |other| other == slot), Some(slot));
                }
            }
        }
        assert_eq!(index.len(), map.len());
    }
}

//! Eviction: chooses the connection that goes when there are too many. Attempts without answer go first, so that a flood of
//! them does not evict what is established.

use crate::tcp::endpoint::State;
use crate::tcp::marks::RESP;
use crate::tcp::track::{Phase, Track};
use crate::tracker::table::Table;

/// Attempts without answer, by place and number, found by a look at everything: the latest first, taken from the end.
#[derive(Debug, Default)]
pub(crate) struct Attempts {
    found: Vec<(u32, u64)>,
    /// Not before so many connections were created is it worth another look at everything.
    look_again: u64,
}

impl Attempts {
    /// The place of the one that is idle for longest, as far as known; `created`: connections created so far. `None` when
    /// there is none, or when there were so few that looking for them would take all the time.
    pub(crate) fn next(&mut self, table: &Table, created: u64) -> Option<u32> {
        loop {
            while let Some((slot, id)) = self.found.pop() {
                if table.get(slot).is_some_and(|track| track.id == id && dispensable(track) == 0) {
                    return Some(slot);
                }
            }
            if created < self.look_again {
                return None;
            }
            self.look(table, created);
            if self.found.is_empty() {
                return None;
            }
        }
    }

    fn look(&mut self, table: &Table, created: u64) {
        let attempts = table.slots().filter_map(|slot| {
            let track = table.get(slot).filter(|track| dispensable(track) == 0)?;
            Some((std::cmp::Reverse((track.last_ns, track.id)), slot))
        });
        let mut attempts: Vec<_> = attempts.collect();
        attempts.sort_unstable();
        self.found.clear();
        self.found.extend(attempts.into_iter().map(|(std::cmp::Reverse((_, id)), slot)| (slot, id)));
        // A look costs a step per connection; each one created pays for a few hundred.
        let worth = table.len() as u64 / 256;
        self.look_again = created + worth.saturating_sub(self.found.len() as u64);
    }
}

/// Order of eviction: attempts without answer, then ended ones, then the rest.
pub(crate) fn dispensable(track: &Track) -> u8 {
    if track.ends[RESP].state == State::Inactive && track.ends[0].state.is_handshake() {
        0
    } else if track.phase == Phase::Complete {
        1
    } else {
        2
    }
}

//! Ended connections whose records are still to be made.
//!
//! Made a few at a time, after the segments that came meanwhile: what verdicts take of code and what segments take do not fit
//! together into what a processor keeps near.

use crate::record::Orientation;
use crate::record::Written;
use crate::tcp::track::Track;

/// A connection that is no longer tracked, with what held when it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Nothing while none is here.
    pub(crate) track: Option<Track>,
    /// Why its record is written.
    pub(crate) written: Written,
    /// When.
    pub(crate) now: u64,
    /// How client and server are known, and whether they are the other way round than Zeek has them.
    pub(crate) roles: (Orientation, bool),
    /// Both directions of some connection had been seen.
    pub(crate) both_ways: bool,
    /// Time of the first segment of all.
    pub(crate) watched_from: u64,
}

/// A list of them that keeps its places: a connection is long, and copied no more than once.
#[derive(Debug, Default)]
pub(crate) struct EndedList {
    places: Vec<Ended>,
    used: usize,
}

impl EndedList {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.used == 0
    }

    /// The next place.
    #[inline]
    pub(crate) fn next(&mut self) -> &mut Ended {
        if self.used == self.places.len() {
            self.grow();
        }
        self.used += 1;
        &mut self.places[self.used - 1]
    }

    #[cold]
    fn grow(&mut self) {
        self.places.push(Ended {
            track: None,
            written: Written::Closed,
            now: 0,
            roles: (Orientation::FirstSender, false),
            both_ways: false,
            watched_from: 0,
        });
    }

    /// Those in the list, which is empty from then on.
    pub(crate) fn take(&mut self) -> &mut [Ended] {
        let used = std::mem::take(&mut self.used);
        &mut self.places[..used]
    }
}

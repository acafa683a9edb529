//! Ended connections on their way to their records, and what one partition has left of a batch.

use crate::{
    record::{Connection, Written},
    tcp::{close_details::Rare, track::Track},
    tracker::{icmp::IcmpReport, kernel_reports::Said, process::Process, reset_options::ResetOptions},
};

/// A connection that is no longer tracked, with what held when it ended.
#[derive(Debug)]
pub(crate) struct Ended {
    /// Nothing while none is here.
    pub(crate) track: Option<Track>,
    /// Why its record is written.
    pub(crate) written: Written,
    /// When.
    pub(crate) now: u64,
    /// When it is written in the order of the stream: twice the number of the step, and one more if by its segment.
    pub(crate) turn: u64,
    /// The earliest time of a segment of all until then.
    pub(crate) watched_from: u64,
    /// What was said of it besides.
    pub(crate) aside: Option<Box<Aside>>,
}

/// What is known of a connection beside its segments. Few have any.
#[derive(Debug, Default)]
pub(crate) struct Aside {
    /// By ICMP.
    pub(crate) icmp: Option<IcmpReport>,
    /// By its RSTs, by sender: `lo`, `hi`.
    pub(crate) said: [Option<ResetOptions>; 2],
    /// The process of the host that reset it.
    pub(crate) process: Option<Process>,
    /// What its kernel says besides resets, by endpoint: `lo`, `hi`.
    pub(crate) reports: Option<[Said; 2]>,
}

/// Of one of which nothing is known.
pub(crate) static NOTHING: Aside = Aside { icmp: None, said: [None, None], process: None, reports: None };

impl Aside {
    /// Nothing was said.
    pub(crate) fn is_empty(&self) -> bool {
        self.icmp.is_none() && self.said.iter().all(Option::is_none) && self.process.is_none() && self.reports.is_none()
    }
}

/// A list of them that keeps its places: a connection is long, and copied no more than once.
#[derive(Debug, Default)]
pub(crate) struct EndedList {
    places: Vec<Ended>,
    used: usize,
    /// So many are in the order of their turns and ids, and were looked at.
    in_order: usize,
}

impl Ended {
    /// Its place in the order of the stream.
    #[inline]
    pub(crate) fn order(&self) -> (u64, u64) {
        (self.turn, self.track.as_ref().map_or(0, |track| track.id))
    }
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
        let (written, now, turn, watched_from) = (Written::Closed, 0, 0, 0);
        self.places.push(Ended { track: None, written, now, turn, watched_from, aside: None });
    }

    /// Those in the list.
    pub(crate) fn all(&mut self) -> &mut [Ended] {
        &mut self.places[..self.used]
    }

    /// Puts those in order that have come since: what time ends at one step comes as it was due. Where they begin.
    #[inline]
    pub(crate) fn put_in_order(&mut self) -> usize {
        let first = self.in_order;
        let since = &mut self.places[first..self.used];
        if !since.is_sorted_by_key(Ended::order) {
            since.sort_unstable_by_key(Ended::order);
        }
        self.in_order = self.used;
        first
    }

    /// Keeps the first ones only.
    pub(crate) fn keep(&mut self, first: usize) {
        self.used = first.min(self.used);
        self.in_order = self.used;
    }

    /// Those in the list, which is empty from then on.
    pub(crate) fn take(&mut self) -> &mut [Ended] {
        let used = std::mem::take(&mut self.used);
        self.in_order = 0;
        &mut self.places[..used]
    }
}

/// What is to be known of a record that was made beside the work of other partitions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    /// As in [`Ended`].
    pub(crate) turn: u64,
    pub(crate) id: u64,
    /// The server that was seen to answer, if that may be news.
    pub(crate) server: Option<[u64; 3]>,
}

/// What has ended in one partition.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// In the order of turns and ids, without records.
    pub(crate) ended: EndedList,
    /// The same, with records.
    pub(crate) made: Vec<Made>,
    /// Theirs.
    pub(crate) records: Vec<Connection>,
    /// Memory of what has been settled, for the partition's pool.
    #[expect(clippy::vec_box, reason = "they go from connection to connection, and must not be copied")]
    pub(crate) spent: Vec<Box<Rare>>,
}

impl Outcome {
    /// Nothing has ended.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.ended.is_empty() && self.made.is_empty()
    }
}

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
    /// How many of the first were kept for others.
    kept: usize,
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

    /// Places of those that have come since [`Self::keep_unmade`].
    #[inline]
    pub(crate) fn new_places(&self) -> std::ops::Range<usize> {
        self.kept..self.used
    }

    /// Keeps those without a record, for others to make it.
    pub(crate) fn keep_unmade(&mut self) {
        for at in self.new_places() {
            if self.places[at].track.is_some() {
                self.places.swap(self.kept, at);
                self.kept += 1;
            }
        }
        self.used = self.kept;
    }

    /// Those in the list, which is empty from then on.
    pub(crate) fn take(&mut self) -> &mut [Ended] {
        let used = std::mem::take(&mut self.used);
        self.kept = 0;
        &mut self.places[..used]
    }
}

/// A record that was made beside the work of other partitions.
#[derive(Debug)]
pub(crate) struct Made {
    /// As in [`Ended`].
    pub(crate) turn: u64,
    pub(crate) id: u64,
    /// The server that was seen to answer, if that may be news.
    pub(crate) server: Option<[u64; 3]>,
    /// Taken when its turn comes.
    pub(crate) connection: Option<Connection>,
}

/// What has ended in one partition.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// In the order in which it ended, without records.
    pub(crate) ended: EndedList,
    /// The same, with records.
    pub(crate) made: Vec<Made>,
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

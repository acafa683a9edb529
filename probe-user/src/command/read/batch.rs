//! Batch: segments of a capture on their way to the tracker, with what comes between them.

use probe_ebpf::layout::Segment;

use crate::{
    source::capture::{self, Decoded, Remark},
    tracker::{Arrival, Extra, Header, Tracker},
};

/// Segments of a batch at most: enough that handing it over costs nothing, few enough to stay in a core's cache.
pub(super) const SEGMENTS: usize = 512;

/// What comes between two segments.
pub(super) enum Between {
    /// A frame without a segment passed at this time.
    Time(u64),
    /// The frame of the segment before, or one without, said more.
    Said(Remark),
}

/// Segments in the order of their capture.
pub(super) struct Batch {
    /// Room for all, always as long; each is written once.
    pub(super) arrivals: Box<[Arrival]>,
    /// How many there are.
    pub(super) len: usize,
    /// What comes after so many segments.
    between: Vec<(usize, Between)>,
    /// Frames of all captures so far.
    pub(super) frames: u64,
}

impl Batch {
    /// Without segments.
    pub(super) fn new() -> Self {
        let blank = Arrival { segment: Segment::default(), extra: Extra::default() };
        Self { arrivals: vec![blank; SEGMENTS].into_boxed_slice(), len: 0, between: Vec::new(), frames: 0 }
    }

    /// Nothing is in it.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0 && self.between.is_empty()
    }

    /// There is no room for one more.
    pub(super) fn is_full(&self) -> bool {
        self.len == SEGMENTS || self.between.len() >= SEGMENTS
    }

    /// Forgets all.
    pub(super) fn clear(&mut self) {
        self.len = 0;
        self.between.clear();
    }

    /// This comes after the last segment.
    pub(super) fn add(&mut self, between: Between) {
        self.between.push((self.len, between));
    }

    /// Hands everything to the tracker, in order.
    pub(super) fn track(&mut self, tracker: &mut Tracker) {
        let mut from = 0;
        for (at, between) in self.between.drain(..) {
            tracker.observe_all(&self.arrivals[from..at]);
            from = at;
            match between {
                Between::Time(time_ns) => tracker.advance(time_ns),
                Between::Said(remark) => hear(tracker, remark),
            }
        }
        tracker.observe_all(&self.arrivals[from..self.len]);
        self.len = 0;
    }
}

/// Tells the tracker what a frame said beyond its segment.
pub(super) fn hear(tracker: &mut Tracker, remark: Remark) {
    match remark {
        Remark::Icmp { quote, time_ns } => {
            tracker.unreachable(&quote, time_ns);
        }
        Remark::Reset { key, from_hi, option, text, time_ns } => {
            tracker.reset_said(&key, from_hi, option, &text, time_ns);
        }
    }
}

/// A decoded segment in the tracker's words.
pub(super) fn arrival(decoded: Decoded) -> Arrival {
    let Decoded { segment, bad_checksum, payload_cut, header } = decoded;
    let header = match header {
        capture::Header::Whole => Header::Whole,
        capture::Header::Cut => Header::Cut,
        capture::Header::Contradictory => Header::Contradictory,
    };
    Arrival { segment, extra: Extra { bad_checksum, payload_cut, header } }
}

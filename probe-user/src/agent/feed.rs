//! Feed: one tracker, shared between the drains and the reader of AF_XDP frames.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use probe_ebpf::{
    layout::{ACK, DirectionCounters, FIN, FlowKey, RST, SYN, Segment, SegmentRecord},
    parse::IcmpQuote,
};

use crate::{
    agent::partition_pool::PartitionPool,
    error::RunError,
    output::evidence_writer::{Evidence, EvidenceAccounting},
};
use crate::{
    evidence::{Frame, Interface},
    explain::kept_segments::KeptSegments,
    record::{Basis, Connection},
    source::live::engine::Sink,
    tracker::Tracker,
};

/// The tracker, how complete its counts are, and the evidence.
pub(crate) struct Feed {
    tracker: Tracker,
    pool: PartitionPool,
    pub(crate) basis: Basis,
    evidence: Option<Evidence>,
    /// Segments of what has not ended, where they are asked for.
    pub(crate) kept: Option<KeptSegments>,
    /// Connections whose evidence has been taken, until the session takes them.
    closed: Vec<Connection>,
}

impl Feed {
    pub(crate) fn new(tracker: Tracker, pool: PartitionPool, basis: Basis, evidence: Option<Evidence>) -> Self {
        Self { tracker, pool, basis, evidence, kept: None, closed: Vec::new() }
    }

    /// The tracker, which knows of everything that was said until now.
    pub(crate) fn tracker(&mut self) -> &mut Tracker {
        self.pool.run(&mut self.tracker);
        &mut self.tracker
    }

    /// Sees to it that what is queued does not become too much.
    #[inline]
    fn bound_queue(&mut self) {
        if self.tracker.queued() >= QUEUED {
            self.pool.run(&mut self.tracker);
        }
    }

    /// Connections that ended since the last call.
    pub(crate) fn take_closed(&mut self) -> Vec<Connection> {
        if self.evidence.is_none() {
            return self.tracker().take_closed();
        }
        self.settle_evidence();
        std::mem::take(&mut self.closed)
    }

    /// Hands over the evidence of what has ended: before a frame of the next connection on the same ports is kept.
    fn settle_evidence(&mut self) {
        self.pool.run(&mut self.tracker);
        let Some(evidence) = &mut self.evidence else { return };
        if self.tracker.closed_len() > 0 {
            let closed = self.tracker.take_closed();
            evidence.ended(&closed);
            self.closed.extend(closed);
        }
    }

    /// A frame with its segment, which nobody else has counted.
    pub(crate) fn frame(&mut self, segment: &Segment, frame: &Frame<'_>) {
        self.whole(segment);
        if self.evidence.is_some() {
            self.settle_evidence();
            self.keep(segment, frame);
        }
        self.bound_queue();
    }

    /// A frame whose segment comes another way. Nothing may be settled before all frames of the drain are here.
    pub(crate) fn keep(&mut self, segment: &Segment, frame: &Frame<'_>) {
        if let Some(evidence) = &mut self.evidence {
            evidence.frame(segment, frame);
        }
    }

    /// Keeps a segment as it came, where that is asked for.
    fn keep_segment(&mut self, segment: &Segment) {
        if let Some(kept) = &mut self.kept {
            kept.keep(segment);
        }
    }

    /// Frames of one more interface follow.
    pub(crate) fn add_interface(&mut self, interface: Interface) {
        if let Some(evidence) = &mut self.evidence {
            evidence.add(interface);
        }
    }

    /// Nothing is measured any more.
    pub(crate) fn begin_last(&mut self) {
        if let Some(evidence) = &mut self.evidence {
            evidence.begin_last();
        }
    }

    /// Writes the evidence of everything that has ended, if there is any to write.
    pub(crate) fn close_evidence(&mut self) -> (Option<EvidenceAccounting>, Result<(), RunError>) {
        self.settle_evidence();
        match self.evidence.take().map(Evidence::close) {
            Some((accounting, written)) => (Some(accounting), written),
            None => (None, Ok(())),
        }
    }

    /// A segment that nobody else has counted.
    fn whole(&mut self, segment: &Segment) {
        self.keep_segment(segment);
        if self.basis == Basis::ControlOnly {
            // Data segments stay in the kernel: the tracker must not miss their bytes.
            self.tracker.queue_transition(segment);
            let counted = counters(&segment.record);
            let none = DirectionCounters::default();
            let (lo, hi) = if segment.record.from_hi() { (&none, &counted) } else { (&counted, &none) };
            self.tracker.queue_count(&segment.key, lo, hi, self.basis);
        } else {
            self.tracker.queue_observe(segment);
        }
    }
}

/// The counters of one segment.
fn counters(record: &SegmentRecord) -> DirectionCounters {
    let is = |mask: u16, flags: u16| u32::from(record.flags & mask == flags);
    DirectionCounters {
        ip_bytes: u64::from(record.ip_len()),
        payload_bytes: u64::from(record.payload_len),
        packets: 1,
        syn: is(SYN | ACK, SYN),
        syn_ack: is(SYN | ACK, SYN | ACK),
        fin: is(FIN, FIN),
        rst: is(RST, RST),
        last_ns: record.time_ns,
        ..DirectionCounters::default()
    }
}

impl Sink for Feed {
    fn transition(&mut self, segment: &Segment) {
        self.keep_segment(segment);
        self.tracker.queue_transition(segment);
        self.bound_queue();
    }

    fn count(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters) {
        self.tracker.queue_count(key, lo, hi, self.basis);
        self.bound_queue();
    }

    fn settle(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, last_from_hi: bool) {
        self.tracker.queue_settle(key, lo, hi, last_from_hi);
        self.bound_queue();
    }

    fn observe(&mut self, segment: &Segment) {
        self.keep_segment(segment);
        self.tracker.queue_observe(segment);
        self.bound_queue();
    }

    fn unreachable(&mut self, quote: &IcmpQuote, time_ns: u64) {
        self.tracker.queue_unreachable(quote, time_ns);
        self.bound_queue();
    }
}

/// What is queued before partitions do it: enough that waking threads costs nothing, little enough to stay in a cache.
const QUEUED: usize = 8192;

/// A [`Feed`] for two threads: the reader of frames, which would hold it all the time, and the session, which goes first.
pub(crate) struct SharedFeed {
    feed: Mutex<Feed>,
    session_waits: AtomicBool,
}

impl SharedFeed {
    pub(crate) fn new(feed: Feed) -> Self {
        Self { feed: Mutex::new(feed), session_waits: AtomicBool::new(false) }
    }

    /// For the session.
    pub(crate) fn lock(&self) -> MutexGuard<'_, Feed> {
        self.session_waits.store(true, Relaxed);
        let feed = self.feed.lock().unwrap_or_else(PoisonError::into_inner);
        self.session_waits.store(false, Relaxed);
        feed
    }

    /// For the reader: after the session, should that wait. A mutex alone is not fair.
    pub(crate) fn turn(&self) -> MutexGuard<'_, Feed> {
        while self.session_waits.load(Relaxed) {
            thread::yield_now();
        }
        self.feed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! Sink: what a drain of the kernel tables feeds.

use probe_ebpf::{
    layout::{DirectionCounters, FlowKey, Segment},
    parse::IcmpQuote,
};

/// What a drain feeds, in time order over all flows and CPUs.
pub trait Sink {
    /// A segment that a slot has counted: only its order and fields are new.
    fn transition(&mut self, segment: &Segment);
    /// The counters of one slot, directly after the slot's first [`Self::transition`].
    fn count(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters);
    /// The same counters again, after every segment of the epoch: what they say of the last segment of each direction
    /// (`seq_end`, `last_ack`, `last_ns`, ...) holds from here on; `last_from_hi` says who sent the very last.
    /// Sinks that only count need not care.
    fn settle(&mut self, _key: &FlowKey, _lo: &DirectionCounters, _hi: &DirectionCounters, _last_from_hi: bool) {}
    /// A segment that no slot has counted.
    fn observe(&mut self, segment: &Segment);
    /// An ICMP error that quotes a segment, and when it came. Sinks that only count need not care.
    fn unreachable(&mut self, _quote: &IcmpQuote, _time_ns: u64) {}
}

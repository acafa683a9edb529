//! Batch: segments of a stream on their way to the partitions of a tracker, with what comes between them.
//!
//! Filled in the order of the stream and then sealed: each partition finds what is its own, and the times of all.

use probe_ebpf::{
    layout::{FlowKey, Segment},
    parse::{IcmpQuote, RstOption},
};

use crate::{
    tcp::arrival::{Arrival, Extra},
    tracker::steps::{StepCounter, Steps},
};

/// Parts of a tracker that know nothing of each other. Always as many, whatever does their work, so that the number of
/// threads changes nothing; a power of two.
pub(crate) const PARTITIONS: usize = 4;

/// Segments of a batch at most: enough that handing it over costs nothing, few enough to stay in a core's cache.
pub(crate) const SEGMENTS: usize = 512;

/// The partition that a flow belongs to, of `count`, a power of two. Always the same, so that the same capture has the same
/// output: who aims at one partition takes its share of connections, and no more.
#[inline]
pub(crate) fn partition_of(key: &FlowKey, count: usize) -> usize {
    let [a, b, c, d, ports] = key.words;
    let all = a ^ c.rotate_left(29) ^ b.rotate_left(13) ^ d.rotate_left(43) ^ ports.rotate_left(21);
    // The uppermost bits alone rest on all of it.
    (all.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - PARTITIONS.ilog2())) as usize & (count - 1)
}

/// What comes between two segments.
#[derive(Clone, Debug)]
pub enum Between {
    /// A frame without a segment passed at this time.
    Time(u64),
    /// Such a frame, that quotes a segment which somebody refused.
    Refused(IcmpQuote, u64),
    /// The RST before has an option or text.
    Said(Box<ResetText>),
}

/// What an RST says beyond its header.
#[derive(Clone, Debug)]
pub struct ResetText {
    /// Its flow.
    pub key: FlowKey,
    /// The key's `hi` endpoint sent it.
    pub from_hi: bool,
    /// Its option.
    pub option: RstOption,
    /// Its text.
    pub text: Box<[u8]>,
    /// When.
    pub time_ns: u64,
}

/// Something that belongs to one partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owned {
    /// The step that brings it.
    pub(crate) step: u16,
    /// Its place among the segments, or, from [`BETWEEN`] on, among what is between.
    place: u16,
}

const BETWEEN: u16 = 1 << 15;

/// See [`Owned`].
pub(crate) enum What<'a> {
    Segment(&'a Arrival),
    Between(&'a Between),
}

/// Segments in the order of their stream.
#[derive(Debug)]
pub struct Batch {
    /// Room for all, always as long; each is written once.
    pub(crate) arrivals: Box<[Arrival]>,
    /// How many there are.
    pub(crate) len: usize,
    /// What comes after so many segments.
    between: Vec<(usize, Between)>,
    pub(crate) steps: Steps,
    owned: [Vec<Owned>; PARTITIONS],
}

impl Default for Batch {
    fn default() -> Self {
        Self::new()
    }
}

impl Batch {
    /// Without segments.
    pub fn new() -> Self {
        let blank = Arrival { segment: Segment::default(), extra: Extra::default() };
        Self {
            arrivals: vec![blank; SEGMENTS].into_boxed_slice(),
            len: 0,
            between: Vec::new(),
            steps: Steps::default(),
            owned: Default::default(),
        }
    }

    /// Nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.len == 0 && self.between.is_empty()
    }

    /// There is no room for one more.
    pub fn is_full(&self) -> bool {
        self.len == self.arrivals.len() || self.between.len() >= SEGMENTS
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.len = 0;
        self.between.clear();
    }

    /// Room for segments, and how many there are already: who writes more says so by [`Batch::set_len`].
    pub fn room(&mut self) -> (&mut [Arrival], usize) {
        (&mut self.arrivals, self.len)
    }

    /// How many segments there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// So many have been written.
    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(self.arrivals.len());
    }

    /// Adds one; there is room.
    pub fn push(&mut self, arrival: Arrival) {
        if let Some(place) = self.arrivals.get_mut(self.len) {
            *place = arrival;
            self.len += 1;
        }
    }

    /// This comes after the last segment.
    pub fn add(&mut self, between: Between) {
        self.between.push((self.len, between));
    }

    /// Numbers the steps, and finds the owner of everything among `count` partitions. Once, when all is there.
    pub(crate) fn seal(&mut self, counter: &mut StepCounter, count: usize) {
        let Self { arrivals, len, between, steps, owned } = self;
        counter.begin(steps);
        owned.iter_mut().for_each(Vec::clear);
        let mut from = 0;
        for place in 0..=between.len() {
            let until = between.get(place).map_or(*len, |(at, _)| *at);
            let first = steps.now_ns.len();
            let segments = arrivals[from..until].iter().map(|arrival| &arrival.segment);
            counter.steps(steps, segments.clone().map(|segment| segment.record.time_ns));
            for (at, segment) in segments.enumerate() {
                let whose = Owned { step: (first + at) as u16, place: (from + at) as u16 };
                owned[partition_of(&segment.key, count)].push(whose);
            }
            from = until;
            let (key, step) = match between.get(place).map(|(_, between)| between) {
                None => break,
                Some(Between::Time(time_ns)) => {
                    counter.step(steps, *time_ns, false);
                    continue;
                }
                Some(Between::Refused(quote, time_ns)) => (&quote.key, counter.step(steps, *time_ns, false)),
                // Of the same frame as the segment before.
                Some(Between::Said(said)) => (&said.key, steps.now_ns.len().saturating_sub(1)),
            };
            let place = place as u16 | BETWEEN;
            owned[partition_of(key, count)].push(Owned { step: step as u16, place });
        }
    }

    /// What belongs to a partition, in order.
    pub(crate) fn owned_by(&self, partition: usize) -> &[Owned] {
        &self.owned[partition]
    }

    #[inline(always)]
    pub(crate) fn what(&self, owned: Owned) -> What<'_> {
        let place = usize::from(owned.place & !BETWEEN);
        if owned.place < BETWEEN { What::Segment(&self.arrivals[place]) } else { What::Between(&self.between[place].1) }
    }

    /// The flow that it is about.
    #[inline(always)]
    pub(crate) fn key(&self, owned: Owned) -> &FlowKey {
        match self.what(owned) {
            What::Segment(arrival) => &arrival.segment.key,
            What::Between(Between::Refused(quote, _)) => &quote.key,
            What::Between(Between::Said(said)) => &said.key,
            What::Between(Between::Time(_)) => unreachable!("it belongs to nobody"),
        }
    }
}

#[cfg(test)]
mod tests {
    use probe_ebpf::layout::Endpoint;

    use super::*;

    /// A flow by its number.
    type Kind = Box<dyn Fn(u32) -> (Endpoint, Endpoint)>;

    #[test]
    fn flows_that_are_alike_are_spread_evenly() {
        const CLIENT: u32 = 0x0a00_0009;
        const SERVER: u32 = 0x0a00_0007;
        fn end(host: u32, port: u32) -> Endpoint {
            Endpoint::v4(host.to_be(), port as u16)
        }
        fn flow(number: u32, step: u32) -> (Endpoint, Endpoint) {
            (end(CLIENT, 1024 + number * step), end(SERVER, 443))
        }
        let kinds: [Kind; 7] = [
            Box::new(|number| flow(number, 1)),
            Box::new(|number| flow(number, 2)),
            Box::new(|number| flow(number, 16)),
            Box::new(|number| flow(number, 64)),
            Box::new(|number| (end(CLIENT + number, 40_000), end(SERVER, 443))),
            Box::new(|number| (end(CLIENT, 40_000), end(SERVER + (number << 8), 443))),
            Box::new(|number| (end(CLIENT, 40_000), end(SERVER, number))),
        ];
        for (kind, flow) in kinds.iter().enumerate() {
            let mut counts = [0; PARTITIONS];
            for number in 0..1000 {
                let (one, other) = flow(number);
                counts[partition_of(&FlowKey::normalised(one, other, 0).0, PARTITIONS)] += 1;
            }
            assert!(counts.iter().all(|count| (100..500).contains(count)), "kind {kind}: {counts:?}");
        }
    }
}

//! Kept segments: those of connections that are still being watched, until each has ended and nobody asks for them any more,
//! within a bound of memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use hashbrown::HashMap;
use probe_ebpf::layout::{ACK, FlowKey, SYN, Segment};

use super::ladder::{SeenSegment, key};
use crate::record::Connection;

/// Segments that are held at once, of all connections, those that have ended and wait to be judged included; some 100 bytes each, and four times that where
/// every flow has one.
const MOST: usize = 1 << 19;
/// Segments that are held of one connection.
const MOST_OF_ONE: usize = 1 << 14;

/// Segments by flow, in order of arrival.
#[derive(Debug)]
pub struct KeptSegments {
    flows: HashMap<FlowKey, Flow, foldhash::fast::RandomState>,
    held: Held,
    most: usize,
    refused: u64,
}

#[derive(Debug, Default)]
struct Flow {
    segments: Vec<SeenSegment>,
    /// How many came after them.
    beyond: u64,
}

/// How many segments are held: here, and by those who took them.
type Held = Arc<AtomicUsize>;

/// Segments of a connection that has ended. Until this is dropped they count as held.
#[derive(Debug, Default)]
pub struct Taken {
    segments: Vec<SeenSegment>,
    /// How many came after them.
    beyond: u64,
    held: Held,
}

impl Taken {
    fn new(segments: Vec<SeenSegment>, beyond: u64, held: &Held) -> Self {
        Self { segments, beyond, held: Arc::clone(held) }
    }

    /// The segments, which count as held no more, and how many came after them.
    pub fn into_segments(mut self) -> (Vec<SeenSegment>, u64) {
        let segments = std::mem::take(&mut self.segments);
        self.held.fetch_sub(segments.len(), Relaxed);
        (segments, self.beyond)
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.held.fetch_sub(self.segments.len(), Relaxed);
    }
}

impl Default for KeptSegments {
    fn default() -> Self {
        Self::within(MOST)
    }
}

impl KeptSegments {
    fn within(most: usize) -> Self {
        Self { flows: HashMap::default(), held: Held::default(), most, refused: 0 }
    }

    /// Keeps one more, if there is room.
    pub fn keep(&mut self, segment: &Segment) {
        if self.held.load(Relaxed) >= self.most {
            self.refused += 1;
            return;
        }
        let flow = self.flows.entry(segment.key).or_default();
        if flow.segments.len() >= MOST_OF_ONE {
            flow.beyond += 1;
            return;
        }
        flow.segments.push(SeenSegment { segment: *segment, is_cut: false, is_headless: false, bad_checksum: false });
        self.held.fetch_add(1, Relaxed);
    }

    /// Hands over those of a connection that has ended; those of a new one on the same ports stay.
    pub fn take(&mut self, ended: &Connection) -> Taken {
        let (key, _) = key(ended);
        let Some(Flow { mut segments, beyond }) = self.flows.remove(&key) else { return Taken::default() };
        let all = segments.len();
        let end_ns = ended.start_ns.saturating_add(ended.duration_ns);
        let is_new = |seen: &SeenSegment| {
            let record = &seen.segment.record;
            record.time_ns > end_ns && record.flags & (SYN | ACK) == SYN
        };
        let own = segments.iter().position(is_new).unwrap_or(segments.len());
        let of_next = segments.split_off(own);
        segments.retain(|seen| seen.segment.record.time_ns >= ended.start_ns);
        // They may wait for long.
        segments.shrink_to_fit();
        self.held.fetch_sub(all - segments.len() - of_next.len(), Relaxed);
        if of_next.is_empty() {
            return Taken::new(segments, beyond, &self.held);
        }
        self.flows.insert(key, Flow { segments: of_next, beyond });
        Taken::new(segments, 0, &self.held)
    }

    /// Segments that found no room.
    pub fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use probe_ebpf::layout::{RST, SegmentRecord};

    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Opening, Side},
    };

    #[test]
    fn a_connection_takes_its_own_and_leaves_those_of_the_next() {
        let side = Side::default();
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, side, side);
        (one.start_ns, one.duration_ns) = (100, 50);
        let (key, _) = key(&one);
        let mut kept = KeptSegments::default();
        for (time_ns, flags) in [(90, RST), (100, SYN), (150, RST), (160, RST), (170, SYN), (180, ACK)] {
            let record = SegmentRecord { time_ns, flags, ..SegmentRecord::default() };
            kept.keep(&Segment { key, record, first_bytes: 0 });
        }
        let times = |seen: Vec<SeenSegment>| seen.iter().map(|seen| seen.segment.record.time_ns).collect::<Vec<_>>();
        assert_eq!(times(kept.take(&one).into_segments().0), [100, 150, 160]);
        (one.start_ns, one.duration_ns) = (170, 10);
        assert_eq!(times(kept.take(&one).into_segments().0), [170, 180]);
        assert_eq!((kept.take(&one).into_segments().0.len(), kept.held.load(Relaxed), kept.refused()), (0, 0, 0));
    }

    /// As those do that wait in a search until all are known.
    #[test]
    fn what_was_taken_counts_until_it_is_forgotten() {
        let mut kept = KeptSegments::within(10);
        let mut waiting = Vec::new();
        for number in 0..7_u16 {
            let mut one =
                connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, Side::default(), Side::default());
            one.orig.set_port(4000 + number);
            (one.start_ns, one.duration_ns) = (100, 50);
            let (key, _) = key(&one);
            for time_ns in [100, 101, 102] {
                let record = SegmentRecord { time_ns, flags: ACK, ..SegmentRecord::default() };
                kept.keep(&Segment { key, record, first_bytes: 0 });
            }
            waiting.push(kept.take(&one));
            let held: usize = waiting.iter().map(|taken| taken.segments.len()).sum();
            assert!(held <= 10, "{held} are held");
        }
        assert_eq!((kept.held.load(Relaxed), kept.refused()), (10, 11));
        waiting.clear();
        assert_eq!(kept.held.load(Relaxed), 0);
    }
}

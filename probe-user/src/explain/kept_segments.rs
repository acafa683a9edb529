//! Kept segments: those of connections that are still being watched, until each has ended, within a bound of memory.

use hashbrown::HashMap;
use probe_ebpf::layout::{ACK, FlowKey, SYN, Segment};

use super::ladder::{SeenSegment, key};
use crate::record::Connection;

/// Segments that are held at once, of all connections; some 100 bytes each.
const MOST: usize = 1 << 19;
/// Segments that are held of one connection.
const MOST_OF_ONE: usize = 1 << 14;

/// Segments by flow, in order of arrival.
#[derive(Debug, Default)]
pub struct KeptSegments {
    flows: HashMap<FlowKey, Flow, foldhash::fast::RandomState>,
    held: usize,
    refused: u64,
}

#[derive(Debug, Default)]
struct Flow {
    segments: Vec<SeenSegment>,
    /// How many came after them.
    beyond: u64,
}

impl KeptSegments {
    /// Keeps one more, if there is room.
    pub fn keep(&mut self, segment: &Segment) {
        if self.held >= MOST {
            self.refused += 1;
            return;
        }
        let flow = self.flows.entry(segment.key).or_default();
        if flow.segments.len() >= MOST_OF_ONE {
            flow.beyond += 1;
            return;
        }
        flow.segments.push(SeenSegment { segment: *segment, is_cut: false, is_headless: false, bad_checksum: false });
        self.held += 1;
    }

    /// Hands over those of a connection that has ended, and how many more it had; those of a new one on the same ports stay.
    pub fn take(&mut self, ended: &Connection) -> (Vec<SeenSegment>, u64) {
        let (key, _) = key(ended);
        let Some(Flow { mut segments, beyond }) = self.flows.remove(&key) else { return (Vec::new(), 0) };
        self.held -= segments.len();
        let end_ns = ended.start_ns.saturating_add(ended.duration_ns);
        let is_new = |seen: &SeenSegment| {
            let record = &seen.segment.record;
            record.time_ns > end_ns && record.flags & (SYN | ACK) == SYN
        };
        let own = segments.iter().position(is_new).unwrap_or(segments.len());
        let of_next = segments.split_off(own);
        segments.retain(|seen| seen.segment.record.time_ns >= ended.start_ns);
        if of_next.is_empty() {
            return (segments, beyond);
        }
        self.held += of_next.len();
        self.flows.insert(key, Flow { segments: of_next, beyond });
        (segments, 0)
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
        assert_eq!(times(kept.take(&one).0), [100, 150, 160]);
        (one.start_ns, one.duration_ns) = (170, 10);
        assert_eq!(times(kept.take(&one).0), [170, 180]);
        assert_eq!((kept.take(&one).0.len(), kept.held, kept.refused()), (0, 0, 0));
    }
}

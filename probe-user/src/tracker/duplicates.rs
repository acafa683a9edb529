//! Duplicates: recognises segments that were captured twice (both directions mirrored twice, ingress and egress copies). Looks
//! at every SYN, FIN and RST, and at a sample of data segments.
//!
//! Only counts: in history and state a copy is what Zeek takes it for, a retransmission. A retransmission in truth has a
//! new IPv4 identification, or comes later than any copy.
//!
//! Data segments without identification (IPv6; IPv4 whose sender takes RFC 6864 4.1 at its word, which Linux does only for
//! what no socket sends) are not looked at: a fast retransmission is equal to them in every field, and comes as soon.

use probe_ebpf::layout::{FlowKey, RST, SegmentRecord};

use crate::tracker::flow_hash::{avalanche, fold};

/// Segments that were captured twice.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CopyCounts {
    /// SYN, FIN and RST segments.
    pub control_segments: u64,
    /// Of these, copies of one seen just before (mirrored twice).
    pub control_copies: u64,
    /// Data segments that were looked at: one in [`SAMPLED_ONE_IN`] of those with an IPv4 identification, chosen by what
    /// is in them, so that of a segment either every copy is looked at or none. Only where each segment is at hand:
    /// captures and AF_XDP.
    pub data_sampled: u64,
    /// Of these, copies of one seen just before.
    pub data_copies: u64,
    /// Copies of either kind whose TTL is not that of the first: a router lies between the two.
    pub other_ttl: u64,
}

/// Of so many data segments one is looked at.
pub const SAMPLED_ONE_IN: u32 = 64;

const MILLISECOND: u64 = 1_000_000;
/// A copy with the same IPv4 identification comes within this time: below any retransmission timeout (RFC 6298 2.4 says
/// one second, Linux 200 ms), above what switches and a second port add.
const WITH_ID: u64 = 50 * MILLISECOND;
/// The same without identification (IPv6, or 0): a tail-loss probe repeats a FIN after two round trips.
const WITHOUT_ID: u64 = MILLISECOND;
/// Segments remembered by each partition: a mirrored transfer is one flow, and dozens of its segments lie between copies.
pub(crate) const PLACES: usize = 4096;
/// Of a hash; the rest is the TTL.
const HASH: u64 = !0xff;

/// Recent segments that were looked at, by hash, and what was found.
#[derive(Debug)]
pub(crate) struct Copies {
    /// Segments remembered, a power of two.
    places: usize,
    recent: Vec<(u64, u64)>,
    counts: CopyCounts,
}

/// Whether a segment other than SYN, FIN and RST is one of the sample. Chosen by what is in it, not by count: either every
/// copy of a segment is looked at or none, and nothing need be remembered of the others.
#[inline(always)]
pub(crate) fn is_sampled(record: &SegmentRecord) -> bool {
    if record.ip_id == 0 || record.payload_len == 0 {
        return false;
    }
    let numbers = u64::from(record.seq) << 16 | u64::from(record.ip_id);
    let mixed = fold(numbers ^ 0x9e37_79b9_7f4a_7c15, 0xe703_7ed1_a0b4_28db);
    mixed.is_multiple_of(u64::from(SAMPLED_ONE_IN))
}

/// What a flow gives to the hash that places are found by: always the same, so that the same capture has the same copies.
/// Who aims at one place hides copies, and nothing else. Addresses of IPv4 do not overlap in the sums.
#[inline]
fn flow_part(flow: &FlowKey) -> u64 {
    let [a, b, c, d, ports] = flow.words;
    fold(
        a ^ c.rotate_left(32) ^ ports ^ 0xa076_1d64_78bd_642f,
        b ^ d.rotate_left(32) ^ ports.rotate_left(32) ^ 0xe703_7ed1_a0b4_28db,
    )
}

impl Copies {
    /// Remembers so many segments, a power of two.
    pub(crate) fn new(places: usize) -> Self {
        Self { places, recent: Vec::new(), counts: CopyCounts::default() }
    }

    /// What was found.
    pub(crate) fn counts(&self) -> CopyCounts {
        self.counts
    }

    /// Looks at a SYN, FIN or RST of a flow.
    #[inline]
    pub(crate) fn control(&mut self, record: &SegmentRecord, flow: &FlowKey) {
        self.counts.control_segments += 1;
        self.counts.control_copies += u64::from(self.is_copy(record, flow_part(flow)));
    }

    /// Looks at a data segment of the sample.
    #[cold]
    pub(crate) fn data(&mut self, record: &SegmentRecord, flow: &FlowKey) {
        self.counts.data_sampled += 1;
        self.counts.data_copies += u64::from(self.is_copy(record, flow_part(flow)));
    }

    /// Remembers a segment; whether it is a copy of one seen just now. The TTL may differ: a router in between.
    #[inline]
    fn is_copy(&mut self, record: &SegmentRecord, key: u64) -> bool {
        if self.recent.is_empty() {
            self.recent = vec![(0, 0); self.places];
        }
        let numbers = u64::from(record.seq) << 32 | u64::from(record.ack);
        let rest = u64::from(record.ip_id) << 48
            | u64::from(record.flags) << 32
            | u64::from(record.window) << 16
            | u64::from(record.payload_len as u16);
        // Numbers of one flow grow evenly; so would products of them, and lie in a few places.
        let product = fold(key ^ numbers, key.rotate_left(32) ^ rest);
        let hash = avalanche(product) & HASH | u64::from(record.ttl);
        let place = &mut self.recent[(hash >> 8) as usize & (self.places - 1)];
        let (before, before_ns) = std::mem::replace(place, (hash, record.time_ns));
        let within = match (record.ip_id, record.flags & RST != 0) {
            // Two resets of one closed port are equal, and both were sent.
            (0, true) => return false,
            (0, false) => WITHOUT_ID,
            _ => WITH_ID,
        };
        let is_copy = (before ^ hash) & HASH == 0 && record.time_ns.abs_diff(before_ns) <= within;
        self.counts.other_ttl += u64::from(is_copy && before != hash);
        is_copy
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_ebpf::layout::{ACK, FIN, SYN};

    /// Of a key.
    const KEY: u64 = 0x243f_6a88_85a3_08d3;

    fn record(flags: u16, ip_id: u16, time_ns: u64) -> SegmentRecord {
        SegmentRecord { time_ns, seq: 7, ip_id, flags, ttl: 64, ..SegmentRecord::default() }
    }

    #[test]
    fn a_copy_is_told_from_a_retransmission() {
        let mut copies = Copies::new(PLACES);
        assert!(!copies.is_copy(&record(SYN, 5, 1000), KEY));
        assert!(copies.is_copy(&record(SYN, 5, 2000), KEY), "mirrored twice");
        assert!(!copies.is_copy(&record(SYN, 6, 3000), KEY), "sent again, with the next identification");
        assert!(!copies.is_copy(&record(SYN, 5, 1_000_000_000), KEY), "too late for a copy");
        assert!(!copies.is_copy(&record(SYN | ACK, 0, 0), KEY));
        assert!(copies.is_copy(&record(SYN | ACK, 0, 10_000), KEY));
        assert!(!copies.is_copy(&record(SYN | ACK, 0, 200 * MILLISECOND), KEY));
        assert!(!copies.is_copy(&record(SYN | ACK, 0, 200 * MILLISECOND), KEY + 1), "another connection");
        assert!(!copies.is_copy(&record(RST, 0, 0), KEY) && !copies.is_copy(&record(RST, 0, 1), KEY));
        assert_eq!(copies.counts().other_ttl, 0);
    }

    #[test]
    fn others_of_the_connection_may_come_between() {
        let mut copies = Copies::new(PLACES);
        let ends = [record(FIN | ACK, 5, 1000), record(RST | ACK, 6, 2000)];
        let data = (0..60).map(|number| SegmentRecord { seq: 1000 + number, ..record(ACK, 100 + number as u16, 3000) });
        let all: Vec<SegmentRecord> = ends.into_iter().chain(data).collect();
        assert!(!all.iter().any(|one| copies.is_copy(one, KEY)));
        let found = all.iter().filter(|one| copies.is_copy(&SegmentRecord { time_ns: 50_000, ..**one }, KEY)).count();
        // Two of them may have met in one place.
        assert!(found >= all.len() - 4, "{found} of {}", all.len());
    }

    #[test]
    fn a_copy_behind_a_router_is_one_with_another_ttl() {
        let mut copies = Copies::new(PLACES);
        let flow = FlowKey::default();
        copies.control(&record(SYN, 5, 1000), &flow);
        copies.control(&SegmentRecord { ttl: 63, ..record(SYN, 5, 2000) }, &flow);
        let expected = CopyCounts { control_segments: 2, control_copies: 1, other_ttl: 1, ..CopyCounts::default() };
        assert_eq!(copies.counts(), expected);
    }

    #[test]
    fn the_same_segments_have_the_same_copies_whatever_the_seed_of_the_table() {
        use crate::tracker::{Extra, Tracker, TrackerConfig};
        use probe_ebpf::layout::{Endpoint, Segment};
        let counts = |hash_seed: u64| {
            let mut tracker = Tracker::new(TrackerConfig { hash_seed, ..TrackerConfig::default() });
            // So many between a segment and its copy that some are forgotten: which ones must not depend on the seed.
            for turn in 0..2 {
                for number in 0..6000_u32 {
                    let client = Endpoint::v4(number.to_be(), 40_000);
                    let key = FlowKey::normalised(client, Endpoint::v4(7_u32.to_be(), 80), 0).0;
                    let record = record(SYN, 1 + number as u16, 1_000_000 + turn * 20_000);
                    tracker.observe(&Segment { key, record, first_bytes: 0 }, Extra::default());
                }
            }
            tracker.stats().copies
        };
        let (one, other) = (counts(1), counts(0xdead_beef));
        assert_eq!(one, other);
        assert!(one.control_copies > 0 && one.control_copies < 6000, "{one:?}");
    }

    #[test]
    fn the_sample_is_one_in_so_many_whatever_the_sender_counts_by() {
        for (step, id_step) in [(1448, 1), (1, 1), (1460, 0), (512, 7), (65_160, 45)] {
            for start in [0, 0x9abc_def0_u32] {
                let count = 1 << 17;
                let of = |number: u32| SegmentRecord {
                    seq: start.wrapping_add(number.wrapping_mul(step)),
                    ip_id: 1 + (number.wrapping_mul(id_step) % 65_535) as u16,
                    payload_len: 100,
                    ..SegmentRecord::default()
                };
                let sampled = (0..count).filter(|&number| is_sampled(&of(number))).count() as f64;
                let share = sampled / f64::from(count) * f64::from(SAMPLED_ONE_IN);
                assert!((0.8..1.25).contains(&share), "{step} and {id_step}: {share}");
            }
        }
        let plain = SegmentRecord { seq: 0, ip_id: 0, payload_len: 9, ..SegmentRecord::default() };
        assert!(!is_sampled(&plain), "without identification");
    }
}

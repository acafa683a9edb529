//! Control segments that were captured twice: both directions mirrored twice, or ingress and egress copies of one frame.
//!
//! Only counts: in history and state a copy is what Zeek takes it for, a retransmission. A retransmission in truth has a
//! new IPv4 identification, or comes later than any copy.

use probe_ebpf::layout::{RST, Segment};

const MILLISECOND: u64 = 1_000_000;
/// A copy with the same IPv4 identification comes within this time: below any retransmission timeout (RFC 6298 2.4 says
/// one second, Linux 200 ms), above what switches and a second port add.
const WITH_ID: u64 = 50 * MILLISECOND;
/// The same without identification (IPv6, or 0): a tail-loss probe repeats a FIN after two round trips.
const WITHOUT_ID: u64 = MILLISECOND;
/// Control segments remembered.
const PLACES: usize = 4096;

/// Recent control segments, by hash.
#[derive(Debug)]
pub(super) struct Copies {
    recent: Vec<(u64, u64)>,
    seed: u64,
}

impl Copies {
    pub(super) fn new(seed: u64) -> Self {
        Self { recent: Vec::new(), seed }
    }

    /// Remembers a control segment; whether it is a copy of one seen just now. The TTL may differ: a router in between.
    pub(super) fn is_copy(&mut self, segment: &Segment) -> bool {
        let record = &segment.record;
        if self.recent.is_empty() {
            self.recent = vec![(0, 0); PLACES];
        }
        let numbers = u64::from(record.seq) << 32 | u64::from(record.ack);
        let rest = u64::from(record.ip_id) << 48
            | u64::from(record.flags) << 32
            | u64::from(record.window) << 16
            | u64::from(record.payload_len as u16);
        let seed = (self.seed ^ numbers).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ rest;
        let hash = segment.key.hash(seed);
        let place = &mut self.recent[hash as usize % PLACES];
        let before = std::mem::replace(place, (hash, record.time_ns));
        let within = match (record.ip_id, record.flags & RST != 0) {
            // Two resets of one closed port are equal, and both were sent.
            (0, true) => return false,
            (0, false) => WITHOUT_ID,
            _ => WITH_ID,
        };
        before.0 == hash && record.time_ns.abs_diff(before.1) <= within
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use probe_ebpf::layout::{ACK, Endpoint, FlowKey, SYN, SegmentRecord};

    fn segment(flags: u16, ip_id: u16, time_ns: u64) -> Segment {
        let end = |host: u32| Endpoint::v4(host, 80);
        let key = FlowKey::normalised(end(1), end(2), 0).0;
        Segment {
            key,
            record: SegmentRecord { time_ns, seq: 7, ip_id, flags, ..SegmentRecord::default() },
            rst_note: 0,
        }
    }

    #[test]
    fn a_copy_is_told_from_a_retransmission() {
        let mut copies = Copies::new(1);
        assert!(!copies.is_copy(&segment(SYN, 5, 1000)));
        assert!(copies.is_copy(&segment(SYN, 5, 2000)), "mirrored twice");
        assert!(!copies.is_copy(&segment(SYN, 6, 3000)), "sent again, with the next identification");
        assert!(!copies.is_copy(&segment(SYN, 5, 1_000_000_000)), "too late for a copy");
        assert!(!copies.is_copy(&segment(SYN | ACK, 0, 0)));
        assert!(copies.is_copy(&segment(SYN | ACK, 0, 10_000)));
        assert!(!copies.is_copy(&segment(SYN | ACK, 0, 200 * MILLISECOND)));
        assert!(!copies.is_copy(&segment(RST, 0, 0)) && !copies.is_copy(&segment(RST, 0, 1)));
    }
}

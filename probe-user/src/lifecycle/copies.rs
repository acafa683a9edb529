//! Control segments that were captured twice: both directions mirrored twice, or ingress and egress copies of one frame.
//!
//! Only counts: in history and state a copy is what Zeek takes it for, a retransmission. A retransmission in truth has a
//! new IPv4 identification, or comes later than any copy.

use probe_ebpf::layout::{RST, SegmentRecord};

use super::hash::fold;

const MILLISECOND: u64 = 1_000_000;
/// A copy with the same IPv4 identification comes within this time: below any retransmission timeout (RFC 6298 2.4 says
/// one second, Linux 200 ms), above what switches and a second port add.
const WITH_ID: u64 = 50 * MILLISECOND;
/// The same without identification (IPv6, or 0): a tail-loss probe repeats a FIN after two round trips.
const WITHOUT_ID: u64 = MILLISECOND;
/// Control segments remembered.
const PLACES: usize = 4096;

/// Recent control segments, by hash.
#[derive(Debug, Default)]
pub(super) struct Copies {
    recent: Vec<(u64, u64)>,
}

impl Copies {
    /// Remembers a control segment, whose key has the hash `key`; whether it is a copy of one seen just now. The TTL may
    /// differ: a router in between.
    #[inline]
    pub(super) fn is_copy(&mut self, record: &SegmentRecord, key: u64) -> bool {
        if self.recent.is_empty() {
            self.recent = vec![(0, 0); PLACES];
        }
        let numbers = u64::from(record.seq) << 32 | u64::from(record.ack);
        let rest = u64::from(record.ip_id) << 48
            | u64::from(record.flags) << 32
            | u64::from(record.window) << 16
            | u64::from(record.payload_len as u16);
        let hash = fold(key ^ numbers, key.rotate_left(32) ^ rest);
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
    use probe_ebpf::layout::{ACK, SYN};

    /// Of a key.
    const HASH: u64 = 0x243f_6a88_85a3_08d3;

    fn record(flags: u16, ip_id: u16, time_ns: u64) -> SegmentRecord {
        SegmentRecord { time_ns, seq: 7, ip_id, flags, ..SegmentRecord::default() }
    }

    #[test]
    fn a_copy_is_told_from_a_retransmission() {
        let mut copies = Copies::default();
        assert!(!copies.is_copy(&record(SYN, 5, 1000), HASH));
        assert!(copies.is_copy(&record(SYN, 5, 2000), HASH), "mirrored twice");
        assert!(!copies.is_copy(&record(SYN, 6, 3000), HASH), "sent again, with the next identification");
        assert!(!copies.is_copy(&record(SYN, 5, 1_000_000_000), HASH), "too late for a copy");
        assert!(!copies.is_copy(&record(SYN | ACK, 0, 0), HASH));
        assert!(copies.is_copy(&record(SYN | ACK, 0, 10_000), HASH));
        assert!(!copies.is_copy(&record(SYN | ACK, 0, 200 * MILLISECOND), HASH));
        assert!(!copies.is_copy(&record(SYN | ACK, 0, 200 * MILLISECOND), HASH + 1), "another connection");
        assert!(!copies.is_copy(&record(RST, 0, 0), HASH) && !copies.is_copy(&record(RST, 0, 1), HASH));
    }
}

//! Layout of the maps that kernel and user space share, byte for byte.
//!
//! The kernel program writes these types into `BPF_F_MMAPABLE` arrays, user space reads them through the mapping. Of
//! the maps that are drained each CPU has two regions: one belongs to the epoch being written, the other to the epoch being
//! drained. A region has a single writer (XDP and tc run with bottom halves disabled), so nothing here is atomic.
//!
//! Must not know: how a slot is found, who reads it, what a connection is.

use core::mem::{offset_of, size_of};

/// Version of every layout in this module; the object carries it and the loader compares (`ABI_VERSION` global).
pub const ABI_VERSION: u32 = 6;

mod counters;
mod flood;
mod flow;
mod host_event;
mod queue_counters;
mod segment;
mod slot;

pub use counters::*;
pub use flood::*;
pub use flow::*;
pub use host_event::*;
pub use queue_counters::*;
pub use segment::*;
pub use slot::*;

const _: () = {
    assert!(size_of::<FlowKey>() == 40 && size_of::<SegmentRecord>() == 32 && size_of::<DirectionCounters>() == 64);
    assert!(offset_of!(DirectionCounters, packets) == 24 && offset_of!(DirectionCounters, last_payload) == 62);
    assert!(size_of::<Slot>() == 192 && offset_of!(Slot, lo) == 64 && offset_of!(Slot, hi) == 128);
    assert!(offset_of!(Slot, first_bytes) == 40 && offset_of!(Slot, isn) == 56);
    assert!(size_of::<JournalEntry>() == 48 && offset_of!(JournalEntry, slot) == 40);
    assert!(size_of::<Bucket>() == 64 && size_of::<LogEntry>() == 88 && size_of::<FlagCounts>() == 32);
    assert!(offset_of!(EpochCounters, slots) == 72 && offset_of!(EpochCounters, seen) == 96);
    assert!(offset_of!(EpochCounters, rejected) == 192 && offset_of!(EpochCounters, flooded) == 384);
    assert!(size_of::<EpochCounters>() == 512 && size_of::<CpuCounters>() == 1024);
    assert!(size_of::<ServiceRow>() == 64 && size_of::<OpeningSet>() == 64 && size_of::<Opening>() == 80);
    assert!(size_of::<QueueRow>() == 32 && size_of::<Control>() == 64 && size_of::<ResetEvent>() == 104);
    assert!(size_of::<HostEvent>() == 56);
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_share_a_key_and_differ_in_direction() {
        let a = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 1]), 40000);
        let b = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 2]), 80);
        let (one, from_hi_one) = FlowKey::normalised(a, b, 7);
        let (two, from_hi_two) = FlowKey::normalised(b, a, 7);
        assert_eq!(one, two);
        assert_ne!(from_hi_one, from_hi_two);
        assert_eq!(one.domain(), 7);
        let ends = [one.lo(), one.hi()];
        assert!(ends.contains(&a) && ends.contains(&b));
        assert_eq!(a.octets(), [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, 1]);
        assert_eq!(Endpoint::from_octets(a.octets(), a.port), a);
    }

    #[test]
    fn equal_addresses_are_ordered_by_port() {
        let end = |port| Endpoint::v4(1, port);
        let (key, from_hi) = FlowKey::normalised(end(5), end(4), 0);
        assert!(from_hi);
        assert_eq!((key.lo().port, key.hi().port), (4, 5));
        let (_, from_hi) = FlowKey::normalised(end(5), end(5), 0);
        assert!(!from_hi, "a segment from an endpoint to itself is always lo");
    }

    #[test]
    fn window_scale_is_kept_beside_the_flags() {
        let mut record = SegmentRecord { flags: SYN | FROM_HI, ..SegmentRecord::default() };
        record.put_window_scale(None);
        assert_eq!(record.window_scale(), None);
        record.put_window_scale(Some(200));
        assert_eq!(record.window_scale(), Some(14));
        assert!(record.has(SYN) && record.from_hi() && record.is_control());
    }

    #[test]
    fn sequence_space_counts_syn_and_fin() {
        let record = SegmentRecord { seq: u32::MAX, payload_len: 3, flags: SYN | FIN, ..SegmentRecord::default() };
        assert_eq!(record.sequence_len(), 5);
        assert_eq!(record.seq_end(), 4);
    }
}

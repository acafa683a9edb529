//! Tracker statistics: counts of what was tracked, written, evicted and left out.

use crate::tracker::{
    checksum_offload::OffloadCounts, duplicates::CopyCounts, icmp::IcmpCounts, kernel_reports::KernelReportCounts,
    kernel_resets::UnmatchedResets,
};

/// Counts of a [`crate::tracker::Tracker`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct TrackerStats {
    /// Connections tracked now.
    pub tracked: u64,
    /// Most connections ever tracked at once by each partition, added: no fewer than there ever were.
    pub peak: u64,
    /// Connections created.
    pub created: u64,
    /// Records written.
    pub written: u64,
    /// Segments taken by `observe`, `transition` aside.
    pub segments: u64,
    /// Segments dropped for a bad checksum (they are not in `segments`).
    pub bad_checksums: u64,
    /// Counters that came for a key without a connection.
    pub orphan_counts: u64,
    /// Evicted while they were an attempt without answer.
    pub evicted_embryonic: u64,
    /// Evicted after their end, during the linger time.
    pub evicted_closed: u64,
    /// Evicted as the one that was idle for longest.
    pub evicted_idle: u64,
    /// Segments that came after the end of a connection that is no longer tracked.
    pub late_segments: u64,
    /// Reports of the host's kernel on resets that belong to no RST which was seen.
    pub unmatched_resets: UnmatchedResets,
    /// What the host's kernel says of connections besides their resets.
    pub kernel_reports: KernelReportCounts,
    /// What was captured twice.
    pub copies: CopyCounts,
    /// RST segments that began a record of their own: no connection of theirs was known.
    pub unattributed_rst: u64,
    /// ICMP errors that quote TCP.
    pub icmp: IcmpCounts,
    /// Options and text of RSTs that there was no room for.
    pub reset_options_unkept: u64,
    /// Connections captured on a host that leaves checksums to its NIC.
    pub offload: OffloadCounts,
}

impl TrackerStats {
    /// The counts of two together.
    pub(crate) fn plus(self, other: &Self) -> Self {
        let Self { unmatched_resets, kernel_reports, copies, icmp, offload, .. } = self;
        Self {
            tracked: self.tracked + other.tracked,
            peak: self.peak + other.peak,
            created: self.created + other.created,
            written: self.written + other.written,
            segments: self.segments + other.segments,
            bad_checksums: self.bad_checksums + other.bad_checksums,
            orphan_counts: self.orphan_counts + other.orphan_counts,
            evicted_embryonic: self.evicted_embryonic + other.evicted_embryonic,
            evicted_closed: self.evicted_closed + other.evicted_closed,
            evicted_idle: self.evicted_idle + other.evicted_idle,
            late_segments: self.late_segments + other.late_segments,
            unmatched_resets: UnmatchedResets {
                of_others: unmatched_resets.of_others + other.unmatched_resets.of_others,
                no_connection: unmatched_resets.no_connection + other.unmatched_resets.no_connection,
                not_seen: unmatched_resets.not_seen + other.unmatched_resets.not_seen,
                no_peer: unmatched_resets.no_peer + other.unmatched_resets.no_peer,
            },
            kernel_reports: KernelReportCounts {
                matched: kernel_reports.matched + other.kernel_reports.matched,
                unmatched: kernel_reports.unmatched + other.kernel_reports.unmatched,
                of_others: kernel_reports.of_others + other.kernel_reports.of_others,
                unkept: kernel_reports.unkept + other.kernel_reports.unkept,
            },
            copies: CopyCounts {
                control_segments: copies.control_segments + other.copies.control_segments,
                control_copies: copies.control_copies + other.copies.control_copies,
                data_sampled: copies.data_sampled + other.copies.data_sampled,
                data_copies: copies.data_copies + other.copies.data_copies,
                other_ttl: copies.other_ttl + other.copies.other_ttl,
            },
            unattributed_rst: self.unattributed_rst + other.unattributed_rst,
            icmp: IcmpCounts {
                matched: icmp.matched + other.icmp.matched,
                unmatched: icmp.unmatched + other.icmp.unmatched,
                unkept: icmp.unkept + other.icmp.unkept,
            },
            reset_options_unkept: self.reset_options_unkept + other.reset_options_unkept,
            offload: OffloadCounts {
                connections: offload.connections + other.offload.connections,
                segments: offload.segments + other.offload.segments,
            },
        }
    }
}

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
    /// Most connections ever tracked at once.
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

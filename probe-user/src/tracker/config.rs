//! Tracker configuration and statistics.

use std::net::IpAddr;

use probe_ebpf::layout::Segment;

use crate::tracker::checksum_offload::OffloadCounts;
use crate::tracker::icmp::IcmpCounts;
use crate::tracker::kernel_word::UnmatchedResets;
use crate::tracker::server_ports::LIKELY_SERVER_PORTS;

const SECOND: u64 = 1_000_000_000;

/// Timeouts, nanoseconds. The defaults are Zeek's (base/init-bare.zeek, base/protocols/conn/inactivity.zeek).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Timers {
    /// An attempt without answer is written this long after its SYN (`tcp_attempt_delay`).
    pub attempt: u64,
    /// First look at a connection, counted from its first segment (`tcp_SYN_timeout`).
    pub first_check: u64,
    /// Further looks (`tcp_session_timer`).
    pub check: u64,
    /// Silence after which a look finds a closed connection finished (`tcp_connection_linger`).
    pub linger: u64,
    /// From the complete close to the writing of the record (`tcp_close_delay`).
    pub close: u64,
    /// Silence before anything but a handshake was seen (`udp_inactivity_timeout`).
    pub inactive_handshake: u64,
    /// Silence of an established connection (`tcp_inactivity_timeout`).
    pub inactive: u64,
    /// The same for interactive services, ports 21, 22, 23 and 513 (`Conn::port_inactivity_timeouts`).
    pub inactive_interactive: u64,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            attempt: 5 * SECOND,
            first_check: 5 * SECOND,
            check: 6 * SECOND,
            linger: 5 * SECOND,
            close: 5 * SECOND,
            inactive_handshake: 60 * SECOND,
            inactive: 300 * SECOND,
            inactive_interactive: 3600 * SECOND,
        }
    }
}

/// How a [`crate::tracker::Tracker`] works.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrackerConfig {
    /// Timeouts.
    pub timers: Timers,
    /// Connections held at once; beyond it one is evicted per new one: embryonic first, then closed and lingering,
    /// then the one idle for longest.
    pub max_connections: usize,
    /// Sorted TCP ports by which the server is guessed when no SYN was seen.
    pub likely_server_ports: Vec<u16>,
    /// True when pure ACKs reach the tracker (captures, AF_XDP, depth `full`): only then is a missing
    /// acknowledgement evidence.
    pub pure_acks_seen: bool,
    /// Records say what their verdicts rest on; false where nobody will look.
    pub evidence: bool,
    /// Names of the reasons that [`crate::tracker::Tracker::kernel_reset`] gives by number.
    pub kernel_reasons: Vec<String>,
    /// Addresses of this host, of whose resets its kernel tells; empty where it does not.
    pub own_addresses: Vec<IpAddr>,
    /// Seed of the hash by which connections are found: drawn by the caller, so that nobody can aim for one bucket.
    pub hash_seed: u64,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self {
            timers: Timers::default(),
            max_connections: 1_000_000,
            likely_server_ports: LIKELY_SERVER_PORTS.to_vec(),
            pure_acks_seen: true,
            evidence: true,
            kernel_reasons: Vec::new(),
            own_addresses: Vec::new(),
            hash_seed: 0x243f_6a88_85a3_08d3,
        }
    }
}

/// What a capture knows of a segment beyond its header. The default says "nothing unusual".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extra {
    /// The TCP checksum is wrong: the segment is noted in the history (`C`) and otherwise dropped, as Zeek does.
    pub bad_checksum: bool,
    /// The payload was not captured whole (snap length): it cannot fill a content gap.
    pub payload_cut: bool,
    /// How much of the TCP header can be read.
    pub header: Header,
}

/// A segment, and what its capture knows beyond its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The segment.
    pub segment: Segment,
    /// The rest.
    pub extra: Extra,
}

/// How much of a TCP header can be read. With less than all of it a connection may begin, and nothing more, as in Zeek.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Header {
    /// All of it.
    #[default]
    Whole,
    /// Its options end after the packet or, where Zeek is followed to the letter, after what was captured.
    Cut,
    /// It claims to be shorter than 20 bytes: not even its flags are believed where a connection is known.
    Contradictory,
}

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

/// Books of a [`crate::tracker::Tracker`].
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

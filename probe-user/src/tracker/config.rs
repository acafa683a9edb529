//! Tracker configuration: timeouts, bounds, and what is known of the host.

use std::{net::IpAddr, sync::Arc};

use crate::{
    tcp::timers::Timers,
    tracker::{server_ports::LIKELY_SERVER_PORTS, unwatched::Unwatched},
    zone::Zones,
};

/// How a [`crate::tracker::Tracker`] works.
#[derive(Clone, Debug)]
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
    pub facts: bool,
    /// Names for the ends and services of records; `None` where nobody will ask.
    pub zones: Option<Arc<Zones>>,
    /// Names of the reasons that [`crate::tracker::Tracker::kernel_reset`] gives by number.
    pub kernel_reasons: Vec<String>,
    /// Names of the reasons of [`crate::tracker::KernelWord::Dropped`] by number.
    pub drop_reasons: Vec<String>,
    /// Addresses of this host, of whose resets its kernel tells; empty where it does not.
    pub own_addresses: Vec<IpAddr>,
    /// When not everything was watched.
    pub unwatched: Unwatched,
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
            facts: true,
            zones: Some(Arc::default()),
            kernel_reasons: Vec::new(),
            drop_reasons: Vec::new(),
            own_addresses: Vec::new(),
            unwatched: Unwatched::default(),
            hash_seed: 0x243f_6a88_85a3_08d3,
        }
    }
}

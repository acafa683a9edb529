//! Tracker: segments (and, on the live path, counters) in time order in, connection records out. Pure: no clock, no I/O, no
//! output in hash order.
//!
//! * [`Tracker`] gives each segment to the `partition` of its flow, which finds its connection, applies it, and says what ends.
//! * `batch` numbers the `steps` of the stream and finds whose is what; `merge` brings together what ends, in that order.
//! * `timer_wheel` fires timers on the time that segments carry, `deadline` says when and what for, as Zeek does.
//! * `ended` holds what has ended until its record is made by `to_record`: in `merge`, or in `making`, beside other partitions.
//!
//! Must not know: clocks, files, sockets, BPF maps, how a record is shown.
#![expect(
    clippy::inline_always,
    reason = "what a segment goes through is compiled as one, once for each kind of segment"
)]

pub(crate) mod batch;
pub(crate) mod checksum_offload;
pub(crate) mod config;
pub(crate) mod deadline;
pub(crate) mod duplicates;
pub(crate) mod ended;
pub(crate) mod eviction;
pub(crate) mod flow_hash;
pub(crate) mod icmp;
pub(crate) mod index;
pub(crate) mod kernel_reports;
pub(crate) mod kernel_resets;
pub(crate) mod making;
pub(crate) mod merge;
pub(crate) mod partition;
mod partition_inputs;
pub(crate) mod pool;
pub(crate) mod process;
pub(crate) mod queue;
pub(crate) mod reset_options;
pub(crate) mod roles;
pub(crate) mod server_ports;
mod shared_work;
mod side_inputs;
pub(crate) mod stats;
pub(crate) mod steps;
pub(crate) mod table;
pub(crate) mod timer_wheel;
pub(crate) mod to_record;
pub(crate) mod tombstone;
pub(crate) mod tracking;
pub(crate) mod unwatched;

pub use crate::tcp::{Arrival, Extra, Header, Timers};
pub(crate) use batch::PARTITIONS;
pub use batch::{Batch, Between, ResetText};
pub use checksum_offload::OffloadCounts;
pub use config::TrackerConfig;
pub use duplicates::{CopyCounts, SAMPLED_ONE_IN};
pub(crate) use ended::Outcome;
pub use icmp::{IcmpCounts, IcmpReport};
pub use kernel_reports::{KernelReport, KernelReportCounts, KernelWord};
pub use kernel_resets::{ReportedReset, Unmatched, UnmatchedResets};
pub(crate) use partition::Partition;
pub use process::Process;
pub(crate) use queue::Work;
pub use reset_options::ResetOptions;
pub use server_ports::LIKELY_SERVER_PORTS;
pub use stats::TrackerStats;
pub(crate) use steps::StepCounter;
pub use tracking::{Left, Tracker};
pub use unwatched::Unwatched;

#[cfg(test)]
mod tests;

//! Connection tracking and verdicts: segments in, connection records out. Pure: no clock, no I/O, no allocation-order-dependent output.
//!
//! * [`Tracker`] takes segments (and, on the live path, counters) in time order and yields [`Connection`] records.
//! * `machine` moves the two endpoint states of one connection, `reassembly` knows which bytes were never seen,
//!   `wheel` fires timers on the time that segments carry, `deadline` says when and what for. Together they
//!   follow Zeek rule by rule, so that `conn_state`, `history`, sizes and the moment of writing are Zeek's.
//! * `ended` holds what has ended until a few records are made at once.
//! * `verdict` and `cause` say how it opened, how it closed, who reset it and why, from the evidence kept in `evidence`.
//!
//! Must not know: clocks, files, sockets, BPF maps, how a record is shown.

#![expect(
    clippy::inline_always,
    reason = "what a segment goes through is compiled as one, once for each kind of segment"
)]

mod brief;
mod checksum_offload;
mod config;
mod connection;
mod counting;
mod deadline;
mod duplicates;
mod ended;
mod endpoint;
mod eviction;
mod evidence;
mod fact;
mod flow_hash;
mod form;
mod history;
mod icmp;
mod index;
mod injection;
mod kernel_word;
mod ledger;
mod names;
mod outcome;
mod pool;
mod process;
mod reassembly;
mod render;
mod reset_options;
mod roles;
mod server_ports;
mod state_before;
mod state_machine;
mod table;
mod timer_blocks;
mod timer_wheel;
mod tombstone;
mod track;
mod tracker;
mod verdict;

pub use checksum_offload::OffloadCounts;
pub use config::{Arrival, CopyCounts, Extra, Header, SAMPLED_ONE_IN, Timers, TrackerConfig, TrackerStats};
pub use connection::*;
pub use fact::{Evidence, Value};
pub use history::Letters;
pub use icmp::{IcmpCounts, IcmpReport};
pub use kernel_word::{KernelWord, Unmatched, UnmatchedResets};
pub use process::Process;
pub use reset_options::ResetOptions;
pub use server_ports::LIKELY_SERVER_PORTS;
pub use tracker::{Left, Tracker};

#[cfg(test)]
mod tests;

//! The live source: the XDP program, its maps and the interfaces it is attached to.
//!
//! * [`engine`]: loads the object, flips epochs, drains them in time order, checks the books.
//! * [`attach`]: interfaces, bpf_links, modes, promiscuous membership.
//! * [`xsk_maps`]: the sockets of the other data path ([`super::xsk`]), and the program's way to them.
//! * `control_block`: control values that the program reads, and the counters that it writes.
//! * `drain`: what an epoch has left, in the order of time.
//! * [`host_traffic`]: whether an interface carries the host's own traffic.
//! * [`snapshots`]: first bytes of frames, through a ring buffer per CPU.
//! * [`egress`]: what an interface sends, by tcx or a filter on clsact ([`clsact`]), of which the owner is known ([`owner`]).
//! * [`leftover`]: what a killed rstprobe has left on interfaces.
//! * [`hook_holder`]: whether another rstprobe has an XDP hook, and which process that is.
//! * [`host`]: egress and the kernel's own reset reasons, on the host itself.
//! * [`netdev`]: facts about an interface (MTU, driver, offloads, who holds its XDP hook).
//! * [`driver_losses`]: what its driver counts as lost on the way in.
//! * `features`: what its driver can do with XDP.
//! * [`native_prediction`]: whether native mode will do, as far as it shows before trying; what to do once it is refused.
//! * [`kernel_features`]: what this kernel has, found by trying.
//! * [`offloads`]: which are on, and which are fixed.
//! * `verifier`: which line of its log says why.
//! * `xdp_trial`: the kernel's words on a refused attachment.
//! * [`link_layer`]: what frames of an interface begin with.
//! * [`privilege`]: what the process may do.
//! * [`queues`]: what came in on which interface and queue.
//! * [`services`]: what floods are made of: counts by service, of what is not kept per flow.
//! * `trace` (a feature): what the program logs of frames that it rejects.

pub mod accounting;
pub mod attach;
mod attach_mode;
mod btf;
pub mod clsact;
mod control_block;
mod drain;
pub mod driver_losses;
pub mod egress;
pub mod engine;
pub mod engine_config;
mod error;
mod ethtool;
mod fault_injection;
mod features;
mod flood;
pub mod hook_holder;
pub mod host;
pub mod host_event_format;
pub mod host_events;
pub mod host_traffic;
pub mod kernel_features;
pub mod leftover;
pub mod link_layer;
mod loader;
mod mapping;
pub mod native_prediction;
pub mod netdev;
pub mod offloads;
pub mod owner;
pub mod privilege;
pub mod process;
pub mod queues;
pub mod rtnetlink;
pub mod services;
mod sink;
pub mod snapshots;
#[cfg(feature = "trace")]
pub mod trace;
mod tracefs;
mod tracepoint_format;
mod verifier;
mod xdp_trial;
pub mod xsk_maps;

pub use error::LiveError;

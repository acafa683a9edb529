//! Agent: the live session, from attach to the final drain, with its clocks, signals and threads.

pub(crate) mod clock;
pub(crate) mod confinement;
pub(crate) mod descriptors;
pub(crate) mod detach;
pub(crate) mod drain_interval;
pub(crate) mod driver_silence;
pub(crate) mod feed;
pub(crate) mod host_view;
pub(crate) mod interface_counters;
pub(crate) mod interface_watch;
mod kernel_words;
pub mod partition_pool;
pub(crate) mod session;
pub(crate) mod signals;
pub(crate) mod time_watch;
pub(crate) mod xsk_reader;

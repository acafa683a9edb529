//! The laboratory: every cause that Linux can produce, watched from several places, against what the kernel says.
//!
//! * [`views`]: where the probe stands, and one run of all scenarios from there.
//! * [`trace`]: the kernel's own reason for every reset it sends (`tcp:tcp_send_reset`).
//! * [`capture`]: the same frames as a file, and what `rstprobe read` says of it.
//! * [`groups`]: which causes packets cannot tell apart, with the reason.
//! * [`matrix`]: expected against said, and how it is shown.
//! * [`dialogue`], [`forgery`], [`dice`]: conversations with forged resets, and with what only looks like them.

pub mod capture;
pub mod dialogue;
pub mod dice;
pub mod forgery;
pub mod groups;
pub mod matrix;
pub mod trace;
pub mod views;

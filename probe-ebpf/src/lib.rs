//! Code and layouts that the kernel program and user space share.
//!
//! * [`layout`]: what lies in the maps, byte for byte.
//! * [`flood`]: which segments are counted by service when there are too many to be kept.
//! * [`parse`]: frame bytes to [`layout::Segment`]; one parser for XDP, AF_XDP and capture files.
//! * [`tunnel`]: the way to a segment inside other protocols, where the plain parser gives up.
//! * [`xsk_redirect`]: what goes with a frame to an AF_XDP socket.
//! * [`record`]: what one segment does to one flow slot.
//! * [`frame_snapshot`]: the first bytes of a frame, as evidence.
//! * [`bench_flows`]: how the benchmark makes many flows of one frame.
//!
//! These are pure `core`: no allocation, no clock, no maps, no aya, so that the same lines run in the kernel, in
//! the agent and under `cargo test`. The XDP program (`src/program`, target `bpfel-unknown-none`) is a thin shell
//! around them and takes no decision that they could take.
//!
//! ABI rules: integers only, `repr(C)`, every byte named (padding too), sizes and offsets asserted at compile time.
//! Multi-byte header fields are stored in host order, addresses in network order.
#![no_std]
#![expect(clippy::inline_always, reason = "a call is dear in BPF, and the verifier follows inlined code better")]

pub mod bench_flows;
pub mod flood;
pub mod frame_snapshot;
pub mod layout;
pub mod parse;
pub mod record;
pub mod tunnel;
pub mod xsk_redirect;

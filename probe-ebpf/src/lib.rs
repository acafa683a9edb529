//! Everything the kernel program and user space must agree on.
//!
//! * [`layout`]: what lies in the maps, byte for byte.
//! * [`flood`]: which segments are counted by service when there are too many to be kept.
//! * [`parse`]: frame bytes to [`layout::Segment`]; one parser for XDP, AF_XDP and capture files.
//! * [`tunnel`]: the way to a segment inside other protocols, where the plain parser gives up.
//! * [`record`]: what one segment does to one flow slot.
//! * [`drive`]: how the benchmark makes many flows of one frame.
//!
//! These are pure `core`: no allocation, no clock, no maps, no aya, so that the same lines run in the kernel, in
//! the agent and under `cargo test`. The XDP program (`src/main.rs`, target `bpfel-unknown-none`) is a thin shell
//! around them and takes no decision that they could take.
//!
//! ABI rules: integers only, `repr(C)`, every byte named (padding too), sizes and offsets asserted at compile time.
//! Multi-byte header fields are stored in host order, addresses in network order.
#![no_std]
#![expect(clippy::inline_always, reason = "a call is dear in BPF, and the verifier follows inlined code better")]

pub mod drive;
pub mod flood;
pub mod layout;
pub mod parse;
pub mod record;
pub mod tunnel;

//! Capture files: pcap, pcapng, snoop and ERF, plain, gzip or zstd, from a path or from standard input.
//!
//! [`CaptureFile`] yields frames in file order; [`Decoder`] makes a segment of each or says in its [`Accounting`] why not,
//! with the same parser as the kernel program; fragmented packets are put together first. Plain frames, nearly all, have a
//! shorter way to the same. Every frame ends in exactly one of the books' counters.
//!
//! Must not know: connections, verdicts, outputs.

#![expect(
    clippy::inline_always,
    reason = "a frame passes through many small functions, all of which must melt into one"
)]

mod address;
mod ahead;
mod beside;
mod checksum;
mod compression;
mod decode;
mod decoded;
mod encapsulation;
mod erf;
mod error;
mod fast_path;
mod file;
mod fragment;
mod frame;
mod ieee80211;
mod input;
mod link;
mod link_type;
mod magic;
mod named;
mod pcap;
mod pcapng;
mod reassembly;
mod remark;
mod snoop;
mod spool;
mod tcp_checksum;
mod teredo;

pub use ahead::InTurn;
pub use decode::{Accounting, Decoder};
pub use decoded::{Decoded, Header, Payload};
pub use error::CaptureError;
pub use file::{CaptureFile, CommentedFrame};
pub use frame::{CapturedOn, Frame, Take, Took};
pub use link_type::{LinkType, Unsupported};
pub use named::Named;
pub use reassembly::Reassembled;
pub use remark::{RST_TEXT_LEN, Remark};
pub use spool::Spool;

#[cfg(test)]
mod tests;

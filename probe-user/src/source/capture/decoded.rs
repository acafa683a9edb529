//! Decoded segment: a TCP segment of a capture, and how much of it can be believed.

use probe_ebpf::layout::Segment;

/// A TCP segment of a capture.
#[derive(Clone, Copy, Debug)]
pub struct Decoded {
    /// The segment.
    pub segment: Segment,
    /// Its TCP checksum is wrong.
    pub bad_checksum: bool,
    /// Its payload was not captured whole.
    pub payload_cut: bool,
    /// Unless it is whole, addresses, ports and flags are all that the header says, and the books have the frame among the
    /// rejected.
    pub header: Header,
}

/// What is to be said of the payload of a segment, and of the whole of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Payload {
    /// As in [`Decoded`].
    pub bad_checksum: bool,
    /// As in [`Decoded`].
    pub payload_cut: bool,
}

/// How much of a TCP header can be read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Header {
    /// All of it.
    Whole,
    /// Its options end after the packet; or, as Zeek sees it, after what was captured (`Decoder::as_zeek`).
    Cut,
    /// It claims to be shorter than 20 bytes.
    Contradictory,
}

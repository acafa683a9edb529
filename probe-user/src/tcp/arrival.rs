//! Arrival: a segment with what its capture knows beyond its header.

use probe_ebpf::layout::Segment;

/// What a capture knows of a segment beyond its header. The default says "nothing unusual".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Extra {
    /// The TCP checksum is wrong: the segment is noted in the history (`C`) and otherwise dropped, as Zeek does.
    pub bad_checksum: bool,
    /// The payload was not captured whole (snap length): it cannot fill a content gap.
    pub payload_cut: bool,
    /// How much of the TCP header can be read.
    pub header: Header,
}

/// A segment, and what its capture knows beyond its header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// The segment.
    pub segment: Segment,
    /// The rest.
    pub extra: Extra,
}

/// How much of a TCP header can be read. With less than all of it a connection may begin, and nothing more, as in Zeek.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Header {
    /// All of it.
    #[default]
    Whole,
    /// Its options end after the packet or, where Zeek is followed to the letter, after what was captured.
    Cut,
    /// It claims to be shorter than 20 bytes: not even its flags are believed where a connection is known.
    Contradictory,
}

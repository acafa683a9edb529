//! Notes: what is odd about one segment of a ladder.

use super::end_states::Remark;

/// What is odd about a segment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Note {
    /// All of it was sent before.
    Repeated,
    /// It fills what a later one had left open.
    OutOfOrder,
    /// A keep-alive probe: nothing new, one below the next number (RFC 9293 3.8.4).
    KeepAlive,
    /// So many bytes of its sender before it are not among the segments.
    Gap(u32),
    /// It acknowledges so many bytes that are not among the segments.
    AcknowledgesUnseen(u32),
    /// The receive buffer of its sender is full (RFC 9293 3.8.6.1).
    ZeroWindow,
    /// Its frame was not captured whole; the numbers are those of its headers.
    FrameCut,
    /// Of its header only addresses, ports and flags could be read.
    HeaderCut,
    /// An RST that, by the verdict, somebody between the two sent in its sender's name.
    Foreign,
    /// Its checksum is wrong: no host takes it.
    BadChecksum,
    /// See [`Remark`].
    End(Remark),
}

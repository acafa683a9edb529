//! Frame snapshot: the first bytes of a frame with its segment, as it passes the ring buffer: evidence of counted traffic.
//!
//! Must not know: the ring buffer, when a snapshot is taken, what becomes of it.

use core::mem::{offset_of, size_of};

use crate::layout::{FlowKey, SegmentRecord};

/// Bytes of a frame that are kept: Ethernet, two tags, IPv6, all TCP options, and the beginning of the payload.
pub const SNAPSHOT_BYTES: usize = 168;
/// Bit of [`Snapshot::queue`]: the host itself sent it (tc egress).
pub const OUTGOING: u32 = 1 << 31;

/// Index of the count of snapshots that were taken.
pub const TAKEN: u32 = 0;
/// Index of the count of those for which the ring buffer had no room.
pub const NO_ROOM: u32 = 1;
/// How many counts there are.
pub const SNAPSHOT_COUNTS: u32 = 2;

/// One frame.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// Whose segment it carries.
    pub key: FlowKey,
    /// The segment.
    pub record: SegmentRecord,
    /// Index of the interface.
    pub interface: u32,
    /// Receive queue, and [`OUTGOING`].
    pub queue: u32,
    /// Length of the frame, bytes.
    pub wire_len: u32,
    /// How many of `bytes` are its.
    pub len: u32,
    /// Its first bytes.
    pub bytes: [u8; SNAPSHOT_BYTES],
}

const _: () = assert!(size_of::<Snapshot>() == 256 && offset_of!(Snapshot, bytes) == 88);

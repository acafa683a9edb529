//! Flood counters: SYNs, SYN-ACKs and refusals per service, and the latest of them one by one.

use super::{FlagCounts, FlowKey, SegmentRecord};

/// One service (address and port) and what of it is counted instead of kept per flow, on one CPU in one epoch: one
/// cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ServiceRow {
    /// First and last eight bytes of the address, as loaded from memory.
    pub address: [u64; 2],
    /// `port | 1 << 16 | domain << 32`; 0 when the row is free.
    pub place: u64,
    /// Openings of this service that got a slot or a log entry.
    pub opened: u32,
    /// SYNs that are counted here only.
    pub syn: u32,
    /// The same of SYN-ACKs.
    pub syn_ack: u32,
    /// The same of FINs.
    pub fin: u32,
    /// The same of RSTs.
    pub rst: u32,
    /// The same of segments with none of these.
    pub data: u32,
    /// Must be 0.
    pub pad: u64,
    /// Must be 0.
    pub pad2: u64,
}

/// Set in [`ServiceRow::place`] of every row in use.
pub const ROW_USED: u64 = 1 << 16;
/// Rows per CPU and epoch; a power of two.
pub const SERVICE_ROWS: usize = 256;
/// Rows in which one service may be.
pub const SERVICE_PROBES: usize = 4;

impl ServiceRow {
    /// True when nothing is counted here that would be lost with the row.
    #[inline(always)]
    #[must_use]
    pub fn is_replaceable(&self) -> bool {
        self.syn | self.syn_ack | self.fin | self.rst | self.data == 0
    }

    /// What is counted here, as [`FlagCounts`].
    #[must_use]
    pub fn flags(&self) -> FlagCounts {
        let Self { syn, syn_ack, fin, rst, .. } = *self;
        FlagCounts { syn: syn.into(), syn_ack: syn_ack.into(), fin: fin.into(), rst: rst.into() }
    }
}

/// Openings that one [`OpeningSet`] leads to: beyond them the oldest makes room.
pub const OPENING_WAYS: usize = 30;

/// Where the latest openings of some flows lie: one cache line.
#[repr(C, align(64))]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpeningSet {
    /// Sixteen bits of each flow's hash; which of them are in use only the [`Opening`] says.
    pub tags: [u16; OPENING_WAYS],
    /// Which is written next, 0 to [`OPENING_WAYS`].
    pub next: u32,
}

impl OpeningSet {
    /// Set of the flow with this hash; `sets` is a power of two.
    #[inline(always)]
    #[must_use]
    pub fn of(hash: u64, sets: u32) -> u32 {
        (hash >> 16) as u32 & (sets - 1)
    }

    /// Tag of the flow with this hash.
    #[inline(always)]
    #[must_use]
    pub fn tag(hash: u64) -> u16 {
        (hash >> 48) as u16
    }
}

/// A SYN or SYN-ACK that was refused slot and log. These lie in memory that is not divided into epochs: agent and
/// program may meet here, and the agent believes only what has the same time before and after.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Opening {
    /// Its header fields; `time_ns` is 0 while it is being written.
    pub record: SegmentRecord,
    /// Whose it is.
    pub key: FlowKey,
}

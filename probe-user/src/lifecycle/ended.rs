//! Connections that have ended and whose records are still to be made.
//!
//! Made a few at a time, after the segments that came meanwhile: what verdicts take of code and what segments take do not fit
//! together into what a processor keeps near.

use super::Orientation;
use super::Written;
use super::track::Track;

/// A connection that is no longer tracked, with what held when it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) track: Track,
    /// Why its record is written.
    pub(super) written: Written,
    /// When.
    pub(super) now: u64,
    /// How client and server are known, and whether they are the other way round than Zeek has them.
    pub(super) roles: (Orientation, bool),
    /// Both directions of some connection had been seen.
    pub(super) both_ways: bool,
    /// Time of the first segment of all.
    pub(super) watched_from: u64,
}

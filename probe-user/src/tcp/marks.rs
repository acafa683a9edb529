//! Marks of a connection, indexes of its sides, and its coarse clock: constants of `Track`.

/// Originator's index in `Track::ends`.
pub(crate) const ORIG: usize = 0;
/// Responder's index in `Track::ends`.
pub(crate) const RESP: usize = 1;
/// Coarse times within a connection count units of 2^20 ns, about a millisecond.
pub(crate) const TICK_SHIFT: u32 = 20;
/// What a time that is kept in ticks may lack, nanoseconds.
pub(crate) const TIME_LEFT_OUT_NS: u64 = 1 << TICK_SHIFT;

/// `Track::marks`: it began without SYN, a while after another of the same 5-tuple had ended.
pub(crate) const AFTER_END: u8 = 1;
/// `Track::marks`: its client is Zeek's responder: an earlier connection of the same 5-tuple told so.
pub(crate) const REVERSED: u8 = 2;
/// `Track::marks`: somebody sent payload.
pub(crate) const SPOKE: u8 = 4;
/// `Track::marks`: the responder sent payload last.
pub(crate) const SPOKE_RESP: u8 = 8;

/// `Track::marks`: the originator sent payload.
pub(crate) const ORIG_SPOKE: u8 = 16;
/// `Track::marks`: the originator sent a second segment with payload.
pub(crate) const ORIG_SPOKE_AGAIN: u8 = 32;

/// `Track::marks`: the last window of the originator was closed, or nearly.
pub(crate) const ORIG_STUCK: u8 = 64;
/// `Track::marks`: the same of the responder.
pub(crate) const RESP_STUCK: u8 = 128;

/// "Not armed" for a timer.
pub(crate) const NEVER: u64 = u64::MAX;

//! Close: when a side has closed, which waits for the data that is still missing (Zeek `ConnectionClosed`, `CheckEOF`).

use crate::tcp::{
    endpoint::{DID_CLOSE, DID_EOF, SENT_FIN, State},
    marks::NEVER,
    reassembly,
    timers::Timers,
    track::{Phase, Track},
};

/// Side `side` has closed, unless data is still awaited (Zeek `ConnectionClosed`).
pub(crate) fn closed(track: &mut Track, side: usize, timers: &Timers) {
    if reassembly::is_pending(track, side) {
        track.set_close_deferred(true);
        return;
    }
    track.set_close_deferred(false);
    if track.ends[side].has(DID_CLOSE) {
        return;
    }
    track.ends[side].set(DID_CLOSE);
    track.resume_looks(timers.check);
    let (end, peer) = (&track.ends[side], &track.ends[1 - side]);
    if end.state == State::Reset || peer.has(DID_CLOSE) || peer.state == State::Inactive {
        track.phase = Phase::Complete;
        track.check_ns = track.last_ns.saturating_add(timers.close);
        track.second_ns = NEVER;
    } else if end.previous() != State::Inactive {
        track.second_ns = track.last_ns.saturating_add(timers.check);
        track.phase = Phase::Plain;
    }
}

/// Ends a stream once: its close may have waited for this (Zeek `CheckEOF`, `EndpointEOF`).
#[inline(always)]
pub(crate) fn check_eof(track: &mut Track, side: usize, timers: &Timers) {
    let end = &track.ends[side];
    let ended = end.has(SENT_FIN) || matches!(end.state, State::Closed | State::Reset);
    if end.has(DID_EOF) || !ended || reassembly::is_pending(track, side) {
        return;
    }
    track.ends[side].set(DID_EOF);
    if track.close_deferred() {
        closed(track, side, timers);
        track.set_close_deferred(false);
    }
}

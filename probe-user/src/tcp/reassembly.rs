//! Reassembly: finds which bytes of a stream were never seen, without keeping any byte.
//!
//! Follows Zeek's reassembler (Reassem.cc, TCP_Reassembler.cc) as far as it shows in a record: the letter `G`,
//! `missed_bytes`, and a close that waits for data still missing (`close_deferred`).

use crate::tcp::close_details::Pieces;
use crate::tcp::endpoint::{DID_EOF, Endpoint, NOT_FOLLOWED, SENT_FIN, State};
use crate::tcp::track::Track;

/// Data above a hole is given up when nothing was ever acknowledged and it is more than this
/// (`tcp_max_above_hole_without_any_acks`); the same limit says that no acknowledgements are visible
/// (`tcp_max_initial_window`).
const WITHOUT_ACKS: u64 = 16_384;
/// Data held without further acknowledgement before the stream is given up (`tcp_excessive_data_without_further_acks`).
const WITHOUT_FURTHER_ACKS: u64 = 10 * 1024 * 1024;
/// Pieces above a hole kept per direction. A bound of ours: Zeek is bounded by bytes only.
const MAX_PIECES: usize = 512;

fn is_clean(end: &Endpoint) -> bool {
    end.state == State::Established || end.state == State::Closed && end.previous() == State::Established
}

/// The peer acknowledged up to `ack` (relative) of what side `side` sent (Zeek `AckReceived`). True when that is news: the
/// stream may have ended by it.
#[inline(always)]
pub(crate) fn acknowledged(track: &mut Track, side: usize, mut ack: u64) -> bool {
    let end = &track.ends[side];
    if end.has(NOT_FOLLOWED) && end.has(DID_EOF) {
        return false;
    }
    if end.has(SENT_FIN) {
        let fin_seq = track.rare().map_or(0, |rare| rare.sides[side].fin_seq);
        if ack >= fin_seq {
            ack = fin_seq.wrapping_sub(1);
        }
    }
    if ack <= end.trimmed() {
        return false;
    }
    if ack > end.delivered || track.odd(side).is_some() {
        trim(track, side, ack);
    } else {
        track.ends[side].trim_to(ack);
    }
    true
}

/// Side `side` sent payload at `seq` (relative); it was captured whole (Zeek `DataSent`).
pub(crate) fn data_sent(track: &mut Track, side: usize, seq: u64, len: u32) {
    let end = &track.ends[side];
    if end.has(NOT_FOLLOWED) {
        return;
    }
    let upper = seq.wrapping_add(u64::from(len));
    // What is acknowledged or trimmed already is old.
    let seq = seq.max(end.acked().cast_signed().max(0).cast_unsigned()).max(end.trimmed());
    if upper <= seq {
        return;
    }
    let has_pieces = track.odd(side).is_some_and(|odd| !odd.pieces.is_empty());
    if seq > end.delivered || has_pieces {
        return data_apart(track, side, seq, upper);
    }
    let peer = track.ends[1 - side].state;
    let end = &mut track.ends[side];
    end.deliver_to(upper);
    // Only then is there anything to give up, where there are no pieces.
    let held = u64::from(end.held.max(0).cast_unsigned());
    if held > WITHOUT_FURTHER_ACKS || held > 0 && end.no_data_acked() && end.size(peer) > WITHOUT_ACKS {
        give_up(track, side);
    }
}

/// Payload with a hole below it, or with other payload above one.
#[inline(never)]
fn data_apart(track: &mut Track, side: usize, seq: u64, upper: u64) {
    insert(&mut track.odd_mut(side).pieces, seq, upper);
    deliver(track, side);
    give_up(track, side);
}

/// Adds a piece; what overlaps is merged.
fn insert(pieces: &mut Pieces, seq: u64, upper: u64) {
    let first = pieces.partition_point(|piece| piece.1 < seq);
    let after = pieces.partition_point(|piece| piece.0 <= upper);
    let merged = match pieces.get(first..after) {
        Some([one]) => (one.0.min(seq), one.1.max(upper)),
        Some([head, .., tail]) => (head.0.min(seq), tail.1.max(upper)),
        _ => (seq, upper),
    };
    pieces.splice(first..after, [merged]);
    if pieces.len() > MAX_PIECES {
        pieces.truncate(MAX_PIECES);
    }
}

/// Moves `delivered` over the pieces that have become contiguous (Zeek `BlockInserted`).
fn deliver(track: &mut Track, side: usize) {
    let end = &mut track.ends[side];
    let Some(odd) = track.rare.as_mut().and_then(|rare| rare.odd.as_mut()) else { return };
    let pieces = &mut odd.sides[side].pieces;
    let contiguous = pieces.iter().take_while(|piece| piece.0 <= end.delivered).count();
    for piece in pieces.drain(..contiguous) {
        end.deliver_to(piece.1);
    }
}

/// The limits beyond which Zeek stops following a stream.
#[inline(never)]
fn give_up(track: &mut Track, side: usize) {
    let peer = track.ends[1 - side].state;
    let end = &track.ends[side];
    let pieces = track.odd(side).map_or(&[][..], |odd| &odd.pieces);
    let top = pieces.last().map_or(0, |piece| piece.1);
    let above_hole: u64 = pieces.iter().map(|piece| piece.1 - piece.0).sum();
    let held = above_hole + u64::from(end.held.max(0).cast_unsigned());
    let unacked = end.no_data_acked();
    let too_much = unacked && top.saturating_sub(end.delivered) > WITHOUT_ACKS || held > WITHOUT_FURTHER_ACKS;
    let forget = unacked && end.held > 0 && end.size(peer) > WITHOUT_ACKS;
    let end = &mut track.ends[side];
    if too_much {
        end.set(NOT_FOLLOWED);
        if track.odd(side).is_some() {
            track.odd_mut(side).pieces = Pieces::new();
        }
    } else if forget {
        end.held = 0;
    }
}

/// Forgets everything below `ack`; what was not delivered until then is a gap (Zeek `DataBlockList::Trim`).
#[inline(never)]
fn trim(track: &mut Track, side: usize, ack: u64) {
    if ack > track.ends[side].delivered {
        undelivered(track, side, ack);
    }
    if track.odd(side).is_some() {
        track.odd_mut(side).pieces.retain(|piece| piece.1 > ack);
        deliver(track, side);
    }
    track.ends[side].trim_to(ack);
}

/// Zeek `TCP_Reassembler::Undelivered`.
fn undelivered(track: &mut Track, side: usize, up_to: u64) {
    if up_to <= 2 && track.is_partial {
        return;
    }
    if !track.ends[side].has(NOT_FOLLOWED) {
        while let Some(&(seq, upper)) = track.odd(side).and_then(|odd| odd.pieces.first()) {
            if seq >= up_to {
                break;
            }
            let at = track.ends[side].delivered;
            if seq >= at {
                gap(track, side, seq - at);
            }
            track.ends[side].deliver_to(upper);
            track.odd_mut(side).pieces.remove(0);
        }
        let at = track.ends[side].delivered;
        if up_to > at {
            gap(track, side, up_to - at);
        }
    }
    track.ends[side].deliver_to(up_to);
}

/// Notes a gap, when both sides are cleanly established or closing (Zeek `TCP_Reassembler::Gap`).
fn gap(track: &mut Track, side: usize, len: u64) {
    if !(is_clean(&track.ends[side]) && is_clean(&track.ends[1 - side])) {
        return;
    }
    let odd = track.odd_mut(side);
    odd.missed_bytes = odd.missed_bytes.saturating_add(len);
    odd.gaps = odd.gaps.wrapping_add(1);
    let count = odd.gaps;
    track.note_scaled(side, b'G', count);
}

/// Whether data that side `side` sent is still awaited, or its peer's data still unacknowledged (Zeek `DataPending`).
pub(crate) fn is_pending(track: &Track, side: usize) -> bool {
    let (end, peer) = (&track.ends[side], &track.ends[1 - side]);
    if end.has(NOT_FOLLOWED) {
        return false;
    }
    let delivered = u64::from(end.start_seq).wrapping_add(end.delivered);
    let last = end.last_full();
    if last < delivered {
        return false;
    }
    if delivered != last && delivered != last.wrapping_sub(1) {
        return true;
    }
    end.state != State::Reset && holds_data(track, 1 - side, peer)
}

/// Whether anything is kept that was not acknowledged yet (Zeek `HasBlocks`).
fn holds_data(track: &Track, side: usize, end: &Endpoint) -> bool {
    !end.has(NOT_FOLLOWED) && (end.held > 0 || track.odd(side).is_some_and(|odd| !odd.pieces.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::insert;

    #[test]
    fn pieces_merge() {
        let mut pieces = vec![];
        insert(&mut pieces, 10, 20);
        insert(&mut pieces, 30, 40);
        insert(&mut pieces, 20, 25);
        assert_eq!(pieces, [(10, 25), (30, 40)]);
        insert(&mut pieces, 5, 50);
        assert_eq!(pieces, [(5, 50)]);
        insert(&mut pieces, 1, 2);
        assert_eq!(pieces, [(1, 2), (5, 50)]);
    }
}

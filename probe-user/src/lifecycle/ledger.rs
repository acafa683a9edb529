//! Who speaks, who waits for an answer, and what was never acknowledged: what verdicts are asked of.
//!
//! Sums and sequence numbers, not the order in which segments passed: the same conversation has the same ledger wherever
//! it is watched.

use super::endpoint::{Endpoint, SENT_FIN};
use super::track::{ORIG, ORIG_SPOKE, ORIG_SPOKE_AGAIN, RESP, SPOKE, SPOKE_RESP, TICK_SHIFT, Track};

/// `side` sent payload that it had not sent before, `tick` ticks after the connection's start.
#[inline(always)]
pub(super) fn spoke(track: &mut Track, side: usize, tick: u32) {
    if side == RESP {
        if track.spoke_last() == Some(ORIG) {
            let waited = scale(tick.saturating_sub(track.ends[ORIG].data_tick));
            track.answer = track.answer.max(waited);
        }
        track.marks |= SPOKE | SPOKE_RESP;
    } else {
        let again = if track.has(ORIG_SPOKE) { ORIG_SPOKE_AGAIN } else { ORIG_SPOKE };
        track.marks = track.marks & !SPOKE_RESP | SPOKE | again;
    }
    track.ends[side].data_tick = tick;
}

/// Ticks as one byte: 1 and more, eight steps to an octave.
#[inline(always)]
fn scale(ticks: u32) -> u8 {
    let value = ticks.saturating_add(1);
    let octave = value.ilog2();
    // The three bits below the highest one.
    let step = if octave >= 3 { value >> (octave - 3) } else { value << (3 - octave) } & 7;
    (octave * 8 + step).min(u32::from(u8::MAX) - 1) as u8 + 1
}

/// The longest that the originator waited for an answer, nanoseconds, to an eighth; `None` before the first answer.
pub(super) fn answer_ns(track: &Track) -> Option<u64> {
    let scaled = u32::from(track.answer.checked_sub(1)?);
    let (octave, step) = (scaled / 8, scaled % 8);
    // The upper end of the step.
    let ticks = ((u64::from(8 + step + 1) << octave) >> 3).saturating_sub(1);
    Some(ticks << TICK_SHIFT)
}

/// Sequence number after the payload of an endpoint: without its FIN.
pub(super) fn payload_end(end: &Endpoint) -> u32 {
    end.last_seq.wrapping_sub(u32::from(end.has(SENT_FIN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_kept_to_an_eighth() {
        let mut last = 0;
        for ticks in [0_u32, 1, 2, 3, 5, 9, 40, 100, 999, 1000, 60_000, 3_600_000, u32::MAX] {
            let scaled = scale(ticks);
            assert!(scaled >= last && scaled > 0, "{ticks}: {scaled}");
            last = scaled;
            let octave = u32::from(scaled - 1) / 8;
            let upper = ((u64::from(8 + u32::from(scaled - 1) % 8 + 1) << octave) >> 3).saturating_sub(1);
            let exact = u64::from(ticks);
            assert!(
                upper >= exact.min(u64::from(u32::MAX) * 7 / 8) && upper <= exact + exact / 7 + 1,
                "{ticks}: {upper}"
            );
        }
    }
}

//! Payload turns: which side sent payload last, which side waits for an answer, and how long answers take; the verdict
//! rules read them.
//!
//! Sums and sequence numbers, not the order in which segments passed: the same conversation has the same turns wherever
//! it is watched.

use probe_ebpf::parse::{ALERT_IN_CLEAR, ENCRYPTED_ALERTS, is_alert_len};

use crate::tcp::endpoint::{Endpoint, SENT_FIN};
use crate::tcp::marks::{ORIG, ORIG_SPOKE, ORIG_SPOKE_AGAIN, RESP, SPOKE, SPOKE_RESP, TICK_SHIFT};
use crate::tcp::track::Track;

/// `side` sent payload that it had not sent before, at `seq` and acknowledging `ack`, `tick` ticks after the connection's start.
#[inline(always)]
pub(crate) fn spoke(track: &mut Track, side: usize, (seq, ack): (u32, u32), tick: u32) {
    track.ends[side].data_tick = tick;
    if side == RESP {
        if track.spoke_last() == Some(ORIG) {
            // What the responder sent before the originator's payload had reached it is no answer, in whatever order the two
            // pass here.
            if ack.wrapping_sub(payload_end(&track.ends[ORIG])).cast_signed() < 0 {
                return;
            }
            track.answer_seq = seq;
            // What comes after the originator's close answers nobody.
            if !track.ends[ORIG].has(SENT_FIN) {
                let waited = scale(tick.saturating_sub(track.ends[ORIG].data_tick));
                track.answer = track.answer.max(waited);
            }
        }
        track.marks |= SPOKE | SPOKE_RESP;
    } else {
        let again = if track.has(ORIG_SPOKE) { ORIG_SPOKE_AGAIN } else { ORIG_SPOKE };
        track.marks = track.marks & !SPOKE_RESP | SPOKE | again;
    }
}

/// Payload that each side of a TLS connection has sent at least when one can be closed.
pub(crate) const LEAST_OF_TLS: u64 = 100;

/// Whether payload is a goodbye and no request or answer: a TLS alert, by its first bytes where they are known, or else by its
/// length and by what was sent before.
#[inline(always)]
pub(crate) fn is_goodbye(track: &Track, note: u64, len: u32) -> bool {
    may_be_goodbye(len) && is_alert_like(track, note, len)
}

/// Whether payload is so short, and not too short, as goodbyes are: nearly all is not.
#[inline(always)]
pub(crate) fn may_be_goodbye(len: u32) -> bool {
    (ALERT_IN_CLEAR..=ENCRYPTED_ALERTS[ENCRYPTED_ALERTS.len() - 1]).contains(&len)
}

#[inline(never)]
fn is_alert_like(track: &Track, note: u64, len: u32) -> bool {
    if !is_alert_len(len) {
        return false;
    }
    if note != 0 {
        return is_alert(note, len);
    }
    track.ends.iter().all(|end| u64::from(end.last_seq.wrapping_sub(end.start_seq)) >= LEAST_OF_TLS)
}

/// Record header, alert, inner type and tag (RFC 8446 5.2).
const ALERT_OF_TLS_1_3: u32 = 5 + 2 + 1 + 16;

/// A TLS record that is an alert, or may be an encrypted one, and nothing after it (RFC 8446 5.1, 5.2).
pub(crate) fn is_alert(note: u64, len: u32) -> bool {
    let [kind, 3, version @ 0..=4, high, low, ..] = note.to_ne_bytes() else { return false };
    let whole = u32::from(u16::from_be_bytes([high, low])) + 5 == len;
    // TLS 1.3 hides alerts behind the type of application data and says 1.2 (RFC 8446 5.2), its drafts 1.0; older versions
    // do not hide them.
    let is_hidden = len == ALERT_OF_TLS_1_3 || version == 3 && ENCRYPTED_ALERTS.contains(&len);
    whole && (kind == 21 || kind == 23 && is_hidden)
}

/// The description of an alert in the clear that ends a connection (RFC 8446 6): anything but close_notify.
pub(crate) fn fatal_alert(note: u64, len: u32) -> Option<u8> {
    // Of level fatal: after a warning the connection goes on.
    let [21, 3, 0..=4, 0, 2, 2, description, _] = note.to_ne_bytes() else { return None };
    (len == 7 && description != 0).then_some(description)
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
pub(crate) fn answer_ns(track: &Track) -> Option<u64> {
    let scaled = u32::from(track.answer.checked_sub(1)?);
    let (octave, step) = (scaled / 8, scaled % 8);
    // The upper end of the step.
    let ticks = ((u64::from(8 + step + 1) << octave) >> 3).saturating_sub(1);
    Some(ticks << TICK_SHIFT)
}

/// Sequence number after the payload of an endpoint: without its FIN.
pub(crate) fn payload_end(end: &Endpoint) -> u32 {
    end.last_seq.wrapping_sub(u32::from(end.has(SENT_FIN)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alerts_by_their_record_header() {
        let note = |bytes: [u8; 8]| u64::from_ne_bytes(bytes);
        assert!(is_alert(note([21, 3, 3, 0, 26, 0, 0, 0]), 31));
        assert!(is_alert(note([23, 3, 3, 0, 19, 9, 9, 9]), 24));
        assert!(is_alert(note([21, 3, 1, 0, 2, 1, 0, 0]), 7));
        assert!(!is_alert(note([23, 3, 3, 0, 60, 9, 9, 9]), 65), "application data");
        assert!(!is_alert(note([23, 3, 1, 0, 32, 9, 9, 9]), 37), "application data of TLS 1.0");
        assert!(!is_alert(note([21, 3, 3, 0, 26, 0, 0, 0]), 100), "more follows");
        assert!(!is_alert(note(*b"GET / HT"), 24));
        assert_eq!(fatal_alert(note([21, 3, 3, 0, 2, 2, 48, 0]), 7), Some(48), "unknown_ca");
        assert_eq!(fatal_alert(note([21, 3, 3, 0, 2, 1, 0, 0]), 7), None, "close_notify");
        assert_eq!(fatal_alert(note([21, 3, 3, 0, 26, 2, 48, 0]), 31), None, "encrypted");
    }

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

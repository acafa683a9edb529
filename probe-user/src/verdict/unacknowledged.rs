//! Unacknowledged payload: what each side sent that the other side's host never acknowledged.

use probe_ebpf::{layout::ACK, parse::ENCRYPTED_ALERTS};

use super::Case;
use crate::{
    tcp::{
        endpoint::{Kind, SENT_FIN},
        payload_turns,
        payload_turns::LEAST_OF_TLS,
        track::Track,
    },
    verdict::rst_form::Form,
};

/// How sure it is that the last payload of a side was a TLS alert and nothing else.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Tail {
    #[default]
    /// There was no unacknowledged payload.
    Nothing,
    /// Its record header says so.
    Alert,
    /// By length and place.
    AlertLike,
    /// Anything else.
    Payload,
}

/// Of both sides, by side.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unacknowledged {
    /// Payload that the other side's host did not acknowledge, bytes; `None` where that cannot be known: the other side
    /// was not seen, or acknowledgements were not.
    pub(crate) unacked: [Option<u32>; 2],
    /// What that payload is.
    pub(crate) tail: [Tail; 2],
}

impl Unacknowledged {
    /// Of a connection at its end.
    pub(crate) fn of(case: &Case<'_>) -> Self {
        let unacked = [0, 1].map(|side| unacked(case, side));
        let tail = [0, 1].map(|side| tail(case, side, unacked[side]));
        Self { unacked, tail }
    }

    /// Payload of `side` that was never acknowledged and is more than a goodbye, bytes.
    pub(crate) fn lost(&self, side: usize) -> u32 {
        if self.tail[side] == Tail::Payload { self.unacked[side].unwrap_or(0) } else { 0 }
    }

    /// Whether `side`'s last payload was a TLS alert that nobody received.
    pub(crate) fn is_alert(&self, side: usize) -> bool {
        matches!(self.tail[side], Tail::Alert | Tail::AlertLike)
    }
}

fn unacked(case: &Case<'_>, side: usize) -> Option<u32> {
    let track = case.track;
    if case.sides[1 - side].packets == 0 || case.sides[side].packets == 0 {
        return None;
    }
    let end = &track.ends[side];
    let upper = payload_end(track, side);
    // Before anything is acknowledged, the SYN still is not: it is no payload.
    let first = end.start_seq.wrapping_add(1);
    let acked = of_abort(track, side).unwrap_or(end.ack_seq);
    let acked = if acked.wrapping_sub(first).cast_signed() < 0 { first } else { acked };
    let open = u32::try_from(upper.wrapping_sub(acked).cast_signed()).unwrap_or(0);
    // Where acknowledgements are missed, FINs and RSTs may still tell that all has arrived, to the FIN of who sent it.
    (case.acks_seen || open == 0 && end.has(SENT_FIN)).then_some(open)
}

/// Sequence number after the payload of `side`, as far as it was sent: an RST moves its numbers, and a forged one to where nothing
/// was ever sent.
fn payload_end(track: &Track, side: usize) -> u32 {
    let end = &track.ends[side];
    let upper = payload_turns::payload_end(end);
    let Some(rst) = track.rare().and_then(|rare| rare.rsts[side].as_ref()) else { return upper };
    let sent = if end.has(SENT_FIN) && rst.sender.has_sent_fin() {
        rst.sender.next_seq.wrapping_sub(1)
    } else {
        rst.sender.next_seq
    };
    let is_ahead = rst.sender.kind != Kind::Nothing && upper.wrapping_sub(sent).cast_signed() > 0;
    if !is_ahead || rst.record.seq.wrapping_sub(rst.sender.next_seq).cast_signed() <= 0 {
        return upper;
    }
    // What came after the RST is as far as it was acknowledged.
    let acked = end.ack_seq;
    if rst.sender_continued && acked.wrapping_sub(sent).cast_signed() > 0 { acked } else { sent }
}

/// What the other side's abort acknowledges, when that is more than its segments before: the kernel had received that much.
fn of_abort(track: &Track, side: usize) -> Option<u32> {
    let rst = track.rare()?.rsts[1 - side].as_ref()?;
    let end = &track.ends[side];
    let is_plausible = rst.record.ack.wrapping_sub(end.ack_seq).cast_signed() > 0
        && end.last_seq.wrapping_sub(rst.record.ack).cast_signed() >= 0;
    (rst.record.has(ACK) && Form::of(&rst.record) != Form::Refuse && is_plausible).then_some(rst.record.ack)
}

fn tail(case: &Case<'_>, side: usize, unacked: Option<u32>) -> Tail {
    let Some(open) = unacked.filter(|&open| open > 0) else { return Tail::Nothing };
    let late = case.track.rare().map(|rare| &rare.sides[side]);
    // The bytes are those of what is open when it is just that segment.
    if let Some(late) = late.filter(|late| late.late_note != 0 && late.late_len == open) {
        return if payload_turns::is_alert(late.late_note, open) { Tail::Alert } else { Tail::Payload };
    }
    let is_tls_like = case.sides.iter().all(|side| side.bytes >= LEAST_OF_TLS);
    let is_closed = case.track.ends.iter().any(|end| end.has(SENT_FIN));
    if is_tls_like && is_closed && ENCRYPTED_ALERTS.contains(&open) { Tail::AlertLike } else { Tail::Payload }
}

//! Outcome: opening and closing of a connection, and who reset it.

use probe_ebpf::layout::ACK;

use crate::record::{Cause, Closing, Opening, ResetBy, Side, Written};
use crate::tcp::endpoint::{Kind, State};
use crate::tcp::marks::{ORIG, RESP};
use crate::tcp::track::Track;
use crate::tracker::config::TrackerConfig;
use crate::verdict::Case;
use crate::verdict::injection;

/// How the handshake went.
pub(crate) fn opening(track: &Track, sides: [&Side; 2], config: &TrackerConfig) -> Opening {
    let [orig, resp] = sides;
    let asked = orig.syn > 0;
    let answered = resp.syn_ack > 0 || resp.syn > 0;
    match (asked, answered) {
        (true, true) if track.originator_acknowledged() || is_proven_by_rst(track) => Opening::Completed,
        (true, true) if config.pure_acks_seen || is_half_open_reset(track) => Opening::HalfOpen,
        (true, true) => Opening::Completed,
        // The SYN-ACK was not seen, but its acknowledgement, and what the responder sent afterwards.
        (true, false) if resp.packets > resp.rst && track.originator_acknowledged() => Opening::Completed,
        (true, false) if resp.packets == 0 && track.originator_acknowledged() => Opening::OneSided,
        (true, false) if resp.rst > 0 => Opening::Refused,
        (true, false) if resp.payload_bytes == 0 && resp.fin == 0 => Opening::Unanswered,
        _ => Opening::NotSeen,
    }
}

/// An RST whose numbers lie beyond the SYN of its sender, or acknowledge more than that of the other side: payload passed that
/// was not captured, so that the handshake was completed.
fn is_proven_by_rst(track: &Track) -> bool {
    let rsts = track.rare().into_iter().flat_map(|rare| rare.rsts.iter().flatten());
    rsts.into_iter().any(|rst| {
        let beyond = |number: u32, start: u32| (2..1 << 30).contains(&number.wrapping_sub(start));
        let knows_start = rst.sender.start_seq != 0 && rst.sender.kind != Kind::Nothing;
        let own = knows_start && beyond(rst.record.seq, rst.sender.start_seq);
        own && !injection::is_of_another_host(rst)
            || rst.record.has(ACK) && rst.record.seq != 0 && beyond(rst.record.ack, rst.peer.start_seq)
    })
}

/// An RST of the originator right after its SYN, where pure ACKs are not seen.
fn is_half_open_reset(track: &Track) -> bool {
    let first = track.rare().and_then(|rare| rare.rsts[ORIG].as_ref());
    first.is_some_and(|rst| rst.record.seq == rst.sender.start_seq.wrapping_add(1) && rst.sender.kind == Kind::Syn)
}

/// How it ended, in the article's words.
pub(crate) fn closing(track: &Track, sides: [&Side; 2], opening: Opening, written: Written, now: u64) -> Closing {
    let [orig, resp] = sides;
    let fins = u8::from(orig.fin > 0) + u8::from(resp.fin > 0);
    if orig.rst + resp.rst > 0 {
        let nothing_else = orig.syn + orig.syn_ack + resp.syn + resp.syn_ack == 0
            && orig.payload_bytes + resp.payload_bytes == 0
            && fins == 0;
        return match fins {
            _ if opening == Opening::Refused => Closing::Refused,
            _ if nothing_else => Closing::RstWithoutConnection,
            2 if both_fins_before_rst(track) => Closing::TwoFins,
            0 => Closing::RstOnly,
            _ => Closing::FinAndRst,
        };
    }
    // Only the responder was seen although it had answered, or only the originator although it was answered.
    let one_sided = opening == Opening::OneSided || orig.packets == 0 && resp.syn_ack + resp.fin > 0;
    match (fins, opening) {
        (0 | 1, _) if one_sided => Closing::OneSided,
        (2, _) => Closing::TwoFins,
        (1, _) => Closing::HalfClosed,
        (_, Opening::Unanswered) => Closing::NeverAnswered,
        (_, Opening::HalfOpen) => Closing::HalfOpen,
        _ if has_vanished(track, written, now) => Closing::Vanished,
        _ => Closing::Open,
    }
}

/// Whether the first RST came after both FINs: a harmless tail.
fn both_fins_before_rst(track: &Track) -> bool {
    let Some(rare) = track.rare() else { return false };
    let (Some(orig), Some(resp)) = (&rare.sides[ORIG].fin, &rare.sides[RESP].fin) else { return false };
    let second = orig.time_ns().max(resp.time_ns());
    rare.rsts.iter().flatten().all(|rst| rst.record.time_ns >= second)
}

/// Payload was repeated, never acknowledged, and silence followed until the record was written for it.
fn has_vanished(track: &Track, written: Written, _now: u64) -> bool {
    written == Written::Inactive
        && track.ends.iter().any(|end| {
            end.retransmits > 0
                && end.state == State::Established
                && end.last_seq.wrapping_sub(end.ack_seq).cast_signed() > 0
        })
}

/// Who sent the reset that ended it: `sender`, unless a device did, or nothing was reset any more.
pub(crate) fn reset_by(case: &Case<'_>, sender: ResetBy, cause: Cause) -> ResetBy {
    if case.closing == Closing::TwoFins && matches!(cause, Cause::RstAfterClose | Cause::None) {
        return ResetBy::None;
    }
    let of_a_device = matches!(cause, Cause::RefusedByFirewall | Cause::InjectedSuspect | Cause::DeviceResetBoth);
    if of_a_device || cause == Cause::NoState && is_first_rst_foreign(case.track) {
        return ResetBy::Middle;
    }
    if case.is_guess { ResetBy::Unknown } else { sender }
}

fn is_first_rst_foreign(track: &Track) -> bool {
    let rst = first_rst(track).and_then(|side| track.rare()?.rsts[side].as_ref());
    rst.is_some_and(|rst| injection::is_of_another_host(rst))
}

/// Side that sent the first RST.
pub(crate) fn first_rst(track: &Track) -> Option<usize> {
    let rare = track.rare()?;
    let time = |side: usize| rare.rsts[side].as_ref().map(|rst| rst.record.time_ns);
    match (time(ORIG), time(RESP)) {
        (Some(orig), Some(resp)) => Some(if orig <= resp { ORIG } else { RESP }),
        (Some(_), None) => Some(ORIG),
        (None, Some(_)) => Some(RESP),
        (None, None) => None,
    }
}

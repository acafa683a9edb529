//! Forgotten connections: rules for resets of hosts that no longer know the connection, or whose peer no longer answers.

use super::{Finding, IDLE_NS, PAUSE_NS, Reset, found, silence_ns};
use crate::{
    record::{Cause, Confidence},
    tcp::endpoint::Kind,
    verdict::{injection, rst_form::Form},
};

/// Retransmissions of the same payload, none acknowledged, that make a path that is gone.
const IN_VAIN: u8 = 3;
/// A bare RST that comes so soon after payload of its sender aborts, in stacks that abort so.
const BARE_ABORT_NS: u64 = 5_000_000;

/// 10, in the middle: after a pause, an RST that did not come from the host it names: a device forgot the connection.
pub(crate) fn by_device(reset: &Reset<'_>) -> Option<Finding> {
    let strange = injection::is_of_another_host(reset.rst) && !reset.rst.sender_continued && !reset.rst.climbed;
    (strange && reset.rst.idle_ns >= PAUSE_NS).then_some((Cause::NoState, Confidence::Medium, None))
}

/// 13: an inexact RST was answered by a challenge ACK, and then sent again as asked (RFC 5961 3.2). An abort whose sender's
/// host answers what was in flight by further RSTs looks similar: its first RST is an abort, or exact.
pub(crate) fn challenge_confirmed(reset: &Reset<'_>) -> Option<Finding> {
    let rst = reset.rst;
    let is_exact = rst.record.seq == rst.sender.next_seq || rst.record.seq == rst.sender.acked;
    let challenged = rst.confirmed && !rst.sender.has_sent_fin() && !is_exact && reset.form != Form::Abort;
    challenged.then_some((Cause::ChallengeConfirmed, Confidence::High, None))
}

/// 11: at least two probes without answer, then an abort at SND.NXT.
pub(crate) fn keep_alive_timeout(reset: &Reset<'_>) -> Option<Finding> {
    let gave_up = reset.form == Form::Abort && reset.rst.sender.probes >= 2;
    gave_up.then_some((Cause::KeepAliveTimeout, Confidence::High, None))
}

/// Payload was sent again and again without any acknowledgement, then its sender gave up (RFC 9293 3.8.3,
/// `net.ipv4.tcp_retries2`, `TCP_USER_TIMEOUT`).
pub(crate) fn retransmission_timeout(reset: &Reset<'_>) -> Option<Finding> {
    let sender = &reset.rst.sender;
    let aborted = matches!(reset.form, Form::Abort | Form::Other);
    let unacked = sender.next_seq.wrapping_sub(sender.acked).cast_signed() > 0;
    let silent_ns = reset.case.since_tick(reset.rst.peer.last_tick, reset.rst.record.time_ns);
    (aborted && unacked && sender.repeats >= IN_VAIN && silent_ns >= IDLE_NS).then_some((
        Cause::RetransmissionTimeout,
        Confidence::High,
        None,
    ))
}

/// 10: a reply although the sender had neither closed nor reset: it no longer knows the connection.
pub(crate) fn no_state(reset: &Reset<'_>) -> Option<Finding> {
    let trigger = reset.rst.peer.kind;
    let answers = matches!(trigger, Kind::Data | Kind::KeepAlive | Kind::PureAck | Kind::Fin | Kind::SynAck);
    if reset.form != Form::Reply || reset.rst.sender.has_sent_fin() || !answers {
        return None;
    }
    // Just after its own payload, and no answer to anything: a stack that aborts by a bare RST.
    let since_own_ns = reset.case.since_tick(reset.rst.order.data_ticks[reset.side], reset.rst.record.time_ns);
    if !reset.rst.answers_peer && reset.case.sides[reset.side].bytes > 0 && since_own_ns <= BARE_ABORT_NS {
        return found(Cause::AppAbort, Confidence::Low);
    }
    // Without a pause before, a stack that aborts by a bare RST (macOS) would look the same.
    let paused = silence_ns(reset.case.track, reset.rst) >= IDLE_NS;
    let sure = paused && matches!(trigger, Kind::Data | Kind::KeepAlive) && !reset.is_unprovoked();
    found(Cause::NoState, if sure { Confidence::Medium } else { Confidence::Low })
}

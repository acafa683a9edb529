//! Resets of connections that were never opened: refusals, scans, attempts given up, queues that are full.

use super::{Finding, Reset, WATCHED_NS, found};
use crate::{
    record::{Cause, Closing, Confidence, Opening},
    tcp::{
        endpoint::Kind,
        marks::{ORIG, RESP},
    },
    verdict::rst_form::Form,
};

/// One segment that opens and resets at once: nothing can be said of it.
pub(crate) fn nothing_but_one(reset: &Reset<'_>) -> Option<Finding> {
    let is_alone = reset.case.sides.iter().map(|side| side.packets).sum::<u64>() == 1;
    let opens = reset.rst.record.has(probe_ebpf::layout::SYN);
    (is_alone && opens).then_some((Cause::Unknown, Confidence::Low, None))
}

/// An RST that no host in SYN-SENT believes, as it does not acknowledge the SYN (RFC 9293 3.10.7.3), and the connection was
/// opened all the same: of an earlier connection of the same ports.
pub(crate) fn ignored_while_opening(reset: &Reset<'_>) -> Option<Finding> {
    let acknowledges = reset.rst.record.has(probe_ebpf::layout::ACK) && reset.rst.record.ack == reset.rst.peer.next_seq;
    let was_opening = reset.rst.peer.kind == Kind::Syn && reset.rst.sender.kind == Kind::Nothing;
    let opened = reset.case.opening == Opening::Completed && reset.rst.sender_continued;
    (was_opening && !acknowledges && opened).then_some((Cause::RstAfterClose, Confidence::Low, None))
}

/// 1, 2: the SYN was answered by an RST. Who answered shows in the TTL, if the server's own is known.
pub(crate) fn refused(reset: &Reset<'_>) -> Option<Finding> {
    if reset.case.closing != Closing::Refused || reset.side != RESP || reset.rst.sender_continued {
        return None;
    }
    if reset.is_foreign() {
        return found(Cause::RefusedByFirewall, Confidence::Medium);
    }
    let exact = reset.form == Form::Refuse && reset.rst.record.ack == reset.rst.peer.next_seq;
    found(Cause::RefusedClosedPort, if exact { Confidence::Medium } else { Confidence::Low })
}

/// 12: the server answered the SYN with a challenge ACK (RFC 5961 4.2) or data of the old connection, the client's host
/// reset just what that named.
pub(crate) fn stale_syn(reset: &Reset<'_>) -> Option<Finding> {
    let is_of_old = matches!(reset.rst.peer.kind, Kind::PureAck | Kind::Data);
    let challenged = reset.side == ORIG
        && reset.form == Form::Reply
        && reset.rst.sender.kind == Kind::Syn
        && is_of_old
        && reset.rst.answers_peer
        && reset.rst.record.seq != reset.rst.sender.next_seq;
    challenged.then_some((Cause::StaleConnectionSyn, Confidence::High, None))
}

/// 4: the client reset its attempt before any answer.
pub(crate) fn before_any_answer(reset: &Reset<'_>) -> Option<Finding> {
    let alone = reset.side == ORIG && reset.case.opening == Opening::Unanswered;
    alone.then_some((Cause::SynThenRst, Confidence::Medium, None))
}

/// 20: nothing else was ever seen.
///
/// That there was no connection is sure only after everything had been seen for as long as a silent one is remembered;
/// before that, and where only control segments are seen, it may simply have begun earlier.
pub(crate) fn without_connection(reset: &Reset<'_>) -> Option<Finding> {
    let is_alone = reset.case.closing == Closing::RstWithoutConnection;
    // An acknowledgement that is answered by an RST shows that one side believed in it.
    let is_answer = reset.form == Form::Reply && reset.rst.peer.kind == Kind::PureAck && reset.rst.answers_peer;
    if !is_alone || is_answer || reset.case.track.idle_before_ns() > 0 {
        return None;
    }
    let confidence = if reset.case.watched_ns >= WATCHED_NS { Confidence::Medium } else { Confidence::Low };
    found(Cause::RstWithoutConnection, confidence)
}

/// The handshake was completed for the client only: the server's accept queue is full (`net.ipv4.tcp_abort_on_overflow`), it
/// repeats its SYN-ACK or drops what comes, and acknowledges nothing. Rival: a path that lets nothing through to the server.
pub(crate) fn accept_queue_full(reset: &Reset<'_>) -> Option<Finding> {
    let overflows = |confidence| found(Cause::AcceptQueueFull, confidence);
    let server = reset.case.sides[RESP];
    if reset.side != RESP || server.bytes > 0 || server.fin > 0 || server.syn_ack == 0 || reset.case.is_half_seen() {
        return None;
    }
    // The handshake begins with a SYN-ACK.
    if reset.rst.sender.kind == Kind::Nothing {
        return None;
    }
    let repeated = reset.rst.peer.kind != Kind::Syn && server.syn_ack > 1 && reset.case.sides[ORIG].bytes > 0;
    // Nothing but SYN-ACKs came, whatever the client repeated.
    let silent = server.packets == server.syn_ack + server.rst;
    let times = reset.case.sides[ORIG].retransmits.max(reset.rst.peer.repeats.into());
    let ignored = silent && times >= 2;
    // The server's host has it as half open: it answers the client's ACK by the RST that goes with a full queue.
    if reset.form != Form::Reply || !silent {
        return None;
    }
    if repeated || ignored {
        return overflows(Confidence::Medium);
    }
    // At once, in answer to what completes the handshake. With payload behind it a filter would look the same.
    let asked = reset.case.sides[ORIG].bytes > 0;
    let since_ns = reset.rst.record.time_ns.saturating_sub(reset.case.track.start_ns);
    let at_once = since_ns <= reset.case.round_trip_ns().saturating_mul(2).max(reset.case.soon_ns());
    let opened = reset.case.opening == Opening::Completed;
    if opened && at_once { overflows(if asked { Confidence::Low } else { Confidence::Medium }) } else { None }
}

/// 3: the client's host answered the SYN-ACK by an RST, as it knew of no connection.
pub(crate) fn half_open(reset: &Reset<'_>) -> Option<Finding> {
    if reset.case.opening != Opening::HalfOpen || reset.side != ORIG || reset.case.has_payload() {
        return None;
    }
    match reset.form {
        Form::Abort => found(Cause::AbortNoData, Confidence::Low),
        Form::Reply if reset.rst.record.seq == reset.rst.sender.start_seq.wrapping_add(1) => {
            found(Cause::HalfOpenScan, Confidence::High)
        }
        _ => found(Cause::HalfOpenScan, Confidence::Low),
    }
}

//! Host kernel: rules for connections without an RST of which the host's own kernel says how they failed (`--host`): the error
//! that a socket was given, and segments that were dropped.

use super::Case;
use crate::record::{Cause, Closing, Confidence, Fact, Value};

/// What comes this long after an error shows that it ended nothing; what is on the way comes sooner.
const OUTLIVES_NS: u64 = 1_000_000_000;
/// include/uapi/asm-generic/errno.h
const ENETUNREACH: u16 = 101;
const ETIMEDOUT: u16 = 110;
const EHOSTUNREACH: u16 = 113;

/// Errors that TCP gives to sockets (`tcp_reset`, `tcp_write_err`, `tcp_v4_err`, `tcp_abort`), by number.
const ERRORS: [(u16, &str); 14] = [
    (13, "EACCES"),
    (32, "EPIPE"),
    (71, "EPROTO"),
    (90, "EMSGSIZE"),
    (92, "ENOPROTOOPT"),
    (95, "EOPNOTSUPP"),
    (100, "ENETDOWN"),
    (ENETUNREACH, "ENETUNREACH"),
    (103, "ECONNABORTED"),
    (104, "ECONNRESET"),
    (ETIMEDOUT, "ETIMEDOUT"),
    (111, "ECONNREFUSED"),
    (112, "EHOSTDOWN"),
    (EHOSTUNREACH, "EHOSTUNREACH"),
];

/// The cause, where the kernel's words give one.
pub(super) fn cause(case: &Case<'_>) -> Option<(Cause, Confidence)> {
    let said = case.kernel_said?;
    if matches!(case.closing, Closing::TwoFins | Closing::OneSided) {
        return None;
    }
    // A socket that asks for it (IP_RECVERR) is given errors that its connection outlives.
    let is_last = |at_ns: u64| case.track.previous_ns() <= at_ns.saturating_add(OUTLIVES_NS);
    let is_given = |errno: u16| said.iter().any(|side| side.errno == errno && is_last(side.error_ns));
    let never_answered = case.closing == Closing::NeverAnswered;
    if is_given(ENETUNREACH) || is_given(EHOSTUNREACH) {
        // A soft error while the connection lives (RFC 1122 4.2.3.9): the socket is given it when it gives up.
        return Some((Cause::IcmpUnreachable, Confidence::High));
    }
    if is_given(ETIMEDOUT) {
        // `tcp_write_err`: SYN, SYN-ACK or payload was repeated until the kernel gave up.
        let cause = if never_answered { Cause::NeverAnswered } else { Cause::RetransmissionTimeout };
        return Some((cause, Confidence::High));
    }
    // A firewall that rejects drops what it has answered by ICMP: that decides.
    if case.icmp.is_some_and(|report| report.errors > 0) {
        return None;
    }
    // What the host's firewall, or a full buffer, took away was never answered for that reason.
    let of_client = said[case.client()];
    let is_dropped = of_client.dropped > 0;
    let reason = case.drop_reasons.get(usize::from(of_client.drop_reason)).map_or("", String::as_str);
    if is_dropped && matches!(reason, "TCP_LISTEN_OVERFLOW" | "TCP_REQQFULLDROP") {
        return Some((Cause::AcceptQueueFull, Confidence::High));
    }
    (never_answered && is_dropped).then_some((Cause::NeverAnswered, Confidence::High))
}

/// What the kernel said of either side, as facts.
pub(super) fn facts(case: &Case<'_>, facts: &mut Vec<Fact>) {
    let Some(said) = case.kernel_said else { return };
    let client = case.client();
    let sides = [
        (client, ["kernel.socket_error.clt", "kernel.drop_reason.clt", "kernel.dropped_segments.clt"]),
        (1 - client, ["kernel.socket_error.srv", "kernel.drop_reason.srv", "kernel.dropped_segments.srv"]),
    ];
    for (side, [error, reason, segments]) in sides {
        let said = said[side];
        if said.errno != 0 {
            let name = ERRORS.iter().find(|(errno, _)| *errno == said.errno).map(|(_, name)| *name);
            let value = name.map_or(Value::Number(said.errno.into()), Value::Word);
            facts.push(Fact { name: error, value });
        }
        if said.dropped > 0 {
            let name = case.drop_reasons.get(usize::from(said.drop_reason)).map_or("unknown", String::as_str);
            facts.push(Fact { name: reason, value: Value::Text(name.into()) });
            facts.push(Fact { name: segments, value: Value::Number(said.dropped.into()) });
        }
    }
}

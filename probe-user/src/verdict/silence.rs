//! Silent ends: rules for connections that ended without an RST, or have not ended.

use super::{Case, host_kernel};
use crate::{
    record::{Cause, Closing, Confidence, Opening},
    tcp::{
        endpoint::{Kind, SENT_ACK},
        marks::{ORIG, RESP},
        payload_turns::payload_end,
    },
};

/// SYN-ACKs of one handshake from which their answer is missing, or not believed.
const REPEATED: u64 = 3;
/// Sooner, no host repeats its SYN-ACK: half the initial retransmission timeout.
const FIRST_REPETITION_NS: u64 = 500_000_000;
/// Retransmissions without acknowledgement that make a path that is gone.
const IN_VAIN: u8 = 3;

/// The cause where no RST was seen.
pub(crate) fn cause(case: &Case<'_>) -> (Cause, Confidence) {
    if let Some(found) = host_kernel::cause(case).or_else(|| of_opening(case)) {
        return found;
    }
    if let Some(report) = case.icmp.filter(|report| report.errors > 0) {
        let ended = matches!(case.closing, Closing::NeverAnswered | Closing::Vanished | Closing::HalfOpen);
        if ended || case.opening == Opening::Unanswered {
            return (Cause::IcmpUnreachable, if report.fits { Confidence::High } else { Confidence::Low });
        }
    }
    if case.tls_alert().is_some() {
        return (Cause::TlsAlert, Confidence::High);
    }
    if let Some(confidence) = gave_up(case) {
        return (Cause::ClientGaveUp, confidence);
    }
    if let Some(found) = of_vain(case) {
        return found;
    }
    match case.closing {
        // Another SYN took its place before an answer could come.
        Closing::NeverAnswered if case.is_cut_short => (Cause::None, Confidence::Low),
        // Whether no answer came or none was seen, packets cannot tell.
        Closing::NeverAnswered if case.both_ways => (Cause::NeverAnswered, Confidence::Medium),
        Closing::NeverAnswered => (Cause::NeverAnswered, Confidence::Low),
        Closing::OneSided => (Cause::None, Confidence::Low),
        Closing::Vanished if case.track.ends.iter().any(|end| end.repeats >= IN_VAIN) => {
            (Cause::RetransmissionTimeout, Confidence::Medium)
        }
        Closing::Vanished => (Cause::Vanished, Confidence::Medium),
        _ => (Cause::None, Confidence::High),
    }
}

/// Payload is sent again and again, and nobody acknowledges it: by now that is how it ends, whether or not its sender has
/// given up.
fn of_vain(case: &Case<'_>) -> Option<(Cause, Confidence)> {
    let [client, server] = case.sides;
    let lost =
        [ORIG, RESP].into_iter().any(|side| case.unacknowledged.lost(side) > 0 && case.track.ends[side].repeats > 0);
    let is_open = match case.closing {
        Closing::Open | Closing::HalfClosed | Closing::Vanished => true,
        // Of two FINs, one waits behind payload that nobody acknowledges.
        Closing::TwoFins => lost,
        _ => false,
    };
    if !is_open || case.is_half_seen() {
        return None;
    }
    // Nothing but the SYN was ever acknowledged (with SYN cookies the SYN-ACK is not repeated).
    let only_opened = server.packets == server.syn_ack && server.syn_ack > 0 && client.payload_bytes > 0;
    // Counters of an epoch do not know what was sent in the one before.
    let repeated = client.retransmits.max(case.track.ends[ORIG].repeats.into());
    if only_opened && repeated >= 2 && case.acks_seen {
        return Some((Cause::AcceptQueueFull, Confidence::Medium));
    }
    let repeats = case.track.ends.iter().any(|end| end.repeats >= IN_VAIN);
    (repeats && case.closing != Closing::Vanished).then_some((Cause::RetransmissionTimeout, Confidence::Low))
}

/// The client closed while its last request was unanswered, and no answer ever came. Rival: a client that wants none, where
/// nothing was ever answered.
fn gave_up(case: &Case<'_>) -> Option<Confidence> {
    let (client, server) = (case.client(), 1 - case.client());
    let fin = case.fin_of(client)?;
    // By itself: the server's FIN, if there is one, had not reached it.
    let by_itself = case.sides[server].fin == 0 || fin.ack != case.track.ends[server].last_seq;
    if !by_itself || fin.order.last() != Some(client) || case.track.spoke_last() != Some(client) || case.is_half_seen()
    {
        return None;
    }
    // It acknowledged more than was seen: an answer that was not captured.
    let end = payload_end(&case.track.ends[server]);
    if fin.ack.wrapping_sub(end).cast_signed() > 0 || case.sides[server].missed_bytes > 0 {
        return None;
    }
    let waited_ns = case.since_tick(fin.order.data_ticks[client], fin.time_ns());
    // Both may have closed in order: perhaps the last message wanted no answer.
    case.gave_up(waited_ns).map(|_| Confidence::Low)
}

fn of_opening(case: &Case<'_>) -> Option<(Cause, Confidence)> {
    let [client, server] = case.sides;
    let [orig, resp] = &case.track.ends;
    let is_quiet = server.payload_bytes == 0 && server.fin == 0 && client.fin == 0;
    // Acknowledged is something that this SYN has sent: itself, a FIN or payload with it.
    let sent = orig.last_seq.wrapping_sub(orig.start_seq);
    let is_believed = (1..=sent).contains(&orig.ack_seq.wrapping_sub(orig.start_seq));
    let opens = client.syn > 0 && server.syn + server.syn_ack == 0 && client.payload_bytes == 0;
    if opens && (resp.has(SENT_ACK) || server.payload_bytes > 0) && !is_believed && case.opening != Opening::Completed {
        // The SYN is answered by the acknowledgement, or by payload, of another connection (RFC 5961 4.2).
        return Some((Cause::StaleConnectionSyn, Confidence::Medium));
    }
    // Copies are no repetitions: the first SYN-ACK is repeated after a second (RFC 6298 2).
    let lasted_ns = case.track.previous_ns().saturating_sub(case.track.start_ns);
    if server.syn_ack < REPEATED || !is_quiet || lasted_ns < FIRST_REPETITION_NS {
        return None;
    }
    let answered = orig.has(SENT_ACK) || client.bytes > 0;
    match (answered, case.opening) {
        // The client has answered, and the server's host does not take it: no room in the accept queue.
        (true, _) => {
            let confidence = if client.bytes > 0 { Confidence::Medium } else { Confidence::Low };
            Some((Cause::AcceptQueueFull, confidence))
        }
        (false, Opening::HalfOpen | Opening::NotSeen) => Some((Cause::SynAckUnanswered, Confidence::Medium)),
        _ => None,
    }
}

/// Side whose payload was sent again in vain, if any.
pub(crate) fn unheard(case: &Case<'_>) -> Option<usize> {
    [ORIG, RESP]
        .into_iter()
        .find(|&side| case.track.ends[side].repeats > 0 && case.track.ends[side].kind() != Kind::Nothing)
}

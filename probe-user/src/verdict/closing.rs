//! Resets after a close: what still came met a host that had closed. Harmless or a loss, by what came.

use probe_ebpf::parse::ENCRYPTED_ALERTS;

use super::{Case, Finding, IDLE_NS, PATIENCE_NS, Reset, found, unacknowledged::Tail};
use crate::tcp::close_details::Seen;
use crate::tcp::payload_turns;
use crate::{
    record::{Cause, Closing, Confidence, ResetBy},
    tcp::{
        endpoint::Kind,
        marks::{AFTER_END, ORIG_SPOKE_AGAIN, TICK_SHIFT},
    },
    verdict::rst_form::Form,
};

/// A TLS alert in the clear: the handshake failed, and its description says why (RFC 8446 6.2).
pub(crate) fn tls_alert(reset: &Reset<'_>) -> Option<Finding> {
    if reset.case.tls_alert().is_some() {
        return found(Cause::TlsAlert, Confidence::High);
    }
    // Where payload is not read, by its length: rival is a message of seven bytes just before an abort.
    let is_one = reset.case.may_be_alert(reset.side) && reset.form == Form::Abort && !reset.rst.sender.has_sent_fin();
    if is_one { found(Cause::TlsAlert, Confidence::Medium) } else { None }
}

/// TLS: all that did not arrive is a close_notify (RFC 8446 6.1), which met a side that had closed without waiting for it, as
/// curl, node, python, ab and psql do. Nothing is lost. Rival, where only the length tells: a short message of the
/// application's.
pub(crate) fn close_notify(reset: &Reset<'_>) -> Option<Finding> {
    let unacknowledged = &reset.case.unacknowledged;
    // Of two goodbyes that nobody received, that to who closed first.
    let first = reset.case.closed_first().unwrap_or(reset.side);
    let sender = [1 - first, first].into_iter().find(|&side| unacknowledged.is_alert(side))?;
    let other = 1 - sender;
    let closed = reset.case.sides[other].fin > 0 || reset.case.sides[sender].fin > 0 && reset.side == other;
    if !closed || unacknowledged.lost(other) > 0 {
        return None;
    }
    let confidence = if unacknowledged.tail[sender] == Tail::Alert { Confidence::High } else { Confidence::Medium };
    // Whose host answered the goodbye; the other's answers may pass here first.
    let by = (reset.side != other && reset.case.track.rare().is_some_and(|rare| rare.rsts[other].is_some()))
        .then(|| if other == reset.case.client() { ResetBy::Client } else { ResetBy::Server });
    Some((Cause::CloseNotifyAfterClose, confidence, by))
}

/// 15: both FINs before it, or a record of its own shortly after the end of the connection, and nothing was lost.
pub(crate) fn after_both_closed(reset: &Reset<'_>) -> Option<Finding> {
    let lost = [0, 1].into_iter().any(|side| reset.case.unacknowledged.lost(side) > 0);
    if reset.case.closing == Closing::TwoFins && !lost {
        let known = reset.case.unacknowledged.unacked.iter().all(Option::is_some);
        return found(Cause::RstAfterClose, if known { Confidence::High } else { Confidence::Low });
    }
    let opened = reset.case.sides.iter().any(|side| side.syn + side.syn_ack > 0);
    let late = reset.case.track.has(AFTER_END) && !opened && !reset.case.has_payload();
    (late && reset.case.track.idle_before_ns() < super::PAUSE_NS).then_some((
        Cause::RstAfterClose,
        Confidence::Medium,
        None,
    ))
}

/// 8, 9, 9a, 14: the sender had sent a FIN; then something of the peer made its host reply by RST.
pub(crate) fn after_own_close(reset: &Reset<'_>) -> Option<Finding> {
    let own_fin = reset.case.fin_of(reset.side).filter(|_| reset.rst.sender.has_sent_fin())?;
    let peer = 1 - reset.side;
    let lost = reset.case.unacknowledged.lost(peer);
    // Windows acknowledges and sets the window to 0.
    let is_reply = reset.form == Form::Reply || reset.form == Form::Other && reset.rst.record.window == 0;
    if !is_reply && lost == 0 {
        return None;
    }
    let unknown = reset.case.unacknowledged.unacked[peer].is_none();
    if lost == 0 && !unknown {
        let is_ack = reset.rst.peer.kind == Kind::PureAck && reset.rst.answers_peer;
        let cause = if is_ack && reset.case.sides[peer].fin == 0 { Cause::Linger2 } else { Cause::RstAfterClose };
        return found(cause, if reset.is_unprovoked() { Confidence::Low } else { Confidence::Medium });
    }
    if !reset.case.sees_payload() {
        // Of what came, only that it was answered so: an acknowledgement is as good.
        return found(Cause::DataAfterClose, Confidence::Low);
    }
    if reset.is_by_client() {
        let (cause, confidence) = client_had_closed(reset, own_fin);
        return found(cause, confidence);
    }
    server_had_closed(reset, own_fin)
}

/// The server had closed, and the client's payload came in vain.
fn server_had_closed(reset: &Reset<'_>, own_fin: &Seen) -> Option<Finding> {
    let peer = 1 - reset.side;
    let lost = reset.case.unacknowledged.lost(peer);
    let unknown = reset.case.unacknowledged.unacked[peer].is_none();
    let after_fin = reset.rst.record.time_ns.saturating_sub(own_fin.time_ns());
    let silent_ns = |side: usize| reset.case.since_tick(own_fin.order.data_ticks[side], own_fin.time_ns());
    let soon_ns = reset.case.soon_ns();
    let was_sending = own_fin.order.last().is_some() && silent_ns(peer) <= soon_ns && silent_ns(reset.side) <= soon_ns;
    if reset.case.sides[reset.side].bytes > 0
        && reset.case.sides[peer].bytes > u64::from(lost)
        && was_sending
        && lost >= PART_OF_UPLOAD
        && after_fin <= reset.case.soon_ns()
    {
        return found(Cause::ServerReplyThenReset, Confidence::Medium);
    }
    // A reply bears the number that the segment which provoked it acknowledges: without the FIN, it had crossed that.
    let crossed = reset.rst.record.seq == reset.rst.sender.next_seq.wrapping_sub(1);
    // Its own silence: what crosses its FIN on the way would break any other.
    let spoke = reset.case.sides[reset.side].bytes > 0;
    let is_idle = spoke && silent_ns(reset.side) + ROUNDING_NS >= IDLE_CLOSE_NS;
    if is_idle && crossed && reset.has_answered_before(own_fin.order.last(), peer) {
        return found(Cause::KeepAliveRace, Confidence::Medium);
    }
    // An active abort may be of its own accord, whatever came.
    let is_sure = !unknown && reset.form != Form::Abort;
    found(Cause::DataAfterClose, if is_sure { Confidence::High } else { Confidence::Medium })
}

/// The client had closed, and the server's payload came in vain.
fn client_had_closed(reset: &Reset<'_>, fin: &Seen) -> (Cause, Confidence) {
    let case = reset.case;
    let (client, server) = (case.client(), 1 - case.client());
    if case.said_farewell() {
        return (Cause::RstAfterClose, Confidence::Medium);
    }
    if let Some(waited_ns) = case.waited_ns(client, reset.rst) {
        // It did not wait for long: perhaps it wanted no answer.
        return case
            .gave_up(waited_ns)
            .map_or((Cause::DataAfterClose, Confidence::Medium), |sure| (Cause::ClientGaveUp, sure));
    }
    let silent_ns = case.since_tick(fin.order.data_ticks[server], fin.time_ns());
    let late_ns = reset.rst.record.time_ns.saturating_sub(fin.time_ns());
    // Of the answer, or of all where nothing was asked.
    let first = case.track.ends[server].start_seq.wrapping_add(1);
    let begins = if case.track.answer_seq == 0 { first } else { case.track.answer_seq };
    let received = if case.knows_answers() { fin.ack.wrapping_sub(begins).cast_signed() } else { i32::MAX };
    let soon_ns = case.soon_ns();
    if received < MORE_THAN_AN_ANSWER {
        // Of a TLS connection little had come, then nothing for long: the server's tickets, and no answer.
        if silent_ns > soon_ns.saturating_mul(4) && case.said_goodbye(client) {
            return (Cause::ClientGaveUp, Confidence::Medium);
        }
        if late_ns > soon_ns {
            return (Cause::DataAfterClose, Confidence::Medium);
        }
    }
    if case.has_received(client, reset.rst) && silent_ns <= LONGEST_GAP_NS {
        return (Cause::ClientAbortDownload, Confidence::Medium);
    }
    (Cause::DataAfterClose, Confidence::Medium)
}

/// The application of a host that still retransmitted had closed: its FIN waits behind payload that is not acknowledged, and
/// what comes meets an orphan. Rival: the host was restarted in just this moment.
pub(crate) fn orphan(reset: &Reset<'_>) -> Option<Finding> {
    let sender = reset.case.sides[reset.side];
    if reset.form != Form::Reply
        || reset.rst.sender.has_sent_fin()
        || sender.retransmits == 0
        || sender.syn + sender.syn_ack == 0
    {
        return None;
    }
    let silent_ns = super::silence_ns(reset.case.track, reset.rst);
    let since_data_ns = reset.case.since_tick(reset.rst.order.data_ticks[reset.side], reset.rst.record.time_ns);
    if since_data_ns < IDLE_NS {
        return None;
    }
    // It had given up retransmitting, and then its host knew the connection no more (`TCP_USER_TIMEOUT`).
    if silent_ns.saturating_mul(4) > since_data_ns {
        return found(Cause::RetransmissionTimeout, Confidence::Low);
    }
    let cause = if reset.is_by_client() { Cause::ClientGaveUp } else { Cause::DataAfterClose };
    found(cause, Confidence::Low)
}

impl Case<'_> {
    /// The last of `side`'s payload was a TLS goodbye.
    fn said_goodbye(&self, side: usize) -> bool {
        self.track.rare().is_some_and(|rare| ENCRYPTED_ALERTS.contains(&rare.sides[side].late_len))
    }

    /// The client said something more, after answers to what it had said before, and closed without waiting for a reply: QUIT,
    /// unbind, Terminate. What may still have come in vain is no longer than a line. Rival: a client that ended with a
    /// request just sent.
    pub(crate) fn said_farewell(&self) -> bool {
        let client = self.client();
        let Some(fin) = self.fin_of(client).filter(|_| self.closed_first() == Some(client)) else { return false };
        let after_last_ns = self.since_tick(fin.order.data_ticks[client], fin.time_ns());
        self.track.has(ORIG_SPOKE_AGAIN)
            && self.knows_answers()
            && payload_turns::answer_ns(self.track).is_some()
            && self.unacknowledged.unacked[1 - client].is_some()
            && self.after_fin(fin) <= FAREWELL_REPLY
            && !self.had_begun_to_answer(fin)
            && after_last_ns <= self.round_trip_ns().max(ROUNDING_NS)
    }

    /// What the server sent that had not reached the client when that closed by `fin`, bytes of payload.
    fn after_fin(&self, fin: &Seen) -> u32 {
        let end = payload_turns::payload_end(&self.track.ends[1 - self.client()]);
        u32::try_from(end.wrapping_sub(fin.ack).cast_signed()).unwrap_or(0)
    }

    /// A part of the answer to the client's last payload had reached it when it closed by `fin`.
    fn had_begun_to_answer(&self, fin: &Seen) -> bool {
        let is_answered = self.track.spoke_last() == Some(1 - self.client());
        is_answered && self.track.answer_seq != 0 && fin.ack.wrapping_sub(self.track.answer_seq).cast_signed() > 0
    }

    /// Whether who waited for so long gave up: longer than answers had taken before, or than [`PATIENCE_NS`]. Rival: a client
    /// that wants no answer.
    pub(crate) fn gave_up(&self, waited_ns: u64) -> Option<Confidence> {
        let soon_ns = self.soon_ns();
        // Measured here, and for the client the way from it to here and back longer.
        let way_ns = self.round_trip_ns().saturating_sub(self.track.handshake().nanoseconds());
        let is_long = match payload_turns::answer_ns(self.track)
            .filter(|_| self.knows_answers())
            .map(|measured_ns| measured_ns + way_ns)
        {
            Some(usual_ns) => waited_ns > usual_ns.max(soon_ns) || waited_ns >= PATIENCE_NS,
            None => waited_ns >= PATIENCE_NS.min(soon_ns.saturating_mul(4)),
        };
        let server = 1 - self.client();
        // An answer that came too late was wanted. Where nothing was ever answered, perhaps nothing was to be.
        let confidence = match (self.unacknowledged.lost(server) > 0, self.sides[server].bytes > 0) {
            (true, _) if waited_ns >= PATIENCE_NS => Confidence::High,
            (_, true) => Confidence::Medium,
            (_, false) => Confidence::Low,
        };
        is_long.then_some(confidence)
    }

    /// The client asked when the connection began and then only waited, and the server never said a word. A sender that
    /// wants no answers uses its connection again, or is done and closes.
    pub(crate) fn asked_at_once(&self) -> bool {
        let (client, server) = (self.client(), 1 - self.client());
        let Some(fin) = self.fin_of(client) else { return false };
        let last_ns = u64::from(fin.order.data_ticks[client]) << TICK_SHIFT;
        self.sides[server].payload_bytes == 0 && last_ns < PATIENCE_NS
    }
}

/// Times within a connection are kept to about a millisecond, at both ends of a difference.
const ROUNDING_NS: u64 = 2 << TICK_SHIFT;
/// A reply to a farewell is no longer, bytes: `221 2.0.0 Bye`, `+OK Logging out`.
const FAREWELL_REPLY: u32 = 64;
/// A server that closes because of idleness was silent for at least this long.
pub(crate) const IDLE_CLOSE_NS: u64 = 200_000_000;
/// Less is the beginning of an answer, or what a TLS server sends after the handshake.
const MORE_THAN_AN_ANSWER: i32 = 2048;
/// An answer so long is hardly read whole before its server aborts.
const LONG_TRANSFER: i32 = 16_384;
/// Transfers with a limited rate pause for about a second.
const LONGEST_GAP_NS: u64 = 1_200_000_000;
/// Payload that makes a part of an upload: a segment of the least size that every path takes (RFC 9293 3.7.1). Less is a
/// request of its own.
const PART_OF_UPLOAD: u32 = 536;

impl Reset<'_> {
    /// More than a short answer had come since the client's last request.
    pub(crate) fn had_much_of_answer(&self) -> bool {
        self.has_answered() && self.answer_len() >= MORE_THAN_AN_ANSWER
    }

    /// What the server has sent since the client's last request, bytes.
    fn answer_len(&self) -> i32 {
        if !self.case.knows_answers() {
            return 0;
        }
        let server = 1 - self.case.client();
        let end = &self.case.track.ends[server];
        let first = end.start_seq.wrapping_add(1);
        let begins = if self.case.track.answer_seq == 0 { first } else { self.case.track.answer_seq };
        payload_turns::payload_end(end).wrapping_sub(begins).cast_signed()
    }

    /// The server had answered everything that the client had asked before the server's FIN.
    fn has_answered_before(&self, last: Option<usize>, client: usize) -> bool {
        last != Some(client) || self.case.unacknowledged.lost(client) > 0
    }

    /// The client ended it while its last request was unanswered.
    pub(crate) fn gave_up(&self) -> Option<Confidence> {
        if self.is_by_client() { self.case.gave_up(self.waited_ns()?) } else { None }
    }

    /// The server's abort answers the client's close in the middle of a transfer (nginx, when its client goes).
    pub(crate) fn answers_clients_close(&self) -> Option<Finding> {
        let client = self.case.client();
        let fin = self.case.fin_of(client)?;
        let after_fin = self.rst.record.time_ns.saturating_sub(fin.time_ns());
        let server = self.side;
        // It acknowledges the client's FIN.
        let received = self.rst.peer.has_sent_fin() && self.rst.record.ack == self.rst.peer.next_seq;
        if !received || self.case.sides[server].fin > 0 || self.case.closed_first() != Some(client) {
            return None;
        }
        let soon = after_fin <= self.case.soon_ns();
        let lost = self.case.unacknowledged.lost(server) > 0;
        let (cause, confidence) = client_had_closed(self, fin);
        // That it was a long one: a server of Windows ends whole answers so.
        let is_long = self.answer_len() >= LONG_TRANSFER;
        let is_cut = cause == Cause::ClientAbortDownload && soon && (is_long || lost);
        (is_cut || cause == Cause::ClientGaveUp && (lost || self.case.waited_ns(client, self.rst).is_some()))
            .then_some((cause, confidence, Some(ResetBy::Client)))
    }
}

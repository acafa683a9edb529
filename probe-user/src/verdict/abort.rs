//! Active aborts: an application, or its kernel on its behalf, gave up the connection (RFC 9293 3.10.5).

use probe_ebpf::{layout::ACK, parse::RstOption};

use super::closing::IDLE_CLOSE_NS;
use super::{Finding, Reset, found};
use crate::tcp::close_details::Seen;
use crate::{
    record::{Cause, Confidence},
    tcp::endpoint::Kind,
    verdict::{rst_form as form, rst_form::Form},
};

/// Times within a connection are kept to about a millisecond: shorter paths cannot be told by.
const TELLING_NS: u64 = 3_000_000;

/// An application that shuts down and then closes does so within this time.
const FIN_AND_RST_NS: u64 = 1_000_000;

/// 22: the RST says why: by its payload (RFC 9293 3.5.3), or by an option of Multipath TCP (RFC 8684 3.6).
pub(crate) fn explained(reset: &Reset<'_>) -> Option<Finding> {
    if form::explained(reset.rst.note).is_some() {
        return found(Cause::Explained, Confidence::High);
    }
    if let Some(said) = reset.case.said[reset.side] {
        if matches!(said.option, RstOption::Mptcp(_) | RstOption::MptcpFastClose) {
            return found(Cause::Explained, Confidence::High);
        }
        let letters = |text: &str| text.bytes().filter(u8::is_ascii_alphabetic).count();
        if said.printable().is_some_and(|text| letters(text) >= 4) {
            return found(Cause::Explained, Confidence::Medium);
        }
    }
    form::text(reset.rst.note).and_then(|_| found(Cause::Explained, Confidence::Medium))
}

/// 5, 6, 7, 8, 16: the application or its kernel decided so; what was on the way tells more.
pub(crate) fn abort(reset: &Reset<'_>) -> Option<Finding> {
    if !matches!(reset.form, Form::Abort | Form::Other) {
        return None;
    }
    // Without window and options, as other stacks than Linux abort: at least the number must be exact.
    let exact = reset.rst.record.has(ACK) && reset.rst.record.seq == reset.rst.sender.next_seq;
    // Of another TTL than its sender's own segments: perhaps another route, perhaps another host.
    let known = (reset.form == Form::Abort || exact) && !reset.is_foreign();
    let least = |confidence: Confidence| if known { confidence } else { Confidence::Low };
    if !reset.case.has_payload() && reset.case.track.idle_before_ns() > 0 {
        // What is remembered of it is when it was last heard, not what it had exchanged.
        return found(Cause::AppAbort, Confidence::Low);
    }
    if !reset.case.has_payload() && !reset.acknowledges_payload() {
        // Further RSTs answer something, perhaps payload that is not seen.
        let is_answered = !reset.case.sees_payload() && reset.case.sides[reset.side].rst > 1;
        return found(Cause::AbortNoData, if is_answered { Confidence::Low } else { least(Confidence::Medium) });
    }
    if !reset.case.sees_payload() {
        // Who spoke when tells one abort from another, and an answer to a close from a choice.
        return found(
            Cause::AppAbort,
            if reset.rst.peer.has_sent_fin() { Confidence::Low } else { least(Confidence::Medium) },
        );
    }
    if let Some(finding) = after_peers_close(reset) {
        return Some(finding);
    }
    let (cause, confidence, by) = if reset.is_by_client() { by_client(reset) } else { by_server(reset) };
    Some((cause, least(confidence), by))
}

/// The other side had closed, its FIN was received, nothing was asked or lost: the rest is thrown away, such as a close_notify
/// that nobody read.
fn after_peers_close(reset: &Reset<'_>) -> Option<Finding> {
    let peer = &reset.rst.peer;
    let received = peer.has_sent_fin() && reset.rst.record.ack == peer.next_seq && !reset.rst.sender.has_sent_fin();
    let lost = [0, 1].into_iter().any(|side| reset.case.unacknowledged.lost(side) > 0);
    // A goodbye before the FIN is no speech.
    let since = |fin: &Seen, side: usize| reset.case.since_tick(fin.order.data_ticks[side], fin.time_ns());
    let silent_ns = |fin: &Seen| since(fin, 0).min(since(fin, 1));
    let idle = reset.case.fin_of(1 - reset.side).is_some_and(|fin| silent_ns(fin) >= IDLE_CLOSE_NS);
    (received && idle && !lost && !reset.awaits_answer()).then_some((Cause::RstAfterClose, Confidence::Medium, None))
}

fn by_client(reset: &Reset<'_>) -> Finding {
    let (client, server) = (reset.side, 1 - reset.side);
    // Some of it was on the way, or lay unread: the client's buffer was full, or its host had not even acknowledged it.
    let server_was_sending = reset.was_streaming(server) || reset.has_answered() && reset.is_stuck(client);
    if (reset.case.unacknowledged.lost(server) > 0 || server_was_sending) && reset.waited_ns().is_none() {
        return (Cause::ClientAbortDownload, Confidence::Medium, None);
    }
    if reset.received_unacknowledged() && reset.waited_ns().is_none() {
        return (Cause::ClientAbortDownload, Confidence::Low, None);
    }
    if let Some(confidence) = reset.gave_up() {
        return (Cause::ClientGaveUp, confidence, None);
    }
    // In the middle of sending, and nothing had come back.
    let own = reset.case.sides[client];
    let time_ns = reset.rst.record.time_ns;
    let silent_ns = |side: usize| reset.case.since_tick(reset.rst.order.data_ticks[side], time_ns);
    let soon_ns = reset.case.soon_ns();
    let is_upload = own.bytes > reset.case.sides[server].bytes.max(4096)
        && reset.awaits_answer()
        && silent_ns(client) <= soon_ns
        && (reset.case.sides[server].bytes == 0 || silent_ns(server) > soon_ns);
    if is_upload {
        return (Cause::ClientAbortUpload, Confidence::Medium, None);
    }
    (Cause::AppAbort, Confidence::Medium, None)
}

fn by_server(reset: &Reset<'_>) -> Finding {
    if let Some(finding) = reset.answers_clients_close() {
        return finding;
    }
    let server = reset.side;
    if reset.case.sides[server].bytes > 0 && reset.unread_after_reply().is_some() {
        return (Cause::ServerReplyThenReset, Confidence::Medium, None);
    }
    (Cause::AppAbort, Confidence::Medium, None)
}

impl Reset<'_> {
    /// It acknowledges payload of the other side's, seen or not.
    fn acknowledges_payload(&self) -> bool {
        let peer = &self.rst.peer;
        let received = self.rst.record.ack.wrapping_sub(peer.start_seq).cast_signed();
        self.rst.record.has(ACK) && peer.kind != Kind::Nothing && received > 1 + i32::from(peer.has_sent_fin())
    }

    /// The server had just replied, and there was still something of the client's that it had not read: payload came after
    /// the reply, or was never acknowledged; or the RST followed the reply before anybody could have acknowledged it. A word
    /// for what says so.
    pub(crate) fn unread_after_reply(&self) -> Option<&'static str> {
        let client = 1 - self.side;
        let both_spoke = self.case.sides.iter().all(|side| side.payload_bytes > 0);
        if self.case.is_half_seen() || self.case.sides[client].fin > 0 || !both_spoke {
            return None;
        }
        if !self.has_just_replied() {
            return None;
        }
        let time_ns = self.rst.record.time_ns;
        let asked_soon = self.case.since_tick(self.rst.order.data_ticks[client], time_ns) <= self.case.soon_ns() * 2;
        let acknowledges_more = self.rst.record.ack.wrapping_sub(self.rst.peer.acked).cast_signed() > 0;
        if self.rst.order.last() == Some(client) {
            return Some("sent_after_reply");
        }
        if self.case.unacknowledged.lost(client) > 0 {
            return Some("not_acknowledged");
        }
        if acknowledges_more && self.rst.record.has(ACK) {
            return Some("acknowledged_by_rst");
        }
        if self.rst.sender.kind == Kind::PureAck && asked_soon {
            return Some("acknowledged_after_reply");
        }
        // Shut down, and closed at once with something unread: otherwise nothing would follow the FIN.
        if let Some(fin) = self.case.fin_of(self.side).filter(|_| self.rst.sender.has_sent_fin()) {
            let after_fin_ns = time_ns.saturating_sub(fin.time_ns());
            let at_once = after_fin_ns <= (self.case.round_trip_ns() / 2).max(FIN_AND_RST_NS);
            return (at_once && self.form == Form::Abort).then_some("closed_after_fin");
        }
        let at_once = self.rst.sender.kind == Kind::Data && self.was_before_acknowledgement();
        (at_once && asked_soon).then_some("no_time_to_acknowledge")
    }

    /// The server's last payload came just before its RST.
    pub(crate) fn has_just_replied(&self) -> bool {
        let (reset_ns, reply_tick) = (self.rst.record.time_ns, self.rst.order.data_ticks[self.side]);
        self.case.sides[self.side].payload_bytes > 0
            && self.case.since_tick(reply_tick, reset_ns) <= self.case.soon_ns()
    }

    /// The reply's acknowledgement cannot have reached the server before it sent the RST: within half a round trip, since who
    /// waits for it takes a whole one, it had not come by here, or the server answered it by another RST (RFC 9293 3.10.7.1).
    /// Otherwise the handshake took long for other reasons than the path, as on a busy host.
    fn was_before_acknowledgement(&self) -> bool {
        let sender = &self.rst.sender;
        let since_reply_ns = self.case.since_tick(self.rst.order.data_ticks[self.side], self.rst.record.time_ns);
        let is_acknowledged = sender.next_seq.wrapping_sub(sender.acked).cast_signed() <= 0;
        let half_ns = self.case.round_trip_ns() / 2;
        let at_once = half_ns >= TELLING_NS && since_reply_ns < half_ns;
        at_once && (!is_acknowledged || self.case.sides[self.side].rst > 1)
    }
}

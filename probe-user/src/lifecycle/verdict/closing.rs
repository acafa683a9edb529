//! Resets after a close: what still came met a host that had closed. Harmless or a loss, by what came.

use super::super::ledger as talk;
use super::super::{Cause, Closing, Confidence, ResetBy, endpoint::Kind, form::Form, track::AFTER_END};
use super::{Finding, IDLE_NS, PATIENCE_NS, RACE_NS, Reset, found, ledger::Tail};

/// TLS: all that did not arrive is a close_notify (RFC 8446 6.1), which met a side that had closed without waiting for it, as
/// curl, node, python, ab and psql do. Nothing is lost. Rival, where only the length tells: a short message of the
/// application's.
pub(super) fn close_notify(reset: &Reset<'_>) -> Option<Finding> {
    let ledger = &reset.case.ledger;
    // Of two goodbyes that nobody received, that to who closed first.
    let first = reset.case.closed_first().unwrap_or(reset.side);
    let sender = [1 - first, first].into_iter().find(|&side| ledger.is_alert(side))?;
    let other = 1 - sender;
    let closed = reset.case.sides[other].fin > 0 || reset.case.sides[sender].fin > 0 && reset.side == other;
    if !closed || ledger.lost(other) > 0 || reset.awaits_answer() && sender == other {
        return None;
    }
    let confidence = if ledger.tail[sender] == Tail::Alert { Confidence::High } else { Confidence::Medium };
    // Whose host answered the goodbye; the other's answers may pass here first.
    let by = (reset.side != other && reset.case.track.rare().is_some_and(|rare| rare.rsts[other].is_some()))
        .then(|| if other == reset.case.client() { ResetBy::Client } else { ResetBy::Server });
    Some((Cause::CloseNotifyAfterClose, confidence, by))
}

/// 15: both FINs before it, or a record of its own shortly after the end of the connection, and nothing was lost.
pub(super) fn after_both_closed(reset: &Reset<'_>) -> Option<Finding> {
    let lost = [0, 1].into_iter().any(|side| reset.case.ledger.lost(side) > 0);
    if reset.case.closing == Closing::TwoFins && !lost {
        return found(Cause::RstAfterClose, Confidence::High);
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
pub(super) fn after_own_close(reset: &Reset<'_>) -> Option<Finding> {
    let own_fin = reset.case.fin_of(reset.side)?;
    let peer = 1 - reset.side;
    let lost = reset.case.ledger.lost(peer);
    // Windows acknowledges and sets the window to 0.
    let is_reply = reset.form == Form::Reply || reset.form == Form::Other && reset.rst.record.window == 0;
    if !is_reply && lost == 0 {
        return None;
    }
    let unknown = reset.case.ledger.unacked[peer].is_none();
    if lost == 0 && !unknown {
        let is_ack = reset.rst.peer.kind == Kind::PureAck && reset.rst.answers_peer;
        let cause = if is_ack && reset.case.sides[peer].fin == 0 { Cause::Linger2 } else { Cause::RstAfterClose };
        return found(cause, Confidence::Medium);
    }
    if reset.is_by_client() {
        return Some(client_had_closed(reset, lost));
    }
    let after_fin = reset.rst.record.time_ns.saturating_sub(own_fin.time_ns());
    let silent_ns = |side: usize| reset.case.since_tick(own_fin.talk.data_ticks[side], own_fin.time_ns());
    // Of who closed: a request may already be on its way.
    let is_idle = own_fin.idle_ns >= IDLE_NS || silent_ns(reset.side) >= IDLE_NS;
    let soon_ns = reset.case.soon_ns();
    let was_sending = own_fin.talk.last().is_some() && silent_ns(peer) <= soon_ns && silent_ns(reset.side) <= soon_ns;
    if reset.case.sides[reset.side].bytes > 0
        && reset.case.sides[peer].bytes > u64::from(lost)
        && was_sending
        && lost >= PART_OF_UPLOAD
        && after_fin <= reset.case.soon_ns()
    {
        return found(Cause::ServerReplyThenReset, Confidence::Medium);
    }
    if is_idle && after_fin <= RACE_NS && reset.has_answered_before(own_fin.talk.last(), peer) {
        return found(Cause::KeepAliveRace, Confidence::Medium);
    }
    found(Cause::DataAfterClose, if unknown { Confidence::Medium } else { Confidence::High })
}

/// The client had closed, and the server's payload came in vain.
fn client_had_closed(reset: &Reset<'_>, lost: u32) -> Finding {
    if let Some(confidence) = reset.gave_up() {
        return (Cause::ClientGaveUp, confidence, None);
    }
    let server = 1 - reset.side;
    let fin = reset.case.fin_of(reset.side);
    let spoke = fin.is_some_and(|fin| {
        let silent_ns = reset.case.since_tick(fin.talk.data_ticks[server], fin.time_ns());
        fin.talk.last() == Some(server) && silent_ns <= reset.case.soon_ns().max(PATIENCE_NS)
    });
    if spoke && (lost > 0 || reset.case.ledger.unacked[server].is_none()) {
        return (Cause::ClientAbortDownload, Confidence::Medium, None);
    }
    (Cause::DataAfterClose, Confidence::Medium, None)
}

/// The application of a host that still retransmitted had closed: its FIN waits behind payload that is not acknowledged, and
/// what comes meets an orphan. Rival: the host was restarted in just this moment.
pub(super) fn orphan(reset: &Reset<'_>) -> Option<Finding> {
    let sender = reset.case.sides[reset.side];
    if reset.form != Form::Reply || reset.rst.sender.fin || sender.retransmits == 0 || sender.syn + sender.syn_ack == 0
    {
        return None;
    }
    let silent_ns = super::silence_ns(reset.case.track, reset.rst);
    let since_data_ns = reset.case.since_tick(reset.rst.talk.data_ticks[reset.side], reset.rst.record.time_ns);
    // It retransmitted until now.
    if silent_ns.saturating_mul(4) > since_data_ns || since_data_ns < IDLE_NS {
        return None;
    }
    let cause = if reset.is_by_client() { Cause::ClientGaveUp } else { Cause::DataAfterClose };
    found(cause, Confidence::Low)
}

/// Payload that makes a part of an upload: a segment of the least size that every path takes (RFC 9293 3.7.1). Less is a
/// request of its own.
const PART_OF_UPLOAD: u32 = 536;

impl Reset<'_> {
    /// The server had answered everything that the client had asked before the server's FIN.
    fn has_answered_before(&self, last: Option<usize>, client: usize) -> bool {
        last != Some(client) || self.case.ledger.lost(client) > 0
    }

    /// The client ended it while its last request was unanswered: for longer than answers had taken before, or than
    /// [`PATIENCE_NS`]. Rival: a client that wants no answer.
    pub(super) fn gave_up(&self) -> Option<Confidence> {
        let waited_ns = self.waited_ns()?;
        let client = self.case.client();
        if self.case.sides[client].bytes == 0 || !self.is_by_client() {
            return None;
        }
        let usual_ns = talk::answer_ns(self.case.track);
        let is_long = match usual_ns {
            Some(usual) => waited_ns > usual.max(self.case.soon_ns()) || waited_ns >= PATIENCE_NS,
            None => waited_ns >= PATIENCE_NS.min(self.case.soon_ns().saturating_mul(4)),
        };
        is_long.then_some(if waited_ns >= PATIENCE_NS { Confidence::High } else { Confidence::Medium })
    }

    /// The server's abort answers the client's close in the middle of a transfer (nginx, when its client goes).
    pub(super) fn answers_clients_close(&self) -> Option<Finding> {
        let client = self.case.client();
        let fin = self.case.fin_of(client)?;
        let after_fin = self.rst.record.time_ns.saturating_sub(fin.time_ns());
        let server = self.side;
        let was_sending = self.case.since_tick(fin.talk.data_ticks[server], fin.time_ns()) <= PATIENCE_NS;
        let is_first = self.case.fin_of(server).is_none_or(|own| own.time_ns() > fin.time_ns());
        (is_first
            && self.case.sides[server].fin == 0
            && self.case.sides[server].bytes > 0
            && was_sending
            && after_fin <= self.case.soon_ns())
        .then_some((Cause::ClientAbortDownload, Confidence::Medium, Some(ResetBy::Client)))
    }
}

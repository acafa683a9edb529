//! Impact: what a reset cost, by what was never acknowledged and by who still waited.

use super::{Case, Reset};
use crate::{
    record::{Cause, Closing, Impact, Opening},
    tcp::endpoint::Kind,
    verdict::rst_form::Form,
};

/// The impact, and the payload bytes of client and server that the other side's host discarded, as far as seen.
pub(crate) fn of(case: &Case<'_>, cause: Cause, reset: Option<&Reset<'_>>) -> (Impact, [u64; 2]) {
    if is_failed_attempt(case, cause) {
        return (Impact::AttemptFailed, [0, 0]);
    }
    let Some(reset) = reset else { return of_silence(case, cause) };
    if !is_known(case, cause) {
        return (Impact::Unknown, [0, 0]);
    }
    let unacknowledged = &case.unacknowledged;
    // What the sender of the RST had not got acknowledged may have arrived all the same.
    let (client, server) = (case.client(), 1 - case.client());
    let discarded = |side: usize| if is_discarded(reset, side) { u64::from(unacknowledged.lost(side)) } else { 0 };
    let lost = match cause {
        // What was sent in vain is its sender's.
        Cause::RetransmissionTimeout => [client, server].map(|side| u64::from(unacknowledged.lost(side))),
        Cause::RstAfterClose => [0, 0],
        _ => [discarded(client), discarded(server)],
    };
    (judge(cause, reset, lost), lost)
}

fn is_failed_attempt(case: &Case<'_>, cause: Cause) -> bool {
    match cause {
        Cause::RefusedClosedPort
        | Cause::HalfOpenScan
        | Cause::SynThenRst
        | Cause::NeverAnswered
        | Cause::SynAckUnanswered
        | Cause::StaleConnectionSyn => true,
        Cause::IcmpUnreachable | Cause::RefusedByFirewall => case.opening != Opening::Completed,
        Cause::AcceptQueueFull => !case.has_payload(),
        _ => false,
    }
}

/// Whether both directions were seen well enough to say that nothing was lost.
fn is_known(case: &Case<'_>, cause: Cause) -> bool {
    cause != Cause::RstWithoutConnection
        && case.closing != Closing::RstWithoutConnection
        && case.unacknowledged.unacked.iter().all(Option::is_some)
}

/// A host that answers by RST, or aborts, discards what it has not acknowledged. A device in between stops both ways.
fn is_discarded(reset: &Reset<'_>, side: usize) -> bool {
    let by_other = reset.case.track.rare().is_some_and(|rare| rare.rsts[1 - side].is_some());
    by_other || reset.is_foreign()
}

fn judge(cause: Cause, reset: &Reset<'_>, lost: [u64; 2]) -> Impact {
    let [clt, srv] = lost;
    match cause {
        Cause::TlsAlert => return Impact::AttemptFailed,
        // The server had closed with a request unanswered; that a goodbye came too late as well costs nothing.
        Cause::CloseNotifyAfterClose
            if !reset.is_by_client() && reset.awaits_answer() && !reset.case.said_farewell() =>
        {
            return Impact::ResponseLost;
        }
        Cause::CloseNotifyAfterClose | Cause::RstInsteadOfFin | Cause::RstAfterClose => return Impact::None,
        Cause::ClientGaveUp => return Impact::ResponseLost,
        Cause::ClientAbortDownload | Cause::ClientAbortUpload => return Impact::TransferCut,
        Cause::ServerReplyThenReset | Cause::KeepAliveRace => return Impact::RequestLost,
        _ => {}
    }
    match (clt > 0, srv > 0) {
        // What both hosts still used afterwards was not cut.
        (false, false) if is_by_another(cause) && reset.was_ignored() => Impact::None,
        (false, false) if !is_by_another(cause) && reset.case.said_farewell() => Impact::None,
        (true, true) => Impact::TransferCut,
        (true, false) => Impact::RequestLost,
        (false, true) if reset.has_answered() => Impact::TransferCut,
        (false, true) => Impact::ResponseLost,
        // Somebody cut what was alive.
        (false, false) if is_by_another(cause) => {
            if reset.awaits_answer() {
                Impact::ResponseLost
            } else {
                Impact::TransferCut
            }
        }
        // What lay unread may have been an answer, where it is not known who serves.
        (false, false) if reset.left_unread() && reset.case.is_guess => Impact::Unknown,
        // An abort before any answer throws the request away that it has not read.
        (false, false) if !reset.is_by_client() && reset.form != Form::Reply && reset.awaits_answer() => {
            if cause == Cause::AbortNoData { Impact::None } else { Impact::RequestLost }
        }
        // Its own kernel says that it closed with something unread.
        (false, false) if reset.left_request_unread() && cause != Cause::AbortNoData => Impact::RequestLost,
        (false, false) if reset.left_unread() && reset.is_by_client() && reset.had_much_of_answer() => {
            Impact::TransferCut
        }
        // The buffer of who should have read it was full.
        (false, false) if reset.has_stuck_reader() => Impact::TransferCut,
        // All that was sent has arrived; somebody may have waited for more.
        (false, false) if reset.awaits_answer() && cause != Cause::AbortNoData => Impact::ResponseLost,
        (false, false) if reset.was_streaming(1 - reset.side) && cause != Cause::AbortNoData => Impact::TransferCut,
        (false, false) if reset.left_unread_what_is_not_known() => Impact::Unknown,
        (false, false) => Impact::None,
    }
}

impl Reset<'_> {
    /// Neither host believed the RST: its sender went on, and the last that was seen is no RST. A host that did believe it
    /// answers what still comes by an RST of its own.
    fn was_ignored(&self) -> bool {
        let track = self.case.track;
        self.rst.sender_continued && track.ends[usize::from(track.last_side)].kind() != Kind::Rst
    }
}

/// Something on the path ended what both hosts still used.
fn is_by_another(cause: Cause) -> bool {
    matches!(cause, Cause::InjectedSuspect | Cause::DeviceResetBoth | Cause::RefusedByFirewall)
}

/// Without any RST.
fn of_silence(case: &Case<'_>, cause: Cause) -> (Impact, [u64; 2]) {
    let none = [0, 0];
    let lost = || [case.client(), 1 - case.client()].map(|side| u64::from(case.unacknowledged.lost(side)));
    let is_given_up = matches!(
        cause,
        Cause::Vanished | Cause::RetransmissionTimeout | Cause::AcceptQueueFull | Cause::IcmpUnreachable
    );
    match case.closing {
        _ if cause == Cause::TlsAlert => (Impact::AttemptFailed, none),
        _ if cause == Cause::ClientGaveUp && case.asked_at_once() => (Impact::ResponseLost, none),
        // Perhaps the last message wanted no answer.
        _ if cause == Cause::ClientGaveUp => (Impact::Unknown, none),
        _ if is_given_up => match lost() {
            [0, 0] => (Impact::Unknown, none),
            lost @ [_, 0] => (Impact::RequestLost, lost),
            lost @ [0, _] => (Impact::ResponseLost, lost),
            lost => (Impact::TransferCut, lost),
        },
        Closing::TwoFins | Closing::Open | Closing::HalfClosed | Closing::HalfOpen => (Impact::None, none),
        _ => (Impact::Unknown, none),
    }
}

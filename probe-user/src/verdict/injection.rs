//! Injection marks: signs that an RST did not come from the host whose address it bears (Weaver, Sommer, Paxson, NDSS 2009).
//!
//! Each mark has innocent explanations: other stacks than Linux abort without timestamps and with identifications of their
//! own. Only several marks together, one of them strong, make a suspicion.

use crate::record::Confidence;
use crate::tcp::close_details::Rst;
use crate::tcp::endpoint::{Kind, OFFERED_TIMESTAMPS};
use crate::verdict::rst_form::Form;

/// One mark: its stable name, and whether a stack of the sender's own could hardly leave it.
#[derive(Clone, Copy)]
pub(crate) struct Mark {
    pub(crate) name: &'static str,
    strong: bool,
}

/// How suspicious the marks are together; `None` when they are not.
pub(crate) fn suspicion(rst: &Rst, form: Form) -> Option<Confidence> {
    let (mut score, mut strong) = (0, false);
    for mark in marks(rst, form) {
        score += if mark.strong { 2 } else { 1 };
        strong |= mark.strong;
    }
    match score {
        // No stack answers several segments by numbers above all that it ever sent.
        2 if rst.climbed && form == Form::Reply => Some(Confidence::Medium),
        2 if rst.climbed => Some(Confidence::Low),
        // A host in SYN-SENT rejects a SYN-ACK that is not its own and goes on (RFC 9293 3.10.7.3).
        2 if rst.sender_continued && rst.sender.kind == Kind::Syn && rst.peer.kind == Kind::SynAck => None,
        2 if rst.sender_continued => Some(Confidence::Low),
        3 if strong => Some(Confidence::Low),
        4.. if strong => Some(Confidence::Medium),
        _ => None,
    }
}

/// Whether the TTL says that the RST did not come from its sender. One hop is a route change.
pub(crate) fn is_of_another_host(rst: &Rst) -> bool {
    rst.sender.kind != Kind::Nothing && rst.sender.ttl != 0 && rst.record.ttl.abs_diff(rst.sender.ttl) > 1
}

/// The marks that `rst` bears.
pub(crate) fn marks(rst: &Rst, form: Form) -> impl Iterator<Item = Mark> {
    let sender = &rst.sender;
    let spoke = sender.kind != Kind::Nothing;
    let ttl = is_of_another_host(rst);
    // An active abort carries timestamps when they were negotiated (RFC 7323 3.2).
    let timestamps = sender.marks & rst.peer.marks & OFFERED_TIMESTAMPS != 0;
    let bare_abort = form != Form::Reply && form != Form::Refuse && timestamps && rst.record.option_len == 0;
    // A genuine reply has identification 0, a genuine abort continues the counter; SYN-ACKs have 0 as well.
    let step = rst.record.ip_id.wrapping_sub(sender.ip_id);
    let counted = spoke && sender.kind != Kind::SynAck && sender.ip_id != 0 && rst.record.ip_id != 0;
    let ip_id_jump = counted && step > 4096 && form != Form::Reply;
    let behind = spoke && sender.next_seq.wrapping_sub(rst.record.seq).cast_signed() > 1 && form == Form::Abort;
    [
        (ttl, true, "ttl_differs"),
        (bare_abort, false, "no_timestamps"),
        (ip_id_jump, false, "ip_id_jump"),
        (behind, false, "seq_behind"),
        (rst.climbed, true, "seq_climbs"),
        (rst.sender_continued, true, "sender_continued"),
        (rst.challenged().is_some() && !rst.confirmed && rst.sender_continued, false, "challenge_unanswered"),
    ]
    .into_iter()
    .filter_map(|(holds, strong, name)| holds.then_some(Mark { name, strong }))
}

//! Verdicts on closes that an audit of ordinary captures found told wrongly: farewells, replies that are cut by their own
//! server, what is sent in vain, copies of a SYN-ACK.

use crate::tracker::tests::*;

fn judged(dialogue: &Dialogue) -> (Cause, Impact) {
    let verdict = dialogue.record_of().verdict;
    (verdict.cause, verdict.impact)
}

/// One exchange, then a last message and the client's FIN at once (SMTP's QUIT, LDAP's unbind, PostgreSQL's Terminate).
fn quits() -> Dialogue {
    Dialogue::new().play("ShADadADF")
}

#[test]
fn a_reply_to_a_farewell_is_no_loss() {
    assert_eq!(judged(&quits().play("d").reply(0)), (Cause::RstAfterClose, Impact::None));
    // By a server that resets instead of closing.
    assert_eq!(judged(&quits().play("ar")).1, Impact::None);
}

#[test]
fn what_is_longer_than_a_line_was_an_answer() {
    let long = quits().with(1, PSH | ACK, |record| record.payload_len = 1000).reply(0);
    assert_ne!(judged(&long).1, Impact::None);
    // A client that waits before it closes wanted an answer; so does one that was never answered before.
    let waited = Dialogue::new().play("ShADadAD").wait(900 * MILLISECOND).play("Fd").reply(0);
    assert_ne!(judged(&waited).1, Impact::None);
    assert_ne!(judged(&Dialogue::new().play("ShADFd").reply(0)).1, Impact::None);
}

#[test]
fn a_server_that_shuts_down_and_resets_at_once_has_left_a_request_unread() {
    assert_eq!(judged(&Dialogue::new().play("ShADadfr")), (Cause::ServerReplyThenReset, Impact::RequestLost));
    let later = Dialogue::new().play("ShADadf").wait(50 * MILLISECOND).play("r");
    assert_ne!(judged(&later).0, Cause::ServerReplyThenReset);
}

#[test]
fn a_request_that_is_sent_in_vain_after_the_servers_fin_is_lost() {
    let mut dialogue = Dialogue::new().play("ShAfADF");
    for _ in 0..4 {
        dialogue = dialogue.wait(SECOND).with(0, PSH | FIN | ACK, |record| {
            (record.seq, record.payload_len) = (record.seq - 11, 10);
        });
    }
    assert_eq!(judged(&dialogue), (Cause::RetransmissionTimeout, Impact::RequestLost));
}

#[test]
fn copies_of_a_syn_ack_are_no_full_queue() {
    let syn_acks = |pause_ns: u64| {
        let again = |dialogue: Dialogue| dialogue.wait(pause_ns).with(1, SYN | ACK, |record| record.seq = ISN[1]);
        again(again(Dialogue::new().play("ShA"))).play("A")
    };
    assert_ne!(judged(&syn_acks(0)).0, Cause::AcceptQueueFull);
    assert_eq!(judged(&syn_acks(SECOND)).0, Cause::AcceptQueueFull);
}

#[test]
fn where_acknowledgements_are_not_seen_no_farewell_is_assumed() {
    let farewell = quits().play("d").reply(0);
    let mut tracker = Tracker::new(TrackerConfig { pure_acks_seen: false, ..TrackerConfig::default() });
    for segment in &farewell.segments {
        tracker.observe(segment, Extra::default());
    }
    tracker.finish(u64::MAX);
    let verdict = tracker.take_closed().remove(0).verdict;
    assert_ne!((verdict.cause, verdict.impact), judged(&farewell), "what arrived is not known");
}

#[test]
fn a_forged_rst_that_neither_host_believed_has_cut_nothing() {
    let forged = || {
        let begun = Dialogue::new()
            .with(0, SYN | TIMESTAMPS, |record| record.option_len = 20)
            .with(1, SYN | ACK | TIMESTAMPS, |record| record.option_len = 20)
            .play("ADa");
        begun.with(1, RST | ACK, |record| (record.ttl, record.ip_id) = (243, 54_321)).play("d")
    };
    assert_eq!(judged(&forged().play("ADadA")), (Cause::InjectedSuspect, Impact::None));
    // A client that believed it answers what still comes by an RST of its own.
    let believed = judged(&forged().reply(0));
    assert_eq!((believed.0, believed.1.is_loss()), (Cause::InjectedSuspect, true));
}

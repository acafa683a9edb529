//! Verdicts that were wrong on captured connections, each as the segments that were there: an RST that nobody believed, answers
//! taken for farewells, payload that is known by its count alone.

use crate::tracker::tests::*;

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// Forged RSTs of the server with numbers ahead, in no time; then both hosts go on.
#[test]
fn an_rst_whose_sender_goes_on_below_its_number_was_not_believed() {
    let mut dialogue = Dialogue::new().play("ShADadA");
    for ahead in [0, 1460] {
        dialogue = dialogue.with(SERVER, RST | ACK, |record| record.seq += ahead);
    }
    // The client asks on, and the server acknowledges what came after the RSTs.
    let record = dialogue.wait(20 * MILLISECOND).play("Da").record_of();
    assert_eq!((record.verdict.cause, record.reset_by), (Cause::InjectedSuspect, ResetBy::Middle));
    assert_eq!((record.verdict.impact, record.from_orig.lost_bytes), (Impact::None, 0));
}

#[test]
fn new_payload_below_the_number_of_the_rst_is_a_sign_of_life_as_well() {
    let forged = Dialogue::new().play("ShADadA").with(SERVER, RST | ACK, |record| record.seq += 5000);
    let record = forged.wait(20 * MILLISECOND).play("dA").record_of();
    assert_eq!((record.verdict.cause, record.verdict.impact), (Cause::InjectedSuspect, Impact::None));
}

#[test]
fn what_was_on_the_way_before_the_rst_is_none() {
    // The client aborts while the server still sends; nothing new comes from the client.
    let record = Dialogue::new().play("ShADaddAdRdd").record_of();
    assert_eq!((record.verdict.cause, record.verdict.impact), (Cause::ClientAbortDownload, Impact::TransferCut));
}

/// A host in SYN-SENT rejects a SYN-ACK that is not its own by an RST, and takes the next.
#[test]
fn a_rejected_syn_ack_is_no_forgery() {
    let rejected =
        Dialogue::new()
            .play("S")
            .with(SERVER, SYN | ACK, |record| record.ack += 500)
            .with(CLIENT, RST, |record| (record.seq, record.ack, record.window) = (record.seq + 500, 0, 0));
    let record = rejected.play("hADa").record_of();
    assert_ne!(record.verdict.cause, Cause::InjectedSuspect);
}

/// The answer had begun when the client closed: what is left of it is no line that answers a QUIT.
#[test]
fn the_rest_of_an_answer_is_lost() {
    let dialogue = Dialogue::new()
        .play("ShADadAD")
        .with(SERVER, PSH | ACK, |record| record.payload_len = 309)
        .with(CLIENT, FIN | ACK, |record| record.ack -= 64)
        .play("f")
        .reply(CLIENT);
    let record = dialogue.record_of();
    assert_eq!(record.from_resp.lost_bytes, 64, "{:?}", record.verdict);
    assert_eq!(record.verdict.impact, Impact::TransferCut);
}

/// `bytes` is Zeek's and 0 where no SYN-ACK was seen; the payload was counted.
#[test]
fn payload_counts_where_the_syn_ack_is_missing() {
    let record = Dialogue::new().play("S").with(CLIENT, ACK, |_| ()).play("DaR").record_of();
    assert_ne!(record.verdict.cause, Cause::AbortNoData, "{:?}", record.verdict);
}

/// A host answers what it has aborted for: an active abort after a close says less than a reply.
#[test]
fn an_abort_after_a_close_is_less_sure_than_a_reply() {
    let reply = Dialogue::new().play("ShADafAD").reply(SERVER).record_of();
    assert_eq!((reply.verdict.cause, reply.verdict.confidence), (Cause::DataAfterClose, Confidence::High));
    let abort = Dialogue::new().play("ShADafAD").with(SERVER, RST | ACK, |record| record.ack -= 10).record_of();
    assert_eq!((abort.verdict.cause, abort.verdict.confidence), (Cause::DataAfterClose, Confidence::Medium));
}

/// A SYN with FIN is acknowledged whole: it is believed, and no connection is stale.
#[test]
fn a_syn_with_fin_that_is_acknowledged_is_not_stale() {
    let record = Dialogue::new().with(CLIENT, SYN | FIN, |record| record.ack = 0).play("a").record_of();
    assert_ne!(record.verdict.cause, Cause::StaleConnectionSyn);
    let stale = Dialogue::new().play("S").with(SERVER, ACK, |record| record.ack = 777_777).record_of();
    assert_eq!(stale.verdict.cause, Cause::StaleConnectionSyn);
}

/// The number of a forged RST is no payload: nothing that was never sent is missing.
#[test]
fn numbers_of_an_rst_claim_no_payload() {
    let mut dialogue = Dialogue::new().play("ShADa");
    for ahead in [1460, 4380] {
        dialogue = dialogue.with(SERVER, RST | ACK, |record| record.seq += ahead);
    }
    let record = dialogue.wait(20 * MILLISECOND).play("dA").record_of();
    let unacked = record.verdict.facts.iter().find(|fact| fact.name == "unacked_bytes.srv");
    assert_eq!((unacked, record.verdict.impact), (None, Impact::None), "{:?}", record.verdict);
    let alone = Dialogue::new().play("ShADa").with(SERVER, RST | ACK, |record| record.seq += 2613).record_of();
    assert_eq!(alone.from_resp.lost_bytes, 0, "{:?}", alone.verdict);
}

/// A segment that its own RST overtakes is no sign of life.
#[test]
fn what_an_rst_overtakes_does_not_turn_the_verdict_round() {
    let begun = || Dialogue::new().play("ShADadADD");
    let in_order = begun().play("dr").record_of();
    let mut overtaken = begun().play("dr");
    let last = overtaken.segments.len() - 1;
    overtaken.segments.swap(last, last - 1);
    let times = [overtaken.segments[last].record.time_ns, overtaken.segments[last - 1].record.time_ns];
    (overtaken.segments[last - 1].record.time_ns, overtaken.segments[last].record.time_ns) = (times[0], times[1]);
    let overtaken = overtaken.record_of();
    assert_ne!(overtaken.verdict.cause, Cause::InjectedSuspect, "{:?}", overtaken.verdict);
    assert_eq!(overtaken.reset_by, in_order.reset_by);
}

//! Tests of the states of both ends: the figures of RFC 9293, and what is seen of less.

use super::*;

const CLIENT: bool = true;
const SERVER: bool = false;

/// Segments of a conversation: who, flags, sequence number, acknowledgement, payload; and the states after the last.
fn after(segments: &[(bool, u16, u32, u32, u32)]) -> String {
    let (states, _) = played(segments);
    states
}

fn played(segments: &[(bool, u16, u32, u32, u32)]) -> (String, Option<Remark>) {
    let mut states = EndStates::default();
    let mut remark = None;
    for &(from_client, flags, seq, ack, payload_len) in segments {
        let record = SegmentRecord { flags, seq, ack, payload_len, ..SegmentRecord::default() };
        remark = states.observe(&record, from_client);
    }
    let [client, server] = states.now();
    (format!("{client} {server}"), remark)
}

/// ISNs 100 and 500.
const OPENED: [(bool, u16, u32, u32, u32); 3] =
    [(CLIENT, SYN, 100, 0, 0), (SERVER, SYN | ACK, 500, 101, 0), (CLIENT, ACK, 101, 501, 0)];

fn opened(then: &[(bool, u16, u32, u32, u32)]) -> String {
    after(&[&OPENED, then].concat())
}

#[test]
fn the_handshake_of_rfc_9293_figure_6() {
    assert_eq!(after(&OPENED[..1]), "SYN-SENT ?");
    assert_eq!(after(&OPENED[..2]), "ESTABLISHED? SYN-RCVD");
    assert_eq!(after(&OPENED), "ESTABLISHED ESTABLISHED?");
    assert_eq!(opened(&[(SERVER, ACK, 501, 101, 7)]), "ESTABLISHED ESTABLISHED");
}

#[test]
fn a_server_that_repeats_its_syn_ack_has_not_received_the_acknowledgement() {
    let request = (CLIENT, ACK, 101, 501, 10);
    assert_eq!(opened(&[request, (SERVER, SYN | ACK, 500, 101, 0)]), "ESTABLISHED SYN-RCVD");
    assert_eq!(after(&[OPENED[0], OPENED[1], OPENED[1]]), "SYN-SENT SYN-RCVD", "nor has a client that is silent");
    // A bare ACK of a half-open host shows nothing more (RFC 5961 4.2).
    assert_eq!(opened(&[(SERVER, SYN | ACK, 500, 101, 0), (SERVER, ACK, 501, 101, 0)]), "ESTABLISHED SYN-RCVD");
}

#[test]
fn a_simultaneous_opening_of_figure_7() {
    let both = [(CLIENT, SYN, 100, 0, 0), (SERVER, SYN, 500, 0, 0)];
    assert_eq!(after(&both), "SYN-RCVD? SYN-RCVD?");
    let answered = [both[0], both[1], (CLIENT, SYN | ACK, 100, 501, 0), (SERVER, SYN | ACK, 500, 101, 0)];
    assert_eq!(after(&answered[..3]), "SYN-RCVD ESTABLISHED?");
}

#[test]
fn an_orderly_close_of_figure_12() {
    let fin = (CLIENT, FIN | ACK, 101, 501, 0);
    assert_eq!(opened(&[fin]), "FIN-WAIT-1 CLOSE-WAIT?");
    let acked = (SERVER, ACK, 501, 102, 0);
    assert_eq!(opened(&[fin, acked]), "FIN-WAIT-2? CLOSE-WAIT");
    let own = (SERVER, FIN | ACK, 501, 102, 0);
    assert_eq!(opened(&[fin, acked, own]), "TIME-WAIT? LAST-ACK");
    assert_eq!(opened(&[fin, own]), "TIME-WAIT? LAST-ACK");
    assert_eq!(opened(&[fin, acked, own, (CLIENT, ACK, 102, 502, 0)]), "TIME-WAIT CLOSED?");
}

#[test]
fn a_simultaneous_close_of_figure_13() {
    let fins = [(CLIENT, FIN | ACK, 101, 501, 0), (SERVER, FIN | ACK, 501, 101, 0)];
    assert_eq!(opened(&fins), "CLOSING? CLOSING?");
    assert_eq!(opened(&[fins[0], fins[1], (CLIENT, ACK, 102, 502, 0)]), "CLOSING TIME-WAIT?");
    let both = [fins[0], fins[1], (CLIENT, ACK, 102, 502, 0), (SERVER, ACK, 502, 102, 0)];
    assert_eq!(opened(&both), "TIME-WAIT TIME-WAIT");
}

#[test]
fn a_fin_behind_payload_is_acknowledged_with_all_of_it_only() {
    let fin = (CLIENT, FIN | ACK, 101, 501, 1000);
    assert_eq!(opened(&[fin, (SERVER, ACK, 501, 1101, 0)]), "FIN-WAIT-1 CLOSE-WAIT?");
    assert_eq!(opened(&[fin, (SERVER, ACK, 501, 1102, 0)]), "FIN-WAIT-2? CLOSE-WAIT");
}

#[test]
fn a_refusal_is_believed_where_it_acknowledges_the_syn() {
    assert_eq!(after(&[OPENED[0], (SERVER, RST | ACK, 0, 101, 0)]), "CLOSED? CLOSED");
    let (states, remark) = played(&[OPENED[0], (SERVER, RST | ACK, 0, 77, 0)]);
    assert_eq!((states.as_str(), remark), ("SYN-SENT CLOSED", Some(Remark::RstIgnored)));
    let (states, remark) = played(&[OPENED[0], (SERVER, RST, 0, 0, 0)]);
    assert_eq!((states.as_str(), remark), ("SYN-SENT CLOSED", Some(Remark::RstIgnored)));
}

#[test]
fn an_abort_closes_both_when_its_number_is_exact() {
    assert_eq!(opened(&[(SERVER, RST | ACK, 501, 101, 0)]), "CLOSED? CLOSED");
    // Within the window only: the receiver challenges it (RFC 5961 3.2).
    assert_eq!(opened(&[(SERVER, RST, 600, 0, 0)]), "ESTABLISHED CLOSED");
    let late = [(SERVER, ACK, 501, 101, 50), (SERVER, RST | ACK, 551, 101, 0)];
    assert_eq!(opened(&late), "CLOSED? CLOSED", "behind payload that has not been acknowledged");
}

#[test]
fn who_goes_on_was_not_the_one_who_reset() {
    let forged = (SERVER, RST, 501, 0, 0);
    let (states, remark) = played(&[&OPENED[..], &[forged, (SERVER, ACK, 501, 101, 20)]].concat());
    assert_eq!((states.as_str(), remark), ("CLOSED? ESTABLISHED", Some(Remark::GoesOnAfterOwnRst)));
    let then = [forged, (SERVER, ACK, 501, 101, 20), (CLIENT, ACK, 101, 521, 0)];
    let (states, remark) = played(&[&OPENED[..], &then].concat());
    assert_eq!((states.as_str(), remark), ("ESTABLISHED ESTABLISHED", Some(Remark::GoesOnAfterRst)));
}

#[test]
fn what_another_sends_in_a_name_shows_nothing_of_its_owner() {
    let mut states = EndStates::default();
    for (from_client, flags, seq, ack, payload_len) in OPENED {
        states.observe(&SegmentRecord { flags, seq, ack, payload_len, ..SegmentRecord::default() }, from_client);
    }
    let forged = SegmentRecord { flags: RST, seq: 501, ..SegmentRecord::default() };
    assert_eq!(states.observe_foreign_reset(&forged, SERVER), None);
    assert_eq!(states.now().map(|end| end.to_string()), ["CLOSED?", "ESTABLISHED?"]);
}

#[test]
fn in_the_middle_only_what_is_shown_is_said() {
    assert_eq!(after(&[(CLIENT, ACK, 7000, 9000, 0)]), "? ?", "an ACK scan looks the same");
    assert_eq!(after(&[(CLIENT, ACK, 7000, 9000, 10)]), "ESTABLISHED? ?");
    assert_eq!(after(&[(CLIENT, ACK, 7000, 9000, 10), (SERVER, ACK, 9000, 7010, 0)]), "ESTABLISHED? ESTABLISHED?");
    assert_eq!(after(&[(CLIENT, ACK, 7000, 9000, 10), (SERVER, RST, 9000, 0, 0)]), "CLOSED? CLOSED");
    assert_eq!(after(&[(SERVER, RST, 9000, 0, 0)]), "? CLOSED");
}

#[test]
fn an_acknowledgement_of_what_was_never_sent_shows_nothing() {
    assert_eq!(after(&[OPENED[0], OPENED[1], (CLIENT, ACK, 101, 1_767_847_797, 9)]), "ESTABLISHED? SYN-RCVD");
}

#[test]
fn another_connection_of_the_same_ports_begins_anew() {
    assert_eq!(opened(&[(SERVER, RST, 501, 0, 0), (CLIENT, SYN, 90_000, 0, 0)]), "SYN-SENT ?");
}

#[test]
fn numbers_wrap_around() {
    let isn = u32::MAX;
    let segments = [
        (CLIENT, SYN, isn, 0, 0),
        (SERVER, SYN | ACK, isn, 0, 0),
        (CLIENT, ACK, 0, 0, 0),
        (CLIENT, FIN | ACK, 0, 0, 5),
        (SERVER, ACK, 0, 6, 0),
    ];
    assert_eq!(after(&segments), "FIN-WAIT-2? CLOSE-WAIT");
}

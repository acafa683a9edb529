//! Zeek's own baselines and rules, in letters.

use crate::tracker::tests::*;

fn state_of(letters: &str) -> (ConnState, String) {
    let record = Dialogue::new().play(letters).record_of();
    (record.conn_state, record.history.to_string())
}

#[test]
fn conn_state_of_the_baselines() {
    use ConnState::*;
    for (letters, state) in [
        ("S", S0),
        ("Sh", S1),
        ("ShA", S1),
        ("ShADadFfA", SF),
        ("Sr", REJ),
        ("ShADF", S2),
        ("ShADf", S3),
        ("ShADaR", RSTO),
        ("ShADar", RSTR),
        ("ShR", RSTO),
        ("Shr", RSTR),
        ("SR", RSTOS0),
        ("SaR", RSTOS0),
        ("SaFR", OTH),
        ("SF", SH),
        ("R", OTH),
        ("r", OTH),
        ("Dar", RSTRH),
        ("DR", OTH),
        ("DadFf", SF),
        ("ShAFr", RSTR),
        ("ShAFRf", SF),
        ("ShAFfR", SF),
        ("Sa", S0),
    ] {
        assert_eq!(state_of(letters).0, state, "{letters}");
    }
}

#[test]
fn history_is_what_was_played() {
    for letters in ["S", "ShADadFfA", "Sr", "ShAFr", "SaFR", "ShR"] {
        let expected: String = letters.chars().take(if letters == "ShADadFfA" { 8 } else { 9 }).collect();
        assert_eq!(state_of(letters).1, expected);
    }
}

#[test]
fn a_repeated_syn_is_noted_once_and_counted() {
    let record = Dialogue::new().play("S").with(0, SYN, |record| record.seq = ISN[0]).play("h").record_of();
    assert_eq!((record.history.as_str(), record.from_orig.syn), ("Sh", 2));
}

#[test]
fn rsts_with_other_sequence_numbers_are_noted_each() {
    let dialogue = Dialogue::new().play("ShAD").reply(1).reply(1).with(1, RST, |record| record.seq += 100);
    assert_eq!(dialogue.record_of().history, "ShADrr");
}

#[test]
fn syn_ack_first_makes_its_sender_the_server_once_data_follows() {
    let record = Dialogue::new().play("hADdFf").record_of();
    assert_eq!((record.conn_state, record.history.as_str()), (ConnState::SF, "^hADdFf"));
    assert_eq!(record.resp.port(), 9999);
    assert_eq!(record.orientation, Orientation::SynAck);
    assert_eq!((record.from_orig.packets, record.from_resp.packets), (3, 3));
}

#[test]
fn syn_ack_and_rst_stay_as_they_came() {
    let record = Dialogue::new().play("hR").record_of();
    // Zeek's originator is who sent the first segment; the sender of a SYN-ACK is the server all the same.
    assert_eq!((record.resp.port(), record.is_reversed), (9999, true));
    assert_eq!((record.history.as_str(), record.orientation), ("Hr", Orientation::SynAck));
}

#[test]
fn service_port_tells_the_server_of_a_stream_begun_before() {
    let record = Dialogue::to_port(443).play("dADa").record_of();
    assert_eq!((record.resp.port(), record.history.as_str()), (443, "^dADa"));
    assert_eq!(record.orientation, Orientation::ServicePort);
}

#[test]
fn unanswered_attempt_is_written_after_five_seconds() {
    let dialogue = Dialogue::new().play("S").wait(5 * SECOND).with(0, SYN, |record| record.seq = ISN[0]);
    let records = dialogue.records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[0].written, Written::AttemptTimeout);
    assert!(records.iter().all(|record| record.conn_state == ConnState::S0));
}

#[test]
fn late_segments_make_a_record_of_their_own_that_says_so() {
    let records = Dialogue::new().play("ShADadFfA").wait(6 * SECOND).reply(1).records();
    assert_eq!(records.len(), 2);
    assert_eq!(records[1].conn_state, ConnState::OTH);
    assert_eq!(records[1].verdict.cause, Cause::RstAfterClose);
}

#[test]
fn segments_within_the_linger_time_belong_to_the_connection() {
    let record = Dialogue::new().play("ShADadFfA").wait(4 * SECOND).reply(1).record_of();
    assert_eq!((record.conn_state, record.closing), (ConnState::SF, Closing::TwoFins));
    assert_eq!(record.from_resp.rst, 1);
    // Zeek: the duration ends with the second close.
    assert_eq!(record.duration_ns, 7 * MILLISECOND);
}

#[test]
fn a_new_syn_on_a_closed_connection_begins_another() {
    let dialogue = Dialogue::new().play("ShAFfA").with(0, SYN, |record| record.seq = 77_000);
    let records = dialogue.records();
    assert_eq!((records[0].written, records[0].conn_state), (Written::Reused, ConnState::SF));
    assert_eq!(records[1].conn_state, ConnState::S0);
}

#[test]
fn five_minutes_of_silence_end_an_established_connection_and_one_a_handshake_never_begun() {
    let established = Dialogue::new().play("ShAD").wait(301 * SECOND).play("D").records();
    assert_eq!((established.len(), established[0].written), (2, Written::Inactive));
    let interactive = Dialogue::to_port(22).play("ShAD").wait(3000 * SECOND).play("D").records();
    assert_eq!(interactive.len(), 1);
}

#[test]
fn bad_checksum_is_noted_and_dropped() {
    let dialogue = Dialogue::new().play("S");
    let mut tracker = Tracker::new(TrackerConfig::default());
    tracker.observe(&dialogue.segments[0], Extra { bad_checksum: true, ..Extra::default() });
    tracker.finish(dialogue.now);
    let record = tracker.take_closed().remove(0);
    assert_eq!((record.history.as_str(), record.conn_state, record.from_orig.packets), ("C", ConnState::OTH, 0));
}

#[test]
fn acknowledged_bytes_that_were_never_seen_are_a_gap() {
    let record = Dialogue::new().play("ShAD").with(1, ACK, |record| record.ack += 50).record_of();
    assert_eq!(record.history, "ShADaG");
    assert_eq!(record.from_orig.missed_bytes, 50);
}

#[test]
fn repeated_payload_and_closed_windows_are_noted() {
    let record = Dialogue::new()
        .play("ShAD")
        .with(0, PSH | ACK, |record| (record.seq, record.payload_len) = (ISN[0] + 1, 10))
        .with(1, ACK, |record| record.window = 0)
        .record_of();
    assert_eq!(record.history, "ShADTaw");
    assert_eq!(record.from_orig.retransmits, 1);
}

/// The records of segments with what is known of their headers.
fn observed(segments: &[(Segment, Header)]) -> Vec<Connection> {
    let mut tracker = Tracker::new(TrackerConfig::default());
    for (segment, header) in segments {
        tracker.observe(segment, Extra { header: *header, ..Extra::default() });
    }
    tracker.finish(0);
    tracker.take_closed()
}

#[test]
fn a_header_that_cannot_be_read_begins_a_connection_and_nothing_more() {
    let dialogue = Dialogue::new().play("SF").segments;
    for header in [Header::Cut, Header::Contradictory] {
        let records = observed(&[(dialogue[0], header), (dialogue[1], header)]);
        let record = &records[0];
        assert_eq!((records.len(), record.conn_state, record.history.as_str()), (1, ConnState::OTH, ""));
        assert_eq!(record.from_orig, Side::default());
    }
}

#[test]
fn a_contradictory_header_does_not_begin_anew() {
    let dialogue = Dialogue::new().play("ShAFf").segments;
    let again = Dialogue::new().wait(SECOND).play("S").segments[0];
    let with = |header: Header| {
        let mut all: Vec<_> = dialogue.iter().map(|segment| (*segment, Header::Whole)).collect();
        all.push((again, header));
        observed(&all).len()
    };
    assert_eq!([with(Header::Contradictory), with(Header::Cut)], [1, 2]);
}

#[test]
fn a_backdated_answer_leaves_no_patience() {
    let mut dialogue = Dialogue::new().play("ShA");
    dialogue.segments[1].record.time_ns -= 3600 * SECOND;
    let letters: Vec<String> = {
        let all: Vec<_> = dialogue.segments.iter().map(|segment| (*segment, Header::Whole)).collect();
        observed(&all).into_iter().map(|record| record.history.to_string()).collect()
    };
    assert_eq!(letters, ["Sh", "A"]);
}

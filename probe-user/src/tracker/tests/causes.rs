//! Causes of the conversations measured on Linux, header for header.

use crate::tracker::tests::*;

fn verdict_of(dialogue: &Dialogue) -> (Cause, ResetBy) {
    let record = dialogue.record_of();
    (record.verdict.cause, record.reset_by)
}

#[test]
fn refused() {
    let record = Dialogue::new().play("S").refuse(1).record_of();
    assert_eq!((record.verdict.cause, record.reset_by), (Cause::RefusedClosedPort, ResetBy::Server));
    assert_eq!((record.opening, record.closing), (Opening::Refused, Closing::Refused));
}

#[test]
fn half_open_scan_and_cancelled_attempt() {
    assert_eq!(verdict_of(&Dialogue::new().play("Sh").reply(0)), (Cause::HalfOpenScan, ResetBy::Client));
    assert_eq!(verdict_of(&Dialogue::new().play("SR")), (Cause::SynThenRst, ResetBy::Client));
    assert_eq!(verdict_of(&Dialogue::new().play("S")), (Cause::NeverAnswered, ResetBy::None));
}

#[test]
fn aborts() {
    assert_eq!(verdict_of(&Dialogue::new().play("ShAr")), (Cause::AbortNoData, ResetBy::Server));
    assert_eq!(verdict_of(&Dialogue::new().play("ShADar")), (Cause::AppAbort, ResetBy::Server));
    assert_eq!(verdict_of(&Dialogue::new().play("ShADdDr")), (Cause::ServerReplyThenReset, ResetBy::Server));
    // All acknowledged, by the RST itself: nothing was stopped half-way.
    assert_eq!(verdict_of(&Dialogue::new().play("ShADaddAdR")), (Cause::AppAbort, ResetBy::Client));
    assert_eq!(verdict_of(&Dialogue::new().play("ShADaddAdRdd")), (Cause::ClientAbortDownload, ResetBy::Client));
}

#[test]
fn data_after_close() {
    assert_eq!(verdict_of(&Dialogue::new().play("ShADafAD").reply(1)), (Cause::DataAfterClose, ResetBy::Server));
    assert_eq!(verdict_of(&Dialogue::new().play("ShADadFad").reply(0)), (Cause::ClientAbortDownload, ResetBy::Client));
    let race = Dialogue::new().play("ShADdA").wait(60 * SECOND).play("f").with(0, PSH | ACK, |record| {
        // On its way before the FIN had come.
        (record.ack, record.payload_len) = (record.ack - 1, 10);
    });
    let race = race.with(1, RST, |record| (record.seq, record.ack, record.window) = (record.seq - 1, 0, 0));
    assert_eq!(verdict_of(&race), (Cause::KeepAliveRace, ResetBy::Server));
}

#[test]
fn who_gave_up_lost_an_answer_only_where_one_was_asked_for() {
    let judged = |dialogue: Dialogue| {
        let verdict = dialogue.play("FafA").record_of().verdict;
        (verdict.cause, verdict.confidence, verdict.impact)
    };
    let once = Dialogue::new().play("ShADa").wait(SECOND);
    assert_eq!(judged(once), (Cause::ClientGaveUp, Confidence::Low, Impact::ResponseLost));
    // It goes on sending for ever: perhaps it wants no answers.
    let sender = Dialogue::new().play("ShADa").wait(5 * SECOND).play("Da").wait(SECOND);
    assert_eq!(judged(sender), (Cause::ClientGaveUp, Confidence::Low, Impact::Unknown));
}

#[test]
fn linger2() {
    assert_eq!(verdict_of(&Dialogue::new().play("ShADafA").reply(1)), (Cause::Linger2, ResetBy::Server));
}

#[test]
fn no_state_after_a_pause() {
    let dialogue = Dialogue::new().play("ShADda").wait(120 * SECOND).play("D").reply(1);
    assert_eq!(verdict_of(&dialogue), (Cause::NoState, ResetBy::Server));
}

#[test]
fn keep_alive_timeout() {
    let mut dialogue = Dialogue::new().play("ShADda").wait(60 * SECOND);
    for _ in 0..3 {
        dialogue = dialogue.with(1, ACK, |record| record.seq -= 1).wait(SECOND);
    }
    assert_eq!(verdict_of(&dialogue.play("r")), (Cause::KeepAliveTimeout, ResetBy::Server));
}

#[test]
fn stale_connection_syn() {
    let dialogue = Dialogue::new()
        .play("S")
        .with(1, ACK, |record| record.ack = 777_777)
        .with(0, RST, |record| (record.seq, record.ack, record.window) = (777_777, 0, 0));
    assert_eq!(verdict_of(&dialogue), (Cause::StaleConnectionSyn, ResetBy::Client));
}

#[test]
fn rst_after_both_fins_and_without_any_connection() {
    assert_eq!(verdict_of(&Dialogue::new().play("ShADadFf").reply(0)), (Cause::RstAfterClose, ResetBy::None));
    let alone = Dialogue::to_port(443).reply(1);
    assert_eq!(verdict_of(&alone), (Cause::RstWithoutConnection, ResetBy::Server));
}

#[test]
fn marks_of_injection_add_up() {
    let dialogue = Dialogue::new()
        .with(0, SYN | TIMESTAMPS, |record| record.option_len = 20)
        .with(1, SYN | ACK | TIMESTAMPS, |record| record.option_len = 20)
        .play("ADa")
        .with(1, RST | ACK, |record| (record.ttl, record.ip_id) = (243, 54_321))
        .play("d");
    assert_eq!(verdict_of(&dialogue), (Cause::InjectedSuspect, ResetBy::Middle));
    let marks: Vec<String> = dialogue
        .record_of()
        .verdict
        .facts
        .into_iter()
        .filter(|fact| fact.name == "rst.mark")
        .map(|fact| fact.value.to_string())
        .collect();
    assert_eq!(marks, ["ttl_differs", "no_timestamps", "ip_id_jump", "sender_continued"]);
}

#[test]
fn a_device_that_forgot_the_connection() {
    let dialogue = Dialogue::new().play("ShADda").wait(180 * SECOND).play("D").wait(40 * SECOND);
    let dialogue = dialogue.with(1, RST | ACK, |record| (record.ttl, record.ip_id) = (250, 9));
    assert_eq!(verdict_of(&dialogue), (Cause::NoState, ResetBy::Middle));
}

#[test]
fn one_odd_mark_is_no_suspicion() {
    let dialogue = Dialogue::new().play("ShADa").with(1, RST | ACK, |record| record.ttl = 63);
    assert_eq!(verdict_of(&dialogue).0, Cause::AppAbort);
}

#[test]
fn challenge_confirmed() {
    let dialogue = Dialogue::new()
        .play("ShADda")
        .with(0, RST, |record| (record.seq, record.ack, record.window) = (record.seq + 5, 0, 0))
        .play("a")
        .reply(0);
    assert_eq!(verdict_of(&dialogue).0, Cause::ChallengeConfirmed);
}

#[test]
fn explained_by_its_payload() {
    let mut dialogue = Dialogue::new().play("ShADa");
    let mut record = dialogue.record(1);
    (record.flags, record.payload_len) = (RST | ACK, 8);
    dialogue.send_noted(1, record, u64::from_ne_bytes([0x33, 0xaa, 0, 10, 0, 0, 0, 0]));
    let connection = dialogue.record_of();
    assert_eq!(connection.verdict.cause, Cause::Explained);
    assert!(connection.verdict.facts.iter().any(|fact| fact.value == "resource exceeded"));
}

#[test]
fn the_kernels_word_is_joined_by_flow_side_and_time() {
    let dialogue = Dialogue::new().play("ShADar");
    let (last, key) = (dialogue.segments[5].record, dialogue.segments[5].key);
    let word_of = |from_hi: bool, at: u64| {
        let mut tracker =
            Tracker::new(TrackerConfig { kernel_reasons: vec!["NO_SOCKET".into()], ..Default::default() });
        for segment in &dialogue.segments {
            tracker.observe(segment, Extra::default());
        }
        let word = ReportedReset { key, from_hi, reason: 0, provoked: false, process: None, time_ns: at };
        let joined = tracker.kernel_reset(&word).is_ok();
        tracker.finish(dialogue.now);
        let facts = tracker.take_closed().remove(0).verdict.facts;
        (joined, facts.iter().any(|fact| fact.name == "kernel.reason"))
    };
    assert_eq!(word_of(last.from_hi(), last.time_ns - 1000), (true, true));
    assert_eq!(word_of(last.from_hi(), last.time_ns - 2 * SECOND), (false, false), "of a reset before this one");
    assert_eq!(word_of(last.from_hi(), last.time_ns + 1000), (true, true), "of an abort the kernel speaks afterwards");
    assert_eq!(word_of(last.from_hi(), last.time_ns + 2 * SECOND), (false, false), "its segment is still to come");
    assert_eq!(word_of(!last.from_hi(), last.time_ns - 1000), (false, false), "this side sent none");
}

/// A dialogue whose RSTs the kernel of their sender, the server, had spoken of, each a little before; how many words were joined.
fn with_words(dialogue: &Dialogue, reason: &str, provoked: &[bool]) -> (usize, Connection) {
    let mut tracker = Tracker::new(TrackerConfig { kernel_reasons: vec![reason.into()], ..Default::default() });
    for segment in &dialogue.segments {
        tracker.observe(segment, Extra::default());
    }
    let rsts = dialogue.segments.iter().filter(|segment| segment.record.has(RST));
    let joined = rsts.zip(provoked).filter(|&(rst, &provoked)| {
        let (key, from_hi, time_ns) = (rst.key, rst.record.from_hi(), rst.record.time_ns - 1000);
        tracker.kernel_reset(&ReportedReset { key, from_hi, reason: 0, provoked, process: None, time_ns }).is_ok()
    });
    let joined = joined.count();
    tracker.finish(dialogue.now);
    (joined, tracker.take_closed().remove(0))
}

/// Times are kept to a millisecond once both sides have closed: a word on the second of two RSTs is no word on one to come.
#[test]
fn each_of_two_rsts_within_a_millisecond_has_its_word() {
    let dialogue = Dialogue::new().play("ShADadFAf").wait(300_000).play("D").reply(1).wait(30_000).play("D").reply(1);
    let (joined, record) = with_words(&dialogue, "NO_SOCKET", &[true, true]);
    assert_eq!((joined, record.from_resp.rst), (2, 2));
}

/// The server's kernel says that its application closed with something unread.
#[test]
fn what_a_server_left_unread_is_lost() {
    // All was acknowledged, so that packets alone tell of no loss.
    let dialogue = Dialogue::new().play("ShADadAr");
    let (_, record) = with_words(&dialogue, "TCP_STATE", &[false]);
    assert_eq!((record.verdict.cause, record.verdict.impact), (Cause::AppAbort, Impact::None));
    let (_, record) = with_words(&dialogue, "TCP_ABORT_ON_CLOSE", &[false]);
    assert_eq!((record.verdict.cause, record.verdict.impact), (Cause::ServerReplyThenReset, Impact::RequestLost));
    let late = Dialogue::new().play("ShADadA").wait(30 * SECOND).play("r");
    let (_, record) = with_words(&late, "TCP_ABORT_ON_CLOSE", &[false]);
    assert_eq!((record.verdict.cause, record.verdict.impact), (Cause::AppAbort, Impact::RequestLost));
    // A client that has closed said a farewell, such as a close_notify: nobody needs it.
    let closed = Dialogue::new().play("ShADadADaF").play("r");
    let (_, record) = with_words(&closed, "TCP_ABORT_ON_CLOSE", &[false]);
    assert_ne!(record.verdict.cause, Cause::ServerReplyThenReset);
    assert_ne!(record.verdict.impact, Impact::RequestLost);
    // Seen from the middle on, between ports of no known service: who sends first may be either.
    let guessed = Dialogue::to_port(40_000).play("dAdAdAR");
    let (_, record) = with_words(&guessed, "TCP_ABORT_ON_CLOSE", &[false]);
    assert_eq!(record.orientation, Orientation::FirstSender);
    assert_eq!(record.verdict.impact, Impact::Unknown, "{:?}", record.verdict);
}

/// The server aborts some time after its client's FIN: its own choice, or its late answer to that.
#[test]
fn an_abort_behind_the_peers_fin_is_never_certain() {
    let judged = |dialogue: &Dialogue| {
        let verdict = with_words(dialogue, "TCP_STATE", &[false]).1.verdict;
        (verdict.cause, verdict.confidence)
    };
    let open = Dialogue::new().play("ShADadA").wait(300 * MILLISECOND).play("r");
    assert_eq!(judged(&open), (Cause::AppAbort, Confidence::High));
    let closed = Dialogue::new().play("ShADadAF").wait(300 * MILLISECOND).play("r");
    assert_eq!(judged(&closed), (Cause::AppAbort, Confidence::Medium));
}

/// The client's kernel says that its application closed with something unread; segments are counted.
#[test]
fn of_counted_segments_a_client_left_what_is_not_known_unread() {
    let judged = |dialogue: &Dialogue| {
        let reasons = vec!["TCP_ABORT_ON_CLOSE".into()];
        let mut tracker = Tracker::new(TrackerConfig { kernel_reasons: reasons, ..Default::default() });
        let end = epochs::run(&dialogue.segments, &mut tracker, epochs::Spread::OneCpu, Basis::BeforeSegmentation);
        let rst = dialogue.segments.iter().find(|segment| segment.record.has(RST)).expect("an RST");
        let (key, from_hi, time_ns) = (rst.key, rst.record.from_hi(), rst.record.time_ns);
        let word = ReportedReset { key, from_hi, reason: 0, provoked: false, process: None, time_ns };
        assert_eq!(tracker.kernel_reset(&word), Ok(()));
        tracker.finish(end);
        let verdict = tracker.take_closed().remove(0).verdict;
        (verdict.cause, verdict.impact)
    };
    let asked = || Dialogue::new().play("ShADadA").wait(300 * MILLISECOND).play("Ddd");
    // All had come: an answer, or a part of one, or what a TLS server sends of its own accord.
    assert_eq!(judged(&asked().play("R")), (Cause::AppAbort, Impact::Unknown));
    // Something had come, and the rest was on its way.
    let half = asked().with(0, RST | ACK, |record| record.ack -= 100);
    assert_eq!(judged(&half), (Cause::ClientAbortDownload, Impact::TransferCut));
}

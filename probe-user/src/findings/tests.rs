//! Findings appear when they are staged, with their numbers, and not on quiet traffic or below their thresholds.

use super::*;
use crate::{
    aggregate::tests::connection,
    record::{Closing, Fact, Impact, Opening, ResetBy, Side, Value},
};

/// So many connections to a server, each with this cause and impact, by the server where it was reset.
fn staged(server: &str, cause: Cause, impact: Impact, count: u64) -> Vec<Connection> {
    let refused = matches!(cause, Cause::RefusedClosedPort | Cause::RefusedByFirewall);
    let silent = matches!(cause, Cause::NeverAnswered | Cause::IcmpUnreachable);
    let (opening, closing) = match (refused, silent) {
        (true, _) => (Opening::Refused, Closing::Refused),
        (_, true) => (Opening::Unanswered, Closing::NeverAnswered),
        _ => (Opening::Completed, Closing::RstOnly),
    };
    let (client, by_server) = (Side { syn: 1, ..Side::default() }, Side { rst: 1, ..Side::default() });
    (0..count)
        .map(|id| {
            let side = if silent || cause == Cause::None { Side::default() } else { by_server };
            let mut one = connection(server, opening, closing, client, side);
            (one.id, one.start_ns) = (id, 1000 + id);
            (one.verdict.cause, one.verdict.impact) = (cause, impact);
            one
        })
        .collect()
}

fn found(connections: &[Connection]) -> Vec<Finding> {
    let mut aggregate = Aggregate::new(100);
    for one in connections {
        aggregate.add(one);
    }
    of(&Observed {
        aggregate: &aggregate,
        connections,
        is_one_way: false,
        flood: &[],
        notices: &[],
        wrong_checksums: 0,
    })
}

fn ids(connections: &[Connection]) -> Vec<&'static str> {
    found(connections).iter().map(|finding| finding.kind.id).collect()
}

const SERVER: &str = "10.0.0.2:443";

#[test]
fn each_cause_with_a_finding_is_found_from_its_threshold_on() {
    use Impact::{AttemptFailed, RequestLost, ResponseLost, TransferCut};
    for (cause, impact, least, id) in [
        (Cause::RefusedClosedPort, AttemptFailed, 3, "service_refuses"),
        (Cause::RefusedByFirewall, AttemptFailed, 3, "service_firewalled"),
        (Cause::IcmpUnreachable, AttemptFailed, 3, "service_unreachable"),
        (Cause::NeverAnswered, AttemptFailed, 3, "service_silent"),
        (Cause::AcceptQueueFull, AttemptFailed, 2, "accept_queue_full"),
        (Cause::AppAbort, RequestLost, 3, "server_resets"),
        (Cause::DataAfterClose, RequestLost, 3, "server_resets"),
        (Cause::KeepAliveRace, RequestLost, 2, "keepalive_races"),
        (Cause::ClientGaveUp, ResponseLost, 3, "clients_give_up"),
        (Cause::ServerReplyThenReset, RequestLost, 3, "uploads_rejected"),
        (Cause::ClientAbortDownload, TransferCut, 3, "downloads_cut"),
        (Cause::TlsAlert, AttemptFailed, 3, "tls_refused"),
        (Cause::RetransmissionTimeout, TransferCut, 3, "path_lost"),
        (Cause::StaleConnectionSyn, AttemptFailed, 2, "stale_ports"),
        (Cause::SynAckUnanswered, AttemptFailed, 10, "half_open"),
        (Cause::InjectedSuspect, TransferCut, 1, "forged_resets"),
        (Cause::DeviceResetBoth, TransferCut, 2, "device_resets"),
        (Cause::RstInsteadOfFin, Impact::None, 1, "habitual_rst"),
        (Cause::HealthCheck, Impact::None, 1, "health_checks"),
        (Cause::CloseNotifyAfterClose, Impact::None, 1, "late_close_notify"),
        (Cause::RstAfterClose, Impact::None, 1, "rst_after_close"),
    ] {
        let all = ids(&staged(SERVER, cause, impact, least));
        assert!(all.contains(&id), "{cause} x{least}: {all:?}");
        let below = ids(&staged(SERVER, cause, impact, least - 1));
        assert!(!below.contains(&id), "{cause} x{}: {below:?}", least - 1);
    }
}

#[test]
fn resets_by_clients_are_not_the_servers() {
    let mut all = staged(SERVER, Cause::AppAbort, Impact::RequestLost, 8);
    for one in &mut all {
        (one.from_orig.rst, one.from_resp.rst, one.reset_by) = (1, 0, ResetBy::Client);
    }
    all.extend(staged(SERVER, Cause::RefusedClosedPort, Impact::AttemptFailed, 3));
    assert_eq!(ids(&all), ["service_refuses"]);
}

/// Both sides abort: what is said, its examples and its filter are of the server's.
#[test]
fn of_aborts_by_both_sides_the_servers_are_told() {
    let mut all = staged(SERVER, Cause::AppAbort, Impact::RequestLost, 9);
    for one in &mut all[..5] {
        (one.from_orig.rst, one.from_resp.rst, one.reset_by) = (1, 0, ResetBy::Client);
    }
    let mut late = staged(SERVER, Cause::RstAfterClose, Impact::None, 2);
    for (one, number) in late.iter_mut().zip(100..) {
        one.id = number;
    }
    let servers: Vec<u64> = all[5..].iter().map(|one| one.id).collect();
    all.extend(late);
    let found = found(&all);
    let finding = found.iter().find(|finding| finding.kind.id == "server_resets").expect("there");
    assert_eq!(finding.count, 4, "{}", finding.sentence);
    assert!(finding.sentence.contains("(app_abort x4)"), "{}", finding.sentence);
    assert!(finding.examples.iter().all(|id| servers.contains(id)), "{:?}", finding.examples);
}

#[test]
fn where_the_servers_host_was_watched_the_process_and_its_kernels_reason_are_told() {
    let mut connections = staged(SERVER, Cause::AppAbort, Impact::RequestLost, 3);
    assert!(found(&connections)[0].next_step.starts_with("on the server: `rstprobe explain -i IFACE --host"));
    for one in &mut connections[..2] {
        let fact = |name, text: &str| Fact { name, value: Value::Text(text.into()) };
        one.verdict.facts = vec![fact("kernel.reason", "TCP_ABORT_ON_CLOSE"), fact("process.name", "x\u{1b}[2J")];
    }
    let said = &found(&connections)[0].next_step;
    let expected =
        "process x\\u{1b}[2J sent 2 of those listed (TCP_ABORT_ON_CLOSE: the application closed with payload unread)";
    assert!(said.starts_with(expected), "{said}");
}

#[test]
fn what_was_not_established_dilutes_nothing_and_no_service_is_overlooked() {
    let mut all = staged(SERVER, Cause::TlsAlert, Impact::AttemptFailed, 5);
    let mut half_open = staged(SERVER, Cause::HalfOpenScan, Impact::None, 600);
    for one in &mut half_open {
        (one.opening, one.closing) = (Opening::HalfOpen, Closing::HalfOpen);
    }
    all.extend(half_open);
    assert!(ids(&all).contains(&"tls_refused"));
    let of_port = |port: u16| staged(&format!("10.1.0.2:{port}"), Cause::RstAfterClose, Impact::None, 1);
    let mut many: Vec<_> = (1..1500).flat_map(of_port).collect();
    many.extend(staged(SERVER, Cause::NeverAnswered, Impact::AttemptFailed, 300));
    let mut aggregate = Aggregate::new(5000);
    for one in &many {
        aggregate.add(one);
    }
    let observed = Observed {
        aggregate: &aggregate,
        connections: &[],
        is_one_way: false,
        flood: &[],
        notices: &[],
        wrong_checksums: 0,
    };
    assert_eq!(of(&observed)[0].kind.id, "service_silent");
}

#[test]
fn quiet_traffic_has_no_finding() {
    assert_eq!(ids(&staged(SERVER, Cause::None, Impact::None, 1000)), Vec::<&str>::new());
    // A few refused attempts among many.
    let mut few = staged(SERVER, Cause::None, Impact::None, 1000);
    few.extend(staged(SERVER, Cause::RefusedClosedPort, Impact::AttemptFailed, 3));
    assert_eq!(ids(&few), Vec::<&str>::new());
}

#[test]
fn the_worst_comes_first_with_numbers_and_examples() {
    let mut all = staged("10.0.0.9:80", Cause::RefusedClosedPort, Impact::AttemptFailed, 5);
    all.extend(staged(SERVER, Cause::AppAbort, Impact::RequestLost, 40));
    all.extend(staged(SERVER, Cause::RstAfterClose, Impact::None, 400));
    let findings = found(&all);
    let order: Vec<_> = findings.iter().map(|finding| finding.kind.id).collect();
    assert_eq!(order, ["server_resets", "service_refuses", "rst_after_close"]);
    let worst = &findings[0];
    assert_eq!((worst.count, worst.of, worst.examples.len()), (40, 440, EXAMPLES));
    assert_eq!((worst.subject, worst.since_ns), (Subject::Server(SERVER.parse().expect("one")), Some(1000)));
    assert!(worst.sentence.starts_with("10.0.0.2:443: 40 of 440 (9.1 %)"), "{}", worst.sentence);
}

#[test]
fn when_only_the_worst_are_listed_nobody_knows_since_when() {
    let all = staged(SERVER, Cause::AppAbort, Impact::RequestLost, 40);
    let mut aggregate = Aggregate::new(100);
    for one in &all {
        aggregate.add(one);
    }
    let observed = Observed {
        aggregate: &aggregate,
        connections: &all[..10],
        is_one_way: false,
        flood: &[],
        notices: &[],
        wrong_checksums: 0,
    };
    assert_eq!(of(&observed)[0].since_ns, None);
}

#[test]
fn scans_floods_and_views_are_findings_of_their_own() {
    let mut scan = Vec::new();
    for port in 1..=25 {
        scan.extend(staged(&format!("10.0.0.2:{port}"), Cause::RefusedClosedPort, Impact::AttemptFailed, 1));
    }
    assert_eq!(ids(&scan), ["scan"]);
    let aggregate = Aggregate::new(1);
    let (victim, other) = (SERVER.parse().ok(), "10.0.0.3:443".parse().ok());
    let notices = ["copies".to_owned()];
    let ids = |syns| {
        // Of another service there are too few.
        let flood = [(victim, syns), (other, 999), (None, 999)];
        let observed = Observed {
            aggregate: &aggregate,
            connections: &[],
            is_one_way: true,
            flood: &flood,
            notices: &notices,
            wrong_checksums: 0,
        };
        let found = of(&observed);
        assert!(found.iter().all(|one| one.kind.id != "syn_flood" || one.count == syns), "{found:?}");
        found.iter().map(|finding| finding.kind.id).collect::<Vec<_>>()
    };
    assert_eq!(ids(1000), ["syn_flood", "capture", "half_view"]);
    assert_eq!(ids(999), ["capture", "half_view"]);
}

#[test]
fn what_is_little_for_one_server_is_told_of_all() {
    let on = |cause, impact, servers: std::ops::Range<u16>| -> Vec<Finding> {
        let of_port = |port: u16| staged(&format!("10.1.0.2:{port}"), cause, impact, 1);
        found(&servers.flat_map(of_port).collect::<Vec<_>>())
    };
    let one = on(Cause::InjectedSuspect, Impact::TransferCut, 1..2);
    assert_eq!((one.len(), one[0].subject), (1, Subject::Server("10.1.0.2:1".parse().expect("an address"))));
    let many = on(Cause::InjectedSuspect, Impact::TransferCut, 1..40);
    assert_eq!((many.len(), many[0].subject, many[0].count), (1, Subject::Traffic, 39));
    assert!(many[0].sentence.starts_with("39 servers: 39 of 39"), "{}", many[0].sentence);
    let unreachable = on(Cause::IcmpUnreachable, Impact::AttemptFailed, 1..18);
    assert_eq!((unreachable[0].kind.id, unreachable[0].count), ("service_unreachable", 17));
    assert!(on(Cause::IcmpUnreachable, Impact::AttemptFailed, 1..3).is_empty());
}

#[test]
fn segments_with_wrong_checksums_are_told_and_no_second_mirror_port() {
    let mut all = staged(SERVER, Cause::None, Impact::None, 4);
    for one in &mut all {
        one.closing = Closing::OneSided;
    }
    let mut aggregate = Aggregate::new(9);
    for one in &all {
        aggregate.add(one);
    }
    let next = |wrong_checksums| {
        let (flood, notices) = (&[], &[]);
        let observed =
            Observed { aggregate: &aggregate, connections: &all, is_one_way: false, flood, notices, wrong_checksums };
        of(&observed).into_iter().find(|one| one.kind.id == "half_view").map(|one| one.next_step)
    };
    assert!(next(0).is_some_and(|next| next.contains("both legs")), "{:?}", next(0));
    assert_eq!(next(40).as_deref(), Some("read it again with --no-checksums"));
}

#[test]
fn an_idle_timeout_is_told_with_the_keep_alive_that_avoids_it() {
    let mut all = staged(SERVER, Cause::NoState, Impact::RequestLost, 6);
    for one in &mut all {
        (one.idle_gap_ns, one.reset_by) = (Some(350_000_000_000), ResetBy::Server);
    }
    let findings = found(&all);
    let idle = findings.iter().find(|finding| finding.kind.id == "idle_timeout").expect("a finding");
    assert!(idle.sentence.contains("350.0 s") && idle.next_step.contains("280 s"), "{idle:?}");
}

#[test]
fn every_kind_has_a_section_in_the_docs() {
    let docs = include_str!("../../docs/findings.md");
    for kind in KINDS {
        let (_, section) = docs.split_once(&format!("\n### `{}`\n", kind.id)).unwrap_or_else(|| panic!("{}", kind.id));
        let section = section.split("\n#").next().expect("a part");
        assert!(section.contains(kind.threshold), "the threshold of {} is not in its section", kind.id);
    }
    assert_eq!(docs.matches("\n### `").count(), KINDS.len(), "a section on no kind");
}

#[test]
fn the_filter_of_a_finding_is_met_by_its_connections_alone() {
    let mut all = staged(SERVER, Cause::AppAbort, Impact::ResponseLost, 5);
    for one in &mut all {
        one.reset_by = ResetBy::Server;
    }
    all.extend(staged("10.0.0.9:80", Cause::RefusedClosedPort, Impact::AttemptFailed, 4));
    all.extend(staged("10.0.0.8:80", Cause::InjectedSuspect, Impact::None, 1));
    all.extend(staged("10.0.3.7:80", Cause::Vanished, Impact::Unknown, 3));
    let findings = found(&all);
    let filtered: Vec<_> = findings.iter().filter_map(|one| one.filter.as_ref().map(|filter| (one, filter))).collect();
    assert!(filtered.len() >= 4, "{findings:?}");
    for (finding, filter) in filtered {
        let condition: crate::filter::Filter = filter.parse().unwrap_or_else(|error| panic!("{filter}: {error}"));
        let count = all.iter().filter(|one| condition.matches(one)).count();
        assert_eq!(count as u64, finding.count, "{filter}");
    }
}

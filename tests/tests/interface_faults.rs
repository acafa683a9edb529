//! Interfaces that go, come back, move or get another name while they are watched: a word to the operator, the gap in what is
//! told, and no lost book. The table is in `probe-user/docs/faults.md`.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{process::Command, thread, time::Duration};

use probe_tests::{
    both_legs::ndjson,
    fault::{OTHER, balanced, ended, loss, opening, place, reset, resets, send, start, summary, text},
    leftover::{self, Footprint},
    netns::{Loop, SINK, SOURCE},
    oneshot::OneShot,
    sys,
    tier::{privileged, say},
};
use serde_json::Value;

/// The agent looks at its interfaces once a second.
const NOTICED: Duration = Duration::from_millis(2500);

fn ip(place: &Loop, words: &str) {
    place.namespace.ip(words).expect("ip works");
}

/// Makes the pair that the test has taken away, as it was.
fn pair_again(place: &Loop) {
    place.add_pair(SOURCE, SINK).expect("a pair");
}

#[test]
fn an_interface_that_comes_back_is_attached_again_and_the_gap_is_told() {
    privileged("interface_faults", "an_interface_that_comes_back_is_attached_again_and_the_gap_is_told", || {
        let place = place();
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("kept.pcapng");
        let probe = start(&place, &["run", "-i", SINK, "-i", OTHER.1, "--format", "ndjson", "--evidence", text(&file)]);
        resets(&place, SOURCE, 1000, 3);
        send(&place, SOURCE, &opening(2000));
        ip(&place, &format!("link del {SINK}"));
        thread::sleep(NOTICED);
        resets(&place, OTHER.0, 3000, 2);
        pair_again(&place);
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 4000, 4);
        send(&place, SOURCE, &[reset(2000)]);
        let finished = probe.stop().expect("it ends");
        let gone =
            format!("rstprobe: {SINK}: the interface was removed, or moved to another network namespace, between 2");
        ended(&finished, 0, &[&gone, &format!("rstprobe: {SINK}: attached again at 2"), "nothing was seen there for "]);
        let lines = ndjson(&finished.stdout);
        let sum = summary(&finished);
        // Before, on the other one meanwhile, after, and the one that lived through it.
        assert_eq!(sum["connections"], 3 + 2 + 4 + 1, "{sum}");
        assert_eq!([loss(&sum, "interfaces.gaps"), loss(&sum, "interfaces.gone")], [1, 0]);
        let gap_ms = loss(&sum, "interfaces.gaps_ms");
        assert!((2000..20_000).contains(&gap_ms), "{gap_ms} ms");
        lives_through(&lines, gap_ms);
        let interfaces = sum["window"]["interfaces"].as_array().expect("interfaces");
        let gaps: Vec<usize> = interfaces.iter().map(|one| one["gaps"].as_array().expect("gaps").len()).collect();
        assert_eq!(gaps, [1, 0], "{interfaces:?}");
        assert!(interfaces[0]["received"].is_null(), "counters of the one that was removed went with it");
        // Evidence goes on with what is attached by then.
        let read = OneShot::new(["read", text(&file), "--format", "ndjson"]).run().expect("it reads");
        assert_eq!(ndjson(&read.stdout).pop().expect("a summary")["connections"], 10, "{}", read.stderr);
        assert_eq!(leftover::attached(&place.namespace).expect("ip works").len(), 0);
    });
}

/// Of the connections only that which lived through the gap says so, and is not sure of its verdict.
fn lives_through(lines: &[Value], gap_ms: u64) {
    let connections = lines.iter().filter(|line| line["schema"] == "rstprobe.connection/1");
    let through: Vec<&Value> = connections.filter(|one| one["client"]["port"] == 2000).collect();
    let seconds = through[0]["unwatched_s"].as_f64().expect("how long it was not watched");
    assert!(seconds > 1.0 && seconds <= gap_ms as f64 / 1000.0, "{seconds} s of {gap_ms} ms");
    assert_eq!(through[0]["cause"]["confidence"], "low");
    let facts = through[0]["cause"]["evidence"].as_array().expect("facts");
    assert!(facts.iter().any(|fact| fact["name"] == "unwatched_ms"), "{facts:?}");
    let after = lines.iter().find(|one| one["client"]["port"] == 4000).expect("one after");
    assert!(after["unwatched_s"].is_null(), "{after}");
}

#[test]
fn the_only_interface_may_come_back_and_what_the_host_sends_is_seen_again() {
    privileged("interface_faults", "the_only_interface_may_come_back_and_what_the_host_sends_is_seen_again", || {
        let place = place();
        let probe = start(&place, &["snapshot", "-i", SINK, "--for", "1m", "--host", "--format", "json"]);
        resets(&place, SOURCE, 1000, 2);
        ip(&place, &format!("link del {SINK}"));
        thread::sleep(NOTICED);
        pair_again(&place);
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 2000, 2);
        // Sent by this host, not received.
        resets(&place, SINK, 3000, 2);
        let finished = probe.stop().expect("it ends");
        ended(&finished, 0, &["attached again at 2"]);
        let document: Value = serde_json::from_str(&finished.stdout).expect("a document");
        balanced(&document["summary"]);
        assert_eq!(document["summary"]["connections"], 6, "{}", finished.stderr);
        assert_eq!(leftover::attached(&place.namespace).expect("ip works").len(), 0);
    });
}

#[test]
fn an_interface_that_moves_away_is_left_alone_and_watched_when_it_is_back() {
    privileged("interface_faults", "an_interface_that_moves_away_is_left_alone_and_watched_when_it_is_back", || {
        let (place, elsewhere) = (place(), Loop::build().expect("namespaces"));
        elsewhere.namespace.ip(&format!("link del {SINK}")).expect("ip works");
        let probe = start(&place, &["run", "-i", SINK, "-i", OTHER.1, "--format", "ndjson"]);
        resets(&place, SOURCE, 1000, 3);
        ip(&place, &format!("link set {SINK} netns {}", elsewhere.namespace.name()));
        elsewhere.namespace.ip(&format!("link set {SINK} up")).expect("ip works");
        thread::sleep(NOTICED);
        // The program would go on to count what another namespace receives, in silence.
        assert_eq!(leftover::attached(&elsewhere.namespace).expect("ip works").len(), 0);
        resets(&place, SOURCE, 2000, 3);
        elsewhere.namespace.ip(&format!("link set {SINK} netns {}", place.namespace.name())).expect("ip works");
        ip(&place, &format!("link set {SINK} up"));
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 3000, 3);
        let finished = probe.stop().expect("it ends");
        ended(&finished, 0, &["was removed, or moved to another network namespace", "attached again at 2"]);
        let sum = summary(&finished);
        assert_eq!((&sum["connections"], loss(&sum, "interfaces.gaps")), (&6.into(), 1), "{sum}");
    });
}

#[test]
fn a_renamed_interface_is_watched_on() {
    privileged("interface_faults", "a_renamed_interface_is_watched_on", || {
        let place = place();
        let probe = start(&place, &["run", "-i", SINK, "--format", "ndjson"]);
        resets(&place, SOURCE, 1000, 3);
        let renamed = place.namespace.ip(&format!("link set {SINK} name wan0")).is_ok();
        if !renamed {
            // Before Linux 6.2 one that is up keeps its name.
            for words in
                [format!("link set {SINK} down"), format!("link set {SINK} name wan0"), "link set wan0 up".into()]
            {
                ip(&place, &words);
            }
        }
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 2000, 3);
        let finished = probe.stop().expect("it ends");
        ended(&finished, 0, &[&format!("rstprobe: {SINK}: the interface was renamed to wan0 and is watched on")]);
        let sum = summary(&finished);
        assert_eq!((&sum["connections"], loss(&sum, "interfaces.gaps")), (&6.into(), 0), "{sum}");
    });
}

#[test]
fn what_cannot_be_attached_again_is_said_once_and_tried_on() {
    privileged("interface_faults", "what_cannot_be_attached_again_is_said_once_and_tried_on", || {
        let place = place();
        let probe = start(&place, &["run", "-i", SINK, "-i", OTHER.1, "--format", "ndjson"]);
        ip(&place, &format!("link del {SINK}"));
        thread::sleep(NOTICED);
        // Another one is there first.
        sys::pause(probe.pid(), true).expect("a signal is sent");
        pair_again(&place);
        let other = start(&place, &["snapshot", "-i", SINK, "--for", "1m"]);
        sys::pause(probe.pid(), false).expect("a signal is sent");
        thread::sleep(2 * NOTICED);
        other.stop().expect("it ends");
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 1000, 3);
        let finished = probe.stop().expect("it ends");
        ended(&finished, 0, &["attached again at 2"]);
        let refused = format!("rstprobe: {SINK}: back, and cannot be attached yet: ");
        assert_eq!(finished.stderr.matches(&refused).count(), 1, "{}", finished.stderr);
        let sum = summary(&finished);
        assert_eq!((&sum["connections"], loss(&sum, "interfaces.gaps")), (&3.into(), 1), "{sum}");
    });
}

#[test]
fn what_the_host_uses_by_the_time_it_is_back_is_not_dropped() {
    privileged("interface_faults", "what_the_host_uses_by_the_time_it_is_back_is_not_dropped", || {
        let place = place();
        let words = ["run", "-i", SINK, "-i", OTHER.1, "--action", "drop", "--format", "ndjson"];
        let probe = start(&place, &words);
        ip(&place, &format!("link del {SINK}"));
        thread::sleep(NOTICED);
        // It has its address before it is looked at.
        sys::pause(probe.pid(), true).expect("a signal is sent");
        pair_again(&place);
        ip(&place, &format!("addr add 192.0.2.1/24 dev {SINK}"));
        sys::pause(probe.pid(), false).expect("a signal is sent");
        thread::sleep(2 * NOTICED);
        let drops = |name: &str| {
            place.namespace.ip(&format!("-details link show dev {name}")).expect("ip works").contains("prog/xdp")
        };
        assert_eq!([drops(SINK), drops(OTHER.1)], [false, true]);
        ip(&place, &format!("addr del 192.0.2.1/24 dev {SINK}"));
        thread::sleep(NOTICED);
        assert!(drops(SINK), "it is tried on");
        resets(&place, SOURCE, 1000, 3);
        let finished = probe.stop().expect("it ends");
        let refused = format!("rstprobe: {SINK}: back, and cannot be attached yet: ");
        ended(&finished, 0, &[&refused, "it has the address 192.0.2.1", "attached again at 2"]);
        assert_eq!(finished.stderr.matches(&refused).count(), 1, "{}", finished.stderr);
        let sum = summary(&finished);
        assert_eq!((&sum["connections"], loss(&sum, "interfaces.gaps")), (&3.into(), 1), "{sum}");
    });
}

#[test]
fn a_program_that_somebody_detached_is_attached_again() {
    if !leftover::has_bpftool() {
        return say("SKIP a_program_that_somebody_detached_is_attached_again: no bpftool");
    }
    privileged("interface_faults", "a_program_that_somebody_detached_is_attached_again", || {
        let place = place();
        let probe = start(&place, &["run", "-i", SINK, "--format", "ndjson"]);
        let link = *Footprint::take(&place.namespace).expect("it works").links.first().expect("a link");
        let detached = Command::new("bpftool").args(["link", "detach", "id", &link.to_string()]).status();
        assert!(detached.expect("bpftool runs").success());
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 1000, 3);
        let finished = probe.stop().expect("it ends");
        ended(
            &finished,
            0,
            &[&format!("rstprobe: {SINK}: the interface lost its program between 2"), "attached again at 2"],
        );
        let sum = summary(&finished);
        assert_eq!((&sum["connections"], loss(&sum, "interfaces.gaps")), (&3.into(), 1), "{sum}");
    });
}

#[test]
fn a_program_in_the_place_of_ours_is_noticed() {
    if !leftover::has_bpftool() {
        return say("SKIP a_program_in_the_place_of_ours_is_noticed: no bpftool");
    }
    privileged("interface_faults", "a_program_in_the_place_of_ours_is_noticed", || {
        let place = place();
        let probe = start(&place, &["run", "-i", SINK, "-i", OTHER.1, "--format", "ndjson"]);
        let links = Footprint::take(&place.namespace).expect("it works").links;
        // Between two looks: at the second there is a program again.
        sys::pause(probe.pid(), true).expect("a signal is sent");
        for link in &links {
            let detached = Command::new("bpftool").args(["link", "detach", "id", &link.to_string()]).status();
            assert!(detached.expect("bpftool runs").success());
        }
        let other = start(&place, &["snapshot", "-i", SINK, "--for", "1m"]);
        sys::pause(probe.pid(), false).expect("a signal is sent");
        thread::sleep(NOTICED);
        other.stop().expect("it ends");
        thread::sleep(NOTICED);
        resets(&place, SOURCE, 1000, 3);
        let finished = probe.stop().expect("it ends");
        let lost = format!("rstprobe: {SINK}: the interface lost its program between 2");
        let refused = format!("rstprobe: {SINK}: back, and cannot be attached yet: ");
        ended(&finished, 0, &[&lost, &refused, &format!("rstprobe: {SINK}: attached again at 2")]);
        assert_eq!(summary(&finished)["connections"], 3, "{}", finished.stderr);
    });
}

#[test]
fn sockets_are_not_attached_again_and_that_is_said() {
    privileged("interface_faults", "sockets_are_not_attached_again_and_that_is_said", || {
        let place = place();
        let words = ["run", "-i", SINK, "--datapath", "afxdp", "--action", "drop", "--format", "ndjson"];
        let probe = start(&place, &words);
        resets(&place, SOURCE, 1000, 3);
        ip(&place, &format!("link del {SINK}"));
        let finished = probe.wait(Duration::from_secs(20)).expect("it ends by itself");
        ended(&finished, 5, &["sockets (--datapath afxdp) are not attached again", "no interface is left to watch"]);
        let sum = summary(&finished);
        assert_eq!((&sum["connections"], loss(&sum, "interfaces.gone")), (&3.into(), 1), "{sum}");
    });
}

//! Nothing stays: what `--host` attaches by clsact, as before tcx (Linux 6.6), is removed on every end that can be caught;
//! what `kill -9` leaves is told, and removed by `detach` and the next start; what a living instance uses is not.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]). tc(8) is the independent witness.

use std::{collections::BTreeSet, ffi::OsString, process::Command, time::Duration};

use probe_tests::{
    assemble,
    leftover::{self, Footprint, TcFilter, egress_filters, has_clsact},
    netns::{Loop, SINK, SOURCE},
    oneshot::OneShot,
    probe::{Finished, Probe},
    sys::{self, bpf::LoadedProgram},
    tier::{privileged, say},
};

/// Ending and detaching take less.
const PATIENCE: Duration = Duration::from_secs(20);
/// A filter that is not the probe's: classic BPF that looks at nothing.
const FOREIGN: &str = "filter add dev source egress protocol all prio 7 bpf bytecode 1,6\u{a0}0\u{a0}0\u{a0}0";

fn pair() -> Loop {
    Loop::build().expect("a namespace")
}

/// Starts `rstprobe run --host` on an interface, by clsact.
fn start(pair: &Loop, interface: &str) -> Probe {
    let words = ["run", "--host", "--egress", "clsact", "-i", interface].map(OsString::from);
    Probe::start(&pair.namespace, &words).expect("it attaches")
}

fn one_shot(pair: &Loop, words: &[&str]) -> Finished {
    OneShot::new(words).run_in(&pair.namespace).expect("it runs to its end")
}

fn filters(pair: &Loop, interface: &str) -> Vec<TcFilter> {
    egress_filters(&pair.namespace, interface).expect("tc works")
}

fn clsact(pair: &Loop, interface: &str) -> bool {
    has_clsact(&pair.namespace, interface).expect("tc works")
}

/// Everything that a probe with a filter on `interface` has in the kernel.
fn footprint(pair: &Loop, interface: &str) -> Footprint {
    let mut programs: BTreeSet<u64> = leftover::attached(&pair.namespace).expect("ip works");
    let filters = filters(pair, interface);
    assert_eq!(filters.len(), 1, "{filters:?}");
    assert!(filters[0].name.starts_with("rstprobe_egress/"), "{filters:?}");
    assert_ne!(filters[0].program, 0);
    programs.extend(filters.iter().map(|filter| filter.program));
    Footprint::of(programs).expect("bpftool works")
}

/// What a killed probe leaves on `interface`.
fn killed(pair: &Loop, interface: &str) -> Footprint {
    let probe = start(pair, interface);
    let footprint = footprint(pair, interface);
    // SIGKILL.
    drop(probe);
    assert_eq!(filters(pair, interface).len(), 1, "a filter is no link: it stays");
    assert!(clsact(pair, interface));
    footprint
}

#[track_caller]
fn assert_gone(pair: &Loop, interface: &str, footprint: &Footprint) {
    assert_eq!(filters(pair, interface), []);
    assert!(!clsact(pair, interface), "clsact stays");
    assert_eq!(footprint.remains(), Vec::<String>::new());
}

#[track_caller]
fn assert_said(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
}

fn leaves_nothing(signal: fn(u32) -> std::io::Result<()>) {
    let pair = pair();
    assert!(!clsact(&pair, SOURCE));
    let probe = start(&pair, SOURCE);
    let footprint = footprint(&pair, SOURCE);
    assert!(clsact(&pair, SOURCE));
    signal(probe.pid()).expect("the signal is sent");
    let finished = probe.wait(PATIENCE).expect("it ends");
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    assert_gone(&pair, SOURCE, &footprint);
    let detached = one_shot(&pair, &["detach"]);
    assert_eq!(detached.status.code(), Some(0), "{}", detached.stderr);
    assert_eq!(detached.stdout, "nothing of rstprobe's is left on any interface\n");
}

#[test]
fn an_interrupt_leaves_nothing() {
    privileged("leftover", "an_interrupt_leaves_nothing", || leaves_nothing(sys::interrupt));
}

#[test]
fn a_termination_leaves_nothing() {
    privileged("leftover", "a_termination_leaves_nothing", || leaves_nothing(sys::terminate));
}

#[test]
fn a_hangup_leaves_nothing() {
    privileged("leftover", "a_hangup_leaves_nothing", || {
        sys::hear_hang_up().expect("a signal that can be set");
        leaves_nothing(sys::hang_up);
    });
}

#[test]
fn a_start_that_fails_leaves_nothing() {
    privileged("leftover", "a_start_that_fails_leaves_nothing", || {
        let pair = pair();
        // The older qdisc has clsact's place and no egress: the second interface refuses what the first one took.
        pair.namespace.tc("qdisc add dev sink ingress").expect("tc works");
        let words = ["run", "--host", "--egress", "clsact", "-i", SOURCE, "-i", SINK];
        let finished = one_shot(&pair, &words);
        assert_eq!(finished.status.code(), Some(5), "{}", finished.stderr);
        assert_said(
            &finished.stderr,
            &[
                "sink: cannot attach to egress for --host by a filter on the clsact qdisc: the qdisc `ingress` is at its place",
            ],
        );
        assert_eq!(filters(&pair, SOURCE), []);
        assert!(!clsact(&pair, SOURCE), "clsact stays");
        let qdiscs = pair.namespace.tc("qdisc show dev sink").expect("tc works");
        assert!(qdiscs.contains("qdisc ingress "), "what was there before has gone: {qdiscs}");
        assert_eq!(leftover::attached(&pair.namespace).expect("ip works").len(), 0);
    });
}

#[test]
fn a_qdisc_that_others_use_stays() {
    privileged("leftover", "a_qdisc_that_others_use_stays", || {
        for before in [true, false] {
            let pair = pair();
            let add = || {
                let words = FOREIGN.split(' ').map(|word| word.replace('\u{a0}', " "));
                let all = ["-n".to_string(), pair.namespace.name().to_string()].into_iter().chain(words);
                let status = Command::new("tc").args(all).status().expect("tc runs");
                assert!(status.success());
            };
            if before {
                pair.namespace.tc("qdisc add dev source clsact").expect("tc works");
                add();
            }
            let probe = start(&pair, SOURCE);
            if !before {
                add();
            }
            assert_eq!(filters(&pair, SOURCE).len(), 2);
            let finished = probe.stop().expect("it ends");
            assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
            let left = filters(&pair, SOURCE);
            assert_eq!(left.len(), 1, "{left:?}");
            assert!(!left[0].name.starts_with("rstprobe"), "{left:?}");
            assert!(clsact(&pair, SOURCE));
        }
    });
}

#[test]
fn an_empty_qdisc_of_others_stays() {
    privileged("leftover", "an_empty_qdisc_of_others_stays", || {
        let pair = pair();
        pair.namespace.tc("qdisc add dev source clsact").expect("tc works");
        let finished = start(&pair, SOURCE).stop().expect("it ends");
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        assert_eq!(filters(&pair, SOURCE), []);
        assert!(clsact(&pair, SOURCE));
        let footprint = killed(&pair, SOURCE);
        let detached = one_shot(&pair, &["detach"]);
        assert_said(&detached.stdout, &["source: removed the egress filter"]);
        assert!(!detached.stdout.contains("qdisc"), "{}", detached.stdout);
        assert_eq!(filters(&pair, SOURCE), []);
        assert!(clsact(&pair, SOURCE));
        assert_eq!(footprint.remains(), Vec::<String>::new());
    });
}

#[test]
fn what_a_kill_leaves_is_told_and_detached() {
    privileged("leftover", "what_a_kill_leaves_is_told_and_detached", || {
        let pair = pair();
        let footprint = killed(&pair, SOURCE);
        let doctor = one_shot(&pair, &["doctor", "-i", SOURCE]);
        assert_eq!(doctor.status.code(), Some(0), "{}", doctor.stderr);
        let parts =
            ["the egress filter of rstprobe pid ", ", which no longer runs", "`rstprobe detach -i source` removes it"];
        assert_said(&doctor.stdout, &parts);
        assert_eq!(filters(&pair, SOURCE).len(), 1, "doctor only looks");
        let elsewhere = one_shot(&pair, &["detach", "-i", SINK]);
        assert_eq!(elsewhere.stdout, "nothing of rstprobe's is left on sink\n");
        let denied = OneShot::new(["detach"]).unprivileged().run_in(&pair.namespace).expect("it runs");
        assert_eq!(denied.status.code(), Some(4), "{}", denied.stderr);
        assert_said(&denied.stderr, &["CAP_NET_ADMIN"]);
        assert_eq!(filters(&pair, SOURCE).len(), 1);
        let detached = one_shot(&pair, &["detach", "-i", SOURCE]);
        assert_eq!(detached.status.code(), Some(0), "{}", detached.stderr);
        let parts = [
            "source: removed the egress filter of rstprobe pid ",
            ", which no longer runs, and the clsact qdisc that it had",
        ];
        assert_said(&detached.stdout, &parts);
        assert_gone(&pair, SOURCE, &footprint);
        let unknown = one_shot(&pair, &["detach", "-i", "nowhere0"]);
        assert_eq!(unknown.status.code(), Some(2), "{}", unknown.stderr);
    });
}

#[test]
fn what_a_kill_leaves_is_removed_by_the_next_start() {
    privileged("leftover", "what_a_kill_leaves_is_removed_by_the_next_start", || {
        let pair = pair();
        let left = killed(&pair, SOURCE);
        // On another interface, and without --host.
        let next = OneShot::new(["snapshot", "-i", SINK, "--for", "100ms"]).run_in(&pair.namespace).expect("it runs");
        assert_eq!(next.status.code(), Some(0), "{}", next.stderr);
        let line = "rstprobe: source: removed the egress filter of rstprobe pid ";
        assert_eq!(next.stderr.lines().filter(|said| said.starts_with(line)).count(), 1, "{}", next.stderr);
        assert_gone(&pair, SOURCE, &left);
        // And on the same, with it.
        let left = killed(&pair, SOURCE);
        let probe = start(&pair, SOURCE);
        let now = footprint(&pair, SOURCE);
        assert!(now.programs.is_disjoint(&left.programs));
        let finished = probe.stop().expect("it ends");
        assert_said(&finished.stderr, &[line]);
        assert_gone(&pair, SOURCE, &left);
        assert_gone(&pair, SOURCE, &now);
    });
}

#[test]
fn what_a_living_instance_uses_stays() {
    privileged("leftover", "what_a_living_instance_uses_stays", || {
        let pair = pair();
        let first = start(&pair, SOURCE);
        let its = footprint(&pair, SOURCE);
        let detached = one_shot(&pair, &["detach"]);
        assert_eq!(detached.status.code(), Some(0), "{}", detached.stderr);
        let pid = format!("source: stays: the egress filter of rstprobe pid {}", first.pid());
        assert_said(&detached.stdout, &[&pid, "which is running", "attached by a link: its owner is running"]);
        assert!(!detached.stdout.contains("removed"), "{}", detached.stdout);
        let second = start(&pair, SINK);
        assert_eq!(filters(&pair, SOURCE).len(), 1);
        assert_eq!(filters(&pair, SINK).len(), 1);
        // The second one is killed, the first one runs on.
        drop(second);
        let detached = one_shot(&pair, &["detach"]);
        assert_said(&detached.stdout, &["sink: removed the egress filter of rstprobe pid ", &pid]);
        assert_eq!(filters(&pair, SINK), []);
        assert_eq!(footprint(&pair, SOURCE), its);
        let finished = first.stop().expect("it ends");
        assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
        assert_gone(&pair, SOURCE, &its);
    });
}

#[test]
fn tcx_needs_no_filter() {
    privileged("leftover", "tcx_needs_no_filter", || {
        let pair = pair();
        let words = ["run", "--host", "--egress", "tcx", "-i", SOURCE].map(OsString::from);
        let probe = match Probe::start(&pair.namespace, &words) {
            Ok(probe) => probe,
            Err(error) => {
                let text = error.to_string();
                assert_said(&text, &["source: cannot attach to egress for --host by tcx: "]);
                return say(&format!("SKIP tcx_needs_no_filter: this kernel has no tcx: {text}"));
            }
        };
        assert_eq!(filters(&pair, SOURCE), []);
        assert!(!clsact(&pair, SOURCE));
        let doctor = one_shot(&pair, &["doctor", "-i", SOURCE]);
        assert!(!doctor.stdout.contains("egress filter"), "{}", doctor.stdout);
        // SIGKILL.
        drop(probe);
        let detached = one_shot(&pair, &["detach"]);
        assert_eq!(detached.stdout, "nothing of rstprobe's is left on any interface\n");
    });
}

#[test]
fn an_xdp_program_without_a_link_is_detached_and_that_of_others_is_not() {
    if !leftover::has_bpftool() {
        return say("SKIP an_xdp_program_without_a_link_is_detached_and_that_of_others_is_not: no bpftool");
    }
    privileged("leftover", "an_xdp_program_without_a_link_is_detached_and_that_of_others_is_not", || {
        let pair = pair();
        for (name, interface) in [("rstprobe_frags", SOURCE), ("somebody_elses", SINK)] {
            let program = LoadedProgram::load_named(&assemble::pass(), name).expect("it loads");
            let id = program.id().expect("it has an id").to_string();
            let attach =
                || Command::new("bpftool").args(["net", "attach", "xdpgeneric", "id", &id, "dev", interface]).status();
            let status = pair.namespace.enter(attach).expect("bpftool runs");
            assert!(status.success());
        }
        let doctor = one_shot(&pair, &["doctor"]);
        let parts = ["the XDP program `rstprobe_frags` (id ", "attached by no link", "`rstprobe detach -i source`"];
        assert_said(&doctor.stdout, &parts);
        let detached = one_shot(&pair, &["detach"]);
        assert_eq!(detached.status.code(), Some(0), "{}", detached.stderr);
        assert_said(&detached.stdout, &["source: removed the XDP program `rstprobe_frags`"]);
        assert!(!detached.stdout.contains(SINK), "{}", detached.stdout);
        assert_eq!(leftover::attached(&pair.namespace).expect("ip works").len(), 1, "that of others stays");
    });
}

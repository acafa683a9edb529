//! Every scenario through live XDP: real sockets in namespaces, the shipped binary in between, one test per verdict.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]). One session serves all tests.

use std::{
    collections::BTreeSet,
    sync::OnceLock,
    time::{Duration, Instant},
};

use probe_tests::{
    leftover::Footprint,
    netns::Network,
    probe::Probe,
    scenario,
    session::{self, Plan, Report},
    tier::privileged,
    verdict::Judgement,
};

fn report() -> &'static Report {
    static REPORT: OnceLock<Report> = OnceLock::new();
    REPORT.get_or_init(|| {
        let plan = Plan { settle: Duration::from_secs(1), words: ["--format", "table"].map(Into::into).into() };
        session::run_settled(&scenario::cases(), &plan).expect("the session runs")
    })
}

/// Asserts the verdicts of one scenario, over both families.
fn verdict(id: &str) {
    privileged("live", id, || {
        let mut families = 0;
        for (case, judgement) in report().judgements.iter().filter(|(case, _)| case.scenario.id == id) {
            families += 1;
            let Judgement { expected, said, evidence, wrong } = judgement;
            let name = case.name();
            assert!(
                wrong.is_empty(),
                "{name}\n  expected {expected}\n  said     {said}\n  because  {evidence}\n  {wrong:?}"
            );
        }
        assert_eq!(families, 2);
    });
}

macro_rules! verdicts {
    ($($id:ident),* $(,)?) => {
        $(
            #[test]
            fn $id() {
                verdict(stringify!($id));
            }
        )*

        #[test]
        fn every_scenario_has_its_test() {
            let tests: BTreeSet<&str> = [$(stringify!($id)),*].into();
            let scenarios: BTreeSet<&str> = scenario::all().iter().map(|scenario| scenario.id).collect();
            assert_eq!(tests, scenarios);
        }
    };
}

verdicts! {
    orderly_by_client,
    orderly_by_server,
    half_close_stays,
    stays_open,
    refused_port,
    silent_address,
    syn_scan,
    syn_then_rst,
    rst_without_connection,
    linger_0_by_client,
    linger_0_by_server,
    unread_by_client,
    unread_by_server,
    abort_no_data_by_client,
    abort_no_data_by_server,
    early_error_reply,
    download_aborted,
    download_closed,
    server_always_resets,
    data_after_close,
    linger2,
    rst_after_close,
    no_state,
    keep_alive_timeout,
    injected_rst,
    device_reset_both,
    explained_rst,
}

#[test]
fn counts_are_those_of_the_wire() {
    privileged("live", "counts_are_those_of_the_wire", || {
        assert!(report().miscounted.is_empty(), "{}", report().miscounted.join("\n"));
    });
}

#[test]
fn nothing_is_lost_and_nothing_is_left_behind() {
    privileged("live", "nothing_is_lost_and_nothing_is_left_behind", || {
        let report = report();
        assert!(report.probe.status.success(), "{}: {}", report.probe.status, report.probe.stderr);
        assert!(report.remains.is_empty(), "{:?}", report.remains);
        let losses = report.snapshot["summary"]["losses"].as_object().expect("losses are always told");
        // Frames that are not TCP are told here too; a few of them (multicast listener reports) are no loss.
        for (name, value) in losses.iter().filter(|(name, _)| *name != "rejected.not_tcp") {
            assert_eq!(value.as_u64(), Some(0), "losses.{name}");
        }
    });
}

#[test]
fn a_killed_probe_leaves_nothing_behind() {
    privileged("live", "a_killed_probe_leaves_nothing_behind", || {
        let network = Network::build().expect("namespaces");
        let words = ["--for", "60s"].map(Into::into);
        let probe = Probe::snapshot(&network.middle, &words).expect("the probe starts");
        let footprint = Footprint::take(&network.middle).expect("ip works");
        assert!(!footprint.programs.is_empty());
        // SIGKILL: no chance to clean up.
        drop(probe);
        assert_eq!(footprint.remains(), Vec::<String>::new());
    });
}

#[test]
fn an_interrupted_probe_ends_at_once() {
    privileged("live", "an_interrupted_probe_ends_at_once", || {
        let network = Network::build().expect("namespaces");
        let words = ["--for", "60s"].map(Into::into);
        let probe = Probe::snapshot(&network.middle, &words).expect("the probe starts");
        let begin = Instant::now();
        let finished = probe.stop().expect("it ends");
        assert!(finished.status.success(), "{}: {}", finished.status, finished.stderr);
        assert!(begin.elapsed() < Duration::from_secs(5), "it took {:?}", begin.elapsed());
    });
}

/// The other ways to load and attach the program count the same. Verdicts are not asked for: depth `control` sees less.
#[test]
fn every_variant_counts_like_the_wire() {
    // Without the scenario that takes seconds by nature.
    let cases: Vec<_> = scenario::cases().into_iter().filter(|c| c.scenario.id != "keep_alive_timeout").collect();
    let full_tables = ["--slots", "64", "--drain", "5s"];
    for words in [&["--depth", "control"][..], &["--mode", "generic"], &["--single-buffer"], &full_tables] {
        let name = words.join(" ");
        privileged("live", &name, || {
            let plan = Plan { settle: Duration::from_millis(500), words: words.iter().map(Into::into).collect() };
            let report = session::run(&cases, &plan).expect("the session runs");
            assert!(report.probe.status.success(), "{name}: {}", report.probe.stderr);
            assert_eq!(report.miscounted, Vec::<String>::new(), "{name}");
            assert_eq!(report.remains, Vec::<String>::new(), "{name}");
        });
    }
}

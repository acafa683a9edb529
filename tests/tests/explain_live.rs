//! `rstprobe explain -i`: a connection that ended while the interfaces were watched, and below it what was not seen, as
//! `snapshot` has it.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use probe_tests::{
    both_legs::{assert_calm, connections, network, start},
    tier::privileged,
};
use serde_json::Value;

/// Bounds how long is watched; the test ends it before.
const LONG: &str = "1m";
const NOTHING_LOST: &str = "Nothing was lost: every TCP segment seen is accounted for.";

#[test]
fn what_was_lost_is_said_as_snapshot_says_it() {
    privileged("explain_live", "what_was_lost_is_said_as_snapshot_says_it", || {
        let network = network();
        let explained = |words: &[&str]| {
            let probe = start(&network, "explain", &[&["--for", LONG], words].concat());
            connections(&network, 3);
            let finished = probe.stop().expect("it ends");
            assert_calm(&finished);
            assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
            finished
        };
        let text = explained(&["server.port = 8080"]).stdout;
        assert!(text.starts_with("Connection ") && text.contains(" FIN "), "{text}");
        let (_, losses) = text.split_once(NOTHING_LOST).unwrap_or_else(|| panic!("no loss statement in {text}"));
        assert!(
            losses.lines().filter(|line| line.contains(" frames, ")).count() == 2,
            "one line per interface: {text}"
        );
        // Standard output is one document; standard error says what is not as it should be, and nothing else.
        let json = explained(&["--format", "json", "server.port = 8080"]);
        let document: Value = serde_json::from_str(&json.stdout).expect("one document");
        assert_eq!(document["schema"], "rstprobe.explanation/1");
        assert!(!json.stderr.contains("was lost"), "{}", json.stderr);
        let nothing = start(&network, "explain", &["--for", LONG, "server.port = 1"]).stop().expect("it ends");
        assert_eq!(nothing.status.code(), Some(2), "{}", nothing.stderr);
        assert!(nothing.stdout.contains("No TCP segment was seen.") || nothing.stdout.contains(NOTHING_LOST));
    });
}

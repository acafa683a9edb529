//! The laboratory as a test: no confident verdict is wrong from anywhere, and where everything is seen every cause is
//! right, or of its group (see [`probe_tests::lab::groups`] for the groups and their reasons).
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use probe_tests::{
    lab::{
        matrix::Run,
        views::{self, View},
    },
    tier::{privileged, say},
};

fn run(view: View) -> Run {
    let directory = tempfile::tempdir().expect("a directory");
    let run = views::run(view, directory.path()).expect("the laboratory runs");
    if let Some(why) = &run.untraced {
        // Only where the kernel has no such tracepoint; everything else would leave --host unproven.
        assert!(why.contains("No such file"), "no word of the kernel: {why}");
        say(&format!("lab {}: no word of the kernel: {why}", view.name()));
    }
    run
}

/// What is said from `view` is sound.
fn sound(view: View) {
    privileged("lab", view.name(), || {
        let mut run = run(view);
        let suspects = run.mistakes();
        if suspects.iter().any(|mistake| mistake.confident || view.is_complete()) {
            // On a busy machine the kernel itself may take another turn than was staged; a wrong rule is wrong again.
            for mistake in &suspects {
                say(&format!("ONCE MORE {}: {}", view.name(), mistake.text));
            }
            run = self::run(view);
        }
        let again = run.mistakes();
        let repeated = again.iter().filter(|mistake| suspects.iter().any(|first| first.is_alike(mistake)));
        let lines = |confident| {
            let some = repeated.clone().filter(|mistake| mistake.confident == confident);
            some.map(|mistake| mistake.text.as_str()).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(lines(true), "", "confident and wrong, {}\n{}", view.name(), run.table());
        assert!(!view.is_complete() || lines(false).is_empty(), "wrong: {}\n{}", lines(false), run.table());
        assert_eq!(run.unlike_kernel(), Vec::<String>::new(), "the probe's kernel.reason is not the tracepoint's");
        let [live, capture] = run.grades();
        say(&format!("lab {}: right, alike, wrong: live {live:?}, capture {capture:?}", view.name()));
    });
}

#[test]
fn both_legs() {
    sound(View::BothLegs);
}

#[test]
fn attached_after_the_opening() {
    sound(View::LateStart);
}

#[test]
fn only_what_the_client_sends() {
    sound(View::ClientLeg);
}

#[test]
fn only_what_the_server_sends() {
    sound(View::ServerLeg);
}

#[test]
fn on_the_server() {
    if views::host_is_there().expect("rstprobe runs") {
        sound(View::Host);
    } else {
        say("SKIP on_the_server: this rstprobe has no --host");
    }
}

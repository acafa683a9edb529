//! The laboratory as a test: no confident verdict is wrong from anywhere, and where everything is seen every cause is
//! right, or of its group (see [`probe_tests::lab::groups`] for the groups and their reasons).
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use probe_tests::{
    lab::views::{self, View},
    tier::{privileged, say},
};

/// One run from `view`.
fn sound(view: View) {
    privileged("lab", view.name(), || {
        let directory = tempfile::tempdir().expect("a directory");
        let run = views::run(view, directory.path()).expect("the laboratory runs");
        if let Some(why) = &run.untraced {
            say(&format!("lab {}: no word of the kernel: {why}", view.name()));
        }
        let mistakes = run.mistakes();
        let lines = |confident| {
            let some = mistakes.iter().filter(|mistake| mistake.confident == confident);
            some.map(|mistake| mistake.text.as_str()).collect::<Vec<_>>().join("\n")
        };
        assert_eq!(lines(true), "", "confident and wrong, {}\n{}", view.name(), run.table());
        assert!(
            !view.is_complete() || mistakes.is_empty(),
            "wrong, {}: {}\n{}",
            view.name(),
            lines(false),
            run.table()
        );
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

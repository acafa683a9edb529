//! The zoo as a test: what real programs do is told rightly from four places. No confident verdict is wrong, and at least
//! 97 in a hundred are right.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]). A program that is not installed is
//! no failure: its situations are skipped, and that is said.

use std::collections::BTreeSet;

use probe_tests::{
    tier::{self, privileged, say},
    zoo::{
        judge::{self, Outcome},
        play,
        report::{self, Account},
        situation::Situation,
        table,
    },
};

/// Fewer situations than so many say nothing.
const LEAST: usize = 20;
/// So many verdicts in a hundred are right without being played again.
const AT_FIRST: usize = 97;

fn run(wanted: impl Fn(&Situation) -> bool) -> Vec<Outcome> {
    let directory = tempfile::tempdir().expect("a directory");
    let situations = table::all().into_iter().enumerate().filter(|(_, situation)| wanted(situation)).collect();
    let played = play::play(situations, directory.path()).expect("the zoo runs");
    judge::judge(&played).expect("captures can be read")
}

#[test]
fn core() {
    let playable = table::all().iter().filter(|situation| situation.core && play::missing(situation).is_none()).count();
    let few = || (playable < LEAST).then(|| format!("only {playable} situations have their programs here"));
    if let Some(why) = play::obstacle().or_else(few) {
        say(&format!("SKIP core: {why}"));
        return;
    }
    privileged("zoo", "core", || {
        let mut outcomes = run(|situation| situation.core);
        for outcome in &outcomes {
            if let Some(why) = &outcome.skipped {
                say(&format!("SKIP zoo {}: {why}", outcome.situation.name));
            }
        }
        let (right, all) = Account::of(&outcomes).right();
        say(&format!("zoo: {right} of {all} verdicts right at first"));
        assert!(right * 100 >= all * AT_FIRST, "too many had to be played again\n{}", report::show(&outcomes, false));
        again(&mut outcomes);
        let counted = outcomes.iter().filter(|outcome| outcome.counts()).count();
        assert!(counted >= LEAST, "hardly anything was staged\n{}", report::show(&outcomes, false));
        assert!(Account::of(&outcomes).is_sound(), "{}", report::show(&outcomes, false));
        let (right, all) = Account::of(&outcomes).right();
        say(&format!("zoo: {counted} situations, {right} of {all} verdicts right"));
    });
}

/// Plays again what was not staged, and what came out wrong: on a busy machine a program may take another turn than the
/// one that is foreseen. It then has to come out right several times in a row.
fn again(outcomes: &mut [Outcome]) {
    let is_suspect = |outcome: &Outcome| {
        outcome.skipped.is_none() && (!outcome.counts() || outcome.judged.iter().any(|judged| !judged.is_right()))
    };
    for outcome in outcomes.iter().filter(|outcome| is_suspect(outcome)) {
        for line in report::lines(std::slice::from_ref(outcome)) {
            say(&format!("ONCE MORE {line}"));
        }
    }
    let suspects = outcomes.iter().filter(|outcome| is_suspect(outcome));
    let mut suspects: BTreeSet<&str> = suspects.map(|outcome| outcome.situation.name).collect();
    for _ in 0..tier::right_in_a_row() {
        if suspects.is_empty() {
            break;
        }
        for again in run(|situation| suspects.contains(situation.name)) {
            // What was not staged twice is not the verdict's fault; how many were is asked for in the end.
            if again.counts() && is_suspect(&again) {
                suspects.remove(again.situation.name);
            }
            if let Some(known) = outcomes.iter_mut().find(|known| known.situation.name == again.situation.name) {
                *known = again;
            }
        }
    }
}

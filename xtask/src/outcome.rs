//! Test outcome: what a run of tests said, counts of libtest, and the two lines by which tests tell what they really did.
//!
//! `SKIP <name>: <reason>`: the test could not do its work here, and says so; libtest counts it as passed, we do not.
//! `RAN <tier> <name>`: the test had the kernel do something. Must not know which tests there are.

/// The counts of one tier.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// Tests that ran and held.
    pub(crate) passed: u64,
    /// Tests that did not hold, and steps that broke.
    pub(crate) failed: u64,
    /// Why tests did not run, one entry for each.
    pub(crate) skipped: Vec<String>,
    /// Tests that said they had the kernel do something.
    pub(crate) ran: u64,
}

impl Outcome {
    /// Reads both streams of a `cargo test`; `success` is how it ended.
    pub(crate) fn read(stdout: &str, stderr: &str, success: bool) -> Self {
        let mut outcome = Self::default();
        for line in stdout.lines().chain(stderr.lines()) {
            // Without capture, libtest leaves `test name ... ` in front of the first thing a test prints on stdout.
            let said = match line.split_once(" ... ") {
                Some((before, said)) if before.starts_with("test ") => said,
                _ => line,
            };
            if let Some(counts) = line.strip_prefix("test result: ") {
                outcome.passed += count(counts, "passed");
                outcome.failed += count(counts, "failed");
                let ignored = count(counts, "ignored");
                outcome.skipped.extend((0..ignored).map(|_| "marked as ignored".to_owned()));
            } else if let Some(why) = said.strip_prefix("SKIP ") {
                outcome.skipped.push(why.trim().to_owned());
            } else if said.starts_with("RAN ") {
                outcome.ran += 1;
            }
        }
        let reported = said_skips(&outcome);
        outcome.passed = outcome.passed.saturating_sub(reported);
        if !success && outcome.failed == 0 {
            // It did not compile, or it died before it could count.
            outcome.failed = 1;
        }
        outcome
    }

    /// Adds another run of the same tier.
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.ran += other.ran;
        self.skipped.extend(other.skipped);
    }
}

fn said_skips(outcome: &Outcome) -> u64 {
    outcome.skipped.iter().filter(|why| *why != "marked as ignored").count() as u64
}

/// The number in front of `what` in `ok. 3 passed; 0 failed; ...`.
fn count(counts: &str, what: &str) -> u64 {
    let number =
        |part: &str| part.trim().strip_suffix(what).and_then(|rest| rest.split_whitespace().last()?.parse().ok());
    counts.split(';').find_map(number).unwrap_or(0)
}

/// The number of tests in the output of `--list --format terse`.
pub(crate) fn listed(stdout: &str) -> u64 {
    stdout.lines().filter(|line| line.ends_with(": test")).count() as u64
}

/// The closing line, which programs read.
pub(crate) fn closing(outcomes: &[&Outcome]) -> String {
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(|outcome| of(outcome)).sum::<u64>();
    let (passed, failed) = (sum(|o| o.passed), sum(|o| o.failed));
    format!("{passed} passed, {failed} failed, {} skipped", sum(|o| o.skipped.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_all_targets_are_added() {
        let stdout = "running 3 tests\ntest result: FAILED. 2 passed; 1 failed; 1 ignored; 0 measured; 4 filtered out; \
                      finished in 0.01s\n\ntest result: ok. 5 passed; 0 failed; 0 ignored; 0 measured\n";
        let outcome = Outcome::read(stdout, "", false);
        assert_eq!((outcome.passed, outcome.failed, outcome.skipped.len()), (7, 1, 1));
    }

    #[test]
    fn a_test_that_skips_has_not_passed() {
        let stdout = "test a ... SKIP a: no veth\nok\ntest b ... ok\ntest result: ok. 3 passed; 0 failed; 0 ignored\n";
        let stderr = "SKIP c: kernel 5.4 has no XDP frags\nRAN live b\n";
        let outcome = Outcome::read(stdout, stderr, true);
        assert_eq!((outcome.passed, outcome.failed, outcome.ran), (1, 0, 1));
        assert_eq!(outcome.skipped, ["a: no veth", "c: kernel 5.4 has no XDP frags"]);
    }

    #[test]
    fn what_does_not_compile_has_failed() {
        assert_eq!(Outcome::read("", "error: could not compile", false).failed, 1);
    }

    #[test]
    fn tests_are_listed() {
        assert_eq!(listed("a::b: test\nbench: benchmark\nc: test\n\n2 tests, 1 benchmark\n"), 2);
    }

    #[test]
    fn the_closing_line_adds_up() {
        let one = Outcome { passed: 2, failed: 1, skipped: vec!["x".into()], ran: 0 };
        let two = Outcome { passed: 3, ..Outcome::default() };
        assert_eq!(closing(&[&one, &two]), "5 passed, 1 failed, 1 skipped");
    }
}

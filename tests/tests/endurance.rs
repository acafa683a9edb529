//! Millions of segments of a million tuples from every CPU at once, the agent stopped for seconds in the middle: the books
//! balance, and what is not kept per flow is in a counter with a name. `cargo xtask soak` does the same for as long as
//! asked for.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::time::Duration;

use probe_tests::{
    endurance::{Enough, Plan},
    mixture::Mixture,
    tier::{privileged, say},
};

#[test]
fn books_balance_although_the_agent_was_stopped() {
    privileged("endurance", "books_balance_although_the_agent_was_stopped", || {
        for (tuples, row) in [(1_000_000, 1), (200_000, 40)] {
            let plan = Plan {
                mixture: Mixture { tuples, row, cpus: usize::MAX },
                enough: Enough::Packets(8_000_000),
                pause: Some(Duration::from_secs(3)),
                words: vec![],
            };
            let outcome = plan.run().expect("a run");
            say(&outcome.report());
            assert_eq!(outcome.wrong(), Vec::<String>::new());
        }
    });
}

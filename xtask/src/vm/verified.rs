//! Instructions that the kernels' verifiers process for each program: accepted counts, and the bound.
//!
//! A program that a verifier processes a million instructions of is refused. The bound leaves room for kernels that are
//! not booted here and that take more for the same program.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::{ebpf, sh, workspace::Workspace};

/// By line of kernels, then by program and variant.
pub(super) type Counts = BTreeMap<String, BTreeMap<String, u64>>;

/// What no program may exceed in any kernel.
const BOUND: u64 = 700_000;
/// Growth that is accepted without a word. More than for the size of the object: of what the same source compiles to, other
/// names of its functions included, one verifier has counted 20 % more than before, and the others nothing.
const GROWTH_PERCENT: u64 = 30;

/// Compares with what the budget file accepts; with `accept` writes there what was counted. Returns what is wrong.
pub(super) fn check(workspace: &Workspace, counts: &Counts, accept: bool) -> Result<Vec<String>> {
    let mut budget = ebpf::read_budget(workspace)?;
    let mut wrong = beyond(counts);
    if accept {
        for (line, programs) in counts {
            budget.verified.entry(line.clone()).or_default().extend(programs.clone());
        }
        ebpf::write_budget(workspace, &budget)?;
    } else {
        let grown = grown(counts, &budget.verified);
        if !grown.is_empty() {
            sh::say("if that growth is meant: `cargo xtask vm --accept`");
        }
        wrong.extend(grown);
    }
    Ok(wrong)
}

fn beyond(counts: &Counts) -> Vec<String> {
    let all = counts.iter().flat_map(|(line, programs)| programs.iter().map(move |(name, count)| (line, name, *count)));
    all.filter(|(.., count)| *count > BOUND)
        .map(|(line, name, count)| format!("{line} {name}: {count} verified instructions, the bound is {BOUND}"))
        .collect()
}

/// Variants that nobody has accepted yet are no failure: only the bound holds for them.
fn grown(counts: &Counts, accepted: &Counts) -> Vec<String> {
    let mut found = Vec::new();
    for (line, programs) in counts {
        for (name, &count) in programs {
            let Some(&before) = accepted.get(line).and_then(|programs| programs.get(name)) else { continue };
            if count * 100 > before * (100 + GROWTH_PERCENT) {
                found.push(format!(
                    "{line} {name}: {count} verified instructions, more than {GROWTH_PERCENT} % above the {before} accepted"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(count: u64) -> Counts {
        [("6.1".to_owned(), [("rstprobe auto".to_owned(), count)].into())].into()
    }

    #[test]
    fn growth_and_the_bound_are_told() {
        assert!(beyond(&counts(700_000)).is_empty());
        assert_eq!(beyond(&counts(700_001)).len(), 1);
        assert!(grown(&counts(130), &counts(100)).is_empty());
        assert_eq!(grown(&counts(131), &counts(100)).len(), 1);
        assert!(grown(&counts(111), &Counts::new()).is_empty());
    }
}

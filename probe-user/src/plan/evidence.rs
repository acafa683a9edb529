//! Evidence options: what `--evidence` and its further options mean.

use std::{path::PathBuf, time::Duration};

use super::PlanError;
use crate::{
    cli::EvidenceArgs,
    filter::{Filter, parse_bytes},
};

/// Where evidence goes, and how much.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EvidencePlan {
    /// Folder or file.
    pub path: PathBuf,
    /// One file, not a folder of them.
    pub is_file: bool,
    /// Disk, bytes.
    pub max_bytes: u64,
    /// Time after which the next file of a folder is begun.
    pub max_age: Duration,
    /// Connections whose packets are kept.
    pub of: Filter,
}

/// Connections whose packets are kept where neither `--evidence-filter` nor `--filter` says which.
const RESETS: &str = "rst.count > 0";

/// Keeps the packets of those connections that are shown, unless others are asked for.
pub(super) fn of_shown(args: &mut EvidenceArgs, filter: Option<&str>) {
    if args.evidence_filter.is_none() {
        args.evidence_filter = filter.map(str::to_owned);
    }
}

pub(super) fn plan(args: EvidenceArgs) -> Result<Option<EvidencePlan>, PlanError> {
    let Some(path) = args.evidence else { return Ok(None) };
    let Some(max_bytes) = parse_bytes(&args.evidence_max).filter(|size| (64 << 10..=1 << 40).contains(size)) else {
        return Err(PlanError::EvidenceMax(args.evidence_max));
    };
    if args.evidence_age < Duration::from_secs(1) {
        return Err(PlanError::EvidenceAge(args.evidence_age));
    }
    let refused = |source| PlanError::Filter { option: "--evidence-filter", source };
    let of = args.evidence_filter.as_deref().unwrap_or(RESETS).parse().map_err(refused)?;
    let is_file = path.extension().is_some_and(|extension| extension == "pcapng");
    Ok(Some(EvidencePlan { path, is_file, max_bytes, max_age: args.evidence_age, of }))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        plan::WatchPlan,
    };

    fn evidence(more: &[&str]) -> Result<EvidencePlan, PlanError> {
        let words = ["rstprobe", "run", "-i", "a", "--evidence"].iter().chain(more);
        let Command::Run(args) = Cli::try_parse_from(words).expect("clap accepts it").command else {
            unreachable!("asked for")
        };
        WatchPlan::try_from(args).map(|plan| plan.live.evidence.expect("asked for"))
    }

    #[test]
    fn evidence_is_a_file_or_a_folder() {
        let folder = evidence(&["/tmp/x", "--evidence-max", "1G"]).expect("valid");
        assert_eq!((folder.is_file, folder.max_bytes), (false, 1 << 30));
        assert_eq!(folder.of.to_string(), "rst.count > 0");
        assert!(evidence(&["x.pcapng"]).expect("valid").is_file);
    }

    #[test]
    fn packets_are_those_of_what_is_shown_unless_others_are_asked_for() {
        let of = |more: &[&str]| evidence(more).expect("valid").of.to_string();
        assert_eq!(of(&["d", "--filter", "client = 10.0.0.1"]), "client.ip = 10.0.0.1");
        assert_eq!(of(&["d", "--filter", "ct.count = 1", "--evidence-filter", "fin.count > 0"]), "fin.count > 0");
        let error = evidence(&["d", "--filter", "rst"]).expect_err("refused").to_string();
        assert!(error.starts_with("--filter: "), "named as it was typed: {error}");
    }

    #[test]
    fn impossible_values_name_the_option() {
        let message = |more: &[&str]| evidence(more).expect_err("must be refused").to_string();
        assert!(message(&["d", "--evidence-max", "12X"]).contains("256M"));
        assert!(message(&["d", "--evidence-max", "9999999999G"]).contains("1024G"));
        assert!(message(&["d", "--evidence-age", "1ms"]).starts_with("--evidence-age 1ms"));
        assert!(message(&["d", "--evidence-filter", "rst"]).starts_with("--evidence-filter: unknown field `rst`"));
    }
}

//! Plans of command lines: defaults, impossible values, filters.

use clap::Parser as _;

use super::*;
use crate::cli::{Cli, Command};

fn plan(line: &str) -> Result<WatchPlan, PlanError> {
    let cli = Cli::try_parse_from(line.split(' ')).expect("clap accepts it");
    match cli.command {
        Command::Snapshot(args) => args.try_into(),
        Command::Run(args) => args.try_into(),
        Command::Read(_)
        | Command::Doctor(_)
        | Command::Detach(_)
        | Command::Fields(_)
        | Command::Explain(_)
        | Command::ExplainLive(_)
        | Command::Help(_)
        | Command::Report(_)
        | Command::Show => {
            unreachable!("not asked for")
        }
    }
}

#[test]
fn defaults_are_native_auto_pass() {
    let plan = plan("rstprobe snapshot -i a -i b").expect("valid");
    assert_eq!(plan.live.interfaces, ["a", "b"]);
    assert_eq!(plan.live.mode, Mode::Native);
    assert_eq!(plan.live.engine.depth, Depth::Auto);
    assert_eq!(plan.live.drain, None);
    assert_eq!(plan.live.engine.action, Action::Pass);
    assert_eq!(plan.duration, Some(Duration::from_secs(10)));
    assert!(!plan.view.follow && !plan.live.promiscuous);
}

#[test]
fn impossible_values_name_the_flag() {
    let message = |line: &str| plan(line).expect_err("must be refused").to_string();
    assert!(message("rstprobe snapshot -i a --slots 1000").starts_with("--slots 1000"));
    assert!(message("rstprobe snapshot -i a --log 0").starts_with("--log 0"));
    assert!(message("rstprobe snapshot -i a --drain 1h").starts_with("--drain 1h"));
    assert!(message("rstprobe snapshot -i a --for 0s").starts_with("--for 0s"));
    assert!(message("rstprobe run -i a --umem 100").starts_with("--umem 100"));
    assert!(message("rstprobe run -i a --host --datapath afxdp").contains("exclude each other"));
    assert!(message("rstprobe run -i a --max-connections 0").starts_with("--max-connections"));
    assert!(message("rstprobe run -i a -i a").starts_with("-i a: named twice"));
}

#[test]
fn a_filter_is_read_before_anything_is_opened() {
    let line = |filter: &str| ["rstprobe", "snapshot", "-i", "a", "--filter", filter].map(str::to_owned);
    let plan = |filter: &str| {
        let cli = Cli::try_parse_from(line(filter)).expect("clap accepts it");
        let Command::Snapshot(args) = cli.command else { unreachable!("asked for") };
        WatchPlan::try_from(args)
    };
    let kept = plan("rst.count>0").expect("valid").view.filter.expect("asked for");
    assert_eq!(kept.to_string(), "rst.count > 0");
    let error = plan("ct.count = 0 and rst.cuont > 0").expect_err("unknown").to_string();
    assert!(error.starts_with("--filter: unknown field `rst.cuont`; did you mean `rst.count`?\n"), "{error}");
}

#[test]
fn run_follows_unless_one_document_is_wanted() {
    assert!(plan("rstprobe run -i a").expect("valid").view.follow);
    assert!(!plan("rstprobe run -i a --format json").expect("valid").view.follow);
    assert_eq!(plan("rstprobe run -i a").expect("valid").duration, None);
}

#[test]
fn tables_have_fifty_groups_and_what_programs_read_has_all() {
    let limit = |line: &str| plan(line).expect("valid").view.query.expect("asked for").limit;
    assert_eq!(limit("rstprobe snapshot -i a --by client"), 50);
    assert_eq!(limit("rstprobe snapshot -i a --by client --all"), 0);
    for format in ["csv", "json", "ndjson"] {
        assert_eq!(limit(&format!("rstprobe snapshot -i a --by client --format {format}")), 0, "{format}");
        assert_eq!(limit(&format!("rstprobe snapshot -i a --by client --format {format} --limit 7")), 7, "{format}");
    }
}

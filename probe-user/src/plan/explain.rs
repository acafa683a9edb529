//! Explain options: which connection, of what source, and how it is printed.

use std::{path::PathBuf, time::Duration};

use super::{CapturePlan, LivePlan, PlanError};
use crate::{
    cli::{ExplainArgs, ExplainFormatArg, ExplainLiveArgs},
    filter::{Filter, FilterError},
};

/// Which connection is meant.
#[derive(Clone, Debug)]
pub enum Which {
    /// By its number.
    Id(u64),
    /// The one that lost most of those that meet a condition, or of all; then the first with RST, then the first.
    Meets(Option<Filter>),
}

/// How an explanation is printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ExplainFormat {
    /// For people.
    Table,
    /// One document.
    Json,
    /// One page.
    Html,
}

/// `rstprobe explain` of a connection of captures.
#[derive(Clone, Debug)]
pub struct ExplainPlan {
    /// Captures, in order.
    pub files: Vec<PathBuf>,
    /// What is seen of them.
    pub capture: CapturePlan,
    /// File of zones and services; `None` for the usual one, if it is there.
    pub zones: Option<PathBuf>,
    /// Which connection.
    pub which: Which,
    /// How it is printed.
    pub format: ExplainFormat,
}

/// `rstprobe explain` of a connection on interfaces.
#[derive(Clone, Debug)]
pub struct ExplainLivePlan {
    /// How to watch.
    pub live: LivePlan,
    /// How long.
    pub duration: Duration,
    /// File of zones and services; `None` for the usual one, if it is there.
    pub zones: Option<PathBuf>,
    /// Which connection.
    pub which: Which,
    /// How it is printed.
    pub format: ExplainFormat,
}

impl TryFrom<ExplainArgs> for ExplainPlan {
    type Error = PlanError;

    fn try_from(args: ExplainArgs) -> Result<Self, PlanError> {
        super::refuse_stdin_twice(&args.read)?;
        Ok(Self {
            files: args.read,
            capture: args.capture.try_into()?,
            zones: args.zones.file,
            which: which(args.id.as_deref())?,
            format: format(args.format, args.json),
        })
    }
}

impl TryFrom<ExplainLiveArgs> for ExplainLivePlan {
    type Error = PlanError;

    fn try_from(args: ExplainLiveArgs) -> Result<Self, PlanError> {
        let which = which(args.id.as_deref())?;
        let mut live = LivePlan::try_from(args.live)?;
        live.keeps_segments = true;
        let (duration, format) = (super::window(args.duration)?, format(args.format, args.json));
        Ok(Self { live, duration, zones: args.zones.file, which, format })
    }
}

fn which(text: Option<&str>) -> Result<Which, PlanError> {
    let Some(text) = text else { return Ok(Which::Meets(None)) };
    if let Ok(id) = text.parse() {
        return Ok(Which::Id(id));
    }
    let refused = |source| PlanError::Filter { option: "explain", source };
    Ok(Which::Meets(Some(condition(text).map_err(refused)?)))
}

/// A filter; the name of a cause, or of a state of Zeek's, stands for the connections that have it.
fn condition(text: &str) -> Result<Filter, FilterError> {
    let filter = text.parse();
    let is_name = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    if filter.is_ok() || !is_name {
        return filter;
    }
    let named = ["cause", "conn_state"].iter().find_map(|field| format!("{field} = {text}").parse().ok());
    named.map_or(filter, Ok)
}

fn format(format: ExplainFormatArg, json: bool) -> ExplainFormat {
    match format {
        _ if json => ExplainFormat::Json,
        ExplainFormatArg::Table => ExplainFormat::Table,
        ExplainFormatArg::Json => ExplainFormat::Json,
        ExplainFormatArg::Html => ExplainFormat::Html,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::cli::{Cli, Command};

    fn plan(line: &str) -> Result<ExplainPlan, PlanError> {
        let Command::Explain(args) = Cli::try_parse_from(line.split(' ')).expect("clap accepts it").command else {
            unreachable!("asked for")
        };
        args.try_into()
    }

    #[test]
    fn a_number_is_an_id_and_everything_else_a_condition() {
        assert!(matches!(plan("rstprobe explain -r a 7").expect("valid").which, Which::Id(7)));
        assert!(matches!(plan("rstprobe explain -r a rst.count>0").expect("valid").which, Which::Meets(Some(_))));
        assert!(matches!(plan("rstprobe explain -r a").expect("valid").which, Which::Meets(None)));
        for name in ["app_abort", "RSTO"] {
            let named = plan(&format!("rstprobe explain -r a {name}")).expect("valid").which;
            assert!(matches!(named, Which::Meets(Some(_))), "{name}");
        }
        let error = plan("rstprobe explain -r a app_abrot").expect_err("unknown").to_string();
        assert!(error.contains("app_abrot"), "{error}");
        let error = plan("rstprobe explain -r a rst.cuont>0").expect_err("unknown").to_string();
        assert!(error.starts_with("explain: unknown field `rst.cuont`"), "{error}");
        assert_eq!(plan("rstprobe explain -r - -r -").expect_err("refused"), PlanError::StdinTwice);
    }

    #[test]
    fn captures_are_seen_as_read_sees_them() {
        let plan = plan("rstprobe explain -r a --vxlan-port 10800 --no-checksums --timers linger=1s 1").expect("valid");
        assert_eq!((plan.capture.vxlan_ports, plan.capture.verify_checksums), (vec![10800], false));
        assert_eq!(plan.capture.timers.linger, 1_000_000_000);
        assert_eq!(plan.capture.words, ["--no-checksums", "--vxlan-port=10800", "--timers=linger=1s"]);
        assert_eq!(plan.format, ExplainFormat::Table);
    }
}

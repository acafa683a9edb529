//! Plans: what the command line means, validated, that the rest of the program can follow without asking again.

mod encapsulation;
mod error;
mod evidence;
mod page;
mod timers;

use std::{path::PathBuf, time::Duration};

pub use error::PlanError;
pub use evidence::EvidencePlan;
pub use page::{PagePlan, capture_name};
use probe_ebpf::tunnel::Encapsulations;

use crate::{
    cli::{
        ActionArg, DatapathArg, DepthArg, DetachArgs, DoctorArgs, EgressArg, FormatArg, LiveArgs, ModeArg, QueryArgs,
        ReadArgs, RunArgs, SnapshotArgs,
    },
    filter::Filter,
    query::Query,
    source::{
        Domain,
        live::{
            attach::Mode,
            egress::EgressHook,
            engine::{Action, Depth, EngineConfig},
        },
    },
    tracker::Timers,
};

/// Whether what this host sends is seen as well.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HostView {
    /// Yes, or it is an error.
    Both,
    /// No.
    Incoming,
    /// Where the interface has addresses of this host.
    ByAddresses,
}

/// How segments come to the agent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DataPath {
    /// Counted in the kernel.
    Count,
    /// Frames through AF_XDP sockets.
    AfXdp {
        /// Also where the host's own traffic stops.
        force: bool,
    },
}

/// How to watch interfaces.
#[derive(Clone, Debug)]
pub struct LivePlan {
    /// Interfaces.
    pub interfaces: Vec<String>,
    /// Where the program runs.
    pub mode: Mode,
    /// How segments come to the agent.
    pub datapath: DataPath,
    /// UMEM frames per receive queue, a power of two.
    pub umem_frames: u32,
    /// Packets behind the verdicts.
    pub evidence: Option<EvidencePlan>,
    /// Enter promiscuous mode.
    pub promiscuous: bool,
    /// Also see what this host sends, and why its kernel resets.
    pub host: HostView,
    /// How what the host sends is seen.
    pub egress: EgressHook,
    /// How the program is loaded.
    pub engine: EngineConfig,
    /// Drain interval when the table is not filling up; `None` adapts it.
    pub drain: Option<Duration>,
    /// New flows of one service, per second and CPU, that are followed from their first segment on; 0 for all.
    pub flood_at: u32,
    /// Bound of the tracker.
    pub max_connections: usize,
}

/// What to print.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Format {
    /// For people.
    Table,
    /// One document.
    Json,
    /// One object per line.
    Ndjson,
    /// Comma-separated values, of groups.
    Csv,
    /// Zeek's conn.log, tab-separated.
    Zeek,
    /// Zeek's conn.log, JSON lines.
    ZeekJson,
}

/// What is shown of connections.
#[derive(Clone, Debug)]
pub struct ViewPlan {
    /// What to print.
    pub format: Format,
    /// Rows per table, 0 for all.
    pub rows: usize,
    /// Where else to write the snapshot as JSON.
    pub json_out: Option<PathBuf>,
    /// Which connections are shown and counted; `None` for all.
    pub filter: Option<Filter>,
    /// Groups to print instead of connections.
    pub query: Option<Query>,
    /// A page to write instead of printing.
    pub page: Option<PagePlan>,
    /// Print connections as they end, not all at the end.
    pub follow: bool,
    /// What is printed is final: what may be judged otherwise once all connections are known waits until then (captures).
    pub is_final: bool,
}

impl ViewPlan {
    /// Whether what verdicts rest on is shown anywhere.
    pub fn shows_facts(&self) -> bool {
        self.json_out.is_some() || self.page.is_some() || matches!(self.format, Format::Json | Format::Ndjson)
    }
}

/// `rstprobe read`.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    /// Captures, in order.
    pub files: Vec<PathBuf>,
    /// Verify IPv4 and TCP checksums.
    pub verify_checksums: bool,
    /// What is looked into, and how deep.
    pub encapsulations: Encapsulations,
    /// Ports of VXLAN besides its own.
    pub vxlan_ports: Vec<u16>,
    /// Which id is part of the key.
    pub domain: Domain,
    /// Timeouts.
    pub timers: Timers,
    /// Bound of the tracker.
    pub max_connections: usize,
    /// Packets behind the verdicts.
    pub evidence: Option<EvidencePlan>,
    /// What to print.
    pub view: ViewPlan,
}

/// `rstprobe snapshot` and `rstprobe run`.
#[derive(Clone, Debug)]
pub struct WatchPlan {
    /// How to watch.
    pub live: LivePlan,
    /// How long; `None` until interrupted.
    pub duration: Option<Duration>,
    /// What to print; `run` follows, `snapshot` does not.
    pub view: ViewPlan,
}

/// `rstprobe doctor`.
#[derive(Clone, Debug)]
pub struct DoctorPlan {
    /// Interfaces; empty for all.
    pub interfaces: Vec<String>,
    /// Attach to them and detach at once.
    pub attempt: bool,
}

/// `rstprobe detach`.
#[derive(Clone, Debug)]
pub struct DetachPlan {
    /// Interfaces; empty for all.
    pub interfaces: Vec<String>,
}

impl From<DetachArgs> for DetachPlan {
    fn from(args: DetachArgs) -> Self {
        Self { interfaces: args.interface }
    }
}

/// Sets of remembered openings per CPU, of 30 each: at a million SYNs per second the last 120 milliseconds.
const OPENING_SETS: u32 = 1 << 12;

const MAX_WINDOW: Duration = Duration::from_hours(365 * 24);

fn window(duration: Duration) -> Result<Duration, PlanError> {
    if duration < Duration::from_millis(1) || duration > MAX_WINDOW {
        return Err(PlanError::Window(duration));
    }
    Ok(duration)
}

/// Values that clap cannot refuse by themselves.
fn check_ranges(args: &LiveArgs) -> Result<(), PlanError> {
    if !args.slots.is_power_of_two() || !(64..=1 << 20).contains(&args.slots) {
        return Err(PlanError::Slots(args.slots));
    }
    if !(1..=1 << 24).contains(&args.log) {
        return Err(PlanError::Log(args.log));
    }
    if let Some(drain) = args.drain
        && (drain < Duration::from_millis(1) || drain > Duration::from_secs(10))
    {
        return Err(PlanError::Drain(drain));
    }
    if args.max_connections == 0 {
        return Err(PlanError::NoConnections);
    }
    if !args.path.umem.is_power_of_two() || !(64..=1 << 20).contains(&args.path.umem) {
        return Err(PlanError::Umem(args.path.umem));
    }
    if args.host && args.path.datapath == DatapathArg::Afxdp {
        return Err(PlanError::HostOverSockets);
    }
    for (at, name) in args.interface.iter().enumerate() {
        if args.interface[..at].contains(name) {
            return Err(PlanError::Twice(name.clone()));
        }
    }
    Ok(())
}

/// How the program is to be loaded, as far as the command line says it.
fn engine_config(args: &LiveArgs) -> Result<EngineConfig, PlanError> {
    let (encapsulations, domain) = encapsulation::live(&args.encapsulation)?;
    Ok(EngineConfig {
        depth: match args.depth {
            DepthArg::Full => Depth::Full,
            DepthArg::Control => Depth::Control,
            DepthArg::Auto => Depth::Auto,
        },
        action: match args.action {
            ActionArg::Pass => Action::Pass,
            ActionArg::Drop => Action::Drop,
        },
        slots_per_cpu: args.slots,
        log_per_cpu: args.log,
        domain,
        encapsulations,
        frags: args.single_buffer.then_some(false),
        #[cfg(feature = "trace")]
        trace: args.trace,
        opening_sets: if args.flood_at == 0 { 0 } else { OPENING_SETS },
        ..EngineConfig::default()
    })
}

impl TryFrom<LiveArgs> for LivePlan {
    type Error = PlanError;

    fn try_from(args: LiveArgs) -> Result<Self, PlanError> {
        check_ranges(&args)?;
        let engine = engine_config(&args)?;
        Ok(Self {
            interfaces: args.interface,
            mode: match args.mode {
                ModeArg::Native => Mode::Native,
                ModeArg::Generic => Mode::Generic,
            },
            datapath: match args.path.datapath {
                DatapathArg::Count => DataPath::Count,
                DatapathArg::Afxdp => DataPath::AfXdp { force: args.path.force },
            },
            umem_frames: args.path.umem,
            evidence: evidence::plan(args.evidence)?,
            promiscuous: args.promisc,
            host: match (args.host, args.no_host || args.promisc) {
                (true, _) => HostView::Both,
                (false, true) => HostView::Incoming,
                (false, false) => HostView::ByAddresses,
            },
            egress: match args.egress {
                EgressArg::Auto => EgressHook::Auto,
                EgressArg::Tcx => EgressHook::Tcx,
                EgressArg::Clsact => EgressHook::Clsact,
            },
            engine,
            drain: args.drain,
            flood_at: args.flood_at,
            max_connections: args.max_connections,
        })
    }
}

impl From<FormatArg> for Format {
    fn from(format: FormatArg) -> Self {
        match format {
            FormatArg::Table => Self::Table,
            FormatArg::Json => Self::Json,
            FormatArg::Ndjson => Self::Ndjson,
            FormatArg::Csv => Self::Csv,
            FormatArg::Zeek => Self::Zeek,
            FormatArg::ZeekJson => Self::ZeekJson,
        }
    }
}

impl TryFrom<SnapshotArgs> for WatchPlan {
    type Error = PlanError;

    fn try_from(mut args: SnapshotArgs) -> Result<Self, PlanError> {
        if args.json {
            args.format = FormatArg::Json;
        }
        Ok(Self {
            duration: Some(window(args.duration)?),
            live: args.live.try_into()?,
            view: ViewPlan {
                filter: filter(args.filter)?,
                query: query(&args.query, args.format)?,
                page: args.page.output.map(|path| PagePlan::new(path, &[])),
                ..view(args.format, args.top, args.json_out, false)
            },
        })
    }
}

impl TryFrom<RunArgs> for WatchPlan {
    type Error = PlanError;

    fn try_from(mut args: RunArgs) -> Result<Self, PlanError> {
        if args.json {
            args.format = FormatArg::Ndjson;
        }
        Ok(Self {
            duration: args.duration.map(window).transpose()?,
            live: args.live.try_into()?,
            view: ViewPlan {
                filter: filter(args.filter)?,
                query: query(&QueryArgs::default(), args.format)?,
                ..view(args.format, 20, None, args.format != FormatArg::Json)
            },
        })
    }
}

/// Zeek's formats have no summary to wait for: they are always streamed.
fn view(format: FormatArg, rows: usize, json_out: Option<PathBuf>, follow: bool) -> ViewPlan {
    let streamed = matches!(format, FormatArg::Zeek | FormatArg::ZeekJson) && json_out.is_none();
    ViewPlan {
        format: format.into(),
        rows,
        json_out,
        filter: None,
        query: None,
        page: None,
        follow: follow || streamed,
        is_final: false,
    }
}

fn filter(expression: Option<String>) -> Result<Option<Filter>, PlanError> {
    let refused = |source| PlanError::Filter { option: "--filter", source };
    expression.map(|expression| expression.parse().map_err(refused)).transpose()
}

fn query(args: &QueryArgs, format: FormatArg) -> Result<Option<Query>, PlanError> {
    let refused = |format, why| Err(PlanError::Format { format, why });
    match (&args.by, format) {
        (None, FormatArg::Csv) => return refused("csv", "groups only; name what to group by (--by)"),
        (Some(_), FormatArg::Zeek | FormatArg::ZeekJson) => {
            return refused("zeek", "connections only; groups (--by) are table, json, ndjson or csv");
        }
        _ => {}
    }
    let Some(by) = &args.by else { return Ok(None) };
    let query = Query::read(by, args.having.as_deref(), args.sort.as_deref(), args.limit, &args.columns)?;
    Ok(Some(query))
}

impl TryFrom<ReadArgs> for ReadPlan {
    type Error = PlanError;

    fn try_from(mut args: ReadArgs) -> Result<Self, PlanError> {
        if args.json {
            args.format = FormatArg::Json;
        }
        if args.max_connections == 0 {
            return Err(PlanError::NoConnections);
        }
        if args.file.iter().filter(|file| file.as_os_str() == "-").count() > 1 {
            return Err(PlanError::StdinTwice);
        }
        let (encapsulations, domain) = encapsulation::of_captures(&args.encapsulation)?;
        let query = query(&args.query, args.format)?;
        let follow = args.format == FormatArg::Ndjson && args.json_out.is_none() && query.is_none();
        let page = args.page.output.map(|path| PagePlan::new(path, &args.file));
        Ok(Self {
            files: args.file,
            verify_checksums: !args.no_checksums,
            encapsulations,
            vxlan_ports: args.encapsulation.vxlan_port,
            domain,
            timers: timers::timers(&args.timers)?,
            max_connections: args.max_connections,
            evidence: evidence::plan(args.evidence)?,
            view: ViewPlan {
                filter: filter(args.filter)?,
                query,
                page,
                is_final: true,
                ..view(args.format, args.top, args.json_out, follow)
            },
        })
    }
}

impl From<DoctorArgs> for DoctorPlan {
    fn from(args: DoctorArgs) -> Self {
        Self { interfaces: args.interface, attempt: args.attempt }
    }
}

#[cfg(test)]
mod tests {
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
            | Command::Filter
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
}

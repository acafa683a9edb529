//! Plans: what the command line means, validated, that the rest of the program can follow without asking again.

mod capture;
mod encapsulation;
mod error;
mod evidence;
mod explain;
mod page;
mod period;
mod timers;
mod view;

use std::{
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

pub use capture::CapturePlan;
pub use error::PlanError;
pub use evidence::EvidencePlan;
pub use explain::{ExplainFormat, ExplainLivePlan, ExplainPlan, Which};
pub use page::{PagePlan, capture_name};
pub use period::{Period, TimePoint};
pub use view::{Compression, Format, ViewPlan};
use view::{compression, filter, query, rows, view};

use crate::{
    cli::{
        ActionArg, DatapathArg, DepthArg, DetachArgs, DoctorArgs, EgressArg, FormatArg, LiveArgs, ModeArg, QueryArgs,
        ReadArgs, RunArgs, SnapshotArgs,
    },
    source::live::{
        attach::Mode,
        egress::EgressHook,
        engine::{Action, Depth, EngineConfig},
    },
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
    AfXdp,
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
    /// Also where this host's own traffic stops.
    pub force: bool,
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
    /// Keep the segments of each connection until it ends.
    pub keeps_segments: bool,
}

/// `rstprobe read`.
#[derive(Clone, Debug)]
pub struct ReadPlan {
    /// Captures, in order.
    pub files: Vec<PathBuf>,
    /// What is seen of them.
    pub capture: CapturePlan,
    /// Threads to read with: 1, or more for one each that decodes, tracks and prints; 0 for 1 where there is one processor.
    pub threads: usize,
    /// Packets behind the verdicts.
    pub evidence: Option<EvidencePlan>,
    /// File of zones and services; `None` for the usual one, if it is there.
    pub zones: Option<PathBuf>,
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
    /// File of zones and services; `None` for the usual one, if it is there.
    pub zones: Option<PathBuf>,
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
                DatapathArg::Afxdp => DataPath::AfXdp,
            },
            force: args.path.force,
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
            keeps_segments: false,
        })
    }
}

impl TryFrom<SnapshotArgs> for WatchPlan {
    type Error = PlanError;

    fn try_from(mut args: SnapshotArgs) -> Result<Self, PlanError> {
        if args.json {
            args.format = FormatArg::Json;
        }
        evidence::of_shown(&mut args.live.evidence, args.filter.as_deref());
        let page = args.page.output.map(|path| PagePlan::new(path, &[]));
        Ok(Self {
            duration: Some(window(args.duration)?),
            view: ViewPlan {
                filter: filter(args.filter)?,
                query: query(&args.query, args.rows.all, args.format)?,
                compression: compression(&args.compress, page.as_ref())?,
                page,
                ..view(args.format, rows(&args.rows), args.json_out, false)
            },
            live: args.live.try_into()?,
            zones: args.zones.file,
        })
    }
}

impl TryFrom<RunArgs> for WatchPlan {
    type Error = PlanError;

    fn try_from(mut args: RunArgs) -> Result<Self, PlanError> {
        if args.json {
            args.format = FormatArg::Ndjson;
        }
        evidence::of_shown(&mut args.live.evidence, args.filter.as_deref());
        Ok(Self {
            duration: args.duration.map(window).transpose()?,
            view: ViewPlan {
                filter: filter(args.filter)?,
                query: query(&QueryArgs::default(), false, args.format)?,
                compression: compression(&args.compress, None)?,
                ..view(args.format, 20, None, args.format != FormatArg::Json)
            },
            live: args.live.try_into()?,
            zones: args.zones.file,
        })
    }
}

impl TryFrom<ReadArgs> for ReadPlan {
    type Error = PlanError;

    fn try_from(mut args: ReadArgs) -> Result<Self, PlanError> {
        if args.json {
            args.format = FormatArg::Json;
        }
        refuse_stdin_twice(&args.file)?;
        let query = query(&args.query, args.rows.all, args.format)?;
        let follow = args.format == FormatArg::Ndjson && args.json_out.is_none() && query.is_none();
        let page = args.page.output.map(|path| PagePlan::new(path, &args.file));
        evidence::of_shown(&mut args.evidence, args.filter.as_deref());
        let filter = filter(args.filter)?;
        Ok(Self {
            files: args.file,
            threads: args.threads.map_or(0, NonZeroUsize::get),
            capture: args.capture.try_into()?,
            evidence: evidence::plan(args.evidence)?,
            zones: args.zones.file,
            view: ViewPlan {
                filter,
                query,
                period: Period::read(args.period.since.as_deref(), args.period.until.as_deref())?,
                compression: compression(&args.compress, page.as_ref())?,
                page,
                is_final: true,
                ..view(args.format, rows(&args.rows), args.json_out, follow)
            },
        })
    }
}

fn refuse_stdin_twice(files: &[PathBuf]) -> Result<(), PlanError> {
    let is_stdin = |file: &&PathBuf| file.as_path() == Path::new("-");
    if files.iter().filter(is_stdin).count() > 1 { Err(PlanError::StdinTwice) } else { Ok(()) }
}

impl From<DoctorArgs> for DoctorPlan {
    fn from(args: DoctorArgs) -> Self {
        Self { interfaces: args.interface, attempt: args.attempt }
    }
}

#[cfg(test)]
mod tests;

//! The command line: definitions and help. Says what was typed; what it means is decided in [`crate::plan`].

mod capture;
mod compress;
mod explain;
mod fields;
pub mod help;
pub mod report;
mod sandbox;
pub mod show;
mod texts;
pub mod wrong_source;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use capture::CaptureArgs;
pub use compress::{CompressArg, CompressArgs};
pub use explain::{ExplainArgs, ExplainFormatArg, ExplainLiveArgs};
pub use fields::{FieldsArgs, FieldsFormatArg};
pub use report::{PageArgs, ReportArgs};
pub use sandbox::SandboxArg;
use texts::{DETACH, EXAMPLES, EXIT_CODES, READ, RUN, SNAPSHOT};

/// Exit codes, as documented in `--help` and the README.
pub mod exit {
    /// It ran.
    pub const OK: u8 = 0;
    /// It failed while running; what was measured has been printed.
    pub const FAILED: u8 = 1;
    /// The command line is wrong, or names an interface or file that is not there.
    pub const USAGE: u8 = 2;
    /// Privileges are missing.
    pub const PRIVILEGE: u8 = 4;
    /// Kernel, driver or interface cannot do it as asked.
    pub const UNABLE: u8 = 5;
}

/// A time as it is typed.
///
/// # Errors
/// What would be one.
fn duration(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text)
        .map_err(|_| "no time; write a number and a unit, as in 500ms, 10s, 2m or 1h30m".to_owned())
}

/// How did this TCP connection end, who ended it, and why?
#[derive(Parser, Debug)]
#[command(name = "rstprobe", version, about, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"), disable_help_subcommand = true)]
pub struct Cli {
    /// Colours: on a terminal without NO_COLOR, always, or never
    #[arg(long, global = true, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN", hide_short_help = true)]
    pub color: ColorArg,
    /// Leave out no column of a table, however narrow the terminal
    #[arg(long, global = true, hide_short_help = true)]
    pub wide: bool,
    /// Confinement while data is read: what this kernel has, all of it or an error, or none (`rstprobe help sandbox`)
    #[arg(long, global = true, value_enum, default_value_t = SandboxArg::Auto, value_name = "HOW", hide_short_help = true)]
    pub sandbox: SandboxArg,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What can be done.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Watch interfaces for a while, then say how every connection opened and ended
    Snapshot(SnapshotArgs),
    /// Watch interfaces until interrupted, printing each connection as it ends
    Run(RunArgs),
    /// Read capture files (pcap, pcapng, snoop, ERF; gzip, zstd): the same answers from a file
    Read(ReadArgs),
    /// The same of either source: `show -r FILE...` is read, `show -i IFACE` is snapshot, with their options
    Show,
    /// Write a page (HTML, one file, no network) about everything: findings, charts over time, tables, causes
    Report(ReportArgs),
    /// Say what this host and these interfaces can do, and what would be used
    Doctor(DoctorArgs),
    /// Remove what a killed rstprobe has left on interfaces
    Detach(DetachArgs),
    /// List every field of a connection: its name in filters, its key in JSON, type, unit and meaning
    Fields(FieldsArgs),
    /// Say what a cause or a finding means, how it looks and what to check next; without an id, list them
    Explain(ExplainArgs),
    /// Explain a topic: filter, query, zones, evidence, output, capture, confidence, limits, sandbox, live; or the options of a command
    Help(HelpArgs),
    /// The same of interfaces: `explain -i IFACE` is turned into it
    #[command(hide = true, override_usage = "rstprobe explain -i <IFACE> [OPTIONS] [EXPR]")]
    ExplainLive(ExplainLiveArgs),
}

/// Options of everything that attaches to interfaces.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct LiveArgs {
    /// Interface to watch; several make one view (the two legs of a TAP)
    #[arg(short, long = "interface", value_name = "IFACE", required = true)]
    pub interface: Vec<String>,
    /// In the driver, or (slower, with any driver) in the network stack
    #[arg(long, value_enum, default_value_t = ModeArg::Native)]
    pub mode: ModeArg,
    /// What becomes of frames: drop only on dedicated mirror ports
    #[arg(long, value_enum, default_value_t = ActionArg::Pass)]
    pub action: ActionArg,
    /// Every segment, only SYN, FIN and RST, or all until a table fills
    #[arg(long, value_enum, default_value_t = DepthArg::Auto)]
    pub depth: DepthArg,
    /// How segments come to the agent.
    #[command(flatten)]
    pub path: PathArgs,
    /// Packets behind the verdicts.
    #[command(flatten)]
    pub evidence: EvidenceArgs,
    /// Also what this host sends; the default on its own interfaces
    #[arg(long, conflicts_with_all = ["promisc"])]
    pub host: bool,
    /// Only what comes in: half of each connection of this host
    #[arg(long, conflicts_with = "host")]
    pub no_host: bool,
    /// How --host sees what is sent: tcx (Linux 6.6) or clsact
    #[arg(long, value_enum, default_value_t = EgressArg::Auto, conflicts_with = "no_host", hide_short_help = true)]
    pub egress: EgressArg,
    /// Enter promiscuous mode while watching (mirror ports)
    #[arg(long)]
    pub promisc: bool,
    /// What is looked into, and what tells connections apart besides addresses and ports.
    #[command(flatten)]
    pub encapsulation: EncapsulationArgs,
    /// Load the program for single-buffer frames
    #[arg(long, hide_short_help = true)]
    pub single_buffer: bool,
    /// Drain the kernel table this often (1ms to 10s), not as it fills
    #[arg(long, value_name = "TIME", value_parser = duration, hide_short_help = true)]
    pub drain: Option<std::time::Duration>,
    /// New flows of a service per second and CPU that are followed; 0: all
    #[arg(long, value_name = "N", default_value_t = 10_000, hide_short_help = true)]
    pub flood_at: u32,
    /// Flows per CPU and drain interval that fit (a power of two)
    #[arg(long, value_name = "N", default_value_t = 16384, hide_short_help = true)]
    pub slots: u32,
    /// Segments per CPU and drain interval that the overflow log holds
    #[arg(long, value_name = "N", default_value_t = 8192, hide_short_help = true)]
    pub log: u32,
    /// Connections tracked at once
    #[arg(long, value_name = "N", default_value_t = 1_000_000, hide_short_help = true)]
    pub max_connections: usize,
    /// Say on standard error which frames are rejected or find no room: reason, length, CPU; the first of each reason per
    /// CPU and drain interval
    #[cfg(feature = "trace")]
    #[arg(long)]
    pub trace: bool,
}

/// Options about the way of segments to the agent.
#[derive(Args, Debug)]
pub struct PathArgs {
    /// Count in the kernel, or take frames through AF_XDP (mirror ports)
    #[arg(long, value_enum, default_value_t = DatapathArg::Count, hide_short_help = true)]
    pub datapath: DatapathArg,
    /// UMEM frames per receive queue for --datapath afxdp
    #[arg(long, value_name = "FRAMES", default_value_t = 4096, hide_short_help = true)]
    pub umem: u32,
    /// --datapath afxdp or --action drop also where this host's own traffic then stops
    #[arg(long, hide_short_help = true)]
    pub force: bool,
}

/// Options about packet evidence.
#[derive(Args, Debug)]
pub struct EvidenceArgs {
    /// Keep the packets behind each reset: a folder, or a file *.pcapng
    #[arg(long, value_name = "PATH")]
    pub evidence: Option<PathBuf>,
    /// Disk that evidence may take (K, M, G)
    #[arg(long, value_name = "SIZE", default_value = "256M", hide_short_help = true)]
    pub evidence_max: String,
    /// Time after which the next file of a folder is begun
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration, hide_short_help = true)]
    pub evidence_age: std::time::Duration,
    /// Connections whose packets are kept [default: those of --filter; without it rst.count > 0]
    #[arg(long, value_name = "EXPR", requires = "evidence", hide_short_help = true)]
    pub evidence_filter: Option<String>,
}

/// Options about groups of connections.
#[derive(Args, Debug, Default)]
pub struct QueryArgs {
    /// Groups by one key or two: client, service, time[:STEP], cause, ...
    #[arg(long, value_name = "KEY[,KEY]", conflicts_with_all = ["json_out", "top"])]
    pub by: Option<String>,
    /// Only groups whose sums meet a condition, as 'rst.count.srv > 100'
    #[arg(long, value_name = "EXPR", requires = "by", hide_short_help = true)]
    pub having: Option<String>,
    /// Sort groups by a field, the greatest first, or with :asc the least
    #[arg(long, value_name = "FIELD[:asc]", requires = "by", hide_short_help = true)]
    pub sort: Option<String>,
    /// Groups at most; 0 for all [default: 50 in tables, else all]
    #[arg(long, value_name = "N", requires = "by", hide_short_help = true)]
    pub limit: Option<usize>,
    /// Columns of groups, in order (`rstprobe fields --groups`)
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', requires = "by", hide_short_help = true)]
    pub columns: Vec<String>,
}

/// How many rows are shown.
#[derive(Args, Debug)]
pub struct RowArgs {
    /// Rows per table; 0 for all
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub top: usize,
    /// Every row of every table, and every finding
    #[arg(long, conflicts_with_all = ["top", "limit"])]
    pub all: bool,
}

/// When connections start.
#[derive(Args, Debug)]
pub struct PeriodArgs {
    /// Only connections that start at or after, --evidence too: 14:05, RFC 3339 (UTC), or -5m before the end
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub since: Option<String>,
    /// Only connections that start before
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    pub until: Option<String>,
}

/// Names of networks and services.
#[derive(Args, Debug)]
pub struct ZoneArgs {
    /// Zones and services, TOML (/etc/rstprobe/zones.toml, if there)
    #[arg(id = "zones", long = "zones", value_name = "FILE", hide_short_help = true)]
    pub file: Option<PathBuf>,
}

/// Options about encapsulated traffic.
#[derive(Args, Debug)]
pub struct EncapsulationArgs {
    /// Encapsulations to look into: all, none, or names (gre, vxlan, ...)
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "all", hide_short_help = true)]
    pub encap: Vec<String>,
    /// Further UDP port of VXLAN; of captures, several
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..), hide_short_help = true)]
    pub vxlan_port: Vec<u16>,
    /// Tunnels within tunnels that are followed (1 to 8)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8), hide_short_help = true)]
    pub encap_depth: u8,
    /// Tell connections apart by VLAN or tunnel id as well
    #[arg(long, value_enum, default_value_t = DomainArg::None, hide_short_help = true)]
    pub domain: DomainArg,
}

/// `--color`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ColorArg {
    /// On a terminal, without NO_COLOR
    Auto,
    /// Everywhere
    Always,
    /// Nowhere
    Never,
}

/// `--datapath`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DatapathArg {
    /// Counted in the kernel
    Count,
    /// Frames through AF_XDP sockets
    Afxdp,
}

/// `--domain`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DomainArg {
    /// Nothing
    None,
    /// The outermost VLAN id
    Vlan,
    /// The innermost tunnel id (VNI, TEID, ERSPAN session)
    Vni,
}

/// `rstprobe snapshot`.
#[derive(Args, Debug)]
#[command(after_help = SNAPSHOT)]
pub struct SnapshotArgs {
    /// Where and how to watch.
    #[command(flatten)]
    pub live: LiveArgs,
    /// How long to watch (10s, 2m, 500ms)
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = duration)]
    pub duration: std::time::Duration,
    /// Only connections that meet it: 'rst.count > 0 and fin.count = 0'
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
    /// As other tools have it: --format json, or ndjson of a stream
    #[arg(long, hide = true, conflicts_with = "format")]
    pub json: bool,
    /// Compression of what is printed.
    #[command(flatten)]
    pub compress: CompressArgs,
    /// Groups instead of connections.
    #[command(flatten)]
    pub query: QueryArgs,
    /// Names of networks and services.
    #[command(flatten)]
    pub zones: ZoneArgs,
    /// Rows of each table.
    #[command(flatten)]
    pub rows: RowArgs,
    /// A page instead of tables.
    #[command(flatten)]
    pub page: PageArgs,
    /// Also write the snapshot as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json_out: Option<PathBuf>,
}

/// `rstprobe run`.
#[derive(Args, Debug)]
#[command(after_help = RUN)]
pub struct RunArgs {
    /// Where and how to watch.
    #[command(flatten)]
    pub live: LiveArgs,
    /// Only connections that meet it: 'rst.count > 0 and fin.count = 0'
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
    /// As other tools have it: --format json, or ndjson of a stream
    #[arg(long, hide = true, conflicts_with = "format")]
    pub json: bool,
    /// Compression of what is printed.
    #[command(flatten)]
    pub compress: CompressArgs,
    /// Names of networks and services.
    #[command(flatten)]
    pub zones: ZoneArgs,
    /// Stop by itself after this time
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub duration: Option<std::time::Duration>,
}

/// `rstprobe read`.
#[derive(Args, Debug)]
#[command(after_help = READ)]
pub struct ReadArgs {
    /// Captures, read as one stream in the order of their first packets; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub file: Vec<PathBuf>,
    /// Only connections that meet it: 'rst.count > 0 and fin.count = 0'
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// When connections start.
    #[command(flatten)]
    pub period: PeriodArgs,
    /// What to print
    #[arg(long, value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
    /// As other tools have it: --format json, or ndjson of a stream
    #[arg(long, hide = true, conflicts_with = "format")]
    pub json: bool,
    /// Compression of what is printed.
    #[command(flatten)]
    pub compress: CompressArgs,
    /// Packets behind the verdicts.
    #[command(flatten)]
    pub evidence: EvidenceArgs,
    /// What is seen of captures.
    #[command(flatten)]
    pub capture: CaptureArgs,
    /// Groups instead of connections.
    #[command(flatten)]
    pub query: QueryArgs,
    /// Names of networks and services.
    #[command(flatten)]
    pub zones: ZoneArgs,
    /// Rows of each table.
    #[command(flatten)]
    pub rows: RowArgs,
    /// A page instead of tables.
    #[command(flatten)]
    pub page: PageArgs,
    /// Also write everything as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json_out: Option<PathBuf>,
    /// Threads that share the work, 4 at most (undoing a compression and --compress have one more each); left out, as many as
    /// there are processors. The output does not depend on it
    #[arg(long, value_name = "N", hide_short_help = true)]
    pub threads: Option<std::num::NonZeroUsize>,
}

/// `rstprobe doctor`.
#[derive(Args, Debug)]
pub struct DoctorArgs {
    /// Interface to examine; all when none is named
    #[arg(short, long = "interface", value_name = "IFACE")]
    pub interface: Vec<String>,
    /// Attach to these interfaces and detach at once, and tell what the kernel says. Some drivers (mlx5, ...) reset the
    /// link when XDP comes and goes
    #[arg(long = "try", requires = "interface")]
    pub attempt: bool,
}

/// `rstprobe detach`.
#[derive(Args, Debug)]
#[command(after_help = DETACH)]
pub struct DetachArgs {
    /// Interface to clear; all when none is named
    #[arg(short, long = "interface", value_name = "IFACE")]
    pub interface: Vec<String>,
}

/// `rstprobe help`.
#[derive(Args, Debug)]
pub struct HelpArgs {
    /// Topic or command; without one, the topics are listed
    #[arg(value_name = "TOPIC")]
    pub topic: Option<String>,
}

/// `--egress`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum EgressArg {
    /// tcx where the kernel has it, else clsact
    Auto,
    /// A tcx link
    Tcx,
    /// A filter on the clsact qdisc
    Clsact,
}

/// `--mode`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ModeArg {
    /// In the driver
    Native,
    /// In the network stack
    Generic,
}

/// `--action`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum ActionArg {
    /// Frames go on
    Pass,
    /// Frames end here
    Drop,
}

/// `--depth`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum DepthArg {
    /// Every TCP segment
    Full,
    /// Only SYN, FIN and RST
    Control,
    /// Every TCP segment, until a CPU's table or log passes its mark; then no more new flows by data alone
    Auto,
}

/// `--format`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum FormatArg {
    /// For people
    Table,
    /// One document
    Json,
    /// One object per line
    Ndjson,
    /// Comma-separated values, of groups (--by)
    Csv,
    /// Zeek's conn.log
    Zeek,
    /// Zeek's conn.log as JSON lines
    ZeekJson,
}

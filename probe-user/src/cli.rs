//! The command line: definitions and help. Says what was typed; what it means is decided in [`crate::plan`].

pub mod report;
pub mod show;
mod texts;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use report::{PageArgs, ReportArgs};
use texts::{
    BY, DATAPATH, DETACH, EVIDENCE, EVIDENCE_FILTER, EXAMPLES, EXIT_CODES, EXPLAIN, FILTER, FINAL, filter_help,
};

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

/// How did this TCP connection end, who ended it, and why?
#[derive(Parser, Debug)]
#[command(name = "rstprobe", version, about, after_help = EXAMPLES, after_long_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
pub struct Cli {
    /// Colours: on a terminal without NO_COLOR, always, or never
    #[arg(long, global = true, value_enum, default_value_t = ColorArg::Auto, value_name = "WHEN", hide_short_help = true)]
    pub color: ColorArg,
    /// Leave out no column of a table, however narrow the terminal
    #[arg(long, global = true, hide_short_help = true)]
    pub wide: bool,
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
    /// The language of --filter, --evidence-filter and --having: `rstprobe help filter`
    #[command(long_about = filter_help())]
    Filter,
    /// Say what a cause or a finding means, how it looks and what to check next; without an id, list them
    Explain(ExplainArgs),
}

/// Options of everything that attaches to interfaces.
#[derive(Args, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct LiveArgs {
    /// Interface to watch; several make one view (the two legs of a TAP)
    #[arg(short, long = "interface", value_name = "IFACE", required = true)]
    pub interface: Vec<String>,
    /// Where the program runs: in the driver, or (slower, with any driver) in the network stack
    #[arg(long, value_enum, default_value_t = ModeArg::Native)]
    pub mode: ModeArg,
    /// What becomes of the frames: `drop` only on dedicated mirror ports
    #[arg(long, value_enum, default_value_t = ActionArg::Pass)]
    pub action: ActionArg,
    /// What is recorded: every TCP segment, only SYN, FIN and RST (fastest), or all until a CPU's table runs full
    #[arg(long, value_enum, default_value_t = DepthArg::Auto)]
    pub depth: DepthArg,
    /// How segments come to the agent.
    #[command(flatten)]
    pub path: PathArgs,
    /// Packets behind the verdicts.
    #[command(flatten)]
    pub evidence: EvidenceArgs,
    /// Also see what this host sends (tc egress), and take its kernel's reasons for resets: by itself where the interface has
    /// addresses of this host
    #[arg(long, conflicts_with_all = ["promisc"])]
    pub host: bool,
    /// See only what comes in, also where the interface has addresses of this host: half of each connection
    #[arg(long, conflicts_with = "host")]
    pub no_host: bool,
    /// How --host sees what is sent: a tcx link (since Linux 6.6) or a filter on the clsact qdisc
    #[arg(long, value_enum, default_value_t = EgressArg::Auto, conflicts_with = "no_host", hide_short_help = true)]
    pub egress: EgressArg,
    /// Enter promiscuous mode while watching (mirror ports)
    #[arg(long)]
    pub promisc: bool,
    /// What is looked into, and what tells connections apart besides addresses and ports.
    #[command(flatten)]
    pub encapsulation: EncapsulationArgs,
    /// Load the program for single-buffer frames even where the kernel has multi-buffer XDP
    #[arg(long, hide_short_help = true)]
    pub single_buffer: bool,
    /// How often the kernel table is drained (1ms to 10s; sooner when it fills up), instead of 10ms to 500ms as it fills
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub drain: Option<std::time::Duration>,
    /// New flows of one service, per second and CPU, that are followed from their SYN on; further SYNs are counted by
    /// service, and followed once their flow shows more (0: no such limit)
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub flood_at: u32,
    /// Flows per CPU and drain interval that the kernel table holds (a power of two)
    #[arg(long, value_name = "N", default_value_t = 16384)]
    pub slots: u32,
    /// Segments per CPU and drain interval that the overflow log holds
    #[arg(long, value_name = "N", default_value_t = 8192)]
    pub log: u32,
    /// Connections tracked at once; beyond it the least informative are written early
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
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
    /// How segments come to the agent: counted in the kernel, or as frames through AF_XDP sockets (mirror ports only)
    #[arg(long, value_enum, default_value_t = DatapathArg::Count, long_help = DATAPATH)]
    pub datapath: DatapathArg,
    /// UMEM frames per receive queue for --datapath afxdp (a power of two; 2 KiB each, 4 KiB above MTU 1770)
    #[arg(long, value_name = "FRAMES", default_value_t = 4096, hide_short_help = true)]
    pub umem: u32,
    /// With --datapath afxdp: also on an interface that carries this host's own traffic, whose TCP then stops
    #[arg(long, hide_short_help = true)]
    pub force: bool,
}

/// Options about packet evidence.
#[derive(Args, Debug)]
pub struct EvidenceArgs {
    /// Keep the packets behind each reset, as pcapng: a folder, or one file named *.pcapng
    #[arg(long, value_name = "PATH", long_help = EVIDENCE)]
    pub evidence: Option<PathBuf>,
    /// Disk that evidence may take (K, M and G are powers of 1024)
    #[arg(long, value_name = "SIZE", default_value = "256M", hide_short_help = true)]
    pub evidence_max: String,
    /// Time after which the next file of a folder is begun
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = humantime::parse_duration, hide_short_help = true)]
    pub evidence_age: std::time::Duration,
    /// Connections whose packets --evidence keeps, in the language of --filter
    #[arg(long, value_name = "EXPR", default_value = "rst.count > 0", requires = "evidence", hide_short_help = true, long_help = EVIDENCE_FILTER)]
    pub evidence_filter: String,
}

/// Options about groups of connections.
#[derive(Args, Debug, Default)]
pub struct QueryArgs {
    /// Group connections by one key or two: client, server, service, conversation, time[:STEP], cause, impact, closing,
    /// conn-state and other words of `rstprobe fields`
    #[arg(long, value_name = "KEY[,KEY]", long_help = BY, conflicts_with_all = ["json_out", "top"])]
    pub by: Option<String>,
    /// Only groups whose sums meet a condition, such as 'rst.count.srv > 100 and syn.per_conn > 2'
    #[arg(long, value_name = "EXPR", requires = "by", hide_short_help = true)]
    pub having: Option<String>,
    /// Sort groups by a field, the greatest first, or with :asc the least
    #[arg(long, value_name = "FIELD[:asc]", requires = "by", hide_short_help = true)]
    pub sort: Option<String>,
    /// Groups at most; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50, requires = "by", hide_short_help = true)]
    pub limit: usize,
    /// Columns of the groups, in order, instead of the usual ones
    #[arg(long, value_name = "FIELD,...", value_delimiter = ',', requires = "by", hide_short_help = true)]
    pub columns: Vec<String>,
}

/// Options about encapsulated traffic.
#[derive(Args, Debug)]
pub struct EncapsulationArgs {
    /// Encapsulations to look into: all, none, or some of mpls, pppoe, ipip, gre, erspan, vxlan, geneve, gtpu, teredo, vlan
    /// (more than two tags); of captures also etherip, l2tp, tzsp
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', default_value = "all")]
    pub encap: Vec<String>,
    /// Also look into VXLAN sent to this UDP port, besides 4789, 4790 and 8472; of captures, several may be named
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    pub vxlan_port: Vec<u16>,
    /// Tunnels within tunnels that are followed (1 to 8)
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=8))]
    pub encap_depth: u8,
    /// What tells connections apart besides addresses and ports: nothing, the VLAN id, or the tunnel id
    #[arg(long, value_enum, default_value_t = DomainArg::None)]
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
#[command(after_long_help = EXIT_CODES)]
pub struct SnapshotArgs {
    /// Where and how to watch.
    #[command(flatten)]
    pub live: LiveArgs,
    /// How long to watch (10s, 2m, 500ms)
    #[arg(long = "for", value_name = "TIME", default_value = "10s", value_parser = humantime::parse_duration)]
    pub duration: std::time::Duration,
    /// Show and count only connections that meet a condition, such as 'rst.count > 0 and fin.count = 0' (see --help)
    #[arg(long, value_name = "EXPR", long_help = FILTER)]
    pub filter: Option<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
    /// As other tools have it: --format json, or ndjson of a stream
    #[arg(long, hide = true, conflicts_with = "format")]
    pub json: bool,
    /// Groups instead of connections.
    #[command(flatten)]
    pub query: QueryArgs,
    /// A page instead of tables.
    #[command(flatten)]
    pub page: PageArgs,
    /// Rows per table; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub top: usize,
    /// Also write the snapshot as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json_out: Option<PathBuf>,
}

/// `rstprobe run`.
#[derive(Args, Debug)]
#[command(after_help = FINAL, after_long_help = format!("{FINAL}\n\n{EXIT_CODES}"))]
pub struct RunArgs {
    /// Where and how to watch.
    #[command(flatten)]
    pub live: LiveArgs,
    /// Show and count only connections that meet a condition, such as 'rst.count > 0 and fin.count = 0' (see --help)
    #[arg(long, value_name = "EXPR", long_help = FILTER)]
    pub filter: Option<String>,
    /// What to print: lines for people, or one JSON object per line; `json` prints one document at the end
    #[arg(long, value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
    /// As other tools have it: --format json, or ndjson of a stream
    #[arg(long, hide = true, conflicts_with = "format")]
    pub json: bool,
    /// Stop by itself after this time
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub duration: Option<std::time::Duration>,
}

/// `rstprobe read`.
#[derive(Args, Debug)]
#[command(after_long_help = EXIT_CODES)]
pub struct ReadArgs {
    /// Captures, read in this order as one stream; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub file: Vec<PathBuf>,
    /// Show and count only connections that meet a condition, such as 'rst.count > 0 and fin.count = 0' (see --help)
    #[arg(long, value_name = "EXPR", long_help = FILTER)]
    pub filter: Option<String>,
    /// What to print
    #[arg(long, value_enum, default_value_t = FormatArg::Table)]
    pub format: FormatArg,
    /// As other tools have it: --format json, or ndjson of a stream
    #[arg(long, hide = true, conflicts_with = "format")]
    pub json: bool,
    /// Packets behind the verdicts.
    #[command(flatten)]
    pub evidence: EvidenceArgs,
    /// Do not verify checksums (captures of hosts that leave them to the NIC, where that is not recognised)
    #[arg(long)]
    pub no_checksums: bool,
    /// What is looked into, and what tells connections apart besides addresses and ports.
    #[command(flatten)]
    pub encapsulation: EncapsulationArgs,
    /// Timeouts other than Zeek's: attempt, close, linger, inactive, inactive-handshake, inactive-interactive
    #[arg(long, value_name = "NAME=TIME,...", value_delimiter = ',')]
    pub timers: Vec<String>,
    /// Groups instead of connections.
    #[command(flatten)]
    pub query: QueryArgs,
    /// A page instead of tables.
    #[command(flatten)]
    pub page: PageArgs,
    /// Rows per table; 0 for all
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub top: usize,
    /// Also write everything as JSON to this file
    #[arg(long, value_name = "FILE")]
    pub json_out: Option<PathBuf>,
    /// Connections tracked at once; beyond it the least informative are written early
    #[arg(long, value_name = "N", default_value_t = 1_000_000)]
    pub max_connections: usize,
}

/// `rstprobe doctor`.
#[derive(Args, Debug)]
#[command(after_long_help = EXIT_CODES)]
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
#[command(after_help = DETACH, after_long_help = format!("{DETACH}\n\n{EXIT_CODES}"))]
pub struct DetachArgs {
    /// Interface to clear; all when none is named
    #[arg(short, long = "interface", value_name = "IFACE")]
    pub interface: Vec<String>,
}

/// `rstprobe fields`.
#[derive(Args, Debug)]
pub struct FieldsArgs {
    /// List what groups add up to (--by), for --having, --sort and --columns
    #[arg(long, conflicts_with = "format")]
    pub groups: bool,
    /// How to print the list
    #[arg(long, value_enum, default_value_t = FieldsFormatArg::Table)]
    pub format: FieldsFormatArg,
}

/// `--format` of `rstprobe fields`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum FieldsFormatArg {
    /// For people
    Table,
    /// One document
    Json,
    /// The page of the documentation
    Markdown,
}

/// `rstprobe explain`.
#[derive(Args, Debug)]
#[command(after_help = EXPLAIN)]
pub struct ExplainArgs {
    /// Id of a cause or of a finding, such as app_abort; with -r the id that `read FILE` without options gives a
    /// connection, or a condition: of those that meet it the one that lost most
    #[arg(value_name = "ID|EXPR")]
    pub id: Option<String>,
    /// Capture whose connection is explained, segment by segment
    #[arg(short, long, value_name = "FILE")]
    pub read: Vec<PathBuf>,
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

//! Command line errors: each error names the option, what was wrong and what is right.

use std::time::Duration;

use thiserror::Error;

use crate::{filter::FilterError, query::QueryError};

/// Why a command line cannot be followed.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// A table size.
    #[error("--slots {0}: must be a power of two from 64 to 1048576")]
    Slots(u32),
    /// A log size.
    #[error("--log {0}: must be from 1 to 16777216")]
    Log(u32),
    /// A drain interval.
    #[error("--drain {}: must be from 1ms to 10s", humantime::format_duration(*.0))]
    Drain(Duration),
    /// A window.
    #[error("--for {}: must be from 1ms to 365 days", humantime::format_duration(*.0))]
    Window(Duration),
    /// A bound.
    #[error("--max-connections 0: at least one connection must fit")]
    NoConnections,
    /// A timer.
    #[error(
        "--timers {0}: must be NAME=TIME with a NAME of attempt, close, linger, inactive, inactive-handshake, \
         inactive-interactive, and a TIME such as 5s or 1h"
    )]
    Timer(String),
    /// A size of UMEM.
    #[error("--umem {0}: must be a power of two from 64 to 1048576")]
    Umem(u32),
    /// AF_XDP on a host.
    #[error(
        "--host and --datapath afxdp exclude each other: frames that go to AF_XDP sockets do not reach the host's stack, \
         whose own traffic --host is about"
    )]
    HostOverSockets,
    /// A bound of disk.
    #[error("--evidence-max {0}: must be a size from 64K to 1024G, for example 256M")]
    EvidenceMax(String),
    /// A time.
    #[error("--evidence-age {}: must be at least 1s", humantime::format_duration(*.0))]
    EvidenceAge(Duration),
    /// A filter.
    #[error("{option}: {source}")]
    Filter {
        /// `--filter` or `--evidence-filter`.
        option: &'static str,
        /// What is wrong with it, and where.
        source: FilterError,
    },
    /// A point in time.
    #[error(
        "{option} {text}: no point in time; write a time of day (14:05, 14:05:30), a time such as 2026-11-21T14:00:00Z, both UTC, \
         or how long before the end of the capture (-5m)"
    )]
    TimePoint {
        /// `--since` or `--until`.
        option: &'static str,
        /// As typed.
        text: String,
    },
    /// A filter where a capture is to be named.
    #[error("{0} is no file, and a filter is given by --filter: `rstprobe read FILE --filter {0}`")]
    FilterAsFile(String),
    /// A time before the end of what can be read once only.
    #[error(
        "--since and --until before the end: {0} is no file that can be read twice; name a time of day, or write the capture to a file first"
    )]
    NoEnd(String),
    /// A terminal would show compressed bytes.
    #[error(
        "--compress: standard output is a terminal, which shows nothing of compressed data; write to a file (`> FILE`) or to a \
         program (`| PROGRAM`)"
    )]
    CompressedTerminal,
    /// Nothing goes to standard output.
    #[error(
        "--compress is for standard output, and the page goes to {0}; a name that ends in .gz or .zst has the file compressed"
    )]
    CompressedPage(String),
    /// A period without any time in it.
    #[error(
        "--since {since} is not before --until {until}: no connection starts in between. Beyond midnight, write \
         both with their day, such as 2026-11-21T23:00:00Z"
    )]
    EmptyPeriod {
        /// From then on.
        since: String,
        /// Before then.
        until: String,
    },
    /// Groups.
    #[error("{0}")]
    Query(#[from] QueryError),
    /// A format that groups have not, or only they.
    #[error("--format {format}: {why}")]
    Format {
        /// As typed.
        format: &'static str,
        /// What it is for.
        why: &'static str,
    },
    /// An encapsulation.
    #[error(
        "--encap {0}: must be all, none, or some of mpls, pppoe, ipip, gre, erspan, vxlan, geneve, gtpu, teredo, vlan; of \
         captures also etherip, l2tp, tzsp"
    )]
    Encapsulation(String),
    /// An encapsulation that only captures are looked into for.
    #[error(
        "--encap {0}: the kernel program does not look into it, only `rstprobe read` does; leave it out, or capture the \
         traffic and read the capture"
    )]
    EncapsulationOfCaptures(String),
    /// A port that belongs to another encapsulation.
    #[error("--vxlan-port {port}: what is sent there is taken for {of}; only another port can be one of VXLAN")]
    VxlanPort {
        /// As named.
        port: u16,
        /// What it belongs to.
        of: &'static str,
    },
    /// VXLAN on several further ports, live.
    #[error(
        "--vxlan-port {0} and {1}: the kernel program looks at one port besides 4789, 4790 and 8472; name one, or capture the \
         traffic and use `rstprobe read`, which takes any number"
    )]
    VxlanPortsLive(u16, u16),
    /// Standard input twice.
    #[error("`-` (standard input) can be read only once")]
    StdinTwice,
    /// The same interface twice.
    #[error("-i {0}: named twice")]
    Twice(String),
}

//! Options of everything that reads captures: what of them is seen, and how it is tracked.

use clap::Args;

use super::EncapsulationArgs;

/// Options about what is seen of captures.
#[derive(Args, Debug)]
pub struct CaptureArgs {
    /// Do not verify checksums (captures of hosts that leave them to the NIC, where that is not recognised)
    #[arg(long, hide_short_help = true)]
    pub no_checksums: bool,
    /// What is looked into, and what tells connections apart besides addresses and ports.
    #[command(flatten)]
    pub encapsulation: EncapsulationArgs,
    /// Timeouts other than Zeek's (`rstprobe help capture`)
    #[arg(long, value_name = "NAME=TIME,...", value_delimiter = ',', hide_short_help = true)]
    pub timers: Vec<String>,
    /// Connections tracked at once
    #[arg(long, value_name = "N", default_value_t = 1_000_000, hide_short_help = true)]
    pub max_connections: usize,
}

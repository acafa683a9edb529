//! `rstprobe report`: the options of a page, which is what `read` or `snapshot` write with `--output`.

use std::path::PathBuf;

use clap::Args;

use super::texts::{REPORT, REPORT_USAGE};

/// Where `read` and `snapshot` write a page instead of printing tables: what `report` is made of.
#[derive(Args, Debug, Default)]
pub struct PageArgs {
    /// Write a page (HTML) to this file instead of printing tables; `-` is standard output
    #[arg(short, long, value_name = "FILE", hide = true, conflicts_with_all = ["by", "format", "json", "json_out"])]
    pub output: Option<PathBuf>,
}

/// `rstprobe report`, as its help has it: a source makes it `read` or `snapshot` before anything is parsed.
#[derive(Args, Debug)]
#[command(after_help = REPORT, override_usage = REPORT_USAGE)]
pub struct ReportArgs {
    /// File that the page is written to; `-` is standard output
    #[arg(short, long, value_name = "FILE", required = true)]
    pub output: PathBuf,
    /// Captures, read as one stream in the order of their first packets; `-` is standard input
    #[arg(short, long, value_name = "FILE", num_args = 1.., required_unless_present = "interface")]
    pub read: Vec<PathBuf>,
    /// Interface to watch; several make one view (the two legs of a TAP)
    #[arg(short, long, value_name = "IFACE")]
    pub interface: Vec<String>,
    /// With -i: how long to watch (10s, 2m, 500ms)
    #[arg(long = "for", value_name = "TIME", default_value = "10s")]
    pub duration: String,
    /// Only connections that meet a condition, such as 'rst.count > 0 and fin.count = 0'
    #[arg(long, value_name = "EXPR")]
    pub filter: Option<String>,
    /// Rows per table, the others are added up in one; 0 for as many as a page may have (500)
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub top: usize,
}

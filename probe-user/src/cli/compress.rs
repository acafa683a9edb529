//! `--compress`: how what goes to standard output is compressed.

use clap::{Args, ValueEnum};

/// Options about compression.
#[derive(Args, Debug, Default)]
pub struct CompressArgs {
    /// Compress standard output, every format; not to a terminal. Files are compressed by their names: --json-out x.json.gz, -o
    /// x.html.zst
    #[arg(long, value_enum, value_name = "HOW", hide_short_help = true)]
    pub compress: Option<CompressArg>,
}

/// `--compress`.
#[derive(ValueEnum, Clone, Copy, PartialEq, Eq, Debug)]
pub enum CompressArg {
    /// As `gzip` does
    Gzip,
    /// As `zstd` does: smaller, and faster
    Zstd,
}

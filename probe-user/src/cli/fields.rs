//! Options of `rstprobe fields`.

use clap::{Args, ValueEnum};

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

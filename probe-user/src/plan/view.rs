//! View options: what `--format`, `--filter`, `--by` and their like mean for what is printed.

use std::path::PathBuf;

use super::{PagePlan, Period, PlanError};
use crate::{
    cli::{CompressArg, CompressArgs, FormatArg, QueryArgs, RowArgs},
    filter::Filter,
    printable,
    query::Query,
};

/// Groups of a table unless `--limit` says how many.
const GROUPS_OF_A_TABLE: usize = 50;

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

/// How bytes are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
}

/// What is shown of connections.
#[derive(Clone, Debug)]
pub struct ViewPlan {
    /// What to print.
    pub format: Format,
    /// How what goes to standard output is compressed.
    pub compression: Option<Compression>,
    /// Rows per table, 0 for all.
    pub rows: usize,
    /// Where else to write the snapshot as JSON.
    pub json_out: Option<PathBuf>,
    /// Which connections are shown and counted; `None` for all.
    pub filter: Option<Filter>,
    /// A page to write instead of printing.
    pub page: Option<PagePlan>,
    /// When connections start that are shown and counted.
    pub period: Period,
    /// Groups to print instead of connections.
    pub query: Option<Query>,
    /// Print connections as they end, not all at the end.
    pub follow: bool,
    /// What is printed is final: what may be judged otherwise once all connections are known waits until then (captures).
    pub is_final: bool,
}

impl ViewPlan {
    /// Whether names of zones or services are shown or asked for anywhere.
    pub fn asks_labels(&self) -> bool {
        let is_asked = self.filter.as_ref().is_some_and(Filter::asks_labels);
        is_asked || self.shows_facts() || self.query.as_ref().is_some_and(Query::asks_labels)
    }

    /// Whether what verdicts rest on is shown anywhere.
    pub fn shows_facts(&self) -> bool {
        self.json_out.is_some() || self.page.is_some() || matches!(self.format, Format::Json | Format::Ndjson)
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

/// Zeek's formats have no summary to wait for: they are always streamed.
pub(super) fn view(format: FormatArg, rows: usize, json_out: Option<PathBuf>, follow: bool) -> ViewPlan {
    let streamed = matches!(format, FormatArg::Zeek | FormatArg::ZeekJson) && json_out.is_none();
    ViewPlan {
        format: format.into(),
        compression: None,
        rows,
        json_out,
        filter: None,
        period: Period::default(),
        query: None,
        page: None,
        follow: follow || streamed,
        is_final: false,
    }
}

/// How standard output is compressed, where anything goes there.
pub(super) fn compression(args: &CompressArgs, page: Option<&PagePlan>) -> Result<Option<Compression>, PlanError> {
    match (args.compress, page.and_then(PagePlan::file)) {
        (Some(_), Some(file)) => Err(PlanError::CompressedPage(printable::path(file))),
        (Some(CompressArg::Gzip), None) => Ok(Some(Compression::Gzip)),
        (Some(CompressArg::Zstd), None) => Ok(Some(Compression::Zstd)),
        (None, _) => Ok(None),
    }
}

/// Rows per table, 0 for all.
pub(super) fn rows(args: &RowArgs) -> usize {
    if args.all { 0 } else { args.top }
}

pub(super) fn filter(expression: Option<String>) -> Result<Option<Filter>, PlanError> {
    let refused = |source| PlanError::Filter { option: "--filter", source };
    expression.map(|expression| expression.parse().map_err(refused)).transpose()
}

pub(super) fn query(args: &QueryArgs, is_all: bool, format: FormatArg) -> Result<Option<Query>, PlanError> {
    let refused = |format, why| Err(PlanError::Format { format, why });
    match (&args.by, format) {
        (None, FormatArg::Csv) => return refused("csv", "groups only; name what to group by (--by)"),
        (Some(_), FormatArg::Zeek | FormatArg::ZeekJson) => {
            return refused("zeek", "connections only; groups (--by) are table, json, ndjson or csv");
        }
        _ => {}
    }
    let Some(by) = &args.by else { return Ok(None) };
    // Programs read the other formats: they get all unless they ask for fewer.
    let usual = if format == FormatArg::Table { GROUPS_OF_A_TABLE } else { 0 };
    let limit = if is_all { 0 } else { args.limit.unwrap_or(usual) };
    let query = Query::read(by, args.having.as_deref(), args.sort.as_deref(), limit, &args.columns)?;
    Ok(Some(query))
}

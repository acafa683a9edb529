//! Page file: gathers what the page is made of while connections end, and writes it.

use std::path::Path;

use super::{OutFile, top_rows::TopRows, writer::Stdout};
use crate::{
    aggregate::Examples,
    error::RunError,
    output,
    plan::{PagePlan, capture_name},
    printable,
    query::Overview,
    record::Connection,
    report::{
        Snapshot,
        html::{self, Made, Page},
    },
};

/// Connections of each kind (with a loss, with an RST, with neither) that findings take examples from, besides those of each
/// server and cause.
const EARLIEST: usize = 300;

/// What the page is made of so far.
pub(crate) struct PageFile {
    plan: PagePlan,
    /// `None` for standard output.
    file: Option<OutFile>,
    overview: Overview,
    examples: Examples,
    earliest: TopRows,
    /// Why not everything could be read.
    cut_short: Option<String>,
}

impl PageFile {
    /// Opens the file, before anything is measured that could then not be written.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(plan: &PagePlan) -> Result<Self, RunError> {
        let file = plan.file().map(|path| OutFile::open("--output", path)).transpose()?;
        Ok(Self {
            plan: plan.clone(),
            file,
            overview: Overview::default(),
            examples: Examples::default(),
            earliest: TopRows::new(EARLIEST),
            cut_short: None,
        })
    }

    /// Adds one connection, judged.
    pub(crate) fn add(&mut self, connection: &Connection) {
        self.overview.add(connection);
        self.examples.offer(connection);
        self.earliest.offer(connection);
    }

    /// Notes why not everything could be read.
    pub(crate) fn cut_short(&mut self, why: &RunError) {
        self.cut_short = Some(match why {
            RunError::Capture { file, source } => format!("{}: {source}", capture_name(Path::new(file))),
            other => other.to_string(),
        });
    }

    /// Writes the page, of a snapshot that lists no connections yet and gets the examples.
    ///
    /// # Errors
    /// What writing says.
    pub(crate) fn write(self, snapshot: &mut Snapshot, rows: usize, stdout: &Stdout) -> Result<(), RunError> {
        let listed = &mut snapshot.connections;
        listed.extend(self.examples.into_connections().into_iter().chain(self.earliest.into_connections()));
        listed.sort_unstable_by_key(|connection| (connection.start_ns, connection.id));
        listed.dedup_by_key(|connection| connection.id);
        let overview = self.overview.finish();
        let (sources, cut_short) = (&self.plan.sources, self.cut_short.as_deref());
        let page = Page { snapshot, overview: &overview, sources, cut_short, rows };
        let Made { html, findings } = html::page(&page);
        let Some(file) = self.file else { return stdout.print(&html) };
        file.write_text(&html)?;
        output::say(&format!(
            "rstprobe: {}: {} KiB, {} finding{}, {} connection{}",
            printable::path(&self.plan.path),
            html.len().div_ceil(1024),
            findings,
            plural(findings as u64),
            snapshot.aggregate.totals.connections,
            plural(snapshot.aggregate.totals.connections)
        ));
        Ok(())
    }
}

/// The ending of what is so many.
fn plural(count: u64) -> &'static str {
    if count == 1 { "" } else { "s" }
}

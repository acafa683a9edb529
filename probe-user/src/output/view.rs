//! View: prints connections as they end, or everything at the end.

use std::time::Duration;

use crate::{
    aggregate::{CaptureLoss, Examples, Habits, KnownRows, Pending},
    plan::{Format, PlanError, ViewPlan},
    query::Rows,
    record::Connection,
    report::{
        Loss, Snapshot, Window,
        flood::Flood,
        grouped::{self, Grouped},
        json, line,
        lines::LineFormat,
        table::{self, Style},
        zeek,
    },
    tracker::TrackerStats,
};
use crate::{
    error::RunError,
    output,
    output::{
        OutFile, amendments::Amendments, in_order, lines::Lines, loss_text, page::PageFile, period_notice,
        selection::Selection, top_rows::TopRows, writer::Stdout,
    },
};

/// Servers and clients that get a row of their own.
const MAX_GROUPS: usize = 8192;
/// Connections a snapshot lists; later ones are in the sums only, and counted as unlisted.
const MAX_LISTED: usize = 500_000;
/// Lines that are written, or dropped, together at most.
const LINES: usize = 128;

/// Collects, streams and finally prints.
pub(crate) struct View {
    plan: ViewPlan,
    stdout: Stdout,
    /// Of lines.
    style: Style,
    /// Memory of lines, while there are none on their way.
    lines: Option<Lines>,
    /// Memory of what is known of connections while they are judged.
    known: Vec<KnownRows>,
    /// The same of what becomes of them.
    fates: Vec<Fate>,
    /// That make text of records.
    threads: usize,
    json_out: Option<OutFile>,
    selection: Selection,
    /// When connections start that are shown, nanoseconds since 1970.
    period: [Option<u64>; 2],
    pending: Pending,
    habits: Habits,
    amendments: Amendments,
    waiting: Vec<Connection>,
    /// Those that will be among them once a batch is judged.
    about_to_wait: usize,
    /// For a table with a limited number of rows: what it may show.
    shown: Option<TopRows>,
    /// For such a table: what findings name, as they do where everything is listed.
    examples: Examples,
    /// Groups that are printed instead of connections.
    groups: Option<Rows>,
    /// Of what is in groups: what of it was never seen.
    group_loss: CaptureLoss,
    /// The page that is written instead.
    page: Option<PageFile>,
    unlisted: u64,
    /// Connections that were judged and added to their groups before all was known: too many were waiting.
    judged_early: u64,
    /// Connections whose line was dropped because the reader did not read.
    not_printed: u64,
    /// No line may be dropped any more.
    last: bool,
    last_progress: Duration,
    progress_seen: bool,
}

/// What becomes of a connection that ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// It is judged, added and printed in the end.
    Waits,
    /// As a line, which a later one may correct.
    Printed {
        is_provisional: bool,
    },
    NotPrinted,
}

impl View {
    /// Opens what is printed to, before anything is measured that could then not be written.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub(crate) fn open(plan: &ViewPlan, stdout: Stdout) -> Result<Self, RunError> {
        let selection = Selection::new(plan.filter.clone());
        // What may pass in the end only is kept whole until then.
        let is_summed = plan.json_out.is_none() && plan.page.is_none() && plan.rows > 0 && !selection.asks_verdict();
        Ok(Self {
            plan: plan.clone(),
            stdout,
            style: output::style(plan.rows),
            lines: None,
            known: Vec::new(),
            fates: Vec::new(),
            threads: 1,
            selection,
            period: [None; 2],
            json_out: plan.json_out.as_deref().map(|path| OutFile::open("--json-out", path)).transpose()?,
            pending: Pending::new(MAX_GROUPS),
            habits: Habits::default(),
            amendments: Amendments::new(),
            waiting: Vec::new(),
            about_to_wait: 0,
            shown: (plan.format == Format::Table && !plan.follow && is_summed).then(|| TopRows::new(plan.rows)),
            examples: Examples::default(),
            groups: plan.query.clone().map(Rows::new),
            group_loss: CaptureLoss::default(),
            page: plan.page.as_ref().map(PageFile::open).transpose()?,
            unlisted: 0,
            judged_early: 0,
            not_printed: 0,
            last: false,
            last_progress: Duration::ZERO,
            progress_seen: output::progress_is_seen() && !plan.follow,
        })
    }

    /// Text of records that wait until the end is made on so many threads.
    pub(crate) fn format_on(&mut self, threads: usize) {
        self.threads = threads;
    }

    /// From here on prints there.
    pub(crate) fn print_by(&mut self, stdout: Stdout) {
        self.stdout = stdout;
    }

    /// What comes before the first connection; `begin_ns` is the time of the first frame.
    pub(crate) fn begin(&mut self, begin_ns: u64) -> Result<(), RunError> {
        self.period = self.plan.period.resolved(begin_ns, begin_ns);
        if let [Some(since), Some(until)] = self.period
            && since >= until
        {
            let [since, until] = [since, until].map(period_notice::shown);
            return Err(RunError::Plan(PlanError::EmptyPeriod { since, until }));
        }
        self.selection.restrict(self.period);
        match self.plan.format {
            Format::Table if self.plan.follow => self.stdout.print(&line::heading(self.style)),
            Format::Zeek => self.stdout.print(&zeek::header()),
            _ => Ok(()),
        }
    }

    /// Takes connections that ended, and prints those that are printed now.
    pub(crate) fn take(&mut self, closed: &mut Vec<Connection>) -> Result<(), RunError> {
        let mut lines = self.lines.take().unwrap_or_else(|| self.new_lines());
        if closed.len() > LINES && !self.prints_at_the_end() {
            let mut all = std::mem::take(closed).into_iter();
            while all.len() > LINES {
                closed.extend(all.by_ref().take(LINES));
                self.judge_each(closed, &mut lines);
                lines.format()?;
                self.write(&mut lines)?;
            }
            closed.extend(all);
        }
        self.judge(closed, &mut lines);
        lines.format()?;
        // Also without lines: it tells of a reader that has gone.
        self.write(&mut lines)?;
        self.lines = Some(lines);
        Ok(())
    }

    /// For records on their way to [`Self::write`].
    pub(crate) fn new_lines(&self) -> Lines {
        Lines::new(self.line_format())
    }

    /// Takes connections that ended, in their order, and leaves none: adds them to what is printed in the end, and puts those
    /// that are printed now into `lines`. Their text can then be made anywhere; it is for [`Self::write`] in the same order.
    pub(crate) fn judge(&mut self, closed: &mut Vec<Connection>, lines: &mut Lines) {
        if self.prints_at_the_end() {
            return self.sum(closed);
        }
        self.judge_each(closed, lines);
        self.amend(lines);
    }

    /// Whether only sums, groups and what is kept of connections are printed, in the end.
    fn prints_at_the_end(&self) -> bool {
        self.groups.is_some() || self.page.is_some() || self.shown.is_some()
    }

    /// Adds connections to these.
    fn sum(&mut self, closed: &mut Vec<Connection>) {
        if self.groups.is_some() || self.page.is_some() {
            return self.group(closed);
        }
        let Some(shown) = self.shown.as_mut() else { return };
        self.selection.sift(closed, &mut self.habits);
        self.pending.add(closed, &mut self.habits);
        for connection in &*closed {
            shown.offer(connection);
            self.examples.offer(connection);
        }
        closed.clear();
    }

    fn judge_each(&mut self, closed: &mut Vec<Connection>, lines: &mut Lines) {
        let (mut known, mut fates) = (std::mem::take(&mut self.known), std::mem::take(&mut self.fates));
        self.pending.approach(closed, &self.habits, &mut known);
        fates.clear();
        fates.extend(closed.iter_mut().zip(&known).map(|(connection, &known)| self.judge_one(connection, known)));
        if fates.iter().all(|fate| *fate == Fate::Printed { is_provisional: false }) {
            lines.append(closed);
        }
        for (connection, fate) in closed.drain(..).zip(&fates) {
            match *fate {
                Fate::Waits => self.waiting.push(connection),
                Fate::Printed { is_provisional } => lines.push(connection, is_provisional),
                Fate::NotPrinted => (),
            }
        }
        (self.known, self.fates, self.about_to_wait) = (known, fates, 0);
    }

    fn amend(&mut self, lines: &mut Lines) {
        if self.is_amended() {
            lines.amend(self.amendments.due(&self.habits, self.last));
        }
    }

    /// Judges a connection, and adds it to what is printed in the end, unless it waits for that.
    #[inline]
    fn judge_one(&mut self, connection: &mut Connection, known: KnownRows) -> Fate {
        self.pending.observe(connection, known, &mut self.habits);
        let waits = !self.plan.follow || self.plan.is_final && self.tells_verdicts();
        let may_change = Habits::may_change(connection);
        let waiting = self.waiting.len() + self.about_to_wait;
        if waits && (may_change || !self.plan.follow) && waiting < MAX_LISTED {
            // Judged and added at the end, when the habits of all are known.
            let passes = self.selection.may_pass(connection);
            self.about_to_wait += usize::from(passes);
            return if passes { Fate::Waits } else { Fate::NotPrinted };
        }
        let of_one = (may_change && self.is_amended()).then(|| connection.clone());
        self.habits.judge(connection);
        let of_one = of_one.filter(|one| one.verdict.cause == connection.verdict.cause);
        if !self.selection.passes(connection) {
            return Fate::NotPrinted;
        }
        self.pending.add_judged_to(connection, known);
        if !self.plan.follow {
            self.unlisted += 1;
            return Fate::NotPrinted;
        }
        let is_provisional = of_one.is_some();
        if let Some(one) = of_one {
            self.amendments.remember(one);
        }
        Fate::Printed { is_provisional }
    }

    /// Writes lines whose text is made.
    pub(crate) fn write(&mut self, lines: &mut Lines) -> Result<(), RunError> {
        let len = lines.take_len();
        if self.last {
            return self.stdout.print(lines.text());
        }
        if !self.stdout.stream(lines.text())? {
            self.not_printed += len;
        }
        Ok(())
    }

    /// Adds connections to their groups, or to the page; those that may be judged anew when all are known wait until then.
    fn group(&mut self, closed: &mut Vec<Connection>) {
        for mut connection in closed.drain(..) {
            self.habits.observe(&connection);
            if Habits::may_change(&connection) && self.waiting.len() < MAX_LISTED {
                if self.selection.may_pass(&connection) {
                    self.waiting.push(connection);
                }
                continue;
            }
            self.judged_early += u64::from(Habits::may_change(&connection));
            self.habits.judge(&mut connection);
            self.add_judged(&connection);
        }
    }

    /// Adds one connection to its groups, or to the page, if it passes.
    fn add_judged(&mut self, connection: &Connection) {
        if !self.selection.passes(connection) {
            return;
        }
        if self.groups.is_some() {
            self.add_to_group(connection);
        }
        if let Some(page) = self.page.as_mut() {
            self.pending.add_judged(connection);
            page.add(connection);
        }
    }

    /// Adds those that waited until all was known.
    fn add_waiting(&mut self) {
        for mut connection in std::mem::take(&mut self.waiting) {
            self.habits.judge(&mut connection);
            self.add_judged(&connection);
        }
    }

    fn add_to_group(&mut self, connection: &Connection) {
        self.group_loss.add(connection);
        if let Some(groups) = self.groups.as_mut() {
            groups.add(connection);
        }
    }

    /// Prints the groups, and what is in none of them.
    fn finish_groups(
        self,
        mut groups: Rows,
        window: &Window,
        counted: &[Loss],
        flood: &Flood,
        stats: &TrackerStats,
    ) -> Result<(), RunError> {
        let whole = self.group_loss.and(self.selection.capture_loss());
        let quality = loss_text::quality(whole, counted, stats);
        let [since, until] = self.period;
        let last_ns = until.map_or(window.end_ns, |until| window.end_ns.min(until.saturating_sub(1)));
        let first_ns = since.map_or(window.start_ns, |since| window.start_ns.max(since));
        // Without any frame there is no time to be filled.
        let missing =
            if window.start_ns == 0 { None } else { groups.fill_steps(first_ns, last_ns, &window.unwatched()) };
        if let Some(missing) = missing {
            output::say(&format!(
                "rstprobe: {missing} steps of time without connections have no row: too many; a longer step (--by time:STEP) has them all"
            ));
        }
        let query = groups.query().clone();
        let (rows, more) = groups.finish();
        let filter = self.selection.filtered().map(|filtered| filtered.expression);
        let grouped = Grouped { query: &query, rows: &rows, more, filter: filter.as_deref(), quality: &quality };
        let lost = loss_text::statement(counted, window, &quality);
        loss_text::say_view(window, flood);
        let printed = match self.plan.format {
            Format::Json => self.stdout.print_document(&grouped::document(&grouped)),
            Format::Ndjson => self.stdout.print(&grouped::lines(&grouped)?),
            Format::Csv => self.stdout.print(&grouped::csv(&grouped)),
            Format::Table | Format::Zeek | Format::ZeekJson => {
                let style = output::style(self.plan.rows);
                self.stdout.print(&(grouped::table_of(&grouped, style) + &table::prose(&lost, style)))
            }
        };
        if more > 0 && self.plan.format != Format::Table {
            output::say(&format!("rstprobe: {more} more groups are not printed (--limit {}; 0 has all)", query.limit));
        }
        if self.plan.format != Format::Table {
            loss_text::say_unless_whole(&lost, &quality);
        }
        printed.and(self.stdout.close())
    }

    /// Whether a stream of it says what verdicts rest on others.
    fn tells_verdicts(&self) -> bool {
        matches!(self.plan.format, Format::Ndjson | Format::Table)
    }

    /// Whether provisional verdicts are amended in the stream.
    fn is_amended(&self) -> bool {
        self.plan.follow && !self.plan.is_final && self.plan.format == Format::Ndjson
    }

    /// Takes the last connections: now the reader is waited for.
    pub(crate) fn take_last(&mut self, mut closed: Vec<Connection>) -> Result<(), RunError> {
        self.last = true;
        self.take(&mut closed)
    }

    fn line_format(&self) -> LineFormat {
        match self.plan.format {
            Format::Ndjson => LineFormat::Json,
            Format::Zeek => LineFormat::Zeek,
            Format::ZeekJson => LineFormat::ZeekJson,
            Format::Table | Format::Json | Format::Csv => LineFormat::Columns(self.style),
        }
    }

    /// Shows that it is alive, once a second, on a terminal.
    pub(crate) fn progress(&mut self, elapsed: Duration, what: &str) {
        if self.progress_seen && elapsed >= self.last_progress + Duration::from_secs(1) {
            self.last_progress = elapsed;
            let ended = self.pending.connections() + self.waiting.len() as u64 + self.selection.left_out();
            output::progress(&format!("rstprobe: {what}{} s, {ended} connections ended", elapsed.as_secs()));
        }
    }

    /// Removes the progress line.
    pub(crate) fn end_progress(&self) {
        if self.progress_seen && !self.last_progress.is_zero() {
            output::progress("");
        }
    }

    /// Notes that not everything could be read: a page is read by people who do not see standard error.
    pub(crate) fn cut_short(&mut self, why: &RunError) {
        if let Some(page) = self.page.as_mut() {
            page.cut_short(why);
        }
    }

    /// Prints what is left: the whole snapshot, or the summary after a stream of connections.
    pub(crate) fn finish(
        mut self,
        mut window: Window,
        mut losses: Vec<Loss>,
        books: Vec<(&'static str, u64)>,
        flood: Flood,
        stats: &TrackerStats,
    ) -> Result<(), RunError> {
        if let Some(notice) = period_notice::outside(self.period, window.start_ns, window.end_ns) {
            output::say(&notice);
        }
        window.has_no_tcp = books.iter().any(|(name, count)| *name == "tcp" && *count == 0);
        if self.groups.is_some() || self.page.is_some() {
            self.add_waiting();
            losses.push(Loss { name: "judged_early", count: self.judged_early, matters: true });
        }
        if let Some(groups) = self.groups.take() {
            return self.finish_groups(groups, &window, &losses, &flood, stats);
        }
        let is_added = self.shown.is_some();
        if let Some(shown) = self.shown.take() {
            // Nothing waits there beside these.
            self.waiting = std::mem::take(&mut self.examples).into_connections();
            self.waiting.extend(shown.into_connections());
        }
        // By their keys alone: records are large.
        self.waiting.sort_by_cached_key(|connection| (connection.start_ns, connection.id));
        self.waiting.dedup_by_key(|connection| connection.id);
        self.waiting.retain_mut(|connection| {
            self.habits.judge(connection);
            if is_added {
                return true;
            }
            let passes = self.selection.passes(connection);
            if passes {
                self.pending.add_judged(connection);
            }
            passes
        });
        let aggregate = self.pending.settle(&self.habits);
        losses.push(Loss { name: "unlisted_connections", count: self.unlisted, matters: true });
        losses.push(Loss { name: "not_printed", count: self.not_printed, matters: true });
        let whole = aggregate.capture_loss.and(self.selection.capture_loss());
        let quality = loss_text::quality(whole, &losses, stats);
        let filter = self.selection.filtered();
        let mut snapshot =
            Snapshot { window, filter, aggregate, losses, books, flood, quality, connections: self.waiting };
        let printed = match self.page {
            Some(page) => page.write(&mut snapshot, self.plan.rows, &self.stdout),
            None => print(&self.plan, &self.stdout, &snapshot, self.threads),
        };
        // A file that cannot be written is no reason to keep the rest to ourselves, and the other way round.
        let file = self.json_out.map_or(Ok(()), |file| file.write(&json::snapshot(&snapshot)));
        let printed = printed.and(self.stdout.close());
        // The process ends: giving back hundreds of thousands of records one by one would take as long as printing some.
        std::mem::forget(snapshot);
        file.and(printed)
    }
}

fn print(plan: &ViewPlan, stdout: &Stdout, snapshot: &Snapshot, threads: usize) -> Result<(), RunError> {
    match plan.format {
        Format::Table => stdout.print(&table::snapshot(snapshot, output::style(plan.rows))),
        Format::Json => stdout.print_document(&json::snapshot(snapshot)),
        Format::Ndjson => {
            let some: Vec<&[Connection]> = snapshot.connections.chunks(LINES).collect();
            let make = |number: usize, piece: &mut Lines| piece.format_all(some[number]);
            in_order::make_and_take(threads, some.len(), make, |lines: &Lines| stdout.print(lines.text()))?;
            stdout.print(&json::summary_line(snapshot)?)
        }
        // Zeek's log has no summary; it goes where people read.
        Format::Csv | Format::Zeek | Format::ZeekJson => {
            output::say(&table::summary(snapshot));
            Ok(())
        }
    }
}

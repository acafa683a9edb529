//! Bars beside a table by time: RSTs of clients and of servers in each step, and what a full bar stands for.

use comfy_table::{Cell, Table};

use super::cells::{Fit, Style, fit};
use crate::{
    query::{GroupRef, Query, Row},
    record::{FieldValue, Unit},
};

/// Columns of a bar at most.
const WIDEST: usize = 20;
/// Columns of a bar at least: those of the heading.
const NARROWEST: usize = 12;
/// A blank on either side.
const PADDING: usize = 2;
/// Eighths of a column, fullest last.
const BLOCKS: [char; 8] = ['▏', '▎', '▍', '▌', '▋', '▊', '▉', '█'];

/// One column of bars.
struct Bars {
    heading: &'static str,
    field: GroupRef,
    /// The greatest value, which a full bar stands for.
    most: f64,
}

/// The bars of a table.
pub(super) struct TimeBars {
    columns: Vec<Bars>,
}

impl TimeBars {
    /// Of RSTs per connection where the query has those columns and any row has a rate, and else of RSTs.
    pub(super) fn of(query: &Query, rows: &[Row]) -> Self {
        let mut columns = Vec::new();
        if query.is_by_time() {
            let is_rated = query.columns.iter().any(|column| is_rate(*column) && has_value(*column, rows));
            for column in query.columns.iter().copied().filter(|column| is_rate(*column)) {
                let is_clients = column.field().name.ends_with("clt");
                let count = if is_clients { "rst.count.clt" } else { "rst.count.srv" };
                let Some(field) = (if is_rated { Some(column) } else { GroupRef::of_name(count) }) else { continue };
                let heading = if is_clients { "from clients" } else { "from servers" };
                let most = rows.iter().map(|row| float(field, row)).fold(0.0, f64::max);
                columns.push(Bars { heading, field, most });
            }
        }
        Self { columns }
    }

    /// Adds the bars to a table of the rows, as wide as the terminal leaves room; returns how the columns
    /// fit, and `None` without bars or room for them.
    pub(super) fn draw(&self, table: &mut Table, rows: &[Row], style: Style, left_out_first: &[&str]) -> Option<Fit> {
        if self.columns.is_empty() {
            return None;
        }
        let count = self.columns.len();
        // The less important columns make room for bars of the least width.
        let reserved = (count * (NARROWEST + PADDING)) as u16;
        let narrower = Style { width: style.width.map(|width| width.saturating_sub(reserved)), ..style };
        let fitted = fit(table, narrower, left_out_first);
        if fitted.beyond > 0 {
            return None;
        }
        let each = if style.width.is_some() { NARROWEST + fitted.free / count } else { WIDEST };
        let width = each.min(WIDEST);
        let mut headings: Vec<Cell> = table.header().into_iter().flat_map(|row| row.cell_iter().cloned()).collect();
        headings.extend(self.columns.iter().map(|bars| Cell::new(bars.heading)));
        table.set_header(headings);
        for (line, row) in table.row_iter_mut().zip(rows) {
            for bars in &self.columns {
                line.add_cell(Cell::new(bar(float(bars.field, row), bars.most, width)));
            }
        }
        Some(fitted)
    }

    /// Whether there is anything to draw.
    pub(super) fn is_any(&self) -> bool {
        !self.columns.is_empty()
    }

    /// What a full bar stands for.
    pub(super) fn scale(&self) -> String {
        let Some(first) = self.columns.first() else { return String::new() };
        let is_rate = is_rate(first.field);
        let what = if is_rate { "RSTs per connection with a completed handshake" } else { "RSTs" };
        let of = |bars: &Bars| {
            let most = if is_rate { format!("{:.3}", bars.most) } else { bars.most.to_string() };
            if bars.most > 0.0 {
                format!("{}: full bar = {most}", bars.heading)
            } else {
                format!("{}: none", bars.heading)
            }
        };
        format!("Bars: {what}; {}\n", self.columns.iter().map(of).collect::<Vec<_>>().join(", "))
    }
}

fn is_rate(column: GroupRef) -> bool {
    matches!(column.field().name, "rst.per_conn.clt" | "rst.per_conn.srv")
}

fn has_value(column: GroupRef, rows: &[Row]) -> bool {
    rows.iter().any(|row| column.value(row).is_some())
}

/// A number as a float; 0 where there is none.
pub(super) fn float(field: GroupRef, row: &Row) -> f64 {
    match field.value(row) {
        Some(FieldValue::Number(Unit::PerSecond, bits)) => f64::from_bits(bits),
        Some(FieldValue::Number(_, number)) => number as f64,
        _ => 0.0,
    }
}

/// A bar as long as its part of the greatest value.
fn bar(value: f64, most: f64, width: usize) -> String {
    if value <= 0.0 || most <= 0.0 {
        return String::new();
    }
    let is_reached = |eighths: &usize| *eighths as f64 - 0.5 <= value / most * (width * 8) as f64;
    let eighths = (1..=width * 8).take_while(is_reached).count().max(1);
    let mut bar: String = std::iter::repeat_n(BLOCKS[7], eighths / 8).collect();
    if !eighths.is_multiple_of(8) {
        bar.push(BLOCKS[eighths % 8 - 1]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use crate::{
        aggregate::tests::connection,
        query::{Query, Row, Rows},
        record::{Closing, Opening, Side},
        report::{
            cells::Style,
            grouped::{Grouped, table_of},
            quality::Quality,
        },
    };

    /// Minutes with 0, 1 and 2 RSTs of the server.
    fn rows(opening: Opening) -> (Query, Vec<Row>) {
        let query = Query::read("time", None, None, 0, &[]).expect("a query");
        let mut rows = Rows::new(query.clone());
        for minute in 0..3_u64 {
            let server = Side { rst: minute, ..Side::default() };
            let mut one = connection("10.0.0.2:80", opening, Closing::RstOnly, Side::default(), server);
            one.start_ns = minute * 60_000_000_000;
            rows.add(&one);
        }
        (query, rows.finish().0)
    }

    fn shown(opening: Opening, width: Option<u16>) -> String {
        let (query, rows) = rows(opening);
        let grouped = Grouped { query: &query, rows: &rows, more: 0, filter: None, quality: &Quality::default() };
        table_of(&grouped, Style { width, ..Style::default() })
    }

    #[test]
    fn the_greatest_value_is_a_full_bar_and_the_scale_says_which() {
        let text = shown(Opening::Completed, None);
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[3].contains(&"█".repeat(20)) && !lines[1].contains('█'), "{text}");
        assert!(lines[2].contains(&"█".repeat(10)) && !lines[2].contains(&"█".repeat(11)), "{text}");
        let scale =
            "Bars: RSTs per connection with a completed handshake; from clients: none, from servers: full bar = 2.000";
        assert_eq!(lines[4], scale);
    }

    #[test]
    fn without_any_rate_the_resets_themselves_are_drawn() {
        let text = shown(Opening::NotSeen, None);
        assert!(
            text.contains("█") && text.ends_with("Bars: RSTs; from clients: none, from servers: full bar = 2\n"),
            "{text}"
        );
    }

    #[test]
    fn numbers_come_before_bars_on_narrow_terminals() {
        let text = shown(Opening::Completed, Some(100));
        for heading in ["time", "connections", "rst.count.clt", "rst.count.srv", "from clients", "from servers"] {
            assert!(text.lines().next().is_some_and(|first| first.contains(heading)), "{heading}\n{text}");
        }
        assert!(text.contains("do not fit: ") && text.contains("; --wide shows them"), "{text}");
        let narrow = shown(Opening::Completed, Some(70));
        assert!(narrow.contains("rst.count.srv") && !narrow.contains('█') && narrow.contains("bars"), "{narrow}");
    }
}

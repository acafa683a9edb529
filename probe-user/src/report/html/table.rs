//! Table: a real HTML table with caption, scopes and a legend, which the page's script can sort and filter.

use maud::{Markup, html};

/// Rows from which on a table can be filtered.
const FILTERED: usize = 8;

/// A column.
#[derive(Clone, Copy)]
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// What it says, for the legend; empty where the heading says it.
    pub(super) meaning: &'static str,
    /// Numbers stand at the right, and are sorted with the greatest first.
    pub(super) is_number: bool,
}

/// A cell.
pub(super) struct Cell {
    shown: Markup,
    /// What it is sorted by, where that is not its text; what has no value is the last.
    sort: Option<f64>,
    is_bad: bool,
}

/// A row; its first cell says what it is of.
pub(super) struct Row {
    pub(super) cells: Vec<Cell>,
    /// For links to it.
    pub(super) id: Option<String>,
    /// It is the sum of what has no row, and stays at the end.
    pub(super) is_rest: bool,
}

/// A table.
pub(super) struct Table<'a> {
    pub(super) id: &'a str,
    pub(super) caption: Markup,
    pub(super) columns: &'a [Column],
    pub(super) rows: Vec<Row>,
}

/// A column of words.
pub(super) const fn words(heading: &'static str, meaning: &'static str) -> Column {
    Column { heading, meaning, is_number: false }
}

/// A column of numbers.
pub(super) const fn numbers(heading: &'static str, meaning: &'static str) -> Column {
    Column { heading, meaning, is_number: true }
}

impl Cell {
    /// Words or anything else.
    pub(super) fn text(shown: impl maud::Render) -> Self {
        Self { shown: html! { (shown) }, sort: None, is_bad: false }
    }

    /// Something that is sorted by a number.
    pub(super) fn sorted(shown: impl maud::Render, sort: f64) -> Self {
        Self { shown: html! { (shown) }, sort: Some(sort), is_bad: false }
    }

    /// A count.
    pub(super) fn count(number: u64) -> Self {
        Self::sorted(super::count(number), number as f64)
    }

    /// A count of something bad, marked unless it is 0.
    pub(super) fn bad(number: u64) -> Self {
        Self { is_bad: number > 0, ..Self::count(number) }
    }

    /// A ratio with three digits, or that there is none.
    pub(super) fn ratio(value: Option<f64>) -> Self {
        value.map_or_else(Self::absent, |value| Self::sorted(format!("{value:.3}"), value))
    }

    /// A duration, nanoseconds, or that there is none.
    pub(super) fn duration(ns: Option<u64>) -> Self {
        ns.map_or_else(Self::absent, |ns| Self::sorted(super::super::text::duration(ns), ns as f64))
    }

    /// No value: something else than 0.
    pub(super) fn absent() -> Self {
        Self::sorted("–", -1.0)
    }
}

impl Row {
    pub(super) fn new(cells: Vec<Cell>) -> Self {
        Self { cells, id: None, is_rest: false }
    }
}

impl Table<'_> {
    /// The table in a region of its own, which scrolls where it is wider than the page.
    pub(super) fn markup(&self) -> Markup {
        let caption_id = format!("{}-caption", self.id);
        html! {
            div .scroll role="region" tabindex="0" aria-labelledby=(caption_id) {
                table id=(self.id) data-sort data-filter[self.rows.len() >= FILTERED] {
                    caption id=(caption_id) { (self.caption) }
                    thead { tr { @for column in self.columns { (heading(*column)) } } }
                    tbody { @for row in &self.rows { (self.row(row)) } }
                }
            }
            (self.legend())
        }
    }

    fn row(&self, row: &Row) -> Markup {
        html! {
            tr id=[row.id.as_ref()] .rest[row.is_rest] {
                @for (at, (cell, column)) in row.cells.iter().zip(self.columns).enumerate() {
                    @if at == 0 {
                        th scope="row" .n[column.is_number] data-v=[cell.sort] { (cell.shown) }
                    } @else {
                        td .n[column.is_number] .bad[cell.is_bad] .z[cell.sort == Some(0.0)] data-v=[cell.sort_beside_text()] {
                            (cell.shown)
                        }
                    }
                }
            }
        }
    }

    fn legend(&self) -> Markup {
        let told = || self.columns.iter().filter(|column| !column.meaning.is_empty());
        html! {
            @if told().next().is_some() {
                details .legend {
                    summary { "What the columns say" }
                    dl { @for column in told() { dt { (column.heading) } dd { (column.meaning) } } }
                }
            }
        }
    }
}

impl Cell {
    /// Nothing where the text is the number itself, for the size of the page.
    fn sort_beside_text(&self) -> Option<f64> {
        self.sort.filter(|sort| self.shown.0 != sort.to_string())
    }
}

fn heading(column: Column) -> Markup {
    html! {
        th scope="col" .n[column.is_number] { (column.heading) }
    }
}

/// A table of numbers beside a chart, which is neither sorted nor filtered; the first cell of a row says what it is of.
pub(super) fn plain(caption: &str, headings: &[&str], rows: &[Vec<String>]) -> Markup {
    html! {
        div .scroll role="region" tabindex="0" aria-label=(caption) {
            table {
                caption { (caption) }
                thead {
                    tr { @for (at, heading) in headings.iter().enumerate() { th scope="col" .n[at > 0] { (heading) } } }
                }
                tbody {
                    @for row in rows {
                        tr {
                            @for (at, cell) in row.iter().enumerate() {
                                @if at == 0 { th scope="row" { (cell) } } @else { td .n { (cell) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

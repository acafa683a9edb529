//! Table cells: style, alignment and width of the tables for the terminal.

use comfy_table::{Attribute, Cell, CellAlignment, Color, ColumnConstraint, ContentArrangement, Table, presets};

/// How the text may look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Style {
    /// Colours and bold.
    pub color: bool,
    /// Columns of the terminal, for which less important columns are left out; `None` for files and pipes. Nothing is
    /// ever wrapped: a wrapped address or cause can neither be read nor copied.
    pub width: Option<u16>,
    /// Rows per table; 0 for all.
    pub rows: usize,
}

/// An empty table with these headings.
pub(super) fn table(style: Style, headings: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    if style.color {
        table.enforce_styling();
    } else {
        table.force_no_tty();
    }
    table.set_header(headings.iter().map(|heading| {
        let cell = Cell::new(heading);
        if style.color { cell.add_attribute(Attribute::Dim) } else { cell }
    }));
    table
}

/// Leaves out columns, in the given order of headings, until the rows fit the terminal.
pub(super) fn fit(table: &mut Table, style: Style, order: &[&str]) {
    let Some(width) = style.width.map(usize::from) else { return };
    let headings: Vec<String> = table.header().into_iter().flat_map(|row| row.cell_iter().map(Cell::content)).collect();
    let columns: Vec<usize> = (table.column_max_content_widths().into_iter().zip(table.column_iter()))
        .map(|(content, column)| usize::from(content + column.padding_width()))
        .collect();
    // Blanks at the end of a line are trimmed.
    let mut taken = columns.iter().sum::<usize>().saturating_sub(1);
    for name in order {
        let Some(at) = headings.iter().position(|heading| heading == name).filter(|_| taken > width) else { continue };
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(ColumnConstraint::Hidden);
            taken -= columns[at];
        }
    }
}

/// A cell aligned as numbers are.
pub(super) fn number(value: impl ToString) -> Cell {
    Cell::new(value).set_alignment(CellAlignment::Right)
}

/// A cell in colour when it shows what is wrong.
pub(super) fn emphasised(value: impl ToString, wrong: bool, style: Style) -> Cell {
    let cell = Cell::new(value);
    if wrong && style.color { cell.fg(Color::Yellow) } else { cell }
}

/// Rows to be shown.
pub(super) fn limit(rows: usize, style: Style) -> usize {
    if style.rows == 0 { rows } else { rows.min(style.rows) }
}

/// The table and how many rows it leaves out.
pub(super) fn more(out: String, shown: usize, all: usize) -> String {
    if shown == all { out } else { format!("{out}\n... and {} more (--top 0 shows all)", all - shown) }
}

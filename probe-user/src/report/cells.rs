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

/// Leaves out columns, in the given order of headings, until the rows fit the terminal; returns the headings left out, and
/// whether the rows fit.
pub(super) fn fit(table: &mut Table, style: Style, order: &[&str]) -> Fit {
    let Some(width) = style.width.map(usize::from) else { return Fit::default() };
    let headings: Vec<String> = table.header().into_iter().flat_map(|row| row.cell_iter().map(Cell::content)).collect();
    let columns: Vec<usize> = (table.column_max_content_widths().into_iter().zip(table.column_iter()))
        .map(|(content, column)| usize::from(content + column.padding_width()))
        .collect();
    // Blanks at the end of a line are trimmed.
    let mut taken = columns.iter().sum::<usize>().saturating_sub(1);
    let mut left_out = Vec::new();
    for name in order {
        let Some(at) = headings.iter().position(|heading| heading == name).filter(|_| taken > width) else { continue };
        if let Some(column) = table.column_mut(at) {
            column.set_constraint(ColumnConstraint::Hidden);
            taken -= columns[at];
            left_out.push(at);
        }
    }
    left_out.sort_unstable();
    Fit {
        left_out: left_out.into_iter().map(|at| headings[at].clone()).collect(),
        free: width.saturating_sub(taken),
        beyond: taken.saturating_sub(width),
    }
}

/// How the columns of a table fit the terminal.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Fit {
    /// Headings of columns left out, from left to right.
    pub left_out: Vec<String>,
    /// Columns of the terminal that no column takes.
    pub free: usize,
    /// Columns of the terminal that are missing all the same.
    pub beyond: usize,
}

impl Fit {
    /// What is said below the table of what was left out, with an end of line; empty where every column is there.
    pub(super) fn notice(&self) -> String {
        match self.left_out.len() {
            0 => String::new(),
            1 => format!("1 column does not fit: {}; --wide shows it\n", self.left_out[0]),
            count => format!("{count} columns do not fit: {}; --wide shows them\n", self.left_out.join(", ")),
        }
    }
}

/// The text of a table; what is wider than the terminal all the same is cut, which an ellipsis tells.
pub(super) fn rendered(table: &Table, style: Style) -> String {
    let text = table.trim_fmt();
    match style.width {
        Some(width) => text.lines().map(|line| cut(line, width.into())).collect::<Vec<_>>().join("\n"),
        None => text,
    }
}

/// A line of at most so many columns; sequences that colour it take none.
pub(super) fn cut(line: &str, width: usize) -> String {
    let seen = |part: (usize, &str)| match part {
        (0, text) => text.to_owned(),
        (_, sequence) => sequence.split_once('m').map_or("", |(_, text)| text).to_owned(),
    };
    let seen: String = line.split('\u{1b}').enumerate().map(seen).collect();
    // Blanks at the end are within a colour, where nobody trims them.
    let fits = seen.trim_end().chars().count() <= width;
    let (mut out, mut column, mut is_sequence) = (String::new(), 0, false);
    for letter in line.chars() {
        is_sequence |= letter == '\u{1b}';
        if is_sequence {
            out.push(letter);
            is_sequence = letter != 'm';
            continue;
        }
        column += 1;
        if column < width || column == width && fits {
            out.push(letter);
        } else if column == width {
            out.push('…');
        }
    }
    out
}

/// Text in lines of at most so many columns, broken at blanks; what goes on below begins `indent` columns further in than its
/// line. Words that are longer are left whole.
pub(super) fn wrapped(text: &str, style: Style, indent: usize) -> String {
    let Some(width) = style.width.map(usize::from) else { return text.to_owned() };
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        let first = line.len() - line.trim_start().len();
        let (mut column, mut is_first) = (0, true);
        for word in line.split(' ') {
            let length = word.chars().filter(|letter| !letter.is_control()).count();
            if !is_first && column + 1 + length > width && column > first + indent {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', first + indent));
                column = first + indent;
            } else if !is_first {
                out.push(' ');
                column += 1;
            }
            out.push_str(word);
            (column, is_first) = (column + length, false);
        }
        out.push_str(end);
    }
    out
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
    if shown == all { out } else { format!("{out}\n... and {} more (--all shows all)", all - shown) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(width: u16) -> Style {
        Style { width: Some(width), ..Style::default() }
    }

    #[test]
    fn prose_is_broken_at_blanks_and_goes_on_further_in() {
        let text = "  1. one two three\n     Next: a verylongwordthatfitsnowhere b\n\n";
        let lines = "  1. one two\n      three\n     Next: a\n         verylongwordthatfitsnowhere\n         b\n\n";
        assert_eq!(wrapped(text, of(12), 4), lines);
        assert_eq!(wrapped(text, Style::default(), 4), text);
        assert_eq!(wrapped(text, of(80), 4), text);
    }

    #[test]
    fn lines_are_cut_by_what_is_seen_of_them() {
        assert_eq!((cut("abcdef", 6), cut("abcdef", 4)), ("abcdef".to_owned(), "abc…".to_owned()));
        assert_eq!(cut("\u{1b}[2mab\u{1b}[0mcdef", 6), "\u{1b}[2mab\u{1b}[0mcdef");
        assert_eq!(cut("\u{1b}[2mab  \u{1b}[0m", 2), "\u{1b}[2mab\u{1b}[0m", "blanks need no room");
        assert_eq!(cut("\u{1b}[2mab\u{1b}[0mcdef", 3), "\u{1b}[2mab\u{1b}[0m…");
    }
}

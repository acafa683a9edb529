//! One line per closed connection, as `rstprobe run` prints them, in columns that fit the terminal.

use super::{cells::Style, text};
use crate::record::{Cause, Connection};

/// A column: heading, least width, whether it is aligned as numbers are, and its cell.
type Column = (&'static str, usize, bool, fn(&Connection) -> String);

/// All columns, in order; the last has no width.
const COLUMNS: [Column; 13] = [
    ("ID", 7, true, |one| one.id.to_string()),
    ("START", 12, false, |one| text::time_of_day(one.start_ns)),
    ("CLIENT", 21, false, |one| text::endpoint(one.orig)),
    ("SERVER", 21, false, |one| text::endpoint(one.resp)),
    ("STATE", 6, false, |one| one.conn_state.as_str().to_owned()),
    ("HISTORY", 12, false, |one| one.history.as_str().to_owned()),
    ("FIN", 5, true, |one| text::both(one.from_orig.fin, one.from_resp.fin)),
    ("RST", 5, true, |one| text::both(one.from_orig.rst, one.from_resp.rst)),
    ("BYTES", 9, true, |one| text::bytes(one.from_orig.bytes + one.from_resp.bytes)),
    ("DURATION", 9, true, |one| text::duration(one.duration_ns)),
    ("RESET BY", 8, false, |one| one.reset_by.as_str().to_owned()),
    ("IMPACT", 14, false, |one| one.verdict.impact.as_str().to_owned()),
    ("CAUSE", 23, false, cause),
];

/// Columns that a narrow terminal does without, the least important first.
const EXTRAS: [&str; 9] = ["HISTORY", "BYTES", "DURATION", "STATE", "FIN", "RESET BY", "IMPACT", "RST", "START"];

/// The cause, or how it ended where there is nothing to explain.
fn cause(connection: &Connection) -> String {
    match connection.verdict.cause {
        Cause::None => connection.closing.as_str().to_owned(),
        cause => cause.id().to_owned(),
    }
}

/// Columns that fit.
fn columns(style: Style) -> impl Iterator<Item = &'static Column> {
    let width = style.width.map_or(usize::MAX, usize::from);
    let mut taken: usize = COLUMNS.iter().map(|(_, width, ..)| width + 1).sum::<usize>() - 1;
    let left_out = EXTRAS.iter().take_while(|name| {
        let is_needed = taken > width;
        let of_column = COLUMNS.iter().find(|(heading, ..)| heading == *name).map_or(0, |(_, width, ..)| width + 1);
        taken -= if is_needed { of_column } else { 0 };
        is_needed
    });
    let left_out: Vec<&str> = left_out.copied().collect();
    COLUMNS.iter().filter(move |(heading, ..)| !left_out.contains(heading))
}

fn joined(style: Style, cell: impl Fn(&Column) -> String) -> String {
    let cells = columns(style).map(|column| {
        let (cell, width) = (cell(column), column.1);
        if column.2 { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
    });
    cells.collect::<Vec<_>>().join(" ").trim_end().to_owned() + "\n"
}

/// Heading of the columns of [`connection`].
pub fn heading(style: Style) -> String {
    joined(style, |(heading, ..)| (*heading).to_owned())
}

/// One connection; FIN and RST are `client/server`, a dot none.
pub fn connection(connection: &Connection, style: Style) -> String {
    joined(style, |(.., cell)| cell(connection))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection as made,
        record::{Closing, Opening, Side},
    };

    #[test]
    fn lines_and_their_heading_fit_the_terminal() {
        let mut one =
            made("192.168.100.200:50000", Opening::Completed, Closing::RstOnly, Side::default(), Side::default());
        one.verdict.cause = Cause::ServerReplyThenReset;
        for width in 80..200 {
            let style = Style { width: Some(width), ..Style::default() };
            for line in [heading(style), connection(&one, style)] {
                assert!(line.trim_end().len() <= usize::from(width), "{width}: {line}");
                assert!(width < 100 || line.contains("START ") || line.contains("00:00:00.000"), "{width}: {line}");
                assert!(
                    line.starts_with("     ID ") || line.starts_with(&format!("{:>7} ", one.id)),
                    "{width}: {line}"
                );
                assert!(line.contains("CAUSE") || line.contains("192.168.100.200:50000"), "{line}");
            }
        }
        let all = heading(Style::default());
        assert!(COLUMNS.iter().all(|(heading, ..)| all.contains(heading)), "{all}");
    }
}

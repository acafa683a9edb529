//! Lines: how records that are printed one by one, as they come, become bytes.
//!
//! Pure, and each record for itself: batches may be made bytes of on any thread, and in any order. Another way of writing
//! records is one more [`LineFormat`].

use super::{cells::Style, json, line, line_buffer::LineBuffer, zeek};
use crate::record::Connection;

/// What a line of a record looks like.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum LineFormat {
    /// Every field, as JSON.
    Json,
    /// Zeek's conn.log.
    Zeek,
    /// The same as Zeek's JSON writer has it.
    ZeekJson,
    /// Columns for people.
    Columns(Style),
}

impl LineFormat {
    /// Appends the line of one record. `is_provisional`: a later line may correct it, where the format has such lines.
    pub fn append(self, out: &mut LineBuffer, connection: &Connection, is_provisional: bool) {
        match self {
            Self::Json => json::append_connection_line(out, connection, is_provisional),
            Self::Zeek => zeek::append_line(out, connection),
            Self::ZeekJson => zeek::append_json_line(out, connection),
            Self::Columns(style) => out.push(&line::connection(connection, style)),
        }
    }
}

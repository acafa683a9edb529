//! One line per closed connection, as `rstprobe run` prints them.

use super::text;
use crate::record::{Cause, Connection};

/// Heading of the columns of [`connection`].
pub fn heading() -> String {
    format!(
        "{:<12}  {:<21} -> {:<21}  {:<6} {:<12} {:>5} {:>5} {:>9} {:>9}  {:<7} {:<14} {}\n",
        "START", "CLIENT", "SERVER", "STATE", "HISTORY", "FIN", "RST", "BYTES", "DURATION", "RESET", "IMPACT", "CAUSE"
    )
}

/// One connection; FIN and RST are `client/server`.
pub fn connection(connection: &Connection) -> String {
    let (orig, resp) = (&connection.from_orig, &connection.from_resp);
    let cause = match connection.verdict.cause {
        Cause::None => connection.closing.as_str(),
        cause => cause.id(),
    };
    format!(
        "{:<12}  {:<21} -> {:<21}  {:<6} {:<12} {:>5} {:>5} {:>9} {:>9}  {:<7} {:<14} {}\n",
        text::time_of_day(connection.start_ns),
        text::endpoint(connection.orig),
        text::endpoint(connection.resp),
        connection.conn_state.as_str(),
        connection.history.as_str(),
        text::both(orig.fin, resp.fin),
        text::both(orig.rst, resp.rst),
        text::bytes(orig.bytes + resp.bytes),
        text::duration(connection.duration_ns),
        connection.reset_by.as_str(),
        connection.verdict.impact.as_str(),
        cause,
    )
}

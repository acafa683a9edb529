//! Reports: plain data in, text out (tables, JSON, conn.log, lines).
//!
//! Pure: no I/O, no clock, no terminal. Whoever writes the text says how wide the terminal is and whether it has colours.

mod cells;
pub mod explanation;
pub mod explanation_html;
pub mod explanation_text;
mod explanation_words;
pub mod field_list;
pub mod findings;
pub mod flood;
pub mod grouped;
pub mod html;
mod interface_counters;
pub mod json;
pub mod line;
pub mod losses;
mod outcomes;
pub mod prose;
pub mod quality;
pub mod table;
mod text;
mod time_bars;
pub mod zeek;

pub use interface_counters::{DriverCounters, DriverLoss, QueueUse, Received};

use crate::{aggregate::Aggregate, record::Connection};

/// Everything one snapshot says.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Where and when.
    pub window: Window,
    /// Which connections it is about, unless all.
    pub filter: Option<Filtered>,
    /// Sums and groups over these connections, listed or not.
    pub aggregate: Aggregate,
    /// Where frames and segments went that are in no connection, by stable name.
    pub losses: Vec<Loss>,
    /// What the data plane saw, by stable name.
    pub books: Vec<(&'static str, u64)>,
    /// What was counted by service instead of followed.
    pub flood: flood::Flood,
    /// How good the capture is.
    pub quality: quality::Quality,
    /// These connections, by start.
    pub connections: Vec<Connection>,
}

/// What a snapshot was restricted to. Losses, books and the quality of the capture are those of all connections.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filtered {
    /// The condition.
    pub expression: String,
    /// Records that do not meet it: connections, and RSTs that belong to none.
    pub left_out: u64,
}

/// A counter of something that is not, or not fully, in the connections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Loss {
    /// Stable, dotted name, e.g. `rejected.not_tcp`.
    pub name: &'static str,
    /// How many.
    pub count: u64,
    /// True when something that should be in a connection is missing; false for what was never TCP.
    pub matters: bool,
}

/// Where and when a snapshot was taken.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Window {
    /// What this host sent on its own interface was not seen.
    pub is_one_way: bool,
    /// Start, nanoseconds since the Unix epoch.
    pub start_ns: u64,
    /// End.
    pub end_ns: u64,
    /// Interfaces, with mode.
    pub interfaces: Vec<InterfaceUse>,
    /// `auto`, `full` or `control`; empty for captures.
    pub depth: &'static str,
    /// `pass` or `drop`; empty for captures.
    pub action: &'static str,
    /// A capture could not be read to its end.
    pub is_cut_short: bool,
    /// There was no TCP segment at all.
    pub has_no_tcp: bool,
}

/// One interface of a window.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct InterfaceUse {
    /// Name.
    pub name: String,
    /// `native` or `generic`.
    pub mode: &'static str,
    /// Driver.
    pub driver: String,
    /// What kernel and NIC counted meanwhile; `None` when they do not say.
    pub received: Option<Received>,
    /// What the program counted by queue; empty when it did not.
    pub queues: Vec<QueueUse>,
    /// When it was not watched, because it was away: at most.
    pub gaps: Vec<Gap>,
}

/// A time in which an interface was not watched.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Gap {
    /// When it was last there, nanoseconds since the Unix epoch.
    pub from_ns: u64,
    /// When it was attached again, or watching ended.
    pub until_ns: u64,
}

impl Gap {
    /// How long, seconds.
    pub fn seconds(self) -> f64 {
        self.until_ns.saturating_sub(self.from_ns) as f64 / 1e9
    }
}

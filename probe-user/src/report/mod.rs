//! Reports: plain data in, text out (tables, JSON, conn.log, lines).
//!
//! Pure: no I/O, no clock, no terminal. Whoever writes the text says how wide the terminal is and whether it has colours.

mod cells;
pub mod counter_meaning;
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
mod line_buffer;
pub mod lines;
pub mod losses;
mod outcomes;
pub mod prose;
pub mod quality;
#[cfg(test)]
mod random_records;
mod room;
pub mod table;
mod text;
mod time_bars;
mod watch_gaps;
pub mod zeek;

pub use interface_counters::{DriverCounters, DriverLoss, QueueUse, Received};
pub use line_buffer::LineBuffer;
pub use watch_gaps::{Gap, WatchGaps};

use std::ops::Range;

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

impl Window {
    /// Times in which none of its interfaces was watched: that nothing was seen then is no measurement.
    pub fn unwatched(&self) -> Vec<Range<u64>> {
        let mut gaps = self.interfaces.iter().map(|interface| interface.gaps.told());
        let first = gaps.next().map(<[Gap]>::to_vec).unwrap_or_default();
        let common: Vec<Gap> = gaps.fold(first, |common, others| {
            let overlap = |one: &Gap, two: &Gap| Gap {
                from_ns: one.from_ns.max(two.from_ns),
                until_ns: one.until_ns.min(two.until_ns),
            };
            let pairs = common.iter().flat_map(|one| others.iter().map(move |two| overlap(one, two)));
            pairs.filter(|gap| gap.from_ns < gap.until_ns).collect()
        });
        common.into_iter().map(|gap| gap.from_ns..gap.until_ns).collect()
    }
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
    pub gaps: WatchGaps,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unwatched_is_when_no_interface_was_there() {
        let interface = |gaps: &[(u64, u64)]| InterfaceUse {
            name: "eth0".to_owned(),
            mode: "native",
            driver: String::new(),
            received: None,
            queues: Vec::new(),
            gaps: gaps.iter().map(|&(from_ns, until_ns)| Gap { from_ns, until_ns }).collect(),
        };
        let unwatched = |interfaces: &[&[(u64, u64)]]| {
            let interfaces = interfaces.iter().map(|gaps| interface(gaps)).collect();
            let gaps = Window { interfaces, ..Window::default() }.unwatched();
            gaps.into_iter().map(|gap| (gap.start, gap.end)).collect::<Vec<_>>()
        };
        assert_eq!(unwatched(&[]), []);
        assert_eq!(unwatched(&[&[(1, 5), (7, 9)]]), [(1, 5), (7, 9)]);
        assert_eq!(unwatched(&[&[(1, 5), (7, 9)], &[]]), []);
        assert_eq!(unwatched(&[&[(1, 5), (7, 9)], &[(3, 8)]]), [(3, 5), (7, 8)]);
    }
}

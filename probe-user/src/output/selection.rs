//! Selection (`--filter`): which connections a view shows and counts, and how many it leaves out.
//!
//! Must not know: how connections are shown.

use crate::{
    aggregate::{CaptureLoss, Habits},
    filter::Filter,
    record::Connection,
    report::Filtered,
};

/// A filter and what it left out. Without a filter everything passes and nothing is counted.
pub(crate) struct Selection {
    filter: Option<Filter>,
    asks_verdict: bool,
    /// Records that were left out: connections, and RSTs that belong to none.
    left_out: u64,
    /// Of what was left out: how good a capture is does not depend on what is shown of it.
    capture_loss: CaptureLoss,
}

impl Selection {
    pub(crate) fn new(filter: Option<Filter>) -> Self {
        let asks_verdict = filter.as_ref().is_some_and(Filter::asks_verdict);
        Self { filter, asks_verdict, left_out: 0, capture_loss: CaptureLoss::default() }
    }

    /// Restricts it to connections that start at or after the one and before the other, nanoseconds since 1970.
    pub(crate) fn restrict(&mut self, period: [Option<u64>; 2]) {
        self.filter = Filter::of_period(period, self.filter.take());
    }

    /// Whether what it asks may be answered otherwise once all connections are known.
    pub(crate) fn asks_verdict(&self) -> bool {
        self.asks_verdict
    }

    /// Whether a connection, judged, passes; otherwise it is counted as left out.
    pub(crate) fn passes(&mut self, connection: &Connection) -> bool {
        let passes = self.filter.as_ref().is_none_or(|filter| filter.matches(connection));
        if !passes {
            self.left_out += 1;
            self.capture_loss.add(connection);
        }
        passes
    }

    /// As [`Self::passes`] of a connection that will be judged when all are known: true also where it may pass then.
    pub(crate) fn may_pass(&mut self, connection: &Connection) -> bool {
        self.asks_verdict && Habits::may_change(connection) || self.passes(connection)
    }

    /// Takes out what does not pass, and counts it for the habits of its service all the same.
    pub(crate) fn sift(&mut self, connections: &mut Vec<Connection>, habits: &mut Habits) {
        if self.filter.is_some() {
            connections.retain(|connection| {
                let passes = self.passes(connection);
                if !passes {
                    habits.observe(connection);
                }
                passes
            });
        }
    }

    /// Records that were left out: connections, and RSTs that belong to none.
    pub(crate) fn left_out(&self) -> u64 {
        self.left_out
    }

    /// Bytes of connections that were left out.
    pub(crate) fn capture_loss(&self) -> CaptureLoss {
        self.capture_loss
    }

    /// For the report.
    pub(crate) fn filtered(&self) -> Option<Filtered> {
        let filter = self.filter.as_ref()?;
        Some(Filtered { expression: filter.to_string(), left_out: self.left_out() })
    }
}

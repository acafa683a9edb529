//! Worst connections: of each cause the few that cost most, in bounded memory.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use crate::record::{Cause, Connection, Impact};

/// Connections of each cause.
const OF_CAUSE: usize = 8;

/// See the module.
#[derive(Clone, Debug)]
pub struct Worst {
    /// By cause; the least bad on top.
    by_cause: Vec<BinaryHeap<Reverse<Ranked>>>,
    /// Connections that something is to be said of.
    candidates: u64,
}

/// What it cost, what it lost, how often it was reset; of equals the earlier is worse.
type Rank = (u8, u64, u64, Reverse<u64>, Reverse<u64>);

#[derive(Clone, Debug)]
struct Ranked(Connection);

impl Default for Worst {
    fn default() -> Self {
        Self { by_cause: vec![BinaryHeap::new(); Cause::ALL.len()], candidates: 0 }
    }
}

impl Worst {
    /// Keeps a connection, judged, if it is among the worst of its cause. Those without any cause are not looked at.
    pub fn offer(&mut self, connection: &Connection) {
        if connection.verdict.cause == Cause::None {
            return;
        }
        self.candidates += 1;
        let heap = &mut self.by_cause[connection.verdict.cause as usize];
        if heap.len() < OF_CAUSE {
            heap.push(Reverse(Ranked(connection.clone())));
        } else if let Some(mut least) = heap.peek_mut()
            && rank(connection) > rank(&least.0.0)
        {
            *least = Reverse(Ranked(connection.clone()));
        }
    }

    /// Connections with a cause, kept or not.
    pub fn candidates(&self) -> u64 {
        self.candidates
    }

    /// Those that were kept, worst first.
    pub fn into_connections(self) -> Vec<Connection> {
        let mut all: Vec<_> = self.by_cause.into_iter().flatten().map(|one| one.0.0).collect();
        all.sort_by_key(|one| Reverse(rank(one)));
        all
    }
}

fn rank(connection: &Connection) -> Rank {
    let cost = match connection.verdict.impact {
        Impact::RequestLost => 5,
        Impact::ResponseLost => 4,
        Impact::TransferCut => 3,
        Impact::AttemptFailed => 2,
        Impact::Unknown => 1,
        Impact::None => 0,
    };
    let lost = connection.from_orig.lost_bytes.saturating_add(connection.from_resp.lost_bytes);
    (cost, lost, connection.rst_count(), Reverse(connection.start_ns), Reverse(connection.id))
}

impl PartialEq for Ranked {
    fn eq(&self, other: &Self) -> bool {
        rank(&self.0) == rank(&other.0)
    }
}

impl Eq for Ranked {}

impl PartialOrd for Ranked {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Ranked {
    fn cmp(&self, other: &Self) -> Ordering {
        rank(&self.0).cmp(&rank(&other.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Opening, Side},
    };

    #[test]
    fn each_cause_keeps_its_worst_and_losses_come_first() {
        let one = |id, cause, impact, lost_bytes| {
            let server = Side { rst: 1, lost_bytes, ..Side::default() };
            let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, Side::default(), server);
            (one.id, one.verdict.cause, one.verdict.impact) = (id, cause, impact);
            one
        };
        let mut worst = Worst::default();
        for id in 0..20 {
            worst.offer(&one(id, Cause::AppAbort, Impact::RequestLost, id));
            worst.offer(&one(100 + id, Cause::RstAfterClose, Impact::None, 0));
            worst.offer(&one(200 + id, Cause::None, Impact::None, 0));
        }
        assert_eq!(worst.candidates(), 40);
        let ids: Vec<_> = worst.into_connections().iter().map(|one| one.id).collect();
        let expected: Vec<u64> = (12..20).rev().chain(100..108).collect();
        assert_eq!(ids, expected, "of harmless ones the earliest");
    }
}

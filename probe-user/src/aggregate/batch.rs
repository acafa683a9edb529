//! Batched updates: connections are collected in order of arrival and added to the groups row by row.
//!
//! Rows are larger than what a processor keeps near, and every connection belongs to two of them. Added one by one, each
//! would be waited for; added row by row, each is fetched once for many. Must not know what the sums mean.
//!
//! Adding each connection to its groups at once costs 13 % more time of reading and takes 1.3 MB less memory (2026-12-01).

use super::{Rows, contribution::Contribution, group::Groups, totals::Totals};
use crate::record::Connection;

/// Facts gathered before they are added: many per row, where rows are many.
pub(super) const BATCH_LEN: usize = 1 << 15;
const _: () = assert!(BATCH_LEN < 1 << 24, "sums over those of one row are of half a word");

/// Facts that wait to be added.
#[derive(Clone, Debug)]
pub(super) struct Batch {
    contributions: Vec<Contribution>,
    /// Of each fact.
    rows: Vec<Rows>,
    /// Memory for numbers of facts in the order of their rows, and for where those of a row begin, then end.
    order: Vec<u32>,
    bounds: Vec<u32>,
}

impl Batch {
    /// With room for all: if it grew, it would be copied, and touching memory for the first time is dear.
    pub(super) fn new() -> Self {
        let (contributions, rows) = (Vec::with_capacity(BATCH_LEN), Vec::with_capacity(BATCH_LEN));
        Self { contributions, rows, order: Vec::new(), bounds: Vec::new() }
    }

    /// Adds one; false when it does not fit, and has to be added directly.
    #[inline]
    pub(super) fn push(&mut self, connection: &Connection, rows: Rows) -> bool {
        // Written before it is known to fit: then nothing has to be kept meanwhile.
        self.contributions.push(Contribution::of(connection));
        let fits = Contribution::fits(connection);
        if fits {
            self.rows.push(rows);
        } else {
            self.contributions.pop();
        }
        fits
    }

    /// So many that it is time to add them.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.rows.len() >= BATCH_LEN
    }

    /// How many wait.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Adds all to the rows of servers and clients, and to the sums over everything; forgets them.
    #[cold]
    pub(super) fn add_to(&mut self, all: &mut Totals, servers: &mut Groups, clients: &mut Groups) {
        // Each has one server: what its row takes is what they all take.
        self.add_by(0, servers, |totals| all.merge(totals));
        self.add_by(1, clients, |_| ());
        self.contributions.clear();
        self.rows.clear();
    }

    fn add_by(&mut self, kind: usize, groups: &mut Groups, mut taken: impl FnMut(&Totals)) {
        self.sort_by_row(kind, groups.len());
        let mut order = &self.order[..];
        let mut begin = 0;
        for (group, &end) in groups.rows_mut().zip(&self.bounds) {
            let (run, others) = order.split_at((end - begin) as usize);
            (order, begin) = (others, end);
            if !run.is_empty() {
                taken(&group.add_run(&self.contributions, run));
            }
        }
    }

    /// By counting: facts of one row stay in their order. Leaves where each row ends in `bounds`.
    fn sort_by_row(&mut self, kind: usize, rows: usize) {
        self.bounds.clear();
        self.bounds.resize(rows + 1, 0);
        for rows in &self.rows {
            self.bounds[rows[kind] as usize + 1] += 1;
        }
        let mut sum = 0;
        for bound in &mut self.bounds {
            sum += *bound;
            *bound = sum;
        }
        self.order.clear();
        self.order.resize(self.rows.len(), 0);
        for (at, rows) in self.rows.iter().enumerate() {
            let bound = &mut self.bounds[rows[kind] as usize];
            self.order[*bound as usize] = at as u32;
            *bound += 1;
        }
    }
}

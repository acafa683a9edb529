//! Connections on their way to the rows: gathered in order of arrival, added row by row.
//!
//! Rows are larger than what a processor keeps near, and every connection belongs to two of them. Added one by one, each
//! would be waited for; added row by row, each is fetched once for many. Must not know what the sums mean.

use super::{Rows, fact::Fact, group::Group, totals::Totals};
use crate::lifecycle::Connection;

/// Facts gathered before they are added: many per row, where rows are many.
const GATHER: usize = 1 << 15;
const _: () = assert!(GATHER < 1 << 24, "sums over those of one row are of half a word");

/// Facts that wait to be added.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    /// As many as there were at once; those that wait come first.
    facts: Vec<Fact>,
    waiting: usize,
    /// Memory for numbers of facts in the order of their rows, and for where those of a row begin, then end.
    order: Vec<u32>,
    bounds: Vec<u32>,
}

impl Gathered {
    /// Adds one; false when its sums do not fit, and have to be added directly.
    #[inline]
    pub(super) fn push(&mut self, connection: &Connection, rows: Rows) -> bool {
        if self.waiting >= self.facts.len() {
            self.make_room();
        }
        // Written before it is known to fit: then nothing has to be kept meanwhile.
        let fact = &mut self.facts[self.waiting];
        *fact = Fact::of(connection, rows);
        self.waiting += 1;
        let fits = Fact::fits(connection);
        if !fits {
            fact.forget_sums();
        }
        fits
    }

    #[cold]
    fn make_room(&mut self) {
        let room = (self.facts.len() * 2).clamp(64, GATHER);
        self.facts.resize(room, Fact::default());
    }

    /// So many that it is time to add them.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.waiting >= GATHER
    }

    /// Adds all to the rows of servers and clients, and to the sums over everything; forgets them.
    #[cold]
    pub(super) fn add_to(&mut self, all: &mut Totals, servers: &mut [Group], clients: &mut [Group]) {
        // Each has one server: what its row takes is what they all take.
        self.add_by(0, servers, |totals| all.merge(totals));
        self.add_by(1, clients, |_| ());
        self.waiting = 0;
    }

    fn add_by(&mut self, kind: usize, groups: &mut [Group], mut taken: impl FnMut(&Totals)) {
        self.sort_by_row(kind, groups.len());
        let mut order = &self.order[..];
        let mut begin = 0;
        for (group, &end) in groups.iter_mut().zip(&self.bounds) {
            let (run, others) = order.split_at((end - begin) as usize);
            (order, begin) = (others, end);
            if !run.is_empty() {
                taken(&group.add_run(&self.facts, run));
            }
        }
    }

    /// By counting: facts of one row stay in their order. Leaves where each row ends in `bounds`.
    fn sort_by_row(&mut self, kind: usize, rows: usize) {
        self.bounds.clear();
        self.bounds.resize(rows + 1, 0);
        for fact in &self.facts[..self.waiting] {
            self.bounds[fact.rows[kind] as usize + 1] += 1;
        }
        let mut sum = 0;
        for bound in &mut self.bounds {
            sum += *bound;
            *bound = sum;
        }
        self.order.clear();
        self.order.resize(self.waiting, 0);
        for (at, fact) in self.facts[..self.waiting].iter().enumerate() {
            let bound = &mut self.bounds[fact.rows[kind] as usize];
            self.order[*bound as usize] = at as u32;
            *bound += 1;
        }
    }
}

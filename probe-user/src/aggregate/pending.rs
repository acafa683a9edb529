//! Pending aggregate: sums over connections whose causes may still change; `Pending::settle` yields the final one. Only
//! what [`Pending::settle`] makes of it can be read.

use std::net::IpAddr;

use super::{
    Aggregate, OfOne, Rows,
    batch::Batch,
    habit::{Habits, Question, ServiceNumber},
};
use crate::record::{Cause, Closing, Connection, Impact, ResetBy};

/// See the module.
#[derive(Clone, Debug)]
pub struct Pending {
    aggregate: Aggregate,
    /// In no sum yet.
    batch: Batch,
    connections: u64,
    aborted: Vec<Aborted>,
    refused: Vec<Refused>,
    watched: Vec<Watched>,
    /// By server row: the number of its service among the habits.
    services: Vec<Option<ServiceNumber>>,
}

/// A connection that was added before all was known of how its service ends them. There may be millions of these: its
/// service is a number among the habits, which fits 16 bits because no more services than that are remembered.
#[derive(Clone, Copy, Debug)]
struct Aborted {
    server: u32,
    client: u32,
    service: ServiceNumber,
    closer: ResetBy,
    cause: Cause,
}

const _: () = assert!(size_of::<Aborted>() == 12);

/// A refusal that was added before all was known of how far away the host is.
#[derive(Clone, Copy, Debug)]
struct Refused {
    host: IpAddr,
    ttl: u8,
    after_ns: u64,
    impact: Impact,
    reset_by: ResetBy,
    server: u32,
    client: u32,
}

/// A connection like a monitor's that was added before all was known of when its client comes.
#[derive(Clone, Copy, Debug)]
struct Watched {
    pair: u32,
    habit: Option<ServiceNumber>,
    server: u32,
    client: u32,
    of_one: OfOne,
}

/// Rows that a connection is known to be in.
#[derive(Clone, Copy, Debug)]
pub struct KnownRows(Option<Rows>);

/// Connections that wait for judgement at most; further ones are judged by what is known when they are added.
const MAX_OPEN: usize = 4 << 20;

/// Connections whose rows are looked for before the first of them is added.
const AT_ONCE: usize = 32;

impl Pending {
    /// See [`Aggregate::new`].
    pub fn new(max_groups: usize) -> Self {
        Self {
            aggregate: Aggregate::new(max_groups),
            batch: Batch::new(),
            connections: 0,
            aborted: Vec::new(),
            refused: Vec::new(),
            watched: Vec::new(),
            services: Vec::new(),
        }
    }

    /// Connections so far, RSTs without one left out.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Connections that are in no sum yet.
    #[cfg(test)]
    pub(super) fn batch(&self) -> usize {
        self.batch.len()
    }

    /// Adds one connection, judged.
    pub fn add_judged(&mut self, connection: &Connection) {
        self.add_judged_to(connection, KnownRows(None));
    }

    /// As [`Self::add_judged`]; what [`Self::approach`] said of it saves looking.
    #[inline]
    pub fn add_judged_to(&mut self, connection: &Connection, known: KnownRows) {
        if connection.closing == Closing::RstWithoutConnection {
            self.aggregate.add(connection);
            return;
        }
        let rows = known.0.unwrap_or_else(|| self.aggregate.rows_of(connection));
        self.connections += 1;
        self.add_to_rows(connection, rows);
    }

    /// Brings near what connections will need that are observed, judged and added one by one, and says in what rows they are
    /// as far as there are such rows yet. Best of some tens, as with little done in between much of it is fetched at the same
    /// time.
    pub fn approach(&self, connections: &[Connection], habits: &Habits, known: &mut Vec<KnownRows>) {
        let mut near = 0;
        known.clear();
        known.extend(connections.iter().map(|connection| {
            near ^= habits.approach(connection);
            KnownRows(self.aggregate.find_rows_of(connection))
        }));
        std::hint::black_box(near);
    }

    /// Has the habits observe a connection that is judged by them at once.
    #[inline]
    pub fn observe(&mut self, connection: &Connection, known: KnownRows, habits: &mut Habits) {
        match known.0 {
            Some(rows) => habits.observe_of(connection, self.service(rows)),
            None => habits.observe(connection),
        }
    }

    /// Adds connections, each after `habits` has observed it; [`Self::settle`] will judge them by what is known then.
    /// They are always the same habits: what is remembered of services are numbers among them. With others, connections
    /// are counted for the wrong service or for none.
    pub fn add(&mut self, connections: &mut [Connection], habits: &mut Habits) {
        for some in connections.chunks_mut(AT_ONCE) {
            // With little done in between, much of the memory that this needs is fetched at the same time.
            let mut rows = [None; AT_ONCE];
            let mut near = 0;
            for (rows, connection) in rows.iter_mut().zip(&*some) {
                if connection.closing != Closing::RstWithoutConnection {
                    *rows = Some(self.aggregate.rows_of(connection));
                }
                near ^= habits.approach(connection);
            }
            std::hint::black_box(near);
            for (connection, rows) in some.iter_mut().zip(rows) {
                if let Some(rows) = rows {
                    self.add_one(connection, rows, habits);
                } else {
                    habits.observe(connection);
                    self.add_judged(connection);
                }
            }
        }
    }

    #[inline]
    fn add_one(&mut self, connection: &mut Connection, rows: Rows, habits: &mut Habits) {
        self.connections += 1;
        if let Some(question) = habits.ask(connection, self.service(rows)) {
            self.leave_open(question, connection, habits, rows);
        }
        self.add_to_rows(connection, rows);
    }

    #[inline]
    fn add_to_rows(&mut self, connection: &Connection, rows: Rows) {
        self.aggregate.add_words(connection);
        if !self.batch.push(connection, rows) {
            self.aggregate.add_sums(connection, Some(rows));
        }
        if self.batch.is_full() {
            self.flush();
        }
    }

    /// What is known of its number among the habits.
    #[inline]
    fn service(&mut self, [server, _]: Rows) -> &mut Option<ServiceNumber> {
        let at = server as usize;
        if at >= self.services.len() {
            self.services.resize(at + 1, None);
        }
        if !self.aggregate.servers.is_of_one(server) {
            self.services[at] = None;
        }
        &mut self.services[at]
    }

    #[cold]
    fn leave_open(&mut self, question: Question, connection: &mut Connection, habits: &Habits, rows: Rows) {
        if self.aborted.len() + self.refused.len() + self.watched.len() >= MAX_OPEN {
            habits.judge(connection);
            return;
        }
        let [server, client] = rows;
        match question {
            Question::Habit { service, closer } => {
                let one = Aborted { server, client, service, closer, cause: connection.verdict.cause };
                self.aborted.push(one);
            }
            Question::Refusal { host, ttl, after_ns } => {
                let (reset_by, impact) = (connection.reset_by, connection.verdict.impact);
                self.refused.push(Refused { host, ttl, after_ns, impact, reset_by, server, client });
            }
            Question::Monitor { pair, habit } => {
                let verdict = &connection.verdict;
                let is_lossy = verdict.impact.is_loss() && connection.is_established();
                let lossy_rsts = if is_lossy { connection.rst_count() } else { 0 };
                let (cause, impact) = (verdict.cause, verdict.impact);
                let of_one = OfOne { cause, reset_by: connection.reset_by, impact, lossy_rsts };
                self.watched.push(Watched { pair, habit, server, client, of_one });
            }
        }
    }

    fn flush(&mut self) {
        let Aggregate { totals, servers, clients, .. } = &mut self.aggregate;
        self.batch.add_to(totals, servers, clients);
    }

    /// Adds what is not in the sums yet, and judges what was left open.
    pub fn settle(mut self, habits: &Habits) -> Aggregate {
        self.flush();
        let mut aggregate = self.aggregate;
        for one in self.aborted {
            let question = Question::Habit { service: one.service, closer: one.closer };
            if let Some(cause) = habits.answer(question) {
                // What loses something is no habit.
                let (reset_by, impact) = (one.closer, Impact::None);
                let of_one = OfOne { cause: one.cause, reset_by, impact, lossy_rsts: 0 };
                aggregate.judge(of_one, cause, [one.server, one.client]);
            }
        }
        for one in self.refused {
            let question = Question::Refusal { host: one.host, ttl: one.ttl, after_ns: one.after_ns };
            if let Some(cause) = habits.answer(question) {
                let (reset_by, impact) = (one.reset_by, one.impact);
                let of_one = OfOne { cause: Cause::RefusedClosedPort, reset_by, impact, lossy_rsts: 0 };
                aggregate.judge(of_one, cause, [one.server, one.client]);
            }
        }
        for one in self.watched {
            if let Some(cause) = habits.answer(Question::Monitor { pair: one.pair, habit: one.habit }) {
                aggregate.judge(one.of_one, cause, [one.server, one.client]);
            }
        }
        aggregate
    }
}

//! Connections added up while more are to come: what their causes depend on is not all known yet, and not all is in the
//! sums. Only what [`Unsettled::settle`] makes of it can be read.

use super::{
    Aggregate, Rows,
    gathered::Gathered,
    habit::{Habits, Question, ServiceNumber},
};
use crate::lifecycle::{Cause, Closing, Connection, ResetBy};

/// See the module.
#[derive(Clone, Debug)]
pub struct Unsettled {
    aggregate: Aggregate,
    /// In no sum yet.
    gathered: Gathered,
    connections: u64,
    open: Vec<Open>,
    /// By server row: the number of its service among the habits.
    services: Vec<Option<ServiceNumber>>,
}

/// A connection that was added before all was known that its cause may depend on.
#[derive(Clone, Copy, Debug)]
struct Open {
    question: Question,
    server: u32,
    client: u32,
    cause: Cause,
    reset_by: ResetBy,
}

/// Connections that wait for judgement at most; further ones are judged by what is known when they are added.
const MAX_OPEN: usize = 4 << 20;

/// Connections whose rows are looked for before the first of them is added.
const AT_ONCE: usize = 32;

impl Unsettled {
    /// See [`Aggregate::new`].
    pub fn new(max_groups: usize) -> Self {
        Self {
            aggregate: Aggregate::new(max_groups),
            gathered: Gathered::new(),
            connections: 0,
            open: Vec::new(),
            services: Vec::new(),
        }
    }

    /// Connections so far, RSTs without one left out.
    pub fn connections(&self) -> u64 {
        self.connections
    }

    /// Adds one connection, judged.
    pub fn add_judged(&mut self, connection: &Connection) {
        self.connections += u64::from(connection.closing != Closing::RstWithoutConnection);
        self.aggregate.add(connection);
    }

    /// Adds connections, each after `habits` has observed it; [`Self::settle`] will judge them by what is known then.
    /// They are always the same habits: what is remembered of services are numbers among them.
    pub fn add(&mut self, connections: &mut [Connection], habits: &mut Habits) {
        for some in connections.chunks_mut(AT_ONCE) {
            // With little done in between, much of the memory that this needs is fetched at the same time.
            let mut rows = [None; AT_ONCE];
            for (rows, connection) in rows.iter_mut().zip(&*some) {
                if connection.closing != Closing::RstWithoutConnection {
                    *rows = Some(self.aggregate.rows_of(connection));
                }
            }
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
        self.aggregate.add_words(connection);
        if !self.gathered.push(connection, rows) {
            self.aggregate.add_sums(connection, Some(rows));
        }
        if self.gathered.is_full() {
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
        if self.open.len() >= MAX_OPEN {
            habits.judge(connection);
            return;
        }
        let [server, client] = rows;
        let (cause, reset_by) = (connection.verdict.cause, connection.reset_by);
        self.open.push(Open { question, server, client, cause, reset_by });
    }

    fn flush(&mut self) {
        let Aggregate { totals, servers, clients, .. } = &mut self.aggregate;
        self.gathered.add_to(totals, servers.rows_mut(), clients.rows_mut());
    }

    /// Adds what is not in the sums yet, and judges what was left open.
    pub fn settle(mut self, habits: &Habits) -> Aggregate {
        self.flush();
        let mut aggregate = self.aggregate;
        for one in self.open {
            if let Some(cause) = habits.answer(one.question) {
                aggregate.judge((one.cause, one.reset_by), cause, [one.server, one.client]);
            }
        }
        aggregate
    }
}

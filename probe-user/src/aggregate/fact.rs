//! Connections on their way to the rows: gathered in order of arrival, added row by row.
//!
//! Rows are larger than what a processor keeps near, and every connection belongs to two of them. Added one by one, each
//! would be waited for; added row by row, each is fetched once for many. Must not know what the sums mean.

use std::num::NonZeroU64;

use super::{FlagTotals, Totals, group::Group};

/// Facts gathered before they are added: many per row, where rows are many.
const GATHER: usize = 1 << 15;

/// What one connection adds to a row, in less than a line of memory.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Fact {
    duration_us: u64,
    idle_gap_ns: Option<NonZeroU64>,
    ip_bytes: u64,
    /// Rows of server and client.
    rows: [u32; 2],
    packets: u32,
    /// SYN, SYN-ACK, FIN and RST, of the client and of the server.
    flags: [u16; 8],
    /// Which of the sums that a connection raises by one at most it does raise.
    ones: u16,
    cause: u8,
}

/// What else than sums a row keeps of a connection.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Rest {
    /// Microseconds.
    pub(super) duration_us: u64,
    /// Idle time before its reset, if there was any worth naming; nanoseconds.
    pub(super) idle_gap_ns: Option<NonZeroU64>,
    /// Number of its cause.
    pub(super) cause: u8,
}

/// The sums that a connection raises by one at most.
fn ones(totals: &mut Totals) -> [&mut u64; 10] {
    [
        &mut totals.connections,
        &mut totals.attempts,
        &mut totals.completed_handshakes,
        &mut totals.refused,
        &mut totals.never_answered,
        &mut totals.with_rst,
        &mut totals.reset_by_client,
        &mut totals.reset_by_server,
        &mut totals.reset_by_middle,
        &mut totals.reset_by_unknown,
    ]
}

/// Its bit comes after those of [`ones`].
const ONE_SIDED: u16 = 1 << 10;

impl Fact {
    /// `None` for numbers so large, and sums so odd, that they do not fit.
    #[inline]
    fn of(totals: &Totals, rest: Rest, rows: [u32; 2]) -> Option<Self> {
        let mut raised = 0;
        let mut sums = totals.clone();
        for (bit, sum) in ones(&mut sums).into_iter().enumerate() {
            raised |= u16::from(*sum != 0) << bit;
        }
        let (client, server) = (&totals.client, &totals.server);
        let counts =
            [client.syn, client.syn_ack, client.fin, client.rst, server.syn, server.syn_ack, server.fin, server.rst];
        let fact = Self {
            duration_us: rest.duration_us,
            idle_gap_ns: rest.idle_gap_ns,
            ip_bytes: totals.ip_bytes,
            rows,
            packets: totals.packets as u32,
            flags: counts.map(|count| count as u16),
            ones: raised | if totals.one_sided != 0 { ONE_SIDED } else { 0 },
            cause: rest.cause,
        };
        (fact.totals() == *totals).then_some(fact)
    }

    /// The sums it was made of.
    #[inline]
    fn totals(&self) -> Totals {
        let [syn, syn_ack, fin, rst, their_syn, their_syn_ack, their_fin, their_rst] = self.flags.map(u64::from);
        let mut totals = Totals {
            client: FlagTotals { syn, syn_ack, fin, rst },
            server: FlagTotals { syn: their_syn, syn_ack: their_syn_ack, fin: their_fin, rst: their_rst },
            packets: u64::from(self.packets),
            ip_bytes: self.ip_bytes,
            one_sided: u64::from(self.ones & ONE_SIDED != 0),
            ..Totals::default()
        };
        for (bit, sum) in ones(&mut totals).into_iter().enumerate() {
            *sum = u64::from(self.ones >> bit & 1);
        }
        totals.rst_of_completed = totals.completed_handshakes * (rst + their_rst);
        totals
    }
}

/// Facts that wait to be added.
#[derive(Clone, Debug, Default)]
pub(super) struct Gathered {
    facts: Vec<Fact>,
    /// Memory for numbers of facts in the order of their rows, and for where those of a row begin.
    order: Vec<u32>,
    starts: Vec<u32>,
}

impl Gathered {
    /// Adds one; false when it does not fit, and has to be added directly.
    #[inline]
    pub(super) fn push(&mut self, totals: &Totals, rest: Rest, rows: [u32; 2]) -> bool {
        let fact = Fact::of(totals, rest, rows);
        self.facts.extend(fact);
        fact.is_some()
    }

    /// So many that it is time to add them.
    #[inline]
    pub(super) fn is_full(&self) -> bool {
        self.facts.len() >= GATHER
    }

    /// Adds all to the rows of servers and clients, and forgets them.
    #[cold]
    pub(super) fn add_to(&mut self, servers: &mut [Group], clients: &mut [Group]) {
        for (kind, groups) in [servers, clients].into_iter().enumerate() {
            self.sort_by_row(kind, groups.len());
            for &at in &self.order {
                let fact = &self.facts[at as usize];
                if let Some(group) = groups.get_mut(fact.rows[kind] as usize) {
                    group.add(
                        &fact.totals(),
                        Rest { duration_us: fact.duration_us, idle_gap_ns: fact.idle_gap_ns, cause: fact.cause },
                    );
                }
            }
        }
        self.facts.clear();
    }

    /// By counting: facts of one row stay in their order.
    fn sort_by_row(&mut self, kind: usize, rows: usize) {
        self.starts.clear();
        self.starts.resize(rows + 1, 0);
        for fact in &self.facts {
            self.starts[fact.rows[kind] as usize + 1] += 1;
        }
        let mut sum = 0;
        for start in &mut self.starts {
            sum += *start;
            *start = sum;
        }
        self.order.clear();
        self.order.resize(self.facts.len(), 0);
        for (at, fact) in self.facts.iter().enumerate() {
            let start = &mut self.starts[fact.rows[kind] as usize];
            self.order[*start as usize] = at as u32;
            *start += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rest() -> Rest {
        Rest { duration_us: 7, idle_gap_ns: NonZeroU64::new(8), cause: 3 }
    }

    #[test]
    fn a_fact_says_what_it_was_made_of_or_is_none() {
        let flags = FlagTotals { syn: 1, syn_ack: 2, fin: 3, rst: 4 };
        let mut totals = Totals { connections: 1, attempts: 1, with_rst: 1, one_sided: 1, ..Totals::default() };
        (totals.client, totals.packets, totals.ip_bytes) = (flags, 20, 1 << 40);
        let fact = Fact::of(&totals, rest(), [1, 2]).expect("small numbers");
        assert_eq!(fact.totals(), totals);
        totals.completed_handshakes = 1;
        assert_eq!(Fact::of(&totals, rest(), [1, 2]), None, "its RSTs are missing from the sum");
        totals.rst_of_completed = 4;
        assert_eq!(Fact::of(&totals, rest(), [1, 2]).map(|fact| fact.totals()), Some(totals.clone()));
        totals.client.fin = 65_536;
        assert_eq!(Fact::of(&totals, rest(), [1, 2]), None);
        totals.client.fin = 65_535;
        totals.packets = 1 << 32;
        assert_eq!(Fact::of(&totals, rest(), [1, 2]), None);
    }

    #[test]
    fn every_fact_reaches_its_two_rows() {
        let (mut servers, mut clients) = (vec![Group::default(); 3], vec![Group::default(); 5]);
        let mut gathered = Gathered::default();
        for number in 0..1000 {
            let totals = Totals { connections: 1, packets: number, ..Totals::default() };
            assert!(gathered.push(&totals, rest(), [(number % 3) as u32, (number % 5) as u32]));
        }
        gathered.add_to(&mut servers, &mut clients);
        gathered.add_to(&mut servers, &mut clients);
        for (rows, count) in [(&servers, 3), (&clients, 5)] {
            for (row, group) in rows.iter().enumerate() {
                let own = (0..1000).filter(|number| *number as usize % count == row);
                assert_eq!(group.totals.packets, own.clone().sum::<u64>());
                assert_eq!(group.totals.connections, own.count() as u64);
            }
        }
    }
}

//! Habits: causes that one connection cannot show and all connections of a service or host together can.
//!
//! Services that end their connections by RST as a habit: normal there, and no fault of the connection at hand (the seed
//! article; Arlitt & Williamson, CCR 35(1) 2005). And refusals in the name of a host that come from farther or nearer than
//! the host itself: a firewall's (Weaver et al., NDSS 2009, on TTLs).

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use indexmap::IndexSet;

use super::monitor::Monitors;
use crate::record::{Cause, Confidence, Connection, Fact, Impact, ResetBy, Value};

/// Fewest closes of a service that can make a habit.
const MIN_CLOSES: u64 = 5;
/// Share of a service's closes by RST from which it is a habit, per cent.
const MIN_SHARE_PER_CENT: u64 = 80;
/// Accepted connections of the same TTL from which that is the host's.
const MIN_ANSWERS: u32 = 3;
/// A box that answers in such a part of the time is nearer: first answers may have waited for addresses, or for a sleeping
/// radio.
const NEARER: u64 = 32;
/// A host that answers sooner is too near for its answers to tell anything by their time, nanoseconds.
const LONG_WAY_NS: u64 = 1_000_000;
/// Services remembered; later ones are not judged.
const MAX_SERVICES: usize = u16::MAX as usize + 1;

/// Closes of one service.
#[derive(Clone, Copy, Debug, Default)]
struct Closes {
    all: u64,
    by_server_rst: u64,
    by_client_rst: u64,
    ttl: HostTtl,
}

impl Closes {
    fn by(&self, side: ResetBy) -> u64 {
        match side {
            ResetBy::Server => self.by_server_rst,
            ResetBy::Client => self.by_client_rst,
            _ => 0,
        }
    }

    fn is_habit(&self, side: ResetBy) -> bool {
        self.all >= MIN_CLOSES && self.by(side) * 100 >= self.all * MIN_SHARE_PER_CENT
    }
}

/// From how far a host answers: TTL or hop limit of what it sent besides RSTs, in connections that it accepted.
#[derive(Clone, Copy, Debug, Default)]
struct HostTtl {
    ttl: u8,
    /// Connections in a row with this TTL. An address with several hosts behind it never gets far.
    seen: u32,
    /// The least time that a SYN-ACK of it took, nanoseconds; 0 when not known.
    answer_ns: u64,
}

impl HostTtl {
    /// One more connection; true while that tells anything new.
    fn see(&mut self, ttl: u8) -> bool {
        if ttl == 0 || (ttl == self.ttl && self.seen >= MIN_ANSWERS) {
            return false;
        }
        self.seen = if ttl == self.ttl { self.seen + 1 } else { 1 };
        self.ttl = ttl;
        true
    }

    fn see_answer(&mut self, after_ns: Option<u64>) {
        if let Some(after_ns) = after_ns.filter(|&ns| ns > 0) {
            self.answer_ns = if self.answer_ns == 0 { after_ns } else { self.answer_ns.min(after_ns) };
        }
    }

    /// A refusal that comes in a fraction of the time in which the host ever answered is of a box before it.
    fn is_too_soon(self, after_ns: u64) -> bool {
        self.answer_ns >= LONG_WAY_NS && after_ns < self.answer_ns / NEARER
    }

    /// Whether `ttl` may be the host's own: as many hops away, whatever it began with (sockets may have a TTL of their own
    /// and the kernel's replies another). One hop is a route change.
    fn may_be(self, ttl: u8) -> bool {
        let hops = |ttl: u8| [64, 128, 255].into_iter().find(|&initial| ttl <= initial).unwrap_or(255) - ttl;
        hops(self.ttl).abs_diff(hops(ttl)) <= 1
    }
}

/// Of a service, in the order in which they told of themselves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct ServiceNumber(u16);

const _: () = assert!(MAX_SERVICES <= 1 << u16::BITS, "each service has a number of its own");

/// What the cause of a connection depends on besides itself.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question {
    /// Is this how this service always ends them?
    Habit { service: ServiceNumber, closer: ResetBy },
    /// Is this the TTL of the host that refused?
    Refusal { host: IpAddr, ttl: u8, after_ns: u64 },
    /// Does this client come at steady intervals?
    /// And if not, is this how the service's clients always end them?
    Monitor { pair: u32, habit: Option<ServiceNumber> },
}

/// How the services seen so far end their connections, and from how far their hosts answer.
#[derive(Clone, Debug, Default)]
pub struct Habits {
    hosts: HashMap<IpAddr, HostTtl, foldhash::fast::RandomState>,
    /// Numbers of services.
    places: IndexSet<SocketAddr, foldhash::fast::RandomState>,
    closes: Vec<Closes>,
    monitors: Monitors,
}

impl Habits {
    /// Counts one ended connection.
    pub fn observe(&mut self, connection: &Connection) {
        self.observe_of(connection, &mut None);
    }

    /// As [`Self::observe`], with the number of its service as [`Self::ask`] has it.
    #[inline]
    pub(super) fn observe_of(&mut self, connection: &Connection, number: &mut Option<ServiceNumber>) {
        self.count(connection, is_candidate(connection), number);
        if Monitors::is_candidate(connection) {
            self.monitors.see(connection);
        }
    }

    /// As [`Self::observe`]; what else its cause depends on. `number` is that of its service where it is known, and is
    /// told where it was needed. One that other habits gave is taken for that of whichever service has it here; where none
    /// has it, the connection is not counted.
    #[inline]
    pub(super) fn ask(&mut self, connection: &Connection, number: &mut Option<ServiceNumber>) -> Option<Question> {
        let is_candidate = is_candidate(connection);
        let service = self.count(connection, is_candidate, number);
        let habit = service.filter(|_| is_candidate);
        if Monitors::is_candidate(connection)
            && let Some(pair) = self.monitors.see(connection)
        {
            return Some(Question::Monitor { pair, habit });
        }
        if is_candidate {
            return Some(Question::Habit { service: habit?, closer: connection.reset_by });
        }
        self.ask_who_refused(connection)
    }

    /// Brings near what few connections need of what is remembered.
    #[inline]
    pub(super) fn approach(&self, connection: &Connection) -> u64 {
        if Monitors::is_candidate(connection) { self.monitors.approach(connection) } else { 0 }
    }

    /// Returns the number of its service, if it tells of its habits.
    #[inline(always)]
    fn count(
        &mut self,
        connection: &Connection,
        is_candidate: bool,
        number: &mut Option<ServiceNumber>,
    ) -> Option<ServiceNumber> {
        let has_ended = connection.fin_count() > 0 || connection.rst_count() > 0;
        if !connection.is_established() || !has_ended {
            return None;
        }
        if number.is_none() {
            *number = self.place(connection);
        }
        let service = (*number)?;
        let closes = self.closes.get_mut(usize::from(service.0))?;
        closes.all += 1;
        if is_candidate {
            match connection.reset_by {
                ResetBy::Server => closes.by_server_rst += 1,
                ResetBy::Client => closes.by_client_rst += 1,
                _ => {}
            }
        }
        if closes.ttl.see(connection.from_resp.ttl) {
            self.tell_of_host(connection);
        }
        Some(service)
    }

    #[cold]
    fn place(&mut self, connection: &Connection) -> Option<ServiceNumber> {
        let service = connection.resp;
        let known = self.places.get_index_of(&service).map(|number| ServiceNumber(number as u16));
        known.or_else(|| {
            (self.closes.len() < MAX_SERVICES).then(|| {
                self.closes.push(Closes::default());
                ServiceNumber(self.places.insert_full(service).0 as u16)
            })
        })
    }

    /// A service speaks for its host until it has said the same often enough.
    #[cold]
    fn tell_of_host(&mut self, connection: &Connection) {
        let (host, ttl) = (connection.resp.ip(), connection.from_resp.ttl);
        if let Some(known) = self.hosts.get_mut(&host) {
            known.see(ttl);
            known.see_answer(connection.answered_after_ns);
        } else if self.hosts.len() < MAX_SERVICES {
            let mut known = HostTtl { ttl, seen: 1, answer_ns: 0 };
            known.see_answer(connection.answered_after_ns);
            self.hosts.insert(host, known);
        }
    }

    fn question(&self, connection: &Connection) -> Option<Question> {
        let habit = is_candidate(connection).then(|| self.places.get_index_of(&connection.resp)).flatten();
        let habit = habit.map(|number| ServiceNumber(number as u16));
        if Monitors::is_candidate(connection)
            && let Some(pair) = self.monitors.find(connection)
        {
            return Some(Question::Monitor { pair, habit });
        }
        if let Some(service) = habit {
            return Some(Question::Habit { service, closer: connection.reset_by });
        }
        self.ask_who_refused(connection)
    }

    #[inline]
    fn ask_who_refused(&self, connection: &Connection) -> Option<Question> {
        let ttl = refusal_ttl(connection)?;
        let host = connection.resp.ip();
        let after_ns = connection.answered_after_ns.unwrap_or(u64::MAX);
        let is_open = self
            .hosts
            .get(&host)
            .is_none_or(|known| known.seen < MIN_ANSWERS || !known.may_be(ttl) || known.is_too_soon(after_ns));
        is_open.then_some(Question::Refusal { host, ttl, after_ns })
    }

    /// Whether [`Self::judge`] may say something else of the connection when more of its service and host is known.
    pub fn may_change(connection: &Connection) -> bool {
        is_candidate(connection) || Monitors::is_candidate(connection) || refusal_ttl(connection).is_some()
    }

    /// The cause that all connections together give, if it is another one than that of one alone.
    pub(super) fn answer(&self, question: Question) -> Option<Cause> {
        match question {
            Question::Habit { service, closer } => {
                let is_habit = self.closes.get(usize::from(service.0)).is_some_and(|closes| closes.is_habit(closer));
                is_habit.then_some(Cause::RstInsteadOfFin)
            }
            Question::Refusal { host, ttl, after_ns } => {
                let known = self.hosts.get(&host).filter(|known| known.seen >= MIN_ANSWERS)?;
                (!known.may_be(ttl) || known.is_too_soon(after_ns)).then_some(Cause::RefusedByFirewall)
            }
            Question::Monitor { pair, habit } => match (self.monitors.steady(pair), habit) {
                (Some(_), _) => Some(Cause::HealthCheck),
                (None, Some(service)) => self.answer(Question::Habit { service, closer: ResetBy::Client }),
                (None, None) => None,
            },
        }
    }

    /// Replaces the verdict of a connection by what is known of its service and host.
    pub fn judge(&self, connection: &mut Connection) {
        let Some(question) = self.question(connection) else { return };
        let Some(cause) = self.answer(question) else { return };
        let of_one_alone = Value::Word(connection.verdict.cause.id());
        let facts = &mut connection.verdict.facts;
        let mut put = |at, name, value| facts.insert(at, Fact { name, value });
        match question {
            Question::Monitor { pair, .. } if cause == Cause::HealthCheck => {
                let (interval_ns, seen) = self.monitors.steady(pair).unwrap_or_default();
                put(0, "monitor.interval_ms", Value::Milliseconds(interval_ns));
                put(1, "monitor.connections", Value::Number(seen.into()));
                put(2, "cause.of_one_alone", of_one_alone);
                connection.verdict.impact = Impact::None;
            }
            Question::Habit { .. } | Question::Monitor { .. } => {
                let (service, closer) = match question {
                    Question::Habit { service, closer } => (Some(service), closer),
                    Question::Monitor { habit, .. } => (habit, ResetBy::Client),
                    Question::Refusal { .. } => (None, ResetBy::Unknown),
                };
                let closes = service.and_then(|service| self.closes.get(usize::from(service.0)));
                let closes = closes.copied().unwrap_or_default();
                put(0, "service.closed_by_rst", Value::OfConnections(closes.by(closer), closes.all));
                put(1, "cause.of_one_alone", of_one_alone);
            }
            Question::Refusal { host, ttl, after_ns } => {
                connection.reset_by = ResetBy::Middle;
                let own = self.hosts.get(&host).copied().unwrap_or_default();
                put(0, "rst.ttl", Value::Instead(ttl.into(), own.ttl.into()));
                put(1, "cause.of_one_alone", of_one_alone);
                if own.is_too_soon(after_ns) {
                    put(0, "host.answers_after_ms", Value::Milliseconds(own.answer_ns));
                }
            }
        }
        let verdict = &mut connection.verdict;
        verdict.cause = cause;
        verdict.confidence = Confidence::Medium;
    }
}

/// The TTL of a refusal, which another host than the one that it names may have sent.
fn refusal_ttl(connection: &Connection) -> Option<u8> {
    let ttl = connection.from_resp.rst_ttl;
    (connection.verdict.cause == Cause::RefusedClosedPort && ttl != 0).then_some(ttl)
}

/// True when the closer actively aborted and sent no FIN of its own, and nothing was lost: a habit of the service would
/// explain it. A habit never hides a loss, so that there must be proof of success: a request that was answered.
pub(super) fn is_candidate(connection: &Connection) -> bool {
    let closer = match connection.reset_by {
        ResetBy::Server => &connection.from_resp,
        ResetBy::Client => &connection.from_orig,
        _ => return false,
    };
    let aborted = matches!(connection.verdict.cause, Cause::AppAbort | Cause::RstInsteadOfFin);
    let succeeded =
        connection.verdict.impact == Impact::None && connection.from_orig.bytes > 0 && connection.from_resp.bytes > 0;
    connection.is_established() && aborted && succeeded && closer.fin == 0 && closer.rst > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Opening, Side},
    };

    fn aborted(server: &str) -> Connection {
        let rst = Side { rst: 1, bytes: 9, ..Side::default() };
        let asked = Side { bytes: 9, ..Side::default() };
        let mut connection = connection(server, Opening::Completed, Closing::RstOnly, asked, rst);
        connection.verdict.cause = Cause::AppAbort;
        connection
    }

    fn orderly(server: &str) -> Connection {
        let fin = Side { fin: 1, ..Side::default() };
        connection(server, Opening::Completed, Closing::TwoFins, fin, fin)
    }

    fn judged(mix: &[Connection]) -> Cause {
        let mut habits = Habits::default();
        for connection in mix {
            habits.observe(connection);
        }
        let mut last = aborted("10.0.0.2:80");
        habits.judge(&mut last);
        last.verdict.cause
    }

    #[test]
    fn most_of_enough_connections_make_a_habit() {
        let aborts = vec![aborted("10.0.0.2:80"); 5];
        assert_eq!(judged(&aborts), Cause::RstInsteadOfFin);
        assert_eq!(judged(&aborts[..4]), Cause::AppAbort, "four are too few");
        let mixed: Vec<_> = aborts.into_iter().chain(vec![orderly("10.0.0.2:80"); 5]).collect();
        assert_eq!(judged(&mixed), Cause::AppAbort, "half of them is no habit");
    }

    fn refused(ttl: u8) -> Connection {
        let rst = Side { rst: 1, rst_ttl: ttl, ..Side::default() };
        let mut connection = connection("10.0.0.2:81", Opening::Refused, Closing::Refused, Side::default(), rst);
        connection.verdict.cause = Cause::RefusedClosedPort;
        connection
    }

    fn answering(ttl: u8) -> Connection {
        let side = Side { syn_ack: 1, fin: 1, ttl, ..Side::default() };
        connection("10.0.0.2:80", Opening::Completed, Closing::TwoFins, Side::default(), side)
    }

    #[test]
    fn a_refusal_of_another_ttl_than_the_hosts_own_is_a_firewalls() {
        for (own, of_rst, cause, by) in [
            (Some(57), 243, Cause::RefusedByFirewall, ResetBy::Middle),
            (Some(57), 56, Cause::RefusedClosedPort, ResetBy::Server),
            (Some(57), 121, Cause::RefusedClosedPort, ResetBy::Server),
            (None, 243, Cause::RefusedClosedPort, ResetBy::Server),
        ] {
            let mut pending = crate::aggregate::Pending::new(8);
            let (mut habits, mut one) = (Habits::default(), refused(of_rst));
            // Added before the host's own TTL is known.
            pending.add(&mut [one.clone()], &mut habits);
            if let Some(ttl) = own {
                for _ in 0..3 {
                    habits.observe(&answering(ttl));
                }
            }
            habits.judge(&mut one);
            let aggregate = pending.settle(&habits);
            assert_eq!((one.verdict.cause, one.reset_by), (cause, by));
            assert_eq!(aggregate.causes().collect::<Vec<_>>(), [(cause, 1)]);
            let totals = &aggregate.totals;
            assert_eq!(
                (totals.reset_by_middle, totals.reset_by_server),
                if by == ResetBy::Middle { (1, 0) } else { (0, 1) }
            );
        }
    }

    #[test]
    fn a_habit_never_hides_a_loss() {
        let aborts = vec![aborted("10.0.0.2:80"); 9];
        let mut habits = Habits::default();
        for connection in &aborts {
            habits.observe(connection);
        }
        for impact in [Impact::RequestLost, Impact::ResponseLost, Impact::TransferCut, Impact::Unknown] {
            let mut last = aborted("10.0.0.2:80");
            last.verdict.impact = impact;
            habits.judge(&mut last);
            assert_eq!(last.verdict.cause, Cause::AppAbort, "{impact}");
        }
        let mut unanswered = aborted("10.0.0.2:80");
        unanswered.from_resp.bytes = 0;
        habits.judge(&mut unanswered);
        assert_eq!(unanswered.verdict.cause, Cause::AppAbort, "nothing was ever answered");
    }

    #[test]
    fn a_refusal_sooner_than_the_host_ever_answers_is_of_a_box_before_it() {
        let mut habits = Habits::default();
        for _ in 0..3 {
            let answering = Connection { answered_after_ns: Some(10_300_000), ..answering(63) };
            habits.observe(&answering);
        }
        for (after_ns, cause) in [(30_000, Cause::RefusedByFirewall), (9_900_000, Cause::RefusedClosedPort)] {
            let mut one = Connection { answered_after_ns: Some(after_ns), ..refused(63) };
            habits.judge(&mut one);
            assert_eq!(one.verdict.cause, cause);
        }
    }

    #[test]
    fn another_service_has_its_own_habits() {
        assert_eq!(judged(&vec![aborted("10.0.0.2:81"); 50]), Cause::AppAbort);
    }

    #[test]
    fn a_habit_is_not_forgotten_by_its_own_verdicts() {
        let mut habits = Habits::default();
        let mut last = Cause::None;
        for _ in 0..10 {
            let mut one = aborted("10.0.0.2:80");
            habits.observe(&one);
            habits.judge(&mut one);
            last = one.verdict.cause;
        }
        assert_eq!(last, Cause::RstInsteadOfFin);
    }
}

//! Kernel reset reasons: joins what the host's own kernel says of a reset (`tcp:tcp_send_reset`, `--host`) to the RST seen.

use std::{collections::VecDeque, net::IpAddr};

use probe_ebpf::layout::{Endpoint, FlowKey};

use crate::{
    tcp::close_details::Rst,
    tracker::process::{Process, RESET_LEAVES_WITHIN_NS},
};

/// A reset that the host's kernel says it sent.
#[derive(Clone, Copy, Debug)]
pub struct ReportedReset<'a> {
    /// Whose; of a listener, with the unspecified address for its peer.
    pub key: FlowKey,
    /// The `hi` endpoint of the key sent it.
    pub from_hi: bool,
    /// Index into [`crate::tracker::TrackerConfig::kernel_reasons`].
    pub reason: u8,
    /// A segment provoked it; otherwise the application or a timer did.
    pub provoked: bool,
    /// The process that decided, where no segment did.
    pub process: Option<&'a Process>,
    /// When.
    pub time_ns: u64,
}

/// Why a reset of the kernel belongs to no RST that was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unmatched {
    /// No such connection is tracked, and its sender's address is none of the watched interfaces: of another network namespace,
    /// such as a container's (the kernel tells of all), or of an interface that is not watched, the loopback one included.
    OfOthers,
    /// No such connection of an own address is tracked: it went by an interface that is not watched.
    NoConnection,
    /// The connection is tracked, and its RST was not seen: something on this host dropped it on its way out, or it is still
    /// to come.
    NotSeen,
    /// A listener sent it, of which the kernel names no peer, and no RST of that port was seen at that time.
    NoPeer,
}

/// Resets of the kernel that belong to no RST, by reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct UnmatchedResets {
    /// [`Unmatched::OfOthers`].
    pub of_others: u64,
    /// [`Unmatched::NoConnection`].
    pub no_connection: u64,
    /// [`Unmatched::NotSeen`].
    pub not_seen: u64,
    /// [`Unmatched::NoPeer`].
    pub no_peer: u64,
}

impl UnmatchedResets {
    /// Those that might have been of a watched connection.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.no_connection + self.not_seen + self.no_peer
    }

    pub(crate) fn add(&mut self, why: Unmatched) {
        match why {
            Unmatched::OfOthers => self.of_others += 1,
            Unmatched::NoConnection => self.no_connection += 1,
            Unmatched::NotSeen => self.not_seen += 1,
            Unmatched::NoPeer => self.no_peer += 1,
        }
    }
}

/// The kernel's words are joined a drain later, and may come a little after the RST: one that is as old as this and has none
/// gets none.
const SETTLED_NS: u64 = 100_000_000;
/// Words that belong to no RST are remembered, so many.
const MOST: usize = 1 << 10;

/// What can be said of an RST of this host of which its kernel has said nothing.
#[derive(Clone, Debug, Default)]
pub(crate) struct KernelResets {
    /// Addresses of this host, IPv4 mapped into IPv6; empty where the kernel does not tell each reset.
    own: Vec<[u8; 16]>,
    /// Words were lost.
    is_doubted: bool,
    /// Words on what was sent up to then are joined.
    joined_until_ns: u64,
    /// Words that belong to no RST: when, of which port, to whom. One of them may be the word on an RST that seems to have none.
    unjoined: VecDeque<(u64, u16, Endpoint)>,
}

impl KernelResets {
    pub(crate) fn new(own: &[IpAddr]) -> Self {
        let octets = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        Self { own: own.iter().map(octets).collect(), ..Self::default() }
    }

    /// Every word on what was sent up to then has been joined.
    pub(crate) fn join_until(&mut self, until_ns: u64) {
        self.joined_until_ns = self.joined_until_ns.max(until_ns);
    }

    /// Words were lost: from now on it says of no RST that there is none.
    pub(crate) fn doubt(&mut self) {
        self.is_doubted = true;
    }

    /// It may be an end of this host: its address is one of those that are watched, or they are not known.
    pub(crate) fn may_be_own(&self, end: Endpoint) -> bool {
        self.own.is_empty() || self.own.contains(&end.octets())
    }

    /// True when the RST left from an address of this host and its kernel's TCP did not send it: a firewall of the host did,
    /// or a program with a raw socket.
    #[inline]
    pub(crate) fn is_silent_on(&self, sender: Endpoint, peer: Endpoint, rst: Option<&Rst>) -> bool {
        !self.is_doubted && !self.own.is_empty() && rst.is_some_and(|rst| self.is_unexplained(sender, peer, rst))
    }

    fn is_unexplained(&self, sender: Endpoint, peer: Endpoint, rst: &Rst) -> bool {
        let time_ns = rst.record.time_ns;
        // Where addresses of containers are translated, the peer's stays.
        let is_near = |(at_ns, port, to): &(u64, u16, Endpoint)| {
            (*port == sender.port || *to == peer) && at_ns.abs_diff(time_ns) <= RESET_LEAVES_WITHIN_NS
        };
        rst.kernel.is_none()
            && self.own.contains(&sender.octets())
            && time_ns.saturating_add(SETTLED_NS) <= self.joined_until_ns
            && !self.unjoined.iter().any(is_near)
    }

    pub(crate) fn note_unjoined(&mut self, time_ns: u64, port: u16, to: Endpoint) {
        if self.unjoined.len() >= MOST {
            self.unjoined.pop_front();
        }
        self.unjoined.push_back((time_ns, port, to));
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{
        record::{Cause, Connection},
        tracker::{Extra, Tracker, TrackerConfig, tests::Dialogue},
    };

    const SECOND: u64 = 1_000_000_000;

    /// A refused connection, and a tracker on its server that has seen nothing yet.
    fn at_the_server() -> (Dialogue, Tracker) {
        let dialogue = Dialogue::new().play("Sr");
        let server = {
            let (key, from_hi) = (dialogue.segments[1].key, dialogue.segments[1].record.from_hi());
            if from_hi { key.hi() } else { key.lo() }
        };
        let [.., a, b, c, d] = server.octets();
        let own_addresses = vec![Ipv4Addr::new(a, b, c, d).into()];
        let kernel_reasons = vec!["NO_SOCKET".into()];
        let tracker = Tracker::new(TrackerConfig { kernel_reasons, own_addresses, ..TrackerConfig::default() });
        (dialogue, tracker)
    }

    /// The record of a refused connection whose server is this host.
    fn refused(joined_until_ns: u64, words: impl Fn(&mut Tracker, &Dialogue)) -> Connection {
        let (dialogue, mut tracker) = at_the_server();
        for segment in &dialogue.segments {
            tracker.observe(segment, Extra::default());
        }
        words(&mut tracker, &dialogue);
        tracker.joined_kernel_resets(dialogue.now + joined_until_ns);
        tracker.finish(dialogue.now + joined_until_ns);
        tracker.take_closed().remove(0)
    }

    fn word(dialogue: &Dialogue, port_offset: u16) -> ReportedReset<'static> {
        let rst = dialogue.segments[1];
        let mut key = rst.key;
        if port_offset > 0 {
            let (lo, hi) = (key.lo(), key.hi());
            let moved = |end: Endpoint| Endpoint { port: end.port + port_offset, ..end };
            let (source, peer) = if rst.record.from_hi() { (hi, moved(lo)) } else { (lo, moved(hi)) };
            (key, _) = FlowKey::normalised(source, peer, 0);
        }
        let (from_hi, time_ns) = (rst.record.from_hi(), rst.record.time_ns);
        ReportedReset { key, from_hi, reason: 0, provoked: true, process: None, time_ns }
    }

    fn is_silent(connection: &Connection) -> bool {
        connection.verdict.facts.iter().any(|fact| fact.name == "kernel.silent")
    }

    #[test]
    fn what_the_hosts_tcp_did_not_send_is_its_firewalls() {
        let refused = refused(SECOND, |_, _| ());
        assert!(is_silent(&refused), "{:?}", refused.verdict);
        assert_eq!((refused.verdict.cause, refused.reset_by.as_str()), (Cause::RefusedByFirewall, "server"));
    }

    #[test]
    fn silence_says_nothing_where_a_word_may_be_missing() {
        let reported = refused(SECOND, |tracker, dialogue| {
            let word = ReportedReset { provoked: false, ..word(dialogue, 0) };
            assert_eq!(tracker.kernel_reset(&word), Ok(()));
        });
        let of_another_rst =
            refused(SECOND, |tracker, dialogue| assert_eq!(tracker.kernel_reset(&word(dialogue, 0)), Ok(())));
        let early = refused(0, |_, _| ());
        let lost = refused(SECOND, |tracker, _| tracker.doubt_kernel_resets());
        // A container's, whose port is published under one of this host: the address is translated on its way out.
        let of_container = refused(SECOND, |tracker, dialogue| {
            let ours = word(dialogue, 0);
            let (lo, hi) = (ours.key.lo(), ours.key.hi());
            let (source, peer) = if ours.from_hi { (hi, lo) } else { (lo, hi) };
            let container = Endpoint::v4(u32::from_ne_bytes([172, 17, 0, 2]), source.port + 1);
            let (key, from_hi) = FlowKey::normalised(container, peer, 0);
            let word = ReportedReset { key, from_hi, ..ours };
            assert_eq!(tracker.kernel_reset(&word), Err(Unmatched::OfOthers));
        });
        let elsewhere = refused(SECOND, |tracker, dialogue| {
            assert_eq!(tracker.kernel_reset(&word(dialogue, 1)), Err(Unmatched::NoConnection));
        });
        for connection in [reported, of_another_rst, early, lost, elsewhere, of_container] {
            assert!(!is_silent(&connection), "{:?}", connection.verdict);
            assert_eq!(connection.verdict.cause, Cause::RefusedClosedPort);
        }
    }

    /// What a live session on several processors does: the queue is worked off by partitions that make records, then the last
    /// words come, then all is written.
    fn refused_at_the_end(makes_records: bool, last_words: impl Fn(&mut Tracker, u64)) -> Connection {
        let (dialogue, mut tracker) = at_the_server();
        // One that was there before, so that both directions were seen.
        for segment in Dialogue::to_port(1234).play("ShADdFfa").segments.iter().chain(&dialogue.segments) {
            tracker.queue_observe(segment);
        }
        let all = tracker.take_queued(makes_records);
        tracker.return_queued(all.into_iter().map(crate::tracker::Work::run).collect());
        last_words(&mut tracker, dialogue.now + SECOND);
        tracker.finish(dialogue.now + SECOND);
        tracker.take_closed().into_iter().find(|connection| connection.verdict.cause != Cause::None).expect("refused")
    }

    #[test]
    fn the_last_words_count_whoever_makes_the_records() {
        for makes_records in [false, true] {
            let joined = refused_at_the_end(makes_records, Tracker::joined_kernel_resets);
            assert_eq!(joined.verdict.cause, Cause::RefusedByFirewall, "{makes_records}");
            let lost = refused_at_the_end(makes_records, |tracker, now| {
                tracker.doubt_kernel_resets();
                tracker.joined_kernel_resets(now);
            });
            assert_eq!(lost.verdict.cause, Cause::RefusedClosedPort, "{makes_records}");
        }
    }
}

//! Kernel reset reasons: joins what the host's own kernel says of a reset (`tcp:tcp_send_reset`, `--host`) to the RST seen.

use std::{collections::VecDeque, net::IpAddr};

use probe_ebpf::layout::{Endpoint, FlowKey};

use crate::{
    tcp::close_details::{KernelReason, Rst},
    tracker::{
        process,
        process::{Process, RESET_LEAVES_WITHIN_NS},
        tracking::Tracker,
    },
    verdict::rst_form::Form,
};

/// A reset that the host's kernel says it sent.
#[derive(Clone, Copy, Debug)]
pub struct KernelWord<'a> {
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
    /// No such connection is tracked: it went by an interface that is not watched, the loopback one included, or is of
    /// another network namespace (the kernel tells of all).
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
    /// [`Unmatched::NoConnection`].
    pub no_connection: u64,
    /// [`Unmatched::NotSeen`].
    pub not_seen: u64,
    /// [`Unmatched::NoPeer`].
    pub no_peer: u64,
}

impl UnmatchedResets {
    /// All of them.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.no_connection + self.not_seen + self.no_peer
    }

    fn add(&mut self, why: Unmatched) {
        match why {
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
#[derive(Debug, Default)]
pub(crate) struct KernelWords {
    /// Addresses of this host, IPv4 mapped into IPv6; empty where the kernel does not tell each reset.
    own: Vec<[u8; 16]>,
    /// Words on what was sent up to then are joined.
    joined_until_ns: u64,
    /// Words that belong to no RST: when, of which port. One of them may be the word on an RST that seems to have none.
    unjoined: VecDeque<(u64, u16)>,
}

impl KernelWords {
    pub(crate) fn new(own: &[IpAddr]) -> Self {
        let octets = |address: &IpAddr| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        };
        Self { own: own.iter().map(octets).collect(), ..Self::default() }
    }

    /// True when the RST left from an address of this host and its kernel's TCP did not send it: a firewall of the host did,
    /// or a program with a raw socket.
    #[inline]
    pub(crate) fn is_silent_on(&self, sender: Endpoint, rst: Option<&Rst>) -> bool {
        !self.own.is_empty() && rst.is_some_and(|rst| self.is_unexplained(sender, rst))
    }

    fn is_unexplained(&self, sender: Endpoint, rst: &Rst) -> bool {
        let time_ns = rst.record.time_ns;
        let is_near = |word: &(u64, u16)| word.1 == sender.port && word.0.abs_diff(time_ns) <= RESET_LEAVES_WITHIN_NS;
        rst.kernel.is_none()
            && self.own.contains(&sender.octets())
            && time_ns.saturating_add(SETTLED_NS) <= self.joined_until_ns
            && !self.unjoined.iter().any(is_near)
    }

    fn note_unjoined(&mut self, time_ns: u64, port: u16) {
        if self.unjoined.len() >= MOST {
            self.unjoined.pop_front();
        }
        self.unjoined.push_back((time_ns, port));
    }
}

impl Tracker {
    /// Every word of the kernel on what was sent up to `until_ns` has been handed over.
    pub fn joined_kernel_words(&mut self, until_ns: u64) {
        self.kernel_words.joined_until_ns = self.kernel_words.joined_until_ns.max(until_ns);
    }

    /// Words of the kernel were lost: from now on it says nothing that there is none.
    pub fn doubt_kernel_words(&mut self) {
        self.kernel_words.own.clear();
    }

    /// The kernel of the host itself says that it sent a reset, and why (`--host`).
    ///
    /// # Errors
    /// Why no RST is known that this is the word on. One may still come.
    pub fn kernel_reset(&mut self, word: &KernelWord<'_>) -> Result<(), Unmatched> {
        let joined = self.join_word(word);
        if joined.is_err() {
            let source = if word.from_hi { word.key.hi() } else { word.key.lo() };
            self.kernel_words.note_unjoined(word.time_ns, source.port);
        }
        joined
    }

    fn join_word(&mut self, word: &KernelWord<'_>) -> Result<(), Unmatched> {
        let &KernelWord { reason, provoked, process, time_ns, .. } = word;
        let (key, from_hi) = self.whose(word)?;
        let slot = self.table.find(&key).ok_or(Unmatched::NoConnection)?;
        let track = self.table.get_mut(slot).ok_or(Unmatched::NoConnection)?;
        let (side, seen_until_ns) = (usize::from(from_hi != track.orig_is_hi), track.previous_ns());
        let rst = track.rare.as_mut().and_then(|rare| rare.rsts[side].as_mut()).ok_or(Unmatched::NotSeen)?;
        let form = Form::of(&rst.record);
        let is_other = if provoked { form == Form::Abort } else { matches!(form, Form::Reply | Form::Refuse) };
        if rst.kernel.is_some() || is_other {
            // Of a further RST, such as a reply after an abort, or of a connection that takes these ports in the next epoch.
            if seen_until_ns < time_ns {
                return Err(Unmatched::NotSeen);
            }
            let source = if from_hi { key.hi() } else { key.lo() };
            self.kernel_words.note_unjoined(time_ns, source.port);
            return Ok(());
        }
        if rst.record.time_ns.abs_diff(time_ns) > RESET_LEAVES_WITHIN_NS {
            return Err(Unmatched::NotSeen);
        }
        rst.kernel = Some(KernelReason { reason, provoked });
        // Timers run in the context of whoever is current.
        let name = self.config.kernel_reasons.get(usize::from(reason)).map_or("", String::as_str);
        let is_of_application = matches!(name, "TCP_ABORT_ON_CLOSE" | "TCP_STATE" | "TCP_DISCONNECT_WITH_DATA");
        if let Some(process) = process.filter(|_| is_of_application) {
            self.processes.add(track.id, process);
        }
        Ok(())
    }

    /// The flow, and the side that sent the RST: of a listener's, that of the nearest RST of its port.
    fn whose(&mut self, word: &KernelWord<'_>) -> Result<(FlowKey, bool), Unmatched> {
        let (key, from_hi) = (word.key, word.from_hi);
        let (source, peer) = if from_hi { (key.hi(), key.lo()) } else { (key.lo(), key.hi()) };
        if !process::is_nobody(peer) {
            return Ok((key, from_hi));
        }
        self.processes.of_listener(source.port, word.time_ns).ok_or(Unmatched::NoPeer)
    }

    /// Nobody will ask again about these resets of the kernel.
    pub fn count_unmatched_resets(&mut self, resets: impl IntoIterator<Item = Unmatched>) {
        for why in resets {
            self.stats.unmatched_resets.add(why);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::{
        record::{Cause, Connection},
        tracker::{Extra, TrackerConfig, tests::Talk},
    };

    const SECOND: u64 = 1_000_000_000;

    /// The record of a refused connection whose server is this host.
    fn refused(joined_until_ns: u64, words: impl Fn(&mut Tracker, &Talk)) -> Connection {
        let talk = Talk::new().play("Sr");
        let server = {
            let (key, from_hi) = (talk.segments[1].key, talk.segments[1].record.from_hi());
            if from_hi { key.hi() } else { key.lo() }
        };
        let [.., a, b, c, d] = server.octets();
        let own_addresses = vec![Ipv4Addr::new(a, b, c, d).into()];
        let kernel_reasons = vec!["NO_SOCKET".into()];
        let mut tracker = Tracker::new(TrackerConfig { kernel_reasons, own_addresses, ..TrackerConfig::default() });
        for segment in &talk.segments {
            tracker.observe(segment, Extra::default());
        }
        words(&mut tracker, &talk);
        tracker.joined_kernel_words(talk.now + joined_until_ns);
        tracker.finish(talk.now + joined_until_ns);
        tracker.take_closed().remove(0)
    }

    fn word(talk: &Talk, port_offset: u16) -> KernelWord<'static> {
        let rst = talk.segments[1];
        let mut key = rst.key;
        if port_offset > 0 {
            let (lo, hi) = (key.lo(), key.hi());
            let moved = |end: Endpoint| Endpoint { port: end.port + port_offset, ..end };
            let (source, peer) = if rst.record.from_hi() { (hi, moved(lo)) } else { (lo, moved(hi)) };
            (key, _) = FlowKey::normalised(source, peer, 0);
        }
        let (from_hi, time_ns) = (rst.record.from_hi(), rst.record.time_ns);
        KernelWord { key, from_hi, reason: 0, provoked: true, process: None, time_ns }
    }

    fn is_silent(connection: &Connection) -> bool {
        connection.verdict.evidence.iter().any(|fact| fact.name == "kernel.silent")
    }

    #[test]
    fn what_the_hosts_tcp_did_not_send_is_its_firewalls() {
        let refused = refused(SECOND, |_, _| ());
        assert!(is_silent(&refused), "{:?}", refused.verdict);
        assert_eq!((refused.verdict.cause, refused.reset_by.as_str()), (Cause::RefusedByFirewall, "server"));
    }

    #[test]
    fn silence_says_nothing_where_a_word_may_be_missing() {
        let told = refused(SECOND, |tracker, talk| {
            let word = KernelWord { provoked: false, ..word(talk, 0) };
            assert_eq!(tracker.kernel_reset(&word), Ok(()));
        });
        let of_another_rst = refused(SECOND, |tracker, talk| assert_eq!(tracker.kernel_reset(&word(talk, 0)), Ok(())));
        let early = refused(0, |_, _| ());
        let lost = refused(SECOND, |tracker, _| tracker.doubt_kernel_words());
        let elsewhere = refused(SECOND, |tracker, talk| {
            assert_eq!(tracker.kernel_reset(&word(talk, 1)), Err(Unmatched::NoConnection));
        });
        for connection in [told, of_another_rst, early, lost, elsewhere] {
            assert!(!is_silent(&connection), "{:?}", connection.verdict);
            assert_eq!(connection.verdict.cause, Cause::RefusedClosedPort);
        }
    }
}

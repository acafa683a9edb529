//! Kernel reports: joins errors that the host's own kernel gives to sockets, and segments that it drops, to their connections
//! (`--host`).
//!
//! Beside the connections and not in them: few have any. At most [`MOST`] are kept.

use std::collections::BTreeMap;

use probe_ebpf::layout::FlowKey;

/// Connections of which something is kept at once, by all partitions together.
pub(crate) const MOST: usize = 1 << 16;

/// What the kernel says of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KernelWord {
    /// Its socket was given this error (`errno`; `sock:inet_sk_error_report`).
    SocketError(u16),
    /// A segment of it was dropped; index into [`crate::tracker::TrackerConfig::drop_reasons`] (`skb:kfree_skb`).
    Dropped(u8),
}

/// One such word.
#[derive(Clone, Copy, Debug)]
pub struct KernelReport {
    /// Whose.
    pub key: FlowKey,
    /// The socket is that of the `hi` endpoint, or it sent the segment.
    pub from_hi: bool,
    /// What is said.
    pub word: KernelWord,
    /// When, nanoseconds since 1970.
    pub time_ns: u64,
}

/// What the kernel said of one side of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Said {
    /// The first error that its socket was given; 0 without one.
    pub(crate) errno: u16,
    /// When it was.
    pub(crate) error_ns: u64,
    /// Why the first of its segments that was dropped was.
    pub(crate) drop_reason: u8,
    /// Its segments that were dropped, for whatever reason.
    pub(crate) dropped: u32,
}

/// What was said, by number of connection; of each `lo` and `hi`.
#[derive(Debug)]
pub(crate) struct KernelReports {
    /// Connections at most.
    most: usize,
    of: BTreeMap<u64, [Said; 2]>,
}

impl KernelReports {
    /// None yet, and so many at most.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, of: BTreeMap::new() }
    }

    /// What was said of the connection of this number, nothing as a rule.
    #[inline]
    pub(crate) fn of(&self, id: u64) -> Option<[Said; 2]> {
        if self.of.is_empty() { None } else { self.of.get(&id).copied() }
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The same of one that has been written.
    pub(crate) fn take(&mut self, id: u64) -> Option<[Said; 2]> {
        self.of.remove(&id)
    }

    /// False when there is no room.
    pub(crate) fn add(&mut self, id: u64, report: &KernelReport) -> bool {
        let &KernelReport { from_hi, word, time_ns, .. } = report;
        if self.of.len() >= self.most && !self.of.contains_key(&id) {
            return false;
        }
        let said = &mut self.of.entry(id).or_default()[usize::from(from_hi)];
        match word {
            KernelWord::SocketError(errno) if said.errno == 0 => (said.errno, said.error_ns) = (errno, time_ns),
            KernelWord::SocketError(_) => {}
            KernelWord::Dropped(reason) => {
                if said.dropped == 0 {
                    said.drop_reason = reason;
                }
                said.dropped = said.dropped.saturating_add(1);
            }
        }
        true
    }
}

/// Books of what the kernel said besides resets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct KernelReportCounts {
    /// Of tracked connections.
    pub matched: u64,
    /// Of no tracked connection of an own address: of an interface that is not watched, or its record had been written.
    pub unmatched: u64,
    /// Of no tracked connection and no own address: of another network namespace (the kernel tells of all), or forwarded.
    pub of_others: u64,
    /// Of tracked connections, and there was no room to keep them.
    pub unkept: u64,
}

#[cfg(test)]
mod tests {
    use probe_ebpf::{
        layout::Endpoint,
        parse::{IcmpError, IcmpQuote},
    };

    use super::*;
    use crate::{
        record::{Cause, Closing, Confidence, Connection},
        tracker::{Extra, Tracker, TrackerConfig, tests::Dialogue},
    };

    const ETIMEDOUT: u16 = 110;
    const EHOSTUNREACH: u16 = 113;
    const SECOND: u64 = 1_000_000_000;

    /// The record of a dialogue, with words of the kernel on the client's side (`true`) or the server's.
    fn record(script: &str, words: &[(bool, KernelWord)]) -> Connection {
        let dialogue = Dialogue::new().play(script);
        let drop_reasons = vec![String::new(), "NETFILTER_DROP".to_owned()];
        let mut tracker = Tracker::new(TrackerConfig { drop_reasons, ..TrackerConfig::default() });
        for segment in &dialogue.segments {
            tracker.observe(segment, Extra::default());
        }
        let first = dialogue.segments[0];
        for &(is_client, word) in words {
            let from_hi = first.record.from_hi() == is_client;
            let time_ns = dialogue.now + SECOND;
            assert!(tracker.kernel_report(&KernelReport { key: first.key, from_hi, word, time_ns }));
        }
        tracker.finish(dialogue.now + 400 * SECOND);
        tracker.take_closed().remove(0)
    }

    fn fact(connection: &Connection, name: &str) -> Option<String> {
        connection.verdict.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.to_string())
    }

    #[test]
    fn a_time_out_that_the_socket_was_given_is_certain() {
        let silent = record("S", &[]);
        assert_eq!((silent.verdict.cause, silent.verdict.confidence), (Cause::NeverAnswered, Confidence::Low));
        let told = record("S", &[(true, KernelWord::SocketError(ETIMEDOUT))]);
        assert_eq!((told.verdict.cause, told.verdict.confidence), (Cause::NeverAnswered, Confidence::High));
        assert_eq!(fact(&told, "kernel.socket_error.clt").as_deref(), Some("ETIMEDOUT"));
        let cut = record("ShAd", &[(false, KernelWord::SocketError(ETIMEDOUT))]);
        assert_eq!((cut.verdict.cause, cut.verdict.confidence), (Cause::RetransmissionTimeout, Confidence::High));
        assert_eq!(fact(&cut, "kernel.socket_error.srv").as_deref(), Some("ETIMEDOUT"));
    }

    #[test]
    fn an_icmp_error_is_known_by_what_the_socket_was_given() {
        let unreachable = record("S", &[(true, KernelWord::SocketError(EHOSTUNREACH))]);
        assert_eq!(unreachable.verdict.cause, Cause::IcmpUnreachable);
        assert_eq!(unreachable.closing, Closing::NeverAnswered);
    }

    #[test]
    fn an_error_of_before_and_one_that_the_connection_outlived_decide_nothing() {
        let dialogue = Dialogue::new().play("ShADadFafA");
        let first = dialogue.segments[0];
        let judged = |time_ns: u64| {
            let mut tracker = Tracker::new(TrackerConfig::default());
            for segment in &dialogue.segments {
                tracker.observe(segment, Extra::default());
            }
            let word = KernelWord::SocketError(ETIMEDOUT);
            let known =
                tracker.kernel_report(&KernelReport { key: first.key, from_hi: first.record.from_hi(), word, time_ns });
            tracker.finish(dialogue.now);
            (known, tracker.take_closed().remove(0).verdict.cause)
        };
        // Of the connection that had these ports before.
        assert_eq!(judged(first.record.time_ns - SECOND), (false, Cause::None));
        // Closed in order.
        assert_eq!(judged(dialogue.now), (true, Cause::None));
    }

    #[test]
    fn drops_are_facts_and_the_first_reason_counts() {
        let drops = [(true, KernelWord::Dropped(1)), (true, KernelWord::Dropped(0)), (true, KernelWord::Dropped(1))];
        let dropped = record("S", &drops);
        assert_eq!((dropped.verdict.cause, dropped.verdict.confidence), (Cause::NeverAnswered, Confidence::High));
        assert_eq!(fact(&dropped, "kernel.drop_reason.clt").as_deref(), Some("NETFILTER_DROP"));
        assert_eq!(fact(&dropped, "kernel.dropped_segments.clt").as_deref(), Some("3"));
        assert_eq!(fact(&dropped, "kernel.drop_reason.srv"), None);
    }

    #[test]
    fn a_firewall_that_rejects_drops_as_well() {
        let dialogue = Dialogue::new().play("S");
        let syn = dialogue.segments[0];
        let (key, from_hi) = (syn.key, syn.record.from_hi());
        let mut tracker = Tracker::new(TrackerConfig::default());
        tracker.observe(&syn, Extra::default());
        let reporter = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 9]), 0);
        let error = IcmpError { version: 4, kind: 3, code: 13 };
        let quote = IcmpQuote { error, key, from_hi, seq: syn.record.seq, reporter };
        assert!(tracker.unreachable(&quote, dialogue.now));
        let word = KernelWord::Dropped(0);
        assert!(tracker.kernel_report(&KernelReport { key, from_hi, word, time_ns: dialogue.now }));
        tracker.finish(dialogue.now + SECOND);
        let verdict = tracker.take_closed().remove(0).verdict;
        assert_eq!((verdict.cause, verdict.confidence), (Cause::IcmpUnreachable, Confidence::High));
    }

    #[test]
    fn words_on_nobody_are_counted_and_what_is_written_is_forgotten() {
        let mut tracker = Tracker::new(TrackerConfig::default());
        let word = KernelWord::SocketError(ETIMEDOUT);
        let report = KernelReport { key: FlowKey::default(), from_hi: true, word, time_ns: 1 };
        assert!(!tracker.kernel_report(&report));
        tracker.count_unmatched_report(&report.key);
        assert_eq!(tracker.stats().kernel_reports, KernelReportCounts { unmatched: 1, ..Default::default() });
        let own_addresses = vec![std::net::Ipv4Addr::new(10, 0, 0, 1).into()];
        let mut tracker = Tracker::new(TrackerConfig { own_addresses, ..TrackerConfig::default() });
        let between = |one: [u8; 4], other: [u8; 4]| {
            let end = |address| Endpoint::v4(u32::from_ne_bytes(address), 80);
            FlowKey::normalised(end(one), end(other), 0).0
        };
        tracker.count_unmatched_report(&between([10, 0, 0, 9], [10, 0, 0, 1]));
        tracker.count_unmatched_report(&between([10, 0, 0, 9], [10, 0, 0, 8]));
        let counts = KernelReportCounts { unmatched: 1, of_others: 1, ..Default::default() };
        assert_eq!(tracker.stats().kernel_reports, counts);
        let mut reports = KernelReports::new(MOST);
        assert!(reports.add(7, &report) && reports.of(7).is_some());
        reports.take(7);
        assert_eq!(reports.of(7), None);
    }
}

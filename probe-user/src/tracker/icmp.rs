//! ICMP reports: joins ICMP errors to the connections whose segments they quote.
//!
//! Beside the connections and not in them: few have any. At most [`MOST`] are kept.

use std::{collections::BTreeMap, net::IpAddr};

use probe_ebpf::parse::IcmpError;

/// Connections of which errors are kept at once, by all partitions together.
pub(crate) const MOST: usize = 1 << 16;

/// The ICMP errors about one connection, told by the one that says most: the first that ends something and quotes what was
/// sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IcmpReport {
    /// What it says.
    pub error: IcmpError,
    /// Who says so: a router on the way, or the host itself.
    pub reporter: IpAddr,
    /// The `hi` endpoint of the key sent the quoted segment.
    pub from_hi: bool,
    /// The quoted sequence number is one that the endpoint has sent within a window (RFC 5927 4.1); otherwise the error may
    /// be forged, or is about an earlier connection.
    pub fits: bool,
    /// When.
    pub time_ns: u64,
    /// All errors about the connection, those that ask for smaller packets aside.
    pub errors: u32,
    /// Errors that ask for smaller packets (RFC 1191 4, RFC 8201 4).
    pub too_big: u32,
}

impl IcmpReport {
    /// How much it says of an end: what asks for smaller packets nothing, what fits most.
    fn rank(&self) -> u8 {
        if self.error.is_packet_too_big() { 0 } else { 1 + u8::from(self.fits) }
    }
}

/// The errors by number of connection.
#[derive(Debug)]
pub(crate) struct IcmpReports {
    /// Connections at most.
    most: usize,
    of: BTreeMap<u64, IcmpReport>,
}

impl IcmpReports {
    /// None yet, and so many at most.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, of: BTreeMap::new() }
    }

    /// What was said about the connection of this number.
    #[inline]
    pub(crate) fn of(&self, id: u64) -> Option<IcmpReport> {
        if self.of.is_empty() {
            return None;
        }
        self.of.get(&id).copied()
    }

    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// The same of one that has been written.
    pub(crate) fn take(&mut self, id: u64) -> Option<IcmpReport> {
        self.of.remove(&id)
    }

    /// False when there is no room.
    pub(crate) fn add(&mut self, id: u64, new: IcmpReport) -> bool {
        if let Some(known) = self.of.get_mut(&id) {
            let (errors, too_big) = (known.errors + new.errors, known.too_big + new.too_big);
            let best = if new.rank() > known.rank() { new } else { *known };
            *known = IcmpReport { errors, too_big, ..best };
            return true;
        }
        if self.of.len() >= self.most {
            return false;
        }
        self.of.insert(id, new);
        true
    }
}

/// Books of ICMP errors that quote TCP.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct IcmpCounts {
    /// About tracked connections.
    pub matched: u64,
    /// About no tracked connection.
    pub unmatched: u64,
    /// About tracked connections, and there was no room to keep them.
    pub unkept: u64,
}

#[cfg(test)]
mod tests {
    use probe_ebpf::layout::{Endpoint, RST, SYN};

    use probe_ebpf::{layout::FlowKey, parse::IcmpQuote};

    use super::*;
    use crate::tracker::{Tracker, TrackerConfig, tests::Dialogue};

    const PROHIBITED: IcmpError = IcmpError { version: 4, kind: 3, code: 13 };
    const TOO_BIG: IcmpError = IcmpError { version: 4, kind: 3, code: 4 };

    fn tracker(dialogue: &Dialogue) -> Tracker {
        let mut tracker = Tracker::new(TrackerConfig::default());
        for segment in &dialogue.segments {
            tracker.observe(segment, crate::tracker::Extra::default());
        }
        tracker
    }

    #[test]
    fn the_error_that_fits_is_told_and_all_are_counted() {
        let dialogue = Dialogue::new().play("S");
        let mut tracker = tracker(&dialogue);
        let syn = dialogue.segments[0];
        let (key, from_hi) = (syn.key, syn.record.from_hi());
        let reporter = Endpoint::v4(u32::from_ne_bytes([10, 0, 0, 9]), 0);
        let quote = |error, seq| IcmpQuote { error, key, from_hi, seq, reporter };
        let now = syn.record.time_ns;
        assert_eq!(tracker.icmp_report(&key), None);
        assert!(tracker.unreachable(&quote(TOO_BIG, syn.record.seq), now));
        assert!(tracker.unreachable(&quote(PROHIBITED, syn.record.seq.wrapping_add(5000)), now + 1));
        assert!(tracker.icmp_report(&key).is_some_and(|report| report.error == PROHIBITED && !report.fits));
        assert!(tracker.unreachable(&quote(PROHIBITED, syn.record.seq), now + 2));
        let report = tracker.icmp_report(&key).expect("a report");
        assert_eq!((report.fits, report.time_ns, report.errors, report.too_big), (true, now + 2, 2, 1));
        assert_eq!(report.reporter.to_string(), "10.0.0.9");
        assert_eq!(tracker.stats().icmp, IcmpCounts { matched: 3, ..IcmpCounts::default() });
    }

    #[test]
    fn what_is_about_nobody_is_counted_and_what_has_ended_is_forgotten() {
        let dialogue = Dialogue::new().play("S").with(1, RST, |_| ());
        let mut tracker = tracker(&dialogue);
        let key = dialogue.segments[0].key;
        let elsewhere = IcmpQuote {
            error: PROHIBITED,
            key: FlowKey::default(),
            from_hi: false,
            seq: 0,
            reporter: Endpoint::v4(0, 0),
        };
        assert!(!tracker.unreachable(&elsewhere, dialogue.now));
        assert!(tracker.unreachable(&IcmpQuote { key, ..elsewhere }, dialogue.now));
        tracker.finish(dialogue.now);
        assert_eq!((tracker.partition(&key).icmp.of.len(), tracker.stats().icmp.unmatched), (0, 1));
        assert_eq!(dialogue.segments[0].record.flags & SYN, SYN);
    }
}

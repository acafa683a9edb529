//! Monitors: clients that open the same service at steady intervals, ask for little or nothing, and reset.
//!
//! Load balancers look so whether a server accepts connections (HAProxy `check`, tcp-shaker, Keepalived, Kubernetes'
//! `tcpSocket` probes): one such connection alone looks like a scan or a change of mind.

use std::{collections::HashMap, hash::BuildHasher as _, net::IpAddr};

use crate::record::{Cause, Connection, ResetBy};

/// Pairs remembered at once, of which a new one takes the place of another that is not steady. A power of two.
const PLACES: usize = 8192;
/// Intervals that agree from which they are steady.
const ENOUGH: u8 = 3;
/// Shorter intervals are a burst.
const LEAST_NS: u64 = 200_000_000;
/// What two intervals may differ by, besides an eighth.
const JITTER_NS: u64 = 50_000_000;

/// A check asks for little, and reads little of the answer.
const MOST_BYTES: u64 = 16_384;
/// And is done soon.
const LONGEST_NS: u64 = 2_000_000_000;

/// When one client looks at one service. Small: which pair comes next cannot be guessed, so that each is waited for.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    last_ns: u64,
    interval_ns: u64,
    /// Intervals that agree with the one before, all of them.
    agreeing: u32,
    seen: u32,
    /// Intervals in a row that agree, as far as a byte counts: more than [`ENOUGH`] is as good.
    steady: u8,
    /// The most there were.
    best: u8,
}

impl Pair {
    fn see(&mut self, start_ns: u64) {
        self.seen = self.seen.saturating_add(1);
        let passed_ns = start_ns.abs_diff(std::mem::replace(&mut self.last_ns, start_ns));
        if self.seen == 1 {
            return;
        }
        let tolerance_ns = self.interval_ns / 8 + JITTER_NS;
        if self.interval_ns >= LEAST_NS && passed_ns.abs_diff(self.interval_ns) <= tolerance_ns {
            self.steady = self.steady.saturating_add(1);
            self.best = self.best.max(self.steady);
            self.agreeing = self.agreeing.saturating_add(1);
        } else {
            self.steady = 0;
        }
        self.interval_ns = passed_ns;
    }

    fn is_steady(&self) -> bool {
        // Most of them, whatever disturbed some.
        self.best >= ENOUGH && self.agreeing >= self.seen / 2
    }
}

/// The place of a pair.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// Hash of client and service: a collision takes two pairs for one, once in 2^64 of them.
    ends: u64,
    pair: Pair,
    number: u32,
}

const _: () = assert!(size_of::<Place>() <= 48);

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Monitors {
    hasher: foldhash::fast::RandomState,
    /// By hash. Without a connection seen, a place is free.
    places: Vec<Place>,
    next: u32,
    /// Those that are steady, by number: interval, nanoseconds, and connections.
    steady: HashMap<u32, (u64, u32), foldhash::fast::RandomState>,
}

impl Monitors {
    /// Whether a connection is as a monitor's are: short, with little payload or none, and reset by the client.
    pub(super) fn is_candidate(connection: &Connection) -> bool {
        let payload_bytes = connection.from_orig.payload_bytes + connection.from_resp.payload_bytes;
        let is_small = payload_bytes <= MOST_BYTES && connection.duration_ns <= LONGEST_NS;
        let cause = connection.verdict.cause;
        let ends_like_one = match payload_bytes {
            0 => matches!(cause, Cause::HalfOpenScan | Cause::AbortNoData),
            _ => {
                matches!(
                    cause,
                    Cause::AppAbort | Cause::ClientAbortDownload | Cause::RstInsteadOfFin | Cause::DataAfterClose
                ) && connection.from_resp.payload_bytes > 0
            }
        };
        is_small && connection.from_orig.rst > 0 && connection.reset_by == ResetBy::Client && ends_like_one
    }

    /// Reads the place of such a connection, so that it is near when it is seen.
    pub(super) fn approach(&self, connection: &Connection) -> u64 {
        let place = self.places.get(self.hash(connection) as usize % PLACES);
        place.map_or(0, |place| place.ends)
    }

    /// Counts such a connection; the number of its pair, `None` where there is no place for it.
    #[cold]
    pub(super) fn see(&mut self, connection: &Connection) -> Option<u32> {
        if self.places.is_empty() {
            self.places.resize(PLACES, Place::default());
        }
        let ends = self.hash(connection);
        let place = &mut self.places[ends as usize % PLACES];
        if place.ends != ends || place.pair.seen == 0 {
            if place.pair.is_steady() {
                return None;
            }
            *place = Place { ends, number: self.next, pair: Pair::default() };
            self.next = self.next.wrapping_add(1);
        }
        let Place { pair, number, .. } = place;
        pair.see(connection.start_ns);
        if pair.is_steady() {
            self.steady.insert(*number, (pair.interval_ns, pair.seen));
        } else if pair.best >= ENOUGH {
            self.steady.remove(number);
        }
        Some(*number)
    }

    /// Of its client and service.
    fn hash(&self, connection: &Connection) -> u64 {
        let (client, service) = (bits(connection.orig.ip()), bits(connection.resp.ip()));
        self.hasher.hash_one((client, service, connection.resp.port()))
    }

    /// The number of its pair.
    pub(super) fn find(&self, connection: &Connection) -> Option<u32> {
        let ends = self.hash(connection);
        let place = self.places.get(ends as usize % PLACES)?;
        (place.ends == ends && place.pair.seen > 0).then_some(place.number)
    }

    /// Whether the pair with this number is a monitor and its service; its interval, nanoseconds, and its connections.
    pub(super) fn steady(&self, number: u32) -> Option<(u64, u32)> {
        self.steady.get(&number).copied()
    }
}

/// IPv4 addresses among those of IPv6 (RFC 4291 2.5.5.2).
fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped().to_bits(),
        IpAddr::V6(address) => address.to_bits(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steady(times_ms: &[u64]) -> bool {
        let mut pair = Pair::default();
        for time in times_ms {
            pair.see(time * 1_000_000);
        }
        pair.is_steady()
    }

    #[test]
    fn steady_intervals_make_a_monitor() {
        assert!(steady(&[0, 2000, 4010, 6020, 8000]));
        assert!(!steady(&[0, 2000, 4000, 6000]), "two that agree are chance");
        assert!(!steady(&[0, 1, 2, 3, 4, 5, 6]), "a burst");
        assert!(!steady(&[0, 500, 2500, 2700, 9000, 9100, 20_000]), "whenever somebody comes");
        assert!(steady(&[0, 2000, 4000, 6000, 8000, 8100, 10_000, 12_000, 14_000, 16_000]), "disturbed once");
    }
}

//! Monitors: clients that open the same service at steady intervals, ask for little or nothing, and reset.
//!
//! Load balancers look so whether a server accepts connections (HAProxy `check`, tcp-shaker, Keepalived, Kubernetes'
//! `tcpSocket` probes): one such connection alone looks like a scan or a change of mind.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use crate::lifecycle::{Cause, Connection, ResetBy};

/// Pairs remembered; later ones are not judged.
const MAX_PAIRS: usize = 65_536;
/// Intervals that agree from which they are steady.
const ENOUGH: u32 = 3;
/// Shorter intervals are a burst.
const LEAST_NS: u64 = 200_000_000;
/// What two intervals may differ by, besides an eighth.
const JITTER_NS: u64 = 50_000_000;

/// A check asks for little, and reads little of the answer.
const MOST_BYTES: u64 = 16_384;
/// And is done soon.
const LONGEST_NS: u64 = 2_000_000_000;

/// When one client looks at one service.
#[derive(Clone, Copy, Debug, Default)]
struct Pair {
    last_ns: u64,
    interval_ns: u64,
    /// Intervals in a row that agree.
    steady: u32,
    /// The most there were.
    best: u32,
    /// Intervals that agree with the one before, all of them.
    agreeing: u32,
    seen: u32,
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

/// See the module.
#[derive(Clone, Debug, Default)]
pub(super) struct Monitors {
    numbers: HashMap<(IpAddr, SocketAddr), u32, foldhash::fast::RandomState>,
    pairs: Vec<Pair>,
}

impl Monitors {
    /// Whether a connection is as a monitor's are: short, with little payload or none, and reset by the client.
    pub(super) fn is_candidate(connection: &Connection) -> bool {
        let payload_bytes = connection.from_orig.payload_bytes + connection.from_resp.payload_bytes;
        let is_small = payload_bytes <= MOST_BYTES && connection.duration_ns <= LONGEST_NS;
        let cause = connection.verdict.cause;
        let ends_like_one = match payload_bytes {
            0 => matches!(cause, Cause::HalfOpenScan | Cause::AbortNoData),
            _ => matches!(
                cause,
                Cause::AppAbort
                    | Cause::ClientAbortDownload
                    | Cause::RstInsteadOfFin
                    | Cause::DataAfterClose
                    | Cause::ClientGaveUp
            ),
        };
        is_small && connection.from_orig.rst > 0 && connection.reset_by == ResetBy::Client && ends_like_one
    }

    /// Counts such a connection; the number of its pair.
    #[cold]
    pub(super) fn see(&mut self, connection: &Connection) -> Option<u32> {
        let place = (connection.orig.ip(), connection.resp);
        let number = match self.numbers.get(&place) {
            Some(&number) => number,
            None if self.pairs.len() < MAX_PAIRS => {
                let number = self.pairs.len() as u32;
                self.numbers.insert(place, number);
                self.pairs.push(Pair::default());
                number
            }
            None => return None,
        };
        self.pairs[number as usize].see(connection.start_ns);
        Some(number)
    }

    /// The number of its pair.
    pub(super) fn find(&self, connection: &Connection) -> Option<u32> {
        self.numbers.get(&(connection.orig.ip(), connection.resp)).copied()
    }

    /// Whether the pair with this number is a monitor and its service; its interval, nanoseconds, and its connections.
    pub(super) fn steady(&self, number: u32) -> Option<(u64, u32)> {
        let pair = self.pairs.get(number as usize)?;
        pair.is_steady().then_some((pair.interval_ns, pair.seen))
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

//! Driver silence: notices interfaces that receive packets of which the program is given none. Some drivers (vmxnet3) hand a program no more frames
//! once their link was down and up, although it is still attached.

use std::time::{Duration, Instant};

use crate::source::live::netdev::LinkCounters;

/// Over how long the counters are compared.
const PERIOD: Duration = Duration::from_secs(2);
/// Counters of some cards are late: what one period misses, the next has.
const PERIODS: u32 = 2;
/// So many packets in a period are no rounding.
const ENOUGH: u64 = 4;

/// Compares what the interfaces received with what the programs were called for.
pub(crate) struct Silence {
    since: Instant,
    received: Option<u64>,
    frames: u64,
    periods: u32,
    /// Packets of the periods that were silent so far.
    missed: u64,
    /// Packets of all silences.
    unseen: u64,
}

/// What was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Finding {
    /// Nothing new.
    Nothing,
    /// So many packets were received since the programs were last called.
    Silent(u64),
}

impl Silence {
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), received: None, frames: 0, periods: 0, missed: 0, unseen: 0 }
    }

    /// Whether it is time to compare.
    pub(crate) fn is_due(&self) -> bool {
        self.received.is_none() || self.since.elapsed() >= PERIOD
    }

    /// Packets that were received while the programs were not called at all.
    pub(crate) fn unseen(&self) -> u64 {
        self.unseen
    }

    /// Begins anew: an interface was attached whose counters were not among those before.
    pub(crate) fn begin_anew(&mut self) {
        (self.received, self.periods, self.missed) = (None, 0, 0);
    }

    /// Counters of the interfaces, read before the drain that `frames` comes from: what they know, the program has seen.
    pub(crate) fn compare(&mut self, counters: &[Option<LinkCounters>], frames: u64) -> Finding {
        let received = counters.iter().flatten().map(|one| one.rx_packets).sum::<u64>();
        self.since = Instant::now();
        // An interface that is gone takes its counters along.
        let grown = self.received.replace(received).map_or(0, |before| received.saturating_sub(before));
        let seen = frames - std::mem::replace(&mut self.frames, frames);
        if seen > 0 {
            (self.periods, self.missed) = (0, 0);
            return Finding::Nothing;
        }
        if grown < ENOUGH {
            return Finding::Nothing;
        }
        self.periods += 1;
        self.missed += grown;
        match self.periods.cmp(&PERIODS) {
            std::cmp::Ordering::Less => return Finding::Nothing,
            std::cmp::Ordering::Equal => self.unseen += self.missed,
            std::cmp::Ordering::Greater => self.unseen += grown,
        }
        if self.periods == PERIODS { Finding::Silent(self.missed) } else { Finding::Nothing }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counters(rx_packets: u64) -> [Option<LinkCounters>; 1] {
        [Some(LinkCounters { rx_packets, ..LinkCounters::default() })]
    }

    #[test]
    fn two_periods_with_packets_and_no_frame_are_a_silence_and_are_said_once() {
        let mut silence = Silence::new();
        assert_eq!(silence.compare(&counters(100), 90), Finding::Nothing);
        assert_eq!(silence.compare(&counters(200), 190), Finding::Nothing);
        // Late counters: one period.
        assert_eq!(silence.compare(&counters(210), 190), Finding::Nothing);
        assert_eq!(silence.compare(&counters(210), 191), Finding::Nothing);
        assert_eq!(silence.compare(&counters(220), 191), Finding::Nothing);
        assert_eq!(silence.compare(&counters(230), 191), Finding::Silent(20));
        assert_eq!(silence.compare(&counters(240), 191), Finding::Nothing);
        assert_eq!(silence.unseen(), 30);
        // Seen again, silent again.
        assert_eq!(silence.compare(&counters(250), 200), Finding::Nothing);
        assert_eq!(silence.compare(&counters(260), 200), Finding::Nothing);
        assert_eq!(silence.compare(&counters(270), 200), Finding::Silent(20));
        assert_eq!(silence.unseen(), 50);
    }

    #[test]
    fn a_quiet_network_is_no_silence() {
        let mut silence = Silence::new();
        for _ in 0..10 {
            assert_eq!(silence.compare(&counters(7), 5), Finding::Nothing);
        }
        // Few packets, such as those that a card counts and its filter drops.
        for received in 8..20 {
            assert_eq!(silence.compare(&counters(received), 5), Finding::Nothing);
        }
        assert_eq!(silence.unseen(), 0);
    }
}

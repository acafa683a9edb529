//! Capture clock: the latest time of a capture, and where time goes back.
//!
//! Frames of several queues are written a few milliseconds out of order by any capturing program; what goes back by more is a
//! clock that was set, or captures that were put together in the wrong order.

use std::path::Path;

use crate::printable;

/// Going back by less is ordinary: frames of several queues, or of several interfaces, written as they are found. Kernels
/// hand them over within a softirq and a poll, milliseconds at most.
const ORDINARY_NS: u64 = 50_000_000;

/// Follows the times of frames.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CaptureClock {
    /// Time of the latest frame.
    pub(crate) latest_ns: u64,
    /// Time of the last frame of this file.
    last_ns: u64,
    /// Latest time before this file.
    before_ns: u64,
    /// First time of this file.
    first_ns: Option<u64>,
    back: u64,
    furthest_ns: u64,
    /// It was said that a file begins before the one ahead of it ends.
    overlap_said: bool,
}

impl CaptureClock {
    /// Takes the time of the next frame.
    #[inline]
    pub(crate) fn see(&mut self, time_ns: u64) {
        if time_ns < self.last_ns {
            self.went_back(self.last_ns - time_ns);
        }
        self.last_ns = time_ns;
        self.latest_ns = self.latest_ns.max(time_ns);
    }

    /// As [`Self::see`], of the first frame of a file.
    #[cold]
    pub(crate) fn see_first(&mut self, time_ns: u64) {
        self.first_ns = Some(time_ns);
        self.last_ns = time_ns;
        self.latest_ns = self.latest_ns.max(time_ns);
    }

    #[cold]
    fn went_back(&mut self, by_ns: u64) {
        if by_ns > ORDINARY_NS {
            self.back += 1;
            self.furthest_ns = self.furthest_ns.max(by_ns);
        }
    }

    /// Frames of another file follow.
    pub(crate) fn begin(&mut self) {
        let Self { latest_ns, overlap_said, .. } = *self;
        *self = Self { latest_ns, before_ns: latest_ns, overlap_said, ..Self::default() };
    }

    /// True until the first frame of the file was seen.
    #[inline]
    pub(crate) fn awaits_first(&self) -> bool {
        self.first_ns.is_none()
    }

    /// What is to be said of the file that `begin` began, and that may be what `--evidence` kept.
    pub(crate) fn notices(&mut self, file: &Path, is_evidence: bool) -> Vec<String> {
        let name = printable::path(file);
        let file = if name == "-" { "standard input" } else { &name };
        let mut notices = Vec::new();
        if let Some(early_ns) = self.first_ns.and_then(|first_ns| self.before_ns.checked_sub(first_ns))
            && early_ns > ORDINARY_NS
            && !std::mem::replace(&mut self.overlap_said, true)
        {
            notices.push(format!(
                "{file} begins {} s before the file ahead of it ends: captures are read one after the other, so that \
                 durations and timeouts of connections in both are unsure; merge captures that overlap first \
                 (mergecap -w all.pcapng FILE...). Of further files this is not said",
                seconds(early_ns)
            ));
        }
        if is_evidence {
            notices.push(format!(
                "{file} is evidence that rstprobe kept: packets of the connections it was asked for, one connection after the \
                 other. Counts and verdicts are of these packets alone; those of then are in their comments (`rstprobe explain -r \
                 FILE ID` shows them)"
            ));
        } else if self.back > 0 {
            let times = if self.back == 1 { "once".to_owned() } else { format!("{} times", self.back) };
            notices.push(format!(
                "the clock of {file} goes back {times}, by up to {} s: it was set, or frames of several clocks were put \
                 together; durations and timeouts around it are unsure (reordercap sorts frames)",
                seconds(self.furthest_ns)
            ));
        }
        notices
    }
}

fn seconds(ns: u64) -> String {
    format!("{}.{:03}", ns / 1_000_000_000, ns % 1_000_000_000 / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn said(clock: &mut CaptureClock, times: &[u64]) -> Vec<String> {
        clock.begin();
        for (nth, &time_ns) in times.iter().enumerate() {
            assert_eq!(clock.awaits_first(), nth == 0);
            if nth == 0 { clock.see_first(time_ns) } else { clock.see(time_ns) }
        }
        clock.notices(Path::new("a.pcap"), false)
    }

    #[test]
    fn a_clock_that_was_set_is_said_and_a_few_milliseconds_are_not() {
        let hour = 3600 * SECOND;
        let mut clock = CaptureClock::default();
        let disorder = [hour, hour + 4_000_000, hour + 1, hour + 9_000_000, hour + 2];
        assert_eq!(said(&mut clock, &disorder), Vec::<String>::new());
        let [notice] =
            said(&mut CaptureClock::default(), &[hour + 7, 7, 8, hour, hour - SECOND]).try_into().expect("one");
        assert!(notice.starts_with("the clock of a.pcap goes back 2 times, by up to 3600.000 s"), "{notice}");
        let [notice] = said(&mut CaptureClock::default(), &[hour, hour - SECOND / 2]).try_into().expect("one");
        assert!(notice.contains("goes back once, by up to 0.500 s"), "{notice}");
    }

    #[test]
    fn evidence_is_told_and_not_its_clock() {
        let mut clock = CaptureClock::default();
        clock.see_first(9 * SECOND);
        clock.see(SECOND);
        let [notice] = clock.notices(Path::new("e.pcapng"), true).try_into().expect("one");
        assert!(notice.starts_with("e.pcapng is evidence that rstprobe kept"), "{notice}");
    }

    #[test]
    fn files_in_the_wrong_order_are_said() {
        let mut clock = CaptureClock::default();
        assert_eq!(said(&mut clock, &[10 * SECOND, 20 * SECOND]), Vec::<String>::new());
        assert_eq!(said(&mut clock, &[20 * SECOND, 21 * SECOND]), Vec::<String>::new());
        let [notice] = said(&mut clock, &[SECOND, 2 * SECOND]).try_into().expect("one");
        assert!(notice.starts_with("a.pcap begins 20.000 s before the file ahead of it ends"), "{notice}");
        assert_eq!(clock.latest_ns, 21 * SECOND);
        assert_eq!(said(&mut clock, &[SECOND, 2 * SECOND]), Vec::<String>::new(), "once is enough");
    }
}

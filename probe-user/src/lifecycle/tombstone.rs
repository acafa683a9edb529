//! Keys of connections that ended a short while ago, so that what comes late is known as late.
//!
//! A ring of ends in their order. Asked for far less often than added to, so that an end costs no more than its entry and
//! the head of its chain; nothing is ever taken out, chains end where the ring has gone round.

/// How long an end is remembered: one maximum segment lifetime (RFC 9293 3.4.2).
const KEPT_NS: u64 = 120_000_000_000;
/// Ends remembered at most.
const MAX: u32 = 65_536;
const CHAINS: usize = 65_536;
/// Ends that wait to be linked into their chains, at most: together, so that the waits for memory overlap.
const UNLINKED: u32 = 64;

/// Remembered by hash: a collision makes a stranger look late, once in 2^64 pairs.
#[derive(Debug)]
pub(super) struct Tombstones {
    /// The ends, where their numbers put them.
    ring: Vec<End>,
    /// Number of the latest end of each chain.
    heads: Vec<u32>,
    /// Number of the next end. Starts beyond the ring, so that a head of 0 is out of its reach.
    next: u32,
    /// Number of the first end that is in no chain yet.
    unlinked: u32,
    /// Ends before it were forgotten.
    forgotten_ns: u64,
}

#[derive(Clone, Copy, Debug)]
struct End {
    hash: u64,
    time_ns: u64,
    /// Number of the one before it in its chain.
    before: u32,
}

impl Tombstones {
    pub(super) fn new() -> Self {
        Self { ring: Vec::new(), heads: Vec::new(), next: MAX * 2, unlinked: MAX * 2, forgotten_ns: 0 }
    }

    /// Remembers the end of a connection whose key has this hash; time does not go back.
    pub(super) fn add(&mut self, hash: u64, now: u64) {
        if self.heads.is_empty() {
            self.heads = vec![0; CHAINS];
            // Once, so that it need not move as it fills: memory that was never written takes none.
            self.ring.reserve_exact(MAX as usize);
        }
        let end = End { hash, time_ns: now, before: 0 };
        match self.ring.get_mut((self.next % MAX) as usize) {
            Some(oldest) => *oldest = end,
            None => self.ring.push(end),
        }
        self.next = self.next.wrapping_add(1);
        self.forgotten_ns = now.saturating_sub(KEPT_NS);
        if self.next.wrapping_sub(self.unlinked) >= UNLINKED {
            self.link();
        }
    }

    /// Makes each unlinked end the head of its chain.
    fn link(&mut self) {
        while self.unlinked != self.next {
            if let Some(end) = self.ring.get_mut((self.unlinked % MAX) as usize) {
                end.before = std::mem::replace(&mut self.heads[end.hash as usize % CHAINS], self.unlinked);
            }
            self.unlinked = self.unlinked.wrapping_add(1);
        }
    }

    /// Whether a connection of this key's hash ended within the last two minutes.
    pub(super) fn contains(&mut self, hash: u64, now: u64) -> bool {
        self.link();
        let Some(&head) = self.heads.get(hash as usize % CHAINS) else { return false };
        let (mut number, mut last_age) = (head, 0);
        loop {
            let age = self.next.wrapping_sub(number);
            // The next of the chain is always older, unless the ring has gone round meanwhile.
            if age > MAX || age <= last_age {
                return false;
            }
            let Some(end) = self.ring.get((number % MAX) as usize) else { return false };
            if end.time_ns < self.forgotten_ns {
                return false;
            }
            if end.hash == hash {
                return end.time_ns.saturating_add(KEPT_NS) >= now;
            }
            (number, last_age) = (end.before, age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    #[test]
    fn ends_are_known_for_two_minutes() {
        let mut ends = Tombstones::new();
        assert!(!ends.contains(key(1), 0));
        ends.add(key(1), 1_000);
        assert!(ends.contains(key(1), 1_000) && ends.contains(key(1), 1_000 + KEPT_NS));
        assert!(!ends.contains(key(1), 1_001 + KEPT_NS) && !ends.contains(key(2), 1_000));
        ends.add(key(2), 1_001 + KEPT_NS);
        assert!(!ends.contains(key(1), 1_000), "forgotten with the next end");
        ends.add(key(1), 2_000 + KEPT_NS);
        assert!(ends.contains(key(1), 2_000 + KEPT_NS));
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut ends = Tombstones::new();
        let last = u64::from(MAX) * 3 + 5;
        for number in 0..=last {
            ends.add(key(number), number);
        }
        let first = last + 1 - u64::from(MAX);
        for number in [first, first + 1, last - 1, last] {
            assert!(ends.contains(key(number), last), "{number}");
        }
        for number in [0, 5, first - 1, last + 1] {
            assert!(!ends.contains(key(number), last), "{number}");
        }
    }
}

//! Tombstones: remember connections that ended or fell silent, so that late segments are known as late.
//!
//! A ring of ends in their order. Asked for far less often than added to, so that an end costs no more than its entry and
//! the head of its chain; nothing is ever taken out, chains end where the ring has gone round.

/// How long an end is remembered: one maximum segment lifetime (RFC 9293 3.4.2).
const RETENTION_NS: u64 = 120_000_000_000;
/// How long a connection is remembered whose record was written because it was silent: firewalls and balancers forget after
/// 350 s (NLB) to an hour.
const SILENT_RETENTION_NS: u64 = 3_700_000_000_000;
/// Ends remembered at most, by all partitions together.
pub(crate) const MOST: u32 = 65_536;
/// Ends that wait to be linked into their chains, at most: together, so that the waits for memory overlap.
const UNLINKED: u32 = 64;

/// Remembered by hash: a collision makes a stranger look late, once in 2^64 pairs.
#[derive(Debug)]
pub(crate) struct Tombstones {
    /// Ends remembered at most, and chains.
    most: u32,
    /// The ends, where their numbers put them.
    ring: Vec<Entry>,
    /// Number of the latest end of each chain.
    heads: Vec<u32>,
    /// Number of the next end. Starts beyond the ring, so that a head of 0 is out of its reach.
    next: u32,
    /// Number of the first end that is in no chain yet.
    unlinked: u32,
    /// Ends before it were forgotten.
    forgotten_ns: u64,
}

/// What is remembered of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct End {
    /// Its last segment.
    pub(crate) last_ns: u64,
    /// Its client is the key's `hi` endpoint.
    pub(crate) client_is_hi: bool,
    /// How client and server were known is more than a guess.
    pub(crate) roles_known: bool,
    /// It had not ended: it was only silent.
    pub(crate) silent: bool,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    time_ns: u64,
    last_ns: u64,
    /// Number of the one before it in its chain.
    before: u32,
    client_is_hi: bool,
    roles_known: bool,
    silent: bool,
}

const _: () = assert!(size_of::<Entry>() == 32);

impl Entry {
    fn end(&self) -> End {
        let Self { last_ns, client_is_hi, roles_known, silent, .. } = *self;
        End { last_ns, client_is_hi, roles_known, silent }
    }
}

impl Tombstones {
    /// Remembers so many ends, a power of two and no fewer than [`UNLINKED`].
    pub(crate) fn new(most: u32) -> Self {
        let (next, unlinked) = (most * 2, most * 2);
        Self { most, ring: Vec::new(), heads: Vec::new(), next, unlinked, forgotten_ns: 0 }
    }

    /// Remembers the end of a connection whose key has this hash; time does not go back.
    pub(crate) fn add(&mut self, hash: u64, end: End, now: u64) {
        if self.heads.is_empty() {
            self.heads = vec![0; self.most as usize];
            // Once, so that it need not move as it fills: memory that was never written takes none.
            self.ring.reserve_exact(self.most as usize);
        }
        let End { last_ns, client_is_hi, roles_known, silent } = end;
        let entry = Entry { hash, time_ns: now, last_ns, before: 0, client_is_hi, roles_known, silent };
        match self.ring.get_mut((self.next & (self.most - 1)) as usize) {
            Some(oldest) => *oldest = entry,
            None => self.ring.push(entry),
        }
        self.next = self.next.wrapping_add(1);
        self.forgotten_ns = now.saturating_sub(SILENT_RETENTION_NS);
        if self.next.wrapping_sub(self.unlinked) >= UNLINKED {
            self.link();
        }
    }

    /// Makes each unlinked end the head of its chain.
    fn link(&mut self) {
        while self.unlinked != self.next {
            if let Some(entry) = self.ring.get_mut((self.unlinked & (self.most - 1)) as usize) {
                entry.before =
                    std::mem::replace(&mut self.heads[entry.hash as usize & (self.most as usize - 1)], self.unlinked);
            }
            self.unlinked = self.unlinked.wrapping_add(1);
        }
    }

    /// The latest connection of this key's hash that ended within the last two minutes, or fell silent within the last hour.
    pub(crate) fn find(&mut self, hash: u64, now: u64) -> Option<End> {
        self.link();
        let &head = self.heads.get(hash as usize & (self.most as usize - 1))?;
        let (mut number, mut last_age) = (head, 0);
        loop {
            let age = self.next.wrapping_sub(number);
            // The next of the chain is always older, unless the ring has gone round meanwhile.
            if age > self.most || age <= last_age {
                return None;
            }
            let entry = self.ring.get((number & (self.most - 1)) as usize)?;
            if entry.time_ns < self.forgotten_ns {
                return None;
            }
            if entry.hash == hash {
                let retention_ns = if entry.silent { SILENT_RETENTION_NS } else { RETENTION_NS };
                return (entry.time_ns.saturating_add(retention_ns) >= now).then(|| entry.end());
            }
            (number, last_age) = (entry.before, age);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> u64 {
        number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    fn end(silent: bool) -> End {
        End { last_ns: 7, client_is_hi: true, roles_known: true, silent }
    }

    #[test]
    fn ends_are_known_for_two_minutes_and_silence_for_an_hour() {
        for (silent, retention_ns) in [(false, RETENTION_NS), (true, SILENT_RETENTION_NS)] {
            let mut ends = Tombstones::new(MOST);
            assert_eq!(ends.find(key(1), 0), None);
            ends.add(key(1), end(silent), 1_000);
            assert_eq!(ends.find(key(1), 1_000), Some(end(silent)));
            assert_eq!(ends.find(key(1), 1_000 + retention_ns), Some(end(silent)));
            assert_eq!(ends.find(key(1), 1_001 + retention_ns), None);
            assert_eq!(ends.find(key(2), 1_000), None);
            ends.add(key(2), end(silent), 1_001 + SILENT_RETENTION_NS);
            assert_eq!(ends.find(key(1), 1_000), None, "forgotten with the next end");
        }
    }

    #[test]
    fn only_the_latest_are_remembered() {
        let mut ends = Tombstones::new(MOST);
        let last = u64::from(MOST) * 3 + 5;
        for number in 0..=last {
            ends.add(key(number), end(false), number);
        }
        let first = last + 1 - u64::from(MOST);
        for number in [first, first + 1, last - 1, last] {
            assert!(ends.find(key(number), last).is_some(), "{number}");
        }
        for number in [0, 5, first - 1, last + 1] {
            assert!(ends.find(key(number), last).is_none(), "{number}");
        }
    }
}

//! Drain: hands what one epoch has left to a [`Sink`], in the order of time.
//!
//! Each CPU's journal and log are in the order of time as they lie there, but for the few entries whose time is a coarse
//! one (what the program keeps of a segment only once the next has come) or that were recalled. Those are put aside and
//! sorted; then there are a few sorted runs to merge, one per CPU and list, which takes one pass for each doubling of
//! their number instead of a sort of everything.
//!
//! Safe code over slices: that nobody writes there any more is [`super::engine`]'s to know.

use probe_ebpf::{
    layout::{
        DirectionCounters, EpochCounters, JournalEntry, LOG_COUNTED, LOG_ICMP, LOG_ONLY, LOG_RECALLED, LogEntry,
        SLOT_LAST_FROM_HI, SLOT_SUPERSEDED, SYN, Segment, Slot,
    },
    parse::IcmpQuote,
};

use super::{accounting::Accounting, flood::Flood, sink::Sink};

/// What one CPU has left in one epoch.
pub(super) struct Left<'a> {
    /// The region of the maps that it lies in.
    pub(super) region: usize,
    /// The CPU.
    pub(super) cpu: usize,
    /// Its books.
    pub(super) accounting: EpochCounters,
    /// Its slots, in the order of first use.
    pub(super) slots: &'a [Slot],
    /// Its journal, in the order of arrival.
    pub(super) journal: &'a [JournalEntry],
    /// Its log, in the order of arrival.
    pub(super) log: &'a [LogEntry],
}

/// One segment in the order of time.
#[derive(Clone, Copy)]
struct Entry {
    time_ns: u64,
    /// Where it is in its list.
    at: u32,
    /// `2 * index of the CPU's [Left]` for the journal, one more for the log; or [`CLAIMED`].
    list: u32,
}

/// [`Entry::list`]: among the openings that were claimed.
const CLAIMED: u32 = u32::MAX;

/// Segments in the order of time; equal times in the order of arrival. Kept from drain to drain for its memory.
#[derive(Default)]
pub(super) struct Order {
    entries: Vec<Entry>,
    late: Vec<Entry>,
}

impl Order {
    /// Adds a list whose times hardly ever go back.
    fn add(&mut self, list: u32, times: impl Iterator<Item = (usize, u64)>) {
        let mut latest = 0;
        for (at, time_ns) in times {
            let entry = Entry { time_ns, at: at as u32, list };
            if time_ns < latest {
                self.late.push(entry);
            } else {
                latest = time_ns;
                self.entries.push(entry);
            }
        }
        self.late.sort_by_key(|entry| entry.time_ns);
        self.entries.append(&mut self.late);
    }

    /// Merges the lists. The sort finds the runs that are there, and is stable.
    fn merge(&mut self) {
        self.entries.sort_by_key(|entry| entry.time_ns);
    }
}

/// What all CPUs have left, and how their times become those that people use.
pub(super) struct Drain<'a> {
    /// One for each CPU.
    pub(super) left: Vec<Left<'a>>,
    /// Added to every time.
    pub(super) clock_offset_ns: u64,
    /// Coarse time of the drain, `CLOCK_MONOTONIC`.
    pub(super) now_ns: u64,
}

impl Drain<'_> {
    /// Feeds everything to `sink`; the books of the epoch.
    pub(super) fn feed(&self, order: &mut Order, mut flood: Option<&mut Flood>, sink: &mut impl Sink) -> Accounting {
        let mut sum = Accounting { epochs: 1, ..Accounting::default() };
        order.entries.clear();
        for left in &self.left {
            sum.add_cpu(&left.accounting);
            if let Some(flood) = &mut flood {
                sum.charge_difference += flood.take_rows(left.region, &left.accounting);
            }
        }
        let only = self.only_journal();
        if only.is_none() {
            self.list(order, flood.as_deref_mut(), &mut sum);
        }
        let claimed = flood.map(|flood| self.claim(flood, &mut sum)).unwrap_or_default();
        match only {
            Some(left) if claimed.is_empty() => {
                for entry in left.journal {
                    self.feed_entry(left, entry, &mut sum, sink);
                }
            }
            _ => {
                if only.is_some() {
                    self.list(order, None, &mut sum);
                }
                self.feed_merged(order, &claimed, &mut sum, sink);
            }
        }
        for left in &self.left {
            self.settle(left, sink);
        }
        sum
    }

    /// The only CPU that has left anything, when that is in order as it lies there: then there is nothing to merge.
    fn only_journal(&self) -> Option<&Left<'_>> {
        let mut active = self.left.iter().filter(|left| !left.journal.is_empty() || !left.log.is_empty());
        let left = active.next().filter(|left| left.log.is_empty() && active.next().is_none())?;
        left.journal.is_sorted_by_key(|entry| entry.record.time_ns).then_some(left)
    }

    /// Lists journals, then logs.
    fn list(&self, order: &mut Order, mut flood: Option<&mut Flood>, sum: &mut Accounting) {
        for (nth, left) in self.left.iter().enumerate() {
            order.add(2 * nth as u32, left.journal.iter().map(|entry| entry.record.time_ns).enumerate());
        }
        for (nth, left) in self.left.iter().enumerate() {
            order.add(2 * nth as u32 + 1, logged(left, flood.as_deref_mut(), sum));
        }
    }

    fn feed_merged(&self, order: &mut Order, claimed: &[Segment], sum: &mut Accounting, sink: &mut impl Sink) {
        order.add(CLAIMED, claimed.iter().map(|segment| segment.record.time_ns).enumerate());
        order.merge();
        for entry in &order.entries {
            match entry.list {
                CLAIMED => sink.observe(&self.since_epoch(&claimed[entry.at as usize])),
                list if list % 2 == 1 => self.feed_logged(&self.left[(list / 2) as usize].log[entry.at as usize], sink),
                list => {
                    let left = &self.left[(list / 2) as usize];
                    self.feed_entry(left, &left.journal[entry.at as usize], sum, sink);
                }
            }
        }
    }

    /// The openings of flows that have shown more since: they were refused room, and are followed after all.
    fn claim(&self, flood: &mut Flood, sum: &mut Accounting) -> Vec<Segment> {
        let mut claimed = Vec::new();
        if flood.remembers(sum, self.now_ns) {
            for left in &self.left {
                claim_of(left, flood, &mut claimed);
            }
        }
        for segment in &claimed {
            sum.claimed += 1;
            sum.claimed_flags.add(segment.record.flags);
        }
        claimed
    }

    fn feed_logged(&self, entry: &LogEntry, sink: &mut impl Sink) {
        if let Some(quote) = IcmpQuote::of_entry(entry) {
            return sink.unreachable(&quote, entry.record.time_ns + self.clock_offset_ns);
        }
        let segment = Segment { key: entry.key, record: entry.record, first_bytes: entry.first_bytes };
        let segment = self.since_epoch(&segment);
        if entry.counted == LOG_COUNTED {
            sink.transition(&segment);
        } else {
            sink.observe(&segment);
        }
    }

    fn feed_entry(&self, left: &Left<'_>, entry: &JournalEntry, sum: &mut Accounting, sink: &mut impl Sink) {
        // None only where somebody still writes, that is, without a grace period: the slot has counted what is not drained
        // here, and the books do not balance.
        let Some(slot) = left.slots.get(entry.slot as usize) else { return };
        let segment = Segment { key: slot.key, record: entry.record, first_bytes: entry.first_bytes };
        sink.transition(&self.since_epoch(&segment));
        // Every slot has a first segment, so this comes to every slot once: if not, the books do not balance.
        if entry.nth == 0 {
            add(&slot.lo, sum);
            add(&slot.hi, sum);
            sink.count(&slot.key, &self.shifted(&slot.lo), &self.shifted(&slot.hi));
        }
    }

    fn settle(&self, left: &Left<'_>, sink: &mut impl Sink) {
        for slot in left.slots {
            // A superseded slot's connection has ended, and its key is another's now.
            if slot.state & SLOT_SUPERSEDED == 0 {
                let last_from_hi = slot.state & SLOT_LAST_FROM_HI != 0;
                sink.settle(&slot.key, &self.shifted(&slot.lo), &self.shifted(&slot.hi), last_from_hi);
            }
        }
    }

    fn since_epoch(&self, segment: &Segment) -> Segment {
        let mut segment = *segment;
        segment.record.time_ns += self.clock_offset_ns;
        segment
    }

    /// With times since the Unix epoch.
    fn shifted(&self, side: &DirectionCounters) -> DirectionCounters {
        let last_ns = if side.packets == 0 { 0 } else { side.last_ns + self.clock_offset_ns };
        DirectionCounters { last_ns, ..*side }
    }
}

/// The log entries that are to be handed over, and their times.
fn logged<'a>(
    left: &'a Left<'_>,
    mut flood: Option<&'a mut Flood>,
    sum: &'a mut Accounting,
) -> impl Iterator<Item = (usize, u64)> + 'a {
    left.log.iter().enumerate().filter_map(move |(at, entry)| {
        sum.drained_log += u64::from(entry.counted == LOG_ONLY);
        sum.drained_icmp += u64::from(entry.counted == LOG_ICMP);
        if entry.counted == LOG_RECALLED {
            if !flood.as_mut()?.recalled(left.cpu, entry) {
                return None;
            }
            sum.claimed += 1;
            sum.claimed_flags.add(entry.record.flags);
        }
        Some((at, entry.record.time_ns))
    })
}

fn claim_of(left: &Left<'_>, flood: &mut Flood, claimed: &mut Vec<Segment>) {
    for slot in left.slots {
        let openings = |side: &DirectionCounters| side.syn + side.syn_ack;
        if slot.lo.packets + slot.hi.packets > openings(&slot.lo) + openings(&slot.hi) {
            flood.claim(&slot.key, claimed);
        }
    }
    for entry in left.log {
        if entry.counted == LOG_ONLY && entry.record.flags & SYN == 0 {
            flood.claim(&entry.key, claimed);
        }
    }
}

/// Adds what one direction of a slot has counted.
fn add(side: &DirectionCounters, sum: &mut Accounting) {
    sum.drained += u64::from(side.packets);
    sum.drained_flags.syn += u64::from(side.syn);
    sum.drained_flags.syn_ack += u64::from(side.syn_ack);
    sum.drained_flags.fin += u64::from(side.fin);
    sum.drained_flags.rst += u64::from(side.rst);
}

#[cfg(test)]
mod tests {
    use probe_ebpf::layout::{FlowKey, LOG_COUNTED, SYN, SegmentRecord};

    use super::*;

    /// Keys (their first word) of segments in the order in which they came, and of slots that were counted and settled.
    #[derive(Default, PartialEq, Eq, Debug)]
    struct Seen {
        segments: Vec<(u64, u32)>,
        counted: Vec<u64>,
        settled: Vec<u64>,
        observed: Vec<u32>,
    }

    impl Sink for Seen {
        fn transition(&mut self, segment: &Segment) {
            self.segments.push((segment.key.words[0], segment.record.seq));
        }

        fn count(&mut self, key: &FlowKey, _: &DirectionCounters, _: &DirectionCounters) {
            self.counted.push(key.words[0]);
        }

        fn settle(&mut self, key: &FlowKey, _: &DirectionCounters, _: &DirectionCounters, _: bool) {
            self.settled.push(key.words[0]);
        }

        fn observe(&mut self, segment: &Segment) {
            self.observed.push(segment.record.seq);
        }
    }

    fn slot(key: u64) -> Slot {
        let lo = DirectionCounters { packets: 2, syn: 1, ..DirectionCounters::default() };
        Slot { key: FlowKey { words: [key; 5] }, lo, ..Slot::default() }
    }

    /// A segment of `slot` at `time_ns`, told by `seq` from others.
    fn entry(slot: u32, nth: u32, time_ns: u64, seq: u32) -> JournalEntry {
        JournalEntry {
            record: SegmentRecord { time_ns, seq, flags: SYN, ..SegmentRecord::default() },
            first_bytes: 0,
            slot,
            nth,
        }
    }

    fn logged(key: u64, time_ns: u64, seq: u32, counted: u32) -> LogEntry {
        let record = entry(0, 0, time_ns, seq).record;
        LogEntry { key: FlowKey { words: [key; 5] }, record, counted, ..LogEntry::default() }
    }

    type Cpu = (Vec<Slot>, Vec<JournalEntry>, Vec<LogEntry>);

    fn drained(cpus: &[Cpu]) -> (Seen, Accounting) {
        let left = cpus.iter().enumerate().map(|(cpu, (slots, journal, log))| {
            let accounting = EpochCounters { slots: slots.len() as u32, ..EpochCounters::default() };
            Left { region: cpu, cpu, accounting, slots, journal, log }
        });
        let drain = Drain { left: left.collect(), clock_offset_ns: 1000, now_ns: 0 };
        let mut seen = Seen::default();
        let accounting = drain.feed(&mut Order::default(), None, &mut seen);
        (seen, accounting)
    }

    #[test]
    fn one_journal_in_order_is_handed_over_as_it_lies() {
        let journal = vec![entry(0, 0, 5, 1), entry(1, 0, 5, 2), entry(0, 1, 9, 3)];
        let (seen, accounting) = drained(&[(vec![slot(7), slot(8)], journal, vec![]), (vec![], vec![], vec![])]);
        assert_eq!(seen.segments, [(7, 1), (8, 2), (7, 3)]);
        assert_eq!((seen.counted, seen.settled), (vec![7, 8], vec![7, 8]));
        assert_eq!((accounting.drained, accounting.drained_flags.syn, accounting.epochs), (4, 2, 1));
    }

    #[test]
    fn late_ones_and_other_lists_take_their_places() {
        // 4 is late by its coarse time, and 5 has the same: in the order of arrival, after the 2 of that time.
        let first =
            vec![entry(0, 0, 10, 1), entry(1, 0, 20, 2), entry(0, 1, 30, 3), entry(1, 1, 20, 4), entry(0, 2, 20, 5)];
        let second = vec![entry(0, 0, 5, 6), entry(0, 1, 25, 7)];
        let log = vec![logged(8, 40, 8, LOG_COUNTED), logged(9, 15, 9, LOG_ONLY), logged(9, 50, 10, LOG_ONLY)];
        let (seen, accounting) = drained(&[(vec![slot(7), slot(8)], first, log), (vec![slot(1)], second, vec![])]);
        assert_eq!(seen.segments, [(1, 6), (7, 1), (8, 2), (8, 4), (7, 5), (1, 7), (7, 3), (8, 8)]);
        assert_eq!((seen.counted, seen.observed), (vec![1, 7, 8], vec![9, 10]));
        assert_eq!((accounting.drained, accounting.drained_log), (6, 2));
    }

    #[test]
    fn a_slot_that_was_superseded_is_not_settled() {
        let old = Slot { state: SLOT_SUPERSEDED, ..slot(7) };
        let (seen, _) = drained(&[(vec![old, slot(7)], vec![entry(0, 0, 1, 1), entry(1, 0, 2, 2)], vec![])]);
        assert_eq!((seen.counted, seen.settled), (vec![7, 7], vec![7]));
    }

    #[test]
    fn a_slot_that_is_not_there_yet_is_a_difference_in_the_books_and_no_panic() {
        let (seen, accounting) = drained(&[(vec![slot(7)], vec![entry(1, 0, 1, 1), entry(0, 0, 2, 2)], vec![])]);
        assert_eq!((seen.segments, seen.counted, accounting.drained), (vec![(7, 2)], vec![7], 2));
    }
}

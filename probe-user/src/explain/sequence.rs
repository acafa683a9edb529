//! Sequence numbers of one direction: relative to its first, and what of it is repeated, out of order or missing.

use std::collections::BTreeMap;

use probe_ebpf::layout::{ACK, FIN, RST, SYN, SegmentRecord};

use super::note::Note;

/// The largest window that can be advertised (RFC 7323 2.3), bytes.
const MOST_AHEAD: i64 = 1 << 30;

/// Half of the space of sequence numbers.
const HALF: i64 = 1 << 31;

/// What one side sent, by its numbers.
#[derive(Clone, Debug, Default)]
pub(super) struct Sequence {
    /// The number that is shown as 0: that of the SYN, or one before the first.
    base: Option<u32>,
    /// Everything that it sends, in relative numbers, in order and joined.
    all: Vec<(i64, i64)>,
    /// Number after the highest so far.
    next: Option<i64>,
    /// Numbers below it that no segment has borne so far: where each hole begins, and where it ends.
    holes: BTreeMap<i64, i64>,
    /// Highest of it that the other side has acknowledged.
    acknowledged: Option<i64>,
    /// It has sent a FIN, whose number this is.
    fin: Option<i64>,
}

impl Sequence {
    /// Of all that one side sends, in any order. An RST is no part of the stream.
    pub(super) fn new<'a>(sent: &(impl Iterator<Item = &'a SegmentRecord> + Clone)) -> Self {
        let syn = sent.clone().find(|record| record.has(SYN) && !record.has(RST)).map(|record| record.seq);
        let stream = || sent.clone().filter(|record| !record.has(RST));
        let first = stream().next().map(|record| record.seq.wrapping_sub(1));
        let mut sequence = Self { base: syn.or(first), ..Self::default() };
        let mut all = Vec::new();
        for record in stream() {
            let span = sequence.span(record);
            sequence.next = Some(sequence.next.map_or(span.1, |next| next.max(span.1)));
            all.push(span);
        }
        sequence.next = None;
        all.sort_unstable();
        for (from, to) in all {
            match sequence.all.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => sequence.all.push((from, to)),
            }
        }
        sequence
    }

    /// Where nothing of the stream was seen, what the other side acknowledges first tells where it is.
    pub(super) fn or_acknowledged_by<'a>(self, mut by_other: impl Iterator<Item = &'a SegmentRecord>) -> Self {
        let acknowledged = || by_other.find(|record| record.has(ACK)).map(|record| record.ack.wrapping_sub(1));
        Self { base: self.base.or_else(acknowledged), ..self }
    }

    /// Relative to the first number; numbers far below it are negative.
    pub(super) fn relative(&self, number: u32) -> i64 {
        let Some(base) = self.base else { return i64::from(number) };
        let ahead = i64::from(number.wrapping_sub(base));
        // A stream may be longer than half the space, or than all of it.
        let Some(next) = self.next.filter(|next| *next > i64::from(i32::MAX) / 2) else {
            return if ahead > i64::from(i32::MAX) { ahead - (1 << 32) } else { ahead };
        };
        next + (ahead - next + HALF).rem_euclid(2 * HALF) - HALF
    }

    /// First and next number of a segment.
    fn span(&self, record: &SegmentRecord) -> (i64, i64) {
        let from = self.relative(record.seq);
        let controls = i64::from(record.has(SYN)) + i64::from(record.has(FIN));
        (from, from + i64::from(record.payload_len) + controls)
    }

    /// What is odd about the next segment of this side.
    pub(super) fn note(&mut self, record: &SegmentRecord) -> Option<Note> {
        if record.has(RST) {
            return None;
        }
        let (from, to) = self.span(record);
        let before = self.next;
        let had_fin = self.fin.is_some();
        if record.has(FIN) {
            self.fin.get_or_insert(to - 1);
        }
        self.next = Some(before.map_or(to, |next| next.max(to)));
        let next = before?;
        let is_bare = record.flags & (SYN | FIN) == 0;
        if is_bare && record.payload_len <= 1 && from == next - 1 && !had_fin {
            return Some(Note::KeepAlive);
        }
        if from > next {
            self.holes.insert(next, from);
            return match self.missing(next, from) {
                0 => None,
                missing => Some(Note::Gap(u32::try_from(missing).unwrap_or(u32::MAX))),
            };
        }
        match to > from && to <= next {
            true if self.fills(from, to) => Some(Note::OutOfOrder),
            true => Some(Note::Repeated),
            false => None,
        }
    }

    /// Numbers from `from` on, below `to`, that are in no segment.
    fn missing(&self, from: i64, to: i64) -> i64 {
        // Those before end before it begins, those behind begin after its end.
        let first = self.all.partition_point(|&(_, end)| end <= from);
        let touching = self.all[first..].iter().take_while(|&&(start, _)| start < to);
        let covered: i64 = touching.map(|&(start, end)| (end.min(to) - start.max(from)).max(0)).sum();
        to - from - covered
    }

    /// Takes numbers out of the holes; whether any of them was in one.
    fn fills(&mut self, from: i64, to: i64) -> bool {
        // They do not overlap: of those that begin before `to` only the last may reach into it, or several of them.
        let hit: Vec<(i64, i64)> = self
            .holes
            .range(..to)
            .rev()
            .take_while(|&(_, &end)| from < end)
            .map(|(&start, &end)| (start, end))
            .collect();
        for (start, end) in &hit {
            self.holes.remove(start);
            let left = [(*start, from), (to, *end)];
            self.holes.extend(left.into_iter().filter(|(start, end)| start < end));
        }
        !hit.is_empty()
    }

    /// What is odd about an acknowledgement of this side's bytes by the other.
    pub(super) fn note_acknowledgement(&mut self, record: &SegmentRecord) -> Option<Note> {
        if !record.has(ACK) || record.has(RST) {
            return None;
        }
        let next = self.next?;
        let acknowledged = self.relative(record.ack);
        // Further ahead it is no acknowledgement of this stream.
        if !(next + 1..next + MOST_AHEAD).contains(&acknowledged) {
            return None;
        }
        let from = self.acknowledged.replace(acknowledged).map_or(next, |before| next.max(before.min(acknowledged)));
        let unseen = self.missing(from, acknowledged);
        (unseen > 0).then(|| Note::AcknowledgesUnseen(u32::try_from(unseen).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes(segments: &[(u16, u32, u32)]) -> Vec<Option<Note>> {
        let records: Vec<SegmentRecord> = segments
            .iter()
            .map(|&(flags, seq, payload_len)| SegmentRecord { flags, seq, payload_len, ..SegmentRecord::default() })
            .collect();
        let mut sequence = Sequence::new(&records.iter());
        records.iter().map(|record| sequence.note(record)).collect()
    }

    #[test]
    fn gaps_are_what_no_segment_bears() {
        let said = notes(&[(SYN, 10, 0), (ACK, 11, 100), (ACK, 211, 100), (ACK, 111, 50)]);
        assert_eq!(said, [None, None, Some(Note::Gap(50)), Some(Note::OutOfOrder)]);
        let said = notes(&[(SYN, 10, 0), (ACK, 11, 100), (ACK, 211, 100), (ACK, 111, 100), (ACK, 111, 100)]);
        assert_eq!(said[2..], [None, Some(Note::OutOfOrder), Some(Note::Repeated)]);
    }

    #[test]
    fn probes_and_repetitions_are_told_apart() {
        let said = notes(&[(ACK, 1000, 10), (ACK, 1009, 0), (ACK, 1009, 1), (ACK, 1000, 10), (ACK, 1010, 0)]);
        assert_eq!(said, [None, Some(Note::KeepAlive), Some(Note::KeepAlive), Some(Note::Repeated), None]);
        let said = notes(&[(ACK | FIN, 1000, 10), (ACK | FIN, 1000, 10)]);
        assert_eq!(said, [None, Some(Note::Repeated)]);
        assert_eq!(notes(&[(SYN, 7, 0), (SYN, 7, 0)]), [None, Some(Note::Repeated)]);
    }

    #[test]
    fn numbers_are_relative_to_the_first_and_go_beyond_the_space() {
        let record = |seq, payload_len| SegmentRecord { flags: ACK, seq, payload_len, ..SegmentRecord::default() };
        let records = [record(u32::MAX, 5), record(4, 5)];
        let mut sequence = Sequence::new(&records.iter());
        assert_eq!((sequence.relative(u32::MAX), sequence.relative(4), sequence.relative(u32::MAX - 3)), (1, 6, -2));
        for step in 0..5_u32 {
            let sent = record(step.wrapping_mul(1 << 30), 1 << 30);
            assert_eq!(sequence.note(&sent), None);
            assert_eq!(sequence.relative(sent.seq.wrapping_add(1 << 30)), i64::from(step + 1) * (1 << 30) + 2);
        }
    }
}

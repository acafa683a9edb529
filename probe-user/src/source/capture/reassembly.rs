//! Fragmented IP packets, put together again within bounds.
//!
//! What came first stays where fragments overlap (as Zeek's reassembler does, and as most hosts do not agree on); the
//! last fragment, or the one that reaches furthest, says how long the packet is. A packet is given up 30 seconds after its
//! first fragment (RFC 8200 4.5 allows 60, RFC 791 suggests 15), or when it is the oldest and there is no room.

use std::collections::{HashMap, VecDeque};

use super::fragment::{Fragment, PacketId, complete};

const PATIENCE_NS: u64 = 30_000_000_000;
/// Packets in pieces at once.
const MAX_PACKETS: usize = 4096;
/// Bytes of packets in pieces.
const MAX_BYTES: usize = 32 << 20;
/// No fragment may end beyond what an IPv4 packet can hold.
const MAX_END: usize = 65_535;
/// Separate runs of bytes in one packet.
const MAX_RUNS: usize = 1024;

/// What became of packets in pieces. The frames they came in are in the decoder's books.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Reassembled {
    /// Put together.
    pub whole: u64,
    /// Given up after 30 seconds, or at the end of the capture.
    pub expired: u64,
    /// Given up for lack of room.
    pub evicted: u64,
    /// Fragments that overlap earlier ones.
    pub overlaps: u64,
}

/// What a fragment led to.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is kept.
    Held,
    /// It is impossible: it would reach beyond any packet, or its packet has too many holes.
    Refused,
    /// It was the last one missing.
    Whole(Vec<u8>),
}

/// One packet in pieces.
#[derive(Debug, Default)]
struct Packet {
    since_ns: u64,
    header: Vec<u8>,
    next: (u8, usize),
    has_first: bool,
    /// Length of the payload, once known.
    len: Option<usize>,
    /// The payload as far as it reaches; what is missing is 0.
    payload: Vec<u8>,
    /// Runs of bytes that are there, in order and apart.
    runs: Vec<(usize, usize)>,
}

impl Packet {
    fn bytes(&self) -> usize {
        self.header.len() + self.payload.len() + self.runs.len() * size_of::<(usize, usize)>()
    }

    /// Takes in a fragment; true when it overlaps.
    fn add(&mut self, fragment: &Fragment<'_>, payload: &[u8]) -> bool {
        let (from, to) = (fragment.offset, fragment.offset + payload.len());
        if self.header.is_empty() || from == 0 && !self.has_first {
            self.header = fragment.header.to_vec();
            self.next = fragment.next;
            self.has_first = from == 0;
        }
        if !fragment.more || self.len.is_some_and(|len| to > len) {
            self.len = Some(self.len.unwrap_or(0).max(to));
        }
        if self.payload.len() < to {
            self.payload.resize(to, 0);
        }
        self.fill(from, to, payload)
    }

    /// Copies what is not there yet.
    fn fill(&mut self, from: usize, to: usize, payload: &[u8]) -> bool {
        let mut at = from;
        let mut overlaps = false;
        for &(begin, end) in self.runs.iter().filter(|run| run.1 > from && run.0 < to) {
            overlaps = true;
            if at < begin {
                self.payload[at..begin].copy_from_slice(&payload[at - from..begin - from]);
            }
            at = at.max(end);
        }
        if at < to {
            self.payload[at..to].copy_from_slice(&payload[at - from..]);
        }
        self.note_run(from, to);
        overlaps
    }

    fn note_run(&mut self, mut from: usize, mut to: usize) {
        let first = self.runs.partition_point(|run| run.1 < from);
        let last = self.runs.partition_point(|run| run.0 <= to);
        if let Some(run) = self.runs[first..last].first() {
            from = from.min(run.0);
        }
        if let Some(run) = self.runs[first..last].last() {
            to = to.max(run.1);
        }
        self.runs.splice(first..last, [(from, to)]);
    }

    /// Bytes of payload when everything up to its known end is there.
    fn whole_len(&self) -> Option<usize> {
        let &(from, to) = self.runs.first()?;
        (from == 0 && to >= self.len? && self.has_first).then_some(to)
    }

    /// The packet with `len` bytes of payload; `None` when it would be too long for one.
    fn into_whole(self, len: usize) -> Option<Vec<u8>> {
        let mut packet = self.header;
        let header_len = packet.len();
        packet.extend_from_slice(&self.payload[..len]);
        complete(&mut packet, header_len, self.next).map(|()| packet)
    }
}

/// Packets in pieces, bounded in number, bytes and time.
#[derive(Debug, Default)]
pub(super) struct Reassembler {
    packets: HashMap<PacketId, Packet, foldhash::fast::RandomState>,
    /// In order of their first fragment; those that are gone are skipped.
    order: VecDeque<(u64, PacketId)>,
    bytes: usize,
    stats: Reassembled,
}

impl Reassembler {
    pub(super) fn stats(&self) -> Reassembled {
        Reassembled { expired: self.stats.expired + self.packets.len() as u64, ..self.stats }
    }

    /// Takes a fragment that was captured whole.
    pub(super) fn add(&mut self, fragment: &Fragment<'_>, payload: &[u8], now_ns: u64) -> Outcome {
        self.expire(now_ns);
        if fragment.offset + payload.len() > MAX_END || payload.is_empty() && fragment.more {
            return Outcome::Refused;
        }
        let id = fragment.packet;
        let mut packet = self.packets.remove(&id).unwrap_or_else(|| {
            self.order.push_back((now_ns, id));
            Packet { since_ns: now_ns, ..Packet::default() }
        });
        self.bytes -= packet.bytes().min(self.bytes);
        if packet.runs.len() >= MAX_RUNS {
            self.stats.evicted += 1;
            return Outcome::Refused;
        }
        self.stats.overlaps += u64::from(packet.add(fragment, payload));
        let Some(len) = packet.whole_len() else {
            self.bytes += packet.bytes();
            self.packets.insert(id, packet);
            self.make_room();
            return Outcome::Held;
        };
        packet.into_whole(len).map_or(Outcome::Refused, |whole| {
            self.stats.whole += 1;
            Outcome::Whole(whole)
        })
    }

    fn expire(&mut self, now_ns: u64) {
        while let Some(&(since_ns, id)) = self.order.front()
            && since_ns.saturating_add(PATIENCE_NS) < now_ns
        {
            self.order.pop_front();
            self.stats.expired += u64::from(self.give_up(since_ns, &id));
        }
    }

    fn make_room(&mut self) {
        while self.packets.len() > MAX_PACKETS || self.bytes > MAX_BYTES || self.order.len() > 2 * MAX_PACKETS {
            let Some((since_ns, id)) = self.order.pop_front() else { return };
            self.stats.evicted += u64::from(self.give_up(since_ns, &id));
        }
    }

    /// False when it is gone already, or another packet has taken its identification.
    fn give_up(&mut self, since_ns: u64, id: &PacketId) -> bool {
        if self.packets.get(id).is_none_or(|packet| packet.since_ns != since_ns) {
            return false;
        }
        let gone = self.packets.remove(id);
        self.bytes -= gone.map_or(0, |packet| packet.bytes()).min(self.bytes);
        true
    }
}

#[cfg(test)]
mod tests;

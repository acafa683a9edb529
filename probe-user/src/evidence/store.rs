//! Evidence store: frames of every tracked connection, those around its opening and its end, within a bound of memory.

use std::collections::VecDeque;

use hashbrown::HashMap;
use probe_ebpf::layout::{ACK, FIN, FlowKey, RST, SYN, Segment};

use super::{Direction, Frame, SNAP_LEN};

/// Frames from the first one on.
const OPENING: usize = 4;
/// Frames before the first RST.
const BEFORE: usize = 8;
/// Frames from the first RST on, itself included.
const AFTER: usize = 8;
/// What a frame takes besides its bytes, and a connection besides its frames; about.
const OVERHEAD: usize = 96;

/// A frame that was kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct StoredFrame {
    pub(super) time_ns: u64,
    pub(super) interface: u32,
    pub(super) direction: Direction,
    pub(super) wire_len: u32,
    pub(super) flags: u16,
    pub(super) from_hi: bool,
    pub(super) bytes: Vec<u8>,
}

/// What is kept of one connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Life {
    begun_ns: u64,
    isn: Option<u32>,
    /// A FIN or RST was seen: the next SYN is another connection's.
    closing: bool,
    opening: Vec<StoredFrame>,
    before: VecDeque<StoredFrame>,
    after: Vec<StoredFrame>,
    /// Frames of it that were seen and are not here.
    pub(super) left_out: u64,
}

impl Life {
    fn new(segment: &Segment) -> Self {
        Self {
            begun_ns: segment.record.time_ns,
            isn: None,
            closing: false,
            opening: Vec::new(),
            before: VecDeque::new(),
            after: Vec::new(),
            left_out: 0,
        }
    }

    /// In order of time.
    pub(super) fn frames(&self) -> impl Iterator<Item = &StoredFrame> {
        self.opening.iter().chain(&self.before).chain(&self.after)
    }

    /// True when a segment begins another connection on these addresses and ports.
    fn is_over_with(&self, segment: &Segment) -> bool {
        segment.record.flags & (SYN | ACK) == SYN
            && (self.closing || self.isn.is_some_and(|isn| isn != segment.record.seq))
    }
}

/// Frames of all connections.
#[derive(Debug)]
pub(super) struct Store {
    /// Nearly always one per key: a further one when its ports were taken anew before the record of the first was written.
    lives: HashMap<FlowKey, Vec<Life>, foldhash::fast::RandomState>,
    memory: usize,
    used: usize,
    /// Frames between opening and end.
    pub(super) between: u64,
    /// Frames for which there was no memory.
    pub(super) no_memory: u64,
}

impl Store {
    pub(super) fn new(memory: usize) -> Self {
        Self { lives: HashMap::default(), memory, used: 0, between: 0, no_memory: 0 }
    }

    pub(super) fn frame(&mut self, segment: &Segment, frame: &Frame<'_>) {
        let lives = self.lives.entry(segment.key).or_default();
        if lives.last().is_none_or(|life| life.is_over_with(segment)) {
            lives.push(Life::new(segment));
            self.used += OVERHEAD;
        }
        let Some(life) = lives.last_mut() else { return };
        let record = &segment.record;
        if record.flags & (SYN | ACK) == SYN {
            life.isn = Some(record.seq);
        }
        let is_end = record.flags & RST != 0 || !life.after.is_empty();
        life.closing |= record.flags & (FIN | RST) != 0;
        let bytes = &frame.bytes[..frame.bytes.len().min(SNAP_LEN)];
        // A frame that takes the place of another needs no memory.
        let replaces = !is_end && life.opening.len() == OPENING && life.before.len() == BEFORE;
        let is_beyond = is_end && life.after.len() == AFTER;
        if is_beyond {
            self.between += 1;
            life.left_out += 1;
            return;
        }
        if !replaces && self.used + bytes.len() + OVERHEAD > self.memory {
            self.no_memory += 1;
            life.left_out += 1;
            return;
        }
        let mut stored = StoredFrame {
            time_ns: record.time_ns,
            interface: frame.interface,
            direction: frame.direction,
            wire_len: frame.wire_len,
            flags: record.flags,
            from_hi: record.from_hi(),
            bytes: Vec::new(),
        };
        if replaces && let Some(oldest) = life.before.pop_front() {
            self.between += 1;
            life.left_out += 1;
            self.used -= oldest.bytes.len();
            stored.bytes = oldest.bytes;
        } else {
            self.used += OVERHEAD;
        }
        self.used += bytes.len();
        stored.bytes.clear();
        stored.bytes.extend_from_slice(bytes);
        if is_end {
            life.after.push(stored);
        } else if life.opening.len() < OPENING {
            life.opening.push(stored);
        } else {
            life.before.push_back(stored);
        }
    }

    /// Takes out what was kept of the connection that began at `start_ns`, and whatever came before it on the same
    /// addresses and ports.
    pub(super) fn ended(&mut self, key: &FlowKey, start_ns: u64) -> Option<Life> {
        let lives = self.lives.get_mut(key)?;
        // Frames may have been missed, so that no life begins just then: the last that had begun by then is it.
        let place = lives.iter().rposition(|life| life.begun_ns <= start_ns).unwrap_or(0);
        let gone: Vec<Life> = lives.drain(..=place).collect();
        if lives.is_empty() {
            self.lives.remove(key);
        }
        for life in &gone {
            self.used -= OVERHEAD + life.frames().map(|frame| frame.bytes.len() + OVERHEAD).sum::<usize>();
        }
        gone.into_iter().next_back().filter(|life| life.frames().next().is_some())
    }

    /// Bytes in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used
    }
}

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
/// What the allocator adds to a piece of memory: its own word, and rounding to two of them.
const ALLOCATION: usize = 16;
/// Bytes that a frame takes besides its own: it lies in a vector that is as long as needed, and its bytes elsewhere.
const PER_FRAME: usize = size_of::<StoredFrame>() + ALLOCATION;
/// Bytes of the smallest map, at least.
const FIRST_MAP: usize = 512;
/// Bytes that a connection takes besides its frames and its place in the map: itself, and its two vectors and a queue.
const PER_LIFE: usize = size_of::<Life>() + 4 * ALLOCATION;

/// A frame that was kept.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct StoredFrame {
    pub(super) time_ns: u64,
    pub(super) interface: u32,
    pub(super) direction: Direction,
    pub(super) wire_len: u32,
    pub(super) flags: u16,
    pub(super) from_hi: bool,
    pub(super) bytes: Box<[u8]>,
}

impl StoredFrame {
    fn of(segment: &Segment, frame: &Frame<'_>, bytes: &[u8]) -> Self {
        let record = &segment.record;
        Self {
            time_ns: record.time_ns,
            interface: frame.interface,
            direction: frame.direction,
            wire_len: frame.wire_len,
            flags: record.flags,
            from_hi: record.from_hi(),
            bytes: bytes.into(),
        }
    }
}

/// Where a frame goes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Opening,
    Before,
    /// For that of the oldest frame before the end.
    OldestBefore,
    After,
    /// Nowhere: as many as are kept from the end are there.
    Beyond,
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

    /// Where the frame of this segment goes, and what it says of the connection.
    fn place(&mut self, segment: &Segment) -> Place {
        let record = &segment.record;
        if record.flags & (SYN | ACK) == SYN {
            self.isn = Some(record.seq);
        }
        self.closing |= record.flags & (FIN | RST) != 0;
        let is_end = record.flags & RST != 0 || !self.after.is_empty();
        match (is_end, self.opening.len(), self.before.len(), self.after.len()) {
            (true, _, _, AFTER) => Place::Beyond,
            (true, ..) => Place::After,
            (false, OPENING, BEFORE, _) => Place::OldestBefore,
            (false, OPENING, ..) => Place::Before,
            (false, ..) => Place::Opening,
        }
    }

    /// Keeps a frame, in no more memory than it needs.
    fn keep(&mut self, place: Place, frame: StoredFrame) {
        if place == Place::Before {
            self.before.reserve_exact(1);
            return self.before.push_back(frame);
        }
        let frames = if place == Place::After { &mut self.after } else { &mut self.opening };
        frames.reserve_exact(1);
        frames.push(frame);
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
    /// Bound of everything that is kept, the map with its empty places included.
    memory: usize,
    /// Keys that the map ever had places for.
    most: usize,
    /// Bytes in use beside the map.
    used: usize,
    /// Frames between opening and end.
    pub(super) between: u64,
    /// Frames for which there was no memory.
    pub(super) no_memory: u64,
}

impl Store {
    pub(super) fn new(memory: usize) -> Self {
        Self { lives: HashMap::default(), memory, most: 0, used: 0, between: 0, no_memory: 0 }
    }

    pub(super) fn frame(&mut self, segment: &Segment, frame: &Frame<'_>) {
        let bytes = &frame.bytes[..frame.bytes.len().min(SNAP_LEN)];
        let takes = PER_FRAME + bytes.len();
        let has_room = self.has_room(takes);
        let known = self.lives.get_mut(&segment.key).and_then(|lives| lives.last_mut());
        let Some(life) = known.filter(|life| !life.is_over_with(segment)) else {
            return self.begin(segment, StoredFrame::of(segment, frame, bytes), takes);
        };
        match life.place(segment) {
            Place::Beyond => {
                self.between += 1;
                life.left_out += 1;
            }
            // A frame that takes the place of another needs no memory, but for what it is longer by: 256 bytes at most.
            Place::OldestBefore => {
                let Some(oldest) = life.before.pop_front() else { return };
                self.between += 1;
                life.left_out += 1;
                self.used += bytes.len();
                self.used -= oldest.bytes.len();
                life.before.push_back(StoredFrame::of(segment, frame, bytes));
            }
            _ if !has_room => {
                self.no_memory += 1;
                life.left_out += 1;
            }
            place => {
                life.keep(place, StoredFrame::of(segment, frame, bytes));
                self.used += takes;
            }
        }
    }

    /// True when `bytes` more are within the bound.
    fn has_room(&self, bytes: usize) -> bool {
        self.used() + bytes <= self.memory
    }

    /// Begins a connection with its first frame, if there is room for all of that: who opens connections without end must
    /// not have a byte beyond the bound.
    fn begin(&mut self, segment: &Segment, frame: StoredFrame, takes: usize) {
        if !self.has_room(PER_LIFE + takes + self.growth()) {
            self.no_memory += 1;
            return;
        }
        let mut life = Life::new(segment);
        let place = life.place(segment);
        life.keep(place, frame);
        let lives = self.lives.entry(segment.key).or_default();
        lives.reserve_exact(1);
        lives.push(life);
        self.used += PER_LIFE + takes;
        self.most = self.most.max(self.lives.capacity());
    }

    /// Bytes by which the map may grow with the next key. Where it is full it is copied into one of twice its size, and for
    /// that time there are both; unless half of it are places of what has gone, which it then makes use of.
    fn growth(&self) -> usize {
        let len = self.lives.len();
        if len < self.lives.capacity() || len < self.most / 2 {
            return 0;
        }
        2 * self.lives.allocation_size().max(FIRST_MAP)
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
        } else {
            lives.shrink_to_fit();
        }
        for life in &gone {
            self.used -= PER_LIFE + life.frames().map(|frame| frame.bytes.len() + PER_FRAME).sum::<usize>();
        }
        gone.into_iter().next_back().filter(|life| life.frames().next().is_some())
    }

    /// Bytes in use.
    pub(super) fn used(&self) -> usize {
        self.used + self.lives.allocation_size()
    }

    /// True when nothing is kept.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.used == 0 && self.lives.is_empty()
    }
}

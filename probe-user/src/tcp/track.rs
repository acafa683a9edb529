//! Track: the state of one tracked connection.

use probe_ebpf::layout::{FlowKey, SegmentRecord};

use crate::tcp::brief::Brief;
use crate::tcp::close_details::{OddSide, Rare, Rst};
use crate::tcp::endpoint::{DID_CLOSE, Endpoint, NOT_FOLLOWED, State};
use crate::tcp::history::{History, Letters, is_noted, seen};
use crate::tcp::marks::{
    NEVER, ORIG, ORIG_SPOKE, ORIG_SPOKE_AGAIN, ORIG_STUCK, RESP, RESP_STUCK, REVERSED, SPOKE, SPOKE_RESP, TICK_SHIFT,
    TIME_LEFT_OUT_NS,
};
use crate::{
    record::{Basis, Orientation},
    tcp::counter,
};

/// Which inactivity timeout holds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(crate) enum Patience {
    /// Still in the handshake.
    #[default]
    Handshake,
    /// Established.
    Established,
    /// An interactive service.
    Interactive,
}

/// What the two deadlines of a connection mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(crate) enum Phase {
    /// Both are looks.
    #[default]
    Plain,
    /// `second_ns` is the end of an attempt.
    Attempt,
    /// `check_ns` is the moment of writing.
    Complete,
    /// Looks are put off, as none could end anything: `check_ns` is when the last one was.
    Idle,
}

/// Where the counts come from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(crate) enum Counting {
    /// From the segments themselves.
    #[default]
    Whole,
    /// Apart from the segments (live path).
    Apart,
    /// Apart, and of control segments only.
    ApartControlOnly,
    /// As `Apart`, and what the host sends is counted before segmentation offload.
    ApartBeforeSegmentation,
}

impl Counting {
    pub(crate) fn basis(self) -> Basis {
        match self {
            Self::ApartControlOnly => Basis::ControlOnly,
            Self::ApartBeforeSegmentation => Basis::BeforeSegmentation,
            _ => Basis::AllSegments,
        }
    }
}

/// Histories stop growing here: a peer that alternates sequence numbers of RSTs must not eat memory.
const LONGEST_HISTORY: usize = 4096;

/// One tracked connection: four lines of memory, in this order. Every segment needs most of them, a timer the first and
/// the last.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
pub(crate) struct Track {
    pub(crate) key: FlowKey,
    pub(crate) rare: Option<Box<Rare>>,
    /// From the SYN to its SYN-ACK as seen here, and to the acknowledgement of that: a round trip wherever one watches.
    handshakes: [Brief; 2],
    /// What was already noted in the history.
    pub(crate) noted: u16,
    pub(crate) patience: Patience,
    pub(crate) counting: Counting,
    /// Side that sent the segment before.
    pub(crate) last_side: u8,
    pub(crate) orientation: Orientation,
    /// True when the originator is the key's `hi` endpoint.
    pub(crate) orig_is_hi: bool,
    pub(crate) phase: Phase,
    /// Zeek's `is_active`: cleared by events after which looks stop.
    pub(crate) is_active: bool,
    /// Zeek's `is_partial`.
    pub(crate) is_partial: bool,
    /// The longest that the originator waited for an answer, in the scale of [`crate::tcp::payload_turns`]; 0 before the first.
    pub(crate) answer: u8,
    /// [`AFTER_END`] and others.
    pub(crate) marks: u8,
    pub(crate) ends: [Endpoint; 2],
    pub(crate) history: History,
    /// Where the responder's payload begins that came after the originator's last.
    pub(crate) answer_seq: u32,
    /// Number in the order of creation.
    pub(crate) id: u64,
    pub(crate) start_ns: u64,
    /// Zeek's `last_time`: stands still once both sides have closed.
    pub(crate) last_ns: u64,
    /// Next regular look, or, once complete, the moment of writing.
    pub(crate) check_ns: u64,
    /// End of the attempt, or the second series of looks that a half close starts.
    pub(crate) second_ns: u64,
    /// For when the wheel holds an entry.
    pub(crate) armed_ns: u64,
}

impl Track {
    /// The connection that `record` opens at `now`.
    pub(crate) fn new(key: FlowKey, record: &SegmentRecord, id: u64, counting: Counting) -> Self {
        let followed = counting == Counting::Whole;
        Self {
            key,
            ends: [Endpoint::new(followed), Endpoint::new(followed)],
            rare: None,
            history: History::default(),
            answer_seq: 0,
            id,
            start_ns: record.time_ns,
            last_ns: record.time_ns,
            handshakes: [Brief::default(); 2],
            check_ns: NEVER,
            second_ns: NEVER,
            armed_ns: NEVER,
            noted: 0,
            patience: Patience::Handshake,
            counting,
            last_side: 0,
            orientation: Orientation::FirstSender,
            orig_is_hi: record.from_hi(),
            phase: Phase::Plain,
            is_active: true,
            is_partial: false,
            answer: 0,
            marks: 0,
        }
    }

    /// From here on counts come apart, and with them most segments are not seen: no stream can be followed.
    pub(crate) fn count_apart(&mut self) {
        if self.counting == Counting::Whole {
            self.counting = Counting::Apart;
            for end in &mut self.ends {
                end.set(NOT_FOLLOWED);
                end.delivered = 0;
                end.held = 0;
            }
        }
    }

    #[inline(always)]
    pub(crate) fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    /// Zeek's `close_deferred`.
    #[inline(always)]
    pub(crate) fn close_deferred(&self) -> bool {
        self.noted & seen::CLOSE_DEFERRED != 0
    }

    /// Sets [`Self::close_deferred`].
    #[inline(always)]
    pub(crate) fn set_close_deferred(&mut self, deferred: bool) {
        self.noted = self.noted & !seen::CLOSE_DEFERRED | if deferred { seen::CLOSE_DEFERRED } else { 0 };
    }

    /// From the SYN to its SYN-ACK as seen here.
    pub(crate) fn handshake(&self) -> Brief {
        self.handshakes[0]
    }

    /// From the SYN to the acknowledgement of its SYN-ACK: a round trip.
    pub(crate) fn round_trip(&self) -> Brief {
        self.handshakes[1]
    }

    /// The SYN-ACK came so long after the SYN; the first one counts.
    pub(crate) fn answered_after(&mut self, ns: u64) {
        if !self.handshakes[0].is_known() {
            self.handshakes[0] = Brief::of(ns);
        }
    }

    /// The originator answered the SYN-ACK so long after its SYN; the first answer counts.
    pub(crate) fn opened_after(&mut self, ns: u64) {
        if !self.handshakes[1].is_known() && self.handshakes[0].is_known() {
            self.handshakes[1] = Brief::of(ns);
        }
    }

    /// How long the connection had been idle before the first segment of this record, where an earlier record of it is
    /// remembered; nanoseconds, or 0.
    pub(crate) fn idle_before_ns(&self) -> u64 {
        self.rare().and_then(|rare| rare.odd.as_ref()).map_or(0, |odd| odd.idle_before_ns)
    }

    /// Side that sent payload last.
    #[inline(always)]
    pub(crate) fn spoke_last(&self) -> Option<usize> {
        self.has(SPOKE).then(|| usize::from(self.has(SPOKE_RESP)))
    }

    /// Index of the side that sent `record`. A connection of an endpoint with itself has one side only.
    pub(crate) fn side_of(&self, record: &SegmentRecord) -> usize {
        usize::from(record.from_hi() != self.orig_is_hi)
    }

    /// Exchanges originator and responder; every counter goes with its sender (Zeek `Connection::FlipRoles`).
    pub(crate) fn flip(&mut self) {
        if self.key.lo() != self.key.hi() {
            self.orig_is_hi = !self.orig_is_hi;
        }
        self.ends.swap(ORIG, RESP);
        if let Some(rare) = self.rare.as_mut() {
            rare.sides.swap(ORIG, RESP);
            rare.rsts.swap(ORIG, RESP);
            if let Some(odd) = rare.odd.as_mut() {
                odd.sides.swap(ORIG, RESP);
            }
        }
        self.last_side ^= 1;
        self.marks ^= SPOKE_RESP;
        // What turned it round says more than what was remembered.
        self.marks &= !(ORIG_SPOKE | ORIG_SPOKE_AGAIN | REVERSED);
        self.answer_seq = 0;
        let stuck = (self.marks & ORIG_STUCK) << 1 | (self.marks & RESP_STUCK) >> 1;
        self.marks = self.marks & !(ORIG_STUCK | RESP_STUCK) | stuck;
        self.answer = 0;
        self.is_partial = false;
        self.push_history(b'^');
    }

    /// Whether it is likely to be written at the deadline for which it is armed.
    pub(crate) fn ends_soon(&self) -> bool {
        match self.phase {
            Phase::Complete => self.check_ns <= self.armed_ns,
            Phase::Attempt => self.ends[RESP].state == State::Inactive,
            Phase::Plain | Phase::Idle => false,
        }
    }

    /// Whether the deadline for which it is armed is likely to be a look that sees how both ends are.
    pub(crate) fn is_looked_at_soon(&self) -> bool {
        self.phase == Phase::Plain && self.second_ns <= self.armed_ns
    }

    /// Reads something of each line of its ends.
    #[inline]
    pub(crate) fn touch_ends(&self) -> u64 {
        let [orig, resp] = &self.ends;
        orig.payload_bytes ^ resp.payload_bytes
    }

    /// Reads something of each line of its own.
    #[inline]
    pub(crate) fn touch_own(&self) -> u64 {
        self.touch_ends() ^ self.key.words[0] ^ self.start_ns
    }

    /// Reads something of each line that writing the record will need, but of its RSTs.
    #[inline]
    pub(crate) fn touch(&self) -> u64 {
        let rare = self.rare().map_or(0, |rare| {
            let [orig, resp] = &rare.sides;
            // One of each line.
            orig.fin_seq ^ orig.late_note ^ resp.fin_seq ^ resp.late_note ^ u64::from(rare.odd.is_some())
        });
        self.touch_ends() ^ rare
    }

    /// Reads something of each line that is kept of its RSTs.
    #[inline]
    pub(crate) fn touch_rsts(&self) -> u64 {
        let rsts = self.rare().into_iter().flat_map(|rare| rare.rsts.iter().flatten());
        let each_line = |rst: &Rst| rst.note ^ u64::from(rst.peer.last_tick);
        rsts.map(|rst| each_line(rst)).fold(0, |all, one| all ^ one)
    }

    pub(crate) fn rare(&self) -> Option<&Rare> {
        self.rare.as_deref()
    }

    pub(crate) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    pub(crate) fn odd(&self, side: usize) -> Option<&OddSide> {
        self.rare()?.odd.as_ref().map(|odd| &odd.sides[side])
    }

    pub(crate) fn odd_mut(&mut self, side: usize) -> &mut OddSide {
        &mut self.rare_mut().odd.get_or_insert_default().sides[side]
    }

    #[inline(always)]
    fn push_history(&mut self, letter: u8) {
        if !self.history.push(letter) {
            self.push_long_history(letter);
        }
    }

    #[cold]
    fn push_long_history(&mut self, letter: u8) {
        let more = &mut self.rare_mut().odd.get_or_insert_default().history;
        if more.len() < LONGEST_HISTORY {
            more.push(letter);
        }
    }

    /// The whole history.
    #[inline]
    pub(crate) fn history(&self) -> Letters {
        let more = self.rare().and_then(|rare| rare.odd.as_ref()).map_or(&[][..], |odd| &odd.history);
        Letters::new(&self.history, more)
    }

    /// Appends a history letter, lower case for the responder.
    pub(crate) fn note(&mut self, side: usize, letter: u8) {
        self.push_history(if side == ORIG { letter } else { letter.to_ascii_lowercase() });
    }

    /// Appends a letter the first time `bit` occurs on this side; true when it had occurred before.
    pub(crate) fn note_once(&mut self, side: usize, bit: u16, letter: u8) -> bool {
        let bit = if side == ORIG { bit } else { bit << 8 };
        if self.noted & bit != 0 {
            return true;
        }
        self.noted |= bit;
        self.note(side, letter);
        false
    }

    /// One more payload segment that repeats bytes already seen.
    pub(crate) fn note_retransmit(&mut self, side: usize) {
        let mut count = u64::from(self.ends[side].retransmits) + 1;
        if counter::raise(&mut self.ends[side].retransmits, 1) != 0 {
            let beyond = &mut self.odd_mut(side).beyond.retransmits;
            *beyond += 1;
            count = u64::from(u16::MAX) + *beyond;
        }
        self.note_scaled(side, b'T', u32::try_from(count).unwrap_or(u32::MAX));
    }

    /// Appends a letter at the first, tenth, hundredth, ... occurrence.
    pub(crate) fn note_scaled(&mut self, side: usize, letter: u8, count: u32) {
        if is_noted(count) {
            self.note(side, letter);
        }
    }

    /// Whether pure ACKs or payload of this side were noted.
    pub(crate) fn has_noted(&self, side: usize, bit: u16) -> bool {
        self.noted & if side == ORIG { bit } else { bit << 8 } != 0
    }

    /// Changes a state. Leaving the handshake lengthens the patience (Zeek `TCP_Endpoint::SetState`).
    pub(crate) fn set_state(&mut self, side: usize, state: State) {
        let peer = self.ends[1 - side].state;
        let end = &mut self.ends[side];
        if state == end.state {
            return;
        }
        let leaves_handshake = !state.is_handshake() && end.state.is_handshake() && peer.is_handshake();
        if leaves_handshake && self.patience == Patience::Handshake {
            self.patience = Patience::Established;
            if self.last_ns < self.start_ns {
                self.noted |= seen::BACKDATED;
            }
        }
        let before = end.state;
        end.set_previous(before);
        end.state = state;
    }

    /// Whether the segment that lengthened the patience came with an earlier time than the first one.
    pub(crate) fn is_backdated(&self) -> bool {
        self.noted & seen::BACKDATED != 0
    }

    /// Time of the segment before; once both sides have closed, up to [`TIME_LEFT_OUT_NS`] too early.
    pub(crate) fn previous_ns(&self) -> u64 {
        let tick = self.ends[ORIG].last_tick.max(self.ends[RESP].last_tick);
        self.last_ns.max(self.start_ns.saturating_add(u64::from(tick) << TICK_SHIFT))
    }

    /// The latest that the segment before may have passed.
    pub(crate) fn previous_at_most_ns(&self) -> u64 {
        let is_kept_in_ticks = self.ends.iter().all(|end| end.has(DID_CLOSE));
        self.previous_ns().saturating_add(if is_kept_in_ticks { TIME_LEFT_OUT_NS } else { 0 })
    }

    /// Takes up the looks that were put off, where they would be by now.
    pub(crate) fn resume_looks(&mut self, every: u64) {
        if self.phase == Phase::Idle {
            self.phase = Phase::Plain;
            let missed = self.last_ns.saturating_sub(self.check_ns).div_ceil(every.max(1));
            self.check_ns = self.check_ns.saturating_add(missed.max(1).saturating_mul(every));
        }
    }

    /// Milliseconds (2^[`TICK_SHIFT`] ns) since the start.
    pub(crate) fn tick_of(&self, time_ns: u64) -> u32 {
        u32::try_from(time_ns.saturating_sub(self.start_ns) >> TICK_SHIFT).unwrap_or(u32::MAX)
    }

    /// Any history letter beyond SYN and SYN-ACK noted for the originator's acknowledgement.
    pub(crate) fn originator_acknowledged(&self) -> bool {
        [seen::ACK, seen::DATA, seen::FIN].iter().any(|&bit| self.has_noted(ORIG, bit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A million open connections must stay below 300 MB: this, 6 bytes of index, 16 of timer.
    #[test]
    fn a_connection_is_small() {
        assert_eq!((size_of::<Option<Track>>(), size_of::<Endpoint>()), (256, 64));
        assert_eq!((size_of::<Rare>(), size_of::<Rst>()), (192, 128));
    }

    #[test]
    fn what_a_counter_has_no_room_for_is_counted_beyond_it() {
        let mut track = Track::new(FlowKey::default(), &SegmentRecord::default(), 1, Counting::Whole);
        for _ in 0..300 {
            track.add_syns(ORIG, 1, 0);
        }
        track.add_syns(ORIG, 0, 1000);
        for _ in 0..70_000 {
            track.note_retransmit(RESP);
        }
        track.add_ends(RESP, u32::MAX, 0);
        track.add_ends(RESP, 5, 1);
        let (orig, resp) = (track.odd(ORIG).expect("odd").beyond, track.odd(RESP).expect("odd").beyond);
        assert_eq!((track.ends[ORIG].syn, orig.syn, track.ends[ORIG].syn_ack, orig.syn_ack), (255, 45, 255, 745));
        assert_eq!((track.ends[RESP].retransmits, resp.retransmits), (65_535, 4465));
        assert_eq!((track.rare().expect("rare").sides[RESP].fins, resp.fins, resp.rsts), (u32::MAX, 5, 0));
        assert_eq!(&*track.history(), "ttttt", "the 1st, 10th, 100th, ... 10,000th");
    }
}

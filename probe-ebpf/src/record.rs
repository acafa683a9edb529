//! Recording: counts one segment in its flow slot, and decides whether it is kept verbatim.
//!
//! User space rebuilds each connection from these, so the rule of what is kept is the heart of the design: every SYN,
//! FIN and RST; of each direction, the first segment without payload and the first with payload since the last
//! control segment (handshake completion, data after FIN, data after RST); keep-alive probes; and the last segment of
//! each direction before a control segment (what the FIN or RST answers). Everything else only counts.
//!
//! Must not know: maps, clocks, where slots come from.

use core::hint::black_box;

use crate::layout::{
    ACK, DirectionCounters, FIN, FROM_HI, FlowKey, MARK_ACK, MARK_DATA, MARK_LAST_ACK, MARK_PENDING, MARK_SEQ, RST,
    SLOT_BYTES_FROM_HI, SLOT_CLOSING, SLOT_LAST_FROM_HI, SLOT_SEGMENTS, SLOT_SUPERSEDED, SYN, Segment, SegmentRecord,
    Slot,
};

/// [`Slot::state`]: since the last control segment there was one that is none, so that a side may have marks. Without
/// it, a control segment need not load the other side's counters.
const MARKED: u8 = 1 << 7;

/// What became of a segment that was counted in a slot.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Its fields are in the journal.
    Verbatim,
    /// State-relevant, but the journal has enough of this slot: the caller puts it into the log.
    Spilled,
    /// Only counted: it cannot change what is known of the connection's state.
    CountedOnly,
}

/// Where segments are kept verbatim.
pub trait Journal {
    /// Keeps `record` with its [`Segment::first_bytes`], of which slot the caller knows; `nth` of that slot's came before.
    /// False without room.
    fn keep(&mut self, nth: u8, record: &SegmentRecord, first_bytes: u64) -> bool;
}

/// A slot's segments next to it, for what needs no common order of all flows.
impl Journal for [SegmentRecord; SLOT_SEGMENTS] {
    #[inline(always)]
    fn keep(&mut self, nth: u8, record: &SegmentRecord, _first_bytes: u64) -> bool {
        // Opaque, so that the mask stays: the verifier does not see the bound that the compiler knows.
        self[black_box(nth as usize) & (SLOT_SEGMENTS - 1)].copy_from(record);
        true
    }
}

/// True when sequence number `a` is after `b` (RFC 9293 3.4, modulo 2^32).
#[inline(always)]
#[must_use]
pub fn seq_after(a: u32, b: u32) -> bool {
    a.wrapping_sub(b).cast_signed() > 0
}

/// Makes `slot` the empty slot of `key`.
#[inline(always)]
pub fn open(slot: &mut Slot, key: &FlowKey, bucket: u32) {
    slot.key.copy_from(key);
    // A zero that the compiler does not recognise as one: it would make a call of memset in BPF.
    let zero: u64 = black_box(0);
    slot.first_bytes = zero;
    slot.bucket = bucket;
    slot.segment_count = zero as u8;
    slot.state = zero as u8;
    slot.spilled = zero as u16;
    slot.isn = zero as u32;
    slot.syn_ack_isn = zero as u32;
    clear(&mut slot.lo, zero);
    clear(&mut slot.hi, zero);
}

/// Field by field: an aggregate assignment becomes a memset call in BPF.
#[inline(always)]
fn clear(counters: &mut DirectionCounters, zero: u64) {
    counters.ip_bytes = zero;
    counters.payload_bytes = zero;
    counters.last_ns = zero;
    counters.packets = zero as u32;
    counters.syn = zero as u32;
    counters.syn_ack = zero as u32;
    counters.fin = zero as u32;
    counters.rst = zero as u32;
    counters.seq_end = zero as u32;
    counters.last_ack = zero as u32;
    counters.retransmits = zero as u16;
    counters.zero_windows = zero as u16;
    counters.ip_id = zero as u16;
    counters.ttl = zero as u8;
    counters.marks = zero as u8;
    counters.window = zero as u16;
    counters.last_payload = zero as u16;
}

/// True when `record` opens a new connection of the slot's key, so that it needs a slot of its own: a SYN with another
/// initial sequence number than the last, any SYN after a FIN or RST, or the first SYN in a slot that began with other
/// segments. This is when user space begins a new record (Zeek `TCPSessionAdapter::IsReuse`); one slot for two records
/// would give all counts to the first. Once too often does no harm: counters of several slots add up.
#[inline(always)]
#[must_use]
pub fn supersedes(slot: &Slot, record: &SegmentRecord) -> bool {
    if record.flags & SYN == 0 {
        return false;
    }
    let syn_seen = slot.lo.syn != 0 || slot.hi.syn != 0;
    if record.flags & ACK != 0 {
        // Of another number than the last; or after segments of an older connection, when its SYN went another way
        // (to another CPU).
        let answered = slot.lo.syn_ack != 0 || slot.hi.syn_ack != 0;
        return if answered { slot.syn_ack_isn != record.seq } else { !syn_seen };
    }
    !syn_seen || slot.state & SLOT_CLOSING != 0 || slot.isn != record.seq
}

/// Closes `slot` for further segments; [`supersedes`] said so.
#[inline(always)]
pub fn supersede(slot: &mut Slot, journal: &mut impl Journal) {
    keep_pending(slot, journal);
    slot.state |= SLOT_SUPERSEDED;
}

/// True when the segment must be kept verbatim (and therefore deserves an exact timestamp).
#[inline(always)]
#[must_use]
pub fn is_relevant(slot: &Slot, record: &SegmentRecord) -> bool {
    if record.is_control() {
        return true;
    }
    let side = if record.from_hi() { &slot.hi } else { &slot.lo };
    if record.payload_len == 0 {
        side.marks & MARK_ACK == 0 || is_keep_alive(side, record)
    } else {
        side.marks & MARK_DATA == 0 || is_keep_alive(side, record)
    }
}

/// A keep-alive probe repeats the byte before the next one: no payload or one byte, at SND.NXT - 1 (RFC 9293 3.8.4).
#[inline(always)]
fn is_keep_alive(side: &DirectionCounters, record: &SegmentRecord) -> bool {
    record.payload_len <= 1 && side.marks & MARK_SEQ != 0 && record.seq == side.seq_end.wrapping_sub(1)
}

/// Counts `segment` in `slot` and keeps it verbatim when `relevant` (from [`is_relevant`]) and there is room.
#[inline(always)]
pub fn apply(slot: &mut Slot, segment: &Segment, relevant: bool, journal: &mut impl Journal) -> Disposition {
    let record = &segment.record;
    let flags = record.flags;
    if record.is_control() {
        if slot.state & MARKED != 0 {
            keep_pending(slot, journal);
            slot.lo.marks &= !(MARK_ACK | MARK_DATA);
            slot.hi.marks &= !(MARK_ACK | MARK_DATA);
            slot.state &= !MARKED;
        }
        if flags & (SYN | ACK) == SYN {
            slot.isn = record.seq;
        } else if flags & SYN != 0 {
            slot.syn_ack_isn = record.seq;
        }
        if flags & (FIN | RST) != 0 {
            slot.state |= SLOT_CLOSING;
        }
    }
    if !record.is_control() {
        slot.state |= MARKED;
    }
    slot.state &= !SLOT_LAST_FROM_HI;
    if record.from_hi() {
        slot.state |= SLOT_LAST_FROM_HI;
    }
    let side = if record.from_hi() { &mut slot.hi } else { &mut slot.lo };
    count(side, record);
    if !relevant {
        side.marks |= MARK_PENDING;
        keep_first_bytes(slot, segment);
        return Disposition::CountedOnly;
    }
    side.marks &= !MARK_PENDING;
    if !record.is_control() {
        side.marks |= if record.payload_len == 0 { MARK_ACK } else { MARK_DATA };
    }
    let nth = slot.segment_count;
    if (nth as usize) < SLOT_SEGMENTS && journal.keep(nth, record, segment.first_bytes) {
        slot.segment_count = nth + 1;
        Disposition::Verbatim
    } else {
        slot.spilled = slot.spilled.saturating_add(1);
        Disposition::Spilled
    }
}

/// How the payload of a segment begins that is only counted: it may be the last of its direction. Nearly none has such
/// bytes, so that nearly never anything is stored.
#[inline(always)]
fn keep_first_bytes(slot: &mut Slot, segment: &Segment) {
    if slot.first_bytes | segment.first_bytes != 0 {
        slot.first_bytes = segment.first_bytes;
        slot.state &= !SLOT_BYTES_FROM_HI;
        if segment.record.from_hi() {
            slot.state |= SLOT_BYTES_FROM_HI;
        }
    }
}

/// Keeps the last segment of each direction that was only counted, in their order, as far as the counters remember it.
/// Room for the control segment that follows stays free.
#[inline(always)]
fn keep_pending(slot: &mut Slot, journal: &mut impl Journal) {
    let last_from_hi = slot.state & SLOT_LAST_FROM_HI != 0;
    keep_pending_of(slot, !last_from_hi, false, journal);
    keep_pending_of(slot, last_from_hi, true, journal);
}

#[inline(always)]
fn keep_pending_of(slot: &mut Slot, of_hi: bool, is_last: bool, journal: &mut impl Journal) {
    let (side, other) = if of_hi { (&mut slot.hi, &slot.lo) } else { (&mut slot.lo, &slot.hi) };
    let nth = slot.segment_count;
    if side.marks & MARK_PENDING == 0 || nth as usize + 1 >= SLOT_SEGMENTS {
        return;
    }
    side.marks &= !MARK_PENDING;
    // The very last segment came after everything that the slot has counted; the coarse clock may not have noticed.
    let time_ns = if is_last && other.last_ns > side.last_ns { other.last_ns } else { side.last_ns };
    let mut record = SegmentRecord {
        time_ns,
        payload_len: side.last_payload as u32,
        seq: side.seq_end.wrapping_sub(side.last_payload as u32),
        ack: side.last_ack,
        window: side.window,
        mss: 0,
        ip_id: side.ip_id,
        header_len: 40,
        ttl: side.ttl,
        option_len: 0,
        flags: if side.marks & MARK_LAST_ACK != 0 { ACK } else { 0 } | if of_hi { FROM_HI } else { 0 },
    };
    record.put_window_scale(None);
    let of_this_side = (slot.state & SLOT_BYTES_FROM_HI != 0) == of_hi;
    let first_bytes = if of_this_side { slot.first_bytes } else { 0 };
    if journal.keep(nth, &record, first_bytes) {
        slot.segment_count = nth + 1;
    }
}

#[inline(always)]
fn count(side: &mut DirectionCounters, record: &SegmentRecord) {
    let flags = record.flags;
    side.ip_bytes += record.ip_len() as u64;
    side.payload_bytes += record.payload_len as u64;
    // The coarse clock may be behind the exact time of an earlier segment.
    if record.time_ns > side.last_ns {
        side.last_ns = record.time_ns;
    }
    side.packets = side.packets.wrapping_add(1);
    if record.is_control() {
        side.syn += (flags & (SYN | ACK) == SYN) as u32;
        side.syn_ack += (flags & (SYN | ACK) == SYN | ACK) as u32;
        side.fin += (flags & FIN != 0) as u32;
        side.rst += (flags & RST != 0) as u32;
    }
    if flags & RST == 0 {
        let end = record.seq_end();
        if side.marks & MARK_SEQ == 0 {
            side.seq_end = end;
            side.marks |= MARK_SEQ;
        } else if seq_after(end, side.seq_end) {
            side.seq_end = end;
        } else if record.payload_len > 0 {
            side.retransmits = side.retransmits.saturating_add(1);
        }
        if record.window == 0 {
            side.zero_windows = side.zero_windows.saturating_add(1);
        }
    }
    side.marks &= !MARK_LAST_ACK;
    if flags & ACK != 0 {
        side.last_ack = record.ack;
        side.marks |= MARK_LAST_ACK;
    }
    side.ip_id = record.ip_id;
    side.ttl = record.ttl;
    side.window = record.window;
    side.last_payload = if record.payload_len > 0xffff { 0xffff } else { record.payload_len as u16 };
}

#[cfg(test)]
mod tests;

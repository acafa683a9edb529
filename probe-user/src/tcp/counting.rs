//! Counts: of each segment as it comes, or of many at once from the kernel program's slots.

use probe_ebpf::layout::{ACK, DirectionCounters, FIN, MARK_PENDING, MARK_SEQ, RST, SYN, SegmentRecord};

use crate::tcp::{close_tracking, counter::raise, track::Track};

/// Counts one segment.
#[inline(always)]
pub(crate) fn count_one(track: &mut Track, record: &SegmentRecord) {
    let side = track.side_of(record);
    let end = &mut track.ends[side];
    end.payload_bytes += u64::from(record.payload_len);
    end.packets = end.packets.wrapping_add(1);
    let over;
    (end.header_bytes, over) = end.header_bytes.overflowing_add(u32::from(record.header_len));
    if end.packets == 0 || over {
        let wrapped = end.packets == 0;
        let odd = track.odd_mut(side);
        odd.packets_high += u32::from(wrapped);
        odd.header_bytes_high += u32::from(over);
    }
}

/// Adds the counters of one direction of a slot (live path).
pub(crate) fn add_counters(track: &mut Track, side: usize, counters: &DirectionCounters) {
    let end = &mut track.ends[side];
    let headers = u64::from(end.header_bytes) + counters.ip_bytes.saturating_sub(counters.payload_bytes);
    end.header_bytes = headers as u32;
    end.payload_bytes += counters.payload_bytes;
    let (packets, over) = end.packets.overflowing_add(counters.packets);
    end.packets = packets;
    track.add_syns(side, counters.syn, counters.syn_ack);
    track.add_ends(side, counters.fin, counters.rst);
    let headers_high = (headers >> 32) as u32;
    if over || headers_high > 0 {
        let odd = track.odd_mut(side);
        odd.packets_high += u32::from(over);
        odd.header_bytes_high += headers_high;
    }
}

/// What the same counters say of the last segment of their direction.
pub(crate) fn settle_side(track: &mut Track, side: usize, counters: &DirectionCounters) {
    track.ends[side].counted_up_to((counters.marks & MARK_SEQ != 0).then_some(counters.seq_end), None);
    // RSTs may acknowledge anything.
    let ack = (counters.last_ack != 0 && counters.rst == 0).then_some(counters.last_ack);
    track.ends[1 - side].counted_up_to(None, ack);
    if counters.marks & MARK_PENDING != 0 {
        close_tracking::counted_last(track, side, counters);
    }
    for _ in 0..counters.retransmits {
        track.note_retransmit(side);
    }
    for _ in 0..counters.zero_windows {
        let odd = track.odd_mut(side);
        odd.zero_windows = odd.zero_windows.saturating_add(1);
        let count = odd.zero_windows;
        track.note_scaled(side, b'W', count);
    }
}

impl Track {
    /// Counts segments with SYN, without and with ACK.
    #[inline]
    pub(crate) fn add_syns(&mut self, side: usize, syn: u32, syn_ack: u32) {
        let end = &mut self.ends[side];
        let over = (raise(&mut end.syn, syn), raise(&mut end.syn_ack, syn_ack));
        if over != (0, 0) {
            let beyond = &mut self.odd_mut(side).beyond;
            beyond.syn += over.0;
            beyond.syn_ack += over.1;
        }
    }

    /// Counts one SYN, FIN or RST.
    #[inline]
    pub(crate) fn add_control(&mut self, side: usize, flags: u16) {
        if flags & SYN != 0 {
            let end = &mut self.ends[side];
            let count = if flags & ACK == 0 { &mut end.syn } else { &mut end.syn_ack };
            match count.checked_add(1) {
                Some(more) => *count = more,
                None => self.add_syns(side, u32::from(flags & ACK == 0), u32::from(flags & ACK != 0)),
            }
        }
        if flags & (FIN | RST) != 0 {
            let rare = &mut self.rare_mut().sides[side];
            let fins = rare.fins.checked_add(u32::from(flags & FIN != 0));
            let rsts = rare.rsts.checked_add(u32::from(flags & RST != 0));
            match (fins, rsts) {
                (Some(fins), Some(rsts)) => (rare.fins, rare.rsts) = (fins, rsts),
                _ => self.add_ends(side, u32::from(flags & FIN != 0), u32::from(flags & RST != 0)),
            }
        }
    }

    /// Counts segments with FIN and with RST.
    pub(crate) fn add_ends(&mut self, side: usize, fins: u32, rsts: u32) {
        if fins | rsts == 0 {
            return;
        }
        let rare = &mut self.rare_mut().sides[side];
        let over = (raise(&mut rare.fins, fins), raise(&mut rare.rsts, rsts));
        if over != (0, 0) {
            let beyond = &mut self.odd_mut(side).beyond;
            beyond.fins += over.0;
            beyond.rsts += over.1;
        }
    }
}

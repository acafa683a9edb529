//! Close tracking: notes of each segment what the verdict on its connection will need: FINs, RSTs, alerts, payload after a
//! FIN, challenges.

use probe_ebpf::layout::{ACK, CONTROL, DirectionCounters, FIN, HAS_TIMESTAMPS, RST, SYN, Segment, SegmentRecord};

use crate::tcp::{
    close_details::{PayloadOrder, Rare, Seen},
    endpoint::{Endpoint, Kind, OFFERED_TIMESTAMPS, SENT_ACK, SENT_FIN},
    marks::{ORIG, TICK_SHIFT},
    payload_turns,
    state_before::StateBefore,
    track::Track,
};

/// Before a segment with these flags changes anything: what it will be judged by later.
#[inline(always)]
pub(crate) fn before(track: &mut Track, side: usize, flags: u16, segment: &Segment) {
    if segment.record.payload_len > 0 && flags & RST == 0 {
        if track.ends[1 - side].has(SENT_FIN) {
            note_late(track, side, segment);
        }
        if payload_turns::may_be_goodbye(segment.record.payload_len) {
            note_goodbye(track, side, segment);
        }
    }
    if flags & (FIN | RST) == 0 {
        return;
    }
    let time_ns = segment.record.time_ns;
    let idle_ns = time_ns.saturating_sub(track.previous_ns());
    if flags & FIN != 0 && track.rare_mut().sides[side].fin.is_none() {
        let seen = Seen::new(time_ns, idle_ns, segment.record.ack, order_of(track));
        track.rare_mut().sides[side].fin = Some(seen);
    }
    if flags & RST != 0 {
        keep_rst(track, side, segment, idle_ns);
    }
}

/// A goodbye may be sent before the other side's FIN has come by here.
#[inline(never)]
fn note_goodbye(track: &mut Track, side: usize, segment: &Segment) {
    let (note, len) = (segment.first_bytes, segment.record.payload_len);
    if payload_turns::is_goodbye(track, note, len) {
        let late = &mut track.rare_mut().sides[side];
        (late.late_note, late.late_len) = (note, len);
    }
    if let Some(alert) = payload_turns::fatal_alert(note, len) {
        track.odd_mut(side).tls_alert = alert;
    }
}

/// Payload of `side` after the other side's FIN: how much, and how it begins.
#[cold]
fn note_late(track: &mut Track, side: usize, segment: &Segment) {
    let record = &segment.record;
    let end = &track.ends[side];
    let beyond = record.seq.wrapping_add(record.payload_len).wrapping_sub(end.last_seq).cast_signed();
    if beyond <= 0 || end.has(SENT_FIN) {
        return;
    }
    let late = &mut track.rare_mut().sides[side];
    if late.late_bytes == 0 {
        (late.late_note, late.late_len) = (segment.first_bytes, record.payload_len);
    }
    late.late_bytes = late.late_bytes.saturating_add(beyond.cast_unsigned());
}

/// Who had sent payload last, and when each side had.
fn order_of(track: &Track) -> PayloadOrder {
    PayloadOrder { data_ticks: [track.ends[0].data_tick, track.ends[1].data_tick], marks: track.marks }
}

#[inline(never)]
fn keep_rst(track: &mut Track, side: usize, segment: &Segment, idle_ns: u64) {
    let record = &segment.record;
    let peer_ack = track.ends[side].ack_seq;
    let Rare { rsts, blank, .. } = track.rare_mut();
    let Some(first) = &mut rsts[side] else {
        let mut rst = blank.take().unwrap_or_default();
        let (sender, peer) = (&track.ends[side], &track.ends[1 - side]);
        let answers_peer = track.last_side as usize != side && peer.kind() != Kind::Nothing;
        let states = [StateBefore::of(sender), StateBefore::of(peer)];
        rst.begin(segment, idle_ns, states, order_of(track), answers_peer);
        track.rare_mut().rsts[side] = Some(rst);
        return;
    };
    if record.seq != std::mem::replace(&mut first.last_seq, record.seq) {
        first.distinct = first.distinct.saturating_add(1);
        let above = |bound: u32| record.seq.wrapping_sub(bound).cast_signed() > 2;
        // A true reply bears the number of the acknowledgement that it answers.
        if above(first.record.seq) && above(first.sender.next_seq) && record.seq != peer_ack {
            first.climbed = true;
        }
    }
    if first.challenged() == Some(record.seq) {
        first.confirmed = true;
    }
}

/// After a segment with these flags was taken in: what later ones are judged against.
#[inline(always)]
pub(crate) fn after(track: &mut Track, side: usize, flags: u16, segment: &Segment, repeated: bool) {
    let record = &segment.record;
    let tick = track.tick_of(record.time_ns);
    let kind = kind_of(&track.ends[side], flags, record);
    if flags & RST == 0 && track.rare().is_some_and(|rare| rare.rsts.iter().any(Option::is_some)) {
        after_rst(track, side, record);
    }
    let is_copy = repeated && is_copy(&track.ends[side], record, tick);
    if record.payload_len > 0 && flags & RST == 0 {
        let of = (tick, repeated, kind != Kind::KeepAlive && !is_copy);
        if flags & CONTROL == 0 {
            sent_payload(track, side, segment, of);
        } else {
            sent_payload_with_control(track, side, segment, of);
        }
    }
    note_handshake(track, side, kind, flags, record);
    track.last_side = side as u8;
    let end = &mut track.ends[side];
    end.set_kind(kind);
    end.last_tick = tick;
    if !is_copy {
        end.ip_id = record.ip_id;
    }
    if flags & RST == 0 {
        end.ttl = record.ttl;
    }
    if flags & (SYN | HAS_TIMESTAMPS) == SYN | HAS_TIMESTAMPS {
        end.set(OFFERED_TIMESTAMPS);
    }
    end.probes = if kind == Kind::KeepAlive { end.probes.saturating_add(1) } else { 0 };
    if kind == Kind::PureAck {
        end.set(SENT_ACK);
    }
    if flags & RST == 0 {
        track.ends[1 - side].probes = 0;
    }
}

/// `side` sent payload that it had not sent before.
#[inline(always)]
fn note_speech(track: &mut Track, side: usize, segment: &Segment, tick: u32) {
    let record = &segment.record;
    if !payload_turns::is_goodbye(track, segment.first_bytes, record.payload_len) {
        if track.rare().is_some() {
            was_no_goodbye(track, side);
        }
        payload_turns::spoke(track, side, (record.seq, record.ack), tick);
    }
}

/// How long the handshake took.
#[inline(always)]
fn note_handshake(track: &mut Track, side: usize, kind: Kind, flags: u16, record: &SegmentRecord) {
    let since_ns = record.time_ns.saturating_sub(track.start_ns);
    let peer = &track.ends[1 - side];
    if kind == Kind::SynAck && peer.kind() == Kind::Syn && is_first_attempt(peer) {
        track.answered_after(since_ns);
    } else if side == ORIG && flags & (SYN | RST) == 0 {
        track.opened_after(since_ns);
    }
}

/// What repeats a segment so soon may be its copy (mirrored twice) and is no retransmission of a timer (RFC 6298 2.4).
const COPY_TICKS: u32 = (50_000_000 >> TICK_SHIFT) as u32;
/// The same where no IPv4 identification tells more: a tail-loss probe comes after two round trips.
const BARE_COPY_TICKS: u32 = 2;

fn follows_closely(last_tick: u32, tick: u32) -> bool {
    tick.saturating_sub(last_tick) < COPY_TICKS
}

/// A segment that repeats payload is one that was seen before: a retransmission has a new identification (RFC 6864 4.1).
fn is_copy(end: &Endpoint, record: &SegmentRecord, tick: u32) -> bool {
    if record.ip_id == 0 {
        return tick.saturating_sub(end.last_tick) < BARE_COPY_TICKS;
    }
    let is_new = record.ip_id.wrapping_sub(end.ip_id).cast_signed() > 0;
    !is_new && follows_closely(end.last_tick, tick)
}

/// It sent one SYN, perhaps seen twice: the time until its answer is that of the path.
fn is_first_attempt(end: &Endpoint) -> bool {
    end.syn <= 1 || follows_closely(0, end.last_tick)
}

/// An acknowledgement of before the payload or the FIN that was seen last: a copy, or late.
fn is_outdated(end: &Endpoint, record: &SegmentRecord) -> bool {
    let is_before = end.last_seq.wrapping_sub(record.seq).cast_signed() > 0;
    is_before && matches!(end.kind(), Kind::Data | Kind::Fin)
}

/// A segment with payload, at this tick: new, or repeated, and then perhaps in vain.
#[inline(always)]
fn sent_payload(track: &mut Track, side: usize, segment: &Segment, (tick, repeated, in_vain): (u32, bool, bool)) {
    if !repeated {
        note_speech(track, side, segment, tick);
    } else if in_vain {
        track.ends[side].repeats = track.ends[side].repeats.saturating_add(1);
    }
}

/// The same of few segments: once, and not in what each kind of segment has of its own.
#[inline(never)]
fn sent_payload_with_control(track: &mut Track, side: usize, segment: &Segment, of: (u32, bool, bool)) {
    sent_payload(track, side, segment, of);
}

/// `side` went on: what it had sent before was no goodbye, and no alert ended the connection.
#[cold]
fn was_no_goodbye(track: &mut Track, side: usize) {
    let Some(rare) = track.rare.as_mut() else { return };
    let late = &mut rare.sides[side];
    if late.late_bytes == 0 {
        (late.late_note, late.late_len) = (0, 0);
    }
    if let Some(odd) = rare.odd.as_mut() {
        for odd in &mut odd.sides {
            odd.tls_alert = 0;
        }
    }
}

/// The last segment of a direction was only counted (live path): what its counters remember of it.
pub(crate) fn counted_last(track: &mut Track, side: usize, counters: &DirectionCounters) {
    let tick = track.tick_of(counters.last_ns);
    track.last_side = side as u8;
    track.ends[1 - side].probes = 0;
    if counters.last_payload > 0 {
        let seq = counters.seq_end.wrapping_sub(counters.last_payload.into());
        if !payload_turns::is_goodbye(track, 0, counters.last_payload.into()) {
            payload_turns::spoke(track, side, (seq, counters.last_ack), tick);
        }
    }
    let end = &mut track.ends[side];
    end.set_kind(if counters.last_payload > 0 { Kind::Data } else { Kind::PureAck });
    end.last_tick = end.last_tick.max(tick);
    end.ip_id = counters.ip_id;
    end.ttl = counters.ttl;
    end.probes = 0;
}

#[inline(always)]
fn kind_of(end: &Endpoint, flags: u16, record: &SegmentRecord) -> Kind {
    match flags & CONTROL {
        0 if record.payload_len <= 1
            && record.seq == end.last_seq.wrapping_sub(1)
            && end.last_seq != end.start_seq.wrapping_add(1) =>
        {
            Kind::KeepAlive
        }
        0 if record.payload_len > 0 => Kind::Data,
        // What its sender sent last stays what it was.
        0 if is_outdated(end, record) => end.kind(),
        0 => Kind::PureAck,
        _ if flags & RST != 0 => Kind::Rst,
        _ if flags & FIN != 0 => Kind::Fin,
        _ if flags & ACK != 0 => Kind::SynAck,
        _ => Kind::Syn,
    }
}

/// A segment that is overtaken on its way comes no later.
const OVERTAKEN_NS: u64 = 5_000_000;

/// Signs that an RST was not believed, or not genuine.
#[inline(never)]
fn after_rst(track: &mut Track, side: usize, record: &SegmentRecord) {
    let previous_side = track.last_side as usize;
    let previous_kind = track.ends[previous_side].kind();
    let Some(rare) = track.rare.as_mut() else { return };
    if let Some(rst) = rare.rsts[side].as_mut() {
        let from = |bound: u32| record.payload_len > 0 && record.seq.wrapping_sub(bound).cast_signed() >= 0;
        let in_vain = rst.challenged().is_some() && from(rst.sender.next_seq);
        let accepts = record.flags & (SYN | ACK) == SYN | ACK;
        // A host that knows of no connection, or has aborted it, does not close it afterwards, sends nothing new, and
        // acknowledges nothing that came after the RST. Its own numbers count: those of a forged RST may lie ahead.
        let closes = record.flags & FIN != 0
            && !rst.sender.has_sent_fin()
            && record.seq.wrapping_sub(rst.record.seq).cast_signed() >= 0;
        // What the RST overtook on its way, or between two queues of a capture, comes at once.
        let is_later = record.time_ns.saturating_sub(rst.record.time_ns) > OVERTAKEN_NS;
        let is_plain = record.flags & CONTROL == 0 && rst.sender.kind != Kind::Nothing && !rst.sender.has_sent_fin();
        let newer = record.ack.wrapping_sub(rst.peer.next_seq).cast_signed() > 0 && rst.peer.kind != Kind::Nothing;
        let goes_on = is_later && is_plain && (from(rst.sender.next_seq) || record.flags & ACK != 0 && newer);
        rst.sender_continued |= from(rst.record.seq) || in_vain || accepts || closes || goes_on;
    }
    if previous_side != side
        && previous_kind == Kind::Rst
        && record.flags & (CONTROL | ACK) == ACK
        && record.payload_len == 0
        && let Some(rst) = rare.rsts[1 - side].as_mut()
        && rst.record.seq != record.ack
    {
        rst.challenged_by(record.ack);
    }
}

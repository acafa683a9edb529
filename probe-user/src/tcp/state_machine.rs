//! TCP state machine: applies one segment to one connection, as Zeek's TCPSessionAdapter does, rule by rule.
//!
//! No sequence or window check guards FIN and RST; that is Zeek's rule and therefore ours. Doubts about an RST belong
//! into the verdict.

use probe_ebpf::layout::{ACK, CONTROL, FIN, RST, SYN, Segment, SegmentRecord};

use crate::tcp::arrival::Extra;
use crate::tcp::endpoint::{DID_CLOSE, SEEN, SENT_FIN, State};
use crate::tcp::history::seen;
use crate::tcp::marks::{ORIG, ORIG_STUCK, RESP, RESP_STUCK};
use crate::tcp::timers::Timers;
use crate::tcp::track::{Counting, Patience, Phase, Track};
use crate::tracker::config::TrackerConfig;
use crate::{
    record::Orientation,
    tcp::{close, close_tracking, reassembly},
};

/// What the segment asks for beyond the endpoints.
#[derive(Default)]
struct Outcome {
    /// The sender closed: [`closed`] is due after its data was taken in.
    close: bool,
    /// The responder answered: Zeek's `connection_established`.
    established: bool,
}

/// Whether `record` begins a new connection although its 5-tuple is tracked (Zeek `TCPSessionAdapter::IsReuse`).
pub(crate) fn is_reuse(track: &Track, record: &SegmentRecord) -> bool {
    if record.flags & SYN == 0 {
        return false;
    }
    let opener = if record.flags & ACK == 0 {
        &track.ends[ORIG]
    } else if track.ends[ORIG].state == State::Inactive {
        &track.ends[RESP]
    } else {
        return false;
    };
    if track.ends.iter().any(|end| end.has(DID_CLOSE)) {
        return true;
    }
    let resp = &track.ends[RESP];
    let reversed = record.flags & ACK == 0
        && opener.state == State::SynAckSent
        && resp.state == State::Inactive
        && record.seq == resp.start_seq;
    record.seq != opener.start_seq && !reversed
}

/// Whether the first segment of a connection comes from the server, by the ports (Zeek `TCPAnalyzer::WantConnection`).
pub(crate) fn starts_flipped(record: &SegmentRecord, track: &Track, ports: &[u16]) -> bool {
    if record.flags & (SYN | ACK) == SYN {
        return false;
    }
    let (lo, hi) = (track.key.lo(), track.key.hi());
    let (source, target) = if record.from_hi() { (hi, lo) } else { (lo, hi) };
    let likely = |port: u16| ports.binary_search(&port).is_ok();
    if !likely(source.port) || target.octets() == BROADCAST {
        return false;
    }
    !likely(target.port) || record.flags & SYN == 0 && source.port < target.port
}

/// 255.255.255.255 as IPv4-mapped address.
const BROADCAST: [u8; 16] = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];

/// A segment with a bad checksum: noted, otherwise dropped (Zeek `ChecksumError`).
pub(crate) fn bad_checksum(track: &mut Track, record: &SegmentRecord) {
    let side = track.side_of(record);
    let odd = track.odd_mut(side);
    odd.bad_checksums = odd.bad_checksums.saturating_add(1);
    let count = odd.bad_checksums;
    track.note_scaled(side, b'C', count);
}

/// Moves the connection on by one good segment (Zeek `TCPSessionAdapter::Process`).
pub(crate) fn step(track: &mut Track, segment: &Segment, extra: Extra, config: &TrackerConfig) {
    if segment.record.is_control() {
        step_control(track, segment, extra, config);
    } else {
        step_plain(track, segment, extra, config);
    }
}

/// As [`step`], for SYN, FIN and RST: the same rules, compiled for each of the usual combinations of flags.
pub(crate) fn step_control(track: &mut Track, segment: &Segment, extra: Extra, config: &TrackerConfig) {
    const SYN_ACK: u16 = SYN | ACK;
    const FIN_ACK: u16 = FIN | ACK;
    let (flags, rest) = (segment.record.flags, segment.record.flags & !(CONTROL | ACK));
    match flags & (CONTROL | ACK) {
        SYN => take(track, segment, rest | SYN, extra, config),
        SYN_ACK => take(track, segment, rest | SYN_ACK, extra, config),
        FIN_ACK => take(track, segment, rest | FIN_ACK, extra, config),
        _ => take(track, segment, flags, extra, config),
    }
}

/// As [`step`], for all others: nothing is left of the rules for SYN, FIN and RST.
#[inline(always)]
pub(crate) fn step_plain(track: &mut Track, segment: &Segment, extra: Extra, config: &TrackerConfig) {
    take(track, segment, segment.record.flags & !CONTROL, extra, config);
}

/// Takes in a segment. Its flags come apart from it, as the compiler knows some of them.
#[inline(always)]
fn take(track: &mut Track, segment: &Segment, flags: u16, extra: Extra, config: &TrackerConfig) {
    let record = &segment.record;
    let plain = flags & CONTROL == 0;
    // Data or an acknowledgement after a lone SYN-ACK: no stealth scan, so its sender is the server.
    if plain && (record.payload_len > 0 || flags & ACK != 0) && track.history.is(b'H') {
        flip_after_syn_ack(track);
    }
    let side = track.side_of(record);
    set_partial(track, side, flags);
    // The text of an RST is no part of what is sent (RFC 9293 3.5.3).
    let length = sequence_len(flags, if flags & RST != 0 { 0 } else { record.payload_len });
    let end = record.seq.wrapping_add(length);
    start_endpoint(track, side, flags, record.seq, end);
    let (seq, underflow) = track.ends[side].relative_seq(record.seq);
    close_tracking::before(track, side, flags, segment);
    note_flags(track, side, flags, seq, record.payload_len);
    note_window(track, side, flags, record.window);
    if !track.ends.iter().all(|end| end.has(DID_CLOSE)) {
        track.last_ns = record.time_ns;
    }
    if flags & FIN != 0 {
        track.ends[side].set(SENT_FIN);
        track.rare_mut().sides[side].fin_seq = seq.wrapping_add(u64::from(length));
    }
    let ack = if flags & ACK != 0 { take_ack(track, side, flags, record.ack) } else { 0 };
    let repeated = track.ends[side].sent_up_to(end, flags & (SYN | RST) != 0, flags & FIN != 0, record.payload_len);
    if repeated && track.counting == Counting::Whole {
        track.note_retransmit(side);
    }
    let outcome = change_state(track, side, flags, record, &config.timers);
    let side = track.side_of(record);
    if flags & ACK != 0 && reassembly::acknowledged(track, 1 - side, ack) {
        close::check_eof(track, 1 - side, &config.timers);
    }
    track.ends[side].set(SEEN);
    if record.payload_len > 0 && flags & RST == 0 && !underflow && !extra.payload_cut {
        reassembly::data_sent(track, side, seq.wrapping_add(u64::from(flags & SYN != 0)), record.payload_len);
    }
    close::check_eof(track, side, &config.timers);
    if outcome.close {
        close::closed(track, side, &config.timers);
    }
    if outcome.established {
        lengthen_patience(track, &config.likely_server_ports);
    }
    close_tracking::after(track, side, flags, segment, repeated);
}

/// Sequence space that a segment with these flags occupies (RFC 9293 3.4).
#[inline(always)]
fn sequence_len(flags: u16, payload_len: u32) -> u32 {
    payload_len.wrapping_add(u32::from(flags & SYN != 0)).wrapping_add(u32::from(flags & FIN != 0))
}

/// A connection that began with a SYN-ACK turned out to be one: the letter becomes the responder's.
fn flip_after_syn_ack(track: &mut Track) {
    track.flip();
    track.history.replace(b"^h");
    track.orientation = Orientation::SynAck;
    track.ends[ORIG].set(SEEN);
}

/// Zeek `SetPartialStatus`.
#[inline(always)]
fn set_partial(track: &mut Track, side: usize, flags: u16) {
    if track.ends[side].has(SEEN) {
        return;
    }
    if side == ORIG {
        track.is_partial = flags & (SYN | ACK) != SYN;
    } else if !track.is_partial {
        track.is_partial = flags & SYN == 0;
    }
}

/// Where the sender's sequence space begins (Zeek `init_endpoint`).
#[inline(always)]
fn start_endpoint(track: &mut Track, side: usize, flags: u16, seq: u32, after: u32) {
    let end = &mut track.ends[side];
    let syn = flags & SYN != 0;
    match end.state {
        State::Inactive => {
            // Without SYN: as though there had been one, so that relative numbers are the same.
            let (start, after) = if syn { (seq, after) } else { (seq.wrapping_sub(1), seq) };
            end.start_at(start, after);
            end.apply_early_counts();
        }
        State::SynSent | State::SynAckSent if syn && seq != end.start_seq => end.start_at(seq, after),
        State::Established | State::Partial if syn => end.start_at(seq, after),
        State::Reset if syn && end.previous() == State::Inactive => end.start_at(seq, after),
        _ => {}
    }
}

/// The history letter of the flags (Zeek `update_history`).
#[inline(always)]
fn note_flags(track: &mut Track, side: usize, flags: u16, seq: u64, payload: u32) {
    match flags & CONTROL {
        0 if payload > 0 => drop(track.note_once(side, seen::DATA, b'D')),
        0 if flags & ACK != 0 => drop(track.note_once(side, seen::ACK, b'A')),
        0 => {}
        SYN => {
            let letter = if flags & ACK != 0 { b'H' } else { b'S' };
            let last = track.odd(side).map_or(0, |odd| odd.last_syn);
            if track.note_once(side, seen::SYN, letter) && seq != last {
                track.note(side, letter);
            }
            if seq != last {
                track.odd_mut(side).last_syn = seq;
            }
        }
        FIN => {
            // At the end of its payload, unlike SYN and RST.
            let at = seq.wrapping_add(u64::from(payload));
            let last = std::mem::replace(&mut track.rare_mut().sides[side].last_fin, at);
            if track.note_once(side, seen::FIN, b'F') && at != last {
                track.note(side, b'F');
            }
        }
        RST => {
            let last = std::mem::replace(&mut track.rare_mut().sides[side].last_rst, seq);
            if track.note_once(side, seen::RST, b'R') && seq != last {
                track.note(side, b'R');
            }
        }
        both if both & (FIN | RST) == FIN | RST => drop(track.note_once(side, seen::FIN_RST, b'I')),
        _ => drop(track.note_once(side, seen::MULTI, b'Q')),
    }
}

/// A window field that is closed, or nearly, whatever it is to be scaled by (RFC 7323 2.2).
const NEARLY_CLOSED: u16 = 2;

/// A closed window, where it means something (Zeek `update_window`).
#[inline(always)]
fn note_window(track: &mut Track, side: usize, flags: u16, window: u16) {
    if flags & RST == 0 && (window <= NEARLY_CLOSED || track.has(ORIG_STUCK | RESP_STUCK)) {
        note_odd_window(track, side, window);
    }
}

/// A window that is closed, or nearly, or is not any more.
#[cold]
fn note_odd_window(track: &mut Track, side: usize, window: u16) {
    let stuck = ORIG_STUCK << side;
    if (window <= NEARLY_CLOSED) != track.has(stuck) {
        track.marks ^= stuck;
    }
    let matters = window == 0
        && track.counting == Counting::Whole
        && track.ends[1 - side].state != State::Closed
        && track.ends[side].state != State::Reset;
    if matters {
        let odd = track.odd_mut(side);
        odd.zero_windows = odd.zero_windows.wrapping_add(1);
        let count = odd.zero_windows;
        track.note_scaled(side, b'W', count);
    }
}

/// Takes in an acknowledgement; returns its relative position, 0 when it makes no sense.
#[inline(always)]
fn take_ack(track: &mut Track, side: usize, flags: u16, ack: u32) -> u64 {
    let peer = &mut track.ends[1 - side];
    if peer.state == State::Inactive {
        // Number the unseen peer as if it had sent a SYN (Zeek `init_peer`).
        peer.start_at(ack.wrapping_sub(1), ack.wrapping_sub(1));
        return 1;
    }
    let (position, underflow) = peer.relative_ack(ack);
    if underflow {
        return 0;
    }
    // RSTs may acknowledge anything.
    if flags & RST == 0 {
        peer.acknowledged(ack);
    }
    position
}

/// The transition table: by the state of the sender; SYN, then FIN, then RST (Zeek `UpdateStateMachine`).
#[inline(always)]
fn change_state(track: &mut Track, side: usize, flags: u16, record: &SegmentRecord, timers: &Timers) -> Outcome {
    match track.ends[side].state {
        State::Inactive => from_inactive(track, side, flags, record, timers),
        State::SynSent | State::SynAckSent => from_syn_sent(track, side, flags),
        State::Established | State::Partial => from_established(track, side, flags),
        State::Closed => from_closed(track, side, flags),
        State::Reset => Outcome::default(),
    }
}

#[inline(always)]
fn from_inactive(track: &mut Track, side: usize, flags: u16, record: &SegmentRecord, timers: &Timers) -> Outcome {
    let mut side = side;
    let mut outcome = Outcome::default();
    if flags & SYN != 0 {
        if side == ORIG {
            track.set_state(ORIG, if flags & ACK != 0 { State::SynAckSent } else { State::SynSent });
            track.second_ns = record.time_ns.saturating_add(timers.attempt);
            track.phase = Phase::Attempt;
            track.orientation = track.orientation.min(opener(flags));
        } else {
            (side, outcome.established) = answer(track, flags, record.seq);
        }
    }
    if flags & FIN != 0 {
        track.set_state(side, State::Closed);
        outcome.close = true;
    }
    if flags & RST != 0 {
        track.set_state(side, State::Reset);
        outcome.close = true;
    }
    if track.ends[side].state == State::Inactive {
        let (own, peer) = (side, track.ends[1 - side].state);
        if own == RESP && record.payload_len == 0 && peer == State::SynSent {
            // Some stacks acknowledge a SYN before they answer it.
        } else if flags & ACK != 0 && peer == State::Established {
            track.set_state(own, State::Established);
            track.is_partial = false;
            track.ends[own].set(SEEN);
        } else {
            track.set_state(own, State::Partial);
        }
    }
    outcome
}

fn opener(flags: u16) -> Orientation {
    if flags & ACK != 0 { Orientation::FirstSender } else { Orientation::Syn }
}

/// A SYN of the responder, with or without ACK. Returns the sender's side, which may have changed, and whether the
/// connection counts as established.
fn answer(track: &mut Track, flags: u16, seq: u32) -> (usize, bool) {
    let mut side = RESP;
    let reversed = flags & ACK == 0 && track.ends[ORIG].state == State::SynAckSent && seq == track.ends[RESP].start_seq;
    if reversed {
        // SYN and SYN-ACK were captured in the wrong order: the sender of this SYN is the originator.
        track.flip();
        side = ORIG;
        track.is_partial = false;
        track.orientation = Orientation::Syn;
        track.set_state(RESP, State::Established);
        track.ends[ORIG].set(SEEN);
    }
    let peer = 1 - side;
    if track.ends[peer].state == State::SynSent {
        track.set_state(peer, State::Established);
    }
    track.set_state(side, State::Established);
    if track.ends[ORIG].state == State::Inactive {
        track.orientation = track.orientation.min(Orientation::SynAck);
    }
    (side, track.ends[peer].state != State::Partial)
}

#[inline(always)]
fn from_syn_sent(track: &mut Track, side: usize, flags: u16) -> Outcome {
    let mut outcome = Outcome::default();
    if flags & FIN != 0 {
        track.set_state(side, State::Closed);
        outcome.close = true;
    }
    if flags & RST != 0 {
        track.set_state(side, State::Reset);
        track.is_active = false;
        outcome.close = true;
    }
    outcome
}

#[inline(always)]
fn from_established(track: &mut Track, side: usize, flags: u16) -> Outcome {
    let mut outcome = Outcome::default();
    let peer = &track.ends[1 - side];
    let (peer_state, peer_previous) = (peer.state, peer.previous());
    if flags & (SYN | ACK) == SYN && track.ends[side].state == State::Partial && peer_state == State::Inactive {
        track.set_state(side, State::SynSent);
    }
    if flags & (FIN | RST) == FIN {
        track.set_state(side, State::Closed);
        // The peer sent FIN, then RST: with this FIN it was a normal end after all.
        if peer_state == State::Reset && peer_previous == State::Closed {
            track.set_state(1 - side, State::Closed);
        }
        outcome.close = true;
    }
    if flags & RST != 0 {
        track.set_state(side, State::Reset);
        outcome.close = true;
        if peer_state != State::Reset || peer_previous != State::Established {
            track.is_active = false;
        }
    }
    outcome
}

#[inline(always)]
fn from_closed(track: &mut Track, side: usize, flags: u16) -> Outcome {
    if flags & RST == 0 || track.ends[1 - side].state == State::Closed {
        return Outcome::default();
    }
    track.set_state(side, State::Reset);
    Outcome { close: !track.ends[side].has(DID_CLOSE), established: false }
}

/// Whether the port is of a service that may be silent for long (base/protocols/conn/inactivity.zeek).
fn is_interactive(port: u16) -> bool {
    matches!(port, 21 | 22 | 23 | 513)
}

fn lengthen_patience(track: &mut Track, ports: &[u16]) {
    let (lo, hi) = (track.key.lo().port, track.key.hi().port);
    let (orig, resp) = if track.orig_is_hi { (hi, lo) } else { (lo, hi) };
    let likely = |port: u16| ports.binary_search(&port).is_ok();
    let half = track.ends[ORIG].state == State::Inactive;
    let service = if half && !likely(resp) && likely(orig) { orig } else { resp };
    if is_interactive(service) {
        track.patience = Patience::Interactive;
    }
}

//! Endpoint: state, sequence space and counters of one end of a connection.

/// Endpoint states (Zeek TCP_Endpoint.h).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[repr(u8)]
pub(crate) enum State {
    /// Nothing seen that says anything.
    #[default]
    Inactive,
    /// Sent a SYN.
    SynSent,
    /// Sent a SYN-ACK as the first segment of the connection.
    SynAckSent,
    /// Seen in mid-stream, its SYN was not.
    Partial,
    /// Answered, or was answered.
    Established,
    /// Sent a FIN.
    Closed,
    /// Sent an RST.
    Reset,
}

impl State {
    /// Zeek's `is_handshake`: nothing but SYNs so far.
    pub(crate) fn is_handshake(self) -> bool {
        matches!(self, Self::Inactive | Self::SynSent | Self::SynAckSent)
    }

    /// Inactive or partial: what conn_state takes as "not really there" (base/protocols/conn/main.zeek).
    pub(crate) fn is_inactive_or_partial(self) -> bool {
        matches!(self, Self::Inactive | Self::Partial)
    }
}

/// A SYN or RST that moves the sequence number by more than this is not believed (Zeek `TOO_LARGE_SEQ_DELTA`).
const TOO_LARGE_DELTA: i32 = 1_048_576;

/// [`Endpoint::marks`]: its close was taken into account (Zeek `did_close`).
pub(crate) const DID_CLOSE: u8 = 1;
/// [`Endpoint::marks`]: all its data was delivered and it had closed (Zeek `did_EOF`).
pub(crate) const DID_EOF: u8 = 2;
/// [`Endpoint::marks`]: its byte stream is no longer followed (Zeek `skip_deliveries`), or never was (live path).
pub(crate) const NOT_FOLLOWED: u8 = 4;
/// [`Endpoint::marks`]: at least one good segment of it was seen (Zeek `first_packet_seen`).
pub(crate) const SEEN: u8 = 8;
/// [`Endpoint::marks`]: its last SYN offered timestamps.
pub(crate) const OFFERED_TIMESTAMPS: u8 = 16;
/// [`Endpoint::marks`]: it sent a pure ACK.
pub(crate) const SENT_ACK: u8 = 32;

/// [`Endpoint::marks`]: it sent a FIN.
pub(crate) const SENT_FIN: u8 = 64;
/// [`Endpoint::marks`]: counters came before its first segment and wait in `delivered`.
const EARLY_COUNTS: u8 = 128;

/// What the last segment of an endpoint was.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[repr(u8)]
pub(crate) enum Kind {
    /// None yet.
    #[default]
    Nothing,
    /// SYN without ACK.
    Syn,
    /// SYN with ACK.
    SynAck,
    /// Neither payload nor control bits.
    PureAck,
    /// Payload.
    Data,
    /// FIN, with or without payload.
    Fin,
    /// RST.
    Rst,
    /// A probe at SND.NXT - 1 (RFC 9293 3.8.4).
    KeepAlive,
}

/// One end of a connection: one line of memory. What goes beyond the small counters is in [`crate::tcp::close_details::Beyond`].
#[derive(Clone, Debug, Default)]
#[repr(align(64))]
pub(crate) struct Endpoint {
    /// Payload bytes sent, retransmissions included.
    pub(crate) payload_bytes: u64,
    /// Relative sequence number up to which the stream was seen or given up (Zeek `last_reassem_seq`).
    pub(crate) delivered: u64,
    /// How far `delivered` is ahead of what was acknowledged and forgotten (Zeek `trim_seq`).
    pub(crate) held: i32,
    /// IP bytes sent that are no payload; beyond 2^32 in [`crate::tcp::close_details::OddSide`].
    pub(crate) header_bytes: u32,
    /// Segments sent.
    pub(crate) packets: u32,
    /// Initial sequence number, or one before the first seen.
    pub(crate) start_seq: u32,
    /// Sequence number after the last byte sent.
    pub(crate) last_seq: u32,
    /// Highest acknowledgement of what this endpoint sent.
    pub(crate) ack_seq: u32,
    /// Milliseconds (2^20 ns) from the connection's start to its last segment.
    pub(crate) last_tick: u32,
    /// The same of its last segment with payload that it had not sent before.
    pub(crate) data_tick: u32,
    /// Times `last_seq` went round.
    pub(crate) seq_wraps: u16,
    /// Times `ack_seq` went round.
    pub(crate) ack_wraps: u16,
    /// Payload segments that repeated bytes already seen.
    pub(crate) retransmits: u16,
    /// IPv4 identification of its last segment.
    pub(crate) ip_id: u16,
    /// State now.
    pub(crate) state: State,
    /// Previous distinct state, and what its last segment was.
    past: Past,
    /// [`DID_CLOSE`] and others.
    pub(crate) marks: u8,
    /// TTL of its last segment other than an RST.
    pub(crate) ttl: u8,
    /// Keep-alive probes since the peer's last segment.
    pub(crate) probes: u8,
    /// Payload segments sent again since the peer last acknowledged anything new.
    pub(crate) repeats: u8,
    /// Segments with SYN and without ACK.
    pub(crate) syn: u8,
    /// Segments with SYN and ACK.
    pub(crate) syn_ack: u8,
}

/// A [`State`] and a [`Kind`] in one byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Past(u8);

const STATES: [State; 8] = [
    State::Inactive,
    State::SynSent,
    State::SynAckSent,
    State::Partial,
    State::Established,
    State::Closed,
    State::Reset,
    State::Inactive,
];
const KINDS: [Kind; 8] =
    [Kind::Nothing, Kind::Syn, Kind::SynAck, Kind::PureAck, Kind::Data, Kind::Fin, Kind::Rst, Kind::KeepAlive];

impl Endpoint {
    /// Before its first segment.
    pub(crate) fn new(followed: bool) -> Self {
        let marks = if followed { 0 } else { NOT_FOLLOWED };
        Self { delivered: u64::from(followed), marks, ..Self::default() }
    }

    /// Previous distinct state.
    #[inline(always)]
    pub(crate) fn previous(&self) -> State {
        STATES[usize::from(self.past.0 & 7)]
    }

    /// Sets [`Self::previous`].
    #[inline(always)]
    pub(crate) fn set_previous(&mut self, state: State) {
        self.past.0 = self.past.0 & !7 | state as u8;
    }

    /// What its last segment was.
    #[inline(always)]
    pub(crate) fn kind(&self) -> Kind {
        KINDS[usize::from(self.past.0 >> 3 & 7)]
    }

    /// Sets [`Self::kind`].
    #[inline(always)]
    pub(crate) fn set_kind(&mut self, kind: Kind) {
        self.past.0 = self.past.0 & 7 | (kind as u8) << 3;
    }

    #[inline(always)]
    pub(crate) fn has(&self, mark: u8) -> bool {
        self.marks & mark != 0
    }

    pub(crate) fn set(&mut self, mark: u8) {
        self.marks |= mark;
    }

    /// Takes `seq` for the initial sequence number; `last` is what follows the first segment.
    #[inline(always)]
    pub(crate) fn start_at(&mut self, seq: u32, last: u32) {
        self.start_seq = seq;
        self.ack_seq = seq;
        self.last_seq = last;
    }

    /// Whether none of its data was acknowledged; the SYN does not count (Zeek `NoDataAcked`).
    pub(crate) fn no_data_acked(&self) -> bool {
        let ack = full(self.ack_seq, self.ack_wraps);
        let start = u64::from(self.start_seq);
        ack == start || ack == start + 1
    }

    /// Distance of a sequence number from the start, 64 bits wide (Zeek `ToRelativeSeqSpace`).
    fn distance(&self, seq: u32, wraps: u16) -> u64 {
        full(seq, wraps).wrapping_sub(u64::from(self.start_seq))
    }

    /// Relative position of `seq`, given the last known position, and whether it lies before the start
    /// (Zeek `get_relative_seq`).
    #[inline(always)]
    fn relative(&self, seq: u32, last: u32, mut wraps: u16) -> (u64, bool) {
        let delta = seq.wrapping_sub(last).cast_signed();
        if delta < 0 {
            if wraps != 0 && seq > last {
                wraps -= 1;
            }
        } else if delta > 0 && seq < last {
            wraps = wraps.wrapping_add(1);
        }
        if wraps == 0 {
            let delta = seq.wrapping_sub(self.start_seq).cast_signed();
            return (i64::from(delta).cast_unsigned(), delta < 0);
        }
        (self.distance(seq, wraps), false)
    }

    /// Relative position of a segment this endpoint sent.
    #[inline(always)]
    pub(crate) fn relative_seq(&self, seq: u32) -> (u64, bool) {
        self.relative(seq, self.last_seq, self.seq_wraps)
    }

    /// Relative position of an acknowledgement of what this endpoint sent.
    #[inline(always)]
    pub(crate) fn relative_ack(&self, ack: u32) -> (u64, bool) {
        self.relative(ack, self.ack_seq, self.ack_wraps)
    }

    /// Relative position of the highest acknowledgement.
    pub(crate) fn acked(&self) -> u64 {
        self.distance(self.ack_seq, self.ack_wraps)
    }

    /// Position of `last_seq` in the 64-bit space in which `delivered + start_seq` lives.
    pub(crate) fn last_full(&self) -> u64 {
        full(self.last_seq, self.seq_wraps)
    }

    /// Notes an acknowledgement of what this endpoint sent (Zeek `update_ack_seq`).
    #[inline(always)]
    pub(crate) fn acknowledged(&mut self, ack: u32) {
        let delta = ack.wrapping_sub(self.ack_seq).cast_signed();
        if delta > 0 && !(ack == 0 && delta > TOO_LARGE_DELTA) {
            if ack < self.ack_seq {
                self.ack_wraps = self.ack_wraps.wrapping_add(1);
            }
            self.ack_seq = ack;
            self.repeats = 0;
        }
    }

    /// Notes the end of a segment it sent; true when it repeats payload (Zeek `update_last_seq`).
    #[inline(always)]
    pub(crate) fn sent_up_to(&mut self, end: u32, syn_or_rst: bool, fin: bool, payload: u32) -> bool {
        let delta = end.wrapping_sub(self.last_seq).cast_signed();
        if syn_or_rst && !(-TOO_LARGE_DELTA..=TOO_LARGE_DELTA).contains(&delta) {
            return false;
        }
        let only_syn_so_far = self.last_seq == self.start_seq.wrapping_add(1);
        if !(fin && only_syn_so_far) {
            if self.state == State::Reset {
                return false;
            }
            if delta <= 0 {
                return payload > 0;
            }
        }
        if end < self.last_seq {
            self.seq_wraps = self.seq_wraps.wrapping_add(1);
        }
        self.last_seq = end;
        false
    }

    /// Takes in the highest sequence number and acknowledgement that counters tell of (live path). Before this
    /// endpoint's first segment they wait in the fields of the stream that is not followed there.
    pub(crate) fn counted_up_to(&mut self, end: Option<u32>, ack: Option<u32>) {
        if self.state == State::Inactive {
            self.early(end, ack);
            return;
        }
        if let Some(end) = end {
            self.sent_up_to(end, true, false, 0);
        }
        if let Some(ack) = ack {
            self.acknowledged(ack);
        }
    }

    /// What counters told before the first segment came.
    pub(crate) fn apply_early_counts(&mut self) {
        if self.has(EARLY_COUNTS) {
            let (end, ack) = ((self.delivered >> 32) as u32, self.delivered as u32);
            if end != 0 {
                self.sent_up_to(end, true, false, 0);
            }
            if ack != 0 {
                self.acknowledged(ack);
            }
            self.delivered = 0;
            self.marks &= !EARLY_COUNTS;
        }
    }

    /// Keeps counters for later in the field of the stream that is not followed on the live path; 0 stands for none.
    fn early(&mut self, end: Option<u32>, ack: Option<u32>) {
        if self.has(NOT_FOLLOWED) {
            let end = end.unwrap_or((self.delivered >> 32) as u32);
            let ack = ack.unwrap_or(self.delivered as u32);
            self.delivered = u64::from(end) << 32 | u64::from(ack);
            self.set(EARLY_COUNTS);
        }
    }

    /// Relative sequence number up to which it was acknowledged and forgotten (Zeek `trim_seq`).
    pub(crate) fn trimmed(&self) -> u64 {
        self.delivered.wrapping_sub(i64::from(self.held).cast_unsigned())
    }

    /// Sets [`Self::trimmed`].
    pub(crate) fn trim_to(&mut self, seq: u64) {
        let held = self.delivered.wrapping_sub(seq).cast_signed();
        self.held = i32::try_from(held).unwrap_or(if held > 0 { i32::MAX } else { i32::MIN });
    }

    /// Moves `delivered` on to `seq`; what was forgotten stays where it is.
    pub(crate) fn deliver_to(&mut self, seq: u64) {
        if seq > self.delivered {
            let trimmed = self.trimmed();
            self.delivered = seq;
            self.trim_to(trimmed);
        }
    }

    /// Payload bytes by sequence numbers (Zeek `TCP_Endpoint::Size`).
    pub(crate) fn size(&self, peer: State) -> u64 {
        let aborted_half_open =
            self.previous() == State::SynSent && self.state == State::Reset && peer == State::Inactive;
        if aborted_half_open && !self.no_data_acked() {
            return 0;
        }
        let end = self.last_full().max(full(self.ack_seq, self.ack_wraps));
        let size = end.wrapping_sub(u64::from(self.start_seq)).saturating_sub(1);
        size.saturating_sub(u64::from(self.has(SENT_FIN)))
    }
}

/// A sequence number that went round `wraps` times.
fn full(seq: u32, wraps: u16) -> u64 {
    u64::from(wraps) << 32 | u64::from(seq)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_and_a_kind_share_a_byte() {
        let mut end = Endpoint::new(true);
        for state in STATES {
            for kind in KINDS {
                end.set_kind(kind);
                end.set_previous(state);
                assert_eq!((end.previous(), end.kind()), (state, kind));
            }
        }
    }

    #[test]
    fn sizes_leave_out_syn_and_fin() {
        let mut end = Endpoint::new(true);
        end.start_at(100, 101);
        assert_eq!(end.size(State::Established), 0);
        assert!(!end.sent_up_to(111, false, false, 10));
        assert_eq!(end.size(State::Established), 10);
        end.set(SENT_FIN);
        end.sent_up_to(112, false, true, 0);
        assert_eq!(end.size(State::Established), 10);
    }

    #[test]
    fn sequence_numbers_go_round() {
        let mut end = Endpoint::new(true);
        end.start_at(u32::MAX - 1, u32::MAX);
        end.sent_up_to(99, false, false, 100);
        assert_eq!((end.seq_wraps, end.size(State::Established)), (1, 100));
        assert_eq!(end.relative_seq(99), (101, false));
    }

    #[test]
    fn a_segment_before_the_start_is_an_underflow() {
        let mut end = Endpoint::new(true);
        end.start_at(1000, 1001);
        assert!(end.relative_seq(990).1);
    }

    #[test]
    fn rst_far_away_does_not_move_the_sequence() {
        let mut end = Endpoint::new(true);
        end.start_at(0, 1);
        end.sent_up_to(5_000_000, true, false, 0);
        assert_eq!(end.last_seq, 1);
    }
}

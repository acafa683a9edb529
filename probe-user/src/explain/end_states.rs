//! States of both ends of a connection, as RFC 9293 3.3.2 names them, inferred from the segments that pass one place.
//!
//! What an end sends shows its state. What is sent to it is seen on its way only: the state that it leads to is assumed until
//! the end shows it, or shows that it did not arrive. Nothing is said of an end that has shown nothing.
//!
//! Must not know: connection records, how states are shown.

use probe_ebpf::layout::{ACK, FIN, RST, SYN, SegmentRecord};

/// A state of RFC 9293 3.3.2. LISTEN is never seen on the wire, nor is a CLOSED that nobody asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// Nothing seen tells.
    Unknown,
    /// It sent a SYN (3.10.1).
    SynSent,
    /// It answered a SYN (3.10.7.2), or received one while its own is open (3.10.7.3).
    SynReceived,
    /// Its SYN is acknowledged and it has the other's (3.10.7.3, 3.10.7.4).
    Established,
    /// It sent FIN first (3.10.4).
    FinWait1,
    /// That FIN is acknowledged (3.10.7.4).
    FinWait2,
    /// It received FIN first (3.10.7.4).
    CloseWait,
    /// Both sent FIN, and its own is not acknowledged (3.10.7.4).
    Closing,
    /// It received FIN and sent its own (3.10.4).
    LastAck,
    /// It closed first, and both FINs are acknowledged (3.10.7.4).
    TimeWait,
    /// It reset (3.10.5, 3.10.7.1), was reset (3.10.7.3, 3.10.7.4), or its last FIN is acknowledged (3.10.7.4).
    Closed,
}

impl State {
    /// The name in RFC 9293; `?` where nothing is known.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "?",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RCVD",
            Self::Established => "ESTABLISHED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::CloseWait => "CLOSE-WAIT",
            Self::Closing => "CLOSING",
            Self::LastAck => "LAST-ACK",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
        }
    }
}

/// State of one end, and how sure it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndState {
    /// The state.
    pub state: State,
    /// What leads there was seen on its way to this end, which has not shown that it arrived.
    pub is_assumed: bool,
}

impl std::fmt::Display for EndState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.is_assumed { f.pad(&format!("{}?", self.state.as_str())) } else { f.pad(self.state.as_str()) }
    }
}

/// What a segment shows beyond the states.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Remark {
    /// An RST that does not bear the next number its receiver awaits: a challenge ACK answers it, or nothing does
    /// (RFC 5961 3.2).
    RstNotExact,
    /// An RST that does not acknowledge the SYN: in SYN-SENT nobody takes it (RFC 9293 3.10.7.3).
    RstIgnored,
    /// Its sender goes on after an RST in its name: another host sent that.
    GoesOnAfterOwnRst,
    /// Its sender acknowledges what came after an RST to it: the RST did not end the connection there.
    GoesOnAfterRst,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
enum Opened {
    #[default]
    No,
    Assumed,
    Shown,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Reset {
    #[default]
    No,
    /// It sent an RST.
    Own,
    /// An RST is on its way to it; its sender's next number then.
    ByPeer(Option<u32>),
}

/// What may have been sent and not been seen here: the largest window (RFC 7323 2.3), bytes.
const MOST_AHEAD: i32 = 1 << 30;

/// What one end has shown.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    /// Initial sequence number.
    syn: Option<u32>,
    /// Its last SYN acknowledges another.
    is_syn_ack: bool,
    /// Highest acknowledgement that it sent: RCV.NXT, as shown.
    acked: Option<u32>,
    /// Number after the last that it sent.
    next: Option<u32>,
    /// Number after its FIN.
    fin: Option<u32>,
    /// It had received the other's FIN when it sent its own.
    closed_second: bool,
    opened: Opened,
    reset: Reset,
}

impl End {
    fn has_acknowledged(&self, number: u32) -> bool {
        self.acked.is_some_and(|acked| reaches(acked, number))
    }
}

/// Whether a number is at or beyond another (RFC 9293 3.4).
fn reaches(number: u32, other: u32) -> bool {
    number.wrapping_sub(other).cast_signed() >= 0
}

fn raise(to: u32, number: &mut Option<u32>) {
    if number.is_none_or(|old| reaches(to, old)) {
        *number = Some(to);
    }
}

/// Follows both ends: client, then server.
#[derive(Clone, Copy, Debug, Default)]
pub struct EndStates {
    ends: [End; 2],
}

impl EndStates {
    /// Takes an RST that somebody else sent in the name of client or server: it tells nothing of that one.
    pub fn observe_foreign_reset(&mut self, record: &SegmentRecord, from_client: bool) -> Option<Remark> {
        let side = usize::from(!from_client);
        let own = self.ends[side].reset;
        let remark = self.reset(record, side);
        self.ends[side].reset = own;
        remark
    }

    /// Takes the next segment that passed, which client or server sent. Segments with a wrong checksum are not for here: no
    /// end takes them (RFC 9293 3.1).
    pub fn observe(&mut self, record: &SegmentRecord, from_client: bool) -> Option<Remark> {
        let side = usize::from(!from_client);
        if record.has(RST) {
            return self.reset(record, side);
        }
        if record.has(SYN) && self.ends[side].syn.is_some_and(|isn| isn != record.seq) {
            // A new connection of the same ports (RFC 9293 3.6.1).
            self.ends = <[End; 2]>::default();
        }
        let remark = self.went_on(record, side);
        if record.has(SYN) {
            self.opens(record, side);
        } else if record.has(ACK) {
            self.acknowledges(record, side);
        }
        let length = record.payload_len + u32::from(record.has(SYN)) + u32::from(record.has(FIN));
        let end_seq = record.seq.wrapping_add(length);
        if record.has(FIN) && self.ends[side].fin.is_none() {
            let others = self.ends[1 - side].fin;
            self.ends[side].closed_second = others.is_some_and(|fin| self.ends[side].has_acknowledged(fin));
            self.ends[side].fin = Some(end_seq);
        }
        raise(end_seq, &mut self.ends[side].next);
        remark
    }

    /// States of client and server now.
    pub fn now(&self) -> [EndState; 2] {
        [self.state(0), self.state(1)]
    }

    fn opens(&mut self, record: &SegmentRecord, side: usize) {
        let acknowledged = record.has(ACK).then_some(record.ack);
        let [own, other] = self.both(side);
        let is_repeated = own.is_syn_ack && acknowledged.is_some();
        own.syn = Some(record.seq);
        own.is_syn_ack = acknowledged.is_some();
        // Who repeats its SYN-ACK has not received what would have opened it.
        if own.opened == Opened::Assumed {
            own.opened = Opened::No;
        }
        if let Some(ack) = acknowledged {
            raise(ack, &mut own.acked);
            // SYN-SENT and a SYN-ACK of it: ESTABLISHED (3.10.7.3). Of one that is repeated the first has come to nothing.
            if other.syn.is_some_and(|isn| ack == isn.wrapping_add(1)) && other.opened != Opened::Shown {
                other.opened = if is_repeated { Opened::No } else { Opened::Assumed };
            }
        }
    }

    fn acknowledges(&mut self, record: &SegmentRecord, side: usize) {
        let [own, other] = self.both(side);
        // Of something that was never sent, or of another connection: nobody takes it (3.10.7.4).
        if other.next.is_some_and(|next| record.ack.wrapping_sub(next).cast_signed() > MOST_AHEAD) {
            return;
        }
        let first = other.syn.map(|isn| isn.wrapping_add(1));
        let carries = record.payload_len > 0 || record.has(FIN);
        raise(record.ack, &mut own.acked);
        let shows = match (own.syn, own.is_syn_ack) {
            // It has the other's SYN (3.10.7.3).
            (Some(_), false) => first.is_none_or(|first| reaches(record.ack, first)),
            // Something beyond the handshake: a host may repeat a bare ACK while it is half open (RFC 5961 4.2).
            (Some(_), true) => carries || first.is_some_and(|first| record.ack != first && reaches(record.ack, first)),
            (None, _) => false,
        };
        let seems = own.syn.is_none() && (carries || other.next == Some(record.ack));
        own.opened = match (shows, seems) {
            (true, _) => Opened::Shown,
            (false, true) => own.opened.max(Opened::Assumed),
            (false, false) => own.opened,
        };
        // SYN-RECEIVED and an ACK of its SYN: ESTABLISHED (3.10.7.4).
        let is_answer = other.is_syn_ack && other.syn.is_some_and(|isn| reaches(record.ack, isn.wrapping_add(1)));
        if is_answer {
            other.opened = other.opened.max(Opened::Assumed);
        }
    }

    fn reset(&mut self, record: &SegmentRecord, side: usize) -> Option<Remark> {
        let receiver = self.state(1 - side).state;
        let [own, other] = self.both(side);
        let is_taken = match receiver {
            State::Closed | State::Unknown => None,
            // Only one that acknowledges its SYN (3.10.7.3).
            State::SynSent => Some(record.has(ACK) && Some(record.ack) == other.next),
            // The next number that it awaits (3.10.7.4, RFC 5961 3.2): as it showed, or all that was sent to it.
            _ if other.acked.is_none() && own.next.is_none() => None,
            _ => Some(Some(record.seq) == other.acked || Some(record.seq) == own.next),
        };
        own.reset = Reset::Own;
        if is_taken == Some(true) && other.reset == Reset::No {
            other.reset = Reset::ByPeer(own.next);
        }
        let ignored = if receiver == State::SynSent { Remark::RstIgnored } else { Remark::RstNotExact };
        (is_taken == Some(false)).then_some(ignored)
    }

    /// What a segment without RST shows of an earlier RST.
    fn went_on(&mut self, record: &SegmentRecord, side: usize) -> Option<Remark> {
        let own = &mut self.ends[side];
        match own.reset {
            Reset::Own => {
                own.reset = Reset::No;
                Some(Remark::GoesOnAfterOwnRst)
            }
            Reset::ByPeer(Some(next)) if record.has(ACK) && record.ack != next && reaches(record.ack, next) => {
                own.reset = Reset::No;
                Some(Remark::GoesOnAfterRst)
            }
            Reset::No | Reset::ByPeer(_) => None,
        }
    }

    fn both(&mut self, side: usize) -> [&mut End; 2] {
        let [client, server] = &mut self.ends;
        if side == 0 { [client, server] } else { [server, client] }
    }

    fn state(&self, side: usize) -> EndState {
        let (own, other) = (&self.ends[side], &self.ends[1 - side]);
        let shown = |state| EndState { state, is_assumed: false };
        let assumed = |state| EndState { state, is_assumed: true };
        match own.reset {
            Reset::Own => return shown(State::Closed),
            Reset::ByPeer(_) => return assumed(State::Closed),
            Reset::No => {}
        }
        let has_fin = other.fin.is_some_and(|fin| own.has_acknowledged(fin));
        let is_finished = own.fin.is_some_and(|fin| other.has_acknowledged(fin));
        if own.fin.is_none() {
            return match (has_fin, own.opened) {
                (true, _) => shown(State::CloseWait),
                (false, Opened::No) => self.opening(side),
                (false, _) if other.fin.is_some() => assumed(State::CloseWait),
                (false, Opened::Assumed) => assumed(State::Established),
                (false, Opened::Shown) => shown(State::Established),
            };
        }
        match (own.closed_second, has_fin, is_finished) {
            (true, _, false) => shown(State::LastAck),
            (true, _, true) => assumed(State::Closed),
            (false, true, true) => shown(State::TimeWait),
            (false, true, false) => shown(State::Closing),
            (false, false, true) if other.fin.is_some() => assumed(State::TimeWait),
            (false, false, false) if other.fin.is_some() => assumed(State::Closing),
            (false, false, true) => assumed(State::FinWait2),
            (false, false, false) => shown(State::FinWait1),
        }
    }

    /// Of an end that has not been opened.
    fn opening(&self, side: usize) -> EndState {
        let (own, other) = (&self.ends[side], &self.ends[1 - side]);
        let (state, is_assumed) = match (own.syn, own.is_syn_ack) {
            (None, _) => (State::Unknown, false),
            (Some(_), true) => (State::SynReceived, false),
            // Both sent a SYN at once (3.5, figure 7).
            (Some(_), false) if other.syn.is_some() && !other.is_syn_ack => (State::SynReceived, true),
            (Some(_), false) => (State::SynSent, false),
        };
        EndState { state, is_assumed }
    }
}

#[cfg(test)]
mod tests;

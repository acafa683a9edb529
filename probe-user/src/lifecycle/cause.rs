//! Why a connection ended: rules over the evidence in order, the first that holds gives the verdict.
//!
//! The taxonomy and its passive evidence were measured on Linux and taken from RFC 9293, RFC 5961 and Weaver et al.
//! (NDSS 2009). What packets cannot separate is named as a group (`AppAbort`), with a confidence that says so. A rule that
//! does not hold says nothing: the last resort is `Unknown`.

use probe_ebpf::layout::{ACK, SegmentRecord};

use super::endpoint::{Kind, State};
use super::evidence::{Before, Rst, Seen};
use super::form::{self, Form};
use super::injection;
use super::track::{ORIG, RESP, TICK_SHIFT, Track};
use super::{Cause, Closing, Confidence, Evidence, Opening, Side, Value, Verdict, verdict};

/// What the rules look at.
pub(super) struct Case<'a> {
    pub(super) track: &'a Track,
    pub(super) sides: [&'a Side; 2],
    pub(super) opening: Opening,
    pub(super) closing: Closing,
    /// How long every segment had been seen before its first, nanoseconds.
    pub(super) watched_ns: u64,
    /// List what the verdict rests on.
    pub(super) evidence: bool,
    /// Names of the kernel's reasons, by number.
    pub(super) kernel_reasons: &'a [String],
}

/// The RST that ended it, with who sent it.
struct Reset<'a> {
    case: &'a Case<'a>,
    rst: &'a Rst,
    side: usize,
    form: Form,
}

type Rule = fn(&Reset<'_>) -> Option<(Cause, Confidence)>;

/// From what needs no interpretation to what does.
const RULES: &[Rule] = &[
    explained,
    after_close,
    refused,
    stale_syn,
    before_any_answer,
    without_connection,
    half_open,
    device_reset_both,
    forgotten_by_device,
    injected,
    challenge_confirmed,
    keep_alive_timeout,
    after_own_close,
    no_state,
    abort,
];

/// A request that crosses an idle close arrives within this time after the FIN.
const RACE_NS: u64 = 2_000_000_000;
/// A server that closes because of idleness was idle for at least this long.
const IDLE_NS: u64 = 1_000_000_000;
/// An early reply and the reset that follows it belong together within this time.
const SOON_NS: u64 = 50_000_000;
/// After a pause this long a device on the path may have forgotten a connection.
const PAUSE_NS: u64 = 30_000_000_000;
/// A silent connection is remembered for this long (Zeek `tcp_inactivity_timeout`).
const WATCHED_NS: u64 = 300_000_000_000;
/// RSTs to both ends within this time come from one device.
const BOTH_NS: u64 = 2_000_000;

/// The verdict on one connection.
pub(super) fn verdict(case: &Case<'_>) -> Verdict {
    if let Some(side) = verdict::first_rst(case.track)
        && let Some(rst) = case.track.rare().and_then(|rare| rare.rsts[side].as_ref())
    {
        let reset = Reset { case, rst, side, form: Form::of(&rst.record) };
        let found = RULES.iter().find_map(|rule| rule(&reset));
        let (cause, confidence) = found.unwrap_or((Cause::Unknown, Confidence::Low));
        let (cause, confidence) = reset.with_kernel(cause, confidence);
        let evidence = if case.evidence { reset.evidence() } else { Vec::new() };
        return Verdict { cause, confidence, evidence };
    }
    let (cause, confidence) = match case.closing {
        // Whether no answer came or none was seen, packets cannot tell.
        Closing::NeverAnswered => (Cause::NeverAnswered, Confidence::Medium),
        Closing::OneSided => (Cause::None, Confidence::Low),
        Closing::Vanished => (Cause::Vanished, Confidence::Medium),
        _ => (Cause::None, Confidence::High),
    };
    Verdict { cause, confidence, evidence: Vec::new() }
}

/// How long the connection had been idle when it was reset: the silence of who reset it, or, for a request that crossed
/// an idle close, the silence before the FIN. `None` below [`IDLE_NS`], where idleness explains nothing.
pub(super) fn idle_gap_ns(track: &Track, cause: Cause) -> Option<u64> {
    let side = verdict::first_rst(track)?;
    let rare = track.rare()?;
    let gap_ns = match (cause, &rare.sides[side].fin) {
        (Cause::KeepAliveRace, Some(fin)) => fin.idle_ns,
        _ => silence_ns(track, rare.rsts[side].as_ref()?),
    };
    (gap_ns >= IDLE_NS).then_some(gap_ns)
}

/// How long the sender of a RST had been silent before it, to about a millisecond. At least as long as all were.
fn silence_ns(track: &Track, rst: &Rst) -> u64 {
    if rst.sender.kind == Kind::Nothing {
        return rst.idle_ns;
    }
    let ticks = track.tick_of(rst.record.time_ns).saturating_sub(rst.sender.last_tick);
    rst.idle_ns.max(u64::from(ticks) << TICK_SHIFT)
}

/// 22: the RST's payload says why.
fn explained(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    if form::explained(reset.rst.note).is_some() {
        return Some((Cause::Explained, Confidence::High));
    }
    form::text(reset.rst.note).map(|_| (Cause::Explained, Confidence::Medium))
}

/// 15: both FINs before it, or a record of its own shortly after the end of the connection.
fn after_close(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    if reset.case.closing == Closing::TwoFins {
        return Some((Cause::RstAfterClose, Confidence::High));
    }
    let late = reset.case.track.after_end && reset.case.sides.iter().all(|side| side.syn + side.syn_ack == 0);
    late.then_some((Cause::RstAfterClose, Confidence::Medium))
}

/// 1, 2: the SYN was answered by an RST. Who answered shows in the TTL, if the server's own is known.
fn refused(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    if reset.case.closing != Closing::Refused || reset.side != RESP || reset.rst.sender_continued {
        return None;
    }
    if reset.ttl_differs() {
        return Some((Cause::RefusedByFirewall, Confidence::Medium));
    }
    let exact = reset.form == Form::Refuse && reset.rst.record.ack == reset.rst.peer.next_seq;
    Some((Cause::RefusedClosedPort, if exact { Confidence::Medium } else { Confidence::Low }))
}

/// 12: the server answered the SYN with a challenge ACK (RFC 5961 4.2), the client's host reset just what that named.
fn stale_syn(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    let challenged = reset.side == ORIG
        && reset.form == Form::Reply
        && reset.rst.sender.kind == Kind::Syn
        && reset.rst.peer.kind == Kind::PureAck
        && reset.rst.answers_peer
        && reset.rst.record.seq != reset.rst.sender.next_seq;
    challenged.then_some((Cause::StaleConnectionSyn, Confidence::High))
}

/// 4: the client reset its attempt before any answer.
fn before_any_answer(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    let alone = reset.side == ORIG && reset.case.opening == Opening::Unanswered;
    alone.then_some((Cause::SynThenRst, Confidence::Medium))
}

/// 20: nothing else was ever seen.
///
/// That there was no connection is sure only after everything had been seen for as long as a silent one is remembered;
/// before that, and where only control segments are seen, it may simply have begun earlier.
fn without_connection(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    let confidence = if reset.case.watched_ns >= WATCHED_NS { Confidence::Medium } else { Confidence::Low };
    (reset.case.closing == Closing::RstWithoutConnection).then_some((Cause::RstWithoutConnection, confidence))
}

/// 3: the client's host answered the SYN-ACK by an RST, as it knew of no connection.
fn half_open(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    if reset.case.opening != Opening::HalfOpen || reset.side != ORIG || reset.case.has_payload() {
        return None;
    }
    match reset.form {
        Form::Abort => Some((Cause::AbortNoData, Confidence::Low)),
        Form::Reply if reset.rst.record.seq == reset.rst.sender.start_seq.wrapping_add(1) => {
            Some((Cause::HalfOpenScan, Confidence::High))
        }
        _ => Some((Cause::HalfOpenScan, Confidence::Low)),
    }
}

/// 18: both ends got an RST at once, and no end resets in answer to an RST (RFC 9293 3.10.7.1).
fn device_reset_both(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    let other = reset.case.track.rare()?.rsts[1 - reset.side].as_ref()?;
    let apart = other.record.time_ns.saturating_sub(reset.rst.record.time_ns);
    // Both RSTs of another TTL: a host that was reset also answers data that come late, within the same time.
    let strange = reset.ttl_differs() && ttl_differs(&other.record, &other.sender);
    (apart <= BOTH_NS && strange).then_some((Cause::DeviceResetBoth, Confidence::Medium))
}

/// 17: marks of injection add up.
fn injected(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    // Its sender's own kernel said that it sent it.
    if reset.kernel_reason().is_some() {
        return None;
    }
    injection::suspicion(reset.rst, reset.form).map(|confidence| (Cause::InjectedSuspect, confidence))
}

/// 10, in the middle: after a pause, an RST that did not come from the host it names: a device forgot the connection.
fn forgotten_by_device(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    let strange = injection::is_of_another_host(reset.rst) && !reset.rst.sender_continued && !reset.rst.climbed;
    (strange && reset.rst.idle_ns >= PAUSE_NS).then_some((Cause::NoState, Confidence::Medium))
}

/// 13: an inexact RST was answered by a challenge ACK, and then sent again as asked (RFC 5961 3.2).
fn challenge_confirmed(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    (reset.rst.confirmed && !reset.rst.sender.fin).then_some((Cause::ChallengeConfirmed, Confidence::High))
}

/// 11: at least two probes without answer, then an abort at SND.NXT.
fn keep_alive_timeout(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    let gave_up = reset.form == Form::Abort && reset.rst.sender.probes >= 2;
    gave_up.then_some((Cause::KeepAliveTimeout, Confidence::High))
}

/// 8, 9, 9a, 14: the sender had sent a FIN; then something of the peer made its host reply by RST.
fn after_own_close(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    let own_fin = reset.fin_of(reset.side)?;
    if reset.form != Form::Reply || !reset.rst.sender.fin {
        return None;
    }
    let trigger = reset.rst.peer.kind;
    if trigger == Kind::PureAck && reset.rst.answers_peer {
        return Some((Cause::Linger2, Confidence::Medium));
    }
    let after_fin = reset.rst.record.time_ns.saturating_sub(own_fin.time_ns());
    if reset.side == RESP && own_fin.idle_ns >= IDLE_NS && after_fin <= RACE_NS && trigger == Kind::Data {
        return Some((Cause::KeepAliveRace, Confidence::Medium));
    }
    let peer_kept_sending = trigger == Kind::Data && reset.case.sides[1 - reset.side].payload_bytes > 0;
    if reset.side == ORIG && peer_kept_sending && !reset.rst.peer.fin {
        return Some((Cause::ClientAbortDownload, Confidence::Medium));
    }
    let exact = reset.rst.record.seq == reset.rst.sender.next_seq;
    Some((Cause::DataAfterClose, if exact && peer_kept_sending { Confidence::High } else { Confidence::Medium }))
}

/// 10: a reply although the sender had neither closed nor reset: it no longer knows the connection.
fn no_state(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    let forgot = reset.form == Form::Reply
        && !reset.rst.sender.fin
        && matches!(reset.rst.peer.kind, Kind::Data | Kind::KeepAlive | Kind::PureAck | Kind::Fin);
    // Without a pause before, a stack that aborts by a bare RST (macOS) would look the same.
    let paused = silence_ns(reset.case.track, reset.rst) >= IDLE_NS;
    let sure = paused && matches!(reset.rst.peer.kind, Kind::Data | Kind::KeepAlive);
    forgot.then_some((Cause::NoState, if sure { Confidence::Medium } else { Confidence::Low }))
}

/// 5, 6, 7, 8, 16: the application or its kernel decided so; what was on the way tells more.
fn abort(reset: &Reset<'_>) -> Option<(Cause, Confidence)> {
    if !matches!(reset.form, Form::Abort | Form::Other) {
        return None;
    }
    // Without window and options, as other stacks than Linux abort: at least the number must be exact.
    let exact = reset.rst.record.has(ACK) && reset.rst.record.seq == reset.rst.sender.next_seq;
    // Of another TTL than its sender's own segments: perhaps another route, perhaps another host.
    let known = (reset.form == Form::Abort || exact) && !injection::is_of_another_host(reset.rst);
    let least = |confidence: Confidence| if known { confidence } else { Confidence::Low };
    if !reset.case.has_payload() {
        return Some((Cause::AbortNoData, least(Confidence::Medium)));
    }
    let (own, peer) = (reset.case.sides[reset.side], reset.case.sides[1 - reset.side]);
    if reset.side == RESP && own.payload_bytes > 0 && reset.replied_early() {
        return Some((Cause::ServerReplyThenReset, least(Confidence::Medium)));
    }
    // The server's payload came last and just now, or some of it was still on the way when the client gave up.
    let in_flight = reset.rst.peer.next_seq.wrapping_sub(reset.rst.record.ack).cast_signed() > 0;
    let came_last = reset.rst.peer.kind == Kind::Data && reset.rst.idle_ns <= reset.soon_ns();
    let server_was_sending = came_last || in_flight && reset.form == Form::Abort;
    if reset.side == ORIG && server_was_sending && !reset.rst.peer.fin && peer.payload_bytes > own.payload_bytes {
        return Some((Cause::ClientAbortDownload, least(Confidence::Medium)));
    }
    Some((Cause::AppAbort, least(Confidence::Medium)))
}

fn ttl_differs(record: &SegmentRecord, sender: &Before) -> bool {
    sender.kind != Kind::Nothing && sender.ttl != 0 && record.ttl != sender.ttl
}

impl Case<'_> {
    fn has_payload(&self) -> bool {
        self.sides.iter().any(|side| side.payload_bytes > 0)
    }
}

impl Reset<'_> {
    fn ttl_differs(&self) -> bool {
        ttl_differs(&self.rst.record, &self.rst.sender)
    }

    /// Name of the reason that the sender's own kernel gave (`enum sk_rst_reason`), and whether a segment provoked it.
    fn kernel_reason(&self) -> Option<(&str, bool)> {
        let kernel = self.rst.kernel?;
        let name = self.case.kernel_reasons.get(usize::from(kernel.reason)).map_or("unknown", String::as_str);
        Some((name, kernel.provoked))
    }

    /// The kernel's word decides between what packets leave open, and makes sure of what it agrees with.
    fn with_kernel(&self, cause: Cause, confidence: Confidence) -> (Cause, Confidence) {
        let Some((reason, _)) = self.kernel_reason() else { return (cause, confidence) };
        let decided = match reason {
            "TCP_KEEPALIVE_TIMEOUT" => Cause::KeepAliveTimeout,
            "NO_SOCKET" if cause == Cause::RefusedByFirewall => Cause::RefusedClosedPort,
            "NO_SOCKET" if cause == Cause::Unknown => Cause::NoState,
            "TCP_TIMEWAIT_SOCKET" if cause == Cause::Unknown => Cause::DataAfterClose,
            "TCP_ABORT_ON_CLOSE" | "TCP_ABORT_ON_MEMORY" | "TCP_DISCONNECT_WITH_DATA" if cause == Cause::Unknown => {
                Cause::AppAbort
            }
            _ => cause,
        };
        let agrees = match reason {
            "TCP_KEEPALIVE_TIMEOUT" => true,
            "NO_SOCKET" => matches!(
                decided,
                Cause::RefusedClosedPort
                    | Cause::NoState
                    | Cause::HalfOpenScan
                    | Cause::StaleConnectionSyn
                    | Cause::DataAfterClose
                    | Cause::RstAfterClose
            ),
            "TCP_TIMEWAIT_SOCKET" => matches!(
                decided,
                Cause::DataAfterClose | Cause::ClientAbortDownload | Cause::RstAfterClose | Cause::KeepAliveRace
            ),
            "TCP_ABORT_ON_CLOSE" | "TCP_ABORT_ON_MEMORY" | "TCP_STATE" | "TCP_DISCONNECT_WITH_DATA" => matches!(
                decided,
                Cause::AppAbort | Cause::AbortNoData | Cause::ClientAbortDownload | Cause::ServerReplyThenReset
            ),
            "TCP_ABORT_ON_DATA" | "TCP_ABORT_ON_LINGER" => {
                matches!(decided, Cause::Linger2 | Cause::DataAfterClose | Cause::ClientAbortDownload)
            }
            _ => false,
        };
        (decided, if agrees { Confidence::High } else { confidence })
    }

    fn fin_of(&self, side: usize) -> Option<&Seen> {
        self.case.track.rare()?.sides[side].fin.as_ref()
    }

    /// What comes within this time belongs together: a few round trips of this connection, at least [`SOON_NS`].
    fn soon_ns(&self) -> u64 {
        (u64::from(self.case.track.handshake_us) * 4000).max(SOON_NS)
    }

    /// The server had replied, and the client's payload kept coming after the reply: it came last, the server
    /// acknowledged it after its reply, or the RST itself does.
    fn replied_early(&self) -> bool {
        let since_reply = self.case.track.tick_of(self.rst.record.time_ns).saturating_sub(self.rst.sender.last_tick);
        let soon = u64::from(since_reply) << TICK_SHIFT <= self.soon_ns();
        let acknowledges_more = self.rst.record.ack.wrapping_sub(self.rst.peer.acked).cast_signed() > 0;
        let came_after = match self.rst.sender.kind {
            Kind::Data if self.rst.answers_peer && self.rst.peer.kind == Kind::Data => true,
            Kind::Data => acknowledges_more && self.rst.record.has(ACK),
            Kind::PureAck => true,
            _ => false,
        };
        soon && came_after && !self.rst.peer.fin
    }

    /// The facts, weightiest first.
    fn evidence(&self) -> Vec<Evidence> {
        let mut facts = Vec::with_capacity(8);
        let mut fact = |name: &'static str, value: Value| facts.push(Evidence { name, value });
        let rst = self.rst;
        if let Some((reason, provoked)) = self.kernel_reason() {
            fact("kernel.reason", Value::Text(reason.into()));
            fact("kernel.provoked_by_segment", Value::Flag(provoked));
        }
        fact("rst.form", Value::Word(self.form.as_str()));
        if let Some(text) = form::explained(rst.note).or_else(|| form::text(rst.note)) {
            fact("rst.note", Value::Text(text.into()));
        }
        for mark in injection::marks(rst, self.form) {
            fact("rst.mark", Value::Word(mark.name));
        }
        if rst.peer.kind != Kind::Nothing {
            fact("rst.after", Value::Word(kind_name(rst, self.side)));
        }
        fact("rst.idle_ms", Value::Milliseconds(rst.idle_ns));
        let silence_ns = silence_ns(self.case.track, rst);
        if silence_ns >= IDLE_NS && silence_ns > rst.idle_ns {
            fact("rst.sender_silent_ms", Value::Milliseconds(silence_ns));
        }
        if self.case.closing == Closing::Refused || self.case.opening == Opening::Unanswered {
            let since = rst.record.time_ns.saturating_sub(self.case.track.start_ns);
            fact("rst.after_syn_ms", Value::Milliseconds(since));
        }
        if let Some(fin) = self.fin_of(self.side).filter(|_| rst.sender.fin) {
            fact("fin.idle_ms", Value::Milliseconds(fin.idle_ns));
            fact("rst.after_fin_ms", Value::Milliseconds(rst.record.time_ns.saturating_sub(fin.time_ns())));
        }
        if rst.sender.probes > 0 {
            fact("keepalive.probes", Value::Number(rst.sender.probes.into()));
        }
        if self.ttl_differs() {
            fact("rst.ttl", Value::Instead(rst.record.ttl.into(), rst.sender.ttl.into()));
        }
        if rst.sender.state != State::Inactive {
            let offset = rst.record.seq.wrapping_sub(rst.sender.next_seq).cast_signed();
            fact("rst.seq_offset", Value::Number(offset.into()));
        }
        if rst.distinct > 1 {
            fact("rst.distinct_seqs", Value::Number(rst.distinct.into()));
        }
        if self.case.track.handshake_us > 0 {
            fact("handshake_ms", Value::Milliseconds(u64::from(self.case.track.handshake_us) * 1000));
        }
        facts
    }
}

/// What came directly before the RST, and from whom.
fn kind_name(rst: &Rst, side: usize) -> &'static str {
    let (kind, of_client) =
        if rst.answers_peer { (rst.peer.kind, side == RESP) } else { (rst.sender.kind, side == ORIG) };
    match (kind, of_client) {
        (Kind::Nothing, _) => "nothing",
        (Kind::Syn, true) => "client_syn",
        (Kind::Syn, false) => "server_syn",
        (Kind::SynAck, true) => "client_syn_ack",
        (Kind::SynAck, false) => "server_syn_ack",
        (Kind::PureAck, true) => "client_ack",
        (Kind::PureAck, false) => "server_ack",
        (Kind::Data, true) => "client_data",
        (Kind::Data, false) => "server_data",
        (Kind::Fin, true) => "client_fin",
        (Kind::Fin, false) => "server_fin",
        (Kind::Rst, true) => "client_rst",
        (Kind::Rst, false) => "server_rst",
        (Kind::KeepAlive, true) => "client_keepalive",
        (Kind::KeepAlive, false) => "server_keepalive",
    }
}

//! Verdicts: why a connection ended and what was lost. Rules in order; the first that holds is the cause.
//!
//! * [`unacknowledged`]: what each side sent and what of it was never acknowledged: the same wherever one watches.
//! * [`opening`], [`closing`], [`abort`], [`forgotten`], [`forged`], [`silence`]: the rules, by family.
//! * [`kernel`]: what the resetting host's own kernel says, which decides; [`host_kernel`]: what it says of ends without RST.
//! * [`impact`]: what was lost.
//! * [`facts`]: what a verdict rests on, for people.
//!
//! The enum [`crate::record::Cause`] is in `record/connection.rs`, ids and texts are in `record/names.rs`.
//!
//! The taxonomy was measured on Linux and with real programs, and taken from RFC 9293, RFC 5961 and Weaver et al. (NDSS
//! 2009). What packets cannot separate is named as a group (`AppAbort`), with a confidence that says so. A rule that does not
//! hold says nothing: the last resort is `Unknown`.

#![expect(clippy::inline_always, reason = "a record and its verdict are compiled as one")]

pub(crate) mod abort;
mod closing;
mod facts;
mod forged;
mod forgotten;
mod host_kernel;
mod impact;
pub(crate) mod injection;
mod kernel;
mod opening;
pub(crate) mod outcome;
pub(crate) mod rst_form;
mod silence;
mod unacknowledged;

use probe_ebpf::{
    layout::{ACK, SegmentRecord},
    parse::ALERT_IN_CLEAR,
};

use crate::record::{Basis, Cause, Closing, Confidence, Opening, ResetBy, Side, Verdict};
use crate::tcp::close_details::{PayloadOrder, Rst, Seen};
use crate::tcp::endpoint::Kind;
use crate::tcp::marks::TICK_SHIFT;
use crate::tcp::state_before::StateBefore;
use crate::tcp::track::{Counting, Track};
use crate::tracker::icmp::IcmpReport;
use crate::tracker::kernel_reports::Said;
use crate::tracker::process::Process;
use crate::tracker::reset_options::ResetOptions;
pub(crate) use facts::doubted;
use rst_form::Form;
pub(crate) use unacknowledged::Unacknowledged;

/// What the rules look at.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub(crate) struct Case<'a> {
    pub(crate) track: &'a Track,
    /// The client's side.
    pub(crate) client: usize,
    /// Who is client is a guess.
    pub(crate) is_guess: bool,
    /// By side: originator, responder.
    pub(crate) sides: [&'a Side; 2],
    pub(crate) opening: Opening,
    pub(crate) closing: Closing,
    /// How long every segment had been seen before its first, nanoseconds.
    pub(crate) watched_ns: u64,
    /// Both directions of some connection were seen: a missing answer says something.
    pub(crate) both_ways: bool,
    /// A new connection took its place within a second.
    pub(crate) is_cut_short: bool,
    /// Every acknowledgement was seen, unless it was lost on the way here.
    pub(crate) acks_seen: bool,
    /// List what the verdict rests on.
    pub(crate) facts: bool,
    /// The process of the host that reset it.
    pub(crate) process: Option<&'a Process>,
    /// What was said of it by ICMP.
    pub(crate) icmp: Option<IcmpReport>,
    /// What the first RST of each side said beyond its header.
    pub(crate) said: [Option<&'a ResetOptions>; 2],
    /// Names of the kernel's reasons, by number.
    pub(crate) kernel_reasons: &'a [String],
    /// By side: what the host's kernel says besides.
    pub(crate) kernel_said: Option<[Said; 2]>,
    /// Names of the reasons for which it drops segments, by number.
    pub(crate) drop_reasons: &'a [String],
    /// By side: it is this host, and its kernel did not speak of the RST.
    pub(crate) is_kernel_silent: [bool; 2],
    /// Filled in by [`verdict`].
    pub(crate) unacknowledged: Unacknowledged,
}

/// The RST that ended it, with who sent it.
pub(crate) struct Reset<'a> {
    case: &'a Case<'a>,
    rst: &'a Rst,
    side: usize,
    form: Form,
}

/// What a rule finds: why, how sure, and who ended it where that is not who sent the RST.
type Finding = (Cause, Confidence, Option<ResetBy>);

/// What the first rule that holds says. Not a loop: most rules end at their first look, which is not worth a call.
macro_rules! first_that_holds {
    ($reset:expr, $($rule:path),+ $(,)?) => {
        None$(.or_else(|| $rule($reset)))+
    };
}

/// From what needs no interpretation to what does.
fn by_rules(reset: &Reset<'_>) -> Option<Finding> {
    first_that_holds!(
        reset,
        opening::nothing_but_one,
        abort::explained,
        closing::tls_alert,
        closing::close_notify,
        closing::after_both_closed,
        opening::ignored_while_opening,
        opening::refused,
        opening::stale_syn,
        opening::before_any_answer,
        opening::without_connection,
        opening::accept_queue_full,
        opening::half_open,
        forged::device_reset_both,
        forgotten::by_device,
        forged::injected,
        forged::too_soon,
        forgotten::challenge_confirmed,
        forgotten::keep_alive_timeout,
        forgotten::retransmission_timeout,
        closing::after_own_close,
        closing::orphan,
        forgotten::no_state,
        abort::abort,
    )
}

/// A server that closes because of idleness was idle for at least this long.
const IDLE_NS: u64 = 1_000_000_000;
/// An early reply and the reset that follows it belong together within this time.
const SOON_NS: u64 = 50_000_000;
/// After a pause this long a device on the path may have forgotten a connection.
const PAUSE_NS: u64 = 30_000_000_000;
/// A silent connection is remembered for this long (Zeek `tcp_inactivity_timeout`).
const WATCHED_NS: u64 = 300_000_000_000;
/// Who waited for an answer for at least so long gave up, where no answer had come before.
const PATIENCE_NS: u64 = 800_000_000;
/// Acknowledgements lag behind by a few segments where segments are only counted, bytes.
const COUNTED_LAG: i32 = 4096;

/// The verdict, and the payload bytes of client and server that were lost. Compiled into the making of records: what is
/// returned would be copied.
#[inline(always)]
pub(crate) fn verdict(case: &mut Case<'_>) -> (Verdict, ResetBy, [u64; 2]) {
    case.unacknowledged = Unacknowledged::of(case);
    let case = &*case;
    let Some(reset) = case.first_reset() else {
        let (cause, confidence) = silence::cause(case);
        let (impact, lost) = impact::of(case, cause, None);
        let facts = if case.facts { facts::of_silence(case, cause) } else { Vec::new() };
        return (Verdict { cause, confidence, impact, facts }, ResetBy::None, lost);
    };
    let (cause, confidence, by) = by_rules(&reset).unwrap_or((Cause::Unknown, Confidence::Low, None));
    let confidence = if reset.misses_something() { Confidence::Low } else { confidence };
    let (cause, confidence) = reset.with_kernel(cause, confidence);
    let confidence = if case.is_half_seen() { Confidence::Low } else { confidence };
    let by = by.unwrap_or_else(|| reset.ended_by(cause));
    let (impact, lost) = impact::of(case, cause, Some(&reset));
    let facts = if case.facts { reset.facts(cause) } else { reset.of_host() };
    (Verdict { cause, confidence, impact, facts }, by, lost)
}

/// How long the connection had been idle when it was reset: the silence of who reset it, or, for a request that crossed
/// an idle close, the silence before the FIN. `None` below [`IDLE_NS`], where idleness explains nothing.
pub(crate) fn idle_gap_ns(track: &Track, cause: Cause) -> Option<u64> {
    let side = outcome::first_rst(track)?;
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
        return rst.idle_ns.max(track.idle_before_ns());
    }
    let ticks = track.tick_of(rst.record.time_ns).saturating_sub(rst.sender.last_tick);
    rst.idle_ns.max(u64::from(ticks) << TICK_SHIFT)
}

#[expect(clippy::unnecessary_wraps, reason = "what a rule returns")]
fn found(cause: Cause, confidence: Confidence) -> Option<Finding> {
    Some((cause, confidence, None))
}

fn ttl_differs(record: &SegmentRecord, sender: &StateBefore) -> bool {
    sender.kind != Kind::Nothing && sender.ttl != 0 && record.ttl != sender.ttl
}

impl<'a> Case<'a> {
    /// The client's side.
    pub(crate) fn client(&self) -> usize {
        self.client
    }

    fn has_payload(&self) -> bool {
        [0, 1].into_iter().any(|side| self.has_spoken(side))
    }

    /// `side` sent payload, by its numbers or, where no SYN-ACK was seen, as counted.
    fn has_spoken(&self, side: usize) -> bool {
        self.sides[side].bytes > 0 || self.sides[side].payload_bytes > 0
    }

    /// Only one direction was ever seen, although there must have been another.
    pub(crate) fn is_half_seen(&self) -> bool {
        self.sides.iter().any(|side| side.packets == 0) && self.closing != Closing::NeverAnswered
    }

    /// Segments with payload reach the tracker, or are at least counted.
    fn sees_payload(&self) -> bool {
        self.track.counting.basis() != Basis::ControlOnly
    }

    fn first_reset(&'a self) -> Option<Reset<'a>> {
        let side = outcome::first_rst(self.track)?;
        let rst = self.track.rare()?.rsts[side].as_deref()?;
        Some(Reset { case: self, rst, side, form: Form::of(&rst.record) })
    }

    /// A round trip, as the handshake shows it wherever one watches; 0 when it was not seen.
    fn round_trip_ns(&self) -> u64 {
        self.track.round_trip().nanoseconds()
    }

    /// What comes within this time belongs together: a few round trips of this connection, at least [`SOON_NS`].
    fn soon_ns(&self) -> u64 {
        self.round_trip_ns().saturating_mul(4).clamp(SOON_NS, 10 * SOON_NS)
    }

    fn fin_of(&self, side: usize) -> Option<&Seen> {
        self.track.rare()?.sides[side].fin.as_ref()
    }

    /// The description of a fatal TLS alert that either side sent in the clear.
    fn tls_alert(&self) -> Option<u8> {
        [0, 1].into_iter().find_map(|side| self.track.odd(side).map(|odd| odd.tls_alert).filter(|&alert| alert != 0))
    }

    /// `side` sent a segment as long as an alert in the clear, which nobody read: the last thing it said.
    fn may_be_alert(&self, side: usize) -> bool {
        let late = self.track.rare().map(|rare| &rare.sides[side]);
        late.is_some_and(|late| late.late_len == ALERT_IN_CLEAR && late.late_note == 0)
    }

    /// The side whose FIN came first.
    fn closed_first(&self) -> Option<usize> {
        let time = |side: usize| self.fin_of(side).map(Seen::time_ns);
        match (time(0), time(1)) {
            (Some(orig), Some(resp)) => Some(usize::from(resp < orig)),
            (Some(_), None) => Some(0),
            (None, Some(_)) => Some(1),
            (None, None) => None,
        }
    }

    /// When `side` decided to end the connection: its FIN, or else its RST `rst`; who had spoken until then as seen here; and
    /// what of the other side it had received by then, where it says so.
    fn decision_of(&self, side: usize, rst: &Rst) -> (u64, PayloadOrder, Option<u32>) {
        match self.fin_of(side) {
            Some(fin) => (fin.time_ns(), fin.order, Some(fin.ack)),
            None => (rst.record.time_ns, rst.order, rst.record.has(ACK).then_some(rst.record.ack)),
        }
    }

    /// How long the client's last payload had been waiting for an answer when `side` decided to end the connection; `None`
    /// when it was answered. By what `side` had received, not by what had passed here: the same wherever one watches.
    fn waited_ns(&self, side: usize, rst: &Rst) -> Option<u64> {
        let (time_ns, order, received) = self.decision_of(side, rst);
        let client = self.client();
        if !self.has_spoken(client) {
            return None;
        }
        let is_waiting = match received {
            // Nothing of the answer had reached the client.
            Some(ack) if side == client && order.last() != Some(client) && self.knows_answers() => {
                let begins = self.track.answer_seq;
                let is_before = begins != 0 && ack.wrapping_sub(begins).cast_signed() <= 0;
                is_before && !self.has_left_counted_unread(rst)
            }
            // The request had reached the server.
            Some(ack) if side != client => {
                let asked = crate::tcp::payload_turns::payload_end(&self.track.ends[client]);
                order.last() == Some(client) && ack.wrapping_sub(asked).cast_signed() >= 0
            }
            _ => order.last() == Some(client),
        };
        is_waiting.then(|| self.since_tick(order.data_ticks[client], time_ns))
    }

    /// Answers are those of Zeek's responder: known where that is the server.
    fn knows_answers(&self) -> bool {
        self.client() == crate::tcp::marks::ORIG
    }

    /// Segments were only counted, so that what is taken for the begin of an answer may be that of its last segment, and the
    /// kernel of who closed says that something lay unread.
    fn has_left_counted_unread(&self, rst: &Rst) -> bool {
        self.track.counting != Counting::Whole && self.has_left_unread(rst)
    }

    /// Payload of the server had reached the client when `side` decided to end the connection, or had been sent by then where
    /// that is the server.
    fn has_received(&self, side: usize, rst: &Rst) -> bool {
        let server = 1 - self.client();
        let (_, order, received) = self.decision_of(side, rst);
        let first = self.track.ends[server].start_seq.wrapping_add(1);
        match received {
            Some(ack) if side != server => ack.wrapping_sub(first).cast_signed() > 0,
            _ => order.last().is_some() && self.sides[server].bytes > 0,
        }
    }

    /// Nanoseconds from tick `tick` of the connection to `time_ns`.
    fn since_tick(&self, tick: u32, time_ns: u64) -> u64 {
        u64::from(self.track.tick_of(time_ns).saturating_sub(tick)) << TICK_SHIFT
    }
}

impl Reset<'_> {
    fn is_by_client(&self) -> bool {
        self.side == self.case.client()
    }

    /// Something just before it was not seen, where all should have been: more was acknowledged than was sent.
    fn misses_something(&self) -> bool {
        let beyond = |ack: u32, end: &StateBefore| ack.wrapping_sub(end.next_seq).cast_signed() > 0;
        let Rst { record, sender, peer, .. } = self.rst;
        let is_abort = self.form == Form::Abort && !self.is_foreign();
        let is_missed =
            beyond(sender.acked, sender) || beyond(peer.acked, peer) || is_abort && beyond(record.ack, peer);
        self.case.track.counting == Counting::Whole && is_missed
    }

    /// A reply that comes long after anything that it could answer: what it answers was not seen. Rival: a stack that aborts by
    /// a bare RST (macOS).
    fn is_unprovoked(&self) -> bool {
        let prompt_ns = match self.case.round_trip_ns() {
            0 => IDLE_NS,
            round_trip_ns => self.case.soon_ns().max(round_trip_ns.saturating_mul(2)),
        };
        self.case.track.counting == Counting::Whole && self.form == Form::Reply && self.rst.idle_ns > prompt_ns
    }

    fn sender(&self) -> ResetBy {
        if self.is_by_client() { ResetBy::Client } else { ResetBy::Server }
    }

    /// The RST did not come from the host whose address it bears.
    fn is_foreign(&self) -> bool {
        injection::is_of_another_host(self.rst)
    }

    fn ttl_differs(&self) -> bool {
        ttl_differs(&self.rst.record, &self.rst.sender)
    }

    /// When the side that resets decided to end the connection: its FIN, or else its RST; and who had spoken until then.
    fn decision(&self) -> (u64, PayloadOrder) {
        let (time_ns, order, _) = self.case.decision_of(self.side, self.rst);
        (time_ns, order)
    }

    /// How long the client's last payload had been waiting for an answer when the connection was ended by who resets;
    /// `None` when it was answered.
    fn waited_ns(&self) -> Option<u64> {
        self.case.waited_ns(self.side, self.rst)
    }

    /// The server has not answered the last payload of the client.
    fn awaits_answer(&self) -> bool {
        self.waited_ns().is_some()
    }

    /// Something of the server's payload had reached who ended it, or had left it, and no request was open.
    fn has_answered(&self) -> bool {
        self.case.has_received(self.side, self.rst) && !self.awaits_answer()
    }

    /// `side` had been sending until just before the end.
    fn was_streaming(&self, side: usize) -> bool {
        let (time_ns, order) = self.decision();
        let is_recent = self.case.since_tick(order.data_ticks[side], time_ns) <= self.case.soon_ns();
        order.last() == Some(side) && is_recent && self.case.sides[side].bytes > 0 && self.in_flight(side)
    }

    /// The server's last payload, which was only counted, came just before its client closed with something unread, as the
    /// client's kernel says: that may be a part of an answer, or what a TLS server sends of its own accord.
    fn left_unread_what_is_not_known(&self) -> bool {
        let server = 1 - self.case.client();
        let (time_ns, order) = self.decision();
        let is_recent = self.case.since_tick(order.data_ticks[server], time_ns) <= self.case.soon_ns();
        let has_left = self.is_by_client() && self.case.has_left_counted_unread(self.rst);
        has_left && is_recent && self.case.sides[server].bytes > 0
    }

    /// Where segments are only counted, on a CPU for each direction: the RST itself tells of payload that came after its
    /// sender's last acknowledgement. Rival: acknowledgements that another CPU counted, and of which nothing is known in time.
    fn received_unacknowledged(&self) -> bool {
        let ahead = self.rst.record.ack.wrapping_sub(self.rst.peer.acked).cast_signed();
        let peer_spoke = self.decision().1.last() == Some(1 - self.side) && self.case.sides[1 - self.side].bytes > 0;
        let is_counted = self.case.track.counting != Counting::Whole && self.form == Form::Abort;
        is_counted && peer_spoke && self.rst.record.has(ACK) && ahead > COUNTED_LAG
    }

    /// Who spoke last could not send more, as the other side did not read.
    fn has_stuck_reader(&self) -> bool {
        self.decision().1.last().is_some_and(|speaker| self.is_stuck(1 - speaker))
    }

    /// The receive buffer of `side` was full, or nearly.
    fn is_stuck(&self, side: usize) -> bool {
        let counted = self.case.track.counting != Counting::Whole;
        let ever = || self.case.track.odd(side).is_some_and(|odd| odd.zero_windows > 0);
        self.rst.order.is_stuck(side) || counted && ever()
    }

    /// More than one segment of `side` was not acknowledged when the end was decided, or more came afterwards.
    fn in_flight(&self, side: usize) -> bool {
        let before = if side == self.side { &self.rst.sender } else { &self.rst.peer };
        let most = if self.case.track.counting == Counting::Whole { 1460 } else { COUNTED_LAG };
        before.next_seq.wrapping_sub(before.acked).cast_signed() > most
    }
}

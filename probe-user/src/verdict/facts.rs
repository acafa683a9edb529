//! Facts of a verdict for outputs: names and values, weightiest first.

use super::{Case, IDLE_NS, Reset, host_kernel, silence, silence_ns};
use crate::{
    record::{Cause, Closing, Confidence, Fact, Opening, Value, Verdict},
    tcp::{
        close_details::Rst,
        endpoint::{Kind, State},
        marks::TICK_SHIFT,
        payload_turns,
    },
    verdict::{injection, rst_form as form, rst_form::Form},
};

impl Reset<'_> {
    /// The facts, weightiest first.
    pub(crate) fn facts(&self, cause: Cause) -> Vec<Fact> {
        // More are rare, and many records may wait for the end with theirs.
        let mut facts = Vec::with_capacity(6);
        self.kernel_facts(&mut facts);
        host_kernel::facts(self.case, &mut facts);
        self.alert_facts(&mut facts);
        self.waiting_facts(cause, &mut facts);
        if cause == Cause::ServerReplyThenReset
            && let Some(word) = self.unread_after_reply()
        {
            facts.push(Fact { name: "request.unread", value: Value::Word(word) });
        }
        self.ledger_facts(&mut facts);
        self.rst_facts(&mut facts);
        facts
    }

    /// Those that are fields as well, and that few have: what its kernel says, and which process it was.
    pub(crate) fn of_host(&self) -> Vec<Fact> {
        let mut facts = Vec::new();
        if self.rst.kernel.is_some() || self.case.process.is_some() {
            self.kernel_facts(&mut facts);
        }
        facts
    }

    fn kernel_facts(&self, facts: &mut Vec<Fact>) {
        if let Some((reason, provoked)) = self.kernel_reason() {
            facts.push(Fact { name: "kernel.reason", value: Value::Text(reason.into()) });
            facts.push(Fact { name: "kernel.provoked_by_segment", value: Value::Flag(provoked) });
        }
        if self.is_unsent_by_tcp() {
            facts.push(Fact { name: "kernel.silent", value: Value::Flag(true) });
        }
        if let Some(process) = self.case.process {
            facts.push(Fact { name: "process.name", value: Value::Text(process.name.as_str().into()) });
            facts.push(Fact { name: "process.pid", value: Value::Number(process.pid.into()) });
            if let Some(cgroup) = &process.cgroup {
                facts.push(Fact { name: "process.cgroup", value: Value::Text(cgroup.as_str().into()) });
            }
        }
    }

    /// Who waited for whom, where that is the point.
    fn waiting_facts(&self, cause: Cause, facts: &mut Vec<Fact>) {
        let waits = matches!(cause, Cause::ClientGaveUp | Cause::RetransmissionTimeout | Cause::AcceptQueueFull);
        if !waits {
            return;
        }
        if let Some(waited_ns) = self.waited_ns() {
            facts.push(Fact { name: "waited_ms", value: Value::Milliseconds(waited_ns) });
            let usual = match payload_turns::answer_ns(self.case.track) {
                Some(usual_ns) => Value::Milliseconds(usual_ns),
                None => Value::Word("none"),
            };
            facts.push(Fact { name: "answer_after_ms", value: usual });
        }
        if self.rst.sender.repeats > 0 || self.rst.peer.repeats > 0 {
            let repeats = self.rst.sender.repeats.max(self.rst.peer.repeats);
            facts.push(Fact { name: "retransmissions", value: Value::Number(repeats.into()) });
        }
    }

    /// The alert by its number and name (RFC 8446 6.2).
    fn alert_facts(&self, facts: &mut Vec<Fact>) {
        facts.extend(self.case.tls_alert().map(alert_fact));
    }

    fn ledger_facts(&self, facts: &mut Vec<Fact>) {
        let client = self.case.client();
        for (name, side) in [("unacked_bytes.clt", client), ("unacked_bytes.srv", 1 - client)] {
            if let Some(open) = self.case.unacknowledged.unacked[side].filter(|&open| open > 0) {
                facts.push(Fact { name, value: Value::Number(open.into()) });
            }
        }
    }

    fn rst_facts(&self, facts: &mut Vec<Fact>) {
        let mut fact = |name: &'static str, value: Value| facts.push(Fact { name, value });
        let rst = self.rst;
        fact("rst.form", Value::Word(self.form.as_str()));
        if let Some(text) = form::explained(rst.note).or_else(|| form::text(rst.note)) {
            fact("rst.note", Value::Text(text.into()));
        }
        if let Some(said) = self.case.said[self.side] {
            if let Some(option) = said.option.name() {
                fact("rst.option", Value::Word(option));
            }
            if let Some(text) = said.printable() {
                fact("rst.text", Value::Text(text.into()));
            }
        }
        for mark in injection::marks(rst, self.form) {
            fact("rst.mark", Value::Word(mark.name));
        }
        if rst.peer.kind != Kind::Nothing {
            fact("rst.after", Value::Word(kind_name(rst, self.is_by_client())));
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
        if let Some(fin) = self.case.fin_of(self.side).filter(|_| rst.sender.has_sent_fin()) {
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
        if self.form == Form::Refuse || self.case.closing == Closing::Refused {
            let offset = rst.record.ack.wrapping_sub(rst.peer.next_seq).cast_signed();
            if offset != 0 {
                fact("rst.ack_offset", Value::Number(offset.into()));
            }
        }
        if rst.distinct > 1 {
            fact("rst.distinct_seqs", Value::Number(rst.distinct.into()));
        }
        let handshake = self.case.track.handshake();
        if handshake.is_known() {
            fact("handshake_ms", Value::Milliseconds(handshake.nanoseconds()));
        }
    }
}

fn alert_fact(description: u8) -> Fact {
    let value = match alert_name(description) {
        Some(name) => Value::Word(name),
        None => Value::Number(description.into()),
    };
    Fact { name: "tls.alert", value }
}

/// Names of RFC 8446 6 and of earlier versions.
fn alert_name(description: u8) -> Option<&'static str> {
    Some(match description {
        10 => "unexpected_message",
        20 => "bad_record_mac",
        22 => "record_overflow",
        40 => "handshake_failure",
        42 => "bad_certificate",
        43 => "unsupported_certificate",
        44 => "certificate_revoked",
        45 => "certificate_expired",
        46 => "certificate_unknown",
        47 => "illegal_parameter",
        48 => "unknown_ca",
        49 => "access_denied",
        50 => "decode_error",
        51 => "decrypt_error",
        70 => "protocol_version",
        71 => "insufficient_security",
        80 => "internal_error",
        86 => "inappropriate_fallback",
        90 => "user_canceled",
        109 => "missing_extension",
        110 => "unsupported_extension",
        112 => "unrecognized_name",
        113 => "bad_certificate_status_response",
        115 => "unknown_psk_identity",
        116 => "certificate_required",
        120 => "no_application_protocol",
        _ => return None,
    })
}

/// What the verdict on a connection without RST rests on.
pub(crate) fn of_silence(case: &Case<'_>, cause: Cause) -> Vec<Fact> {
    let mut facts = Vec::new();
    host_kernel::facts(case, &mut facts);
    facts.extend(by_packets(case, cause));
    facts
}

/// What packets say where no RST was seen.
fn by_packets(case: &Case<'_>, cause: Cause) -> Vec<Fact> {
    if let Some(report) = case.icmp.filter(|_| cause == Cause::IcmpUnreachable) {
        return vec![
            Fact { name: "icmp.error", value: Value::Word(report.error.name()) },
            Fact { name: "icmp.code", value: Value::Number(report.error.code.into()) },
            Fact { name: "icmp.from", value: Value::Text(report.reporter.to_string().into()) },
            Fact { name: "icmp.errors", value: Value::Number(report.errors.into()) },
        ];
    }
    if let Some(alert) = case.tls_alert().filter(|_| cause == Cause::TlsAlert) {
        return vec![alert_fact(alert)];
    }
    let gone = matches!(cause, Cause::Vanished | Cause::RetransmissionTimeout | Cause::AcceptQueueFull);
    let Some(side) = silence::unheard(case).filter(|_| gone) else { return Vec::new() };
    let end = &case.track.ends[side];
    let number = |name, value: u32| Fact { name, value: Value::Number(value.into()) };
    let silent_ticks = end.last_tick.saturating_sub(end.data_tick);
    let mut facts = vec![number("retransmissions", end.repeats.into())];
    if let Some(open) = case.unacknowledged.unacked[side] {
        facts.insert(0, number("unacked_bytes", open));
    }
    facts.push(Fact { name: "silent_ms", value: Value::Milliseconds(u64::from(silent_ticks) << TICK_SHIFT) });
    facts
}

/// What came directly before the RST, and from whom.
fn kind_name(rst: &Rst, is_by_client: bool) -> &'static str {
    let (kind, of_client) =
        if rst.answers_peer { (rst.peer.kind, !is_by_client) } else { (rst.sender.kind, is_by_client) };
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

/// The same verdict of a connection that was not watched all its life: what it rests on may not be all there was.
#[cold]
pub(crate) fn doubted(mut verdict: Verdict, unwatched_ns: u64) -> Verdict {
    verdict.confidence = Confidence::Low;
    verdict.facts.push(Fact { name: "unwatched_ms", value: Value::Milliseconds(unwatched_ns) });
    verdict
}

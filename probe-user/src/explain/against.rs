//! Discriminating facts: what of a connection's record speaks against a cause that it might be mistaken for.
//!
//! Each function holds one fact to the record and says nothing where the record does not have it.

use std::fmt::Display;

use crate::record::{Connection, Impact, Opening, ResetBy, Side, Value};

/// A fact of a connection that speaks against a cause.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Against {
    /// Name of the fact, or of the field of the record.
    pub fact: &'static str,
    /// Its value.
    pub value: String,
    /// Why it speaks against the cause.
    pub says: &'static str,
}

/// Looks for one fact.
pub(super) type Look = fn(&Connection) -> Option<Against>;

fn against(fact: &'static str, value: impl Display, says: &'static str) -> Option<Against> {
    when(true, fact, value, says)
}

fn when(holds: bool, fact: &'static str, value: impl Display, says: &'static str) -> Option<Against> {
    holds.then(|| Against { fact, value: value.to_string(), says })
}

fn value<'a>(one: &'a Connection, name: &str) -> Option<&'a Value> {
    one.verdict.facts.iter().find(|fact| fact.name == name).map(|fact| &fact.value)
}

fn is_word(one: &Connection, name: &str, word: &str) -> bool {
    matches!(value(one, name), Some(Value::Word(known)) if *known == word)
}

fn named(one: &Connection, name: &'static str, says: &'static str) -> Option<Against> {
    value(one, name).and_then(|value| against(name, value, says))
}

/// What who reset had sent; of a device's RST nobody.
fn resetter(one: &Connection) -> Option<&Side> {
    match one.reset_by {
        ResetBy::Client => Some(&one.from_orig),
        ResetBy::Server => Some(&one.from_resp),
        ResetBy::None | ResetBy::Middle | ResetBy::Unknown => None,
    }
}

fn form_is(one: &Connection, form: &'static str, says: &'static str) -> Option<Against> {
    is_word(one, "rst.form", form).then(|| Against { fact: "rst.form", value: form.to_owned(), says })
}

pub(super) fn is_abort(one: &Connection) -> Option<Against> {
    form_is(one, "abort", "a host that does not know the connection replies without ACK and window")
}

pub(super) fn is_reply(one: &Connection) -> Option<Against> {
    form_is(one, "reply", "an application's abort bears ACK and a window; this answers a segment that fits nothing")
}

pub(super) fn same_distance(one: &Connection) -> Option<Against> {
    let side = resetter(one)?;
    let is_known = side.ttl != 0 && side.rst_ttl == side.ttl;
    let says = "the same as its host's other segments: no device nearer or farther sent it";
    when(is_known, "rst.ttl", side.rst_ttl, says)
}

pub(super) fn other_distance(one: &Connection) -> Option<Against> {
    named(one, "rst.ttl", "it came from another distance than what the host itself sends")
}

pub(super) fn no_mark(one: &Connection) -> Option<Against> {
    let is_clean = one.rst_count() > 0 && value(one, "rst.form").is_some() && value(one, "rst.mark").is_none();
    when(is_clean, "rst.mark", "none", "no sign of another sender")
}

pub(super) fn marked(one: &Connection) -> Option<Against> {
    named(one, "rst.mark", "the host's own stack does not leave this")
}

pub(super) fn kernel_says(one: &Connection) -> Option<Against> {
    named(one, "kernel.reason", "the host's own kernel says that it sent the RST, and why")
}

pub(super) fn kernel_silent(one: &Connection) -> Option<Against> {
    named(one, "kernel.silent", "the host's TCP did not send it")
}

pub(super) fn never_opened(one: &Connection) -> Option<Against> {
    let is_closed = matches!(one.opening, Opening::Refused | Opening::Unanswered | Opening::HalfOpen);
    when(is_closed, "opening", one.opening, "there was no connection yet")
}

pub(super) fn opened(one: &Connection) -> Option<Against> {
    when(one.opening == Opening::Completed, "opening", one.opening, "the handshake was completed")
}

pub(super) fn no_syn_ack(one: &Connection) -> Option<Against> {
    when(
        one.from_resp.syn_ack == 0 && one.from_orig.syn > 0,
        "syn_ack.count",
        0,
        "the server never offered a connection",
    )
}

pub(super) fn syn_ack(one: &Connection) -> Option<Against> {
    when(one.from_resp.syn_ack > 0, "syn_ack.count", one.from_resp.syn_ack, "the server answered the SYN")
}

pub(super) fn by_client(one: &Connection) -> Option<Against> {
    when(one.reset_by == ResetBy::Client, "reset_by", one.reset_by, "the server did not send the RST")
}

pub(super) fn by_server(one: &Connection) -> Option<Against> {
    when(one.reset_by == ResetBy::Server, "reset_by", one.reset_by, "the client did not send the RST")
}

pub(super) fn no_rst(one: &Connection) -> Option<Against> {
    when(one.rst_count() == 0, "rst.count", 0, "no RST was seen")
}

pub(super) fn rst_seen(one: &Connection) -> Option<Against> {
    when(one.rst_count() > 0, "rst.count", one.rst_count(), "somebody did answer, by an RST")
}

pub(super) fn rst_to_one_end(one: &Connection) -> Option<Against> {
    let (client, server) = (one.from_orig.rst, one.from_resp.rst);
    match (client, server) {
        (0, 1..) => {
            against("rst.count.clt", 0, "the server was not sent an RST: a device that ends both sends one to each")
        }
        (1.., 0) => {
            against("rst.count.srv", 0, "the client was not sent an RST: a device that ends both sends one to each")
        }
        _ => None,
    }
}

pub(super) fn rst_to_both_ends(one: &Connection) -> Option<Against> {
    let (client, server) = (one.from_orig.rst, one.from_resp.rst);
    let both = format!("{client} in the client's name, {server} in the server's");
    let says = "both ends were reset: no end resets in answer to an RST (RFC 9293 3.10.7.1)";
    when(client > 0 && server > 0, "rst.count", both, says)
}

pub(super) fn own_fin(one: &Connection) -> Option<Against> {
    named(one, "rst.after_fin_ms", "who reset had closed before, and its host still knew that")
}

pub(super) fn no_own_fin(one: &Connection) -> Option<Against> {
    when(resetter(one)?.fin == 0, "fin.count", 0, "who reset had not closed before")
}

pub(super) fn both_fins(one: &Connection) -> Option<Against> {
    let (client, server) = (one.from_orig.fin, one.from_resp.fin);
    when(
        client > 0 && server > 0,
        "fin.count",
        format!("{client} of the client, {server} of the server"),
        "both sides had closed in order",
    )
}

pub(super) fn one_fin_only(one: &Connection) -> Option<Against> {
    let (client, server) = (one.from_orig.fin, one.from_resp.fin);
    when(
        (client > 0) != (server > 0),
        "fin.count",
        format!("{client} of the client, {server} of the server"),
        "only one side had closed",
    )
}

pub(super) fn no_fin(one: &Connection) -> Option<Against> {
    when(one.fin_count() == 0, "fin.count", 0, "nobody had closed before")
}

fn lost(one: &Connection) -> u64 {
    one.from_orig.lost_bytes.saturating_add(one.from_resp.lost_bytes)
}

pub(super) fn nothing_lost(one: &Connection) -> Option<Against> {
    when(
        one.verdict.impact == Impact::None && lost(one) == 0,
        "lost_bytes",
        0,
        "all payload that matters was acknowledged",
    )
}

pub(super) fn something_lost(one: &Connection) -> Option<Against> {
    when(
        lost(one) > 0,
        "lost_bytes",
        lost(one),
        "payload was discarded, which an end by habit or after all is done spares",
    )
}

pub(super) fn client_payload_lost(one: &Connection) -> Option<Against> {
    when(
        one.from_orig.lost_bytes > 0,
        "lost_bytes.clt",
        one.from_orig.lost_bytes,
        "what was discarded is the client's: the server left it unread",
    )
}

pub(super) fn server_payload_lost(one: &Connection) -> Option<Against> {
    when(
        one.from_resp.lost_bytes > 0,
        "lost_bytes.srv",
        one.from_resp.lost_bytes,
        "what was discarded is the server's: it was still sending",
    )
}

pub(super) fn server_payload_taken(one: &Connection) -> Option<Against> {
    when(
        one.from_resp.lost_bytes == 0 && one.from_resp.bytes > 0,
        "lost_bytes.srv",
        0,
        "nothing of the server's was cut off",
    )
}

pub(super) fn request_taken(one: &Connection) -> Option<Against> {
    when(
        one.from_orig.lost_bytes == 0 && one.from_orig.bytes > 0,
        "lost_bytes.clt",
        0,
        "all that the client sent was acknowledged",
    )
}

pub(super) fn server_spoke(one: &Connection) -> Option<Against> {
    when(
        one.from_resp.payload_bytes > 0,
        "payload_bytes.srv",
        one.from_resp.payload_bytes,
        "the server's application had taken the connection and sent",
    )
}

pub(super) fn server_mute(one: &Connection) -> Option<Against> {
    when(one.from_resp.payload_bytes == 0, "payload_bytes.srv", 0, "the server never sent any payload")
}

pub(super) fn client_mute(one: &Connection) -> Option<Against> {
    when(one.from_orig.payload_bytes == 0, "payload_bytes.clt", 0, "the client never asked for anything")
}

pub(super) fn client_spoke(one: &Connection) -> Option<Against> {
    when(
        one.from_orig.payload_bytes > 0,
        "payload_bytes.clt",
        one.from_orig.payload_bytes,
        "the client had sent payload",
    )
}

pub(super) fn mute(one: &Connection) -> Option<Against> {
    when(one.from_orig.payload_bytes + one.from_resp.payload_bytes == 0, "payload_bytes", 0, "nobody had sent a byte")
}

pub(super) fn waited(one: &Connection) -> Option<Against> {
    named(one, "waited_ms", "the client's last request was unanswered, for so long")
}

pub(super) fn did_not_wait(one: &Connection) -> Option<Against> {
    let is_short = one.from_resp.payload_bytes > 0 && value(one, "waited_ms").is_none();
    when(is_short, "payload_bytes.srv", one.from_resp.payload_bytes, "an answer had begun to arrive")
}

pub(super) fn never_idle(one: &Connection) -> Option<Against> {
    let idle = value(one, "rst.idle_ms").filter(|_| one.idle_gap_ns.is_none())?;
    against("rst.idle_ms", idle, "nobody was silent for a second before: no idle timeout had time to pass")
}

pub(super) fn was_idle(one: &Connection) -> Option<Against> {
    let seconds = one.idle_gap_ns? as f64 / 1e9;
    against("idle_gap_s", format!("{seconds:.3}"), "it came out of silence, not out of an exchange")
}

pub(super) fn probes(one: &Connection) -> Option<Against> {
    named(one, "keepalive.probes", "keep-alive probes went unanswered, and nothing else was sent")
}

/// Fewer repetitions than make a path that is gone.
pub(super) fn not_repeated(one: &Connection) -> Option<Against> {
    let repeats = one.from_orig.retransmits + one.from_resp.retransmits;
    when(repeats < 3, "retransmits", repeats, "who gives up after loss has repeated itself more often")
}

pub(super) fn repeated(one: &Connection) -> Option<Against> {
    named(one, "retransmissions", "the same payload was sent again and again")
}

pub(super) fn crossed(one: &Connection) -> Option<Against> {
    let is_crossed = matches!(value(one, "rst.seq_offset"), Some(Value::Number(-1)));
    when(is_crossed, "rst.seq_offset", -1, "what provoked it did not acknowledge the FIN: they crossed on the way")
}

pub(super) fn not_crossed(one: &Connection) -> Option<Against> {
    let is_exact = matches!(value(one, "rst.seq_offset"), Some(Value::Number(0)));
    when(is_exact, "rst.seq_offset", 0, "what provoked it acknowledged the FIN: its sender knew of the close")
}

pub(super) fn long_after_fin(one: &Connection) -> Option<Against> {
    let after = value(one, "rst.after_fin_ms")?;
    let holds = matches!(after, Value::Milliseconds(ns) if *ns >= 50_000_000);
    when(holds, "rst.after_fin_ms", after, "an early reply and its reset belong together within milliseconds")
}

pub(super) fn idle_before_fin(one: &Connection) -> Option<Against> {
    let after = value(one, "fin.idle_ms")?;
    let holds = matches!(after, Value::Milliseconds(ns) if *ns >= 200_000_000);
    when(holds, "fin.idle_ms", after, "the close came out of silence, not out of an exchange")
}

pub(super) fn busy_before_fin(one: &Connection) -> Option<Against> {
    let after = value(one, "fin.idle_ms")?;
    let holds = matches!(after, Value::Milliseconds(ns) if *ns < 200_000_000);
    when(holds, "fin.idle_ms", after, "the close did not come out of idleness")
}

pub(super) fn unread(one: &Connection) -> Option<Against> {
    named(one, "request.unread", "part of the request lay unread when the server closed")
}

pub(super) fn says_why(one: &Connection) -> Option<Against> {
    ["rst.note", "rst.text", "rst.option"].into_iter().find_map(|name| named(one, name, "the RST itself says why"))
}

pub(super) fn alert(one: &Connection) -> Option<Against> {
    named(one, "tls.alert", "a TLS alert said why before")
}

pub(super) fn icmp(one: &Connection) -> Option<Against> {
    named(one, "icmp.error", "a device on the way reported an error for it")
}

pub(super) fn steady(one: &Connection) -> Option<Against> {
    named(one, "monitor.interval_ms", "this client comes at steady intervals")
}

pub(super) fn habitual(one: &Connection) -> Option<Against> {
    named(one, "service.closed_by_rst", "this side ends nearly all of its connections so, and nothing is lost")
}

pub(super) fn too_soon(one: &Connection) -> Option<Against> {
    named(one, "host.answers_after_ms", "this host never answers so soon")
}

pub(super) fn confirmed(one: &Connection) -> Option<Against> {
    named(one, "rst.distinct_seqs", "the RST was challenged, and its sender confirmed it by an exact one")
}

pub(super) fn repeated_syn_ack(one: &Connection) -> Option<Against> {
    when(
        one.from_resp.syn_ack > 1,
        "syn_ack.count",
        one.from_resp.syn_ack,
        "the server's host repeated its SYN-ACK: it answered, and was half open",
    )
}

pub(super) fn unacknowledged_syn_ack(one: &Connection) -> Option<Against> {
    when(one.opening == Opening::HalfOpen, "opening", one.opening, "the client never acknowledged the SYN-ACK")
}

pub(super) fn nothing_else(one: &Connection) -> Option<Against> {
    when(
        one.from_orig.packets + one.from_resp.packets == one.rst_count(),
        "packets",
        one.rst_count(),
        "nothing but RSTs was seen of these addresses and ports",
    )
}

pub(super) fn server_took_nothing(one: &Connection) -> Option<Against> {
    let server = &one.from_resp;
    let is_so = server.syn_ack > 0 && server.packets == server.syn_ack + server.rst;
    let says = "SYN-ACKs and RSTs are all that it sent: it never acknowledged anything, so that it had never taken it";
    when(is_so, "packets.srv", server.packets, says)
}

pub(super) fn socket_error(one: &Connection) -> Option<Against> {
    let names = ["kernel.socket_error.clt", "kernel.socket_error.srv"];
    names.into_iter().find_map(|name| named(one, name, "the host's own kernel says with which error it gave up"))
}

pub(super) fn dropped_by_host(one: &Connection) -> Option<Against> {
    let names = ["kernel.drop_reason.clt", "kernel.drop_reason.srv"];
    names.into_iter().find_map(|name| named(one, name, "the host itself dropped segments of it"))
}

pub(super) fn no_probe(one: &Connection) -> Option<Against> {
    let says = "no keep-alive probe was seen";
    when(value(one, "keepalive.probes").is_none(), "keepalive.probes", 0, says)
}

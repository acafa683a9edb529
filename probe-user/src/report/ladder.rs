//! Ladder of one connection: its verdict with facts, then each segment between client and server, and what to check next.
//!
//! Must not know: where segments come from.

use std::{fmt::Write as _, net::IpAddr};

use probe_ebpf::layout::{ACK, FIN, RST, SYN, Segment};

use super::{explanation, text};
use crate::record::{Connection, ResetBy};

/// Segments that are shown of a long connection: so many at its opening, and at its end.
const SHOWN_AT_EACH_END: usize = 40;
/// TCP's PSH and URG, as the layout has them: bits 3 and 5 of the flags (RFC 9293 3.1).
const PSH: u16 = 1 << 3;
const URG: u16 = 1 << 5;

/// What is known of one connection, for people. `segments`: those of its flow within its time, in order of arrival.
pub fn ladder(connection: &Connection, segments: &[Segment]) -> String {
    let mut out = String::new();
    head(&mut out, connection);
    steps(&mut out, connection, segments);
    let id = connection.verdict.cause.id();
    if let Some(explained) = explanation::of(id) {
        line(&mut out, format_args!("\nWhat `{id}` means: {}", explained.trim_start_matches(id).trim_start()));
    }
    line(&mut out, format_args!("Its packets: tshark -r FILE -Y '{}'", display_filter(connection)));
    out
}

/// Writing to a string cannot fail.
fn line(out: &mut String, arguments: std::fmt::Arguments<'_>) {
    writeln!(out, "{arguments}").expect("a String takes everything");
}

fn head(out: &mut String, one: &Connection) {
    let verdict = &one.verdict;
    line(out, format_args!("Connection {}: client {}, server {}", one.id, one.orig, one.resp));
    let (start, duration) = (text::timestamp(one.start_ns), text::duration(one.duration_ns));
    line(
        out,
        format_args!(
            "  {start}, {duration}; {} {}, opening {}, closing {}",
            one.conn_state, one.history, one.opening, one.closing
        ),
    );
    let by = match one.reset_by {
        ResetBy::None => "no RST ended it".to_owned(),
        by => format!("reset by {by}"),
    };
    line(
        out,
        format_args!("  {} ({} confidence), {by}; impact {}", verdict.cause.id(), verdict.confidence, verdict.impact),
    );
    line(out, format_args!("  {}", verdict.cause.explanation()));
    for fact in &verdict.facts {
        line(out, format_args!("    {} = {}", fact.name, fact.value));
    }
}

fn steps(out: &mut String, one: &Connection, segments: &[Segment]) {
    line(out, format_args!("\n{:>12}  {:<40}   {}", "time", "client", "server"));
    let client_is_hi = segments.first().is_some_and(|segment| is_at(one.orig, segment, true));
    // Sequence numbers relative to the first of each side: hi, lo.
    let mut first: [Option<u32>; 2] = [None; 2];
    let mut highest: [Option<u32>; 2] = [None; 2];
    let left_out = segments.len().saturating_sub(2 * SHOWN_AT_EACH_END);
    for (at, segment) in segments.iter().enumerate() {
        let record = &segment.record;
        let side = usize::from(record.from_hi());
        let base = *first[side].get_or_insert(record.seq);
        let peer = first[1 - side];
        let end = record.seq.wrapping_add(record.payload_len);
        let repeats =
            record.payload_len > 0 && highest[side].is_some_and(|high| end.wrapping_sub(high).cast_signed() <= 0);
        if highest[side].is_none_or(|high| end.wrapping_sub(high).cast_signed() > 0) {
            highest[side] = Some(end);
        }
        if left_out > 0 && (SHOWN_AT_EACH_END..SHOWN_AT_EACH_END + left_out).contains(&at) {
            if at == SHOWN_AT_EACH_END {
                line(out, format_args!("{:>12}  ... {left_out} segments ...", ""));
            }
            continue;
        }
        let ms = record.time_ns.saturating_sub(one.start_ns) as f64 / 1e6;
        let what = words(segment, base, peer, repeats);
        if record.from_hi() == client_is_hi {
            line(out, format_args!("{ms:>9.3} ms  {what:<40} ->"));
        } else {
            line(out, format_args!("{ms:>9.3} ms  {:<40} <- {what}", ""));
        }
    }
}

/// Flags, numbers, length and window of a segment.
fn words(segment: &Segment, base: u32, peer: Option<u32>, repeats: bool) -> String {
    let record = &segment.record;
    let named = [(SYN, "SYN"), (FIN, "FIN"), (RST, "RST"), (PSH, "PSH"), (URG, "URG"), (ACK, "ACK")];
    let flags: Vec<&str> = named.into_iter().filter(|(bit, _)| record.flags & bit != 0).map(|(_, name)| name).collect();
    let mut text = flags.join(" ");
    let mut add = |arguments: std::fmt::Arguments<'_>| text.write_fmt(arguments).expect("a String takes everything");
    add(format_args!(" seq {}", record.seq.wrapping_sub(base)));
    if record.flags & ACK != 0 {
        add(format_args!(" ack {}", record.ack.wrapping_sub(peer.unwrap_or(0))));
    }
    if record.payload_len > 0 {
        add(format_args!(" len {}", record.payload_len));
    }
    if record.window == 0 && record.flags & RST == 0 {
        add(format_args!(" window 0"));
    }
    if record.flags & RST != 0 {
        add(format_args!(" ttl {}", record.ttl));
    }
    if repeats {
        add(format_args!(" (repeated)"));
    }
    text
}

/// Whether a segment is of the connection's flow.
pub fn is_of(one: &Connection, segment: &Segment) -> bool {
    is_at(one.orig, segment, true) && is_at(one.resp, segment, false)
        || is_at(one.orig, segment, false) && is_at(one.resp, segment, true)
}

/// Whether the `hi` endpoint of the segment's key, or the `lo` one, is this.
fn is_at(end: std::net::SocketAddr, segment: &Segment, hi: bool) -> bool {
    let endpoint = if hi { segment.key.hi() } else { segment.key.lo() };
    let address = std::net::Ipv6Addr::from(endpoint.octets());
    endpoint.port == end.port() && IpAddr::V6(address).to_canonical() == end.ip().to_canonical()
}

/// Wireshark's display filter for the packets of a connection.
fn display_filter(one: &Connection) -> String {
    let family = if one.orig.is_ipv4() { "ip" } else { "ipv6" };
    format!(
        "{family}.addr == {} && {family}.addr == {} && tcp.port == {} && tcp.port == {}",
        one.orig.ip(),
        one.resp.ip(),
        one.orig.port(),
        one.resp.port()
    )
}

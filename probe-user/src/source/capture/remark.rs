//! Frame remarks: what a frame says beyond a segment, ICMP errors about a segment, and why an RST was sent.
//!
//! Few frames say any of it, so it is no part of what every frame yields: [`super::Decoder::take_remark`] has it for the last
//! frame.

use probe_ebpf::layout::{FlowKey, Segment};
use probe_ebpf::parse::{IcmpPlace, IcmpQuote, Located, Reader, RstOption, SliceReader, rst_option};

use super::checksum::{holds, sum};
use super::frame::Frame;

/// Bytes that are kept of the text of an RST.
pub const RST_TEXT_LEN: usize = 64;

/// What a frame says beyond a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Remark {
    /// It is an ICMP error that quotes a segment.
    Icmp {
        /// What it says, and of which flow.
        quote: IcmpQuote,
        /// When.
        time_ns: u64,
    },
    /// Its segment is an RST that says more than its header.
    Reset {
        /// Flow of the RST.
        key: FlowKey,
        /// The `hi` endpoint of the key sent it.
        from_hi: bool,
        /// The option that says most.
        option: RstOption,
        /// Its payload (RFC 9293 3.5.3), as far as it was captured, [`RST_TEXT_LEN`] bytes at most.
        text: Box<[u8]>,
        /// When.
        time_ns: u64,
    },
}

/// What the RST at `located` says beyond its header, if anything.
#[cold]
pub(super) fn reset(reader: &SliceReader<'_>, located: &Located, segment: &Segment) -> Option<Remark> {
    let record = &segment.record;
    let option = if record.option_len == 0 { RstOption::None } else { rst_option(reader, located) };
    let begin = usize::from(located.tcp) + usize::from(located.tcp_header_len);
    let len = usize::try_from(record.payload_len).unwrap_or(RST_TEXT_LEN).min(RST_TEXT_LEN);
    let captured = reader.bytes.get(begin..).unwrap_or_default();
    let text: Box<[u8]> = captured.get(..len).unwrap_or(captured).into();
    let says_something = option != RstOption::None || !text.is_empty();
    says_something.then(|| Remark::Reset {
        key: segment.key,
        from_hi: record.from_hi(),
        option,
        text,
        time_ns: record.time_ns,
    })
}

/// Whether an RST may say more than its header: without options and payload it does not.
#[inline(always)]
pub(super) fn may_say_more(segment: &Segment) -> bool {
    segment.record.option_len != 0 || segment.record.payload_len != 0
}

/// The same of an RST in a frame as nearly all are: Ethernet, IPv4 without options.
#[cold]
pub(super) fn plain_reset(frame: &Frame<'_>, segment: &Segment) -> Option<Remark> {
    let located = Located { tcp: 34, tcp_header_len: 20 + segment.record.option_len, ..Located::default() };
    reset(&SliceReader { bytes: frame.bytes, wire_len: frame.wire_len }, &located, segment)
}

/// Whether the checksums of an ICMP packet are right, as far as it was captured: that of its IPv4 header, and its own
/// (RFC 792; RFC 4443 2.3, with the pseudo header of RFC 8200 8.1).
pub(super) fn icmp_checksums_hold(reader: &SliceReader<'_>, place: &IcmpPlace) -> bool {
    let &IcmpPlace { version, ip, icmp, end } = place;
    let header_holds = || reader.bytes.get(ip..icmp).is_none_or(|header| holds(sum(header, 0)));
    let Some(message) = reader.bytes.get(icmp..end) else { return version == 6 || header_holds() };
    if version == 4 {
        return header_holds() && holds(sum(message, 0));
    }
    let Some(ip) = reader.bytes::<40>(ip) else { return true };
    let rest = (message.len() as u64 + 58).to_be_bytes();
    holds(sum(message, sum(&ip[8..], sum(&rest, 0))))
}

//! Literals: numbers, times, prefixes and text as they are written in expressions.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, UNIX_EPOCH},
};

use ipnet::{IpNet, Ipv4Net};

use super::span::Span;
use crate::record::Unit;

/// Between the first and the last of a range.
const TO: &str = "..";

/// Units of time that numbers are shown in, nanoseconds each.
const TIMES: [(&str, u64); 7] = [
    ("d", 86_400_000_000_000),
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1000),
    ("ns", 1),
];

/// Bytes; K, M, G and T are powers of 1024. `None` when it is no such size, or beyond 64 bits.
pub fn bytes(text: &str) -> Option<u64> {
    let unit = text.as_bytes().last().filter(|last| last.is_ascii_alphabetic());
    let shift = match unit {
        None => 0,
        Some(b'K' | b'k') => 10,
        Some(b'M') => 20,
        Some(b'G') => 30,
        Some(b'T') => 40,
        Some(_) => return None,
    };
    digits(&text[..text.len() - usize::from(unit.is_some())])?.checked_mul(1 << shift)
}

/// A number without a sign.
fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// A decimal number that is not negative, as its bits: these order as the numbers do.
fn per_second(text: &str) -> Option<u64> {
    let is_decimal = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number: f64 = if is_decimal { text.parse().ok()? } else { return None };
    number.is_finite().then(|| number.to_bits())
}

/// A number in its unit.
pub(crate) fn number(unit: Unit, text: &str) -> Option<u64> {
    match unit {
        Unit::Count => digits(text),
        Unit::PerSecond => per_second(text),
        Unit::Bytes => bytes(text),
        Unit::Duration if text == "0" => Some(0),
        Unit::Duration => u64::try_from(humantime::parse_duration(text).ok()?.as_nanos()).ok(),
        Unit::Time => {
            let since = humantime::parse_rfc3339_weak(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
            u64::try_from(since.as_nanos()).ok()
        }
    }
}

/// A number, or two with `..` between them, of which the second is not less.
pub(super) fn read_span(unit: Unit, text: &str) -> Option<Span> {
    let (first, last) = match text.split_once(TO) {
        Some((first, last)) => (number(unit, first)?, number(unit, last)?),
        None => number(unit, text).map(|one| (one, one))?,
    };
    (first <= last).then_some(Span { first, last })
}

/// What a number in this unit looks like, for errors.
pub(super) fn example(unit: Unit) -> &'static str {
    match unit {
        Unit::Count => "a number such as 3",
        Unit::PerSecond => "a number such as 0.5",
        Unit::Bytes => "a number of bytes such as 1500, 64K, 10M or 1G",
        Unit::Duration => "a time such as 500ms, 30s, 5m or 1h30m",
        Unit::Time => "a point in time such as 2026-11-21T14:00:00Z",
    }
}

/// A number as [`number`] reads it.
fn shown(unit: Unit, value: u64) -> String {
    match unit {
        Unit::Count | Unit::Bytes => value.to_string(),
        Unit::PerSecond => f64::from_bits(value).to_string(),
        Unit::Duration if value == 0 => "0s".to_owned(),
        Unit::Duration => {
            let fitting = TIMES.iter().find(|(_, ns)| value.is_multiple_of(*ns));
            fitting.map_or_else(String::new, |(name, ns)| format!("{}{name}", value / ns))
        }
        Unit::Time => humantime::format_rfc3339(UNIX_EPOCH + Duration::from_nanos(value)).to_string(),
    }
}

/// A range as [`read_span`] reads it.
pub(super) fn span(unit: Unit, Span { first, last }: Span) -> String {
    let one = shown(unit, first);
    if first == last { one } else { format!("{one}{TO}{}", shown(unit, last)) }
}

/// An address or prefix; bits behind the prefix do not count, and IPv4 within IPv6 is IPv4.
pub(super) fn prefix(text: &str) -> Option<IpNet> {
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    let mapped = match net {
        IpNet::V6(six) if six.prefix_len() >= 96 => six.addr().to_ipv4_mapped().zip(Some(six.prefix_len() - 96)),
        _ => None,
    };
    let net = mapped.and_then(|(four, len)| Ipv4Net::new(four, len).ok()).map_or(net, IpNet::V4);
    Some(net.trunc())
}

/// An address and its port, as both are printed: `10.0.0.1:443`, `[2001:db8::1]:443`.
pub(super) fn endpoint(text: &str) -> Option<(IpNet, u16)> {
    let endpoint: SocketAddr = text.parse().ok()?;
    Some((IpNet::from(endpoint.ip().to_canonical()), endpoint.port()))
}

/// A prefix as [`prefix`] reads it; an address without its length.
pub(super) fn prefix_text(net: IpNet) -> String {
    if net.prefix_len() == net.max_prefix_len() { net.addr().to_string() } else { net.to_string() }
}

/// Whether it can be the name of a zone or a service, or `tcp/PORT`.
pub(super) fn is_name(text: &str) -> bool {
    let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_./".contains(letter);
    text.starts_with(|first: char| first.is_ascii_alphanumeric()) && text.chars().all(is_allowed)
}

/// Text between quotes that are not in it. Text from an expression never has both kinds.
pub(super) fn quoted(text: &str) -> String {
    let quote = if text.contains('"') { '\'' } else { '"' };
    format!("{quote}{text}{quote}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_powers_of_1024() {
        for (text, size) in [("0", 0), ("70000", 70_000), ("64K", 64 << 10), ("2M", 2 << 20), ("1024G", 1 << 40)] {
            assert_eq!(bytes(text), Some(size), "{text}");
        }
        for text in ["", "K", "1X", "-1", "+1", "1.5K", "99999999999T", "1KB", "é"] {
            assert_eq!(bytes(text), None, "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, ns) in [("30s", 30_000_000_000), ("1h30m", 5_400_000_000_000), ("1.5s", 1_500_000_000), ("0", 0)] {
            assert_eq!(number(Unit::Duration, text), Some(ns), "{text}");
        }
        for text in ["30", "s", "-3s", "3x", "99999999999h"] {
            assert_eq!(number(Unit::Duration, text), None, "{text}");
        }
        assert_eq!(shown(Unit::Duration, 5_400_000_000_000), "90m");
        assert_eq!(number(Unit::Time, "1970-01-01T00:00:01.5Z"), Some(1_500_000_000));
        assert_eq!(number(Unit::Time, "1969-12-31T23:59:59Z"), None);
        assert_eq!(shown(Unit::Time, 1_500_000_000), "1970-01-01T00:00:01.500000000Z");
    }

    #[test]
    fn ranges_do_not_run_backwards() {
        let span = |text| read_span(Unit::Count, text).map(|span| (span.first, span.last));
        assert_eq!((span("3"), span("3..5")), (Some((3, 3)), Some((3, 5))));
        assert_eq!((span("5..3"), span("3.."), span("3..4..5")), (None, None, None));
    }

    #[test]
    fn prefixes_of_both_families() {
        let text = |text: &str| prefix(text).map(prefix_text);
        assert_eq!(text("10.1.2.3/8").as_deref(), Some("10.0.0.0/8"));
        assert_eq!(text("::ffff:10.1.2.3").as_deref(), Some("10.1.2.3"));
        assert_eq!(text("::ffff:10.1.0.0/112").as_deref(), Some("10.1.0.0/16"));
        assert_eq!(text("fd00::1/8").as_deref(), Some("fd00::/8"));
        assert_eq!((text("10.0.0.0/33"), text("10.0.0"), text("")), (None, None, None));
    }
}

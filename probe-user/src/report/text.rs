//! Numbers, times and addresses as people read them.

use std::{
    net::SocketAddr,
    time::{Duration, UNIX_EPOCH},
};

/// RFC 3339 in UTC with microseconds.
pub(super) fn timestamp(ns: u64) -> String {
    humantime::format_rfc3339_micros(UNIX_EPOCH + Duration::from_nanos(ns)).to_string()
}

/// Time of day in UTC with milliseconds, for tables.
pub(super) fn time_of_day(ns: u64) -> String {
    let full = timestamp(ns);
    full.get(11..23).unwrap_or(&full).to_string()
}

/// A duration in the unit that fits, three digits.
pub(super) fn duration(ns: u64) -> String {
    let seconds = ns as f64 / 1e9;
    match ns {
        0 => "0s".to_string(),
        1..1_000_000 => format!("{:.0}us", seconds * 1e6),
        1_000_000..1_000_000_000 => format!("{:.1}ms", seconds * 1e3),
        _ => format!("{seconds:.2}s"),
    }
}

/// Bytes in binary units.
pub(super) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["", "Ki", "Mi", "Gi", "Ti"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { count.to_string() } else { format!("{value:.1}{}", UNITS[unit]) }
}

/// A ratio with its absence shown as a dash.
pub(super) fn ratio(value: Option<f64>) -> String {
    value.map_or_else(|| "-".to_string(), |value| format!("{value:.3}"))
}

/// Both directions of a count, client first: `1/0`, or `.` when there is none.
pub(super) fn both(client: u64, server: u64) -> String {
    if client == 0 && server == 0 { ".".to_string() } else { format!("{client}/{server}") }
}

/// Address and port.
pub(super) fn endpoint(endpoint: SocketAddr) -> String {
    endpoint.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_fit_the_value() {
        assert_eq!(duration(0), "0s");
        assert_eq!(duration(1_500), "2us");
        assert_eq!(duration(12_300_000), "12.3ms");
        assert_eq!(duration(2_000_000_000), "2.00s");
        assert_eq!(bytes(1023), "1023");
        assert_eq!(bytes(1536), "1.5Ki");
        assert_eq!(ratio(None), "-");
        assert_eq!(both(0, 0), ".");
        assert_eq!(both(2, 1), "2/1");
    }

    #[test]
    fn times_are_utc() {
        assert_eq!(timestamp(1_700_000_000_123_456_789), "2023-11-14T22:13:20.123456Z");
        assert_eq!(time_of_day(1_700_000_000_123_456_789), "22:13:20.123");
    }
}

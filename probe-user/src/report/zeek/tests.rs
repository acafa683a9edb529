//! Lines of Zeek's log against what a serializer and the standard library make of the same records.

use proptest::prelude::*;
use serde::Serialize;

use super::*;
use crate::{printable, report::random_records::record};

/// The JSON object of Zeek's JSON writer.
#[derive(Serialize)]
struct Line<'a> {
    ts: f64,
    uid: String,
    #[serde(rename = "id.orig_h")]
    orig_h: IpAddr,
    #[serde(rename = "id.orig_p")]
    orig_p: u16,
    #[serde(rename = "id.resp_h")]
    resp_h: IpAddr,
    #[serde(rename = "id.resp_p")]
    resp_p: u16,
    proto: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    duration: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resp_bytes: Option<u64>,
    conn_state: &'static str,
    local_orig: bool,
    local_resp: bool,
    missed_bytes: u64,
    #[serde(skip_serializing_if = "str::is_empty")]
    history: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_pkts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    orig_ip_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resp_pkts: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    resp_ip_bytes: Option<u64>,
    ip_proto: u8,
}

fn line(c: &Connection) -> Line<'_> {
    let z = Zeek::of(c);
    let timed = has_duration(c);
    let counted = |count: u64| (c.basis != Basis::ControlOnly).then_some(count);
    Line {
        ts: start_us(c) as f64 / 1e6,
        uid: plain_uid(c),
        orig_h: z.orig.ip(),
        orig_p: z.orig.port(),
        resp_h: z.resp.ip(),
        resp_p: z.resp.port(),
        proto: "tcp",
        duration: timed.then(|| duration_us(c) as f64 / 1e6),
        orig_bytes: timed.then_some(z.from_orig.bytes),
        resp_bytes: timed.then_some(z.from_resp.bytes),
        conn_state: c.conn_state.as_str(),
        local_orig: is_local(z.orig.ip()),
        local_resp: is_local(z.resp.ip()),
        missed_bytes: z.from_orig.missed_bytes + z.from_resp.missed_bytes,
        history: &c.history,
        orig_pkts: counted(z.from_orig.packets),
        orig_ip_bytes: counted(z.from_orig.ip_bytes),
        resp_pkts: counted(z.from_resp.packets),
        resp_ip_bytes: counted(z.from_resp.ip_bytes),
        ip_proto: 6,
    }
}

/// Digit by digit.
fn plain_uid(c: &Connection) -> String {
    let mut hash = mix(c.start_ns, c.id);
    let z = Zeek::of(c);
    for end in [z.orig, z.resp] {
        hash = mix(hash, ip_bits(end) ^ u64::from(end.port()) << 48);
    }
    let mut value = u128::from(hash) << 32 | u128::from(mix(hash, 1) as u32);
    let mut text = "C".to_owned();
    for _ in 0..DIGITS {
        text.push(char::from(BASE62[(value % 62) as usize]));
        value /= 62;
    }
    text
}

/// A line of the log, by the columns of the object.
fn columns(c: &Connection) -> String {
    let Line { uid, duration, orig_bytes, resp_bytes, missed_bytes, .. } = line(c);
    let Line { orig_h, orig_p, resp_h, resp_p, conn_state, local_orig, local_resp, .. } = line(c);
    let Line { history, orig_pkts, orig_ip_bytes, resp_pkts, resp_ip_bytes, .. } = line(c);
    let seconds = |us: u64| format!("{}.{:06}", us / 1_000_000, us % 1_000_000);
    let count = |count: Option<u64>| count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    let flag = |is_so: bool| if is_so { "T" } else { "F" }.to_owned();
    [
        seconds(start_us(c)),
        uid,
        orig_h.to_string(),
        orig_p.to_string(),
        resp_h.to_string(),
        resp_p.to_string(),
        "tcp".to_owned(),
        "-".to_owned(),
        duration.map_or_else(|| "-".to_owned(), |_| seconds(duration_us(c))),
        count(orig_bytes),
        count(resp_bytes),
        conn_state.to_owned(),
        flag(local_orig),
        flag(local_resp),
        missed_bytes.to_string(),
        if history.is_empty() { "-".to_owned() } else { history.to_owned() },
        count(orig_pkts),
        count(orig_ip_bytes),
        count(resp_pkts),
        count(resp_ip_bytes),
        "-".to_owned(),
        "6".to_owned(),
    ]
    .join("\t")
        + "\n"
}

fn appended(append: fn(&mut LineBuffer, &Connection), records: &[Connection]) -> String {
    let mut lines = LineBuffer::default();
    for one in records {
        append(&mut lines, one);
    }
    lines.finish()
}

proptest! {
    #[test]
    fn lines_are_what_plain_means_make(records in proptest::collection::vec(record(), 1..8)) {
        prop_assert_eq!(appended(append_line, &records), records.iter().map(columns).collect::<String>());
        let object = |one| printable::json::line(&line(one)).expect("an object") + "\n";
        prop_assert_eq!(appended(append_json_line, &records), records.iter().map(object).collect::<String>());
    }
}

#[test]
fn a_line_has_as_many_columns_as_the_header() {
    let columns_of = |line: &str| line.trim_end().split('\t').count();
    let one = crate::aggregate::tests::connection(
        "[2001:db8::1]:80",
        crate::record::Opening::Completed,
        crate::record::Closing::TwoFins,
        Side::default(),
        Side::default(),
    );
    let fields = header().lines().find(|line| line.starts_with("#fields")).map(columns_of);
    assert_eq!(fields.map(|count| count - 1), Some(columns_of(&appended(append_line, &[one]))));
}

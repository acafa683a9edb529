//! Records as Zeek writes them: conn.log as TSV, or as JSON lines.
//!
//! Pure functions. Fields that Zeek fills from payload (`service`) or from tunnels stay unset.

use std::net::{IpAddr, SocketAddr};

use serde::Serialize;

use super::text::{push_address, push_number};
use crate::printable;
use crate::record::{Basis, Connection, Side};

/// Fields and their Zeek types, in the order of Zeek 8.0's conn.log.
const FIELDS: [(&str, &str); 22] = [
    ("ts", "time"),
    ("uid", "string"),
    ("id.orig_h", "addr"),
    ("id.orig_p", "port"),
    ("id.resp_h", "addr"),
    ("id.resp_p", "port"),
    ("proto", "enum"),
    ("service", "string"),
    ("duration", "interval"),
    ("orig_bytes", "count"),
    ("resp_bytes", "count"),
    ("conn_state", "string"),
    ("local_orig", "bool"),
    ("local_resp", "bool"),
    ("missed_bytes", "count"),
    ("history", "string"),
    ("orig_pkts", "count"),
    ("orig_ip_bytes", "count"),
    ("resp_pkts", "count"),
    ("resp_ip_bytes", "count"),
    ("tunnel_parents", "set[string]"),
    ("ip_proto", "count"),
];

const PROTOCOL_TCP: u8 = 6;

/// The header lines of a conn.log.
pub fn header() -> String {
    let names: Vec<&str> = FIELDS.iter().map(|field| field.0).collect();
    let types: Vec<&str> = FIELDS.iter().map(|field| field.1).collect();
    format!(
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n#path\tconn\n#fields\t{}\n#types\t{}\n",
        names.join("\t"),
        types.join("\t")
    )
}

/// Originator and responder as Zeek has them.
struct Zeek<'a> {
    orig: SocketAddr,
    resp: SocketAddr,
    from_orig: &'a Side,
    from_resp: &'a Side,
}

impl<'a> Zeek<'a> {
    fn of(connection: &'a Connection) -> Self {
        let Connection { orig, resp, from_orig, from_resp, is_reversed, .. } = connection;
        if *is_reversed {
            Self { orig: *resp, resp: *orig, from_orig: from_resp, from_resp: from_orig }
        } else {
            Self { orig: *orig, resp: *resp, from_orig, from_resp }
        }
    }
}

/// Appends one line of a conn.log, newline included.
pub fn append_line(out: &mut String, connection: &Connection) {
    let c = connection;
    let z = Zeek::of(c);
    push_seconds(out, start_us(c));
    out.push('\t');
    push_uid(out, c);
    for end in [z.orig, z.resp] {
        out.push('\t');
        push_address(out, end.ip());
        push_column(out, end.port().into());
    }
    out.push_str("\ttcp\t-\t");
    if has_duration(c) {
        push_seconds(out, duration_us(c));
        push_column(out, z.from_orig.bytes);
        push_column(out, z.from_resp.bytes);
    } else {
        out.push_str("-\t-\t-");
    }
    for text in [c.conn_state.as_str(), flag(is_local(z.orig.ip())), flag(is_local(z.resp.ip()))] {
        out.push('\t');
        out.push_str(text);
    }
    push_column(out, z.from_orig.missed_bytes + z.from_resp.missed_bytes);
    out.push('\t');
    out.push_str(if c.history.is_empty() { "-" } else { c.history.as_str() });
    if c.basis == Basis::ControlOnly {
        out.push_str("\t-\t-\t-\t-");
    } else {
        for count in [z.from_orig.packets, z.from_orig.ip_bytes, z.from_resp.packets, z.from_resp.ip_bytes] {
            push_column(out, count);
        }
    }
    out.push_str("\t-");
    push_column(out, PROTOCOL_TCP.into());
    out.push('\n');
}

fn push_column(out: &mut String, number: u64) {
    out.push('\t');
    push_number(out, number);
}

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

/// One JSON line of a conn.log, newline included.
///
/// # Errors
/// Never for a record of the tracker: all its fields have a JSON form.
pub fn json_line(connection: &Connection) -> serde_json::Result<String> {
    let c = connection;
    let z = Zeek::of(c);
    let timed = has_duration(c);
    let counted = |count: u64| (c.basis != Basis::ControlOnly).then_some(count);
    let line = Line {
        ts: start_us(c) as f64 / 1e6,
        uid: uid(c),
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
        ip_proto: PROTOCOL_TCP,
    };
    printable::json::line(&line).map(|mut text| {
        text.push('\n');
        text
    })
}

/// Zeek leaves duration and sizes unset when the duration is 0 (base/protocols/conn/main.zeek).
fn has_duration(connection: &Connection) -> bool {
    duration_us(connection) > 0
}

/// Seconds with six digits.
fn push_seconds(out: &mut String, us: u64) {
    push_number(out, us / 1_000_000);
    let point = out.len();
    // Six digits after a first one, in whose place the point comes.
    push_number(out, 1_000_000 + us % 1_000_000);
    out.replace_range(point..=point, ".");
}

/// Zeek reads captures with microsecond timestamps: finer ones are cut off, start and end each for itself.
fn start_us(connection: &Connection) -> u64 {
    connection.start_ns / 1000
}

fn duration_us(connection: &Connection) -> u64 {
    connection.start_ns.saturating_add(connection.duration_ns) / 1000 - start_us(connection)
}

fn flag(value: bool) -> &'static str {
    if value { "T" } else { "F" }
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// So many digits of 62 fit a word.
const DIGITS_OF_WORD: u32 = 10;
const DIGITS: u32 = 17;

fn uid(connection: &Connection) -> String {
    let mut text = String::with_capacity(1 + DIGITS as usize);
    push_uid(&mut text, connection);
    text
}

/// A Zeek-like connection id: the same connection of the same input has the same one in every run.
fn push_uid(out: &mut String, connection: &Connection) {
    let mut hash = mix(connection.start_ns, connection.id);
    let Zeek { orig, resp, .. } = Zeek::of(connection);
    for end in [orig, resp] {
        hash = mix(hash, ip_bits(end) ^ u64::from(end.port()) << 48);
    }
    let value = u128::from(hash) << 32 | u128::from(mix(hash, 1) as u32);
    // Two words of digits, the low ones first: a wide division for each digit would take longer than all the rest.
    let word = 62_u128.pow(DIGITS_OF_WORD);
    out.push('C');
    for (mut word, digits) in
        [((value % word) as u64, DIGITS_OF_WORD), ((value / word) as u64, DIGITS - DIGITS_OF_WORD)]
    {
        for _ in 0..digits {
            out.push(char::from(BASE62[(word % 62) as usize]));
            word /= 62;
        }
    }
}

fn ip_bits(end: SocketAddr) -> u64 {
    match end.ip() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        IpAddr::V6(address) => {
            let bits = address.to_bits();
            (bits >> 64) as u64 ^ (bits as u64).rotate_left(31)
        }
    }
}

fn mix(a: u64, b: u64) -> u64 {
    let mut h = (a ^ b.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    h ^= h >> 31;
    h = h.wrapping_mul(0x94d0_49bb_1331_11eb);
    h ^ h >> 29
}

/// Zeek's default `Site::private_address_space` and `Site::local_nets`.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_private()
                || v4.is_loopback()
                || v4.is_link_local()
                || v4.is_broadcast()
                || v4.is_documentation()
                || a == 0
                || a == 100 && (64..128).contains(&b)
                || a == 198 && (18..20).contains(&b)
                || a >= 240
        }
        IpAddr::V6(v6) => v6.is_unspecified() || v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}

//! Records as Zeek writes them: conn.log as TSV, or as JSON lines.
//!
//! Pure functions. Fields that Zeek fills from payload (`service`) or from tunnels stay unset.

#![expect(clippy::inline_always, reason = "a line is compiled as one")]

use std::net::{IpAddr, SocketAddr};

use super::{
    line_buffer::LineBuffer,
    room::{ESCAPED, Room},
};
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

/// Bytes of a line besides its history, at most.
const MOST_BYTES: usize = 1024;

/// Bytes of a line at most.
fn most_bytes(connection: &Connection) -> usize {
    MOST_BYTES + ESCAPED * connection.history.len()
}

/// Appends one line of a conn.log, newline included.
pub fn append_line(out: &mut LineBuffer, connection: &Connection) {
    out.append(most_bytes(connection), |room, _| append_columns(room, connection));
}

#[inline(always)]
fn append_columns(room: &mut Room<'_>, c: &Connection) {
    let z = Zeek::of(c);
    put_seconds(room, start_us(c));
    room.put_byte(b'\t');
    room.put(&uid(c));
    for end in [z.orig, z.resp] {
        room.put_byte(b'\t');
        room.put_address(end.ip());
        put_column(room, end.port().into());
    }
    room.put(b"\ttcp\t-\t");
    if has_duration(c) {
        put_seconds(room, duration_us(c));
        put_column(room, z.from_orig.bytes);
        put_column(room, z.from_resp.bytes);
    } else {
        room.put(b"-\t-\t-");
    }
    room.put_byte(b'\t');
    room.put_word(c.conn_state.as_str());
    for is_so in [is_local(z.orig.ip()), is_local(z.resp.ip())] {
        room.put(if is_so { b"\tT" } else { b"\tF" });
    }
    put_column(room, missed_bytes(&z));
    room.put_byte(b'\t');
    room.put_word(if c.history.is_empty() { "-" } else { c.history.as_str() });
    if c.basis == Basis::ControlOnly {
        room.put(b"\t-\t-\t-\t-");
    } else {
        for count in [z.from_orig.packets, z.from_orig.ip_bytes, z.from_resp.packets, z.from_resp.ip_bytes] {
            put_column(room, count);
        }
    }
    room.put(b"\t-\t6\n");
}

#[inline(always)]
fn put_column(room: &mut Room<'_>, number: u64) {
    room.put_byte(b'\t');
    room.put_number(number);
}

fn missed_bytes(z: &Zeek<'_>) -> u64 {
    z.from_orig.missed_bytes.saturating_add(z.from_resp.missed_bytes)
}

/// Appends one line of a conn.log as Zeek's JSON writer has it, newline included.
pub fn append_json_line(out: &mut LineBuffer, connection: &Connection) {
    out.append(most_bytes(connection), |room, _| append_members(room, connection));
}

#[inline(always)]
fn append_members(room: &mut Room<'_>, c: &Connection) {
    let z = Zeek::of(c);
    room.put(b"{\"ts\":");
    room.put_quotient::<1_000_000>(start_us(c));
    room.put(b",\"uid\":\"");
    room.put(&uid(c));
    room.put(b"\",\"id.orig_h\":\"");
    room.put_address(z.orig.ip());
    put_member(room, b"\",\"id.orig_p\":", z.orig.port().into());
    room.put(b",\"id.resp_h\":\"");
    room.put_address(z.resp.ip());
    put_member(room, b"\",\"id.resp_p\":", z.resp.port().into());
    room.put(b",\"proto\":\"tcp\"");
    if has_duration(c) {
        room.put(b",\"duration\":");
        room.put_quotient::<1_000_000>(duration_us(c));
        put_member(room, b",\"orig_bytes\":", z.from_orig.bytes);
        put_member(room, b",\"resp_bytes\":", z.from_resp.bytes);
    }
    room.put(b",\"conn_state\":\"");
    room.put_word(c.conn_state.as_str());
    room.put(b"\",\"local_orig\":");
    room.put_word(if is_local(z.orig.ip()) { "true" } else { "false" });
    room.put(b",\"local_resp\":");
    room.put_word(if is_local(z.resp.ip()) { "true" } else { "false" });
    put_member(room, b",\"missed_bytes\":", missed_bytes(&z));
    if !c.history.is_empty() {
        room.put(b",\"history\":");
        room.put_string(&c.history);
    }
    if c.basis != Basis::ControlOnly {
        put_member(room, b",\"orig_pkts\":", z.from_orig.packets);
        put_member(room, b",\"orig_ip_bytes\":", z.from_orig.ip_bytes);
        put_member(room, b",\"resp_pkts\":", z.from_resp.packets);
        put_member(room, b",\"resp_ip_bytes\":", z.from_resp.ip_bytes);
    }
    room.put(b",\"ip_proto\":6}\n");
}

#[inline(always)]
fn put_member(room: &mut Room<'_>, key: &[u8], number: u64) {
    room.put(key);
    room.put_number(number);
}

/// Zeek leaves duration and sizes unset when the duration is 0 (base/protocols/conn/main.zeek).
fn has_duration(connection: &Connection) -> bool {
    duration_us(connection) > 0
}

/// Seconds with six digits.
#[inline(always)]
fn put_seconds(room: &mut Room<'_>, us: u64) {
    room.put_number(us / 1_000_000);
    room.put_byte(b'.');
    room.put_millionths((us % 1_000_000) as u32);
}

/// Zeek reads captures with microsecond timestamps: finer ones are cut off, start and end each for itself.
fn start_us(connection: &Connection) -> u64 {
    connection.start_ns / 1000
}

fn duration_us(connection: &Connection) -> u64 {
    connection.start_ns.saturating_add(connection.duration_ns) / 1000 - start_us(connection)
}

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// So many digits of 62 fit a word.
const DIGITS_OF_WORD: usize = 10;
const DIGITS: usize = 17;

/// A Zeek-like connection id: the same connection of the same input has the same one in every run.
fn uid(connection: &Connection) -> [u8; 1 + DIGITS] {
    let mut hash = mix(connection.start_ns, connection.id);
    let Zeek { orig, resp, .. } = Zeek::of(connection);
    for end in [orig, resp] {
        hash = mix(hash, ip_bits(end) ^ u64::from(end.port()) << 48);
    }
    let value = u128::from(hash) << 32 | u128::from(mix(hash, 1) as u32);
    // Two words of digits, the low ones first: a wide division for each digit would take longer than all the rest.
    let word = const { 62_u128.pow(DIGITS_OF_WORD as u32) };
    let high = value / word;
    let mut text = [b'C'; 1 + DIGITS];
    let (low_digits, high_digits) = text[1..].split_at_mut(DIGITS_OF_WORD);
    put_digits_of_62(low_digits, (value - high * word) as u64);
    put_digits_of_62(high_digits, high as u64);
    text
}

/// As many digits as there is room for, the lowest first.
#[inline(always)]
fn put_digits_of_62(to: &mut [u8], mut word: u64) {
    // Two at a time, as each division waits for the one before.
    for pair in to.chunks_mut(2) {
        let both = (word % (62 * 62)) as usize;
        word /= 62 * 62;
        for (digit, value) in pair.iter_mut().zip([both % 62, both / 62]) {
            *digit = BASE62[value];
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

#[cfg(test)]
mod tests;

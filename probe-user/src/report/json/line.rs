//! Line of a connection: its JSON as text without a serializer's detours, many times as fast. Says what
//! [`ConnectionJson`](super::connection::ConnectionJson) says, which tests hold it to.

#![expect(
    clippy::inline_always,
    reason = "what is known of a field when this is compiled is not looked for in each line"
)]

use super::pieces::{Content, PIECES, Piece};
use crate::{
    record::{
        Connection, Fact, Field, FieldValue, Kind, Labels, Scope, Unit, Value, address, end, field_table::FIELDS,
    },
    report::{
        line_buffer::LineBuffer,
        room::{ESCAPED, Room, Times},
    },
};

/// Bytes of a line, facts, names and history left out, at most.
const MOST_BYTES: usize = 6144;
/// Bytes of a value that is neither of these, at most: a word, an address, a number.
const MOST_OF_VALUE: usize = 64;
/// Bytes of a fact besides its name, its word and its text, at most.
const MOST_OF_FACT: usize = 128;

/// Appends one connection as one line. `provisional`: a later line may correct cause and impact, as more may become known of
/// the service or the client.
pub fn append_connection_line(out: &mut LineBuffer, connection: &Connection, provisional: bool) {
    out.append(most_bytes(connection), |room, times| {
        append_pieces(room, times, connection);
        room.put(PIECES.end.as_bytes());
        if provisional {
            room.put(b",\"provisional\":true}\n");
        } else {
            room.put(b",\"provisional\":false}\n");
        }
    });
}

/// Bytes of its line at most.
fn most_bytes(connection: &Connection) -> usize {
    let Labels { client_zone, server_zone, service } = connection.labels;
    let names = [client_zone, server_zone, service].into_iter().flatten().map(|name| name.as_str().len());
    let facts = connection.verdict.facts.iter().map(|fact| {
        let text = match &fact.value {
            Value::Word(word) => word.len(),
            Value::Text(text) => text.len(),
            _ => 0,
        };
        MOST_OF_FACT + fact.name.len() + text * ESCAPED
    });
    MOST_BYTES + ESCAPED * (connection.history.len() + names.sum::<usize>()) + facts.sum::<usize>()
}

/// The pieces with these numbers, one after the other.
macro_rules! append_each {
    ($room:ident, $times:ident, $connection:ident: $($number:literal)*) => {
        const {
            assert!([$($number),*].len() == PIECES.len, "each piece by its number, in order: there are fields more or fewer");
            assert!(PIECES.len * MOST_OF_VALUE + bytes_between() + 512 < MOST_BYTES);
        }
        $(append::<$number>($room, $times, $connection);)*
    };
}

#[inline(always)]
fn append_pieces(room: &mut Room<'_>, times: &mut Times, connection: &Connection) {
    append_each!(room, times, connection:
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32 33 34 35 36 37 38 39
        40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55);
}

/// Bytes before and after values.
const fn bytes_between() -> usize {
    let (mut at, mut sum) = (0, PIECES.end.as_bytes().len());
    while at < PIECES.len {
        sum += PIECES.all[at].before.as_bytes().len();
        at += 1;
    }
    sum
}

/// What is known of a piece when this is compiled.
struct Known<const NUMBER: usize>;

impl<const NUMBER: usize> Known<NUMBER> {
    const PIECE: Piece = PIECES.all[NUMBER];
    const BEFORE: &'static [u8] = PIECES.all[NUMBER].before.as_bytes();
}

#[inline(always)]
fn append<const NUMBER: usize>(room: &mut Room<'_>, times: &mut Times, connection: &Connection) {
    room.put(Known::<NUMBER>::BEFORE);
    match Known::<NUMBER>::PIECE.content {
        Content::Field(number, scope) => append_value(room, times, &FIELDS[number], scope, connection),
        Content::CauseText => append_word(room, connection.verdict.cause.explanation()),
        Content::Facts => append_facts(room, &connection.verdict.facts),
    }
}

/// As [`Field::value`] finds it.
#[inline(always)]
fn append_value(room: &mut Room<'_>, times: &mut Times, field: &Field, scope: Scope, connection: &Connection) {
    let of_connection = matches!(scope, Scope::Both);
    match field.kind {
        Kind::Sides(unit, of) => append_number(room, times, unit, field.number(connection, scope, of)),
        Kind::Number(unit, of) if of_connection => append_number(room, times, unit, of(connection)),
        Kind::Word(words) if of_connection => match (words.word_of)(connection) {
            Some(word) => append_word(room, word),
            None => room.put(b"null"),
        },
        Kind::Letters if of_connection => room.put_string(&connection.history),
        Kind::Port if !of_connection => room.put_number(end(connection, scope).port().into()),
        Kind::Address if !of_connection => append_address(room, connection, scope),
        Kind::Name(of) => match of(connection, scope) {
            Some(FieldValue::TcpPort(port)) => {
                room.put(b"\"tcp/");
                room.put_number(port.into());
                room.put_byte(b'"');
            }
            Some(FieldValue::Word(name) | FieldValue::Text(name)) => room.put_string(name),
            Some(FieldValue::Number(..) | FieldValue::Address(_)) | None => room.put(b"null"),
        },
        Kind::Number(..) | Kind::Word(_) | Kind::Letters | Kind::Port | Kind::Address => room.put(b"null"),
    }
}

#[inline(always)]
fn append_number(room: &mut Room<'_>, times: &mut Times, unit: Unit, number: Option<u64>) {
    let Some(number) = number else { return room.put(b"null") };
    match unit {
        Unit::Count | Unit::Bytes => room.put_number(number),
        Unit::Duration => room.put_billionths(number),
        Unit::Time => {
            room.put_byte(b'"');
            times.put(room, number);
            room.put_byte(b'"');
        }
        Unit::PerSecond => room.put_float(f64::from_bits(number)),
    }
}

#[inline(always)]
fn append_address(room: &mut Room<'_>, connection: &Connection, scope: Scope) {
    room.put_byte(b'"');
    room.put_address(address(connection, scope));
    room.put_byte(b'"');
}

/// A word of ours: nothing in it is to be escaped.
#[inline(always)]
fn append_word(room: &mut Room<'_>, word: &str) {
    room.put_byte(b'"');
    room.put_word(word);
    room.put_byte(b'"');
}

#[inline(always)]
fn append_facts(room: &mut Room<'_>, facts: &[Fact]) {
    room.put_byte(b'[');
    for (at, fact) in facts.iter().enumerate() {
        if at > 0 {
            room.put_byte(b',');
        }
        room.put(b"{\"name\":\"");
        room.put_word(fact.name);
        room.put(b"\",\"value\":");
        append_fact(room, &fact.value);
        room.put_byte(b'}');
    }
    room.put_byte(b']');
}

/// The text of a fact's value as a string.
#[inline(always)]
fn append_fact(room: &mut Room<'_>, value: &Value) {
    match value {
        Value::Word(word) => return room.put_string(word),
        Value::Text(text) => return room.put_string(text),
        _ => room.put_byte(b'"'),
    }
    match *value {
        Value::Word(_) | Value::Text(_) => (),
        Value::Flag(true) => room.put(b"true"),
        Value::Flag(false) => room.put(b"false"),
        Value::Number(number) => {
            if number < 0 {
                room.put_byte(b'-');
            }
            room.put_number(number.unsigned_abs());
        }
        Value::Milliseconds(ns) => {
            room.put_number(ns / 1_000_000);
            room.put_byte(b'.');
            room.put_thousandths((ns / 1000 % 1000) as u32);
        }
        Value::Instead(seen, expected) => {
            room.put_number(seen);
            room.put(b" instead of ");
            room.put_number(expected);
        }
        Value::OfConnections(some, all) => {
            room.put_number(some);
            room.put(b" of ");
            room.put_number(all);
            room.put(b" connections");
        }
    }
    room.put_byte(b'"');
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        aggregate::tests::connection,
        printable,
        record::{Basis, Cause, Closing, ConnState, Labels, Name, Opening, Side, Stage},
        report::{
            json::{connection::ConnectionJson, pieces::CONNECTION_SCHEMA},
            random_records::record,
        },
        tcp::Letters,
    };

    fn line(connection: &Connection) -> String {
        let mut line = LineBuffer::default();
        append_connection_line(&mut line, connection, false);
        line.finish()
    }

    /// Of an IPv6 service that has names of a file, with every kind of fact.
    fn odd_one() -> Connection {
        let side = Side { rst: 3, packets: 12, bytes: 1 << 40, ttl: 64, rst_ttl: 63, ..Side::default() };
        let mut one = connection("[2001:db8::1]:8443", Opening::Completed, Closing::RstOnly, side, side);
        let facts = [
            Value::Word("abort"),
            Value::Flag(true),
            Value::Number(-5),
            Value::Milliseconds(1_213_999),
            Value::Instead(243, 64),
            Value::OfConnections(5, 6),
            Value::Text("a \"name\"\u{1b}[2J é\u{202e}".into()),
        ];
        one.verdict.facts = facts.into_iter().map(|value| Fact { name: "rst.form", value }).collect();
        one.labels = Labels { client_zone: Some(Name::read("Büro \\ \"1\"")), ..Labels::default() };
        (one.start_ns, one.duration_ns, one.idle_gap_ns) =
            (1_700_000_000_123_456_789, 61_500_000_000, Some(60_000_000_000));
        (one.stage, one.conn_state) = (Some(Stage::PostPsh), ConnState::RSTR);
        one
    }

    /// What the serializer makes of it.
    fn serialized(connection: &Connection) -> String {
        let object = printable::json::line(&ConnectionJson::new(connection)).expect("an object");
        let schema = format!("{{\"schema\":\"{CONNECTION_SCHEMA}\",");
        schema + object.strip_prefix('{').expect("an object") + "\n"
    }

    proptest::proptest! {
        /// Several, one after the other: each in the room that the one before has left.
        #[test]
        fn lines_are_what_a_serializer_writes(records in proptest::collection::vec(record(), 1..8)) {
            let mut lines = LineBuffer::default();
            for one in &records {
                let before = lines.len();
                append_connection_line(&mut lines, one, false);
                proptest::prop_assert!(lines.len() - before <= most_bytes(one));
            }
            proptest::prop_assert_eq!(lines.finish(), records.iter().map(serialized).collect::<String>());
        }
    }

    #[test]
    fn a_line_is_what_a_serializer_writes() {
        let ipv4 = "10.0.0.200:80".parse::<SocketAddr>().expect("an address");
        for cause in Cause::ALL {
            for (resp, basis) in [(odd_one().resp, Basis::AllSegments), (ipv4, Basis::ControlOnly)] {
                let mut one = Connection { resp, basis, ..odd_one() };
                one.verdict.cause = *cause;
                assert_eq!(line(&one), serialized(&one));
            }
        }
        let plain = Connection { history: Letters::default(), duration_ns: 0, stage: None, ..odd_one() };
        let mut provisional = LineBuffer::default();
        append_connection_line(&mut provisional, &plain, true);
        assert_eq!(provisional.finish(), line(&plain).replace("\"provisional\":false", "\"provisional\":true"));
    }

    /// Of words that are written as they are.
    #[test]
    fn no_word_has_anything_to_be_escaped() {
        for field in FIELDS {
            let Kind::Word(words) = field.kind else { continue };
            for word in (words.all)() {
                assert_eq!(printable::json::line(&word.name).expect("a string"), format!("\"{}\"", word.name));
            }
        }
    }

    #[test]
    fn what_depth_control_does_not_count_is_null() {
        let side = Side { rst: 1, packets: 3, bytes: 7, ..Side::default() };
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, side, side);
        for (basis, packets) in [(Basis::AllSegments, Some(3)), (Basis::ControlOnly, None)] {
            one.basis = basis;
            let line: serde_json::Value = serde_json::from_str(&line(&one)).expect("JSON");
            let server = &line["from_server"];
            assert_eq!((server["packets"].as_u64(), server["rst"].as_u64()), (packets, Some(1)));
            assert_eq!(server["ip_bytes"].is_null(), packets.is_none());
            assert_eq!((server["bytes"].as_u64(), server["ttl"].is_null()), (Some(7), true));
        }
    }
}

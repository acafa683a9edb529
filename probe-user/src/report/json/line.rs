//! Line of a connection: its JSON as text without a serializer's detours, several times as fast. Says what
//! [`ConnectionJson`](super::connection::ConnectionJson) says, which a test holds it to.

use std::fmt::{Display, Write};

use super::layout::{ITEMS, Item, What};
use crate::{
    printable::json::push_string,
    record::{Connection, Fact, Field, FieldValue, Kind, Scope, Unit, Value},
    report::text::{push_address, push_number, timestamp},
};

/// Schema of one connection line of `ndjson`.
pub const CONNECTION_SCHEMA: &str = "rstprobe.connection/1";

/// Appends one connection as one line. `provisional`: a later line may correct cause and impact, as more may become known of
/// the service or the client.
///
/// # Errors
/// Never for this data.
pub fn append_connection_line(out: &mut String, connection: &Connection, provisional: bool) -> serde_json::Result<()> {
    out.push_str("{\"schema\":\"");
    out.push_str(CONNECTION_SCHEMA);
    out.push('"');
    append_items(out, &ITEMS, connection)?;
    out.push_str(if provisional { ",\"provisional\":true}\n" } else { ",\"provisional\":false}\n" });
    Ok(())
}

fn append_items(out: &mut String, items: &[Item], connection: &Connection) -> serde_json::Result<()> {
    for item in items {
        out.push_str(&item.lead);
        match &item.what {
            What::Field(field, scope) => append_value(out, field, *scope, connection)?,
            What::CauseText => append_word(out, connection.verdict.cause.explanation()),
            What::Facts => append_facts(out, &connection.verdict.facts)?,
            What::Object(items) => {
                out.push('{');
                append_items(out, items, connection)?;
                out.push('}');
            }
        }
    }
    Ok(())
}

fn append_value(out: &mut String, field: &Field, scope: Scope, connection: &Connection) -> serde_json::Result<()> {
    // Most are numbers of a side.
    if let Kind::Sides(Unit::Count | Unit::Bytes, of) = field.kind {
        match field.number(connection, scope, of) {
            Some(number) => push_number(out, number),
            None => out.push_str("null"),
        }
        return Ok(());
    }
    match field.value(connection, scope) {
        None => out.push_str("null"),
        Some(FieldValue::Word(word)) if matches!(field.kind, Kind::Word(_)) => append_word(out, word),
        Some(FieldValue::Word(text) | FieldValue::Text(text)) => push_string(out, text)?,
        Some(FieldValue::Address(address)) => {
            out.push('"');
            push_address(out, address);
            out.push('"');
        }
        Some(FieldValue::TcpPort(port)) => append_shown(out, format_args!("tcp/{port}")),
        Some(FieldValue::Number(Unit::Count | Unit::Bytes, number)) => push_number(out, number),
        Some(FieldValue::Number(Unit::Duration, ns)) => append_float(out, ns as f64 / 1e9),
        Some(FieldValue::Number(Unit::Time, ns)) => append_word(out, &timestamp(ns)),
        Some(FieldValue::Number(Unit::PerSecond, bits)) => append_float(out, f64::from_bits(bits)),
    }
    Ok(())
}

fn append_float(out: &mut String, number: f64) {
    // What the serializer of JSON takes as well. None of ours is infinite.
    out.push_str(zmij::Buffer::new().format_finite(number));
}

/// A word of ours: nothing in it is to be escaped.
fn append_word(out: &mut String, word: &str) {
    out.push('"');
    out.push_str(word);
    out.push('"');
}

/// What is shown by digits, letters and dots.
fn append_shown(out: &mut String, shown: impl Display) {
    // Writing to a String cannot fail.
    let _infallible = write!(out, "\"{shown}\"");
}

fn append_facts(out: &mut String, facts: &[Fact]) -> serde_json::Result<()> {
    out.push('[');
    for (at, Fact { name, value }) in facts.iter().enumerate() {
        out.push_str(if at == 0 { "{\"name\":\"" } else { ",{\"name\":\"" });
        out.push_str(name);
        out.push_str("\",\"value\":");
        match value {
            Value::Word(word) => push_string(out, word)?,
            Value::Text(text) => push_string(out, text)?,
            other => append_shown(out, other),
        }
        out.push('}');
    }
    out.push(']');
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::{
        aggregate::tests::connection,
        printable,
        record::{Basis, Cause, Closing, ConnState, Labels, Name, Opening, Side, Stage},
        report::json::connection::ConnectionJson,
        tcp::Letters,
    };

    fn line(connection: &Connection) -> String {
        let mut line = String::new();
        append_connection_line(&mut line, connection, false).expect("a line");
        line
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

    #[test]
    fn a_line_is_what_a_serializer_writes() {
        let ipv4 = "10.0.0.200:80".parse::<SocketAddr>().expect("an address");
        for cause in Cause::ALL {
            for (resp, basis) in [(odd_one().resp, Basis::AllSegments), (ipv4, Basis::ControlOnly)] {
                let mut one = Connection { resp, basis, ..odd_one() };
                one.verdict.cause = *cause;
                let object = printable::json::line(&ConnectionJson::new(&one)).expect("an object");
                let schema = format!("{{\"schema\":\"{CONNECTION_SCHEMA}\",");
                assert_eq!(line(&one), schema + object.strip_prefix('{').expect("an object") + "\n");
            }
        }
        let plain = Connection { history: Letters::default(), duration_ns: 0, stage: None, ..odd_one() };
        let mut provisional = String::new();
        append_connection_line(&mut provisional, &plain, true).expect("a line");
        assert_eq!(provisional, line(&plain).replace("\"provisional\":false", "\"provisional\":true"));
    }

    /// Of words that are written as they are.
    #[test]
    fn no_word_has_anything_to_be_escaped() {
        for field in crate::record::field_table::FIELDS {
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

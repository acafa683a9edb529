//! One connection in JSON: an element of a snapshot, and the line that corrects one of a stream.

use std::net::SocketAddr;

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::layout::{ITEMS, What};
use crate::{
    printable,
    record::{Connection, Fact, FieldValue, Unit, Value},
    report::text,
};

/// Schema of a line of `ndjson` that corrects an earlier one.
pub const AMENDMENT_SCHEMA: &str = "rstprobe.amendment/1";
#[derive(Serialize)]
pub(super) struct EndpointJson {
    addr: String,
    port: u16,
}

impl From<SocketAddr> for EndpointJson {
    fn from(endpoint: SocketAddr) -> Self {
        Self { addr: endpoint.ip().to_string(), port: endpoint.port() }
    }
}

#[derive(Serialize)]
struct FactJson<'a> {
    name: &'a str,
    value: Text<'a>,
}

/// A fact's value is a string, whatever it was made of.
struct Text<'a>(&'a Value);

impl Serialize for Text<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Value::Word(word) => serializer.serialize_str(word),
            other => serializer.collect_str(other),
        }
    }
}

/// What a verdict rests on.
struct Facts<'a>(&'a [Fact]);

impl Serialize for Facts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|fact| FactJson { name: fact.name, value: Text(&fact.value) }))
    }
}

/// A connection with every field that has a key, in the order of the table.
pub(super) struct ConnectionJson<'a> {
    connection: &'a Connection,
}

impl<'a> ConnectionJson<'a> {
    pub(super) fn new(connection: &'a Connection) -> Self {
        Self { connection }
    }
}

impl Serialize for ConnectionJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for item in ITEMS.iter() {
            map.serialize_entry(item.key, &Shown { connection: self.connection, what: &item.what })?;
        }
        // A document's verdicts are the last word.
        map.serialize_entry("provisional", &false)?;
        map.end()
    }
}

/// One value of a connection.
struct Shown<'a> {
    connection: &'a Connection,
    what: &'a What,
}

impl Serialize for Shown<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { connection, what } = *self;
        match what {
            What::Field(field, scope) => Scalar(field.value(connection, *scope)).serialize(serializer),
            What::CauseText => serializer.serialize_str(connection.verdict.cause.explanation()),
            What::Facts => Facts(&connection.verdict.facts).serialize(serializer),
            What::Object(items) => {
                serializer.collect_map(items.iter().map(|item| (item.key, Shown { connection, what: &item.what })))
            }
        }
    }
}

/// One field's value; null where the record has none.
struct Scalar<'a>(Option<FieldValue<'a>>);

impl Serialize for Scalar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            None => serializer.serialize_none(),
            Some(FieldValue::Word(text) | FieldValue::Text(text)) => serializer.serialize_str(text),
            Some(FieldValue::Address(address)) => serializer.collect_str(&address),
            Some(FieldValue::TcpPort(port)) => serializer.collect_str(&format_args!("tcp/{port}")),
            Some(FieldValue::Number(Unit::Count | Unit::Bytes, number)) => serializer.serialize_u64(number),
            Some(FieldValue::Number(Unit::Duration, ns)) => serializer.serialize_f64(ns as f64 / 1e9),
            Some(FieldValue::Number(Unit::Time, ns)) => serializer.serialize_str(&text::timestamp(ns)),
            Some(FieldValue::Number(Unit::PerSecond, bits)) => serializer.serialize_f64(f64::from_bits(bits)),
        }
    }
}

#[derive(Serialize)]
struct AmendmentJson<'a> {
    schema: &'static str,
    /// Of the connection's line.
    id: u64,
    reset_by: &'static str,
    impact: &'static str,
    cause: Option<Shown<'a>>,
}

/// What is to be said of a connection that was printed before, as one line.
///
/// # Errors
/// Never for this data.
pub fn amendment_line(connection: &Connection) -> serde_json::Result<String> {
    let line = AmendmentJson {
        schema: AMENDMENT_SCHEMA,
        id: connection.id,
        reset_by: connection.reset_by.as_str(),
        impact: connection.verdict.impact.as_str(),
        cause: ITEMS.iter().find(|item| item.key == "cause").map(|item| Shown { connection, what: &item.what }),
    };
    printable::json::line(&line).map(|text| text + "\n")
}

//! One connection in JSON: an element of a snapshot, a line of a stream, and the line that corrects one.

use std::{mem::discriminant, net::SocketAddr};

use serde::{Serialize, Serializer, ser::SerializeMap};

use crate::{
    printable,
    record::{Connection, Fact, Field, FieldValue, Json, Scope, Unit, Value, field_table::FIELDS},
    report::text,
};

/// Schema of one connection line of `ndjson`.
pub const CONNECTION_SCHEMA: &str = "rstprobe.connection/1";
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

/// The fields of `cause`, the text of the cause after its id, and at the end what the verdict rests on.
struct CauseJson<'a> {
    connection: &'a Connection,
    fields: &'static [Field],
}

impl<'a> CauseJson<'a> {
    /// Of a line that has no other fields of the table.
    fn alone(connection: &'a Connection) -> Self {
        let fields = FIELDS.chunk_by(|one, next| discriminant(&one.json) == discriminant(&next.json));
        let fields = fields.into_iter().find(|fields| matches!(fields[0].json, Json::Cause(_)));
        Self { connection, fields: fields.unwrap_or_default() }
    }
}

impl Serialize for CauseJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let verdict = &self.connection.verdict;
        let mut map = serializer.serialize_map(None)?;
        for (at, field) in self.fields.iter().enumerate() {
            if let Some(key) = key(field) {
                map.serialize_entry(key, &Scalar(field.value(self.connection, Scope::Both)))?;
            }
            if at == 0 {
                map.serialize_entry("text", verdict.cause.explanation())?;
            }
        }
        map.serialize_entry("evidence", &Facts(&verdict.facts))?;
        map.end()
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
    schema: Option<&'static str>,
    connection: &'a Connection,
    /// A later line may correct cause and impact: more may become known of the service or the client.
    provisional: bool,
}

impl<'a> ConnectionJson<'a> {
    pub(super) fn new(connection: &'a Connection, schema: Option<&'static str>, provisional: bool) -> Self {
        Self { schema, connection, provisional }
    }
}

impl Serialize for ConnectionJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let connection = self.connection;
        let mut map = serializer.serialize_map(None)?;
        if let Some(schema) = self.schema {
            map.serialize_entry("schema", schema)?;
        }
        for fields in FIELDS.chunk_by(|one, next| discriminant(&one.json) == discriminant(&next.json)) {
            let object = |scope| Object { connection, fields, scope };
            match fields[0].json {
                Json::Absent => (),
                Json::Line(_) => {
                    for field in fields {
                        if let Some(key) = key(field) {
                            map.serialize_entry(key, &Scalar(field.value(connection, Scope::Both)))?;
                        }
                    }
                }
                Json::Cause(_) => map.serialize_entry("cause", &CauseJson { connection, fields })?,
                Json::End(_) => {
                    map.serialize_entry("client", &object(Scope::Client))?;
                    map.serialize_entry("server", &object(Scope::Server))?;
                }
                Json::Side(_) => {
                    map.serialize_entry("from_client", &object(Scope::Client))?;
                    map.serialize_entry("from_server", &object(Scope::Server))?;
                }
            }
        }
        map.serialize_entry("provisional", &self.provisional)?;
        map.end()
    }
}

/// What JSON calls a field within its object.
fn key(field: &Field) -> Option<&'static str> {
    match field.json {
        Json::Absent => None,
        Json::Line(key) | Json::End(key) | Json::Cause(key) | Json::Side(key) => Some(key),
    }
}

/// Fields of one side.
struct Object<'a> {
    connection: &'a Connection,
    fields: &'static [Field],
    scope: Scope,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let named = self.fields.iter().filter_map(|field| Some((key(field)?, field)));
        serializer.collect_map(named.map(|(key, field)| (key, Scalar(field.value(self.connection, self.scope)))))
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

/// One connection as one line.
///
/// # Errors
/// Never for this data.
pub fn connection_line(connection: &Connection, provisional: bool) -> serde_json::Result<String> {
    let line = ConnectionJson::new(connection, Some(CONNECTION_SCHEMA), provisional);
    printable::json::line(&line).map(|text| text + "\n")
}

#[derive(Serialize)]
struct AmendmentJson<'a> {
    schema: &'static str,
    /// Of the connection's line.
    id: u64,
    reset_by: &'static str,
    impact: &'static str,
    cause: CauseJson<'a>,
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
        cause: CauseJson::alone(connection),
    };
    printable::json::line(&line).map(|text| text + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Basis, Closing, Opening, Side},
    };

    #[test]
    fn what_depth_control_does_not_count_is_null() {
        let side = Side { rst: 1, packets: 3, bytes: 7, ..Side::default() };
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, side, side);
        for (basis, packets) in [(Basis::AllSegments, Some(3)), (Basis::ControlOnly, None)] {
            one.basis = basis;
            let line = connection_line(&one, false).expect("a line");
            let line: serde_json::Value = serde_json::from_str(&line).expect("JSON");
            let server = &line["from_server"];
            assert_eq!((server["packets"].as_u64(), server["rst"].as_u64()), (packets, Some(1)));
            assert_eq!(server["ip_bytes"].is_null(), packets.is_none());
            assert_eq!((server["bytes"].as_u64(), server["ttl"].is_null()), (Some(7), true));
        }
    }
}

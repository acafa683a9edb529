//! Keys that connections are grouped by, and the value of a connection under each.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::QueryError;
use crate::record::{
    Closing, Connection, FieldValue, Kind, Scope,
    field_table::{FIELDS, FieldRef},
};

/// Step of `--by time` when none is named.
const STEP: Duration = Duration::from_mins(1);

/// What is grouped by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum By {
    /// Client address.
    Client,
    /// Server address and port.
    Server,
    /// Client address and server address, whatever the ports.
    Conversation,
    /// Server port.
    Service,
    /// Start, in steps of so many nanoseconds.
    Time(u64),
    /// A word or a number of the connection, by its field.
    Field(FieldRef),
}

/// One part of a group's key.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum KeyPart {
    /// The value is not known of these connections.
    Unknown,
    /// A number.
    Number(u64),
    /// Nanoseconds since 1970, and digits of a second that steps differ in: 0, 3, 6 or 9.
    Time(u64, u8),
    /// An address.
    Address(IpAddr),
    /// Two addresses.
    Pair(IpAddr, IpAddr),
    /// Address and port.
    Service(SocketAddr),
    /// A word.
    Word(&'static str),
}

impl By {
    /// Reads a key, such as `client`, `cause` or `time:10s`.
    ///
    /// # Errors
    /// [`QueryError::By`] when nothing is grouped by that.
    pub(super) fn read(text: &str) -> Result<Self, QueryError> {
        let text = text.trim();
        let unknown = || QueryError::By { key: text.to_owned(), known: known().join(", ") };
        if let Some(step) = text.strip_prefix("time") {
            let step = match step.strip_prefix(':') {
                Some(step) => humantime::parse_duration(step).map_err(|_| unknown())?,
                None if step.is_empty() => STEP,
                None => return Err(unknown()),
            };
            let ns = u64::try_from(step.as_nanos()).ok().filter(|ns| *ns > 0).ok_or_else(unknown)?;
            return Ok(Self::Time(ns));
        }
        match text {
            "client" => Ok(Self::Client),
            "server" => Ok(Self::Server),
            "conversation" => Ok(Self::Conversation),
            "service" => Ok(Self::Service),
            name => {
                let name = name.replace('-', "_");
                FieldRef::find(&name).filter(|field| is_key(*field)).map(Self::Field).ok_or_else(unknown)
            }
        }
    }

    /// As it is typed, without the step of a time.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Conversation => "conversation",
            Self::Service => "service",
            Self::Time(_) => "time",
            Self::Field(field) => field.name(),
        }
    }

    /// Whether the two would write the same name twice.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let is_end = |by: &Self| matches!(by, Self::Client | Self::Server);
        let is_pair = |by: &Self| matches!(by, Self::Conversation);
        self.name() == other.name() || is_pair(self) && is_end(other) || is_end(self) && is_pair(other)
    }

    /// The value of a connection.
    pub(super) fn of(&self, connection: &Connection) -> KeyPart {
        // Who is client of an RST that belongs to no connection is a guess.
        let is_guess = connection.closing == Closing::RstWithoutConnection;
        if is_guess && !matches!(self, Self::Time(_) | Self::Field(_)) {
            return KeyPart::Unknown;
        }
        let ip = |end: SocketAddr| end.ip().to_canonical();
        match self {
            Self::Client => KeyPart::Address(ip(connection.orig)),
            Self::Server => KeyPart::Service(SocketAddr::new(ip(connection.resp), connection.resp.port())),
            Self::Conversation => KeyPart::Pair(ip(connection.orig), ip(connection.resp)),
            Self::Service => KeyPart::Number(connection.resp.port().into()),
            Self::Time(step) => KeyPart::in_step(connection.start_ns, *step),
            Self::Field(field) => match field.field.value(connection, field.scope) {
                Some(FieldValue::Word(word)) => KeyPart::Word(word),
                Some(FieldValue::Number(_, number)) => KeyPart::Number(number),
                Some(FieldValue::Address(address)) => KeyPart::Address(address),
                Some(FieldValue::Text(_)) | None => KeyPart::Unknown,
            },
        }
    }
}

impl KeyPart {
    /// The step that a time is in; both nanoseconds.
    pub(super) fn in_step(ns: u64, step_ns: u64) -> Self {
        Self::Time(ns / step_ns * step_ns, digits(step_ns))
    }
}

impl fmt::Display for KeyPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("-"),
            Self::Number(number) => number.fmt(f),
            Self::Time(ns, digits) => {
                let at = std::time::UNIX_EPOCH + Duration::from_nanos(*ns);
                match digits {
                    0 => humantime::format_rfc3339_seconds(at).fmt(f),
                    3 => humantime::format_rfc3339_millis(at).fmt(f),
                    6 => humantime::format_rfc3339_micros(at).fmt(f),
                    _ => humantime::format_rfc3339_nanos(at).fmt(f),
                }
            }
            Self::Address(address) => address.fmt(f),
            Self::Pair(client, server) => write!(f, "{client} -> {server}"),
            Self::Service(server) => server.fmt(f),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// Digits of a second that steps of so many nanoseconds differ in.
const fn digits(step: u64) -> u8 {
    if step.is_multiple_of(1_000_000_000) {
        0
    } else if step.is_multiple_of(1_000_000) {
        3
    } else if step.is_multiple_of(1000) {
        6
    } else {
        9
    }
}

/// Words, and the numbers of which there are few.
fn is_key(field: FieldRef) -> bool {
    matches!(field.field.kind, Kind::Word(_))
        || matches!(field.name(), "domain" | "ip.version" | "server.port" | "client.ip" | "server.ip" | "ct.count")
}

/// What can be grouped by.
fn known() -> Vec<&'static str> {
    let words = FIELDS.iter().map(|field| FieldRef { field, scope: Scope::Both });
    let words = words.filter(|field| is_key(*field)).map(FieldRef::name);
    ["client", "server", "conversation", "service", "time[:STEP]"].into_iter().chain(words).collect()
}

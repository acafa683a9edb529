//! Keys that connections are grouped by, and the value of a connection under each.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use super::QueryError;
use crate::printable::escaped;
use crate::record::{
    Closing, Connection, FieldValue, Kind, Name, Orientation, Scope,
    field_table::{FIELDS, FieldRef},
};

/// Step of `--by time` when none is named, nanoseconds.
const STEP_NS: u64 = 60_000_000_000;

/// What is grouped by.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum By {
    /// Client address.
    Client,
    /// Server address and port.
    Server,
    /// Client address and server address, whatever the ports.
    Conversation,
    /// Server port, with the name of what is served there.
    Service,
    /// The same where it is known who serves; of others the port is perhaps the client's.
    KnownService,
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
    Server(SocketAddr),
    /// Port, and its name where it has one.
    Service(u16, Option<Name>),
    /// A word.
    Word(&'static str),
}

impl By {
    /// Reads a key, such as `client`, `cause` or `time:10s`.
    ///
    /// # Errors
    /// [`QueryError::By`] when nothing is grouped by that, [`QueryError::Step`] for a step that is no time.
    pub(super) fn read(text: &str) -> Result<Self, QueryError> {
        let text = text.trim();
        let unknown = || QueryError::By { key: escaped(text).into_owned(), known: known().join(", ") };
        if let Some(step) = text.strip_prefix("time") {
            let step = match step.strip_prefix(':') {
                Some(step) => step_ns(step).ok_or_else(|| QueryError::Step(escaped(step).into_owned()))?,
                None if step.is_empty() => STEP_NS,
                None => return Err(unknown()),
            };
            return Ok(Self::Time(step));
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
            Self::Service | Self::KnownService => "service",
            Self::Time(_) => "time",
            Self::Field(field) => field.name(),
        }
    }

    /// Whether it groups by the name of a zone or a service.
    pub fn asks_labels(&self) -> bool {
        match self {
            Self::Service | Self::KnownService => true,
            Self::Field(field) => field.field.is_label(),
            Self::Client | Self::Server | Self::Conversation | Self::Time(_) => false,
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
        if is_guess && (!matches!(self, Self::Time(_) | Self::Field(_)) || self.asks_labels()) {
            return KeyPart::Unknown;
        }
        let ip = |end: SocketAddr| end.ip().to_canonical();
        match self {
            Self::Client => KeyPart::Address(ip(connection.orig)),
            Self::Server => KeyPart::Server(SocketAddr::new(ip(connection.resp), connection.resp.port())),
            Self::Conversation => KeyPart::Pair(ip(connection.orig), ip(connection.resp)),
            Self::KnownService if connection.orientation == Orientation::FirstSender => KeyPart::Unknown,
            Self::Service | Self::KnownService => KeyPart::Service(connection.resp.port(), connection.labels.service),
            Self::Time(step) => KeyPart::step(connection.start_ns, *step),
            Self::Field(field) => match field.field.value(connection, field.scope) {
                Some(FieldValue::Word(word)) => KeyPart::Word(word),
                Some(FieldValue::Number(_, number)) => KeyPart::Number(number),
                Some(FieldValue::Address(address)) => KeyPart::Address(address),
                // Keys are copied freely: there are few names of processes, or else the further ones are one group.
                Some(FieldValue::Text(name)) if matches!(field.field.kind, Kind::Name(_)) => {
                    KeyPart::Word(Name::of_few(name).as_str())
                }
                Some(FieldValue::Text(_) | FieldValue::TcpPort(_)) | None => KeyPart::Unknown,
            },
        }
    }
}

impl KeyPart {
    /// The step of so many nanoseconds that a time is in.
    pub(super) fn step(ns: u64, step_ns: u64) -> Self {
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
            Self::Server(server) => server.fmt(f),
            Self::Service(port, None) => port.fmt(f),
            Self::Service(port, Some(name)) => write!(f, "{port} {}", name.as_str()),
            Self::Word(word) => f.write_str(word),
        }
    }
}

/// A step as it is typed, nanoseconds; `None` for what is no time, or none at all.
fn step_ns(text: &str) -> Option<u64> {
    let ns = humantime::parse_duration(text).ok()?.as_nanos();
    u64::try_from(ns).ok().filter(|ns| *ns > 0)
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
        || matches!(field.field.kind, Kind::Name(_)) && field.name() != "zone"
}

/// What can be grouped by.
fn known() -> Vec<&'static str> {
    let words = FIELDS.iter().map(|field| FieldRef { field, scope: Scope::Both });
    let words = words.filter(|field| is_key(*field)).map(FieldRef::name).filter(|name| *name != "service");
    ["client", "server", "conversation", "service", "client-zone", "server-zone", "time[:STEP]"]
        .into_iter()
        .chain(words)
        .collect()
}

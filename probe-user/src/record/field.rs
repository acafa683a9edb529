//! Field of a connection record: names, type, unit, and how its value is read. [`fields`](super::field_table) is the table of them.
//!
//! Filter, JSON, help, `rstprobe fields` and the documentation are made from these descriptions. Must not know: how any of
//! them looks.

use std::net::{IpAddr, SocketAddr};

use crate::record::{Basis, Connection, Side};

/// One row of the table.
#[derive(Clone, Copy)]
pub struct Field {
    /// Names by [`Scope`]; empty where there is no such field.
    pub names: [&'static str; 3],
    /// Further names that filters take.
    pub also: &'static [(&'static str, Scope)],
    /// Where JSON has it.
    pub json: Json,
    /// What it says, in one line for people.
    pub meaning: &'static str,
    /// How it is read of a record.
    pub kind: Kind,
    /// It may change when more is known of the service or host.
    pub of_verdict: bool,
    /// When a record has it.
    pub provided: Provided,
}

/// Whose value it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// The connection's: of counts the sum, of addresses and ports either.
    Both,
    /// The client's, that is the originator's.
    Client,
    /// The server's, that is the responder's.
    Server,
}

impl Scope {
    /// Every scope, in the order of a field's names.
    pub const ALL: [Self; 3] = [Self::Both, Self::Client, Self::Server];
}

/// Where a field is in a connection's JSON.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Json {
    /// Nowhere: other keys tell it.
    Absent,
    /// A key of the connection.
    Line(&'static str),
    /// A key of `client` and of `server`.
    End(&'static str),
    /// A key of `cause`.
    Cause(&'static str),
    /// A key of `from_client` and of `from_server`.
    Side(&'static str),
}

/// When a record has a value of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Provided {
    /// Every record has one.
    Always,
    /// Where every segment was counted: not with `--depth control`.
    AllSegments,
    /// Where something was seen that tells it, as the field's meaning says.
    WhenSeen,
}

impl Provided {
    /// For people.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "always",
            Self::AllSegments => "not with --depth control",
            Self::WhenSeen => "when seen",
        }
    }
}

/// How a field is read of a record, and what it is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// A number of each side; `None` where the side does not know it. [`Provided::AllSegments`] is not looked at.
    Sides(Unit, fn(&Side) -> Option<u64>),
    /// A number of the connection.
    Number(Unit, fn(&Connection) -> Option<u64>),
    /// A port.
    Port,
    /// An address.
    Address,
    /// A word of a fixed list.
    Word(&'static Words),
    /// The history letters.
    Letters,
    /// A name that a zones file, a table of ports or the host that reset gives: the connection's, or one end's.
    Name(for<'a> fn(&'a Connection, Scope) -> Option<FieldValue<'a>>),
}

impl Kind {
    /// Type and unit, for people.
    pub const fn type_name(&self) -> &'static str {
        match self {
            Self::Sides(unit, _) | Self::Number(unit, _) => unit.name(),
            Self::Port => "port",
            Self::Address => "address",
            Self::Word(_) => "word",
            Self::Letters => "letters",
            Self::Name(_) => "name",
        }
    }
}

/// What a number counts or measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unit {
    /// `3`.
    Count,
    /// `3`, `64K`, `10M`, `1G`.
    Bytes,
    /// Nanoseconds: `30s`, `1h30m`. JSON has seconds.
    Duration,
    /// Nanoseconds since 1970: `2026-11-21T14:00:00Z`.
    Time,
    /// Events per second, `0.5`: the bits of an `f64` that is not negative, which order as it does.
    PerSecond,
}

impl Unit {
    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::Time => "time",
            Self::PerSecond => "per second",
        }
    }
}

/// Words of which a field has one.
pub struct Words {
    /// Which one it is in a record: the number of its value; [`NO_WORD`] for none.
    pub of: fn(&Connection) -> u8,
    /// The word itself.
    pub word_of: fn(&Connection) -> Option<&'static str>,
    /// All of them.
    pub all: fn() -> Vec<Word>,
    /// They can be compared by `<` and the like.
    pub is_ordered: bool,
}

/// The number of no word.
pub const NO_WORD: u8 = 63;

/// A value by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Word {
    /// As outputs write it.
    pub name: &'static str,
    /// Its number, below [`NO_WORD`].
    pub number: u8,
    /// One line for people.
    pub meaning: &'static str,
}

/// A value of a field.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum FieldValue<'a> {
    /// In the field's unit.
    Number(Unit, u64),
    /// An address, IPv4 within IPv6 as IPv4.
    Address(IpAddr),
    /// One of the field's words.
    Word(&'static str),
    /// Letters.
    Text(&'a str),
    /// A TCP port without a name, `tcp/8443`.
    TcpPort(u16),
}

impl Field {
    /// Whether a zones file or a table of ports gives its values, so that they are known beforehand.
    pub fn is_label(&self) -> bool {
        matches!(self.kind, Kind::Name(_)) && matches!(self.names[0], "zone" | "service")
    }

    /// The value in a record; `None` where it has none, or where the field has no value of this scope.
    pub fn value<'a>(&self, connection: &'a Connection, scope: Scope) -> Option<FieldValue<'a>> {
        let of_connection = scope == Scope::Both;
        match self.kind {
            Kind::Sides(unit, of) => self.number(connection, scope, of).map(|number| FieldValue::Number(unit, number)),
            Kind::Number(unit, of) if of_connection => of(connection).map(|number| FieldValue::Number(unit, number)),
            Kind::Word(words) if of_connection => (words.word_of)(connection).map(FieldValue::Word),
            Kind::Letters if of_connection => Some(FieldValue::Text(&connection.history)),
            Kind::Port if !of_connection => {
                Some(FieldValue::Number(Unit::Count, u64::from(end(connection, scope).port())))
            }
            Kind::Name(of) => of(connection, scope),
            Kind::Address if !of_connection => Some(FieldValue::Address(address(connection, scope))),
            Kind::Number(..) | Kind::Word(_) | Kind::Letters | Kind::Port | Kind::Address => None,
        }
    }

    /// A number of the sides: one's, or their sum. `of` is that of this field's kind.
    pub(crate) fn number(&self, connection: &Connection, scope: Scope, of: fn(&Side) -> Option<u64>) -> Option<u64> {
        if self.provided == Provided::AllSegments && connection.basis == Basis::ControlOnly {
            return None;
        }
        match scope {
            Scope::Both => Some(of(&connection.from_orig)?.saturating_add(of(&connection.from_resp)?)),
            Scope::Client => of(&connection.from_orig),
            Scope::Server => of(&connection.from_resp),
        }
    }

    /// Its path in JSON, `from_server.rst`; `None` where JSON has no such key.
    pub fn json_path(&self, scope: Scope) -> Option<String> {
        let of = |client: &str, server: &str, key: &str| match scope {
            Scope::Both => None,
            Scope::Client => Some(format!("{client}.{key}")),
            Scope::Server => Some(format!("{server}.{key}")),
        };
        match self.json {
            Json::Absent => None,
            Json::Line(key) => (scope == Scope::Both).then(|| key.to_owned()),
            Json::Cause(key) => (scope == Scope::Both).then(|| format!("cause.{key}")),
            Json::End(key) => of("client", "server", key),
            Json::Side(key) => of("from_client", "from_server", key),
        }
    }
}

/// A side's end of the connection.
pub fn end(connection: &Connection, scope: Scope) -> SocketAddr {
    if scope == Scope::Server { connection.resp } else { connection.orig }
}

/// The address as a number of either family, IPv4 within IPv6 as IPv4.
pub fn address(connection: &Connection, scope: Scope) -> IpAddr {
    end(connection, scope).ip().to_canonical()
}

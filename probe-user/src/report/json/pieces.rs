//! Pieces of a connection's line: what comes before each value, and which value it is; made of the field table when this is
//! compiled, so that a line is text that is copied and values between.

use crate::record::{Field, Json, Scope, field_table::FIELDS};

/// Schema of one connection line of `ndjson`.
pub const CONNECTION_SCHEMA: &str = "rstprobe.connection/1";

/// Values of a line at most.
const MOST: usize = 96;
/// Bytes before a value at most.
const MOST_BEFORE: usize = 64;

/// A value, and what comes before it.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    pub(super) before: Text,
    pub(super) content: Content,
}

/// A value.
#[derive(Clone, Copy)]
pub(super) enum Content {
    /// That of the field at this place of the table, null where the record has none.
    Field(usize, Scope),
    /// The text of the cause.
    CauseText,
    /// What the verdict rests on.
    Facts,
}

/// All pieces of a line.
pub(super) struct Pieces {
    pub(super) all: [Piece; MOST],
    pub(super) len: usize,
    /// After the last value.
    pub(super) end: Text,
    /// Nothing is in the object yet that is open.
    is_first: bool,
}

/// Text that is made when this is compiled.
#[derive(Clone, Copy)]
pub(super) struct Text {
    bytes: [u8; MOST_BEFORE],
    len: usize,
}

impl Text {
    const EMPTY: Self = Self { bytes: [0; MOST_BEFORE], len: 0 };

    const fn push(&mut self, text: &str) {
        let mut at = 0;
        while at < text.len() {
            self.bytes[self.len] = text.as_bytes()[at];
            (self.len, at) = (self.len + 1, at + 1);
        }
    }

    pub(super) const fn as_bytes(&self) -> &[u8] {
        self.bytes.split_at(self.len).0
    }
}

/// The line's.
pub(super) static PIECES: Pieces = pieces();

const fn pieces() -> Pieces {
    let none = Piece { before: Text::EMPTY, content: Content::Facts };
    let mut pieces = Pieces { all: [none; MOST], len: 0, end: Text::EMPTY, is_first: false };
    pieces.end.push("{\"schema\":\"");
    pieces.end.push(CONNECTION_SCHEMA);
    pieces.end.push("\"");
    let mut from = 0;
    while from < FIELDS.len() {
        let to = end_of_run(from);
        match FIELDS[from].json {
            Json::Absent => (),
            Json::Line(_) => pieces.fields(from, to, Scope::Both),
            Json::Cause(_) => pieces.cause(from, to),
            Json::End(_) => {
                pieces.object("client", from, to, Scope::Client);
                pieces.object("server", from, to, Scope::Server);
            }
            Json::Side(_) => {
                pieces.object("from_client", from, to, Scope::Client);
                pieces.object("from_server", from, to, Scope::Server);
            }
        }
        from = to;
    }
    pieces
}

/// Where fields end that are in the same place as the one at `from`.
const fn end_of_run(from: usize) -> usize {
    let mut to = from + 1;
    while to < FIELDS.len() && is_same_place(&FIELDS[from], &FIELDS[to]) {
        to += 1;
    }
    to
}

const fn is_same_place(one: &Field, other: &Field) -> bool {
    matches!(
        (one.json, other.json),
        (Json::Absent, Json::Absent)
            | (Json::Line(_), Json::Line(_))
            | (Json::End(_), Json::End(_))
            | (Json::Cause(_), Json::Cause(_))
            | (Json::Side(_), Json::Side(_))
    )
}

impl Pieces {
    const fn key(&mut self, key: &str) {
        self.end.push(if self.is_first { "\"" } else { ",\"" });
        self.end.push(key);
        self.end.push("\":");
        self.is_first = false;
    }

    const fn value(&mut self, content: Content) {
        self.all[self.len] = Piece { before: self.end, content };
        self.len += 1;
        self.end = Text::EMPTY;
    }

    const fn fields(&mut self, from: usize, to: usize, scope: Scope) {
        let mut at = from;
        while at < to {
            if let Json::Line(key) | Json::End(key) | Json::Cause(key) | Json::Side(key) = FIELDS[at].json {
                self.key(key);
                self.value(Content::Field(at, scope));
            }
            at += 1;
        }
    }

    const fn open(&mut self, key: &str) {
        self.key(key);
        self.end.push("{");
        self.is_first = true;
    }

    const fn close(&mut self) {
        self.end.push("}");
        self.is_first = false;
    }

    const fn object(&mut self, key: &str, from: usize, to: usize, scope: Scope) {
        self.open(key);
        self.fields(from, to, scope);
        self.close();
    }

    /// The fields of `cause`, the text of the cause after its id, and at the end what the verdict rests on.
    const fn cause(&mut self, from: usize, to: usize) {
        self.open("cause");
        self.fields(from, from + 1, Scope::Both);
        self.key("text");
        self.value(Content::CauseText);
        self.fields(from + 1, to, Scope::Both);
        self.key("evidence");
        self.value(Content::Facts);
        self.close();
    }
}

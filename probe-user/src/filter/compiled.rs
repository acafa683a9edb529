//! Compiled filter: field reads and bounds that are evaluated per connection.

use std::net::IpAddr;

use ipnet::IpNet;

use super::expr::{Comparison, Expr, Relation, Values};
use super::span::Span;
use crate::record::{Connection, Side};
use crate::record::{FieldValue, Kind, Scope, Word, Words, address, end, field_table::FieldRef};

/// A condition.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Any(Box<[Node]>),
    All(Box<[Node]>),
    Not(Box<Node>),
    /// The number is in one of the spans, or in none.
    Number {
        read: Number,
        among: Box<[Span]>,
        is_in: bool,
    },
    /// Either address, or one side's, is in one of the prefixes, or in none.
    Address {
        scope: Scope,
        among: Box<[IpNet]>,
        is_in: bool,
    },
    /// The bit of the value is set.
    Word {
        of: fn(&Connection) -> u8,
        mask: u64,
    },
    /// The letters are these, or are not.
    Letters {
        text: Box<str>,
        is_equal: bool,
    },
    /// The letters are part of the history.
    Contains(Box<str>),
    /// The name, or either end's, is among these, or is not.
    Name {
        of: for<'a> fn(&'a Connection, Scope) -> Option<FieldValue<'a>>,
        scope: Scope,
        among: Box<[String]>,
        is_in: bool,
    },
}

/// How a number is read of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum Number {
    Sides(FieldRef, fn(&Side) -> Option<u64>),
    Connection(fn(&Connection) -> Option<u64>),
    Port(Scope),
}

impl Node {
    pub(super) fn holds(&self, connection: &Connection) -> bool {
        match self {
            Self::Any(nodes) => nodes.iter().any(|node| node.holds(connection)),
            Self::All(nodes) => nodes.iter().all(|node| node.holds(connection)),
            Self::Not(node) => !node.holds(connection),
            Self::Number { read, among, is_in } => number_holds(*read, among, *is_in, connection),
            Self::Address { scope, among, is_in } => {
                let is_among = |address: IpAddr| among.iter().any(|prefix| prefix.contains(&address));
                of_scope(*scope, |scope| is_among(address(connection, scope))) == *is_in
            }
            Self::Word { of, mask } => mask >> of(connection) & 1 == 1,
            Self::Letters { text, is_equal } => (connection.history.as_str() == &**text) == *is_equal,
            Self::Contains(text) => connection.history.contains(&**text),
            Self::Name { of, scope, among, is_in } => {
                let is_asked = |one: &Scope| *scope == Scope::Both || one == scope;
                let mut known =
                    Scope::ALL.into_iter().filter(is_asked).filter_map(|one| of(connection, one)).peekable();
                // Without a value no comparison holds, not even that it is another one.
                known.peek().is_some() && known.any(|value| is_named(value, among)) == *is_in
            }
        }
    }
}

/// Whether the value is one of the names, in any case.
fn is_named(value: FieldValue<'_>, among: &[String]) -> bool {
    let is_port = |name: &str, port: u16| {
        let number = name.get(..4).filter(|protocol| protocol.eq_ignore_ascii_case("tcp/")).map(|_| &name[4..]);
        number.is_some_and(|number| number.parse() == Ok(port))
    };
    among.iter().any(|name| match value {
        FieldValue::Word(word) | FieldValue::Text(word) => word.eq_ignore_ascii_case(name),
        FieldValue::TcpPort(port) => is_port(name, port),
        _ => false,
    })
}

/// Whether it is so of one side, or of either.
fn of_scope(scope: Scope, is_so: impl Fn(Scope) -> bool) -> bool {
    match scope {
        Scope::Both => is_so(Scope::Client) || is_so(Scope::Server),
        one => is_so(one),
    }
}

fn number_holds(read: Number, among: &[Span], is_in: bool, connection: &Connection) -> bool {
    let is_among = |value: u64| among.iter().any(|span| (span.first..=span.last).contains(&value));
    // Without a value no comparison holds, not even that it is another one.
    let holds = |value: Option<u64>| value.is_some_and(|value| is_among(value) == is_in);
    match read {
        Number::Sides(of_field, of) => holds(of_field.field.number(connection, of_field.scope, of)),
        Number::Connection(of) => holds(of(connection)),
        Number::Port(scope) => of_scope(scope, |scope| is_among(u64::from(end(connection, scope).port()))) == is_in,
    }
}

/// What decides whether an expression holds.
pub(super) fn compile(expr: &Expr<FieldRef>) -> Node {
    let all = |parts: &[Expr<FieldRef>]| parts.iter().map(compile).collect();
    match expr {
        Expr::Or(parts) => Node::Any(all(parts)),
        Expr::And(parts) => Node::All(all(parts)),
        Expr::Not(part) => Node::Not(Box::new(compile(part))),
        Expr::Comparison(comparison) => compare(comparison),
    }
}

fn compare(Comparison { field, relation, values }: &Comparison<FieldRef>) -> Node {
    let (scope, is_in) = (field.scope, *relation != Relation::NotEqual);
    let number = |read: Number, spans: &[Span]| {
        let among = spans.iter().filter_map(|span| bounds(*relation, *span)).collect();
        Node::Number { read, among, is_in }
    };
    match (&field.field.kind, values) {
        (Kind::Sides(_, of), Values::Numbers(_, spans)) => number(Number::Sides(*field, *of), spans),
        (Kind::Number(_, of), Values::Numbers(_, spans)) => number(Number::Connection(*of), spans),
        (Kind::Port, Values::Numbers(_, spans)) => number(Number::Port(scope), spans),
        (Kind::Address, Values::Prefixes(prefixes)) => {
            Node::Address { scope, among: prefixes.as_slice().into(), is_in }
        }
        (Kind::Word(known), Values::Words(words)) => Node::Word { of: known.of, mask: mask(known, *relation, words) },
        (Kind::Name(of), Values::Names(names)) => Node::Name { of: *of, scope, among: names.as_slice().into(), is_in },
        (Kind::Letters, Values::Text(text)) if *relation == Relation::Contains => Node::Contains(text.as_str().into()),
        (Kind::Letters, Values::Text(text)) => Node::Letters { text: text.as_str().into(), is_equal: is_in },
        // The parser makes no other pairs; nothing would be such a value.
        _ => Node::Any(Box::default()),
    }
}

/// The values that stand in this relation to one of `words`, a bit each.
fn mask(known: &Words, relation: Relation, words: &[Word]) -> u64 {
    let number = |word: &Word| u64::from(word.number);
    let spans: Vec<_> =
        words.iter().filter_map(|word| bounds(relation, Span { first: number(word), last: number(word) })).collect();
    let is_in = |number: u64| spans.iter().any(|span| (span.first..=span.last).contains(&number));
    let all = (known.all)();
    let holding = all.iter().map(number).filter(|number| is_in(*number) == (relation != Relation::NotEqual));
    holding.fold(0, |mask, number| mask | 1 << number)
}

/// The numbers that stand in this relation to a value; `None` when there are none.
pub(crate) fn bounds(relation: Relation, Span { first, last }: Span) -> Option<Span> {
    let span = |first, last| Some(Span { first, last });
    match relation {
        Relation::Less => span(0, first.checked_sub(1)?),
        Relation::AtMost => span(0, last),
        Relation::More => span(last.checked_add(1)?, u64::MAX),
        Relation::AtLeast => span(first, u64::MAX),
        Relation::Equal | Relation::NotEqual | Relation::In | Relation::Contains => span(first, last),
    }
}

//! Filter expression tree. Its `Display` is the language, and parses as the same expression.

use std::fmt;

use ipnet::IpNet;

use super::literal;
use super::schema::{Schema, ValueKind};
use super::span::Span;
use crate::record::{Unit, Word};

/// A condition.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Expr<S> {
    /// One of them, at least two.
    Or(Vec<Self>),
    /// All of them, at least two.
    And(Vec<Self>),
    /// Not it.
    Not(Box<Self>),
    /// A field against values.
    Comparison(Comparison<S>),
}

/// A field against values.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Comparison<S> {
    /// Left of the relation.
    pub(crate) field: S,
    /// How it is compared.
    pub(crate) relation: Relation,
    /// Right of it.
    pub(crate) values: Values,
}

/// How a field is compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Relation {
    /// It is the value, or in the range or prefix.
    Equal,
    /// It has a value, and not this one.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    AtMost,
    /// `>`.
    More,
    /// `>=`.
    AtLeast,
    /// It is one of the values.
    In,
    /// The text is part of it.
    Contains,
}

impl Relation {
    pub(super) const ALL: [Self; 8] =
        [Self::Equal, Self::NotEqual, Self::Less, Self::AtMost, Self::More, Self::AtLeast, Self::In, Self::Contains];

    /// As it is written.
    pub(super) fn sign(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::AtMost => "<=",
            Self::More => ">",
            Self::AtLeast => ">=",
            Self::In => "in",
            Self::Contains => "contains",
        }
    }

    /// Whether it asks which of two is more.
    pub(super) fn is_order(self) -> bool {
        matches!(self, Self::Less | Self::AtMost | Self::More | Self::AtLeast)
    }

    /// Whether a field of this kind can be compared so.
    pub(super) fn suits(self, kind: ValueKind) -> bool {
        match (self, kind) {
            (Self::Equal | Self::NotEqual, _) => true,
            (Self::Contains, kind) => matches!(kind, ValueKind::Text),
            (Self::In, kind) => !matches!(kind, ValueKind::Text),
            (_, ValueKind::Words { is_ordered, .. }) => is_ordered,
            (_, kind) => matches!(kind, ValueKind::Number(..)),
        }
    }
}

/// What a field is compared with: exactly one, but for [`Relation::In`].
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Values {
    /// Numbers or ranges.
    Numbers(Unit, Vec<Span>),
    /// Addresses.
    Prefixes(Vec<IpNet>),
    /// Words of the field's list.
    Words(Vec<Word>),
    /// Text.
    Text(String),
    /// Names.
    Names(Vec<String>),
}

impl<S: Schema> Expr<S> {
    /// Whether any of its fields is one that `is_it`.
    pub(crate) fn any_field(&self, is_it: impl Fn(S) -> bool + Copy) -> bool {
        match self {
            Self::Or(all) | Self::And(all) => all.iter().any(|one| one.any_field(is_it)),
            Self::Not(one) => one.any_field(is_it),
            Self::Comparison(one) => is_it(one.field),
        }
    }

    /// Gives every comparison, from left to right.
    pub(crate) fn each_comparison<'a>(&'a self, take: &mut impl FnMut(&'a Comparison<S>)) {
        match self {
            Self::Or(all) | Self::And(all) => all.iter().for_each(|one| one.each_comparison(take)),
            Self::Not(one) => one.each_comparison(take),
            Self::Comparison(one) => take(one),
        }
    }

    /// Within an expression that binds more tightly.
    fn parenthesised(&self, f: &mut fmt::Formatter<'_>, is_needed: bool) -> fmt::Result {
        if is_needed { write!(f, "({self})") } else { write!(f, "{self}") }
    }
}

impl<S: Schema> fmt::Display for Expr<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut joined = |all: &[Self], word: &str, is_needed: fn(&Self) -> bool| {
            for (place, one) in all.iter().enumerate() {
                if place > 0 {
                    write!(f, " {word} ")?;
                }
                one.parenthesised(f, is_needed(one))?;
            }
            Ok(())
        };
        match self {
            Self::Or(all) => joined(all, "or", |one| matches!(one, Self::Or(_))),
            Self::And(all) => joined(all, "and", |one| matches!(one, Self::Or(_) | Self::And(_))),
            Self::Not(one) => {
                f.write_str("not ")?;
                one.parenthesised(f, matches!(**one, Self::Or(_) | Self::And(_)))
            }
            Self::Comparison(comparison) => comparison.fmt(f),
        }
    }
}

impl<S: Schema> fmt::Display for Comparison<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ", self.field.name(), self.relation.sign())?;
        let values: Vec<String> = match &self.values {
            Values::Numbers(unit, spans) => spans.iter().map(|span| literal::span(*unit, *span)).collect(),
            Values::Prefixes(prefixes) => prefixes.iter().map(|prefix| literal::prefix_text(*prefix)).collect(),
            Values::Words(words) => words.iter().map(|word| word.name.to_owned()).collect(),
            Values::Text(text) => vec![literal::quoted(text)],
            Values::Names(names) => names.clone(),
        };
        let values = values.join(", ");
        if self.relation == Relation::In { write!(f, "{{{values}}}") } else { f.write_str(&values) }
    }
}

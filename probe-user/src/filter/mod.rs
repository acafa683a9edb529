//! Filter language: expressions over connection records, such as `rst.count > 0 and fin.count = 0`.
//!
//! What may be compared with what, what is read of a record, the help text and the suggestions in errors all come from the
//! table of fields in [`crate::record::fields`].
//!
//! * `token`: words, signs and quoted text, with their places.
//! * `parse`: text to `expr`, the expression as it was meant, whose `Display` is the same language again.
//! * `literal`: numbers, times, prefixes and names as they are written.
//! * `compiled`: what `expr` is compiled to. Names are bits of a mask there and bounds are ranges; of strings only `history`
//!   is looked into.
//! * [`FilterError`]: what is wrong, and where; `help`: the language for `--help`.
//!
//! The parser is our own, a descent over three levels (or, and, not): what may follow an operator is decided by the
//! field before it, that is by the table, and errors name that field with what it wants. In a combinator library
//! (winnow) each of these would be a parser made at run time with an error type of ours, over the same tokens: more
//! code, not less. Depth is bounded, and that no text makes it panic is a property test.
//!
//! Must not know: where records come from, how they are shown, the command line, clocks.

mod compiled;
mod error;
mod expr;
mod help;
mod literal;
mod other_tools;
mod parse;
mod schema;
mod span;
mod token;

use std::{fmt, str::FromStr};

pub(crate) use compiled::bounds;
pub use error::FilterError;
pub(crate) use expr::{Comparison, Expr, Relation, Values};
pub use help::help;
pub use literal::bytes as parse_bytes;
pub(crate) use parse::parse;
pub(crate) use schema::{Schema, ValueKind};
pub(crate) use span::Span;

use crate::record::{Connection, Unit, field_table::FieldRef};

/// A condition on connections.
///
/// ```
/// use probe_user::filter::Filter;
///
/// let filter: Filter = "rst.count>0 && ! ct.count == 1".parse().expect("an expression");
/// assert_eq!(filter.to_string(), "rst.count > 0 and not ct.count = 1");
/// ```
#[derive(Clone, Debug)]
pub struct Filter {
    expr: Expr<FieldRef>,
    node: compiled::Node,
}

impl Filter {
    /// Connections that start at or after `since`, before `until`, and meet `other`; times are nanoseconds since 1970. `None`
    /// where none of them is given.
    pub fn of_period([since, until]: [Option<u64>; 2], other: Option<Self>) -> Option<Self> {
        let field = FieldRef::find("start")?;
        let bound = |relation, ns: u64| {
            let values = Values::Numbers(Unit::Time, vec![Span { first: ns, last: ns }]);
            Expr::Comparison(Comparison { field, relation, values })
        };
        let since = since.map(|ns| bound(Relation::AtLeast, ns));
        let until = until.map(|ns| bound(Relation::Less, ns));
        let mut all: Vec<_> = since.into_iter().chain(until).collect();
        match other.map(|other| other.expr) {
            Some(Expr::And(parts)) => all.extend(parts),
            other => all.extend(other),
        }
        let expr = if all.len() == 1 { all.pop()? } else { Expr::And(all) };
        let is_empty = matches!(&expr, Expr::And(parts) if parts.is_empty());
        (!is_empty).then(|| Self { node: compiled::compile(&expr), expr })
    }

    /// Whether the record meets the condition. A field of which the record has no value meets no comparison.
    #[inline]
    pub fn matches(&self, connection: &Connection) -> bool {
        self.node.holds(connection)
    }

    /// Whether it asks for the name of a zone or a service.
    pub fn asks_labels(&self) -> bool {
        self.expr.any_field(|one| one.field.is_label())
    }

    /// Names of zones and services that it asks for, each with its field.
    pub fn names_asked(&self) -> Vec<(&'static str, &str)> {
        let mut asked = Vec::new();
        self.expr.each_comparison(&mut |one| {
            if let Values::Names(names) = &one.values
                && one.field.field.is_label()
            {
                asked.extend(names.iter().map(|name| (one.field.name(), name.as_str())));
            }
        });
        asked
    }

    /// Whether it asks for something that may be judged anew when more is known of the service or host: the cause, its
    /// confidence, who reset it.
    pub fn asks_verdict(&self) -> bool {
        self.expr.any_field(|one| one.field.of_verdict)
    }
}

impl FromStr for Filter {
    type Err = FilterError;

    /// # Errors
    /// The first thing in the text that is not of the language, with its place.
    fn from_str(text: &str) -> Result<Self, FilterError> {
        let expr = parse(text)?;
        let node = compiled::compile(&expr);
        Ok(Self { expr, node })
    }
}

/// In its canonical form, which reads as the same condition.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.expr.fmt(f)
    }
}

/// By what they mean, as far as their text tells.
impl PartialEq for Filter {
    fn eq(&self, other: &Self) -> bool {
        self.expr == other.expr
    }
}

impl Eq for Filter {}

#[cfg(test)]
mod tests;

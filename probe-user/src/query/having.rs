//! Condition on groups (`--having`): the language of filters over the fields of a group.

use std::{fmt, str::FromStr};

use super::{GroupRef, Row};
use crate::filter::{Comparison, Expr, FilterError, Relation, Span, Values, bounds, parse};

/// A condition on what a group adds up to.
#[derive(Clone, PartialEq, Debug)]
pub struct Having(Expr<GroupRef>);

impl FromStr for Having {
    type Err = FilterError;

    fn from_str(text: &str) -> Result<Self, FilterError> {
        parse(text).map(Self)
    }
}

/// In its canonical form, which reads as the same condition.
impl fmt::Display for Having {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Having {
    /// Whether the row meets it. A field without a value meets no comparison.
    pub fn holds(&self, row: &Row) -> bool {
        holds(&self.0, row)
    }

    /// Whether it compares the field.
    pub(super) fn names(&self, field: GroupRef) -> bool {
        self.0.any_field(|one| one == field)
    }
}

fn holds(expr: &Expr<GroupRef>, row: &Row) -> bool {
    match expr {
        Expr::Or(parts) => parts.iter().any(|part| holds(part, row)),
        Expr::And(parts) => parts.iter().all(|part| holds(part, row)),
        Expr::Not(part) => !holds(part, row),
        Expr::Comparison(comparison) => compare(comparison, row),
    }
}

fn compare(Comparison { field, relation, values }: &Comparison<GroupRef>, row: &Row) -> bool {
    let among = |number: u64, spans: &mut dyn Iterator<Item = Span>| {
        let is_in =
            spans.filter_map(|span| bounds(*relation, span)).any(|span| (span.first..=span.last).contains(&number));
        is_in == (*relation != Relation::NotEqual)
    };
    match values {
        Values::Numbers(_, spans) => field.number(row).is_some_and(|number| among(number, &mut spans.iter().copied())),
        Values::Words(words) => {
            let is_one = |word: &str| words.iter().any(|known| known.name == word);
            field.word(row).is_some_and(|word| is_one(word) == (*relation != Relation::NotEqual))
        }
        // No field of a group is an address, a text or a name.
        Values::Prefixes(_) | Values::Text(_) | Values::Names(_) => false,
    }
}

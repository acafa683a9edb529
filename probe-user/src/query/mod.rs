//! Query: connections grouped by keys, filtered by what the groups add up to, sorted and cut.
//!
//! * [`By`]: what is grouped by. [`GroupRef`]: the fields of a group, for `--having`, `--sort` and `--columns`.
//! * [`Query`]: what was asked. [`Rows`]: takes connections and gives the rows, in bounded memory.
//!
//! Pure: connections in, rows out. Must not know: where connections come from, how rows are shown.

mod by;
mod group_field;
mod group_field_hint;
mod having;
mod overview;
mod rows;
mod time_steps;

pub use by::{By, KeyPart};
pub use group_field::{GROUP_FIELDS, GroupField, GroupRef};
pub use having::Having;
pub use overview::{Overview, OverviewRows};
pub use rows::{Row, Rows};
pub use time_steps::{StepRows, TimeSteps};

use crate::{
    filter::{FilterError, Schema},
    printable::escaped,
};

/// What a query asks.
#[derive(Clone, PartialEq, Debug)]
pub struct Query {
    /// Keys, one or two.
    pub by: Vec<By>,
    /// Condition on the sums of a group; `None` for all.
    pub having: Option<Having>,
    /// Field to sort by, and whether the least comes first.
    pub sort: Option<(GroupRef, bool)>,
    /// Rows at most; 0 for all.
    pub limit: usize,
    /// Columns, in order.
    pub columns: Vec<GroupRef>,
    /// The columns are those that were asked for, and not the usual ones.
    pub is_chosen: bool,
}

/// Why words of the command line are no query.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum QueryError {
    /// `--by` names something that nothing is grouped by.
    #[error("--by {key}: nothing is grouped by that; it can be {known}")]
    By {
        /// As typed.
        key: String,
        /// What it can be.
        known: String,
    },
    /// A step of time that is none.
    #[error(
        "--by time:{0}: the step is no time; write a number and a unit, from 1ns on, as in time:10s, time:5m or time:1h"
    )]
    Step(String),
    /// More keys than two.
    #[error("--by {0}: one key, or two with a comma between them")]
    Keys(String),
    /// Two keys that say the same.
    #[error("--by {0},{1}: one key says what the other does")]
    SameKeys(&'static str, &'static str),
    /// No field of a group.
    #[error("{option} {name}: no field of a group; {hint}")]
    Field {
        /// The option.
        option: &'static str,
        /// As typed.
        name: String,
        /// What helps.
        hint: String,
    },
    /// `--having` is no condition.
    #[error("--having: {0}")]
    Having(FilterError),
}

impl Query {
    /// Reads what was typed; `having`, `sort` and `columns` may be absent.
    ///
    /// # Errors
    /// What is not understood, with what would be.
    pub fn read(
        by: &str,
        having: Option<&str>,
        sort: Option<&str>,
        limit: usize,
        columns: &[String],
    ) -> Result<Self, QueryError> {
        let by: Vec<By> = by.split(',').map(By::read).collect::<Result<_, _>>()?;
        if by.len() > 2 {
            return Err(QueryError::Keys(by.iter().map(By::name).collect::<Vec<_>>().join(",")));
        }
        if let [first, second] = by[..]
            && first.overlaps(&second)
        {
            return Err(QueryError::SameKeys(first.name(), second.name()));
        }
        let having = having.map(|text| text.parse().map_err(QueryError::Having)).transpose()?;
        let sort = sort.map(read_sort).transpose()?;
        let is_chosen = !columns.is_empty();
        let mut columns: Vec<GroupRef> = if columns.is_empty() {
            group_field::usual(&by)
        } else {
            columns.iter().map(|name| field("--columns", name.trim())).collect::<Result<_, _>>()?
        };
        // A column once, and none that is the key.
        let mut seen: Vec<&str> = by.iter().map(By::name).collect();
        columns.retain(|column| {
            let name = column.field().name;
            let is_new = !seen.contains(&name);
            seen.push(name);
            is_new
        });
        Ok(Self { by, having, sort, limit, columns, is_chosen })
    }

    /// Whether a key is the name of a zone or a service.
    pub fn asks_labels(&self) -> bool {
        self.by.iter().any(By::asks_labels)
    }

    /// Whether `--columns`, `--sort` or `--having` names the field: such a column is never left out.
    pub fn names(&self, column: GroupRef) -> bool {
        let is_sorted_by = self.sort.is_some_and(|(field, _)| field == column);
        self.is_chosen || is_sorted_by || self.having.as_ref().is_some_and(|having| having.names(column))
    }

    /// Whether the first key is the time.
    pub fn is_by_time(&self) -> bool {
        matches!(self.by.first(), Some(By::Time(_)))
    }
}

/// `KEY`, `KEY:asc` or `KEY:desc`.
fn read_sort(text: &str) -> Result<(GroupRef, bool), QueryError> {
    let (name, order) = text.split_once(':').unwrap_or((text, "desc"));
    let unknown = || QueryError::Field {
        option: "--sort",
        name: escaped(text).into_owned(),
        hint: "KEY, KEY:asc or KEY:desc, such as rst.count.srv:asc".to_owned(),
    };
    let ascending = match order {
        "asc" => true,
        "desc" => false,
        _ => return Err(unknown()),
    };
    Ok((field("--sort", name)?, ascending))
}

fn field(option: &'static str, name: &str) -> Result<GroupRef, QueryError> {
    GroupRef::of_name(name).ok_or_else(|| QueryError::Field {
        option,
        name: escaped(name).into_owned(),
        hint: group_field_hint::hint(name, &<GroupRef as Schema>::names()),
    })
}

#[cfg(test)]
mod tests;

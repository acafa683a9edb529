//! Filter errors, with the place in the expression.

use std::{fmt, ops::Range};

use crate::printable::{escaped, is_escaped};

/// Characters of an expression that are shown on either side of an error.
const AROUND: usize = 60;

/// Why a text is no filter.
///
/// Shown as three lines: what is wrong and what would be right, the expression, and marks under the place.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct FilterError {
    what: String,
    expression: String,
    /// Bytes of the expression.
    at: Range<usize>,
}

impl FilterError {
    pub(super) fn new(expression: &str, at: Range<usize>, what: impl AsRef<str>) -> Self {
        // What it repeats of the expression is part of one line.
        Self { what: escaped(what.as_ref()).into_owned(), expression: expression.to_owned(), at }
    }

    /// What is wrong, without the place.
    pub fn what(&self) -> &str {
        &self.what
    }

    /// Where it is wrong: bytes of the expression.
    pub fn at(&self) -> Range<usize> {
        self.at.clone()
    }
}

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chars = |range: Range<usize>| self.expression.get(range).map_or(0, |text| text.chars().count());
        let (before, marked) = (chars(0..self.at.start), chars(self.at.clone()).max(1));
        // Of an expression of many lines or of great length the part around the place.
        let first = before.saturating_sub(AROUND);
        let shown: String = self.expression.chars().skip(first).take(before - first + marked + AROUND).collect();
        let shown = shown.replace(is_escaped, " ");
        let (indent, marks) = (" ".repeat(before - first), "^".repeat(marked));
        write!(f, "{}\n  {}\n  {indent}{marks}", self.what, shown.trim_end())
    }
}

/// The known name that `typed` was probably meant to be.
pub(super) fn closest(typed: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let typed = typed.to_ascii_lowercase();
    let tolerated = (typed.chars().count() / 3).max(1);
    let distance = |name: &str| strsim::osa_distance(&typed, &name.to_ascii_lowercase());
    let (distance, name) = known.map(|name| (distance(name), name)).min_by_key(|(distance, _)| *distance)?;
    (distance <= tolerated).then_some(name)
}

/// `a, b or c`.
pub(super) fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_stand_under_the_place() {
        let error = FilterError::new("é = x", 5..6, "no");
        assert_eq!(error.to_string(), "no\n  é = x\n      ^");
        let error = FilterError::new("a\tand", 5..5, "more");
        assert_eq!(error.to_string(), "more\n  a and\n       ^");
    }

    #[test]
    fn of_a_long_expression_only_the_part_is_shown() {
        let long = format!("{}x{}", "a".repeat(1000), "b".repeat(1000));
        let error = FilterError::new(&long, 1000..1001, "no").to_string();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines[1].len(), 2 + AROUND + 1 + AROUND);
        assert_eq!(lines[1].find('x'), lines[2].find('^'));
    }

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        let known = || ["rst.count", "fin.count", "duration"].into_iter();
        assert_eq!(closest("rst.cuont", known()), Some("rst.count"));
        assert_eq!(closest("RST.Count", known()), Some("rst.count"));
        assert_eq!(closest("window", known()), None);
    }

    #[test]
    fn lists_end_in_or() {
        assert_eq!(listed(["a", "b", "c"].into_iter()), "a, b or c");
        assert_eq!(listed(["a"].into_iter()), "a");
    }
}

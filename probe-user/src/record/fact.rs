//! Facts of a verdict, kept as they were found; text is made of them where they are shown.

use std::fmt;

/// One fact a verdict rests on: a stable name and its value, e.g. `rst.form` = `abort`, `rst.after_syn_ms` = `0.213`.
#[derive(Clone, PartialEq, Debug)]
pub struct Fact {
    /// Stable, dotted name.
    pub name: &'static str,
    /// Value, for people and machines alike.
    pub value: Value,
}

/// The value of a fact; [`fmt::Display`] is its text.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// A word of a fixed vocabulary.
    Word(&'static str),
    /// Whether it is so.
    Flag(bool),
    /// A number.
    Number(i64),
    /// A time in nanoseconds, shown as milliseconds with three digits.
    Milliseconds(u64),
    /// What was seen, and what was to be expected.
    Instead(u64, u64),
    /// So many connections of so many.
    OfConnections(u64, u64),
    /// Text that came from elsewhere.
    Text(Box<str>),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Milliseconds(ns) => write!(f, "{}.{:03}", ns / 1_000_000, ns / 1000 % 1000),
            Self::Instead(seen, expected) => write!(f, "{seen} instead of {expected}"),
            Self::OfConnections(some, all) => write!(f, "{some} of {all} connections"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// By its text.
impl PartialEq<&str> for Value {
    fn eq(&self, text: &&str) -> bool {
        let own = self.to_string();
        own == *text
    }
}

#[cfg(test)]
mod tests {
    use super::Value;

    #[test]
    fn texts() {
        assert_eq!(Value::Milliseconds(1_213_999), "1.213");
        assert_eq!(Value::Instead(243, 64), "243 instead of 64");
        assert_eq!(Value::OfConnections(5, 6), "5 of 6 connections");
        assert_eq!(Value::Number(-5), "-5");
        assert_eq!(Value::Flag(true), "true");
    }
}

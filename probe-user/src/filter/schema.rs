//! Schema of a filter: which fields an expression may name, and what each is compared with.

use std::fmt;

use super::other_tools::translated;
use crate::record::{
    Kind, Unit, Word,
    field_table::{FieldRef, all_names},
};

/// The word for connections that lost something, as `lossy.count` of groups counts them, and what it stands for.
const LOSSY: (&str, &str) = ("lossy", "impact in {request_lost, response_lost, transfer_cut}");

/// What a field is compared with.
#[derive(Clone, Copy)]
pub(crate) enum ValueKind {
    /// Numbers up to a greatest one.
    Number(Unit, u64),
    /// Addresses and prefixes.
    Address,
    /// Words of a list.
    Words {
        /// All of them.
        all: fn() -> Vec<Word>,
        /// They can be compared by `<` and the like.
        is_ordered: bool,
    },
    /// Text that may contain other text.
    Text,
    /// A name of a zones file or of a table of ports.
    Name,
}

/// A field that expressions name.
pub(crate) trait Schema: Copy + PartialEq + fmt::Debug + 'static {
    /// By any of its names, in any case.
    fn find(name: &str) -> Option<Self>;
    /// Its canonical name.
    fn name(self) -> &'static str;
    /// What it is compared with.
    fn value_kind(self) -> ValueKind;
    /// Names of all fields, for suggestions.
    fn names() -> Vec<&'static str>;
    /// The command that lists them.
    const LISTED_BY: &'static str;
    /// Address and port of the same end, for each end that an address field is about: both of `ip`, one of `server.ip`. None
    /// where addresses have no ports.
    fn ends(self) -> Vec<[Self; 2]> {
        Vec::new()
    }
    /// The expression that a word alone stands for.
    fn shorthand(_word: &str) -> Option<&'static str> {
        None
    }
    /// How a word of another tool would be written.
    fn translated(_words: &[&str]) -> Option<String> {
        None
    }
}

/// Fields of connections.
impl Schema for FieldRef {
    const LISTED_BY: &'static str = "rstprobe fields";

    fn translated(words: &[&str]) -> Option<String> {
        translated(words)
    }

    fn ends(self) -> Vec<[Self; 2]> {
        let names: &[[&str; 2]] = match self.name() {
            "ip" => &[["client.ip", "client.port"], ["server.ip", "server.port"]],
            "client.ip" => &[["client.ip", "client.port"]],
            "server.ip" => &[["server.ip", "server.port"]],
            _ => &[],
        };
        let end = |[ip, port]: &[&str; 2]| Some([Self::find(ip)?, Self::find(port)?]);
        names.iter().filter_map(end).collect()
    }

    fn shorthand(word: &str) -> Option<&'static str> {
        word.eq_ignore_ascii_case(LOSSY.0).then_some(LOSSY.1)
    }

    fn find(name: &str) -> Option<Self> {
        Self::find(name)
    }

    fn name(self) -> &'static str {
        self.name()
    }

    fn value_kind(self) -> ValueKind {
        match self.field.kind {
            Kind::Sides(unit, _) | Kind::Number(unit, _) => ValueKind::Number(unit, u64::MAX),
            Kind::Port => ValueKind::Number(Unit::Count, u64::from(u16::MAX)),
            Kind::Address => ValueKind::Address,
            Kind::Word(words) => ValueKind::Words { all: words.all, is_ordered: words.is_ordered },
            Kind::Letters => ValueKind::Text,
            Kind::Name(_) => ValueKind::Name,
        }
    }

    fn names() -> Vec<&'static str> {
        all_names().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Impact;

    #[test]
    fn lossy_names_every_impact_that_is_a_loss() {
        let words: Vec<&str> =
            Impact::ALL.iter().filter(|impact| impact.is_loss()).map(|impact| impact.as_str()).collect();
        assert_eq!(LOSSY.1, format!("impact in {{{}}}", words.join(", ")));
    }
}

//! Labels of a connection: names that a zones file or a table of ports gives its ends and its service.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Mutex, PoisonError},
};

/// A name that lives as long as the process. One of configuration is made once, when its file is read, and then copied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(&'static &'static str);

impl Name {
    /// A name that is part of the program.
    pub const fn of(text: &'static &'static str) -> Self {
        Self(text)
    }

    /// A name that was read. Its memory is never given back: make one per name of a file, not per connection.
    pub fn read(text: &str) -> Self {
        let text: &'static str = Box::leak(text.to_owned().into_boxed_str());
        Self(Box::leak(Box::new(text)))
    }

    /// A name that was seen, of which there are few: names of processes, words of a kernel. Beyond [`MOST_SEEN`] different
    /// ones, whose memory is never given back, it is `other`.
    pub fn of_few(text: &str) -> Self {
        static SEEN: Mutex<BTreeMap<String, Name>> = Mutex::new(BTreeMap::new());
        let mut seen = SEEN.lock().unwrap_or_else(PoisonError::into_inner);
        match seen.get(text) {
            Some(name) => *name,
            None if seen.len() == MOST_SEEN => Self::of(&"other"),
            None => *seen.entry(text.to_owned()).or_insert_with(|| Self::read(text)),
        }
    }

    /// The text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

/// Names that were seen are kept up to so many.
const MOST_SEEN: usize = 4096;

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// What a connection's ends and its service are called; `None` where nothing names them, or nobody asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Labels {
    /// Zone of the client's address.
    pub client_zone: Option<Name>,
    /// Zone of the server's address.
    pub server_zone: Option<Name>,
    /// Service at the server's address and port.
    pub service: Option<Name>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_were_seen_are_kept_once_and_not_without_end() {
        assert_eq!(Name::of_few("nginx"), Name::of_few("nginx"));
        for number in 0..=MOST_SEEN {
            Name::of_few(&format!("process {number}"));
        }
        assert_eq!(Name::of_few("one more").as_str(), "other");
        assert_eq!(Name::of_few("nginx").as_str(), "nginx");
    }
}

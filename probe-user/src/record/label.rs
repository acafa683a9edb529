//! Labels of a connection: names that a zones file or a table of ports gives its ends and its service.

use std::fmt;

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

    /// The text.
    pub const fn as_str(self) -> &'static str {
        self.0
    }
}

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

//! Step: one thing to check, and where.

/// Where a command is to be run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// Where the capture is, or where rstprobe runs.
    Here,
    /// On the client's host.
    Client,
    /// On the server's host.
    Server,
    /// On a firewall, NAT or load balancer between the two.
    Path,
}

impl Place {
    /// Stable name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Client => "client",
            Self::Server => "server",
            Self::Path => "path",
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Here => "here",
            Self::Client => "on the client",
            Self::Server => "on the server",
            Self::Path => "on a firewall, NAT or load balancer between them",
        }
    }
}

/// One thing to check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    /// Where.
    pub place: Place,
    /// What it tells.
    pub why: &'static str,
    /// A shell command.
    pub command: String,
}

//! Findings: what is wrong in the traffic, worst first, in sentences with numbers, a subject, examples and the next step.
//!
//! * [`Finding`]: one of them. [`KINDS`] lists every kind with its threshold: nothing is a finding below it.
//! * [`service`]: what is told of one server, by its causes. [`client`]: of one client. [`traffic`]: of all, and what is benign.
//!
//! Pure: aggregates and the listed connections in, findings out. Must not know: where records come from, how findings are
//! shown.

mod client;
mod kinds;
mod service;
mod traffic;

use std::{
    cmp::Reverse,
    fmt,
    net::{IpAddr, SocketAddr},
};

pub use kinds::{KINDS, Kind, Weight};

use crate::{
    aggregate::Aggregate,
    record::{Cause, Connection},
};

/// Examples that are named.
const EXAMPLES: usize = 3;

/// What findings are made from.
#[derive(Clone, Copy)]
pub struct Observed<'a> {
    /// Sums and groups.
    pub aggregate: &'a Aggregate,
    /// Connections that are listed, of which examples are taken: all, or the worst.
    pub connections: &'a [Connection],
    /// Only what comes in was seen.
    pub is_one_way: bool,
    /// SYNs that were only counted: by service, and without an address those of all further services.
    pub flood: &'a [(Option<SocketAddr>, u64)],
    /// What is to be said of the capture itself: copies, losses.
    pub notices: &'a [String],
    /// Segments that were left out for a wrong checksum.
    pub wrong_checksums: u64,
}

/// Whose a finding is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Subject {
    /// A service.
    Server(SocketAddr),
    /// A client.
    Client(IpAddr),
    /// All traffic.
    Traffic,
    /// The capture, and not the traffic.
    Capture,
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server(server) => server.fmt(f),
            Self::Client(client) => client.fmt(f),
            Self::Traffic => f.write_str("all traffic"),
            Self::Capture => f.write_str("the capture"),
        }
    }
}

/// Something worth knowing.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// What kind of finding; its id is stable.
    pub kind: &'static Kind,
    /// Whose.
    pub subject: Subject,
    /// One sentence, with the subject and the numbers.
    pub sentence: String,
    /// What to look at or do next.
    pub next_step: String,
    /// Connections that show it.
    pub count: u64,
    /// Of so many: what they are is in the sentence.
    pub of: u64,
    /// Start of the first of them, nanoseconds since 1970; `None` where not all of them are listed.
    pub since_ns: Option<u64>,
    /// Ids of up to three of them, the earliest.
    pub examples: Vec<u64>,
    /// A condition that these connections meet, as `--filter` takes it; `None` where no field tells them from others.
    pub filter: Option<String>,
}

/// All findings, worst first.
pub fn of(observed: &Observed<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    service::all(observed, &mut findings);
    client::all(observed, &mut findings);
    traffic::all(observed, &mut findings);
    let rank = |finding: &Finding| (finding.kind.weight, Reverse(finding.count), finding.subject, finding.kind.id);
    findings.sort_by(|one, other| rank(one).cmp(&rank(other)));
    findings
}

/// Part of so many, and whether that is enough to speak of: at least so many, and at least so large a share.
fn is_enough(count: u64, of: u64, least: u64, least_percent: u64) -> bool {
    count >= least && count * 100 >= of * least_percent
}

/// Listed connections with one of these causes that are `its`, and what is told of them.
struct Shown {
    since_ns: Option<u64>,
    ids: Vec<u64>,
}

impl Observed<'_> {
    /// Examples of `count` connections with these causes.
    fn examples(&self, causes: &[Cause], count: u64, its: impl Fn(&Connection) -> bool) -> Shown {
        Shown::of(self.connections.iter().filter(|one| its(one)), causes, count)
    }
}

impl Shown {
    /// Examples of `count` connections with these causes, among `its` that are listed.
    fn of<'a>(its: impl Iterator<Item = &'a Connection>, causes: &[Cause], count: u64) -> Self {
        let fitting = its.filter(|one| causes.contains(&one.verdict.cause));
        let (mut ids, mut first_ns, mut listed) = (Vec::new(), u64::MAX, 0);
        for one in fitting {
            listed += 1;
            first_ns = first_ns.min(one.start_ns);
            if ids.len() < EXAMPLES {
                ids.push(one.id);
            }
        }
        Shown { since_ns: (listed > 0 && listed >= count).then_some(first_ns), ids }
    }
}

/// Condition of connections with one of these causes: `cause = app_abort`.
fn cause_condition(causes: &[Cause]) -> String {
    match causes {
        [cause] => format!("cause = {}", cause.id()),
        _ => format!("cause in {{{}}}", causes.iter().map(|cause| cause.id()).collect::<Vec<_>>().join(", ")),
    }
}

/// Condition of connections to a server.
fn server_condition(server: SocketAddr) -> String {
    format!("server.ip = {} and server.port = {}", server.ip(), server.port())
}

/// `12 of 130 (9 %)`.
fn share(count: u64, of: u64) -> String {
    if of == 0 {
        return count.to_string();
    }
    let percent = count as f64 * 100.0 / of as f64;
    // All is all, and nearly all is not.
    if percent >= 10.0 && (percent < 99.5 || count == of) {
        format!("{count} of {of} ({percent:.0} %)")
    } else {
        format!("{count} of {of} ({percent:.1} %)")
    }
}

#[cfg(test)]
mod tests;

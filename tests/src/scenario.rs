//! The ways a connection can end, each played on purpose, and what the probe must say of it.
//!
//! A scenario holds both ends of its connection in one hand: sockets are opened in their namespaces and then used from
//! one thread, line by line, so that the order of events is the order of the lines. Where the wire must have carried
//! something before the next line, the line before waits for its effect at the other end, never for time; the few
//! pauses that the protocol itself needs say why. Every scenario has a server port of its own: (port, family) finds
//! its records.

use std::{
    io,
    net::{SocketAddr, TcpStream},
    ops::RangeInclusive,
    thread,
    time::{Duration, Instant},
};

use crate::{
    netns::{Family, Network},
    sys, tier,
};

mod abort;
mod attempt;
mod forged;
mod gate;
mod kernel;
mod late;
mod on_path;
mod orderly;
mod reuse;
mod stage;
mod timing;

pub use gate::Gate;
pub use stage::Stage;

/// Port of the first scenario; below the ephemeral range and in no list of well-known services.
pub const FIRST_PORT: u16 = 20_001;

/// One way to end a connection.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Stable name.
    pub id: &'static str,
    /// What happens, in one line.
    pub description: &'static str,
    /// Does it. Sockets handed back are to stay open until the probe has stopped.
    pub play: fn(&Stage<'_>) -> io::Result<Vec<TcpStream>>,
    /// What the probe must say.
    pub expected: Expectation,
}

/// What the probe must say of every record of a scenario. Words are those of the JSON output; where several are listed,
/// packets cannot tell them apart.
#[derive(Clone, Debug)]
pub struct Expectation {
    /// Number of records.
    pub records: usize,
    /// Cause ids.
    pub causes: &'static [&'static str],
    /// At least so many of the records have this cause.
    pub at_least: Option<(&'static str, usize)>,
    /// Zeek's conn_state.
    pub states: &'static [&'static str],
    /// How it opened.
    pub opening: &'static [&'static str],
    /// How it closed.
    pub closing: &'static [&'static str],
    /// Who reset it.
    pub reset_by: &'static [&'static str],
    /// FINs and RSTs of the client.
    pub client: Sent,
    /// FINs and RSTs of the server.
    pub server: Sent,
}

/// How many FINs and RSTs one side must be seen to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sent {
    /// Segments with FIN.
    pub fin: RangeInclusive<u64>,
    /// Segments with RST.
    pub rst: RangeInclusive<u64>,
}

const NONE: RangeInclusive<u64> = 0..=0;
const ONE: RangeInclusive<u64> = 1..=1;
/// For segments that the kernel may repeat.
const SOME: RangeInclusive<u64> = 1..=u64::MAX;

/// One FIN or more (a retransmitted FIN counts again), no RST.
const FIN: Sent = Sent { fin: SOME, rst: NONE };
/// Neither.
const SILENT: Sent = Sent { fin: NONE, rst: NONE };
/// Exactly one RST, no FIN.
const ONE_RST: Sent = Sent { fin: NONE, rst: ONE };

/// An established connection that ends with two FINs; scenarios say how they differ.
const ORDERLY: Expectation = Expectation {
    records: 1,
    causes: &["none"],
    at_least: None,
    states: &["SF"],
    opening: &["completed"],
    closing: &["two_fins"],
    reset_by: &["none"],
    client: FIN,
    server: FIN,
};

/// Every scenario, in the order in which the demo shows them.
pub fn all() -> Vec<Scenario> {
    [orderly::scenarios(), attempt::scenarios(), abort::scenarios(), late::scenarios(), forged::scenarios()].concat()
}

/// What Linux does besides, for the laboratory: causes that need a trick to be staged, or time.
pub fn further() -> Vec<Scenario> {
    [kernel::scenarios(), reuse::scenarios(), on_path::scenarios(), timing::scenarios()].concat()
}

/// One scenario over one family, as it is to be or was played.
#[derive(Clone, Debug)]
pub struct Case {
    /// Which.
    pub scenario: Scenario,
    /// Over what.
    pub family: Family,
    /// Its server port.
    pub port: u16,
}

impl Case {
    /// `app_abort_by_client/IPv4`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.scenario.id, self.family.name())
    }
}

/// Every scenario over both families.
///
/// # Panics
/// When there are more scenarios than ports, which is a mistake in this package.
pub fn cases() -> Vec<Case> {
    number(all(), FIRST_PORT)
}

/// `scenarios` over both families, on ports from `first` on.
///
/// # Panics
/// When there are more scenarios than ports, which is a mistake in this package.
pub fn number(scenarios: Vec<Scenario>, first: u16) -> Vec<Case> {
    let numbered = scenarios.into_iter().enumerate();
    numbered
        .flat_map(|(index, scenario)| {
            let port = first + u16::try_from(index).expect("fewer scenarios than ports");
            Family::BOTH.map(|family| Case { scenario: scenario.clone(), family, port })
        })
        .collect()
}

/// Plays all `cases` at once (few at a time in guests), each on a thread of its own, all on one CPU: what a veth carries
/// waits in a queue of the CPU
/// that sent it, so two CPUs can let a RST overtake the data before it (a RST leaves by the kernel's control socket, with
/// another hash than its connection). Then the kernel's own story changes, to a challenge ACK for one, and a verdict that
/// tells it rightly is not the one that the scenario is about.
///
/// # Errors
/// The first case that could not be played, by name.
///
/// # Panics
/// When a scenario panics.
pub fn play(network: &Network, cases: &[Case]) -> io::Result<Vec<TcpStream>> {
    let groups = cases.chunks(tier::at_once(cases.len()));
    let played: io::Result<Vec<_>> = groups.flat_map(|group| play_each(network, group, None)).collect();
    Ok(played?.into_iter().flatten().collect())
}

/// The same with an outcome per case, in their order. With a `gate`, what connects waits there once it has.
///
/// # Panics
/// When a scenario panics.
pub fn play_each(network: &Network, cases: &[Case], gate: Option<&Gate>) -> Vec<io::Result<Vec<TcpStream>>> {
    let cpu = sys::current_cpu().unwrap_or(0);
    let one = |case: &Case| {
        sys::pin_to_cpu(cpu)?;
        let stage = Stage::new(network, case.family, case.port).behind(gate);
        (case.scenario.play)(&stage).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", case.name())))
    };
    thread::scope(|scope| {
        let running: Vec<_> = cases.iter().map(|case| scope.spawn(move || one(case))).collect();
        running.into_iter().map(|thread| thread.join().expect("a scenario panicked")).collect()
    })
}

/// Time for a frame to cross two veth pairs and be answered, where no socket can tell that it has.
fn crossing() -> Duration {
    tier::patient(Duration::from_millis(50))
}

/// Waits until `happened` says so, looking every millisecond, for two seconds at most.
fn wait_until(what: &str, mut happened: impl FnMut() -> io::Result<bool>) -> io::Result<()> {
    let end = Instant::now() + tier::patient(Duration::from_secs(2));
    while !happened()? {
        if Instant::now() > end {
            return Err(io::Error::new(io::ErrorKind::TimedOut, format!("{what} did not happen")));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(())
}

/// Ports of both ends of a connected socket, own first.
fn ports(stream: &TcpStream) -> io::Result<(u16, u16)> {
    let port = |address: SocketAddr| address.port();
    Ok((port(stream.local_addr()?), port(stream.peer_addr()?)))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn ids_are_unique_and_every_expectation_can_fail() {
        let scenarios = [all(), further()].concat();
        let ids: BTreeSet<_> = scenarios.iter().map(|scenario| scenario.id).collect();
        assert_eq!(ids.len(), scenarios.len());
        for Scenario { id, expected, .. } in scenarios {
            for words in [expected.causes, expected.states, expected.opening, expected.closing, expected.reset_by] {
                assert!((1..=3).contains(&words.len()), "{id}: {words:?}");
            }
            assert!(expected.records > 0, "{id}");
        }
    }

    #[test]
    fn each_case_has_its_own_port_and_family() {
        let cases = cases();
        let places: BTreeSet<_> = cases.iter().map(|case| (case.port, case.family)).collect();
        assert_eq!(places.len(), cases.len());
    }
}

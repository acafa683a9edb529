//! Views: where the probe stands, and one run of all scenarios from there: live, captured, and traced.

use std::{
    ffi::OsString,
    fs, io,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    capture::{self, Recorder},
    matrix::{Row, Run},
    trace::{KernelReset, Trace},
};
use crate::{
    netns::{CLIENT_LEG, ENDPOINT_INTERFACE, Family, Namespace, Network, SERVER_LEG},
    oneshot::OneShot,
    probe::{Finished, Probe},
    scenario::{self, Case, Gate, Stage},
    tier::say,
};

/// First port of the laboratory: apart from those of other tests, as the trace sees all namespaces.
const FIRST_PORT: u16 = 23_001;
/// For the connection that makes a capture's clock go on.
const CLOCK_PORT: u16 = 23_900;
/// The probe is interrupted when the scenarios are done; this is only its limit if that goes wrong.
const LIMIT: &str = "90s";
/// Between the last scenario and the end: time for the last drain.
const SETTLE: Duration = Duration::from_millis(500);
/// After this time, the tracker's first look at a connection, what vanished has been silent for longer than [`INACTIVE`].
const FIRST_LOOK: Duration = Duration::from_millis(5500);
/// Captures are read with this inactivity timeout, longer than any pause of a scenario that goes on.
const INACTIVE: [&str; 2] = ["--timers", "inactive=2500ms"];
/// What connects in the first moments.
const OPENING: Duration = Duration::from_secs(10);
/// Scenarios without a connection, or whose port sees none: there is nothing to come late to.
const UNCONNECTED: &[&str] = &[
    "refused_port",
    "silent_address",
    "syn_scan",
    "syn_then_rst",
    "rst_without_connection",
    "refused_by_firewall",
    "ack_scan",
    "fin_scan",
];

/// Where the probe stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum View {
    /// On both legs in the middle, from the beginning.
    BothLegs,
    /// The same, but attached when every connection is open already.
    LateStart,
    /// Sees only what the client sends.
    ClientLeg,
    /// Sees only what the server sends.
    ServerLeg,
    /// On the server itself (`--host`).
    Host,
}

impl View {
    /// All.
    pub const ALL: &'static [Self] = &[Self::BothLegs, Self::LateStart, Self::ClientLeg, Self::ServerLeg, Self::Host];

    /// For people.
    pub fn name(self) -> &'static str {
        match self {
            Self::BothLegs => "both legs",
            Self::LateStart => "both legs, attached after the opening",
            Self::ClientLeg => "only what the client sends",
            Self::ServerLeg => "only what the server sends",
            Self::Host => "on the server (--host)",
        }
    }

    /// For command lines.
    pub fn word(self) -> &'static str {
        match self {
            Self::BothLegs => "both",
            Self::LateStart => "late",
            Self::ClientLeg => "client",
            Self::ServerLeg => "server",
            Self::Host => "host",
        }
    }

    /// True where everything is seen, so that every cause must be right or of the right group.
    pub fn is_complete(self) -> bool {
        matches!(self, Self::BothLegs | Self::Host)
    }

    fn interfaces(self) -> &'static [&'static str] {
        match self {
            Self::BothLegs | Self::LateStart => &[CLIENT_LEG, SERVER_LEG],
            Self::ClientLeg => &[CLIENT_LEG],
            Self::ServerLeg => &[SERVER_LEG],
            Self::Host => &[ENDPOINT_INTERFACE],
        }
    }

    fn place(self, network: &Network) -> &Namespace {
        if self == Self::Host { &network.server } else { &network.middle }
    }

    fn cases(self) -> Vec<Case> {
        let mut scenarios = [scenario::all(), scenario::further()].concat();
        if self == Self::LateStart {
            scenarios.retain(|scenario| !UNCONNECTED.contains(&scenario.id));
        }
        scenario::number(scenarios, FIRST_PORT)
    }
}

/// Whether the binary knows `--host`.
///
/// # Errors
/// When it cannot be run.
pub fn host_is_there() -> io::Result<bool> {
    Ok(OneShot::new(["snapshot", "--help"]).run()?.stdout.contains("--host"))
}

/// What watches while the scenarios are played.
struct Watch {
    probe: Probe,
    recorder: Recorder,
}

impl Watch {
    fn start(view: View, network: &Network, directory: &Path) -> io::Result<Self> {
        let (place, interfaces) = (view.place(network), view.interfaces());
        let mut words: Vec<OsString> = ["snapshot", "--for", LIMIT, "--json-out"].map(Into::into).into();
        words.push(directory.join("live.json").into());
        words.extend(interfaces.iter().flat_map(|name| ["-i", name]).map(Into::into));
        if view == View::Host {
            words.push("--host".into());
        }
        let probe = Probe::start(place, &words)?;
        let interface = if let [one] = interfaces { one } else { "any" };
        let recorder = Recorder::start(place, interface, view == View::Host, directory.join("capture.pcap"))?;
        Ok(Self { probe, recorder })
    }

    fn stop(self, directory: &Path) -> io::Result<(Value, Value)> {
        let Finished { status, stderr, .. } = self.probe.stop()?;
        let file = self.recorder.stop()?;
        if !status.success() {
            return Err(io::Error::other(format!("rstprobe: {status}: {stderr}")));
        }
        let live = fs::read_to_string(directory.join("live.json"))?;
        Ok((serde_json::from_str(&live).map_err(io::Error::other)?, capture::read(&file, &INACTIVE)?))
    }
}

/// Plays every scenario in front of a probe that stands at `view`; snapshot and capture go into `directory`. Where a
/// scenario could not be staged (a busy machine), says so and plays all once more.
///
/// # Errors
/// When the network cannot be built, the probe or tcpdump do not run, or a scenario fails twice.
pub fn run(view: View, directory: &Path) -> io::Result<Run> {
    match attempt(view, directory)? {
        Ok(run) => Ok(run),
        Err(error) => {
            say(&format!("{}: once more, as {error}", view.name()));
            attempt(view, directory)?
        }
    }
}

/// The inner error is that of a scenario, the outer one of anything else.
fn attempt(view: View, directory: &Path) -> io::Result<io::Result<Run>> {
    let network = Network::build()?;
    let cases = view.cases();
    let trace = Trace::start().map_err(|error| error.to_string());
    let (played, watch, begin) = if view == View::LateStart {
        play_late(&network, &cases, directory)?
    } else {
        let watch = Watch::start(view, &network, directory)?;
        let begin = Instant::now();
        (scenario::play_each(&network, &cases, None), watch, begin)
    };
    say(&format!("{}: {} cases are played", view.name(), cases.len()));
    thread::sleep(FIRST_LOOK.saturating_sub(begin.elapsed()).max(SETTLE));
    advance_clock(&network)?;
    let (live, captured) = watch.stop(directory)?;
    let resets = trace.and_then(|trace| trace.stop().map_err(|error| error.to_string()));
    let (resets, untraced) = match resets {
        Ok(resets) => (resets, None),
        Err(why) => (vec![], Some(why)),
    };
    let rows = cases.into_iter().zip(played);
    let rows = rows.map(|(case, played)| row(view, case, played.map(drop), (&live, &captured), &resets));
    let rows: io::Result<Vec<Row>> = rows.collect();
    Ok(rows.map(|rows| Run { view, rows, untraced }))
}

type Played = Vec<io::Result<Vec<std::net::TcpStream>>>;

/// Opens all connections, then begins to watch, then lets them go on.
fn play_late(network: &Network, cases: &[Case], directory: &Path) -> io::Result<(Played, Watch, Instant)> {
    let gate = Gate::default();
    thread::scope(|scope| {
        let playing = scope.spawn(|| scenario::play_each(network, cases, Some(&gate)));
        let watch =
            gate.await_waiting(cases.len(), OPENING).and_then(|()| Watch::start(View::LateStart, network, directory));
        let begin = Instant::now();
        gate.open();
        let played = playing.join().unwrap_or_else(|_| vec![Err(io::Error::other("a scenario panicked"))]);
        Ok((played, watch?, begin))
    })
}

/// A connection that nobody asks for: time passes in a capture only with its packets.
fn advance_clock(network: &Network) -> io::Result<()> {
    let stage = Stage::new(network, Family::V4, CLOCK_PORT);
    let mut ends = stage.connect()?;
    ends.ask()
}

fn row(
    view: View,
    case: Case,
    played: io::Result<()>,
    (live, captured): (&Value, &Value),
    resets: &[KernelReset],
) -> io::Result<Row> {
    match played {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Ok(Row::skipped(view, case, error.to_string())),
        Err(error) => Err(error),
        Ok(()) => Ok(Row::new(view, case, live, captured, resets)),
    }
}

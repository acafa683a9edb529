//! A SYN flood from millions of addresses, at the rate that one core makes, sends and receives, beside real conversations
//! with the very service that it hits, on the same CPU: every conversation is reported right, the victim is named, every
//! SYN is counted, and the agent does not grow.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    net::IpAddr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use probe_tests::{
    load::{self, Played},
    netns::{CLIENT_LEG, ENDPOINT_INTERFACE, Family, Namespace, Network, SERVER_LEG, SINK, SOURCE},
    probe::Probe,
    spoof::{self, Flood, is_spoofed},
    sys::{self, bpf::IngressFilter},
    tier::{privileged, say},
};
use serde_json::Value;

/// One of the services that the conversations are with.
const VICTIM: u16 = 7001;
/// Conversations per second, and for how long: more than a thousand in all.
const RATE: u32 = 160;
const LOAD: Duration = Duration::from_secs(9);
/// New flows per second of one service that the agent is told to follow.
const FOLLOWED: &str = "2000";
/// The flood begins at least so long before: until 8192 clients have a row, one attempt each, of which none is forgotten
/// before five seconds are over.
const LEAD: Duration = Duration::from_secs(10);
/// And then until the agent has not grown for so long.
const STEADY: Duration = Duration::from_secs(3);
/// By then it must have stopped growing, on a busy machine, too.
const PATIENCE: Duration = Duration::from_mins(1);
const TRIES: usize = 3;
/// SYNs per second that are a flood: fifty times as many as the agent is told to follow. A core makes, sends and
/// receives ten times that, when it has nothing else to do.
const FLOOR: f64 = 100_000.0;

/// Where the probe is, beside the conversations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On both legs of the link, and everything goes on. The flood goes on as far as a filter directly behind XDP.
    Inline,
    /// On a mirror port, where everything ends.
    Mirror,
}

impl Place {
    /// Builds what it needs beside the network, which lives as long as the answer.
    fn prepare(self, network: &Network) -> io::Result<Option<IngressFilter>> {
        match self {
            Self::Inline => {
                let keep = || spoof::keep_from_stack(sys::interface_index(CLIENT_LEG)?);
                let filter = network.middle.enter(keep);
                Ok(filter.inspect_err(|why| say(&format!("no filter, and a slower flood for it: {why}"))).ok())
            }
            Self::Mirror => network.mirror(1).map(|()| None),
        }
    }

    /// What the probe is told.
    fn words(self) -> &'static [&'static str] {
        match self {
            Self::Inline => &["-i", CLIENT_LEG, "-i", SERVER_LEG, "--action", "pass"],
            Self::Mirror => &["-i", SINK, "--action", "drop"],
        }
    }

    /// Where the flood begins: the other end of an interface that is watched.
    fn origin(self, network: &Network) -> (&Namespace, &'static str) {
        match self {
            Self::Inline => (&network.client, ENDPOINT_INTERFACE),
            Self::Mirror => (&network.middle, SOURCE),
        }
    }
}

/// What happened on the wire.
struct Truth {
    played: Played,
    /// SYNs of the flood.
    flooded: u64,
    /// SYNs of the client's kernel, retransmissions included.
    client_syns: u64,
    /// Frames that the other end of the veth pair lost before anybody saw them.
    dropped: u64,
    /// Resident memory of the agent since the flood was steady, bytes: least and most.
    resident: (u64, u64),
    rate: f64,
}

/// `Name` of a table in `/proc/net/snmp` or `/proc/net/netstat`, in the namespace of the calling thread.
fn counter(file: &str, table: &str, name: &str) -> io::Result<u64> {
    let text = fs::read_to_string(format!("/proc/thread-self/net/{file}"))?;
    let mut lines = text.lines().filter(|line| line.starts_with(&format!("{table}:")));
    let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
        return Err(io::Error::other(format!("no {table} in {file}")));
    };
    let mut pairs = names.split_whitespace().zip(values.split_whitespace());
    let value = pairs.find(|(found, _)| *found == name).and_then(|(_, value)| value.parse().ok());
    value.ok_or_else(|| io::Error::other(format!("no {table} {name} in {file}")))
}

fn client_syns(network: &Network) -> u64 {
    let read = || Ok(counter("snmp", "Tcp", "ActiveOpens")? + counter("netstat", "TcpExt", "TCPSynRetrans")?);
    network.client.enter(read).expect("counters")
}

fn dropped(network: &Network, place: Place) -> u64 {
    let (namespace, interface) = place.origin(network);
    let text = namespace.ip(&format!("-json -stats link show dev {interface}")).expect("ip works");
    let shown: Value = serde_json::from_str(&text).expect("ip speaks JSON");
    shown[0]["stats64"]["tx"]["dropped"].as_u64().expect("ip shows drops")
}

fn resident(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it has memory");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
}

/// Waits until the agent has stopped growing; one that never stops is found by what follows.
fn await_steady(pid: u32) {
    let (begin, mut most, mut since) = (Instant::now(), 0, Instant::now());
    while since.elapsed() < STEADY && begin.elapsed() < PATIENCE {
        let now = resident(pid);
        // Half a percent is what an allocator gives and takes; rows that are still added are more than that.
        if now > most + most / 200 {
            (most, since) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Floods until `stop`.
fn flood(network: &Network, place: Place, stop: &AtomicBool) -> io::Result<(u64, f64)> {
    let (namespace, interface) = place.origin(network);
    namespace.enter(|| {
        let flood = Flood::load(sys::interface_index(interface)?, VICTIM)?;
        let begin = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            flood.send(1 << 16)?;
        }
        let sent = flood.sent()?;
        Ok((sent, sent as f64 / begin.elapsed().as_secs_f64()))
    })
}

/// Plays conversations beside a flood under a running agent.
fn play(network: &Network, place: Place, pid: u32) -> Truth {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(network, place, &stop));
        thread::sleep(LEAD);
        await_steady(pid);
        let sampling = scope.spawn(|| {
            let (mut least, mut most) = (u64::MAX, 0);
            while !stop.load(Ordering::Relaxed) {
                let now = resident(pid);
                (least, most) = (least.min(now), most.max(now));
                thread::sleep(Duration::from_millis(100));
            }
            (least, most)
        });
        let played = load::play(network, LOAD, RATE);
        stop.store(true, Ordering::Relaxed);
        let (flooded, rate) = flooding.join().expect("no panic").expect("the flood runs");
        let resident = sampling.join().expect("no panic");
        let played = played.expect("every conversation ends as it should");
        Truth { played, flooded, client_syns: client_syns(network), dropped: dropped(network, place), resident, rate }
    })
}

/// What the agent said.
struct Said {
    /// Connections of the real client by `conn_state`, those with the whole handshake.
    real: BTreeMap<String, u64>,
    /// Real ones that are not whole.
    odd: Vec<String>,
    summary: Value,
}

fn read(stdout: &str) -> Said {
    let mut said = Said { real: BTreeMap::new(), odd: vec![], summary: Value::Null };
    for line in stdout.lines() {
        let line: Value = serde_json::from_str(line).expect("JSON lines");
        if line["schema"] == "rstprobe.summary/1" {
            said.summary = line;
            continue;
        }
        let client: IpAddr = line["client"]["addr"].as_str().expect("a client").parse().expect("an address");
        if is_spoofed(client) {
            continue;
        }
        let (state, opening) = (line["conn_state"].as_str().expect("a state"), line["opening"].as_str());
        let whole = line["history"].as_str().is_some_and(|history| history.starts_with('S'));
        if whole && client == Family::V4.client() && matches!(opening, Some("completed" | "refused")) {
            *said.real.entry(state.to_owned()).or_default() += 1;
        } else {
            said.odd.push(line.to_string());
        }
    }
    said
}

fn one_measurement(place: Place) -> Result<(), String> {
    let network = Network::build().expect("namespaces");
    let _filter = place.prepare(&network).expect("a mirror port");
    let words = ["run", "--format", "ndjson", "--flood-at", FOLLOWED].iter().chain(place.words());
    let words: Vec<OsString> = words.map(Into::into).collect();
    let probe = Probe::start(&network.middle, &words).expect("it attaches");
    // Everything but the agent: with one CPU that sends, the veth pair's ring is emptied by the one that fills it, and
    // no frame is lost before the probe.
    sys::pin_to_cpu(0).expect("CPU 0 exists");
    let truth = play(&network, place, probe.pid());
    let finished = probe.stop().expect("it ends");
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    let said = read(&finished.stdout);
    let Truth { played, flooded, client_syns, dropped, resident: (least, most), rate } = truth;
    say(&format!(
        "{flooded} SYNs at {:.2} M/s, {dropped} frames lost before the probe; {} conversations; {} to {} MiB; {}",
        rate / 1e6,
        played.connections(),
        least >> 20,
        most >> 20,
        said.summary["flood"]["victims"][0]
    ));
    say(&format!("losses {} books {}", said.summary["losses"], said.summary["books"]));
    if dropped > 0 {
        return Err(format!("{dropped} frames were lost before the probe could see them"));
    }
    if rate < FLOOR {
        return Err(format!("{rate:.0} SYNs per second are no flood"));
    }
    assert!(played.connections() > 1000);
    assert_eq!(said.odd, Vec::<String>::new(), "not reported right");
    // The player wakes its four servers at the end with one orderly connection each.
    let expected = [
        ("REJ", played.refused),
        ("RSTO", played.client_rst),
        ("RSTR", played.server_rst),
        ("SF", played.client_fin + played.server_fin + 4),
    ];
    assert_eq!(said.real, expected.map(|(state, count)| (state.to_owned(), count)).into());
    let number = |path: &str| said.summary.pointer(path).and_then(Value::as_u64).unwrap_or(u64::MAX);
    assert_eq!(number("/books/difference"), 0);
    assert_eq!(number("/books/seen.syn"), flooded + client_syns, "every SYN is seen");
    let victims = said.summary["flood"]["victims"].as_array().expect("victims");
    let counted: u64 = victims.iter().filter_map(|row| row["syn"].as_u64()).sum();
    let in_connections = number("/syn/client") + number("/syn/server");
    assert_eq!(counted + number("/flood/others/syn") + in_connections, flooded + client_syns, "and counted once");
    assert_eq!(victims[0]["addr"], Family::V4.server().to_string());
    assert_eq!(victims[0]["port"], VICTIM);
    assert!(most as f64 <= least as f64 * 1.05, "from {least} to {most} bytes");
    Ok(())
}

fn measure(place: Place) {
    for _ in 0..TRIES {
        match one_measurement(place) {
            Ok(()) => return,
            Err(why) => say(&format!("no measurement: {why}")),
        }
    }
    panic!("no measurement in {TRIES} tries");
}

#[test]
fn conversations_are_followed_through_a_flood() {
    privileged("flood", "conversations_are_followed_through_a_flood", || measure(Place::Inline));
}

#[test]
fn a_mirror_port_shows_conversations_through_a_flood() {
    privileged("flood", "a_mirror_port_shows_conversations_through_a_flood", || measure(Place::Mirror));
}

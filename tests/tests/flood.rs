//! A SYN flood from millions of addresses, at the rate that the generator makes, beside real conversations with the very
//! service that it hits: every conversation is reported right, the victim is named, every SYN is counted, and the
//! agent does not grow.
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
    netns::{CLIENT_LEG, ENDPOINT_INTERFACE, Family, Network, SERVER_LEG},
    probe::Probe,
    spoof::{Flood, is_spoofed},
    sys,
    tier::{privileged, say},
};
use serde_json::Value;

/// One of the services that the conversations are with.
const VICTIM: u16 = 7001;
/// Conversations per second, and for how long: more than a thousand in all.
const RATE: u32 = 160;
const LOAD: Duration = Duration::from_secs(9);
/// The flood begins at least so long before: attempts without answer are forgotten after five seconds.
const LEAD: Duration = Duration::from_secs(10);
/// And then until the agent has not grown for so long: there are as many rows of clients as there ever will be.
const STEADY: Duration = Duration::from_secs(5);
/// By then it must have stopped growing, on a busy machine, too.
const PATIENCE: Duration = Duration::from_mins(1);
const TRIES: usize = 3;

/// What happened on the wire.
struct Truth {
    played: Played,
    /// SYNs of the flood.
    flooded: u64,
    /// SYNs of the client's kernel, retransmissions included.
    client_syns: u64,
    /// Frames that the client's end of the veth pair lost before anybody saw them.
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

fn dropped(network: &Network) -> u64 {
    let text = network.client.ip(&format!("-json -stats link show dev {ENDPOINT_INTERFACE}")).expect("ip works");
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
        // A percent of it is what an allocator gives and takes.
        if now > most + most / 100 {
            (most, since) = (now, Instant::now());
        }
        thread::sleep(Duration::from_millis(200));
    }
}

/// Floods until `stop`.
fn flood(network: &Network, stop: &AtomicBool) -> io::Result<(u64, f64)> {
    network.client.enter(|| {
        let flood = Flood::load(sys::interface_index(ENDPOINT_INTERFACE)?, VICTIM)?;
        let begin = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            flood.send(1 << 16)?;
        }
        let sent = flood.sent()?;
        Ok((sent, sent as f64 / begin.elapsed().as_secs_f64()))
    })
}

/// Plays conversations beside a flood under a running agent.
fn play(network: &Network, pid: u32) -> Truth {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let flooding = scope.spawn(|| flood(network, &stop));
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
        Truth { played, flooded, client_syns: client_syns(network), dropped: dropped(network), resident, rate }
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

fn one_measurement() -> Result<(), String> {
    let network = Network::build().expect("namespaces");
    let words = ["run", "-i", CLIENT_LEG, "-i", SERVER_LEG, "--format", "ndjson", "--flood-at", "1000"];
    let words: Vec<OsString> = words.into_iter().map(Into::into).collect();
    let probe = Probe::start(&network.middle, &words).expect("it attaches");
    // Everything but the agent: with one CPU that sends, the veth pair's ring is emptied by the one that fills it, and
    // no frame is lost before the probe.
    sys::pin_to_cpu(0).expect("CPU 0 exists");
    let truth = play(&network, probe.pid());
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

#[test]
fn conversations_are_followed_through_a_flood() {
    privileged("flood", "conversations_are_followed_through_a_flood", || {
        for _ in 0..TRIES {
            match one_measurement() {
                Ok(()) => return,
                Err(why) => say(&format!("no measurement: {why}")),
            }
        }
        panic!("no measurement in {TRIES} tries");
    });
}

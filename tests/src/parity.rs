//! The same frames by each data path and by capture: whether the records are the same.
//!
//! Frames are sent over a veth pair into an attached probe (action drop) and written to a capture with the time at which
//! each was sent; what `rstprobe read` says of it is compared with what the live probe said.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv6Addr,
    path::Path as FilePath,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use probe_ebpf::{
    layout::{ACK, Endpoint, FIN, FlowKey, RST, SYN},
    parse::{self, SliceReader},
};
use serde_json::{Value, json};

use crate::{
    netns::{Loop, SERVER_MAC, SINK, SOURCE},
    oneshot::OneShot,
    pcap::{self, Pcap},
    probe::Probe,
    sys::{self, Outlet},
    tier::say,
};

/// How frames come to the live probe.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Path {
    /// Counted by the XDP program.
    Count,
    /// Through AF_XDP sockets.
    AfXdp,
    /// The same, each direction on an interface of its own, as from a TAP.
    AfXdpTwoLegs,
}

impl Path {
    /// As `--datapath` names it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::AfXdp | Self::AfXdpTwoLegs => "afxdp",
        }
    }

    /// Where frames are sent from and where they are received, client's first.
    fn legs(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::Count | Self::AfXdp => &[(SOURCE, SINK)],
            Self::AfXdpTwoLegs => &[(SOURCE, SINK), ("source-2", "sink-2")],
        }
    }
}

/// Frames sent without a pause: what the receiving ring of a veth takes.
const BURST: usize = 64;
/// A slower replay would meet the first timers, which no two clocks do at the same frame.
const SLOW: Duration = Duration::from_secs(4);
/// A machine that is busy with something else gets further tries.
const TRIES: usize = 4;

/// Sends the frames, those of the server from the last of `sources`, and returns them as a capture; `None` when it took
/// too long.
///
/// # Panics
/// When they cannot be sent.
pub fn replay(network: &Loop, sources: &[&str], frames: &[Vec<u8>]) -> Option<Pcap> {
    let send = || {
        // One CPU sends, and the frames are received on the same: in order.
        sys::pin_to_cpu(0)?;
        let senders = sources.iter().map(|source| Outlet::open(source)).collect::<Result<Vec<_>, _>>()?;
        let (begin, epoch) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
        let mut pcap = Pcap::new(pcap::ETHERNET);
        for burst in frames.chunks(BURST) {
            for frame in burst {
                pcap.push((epoch + begin.elapsed()).as_nanos() as u64, frame);
                let is_servers = frame.get(6..12) == Some(&SERVER_MAC);
                senders[if is_servers { senders.len() - 1 } else { 0 }].send(frame)?;
            }
            thread::sleep(Duration::from_micros(200));
        }
        let duration = begin.elapsed();
        say(&format!("{} frames in {duration:?}", frames.len()));
        Ok((duration < SLOW).then_some(pcap))
    };
    network.namespace.enter(send).expect("frames are sent")
}

/// What the live probe, which sees the first payload of an exchange and counts the rest, cannot tell apart from what it takes
/// for the same: how much of an answer had come when the client closed.
const CLIENT_CLOSED: [&str; 3] = ["client_abort_download", "data_after_close", "client_gave_up"];

/// The cause, or the group that it belongs to.
fn group(cause: &Value) -> &str {
    match cause.as_str() {
        Some(cause) if CLIENT_CLOSED.contains(&cause) => "what came after the client's close",
        Some(cause) => cause,
        None => "",
    }
}

/// The document of the live probe and that of the capture.
fn both(path: Path, frames: &[Vec<u8>], directory: &FilePath) -> Option<[Value; 2]> {
    let network = Loop::build().expect("namespaces");
    for (source, sink) in &path.legs()[1..] {
        network.add_pair(source, sink).expect("a pair");
    }
    let (sources, sinks): (Vec<_>, Vec<_>) = path.legs().iter().copied().unzip();
    let words = ["snapshot", "--action", "drop", "--depth", "full", "--for", "60s", "--format", "json"];
    let words = words.into_iter().chain(["--datapath", path.name()]).chain(sinks.iter().flat_map(|sink| ["-i", *sink]));
    let probe = Probe::start(&network.namespace, &words.map(Into::into).collect::<Vec<_>>()).expect("it attaches");
    let pcap = replay(&network, &sources, frames);
    let live = probe.stop().expect("it ends");
    let capture = directory.join("replayed.pcap");
    fs::write(&capture, pcap?.into_bytes()).expect("a file");
    let words = ["read", "--no-checksums", "--format", "json"].map(Into::into);
    let read = OneShot::new(words.into_iter().chain([capture.into_os_string()])).run().expect("it reads");
    for finished in [&live, &read] {
        assert!(finished.status.success(), "{}", finished.stderr);
    }
    let document = |text: &str| serde_json::from_str(text).expect("a document");
    Some([document(&live.stdout), document(&read.stdout)])
}

/// What both must say alike of one record. An XDP program has no checksum and keeps no payload ranges: what follows from
/// them is left out where it only counts.
fn essence(path: Path, record: &Value) -> Value {
    let history = record["history"].as_str().unwrap_or_default();
    let is_counted = |letter: char| "^SHADFR".contains(letter.to_ascii_uppercase());
    let letters: String = history.chars().filter(|letter| path != Path::Count || is_counted(*letter)).collect();
    let counts = |side: &Value| {
        let names = ["syn", "syn_ack", "fin", "rst", "packets", "ip_bytes", "payload_bytes"];
        let more: &[&str] = if path == Path::Count { &[] } else { &["bytes", "retransmits", "missed_bytes"] };
        let all = names.iter().chain(more);
        all.map(|name| format!("{name} {}", side[name])).collect::<Vec<_>>().join(", ")
    };
    json!({
        "client": record["client"], "server": record["server"], "orientation": record["orientation"],
        "conn_state": record["conn_state"], "history": letters, "opening": record["opening"],
        "closing": record["closing"], "reset_by": record["reset_by"], "cause": group(&record["cause"]["id"]),
        "impact": record["impact"],
        "from_client": counts(&record["from_client"]), "from_server": counts(&record["from_server"]),
    })
}

/// When it began, seconds since the Unix epoch.
fn time(record: &Value) -> f64 {
    record["start_ns"].as_f64().expect("a time") / 1e9
}

/// Two addresses with ports, in order.
pub type Ends = [String; 2];

/// The records by their ends, whoever is the client; several of the same ends in the order of their beginning.
fn records(path: Path, document: &Value) -> BTreeMap<Ends, Vec<(Value, f64)>> {
    let mut records: BTreeMap<Ends, Vec<(Value, f64)>> = BTreeMap::new();
    for record in document["connections"].as_array().expect("connections") {
        let mut ends = ["client", "server"].map(|end| format!("{} {}", record[end]["addr"], record[end]["port"]));
        ends.sort();
        records.entry(ends).or_default().push((essence(path, record), time(record)));
    }
    records
}

/// Fields in which two records differ.
fn differing<'a>(live: &'a Value, read: &Value) -> Vec<&'a str> {
    let fields = live.as_object().into_iter().flatten().filter(|(name, value)| read[&**name] != **value);
    fields.map(|(name, _)| &**name).collect()
}

/// Where live and capture differ.
#[derive(Clone, PartialEq, Default, Debug)]
pub struct Differences {
    /// Records compared.
    pub connections: usize,
    /// In anything that was counted or in how it went.
    pub facts: Vec<String>,
    /// Only in what was concluded: who, why, what was lost.
    pub causes: Vec<String>,
    /// The greatest distance between two times of one beginning, seconds.
    pub apart: f64,
}

/// Fields that are concluded from all others.
const CONCLUDED: [&str; 3] = ["cause", "impact", "reset_by"];

/// Compares the records of those ends that `which` picks.
pub fn compare(path: Path, live: &Value, read: &Value, which: impl Fn(&Ends) -> bool) -> Differences {
    let (live, read) = (records(path, live), records(path, read));
    let mut found = Differences::default();
    let none = vec![];
    for ends in live.keys().chain(read.keys().filter(|ends| !live.contains_key(*ends))).filter(|ends| which(ends)) {
        let (live, read) = (live.get(ends).unwrap_or(&none), read.get(ends).unwrap_or(&none));
        found.connections += live.len().max(read.len());
        if live.len() != read.len() {
            let words = |records: &[(Value, f64)]| {
                records.iter().map(|(one, _)| format!("{} {}", one["conn_state"], one["history"])).collect::<Vec<_>>()
            };
            found.facts.push(format!("{ends:?}: live {:?}, read {:?}", words(live), words(read)));
        }
        for ((live, live_time), (read, read_time)) in live.iter().zip(read) {
            found.apart = found.apart.max((live_time - read_time).abs());
            let fields = differing(live, read);
            let listing = fields.iter().map(|field| format!("{field}: live {}, read {}", live[*field], read[*field]));
            let text = listing.collect::<Vec<_>>().join("; ");
            let line = format!("{ends:?} ({} {}): {text}", read["conn_state"], read["history"]);
            match fields[..] {
                [] => {}
                _ if fields.iter().all(|field| CONCLUDED.contains(field)) => found.causes.push(line),
                _ => found.facts.push(line),
            }
        }
    }
    found
}

/// Replays `frames`: the documents of the live probe and of the capture, of the same segments.
///
/// # Panics
/// When they did not arrive in several tries, or something was lost.
pub fn documents(path: Path, frames: &[Vec<u8>]) -> [Value; 2] {
    let directory = tempfile::tempdir().expect("a directory");
    for _ in 0..TRIES {
        let Some([live, read]) = both(path, frames, directory.path()) else {
            say("no comparison: the replay took too long");
            continue;
        };
        let count = |document: &Value, name: &str| document["summary"]["books"][name].as_u64().unwrap_or(0);
        let tcp = |document: &Value| count(document, "tcp") + count(document, "afxdp.segments");
        if tcp(&live) != tcp(&read) {
            say(&format!("no comparison: {} of {} segments arrived", tcp(&live), tcp(&read)));
            continue;
        }
        for name in ["untracked.syn", "untracked.data_segments", "order_lost", "books.difference"] {
            assert_eq!(live["summary"]["losses"][name], 0, "{name}");
        }
        if path != Path::Count {
            let losses = live["summary"]["losses"].as_object().expect("losses");
            let lost = losses.iter().filter(|(name, count)| name.starts_with("afxdp.") && **count != 0);
            let lost: Vec<_> = lost.filter(|(name, _)| *name != "afxdp.fill_empty").collect();
            assert!(lost.is_empty() && count(&live, "tcp") == 0, "{lost:?}");
        }
        return [live, read];
    }
    panic!("no comparison in {TRIES} tries");
}

/// The lines, the first of them.
pub fn listing(lines: &[String]) -> String {
    format!("{} differ:\n{}", lines.len(), lines[..lines.len().min(40)].join("\n"))
}

/// Ends between which something was said that no TCP says: segments that acknowledge nothing and are neither SYN nor
/// RST, SYN together with FIN or RST, and a SYN-ACK without a SYN before it.
///
/// # Panics
/// Never: what is looked at was located before.
pub fn nonsense(frames: &[Vec<u8>]) -> BTreeSet<Ends> {
    let mut opened = BTreeSet::new();
    let mut nonsense = BTreeSet::new();
    for frame in frames {
        let Ok(located) = parse::locate(&SliceReader::whole(frame)) else { continue };
        let segment = parse::segment(&SliceReader::whole(frame), &located, 0, 0).expect("located");
        let ends = ends(&segment.key);
        let flags = segment.record.flags & (FIN | SYN | RST | ACK);
        let possible = match flags {
            SYN => opened.insert(ends.clone()) || opened.contains(&ends),
            SYN_ACK => opened.contains(&ends),
            flags => flags & SYN == 0 && flags & (RST | ACK) != 0,
        };
        if !possible {
            nonsense.insert(ends);
        }
    }
    nonsense
}

const SYN_ACK: u16 = SYN | ACK;

fn ends(key: &FlowKey) -> Ends {
    let end = |end: Endpoint| {
        let address = Ipv6Addr::from(end.octets()).to_canonical();
        format!("{} {}", json!(address.to_string()), end.port)
    };
    let mut ends = [end(key.lo()), end(key.hi())];
    ends.sort();
    ends
}

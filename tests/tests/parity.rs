//! The same frames by capture and by XDP: the same records.
//!
//! Thousands of conversations are sent over a veth pair into an attached probe (depth full, action drop), and written
//! to a capture with the time at which each was sent; `rstprobe read` of it must say what the live probe said.
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    net::Ipv6Addr,
    path::Path,
    thread,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use probe_ebpf::{
    layout::{ACK, Endpoint, FIN, FlowKey, RST, SYN},
    parse::{self, SliceReader},
};
use probe_tests::{
    conversation,
    netns::{Loop, SINK, SOURCE},
    oneshot::OneShot,
    oracle,
    pcap::{self, Pcap, Random},
    probe::Probe,
    sys::{self, Outlet},
    tier::{privileged, say},
};
use probe_user::source::capture::CaptureFile;
use serde_json::{Value, json};

/// Frames sent without a pause: what the receiving ring of a veth takes.
const BURST: usize = 64;
/// A slower replay would meet the first timers, which no two clocks do at the same frame.
const SLOW: Duration = Duration::from_secs(4);
/// A machine that is busy with something else gets further tries.
const TRIES: usize = 4;

/// Sends the frames and returns them as a capture; `None` when it took too long.
fn replay(network: &Loop, frames: &[Vec<u8>]) -> Option<Pcap> {
    let send = || {
        // One CPU sends, and the frames are received on the same: in order.
        sys::pin_to_cpu(0)?;
        let sender = Outlet::open(SOURCE)?;
        let (begin, epoch) = (Instant::now(), SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970"));
        let mut pcap = Pcap::new(pcap::ETHERNET);
        for burst in frames.chunks(BURST) {
            for frame in burst {
                pcap.push((epoch + begin.elapsed()).as_nanos() as u64, frame);
                sender.send(frame)?;
            }
            thread::sleep(Duration::from_micros(200));
        }
        let duration = begin.elapsed();
        say(&format!("{} frames in {duration:?}", frames.len()));
        Ok((duration < SLOW).then_some(pcap))
    };
    network.namespace.enter(send).expect("frames are sent")
}

/// The document of the live probe and that of the capture.
fn both(frames: &[Vec<u8>], directory: &Path) -> Option<[Value; 2]> {
    let network = Loop::build().expect("namespaces");
    let words = ["snapshot", "-i", SINK, "--action", "drop", "--depth", "full", "--for", "60s", "--format", "json"];
    let probe = Probe::start(&network.namespace, &words.map(Into::into)).expect("it attaches");
    let pcap = replay(&network, frames);
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

/// What both must say alike of one record.
fn essence(record: &Value) -> Value {
    let history = record["history"].as_str().unwrap_or_default();
    let letters: String = history.chars().filter(|letter| "^SHADFR".contains(letter.to_ascii_uppercase())).collect();
    let counts = |side: &Value| {
        let names = ["syn", "syn_ack", "fin", "rst", "packets", "ip_bytes", "payload_bytes"];
        names.iter().map(|name| format!("{name} {}", side[name])).collect::<Vec<_>>().join(", ")
    };
    json!({
        "client": record["client"], "server": record["server"], "orientation": record["orientation"],
        "conn_state": record["conn_state"], "history": letters, "opening": record["opening"],
        "closing": record["closing"], "reset_by": record["reset_by"], "cause": record["cause"]["id"],
        "from_client": counts(&record["from_client"]), "from_server": counts(&record["from_server"]),
    })
}

type Ends = [String; 2];

/// The records by their ends, whoever is the client; several of the same ends in the order of their beginning.
fn records(document: &Value) -> BTreeMap<Ends, Vec<Value>> {
    let mut records: BTreeMap<Ends, Vec<Value>> = BTreeMap::new();
    for record in document["connections"].as_array().expect("connections") {
        let mut ends = ["client", "server"].map(|end| format!("{} {}", record[end]["addr"], record[end]["port"]));
        ends.sort();
        records.entry(ends).or_default().push(essence(record));
    }
    records
}

/// Fields in which two records differ.
fn differing<'a>(live: &'a Value, read: &Value) -> Vec<&'a str> {
    let fields = live.as_object().into_iter().flatten().filter(|(name, value)| read[&**name] != **value);
    fields.map(|(name, _)| &**name).collect()
}

/// Where live and capture differ.
#[derive(Default)]
struct Differences {
    connections: usize,
    /// In anything that was counted or in how it went.
    facts: Vec<String>,
    /// Only in the cause that was concluded.
    causes: Vec<String>,
}

/// Compares the records of those ends that `which` picks.
fn compare(live: &Value, read: &Value, which: impl Fn(&Ends) -> bool) -> Differences {
    let (live, read) = (records(live), records(read));
    let mut found = Differences::default();
    let none = vec![];
    for ends in live.keys().chain(read.keys().filter(|ends| !live.contains_key(*ends))).filter(|ends| which(ends)) {
        let (live, read) = (live.get(ends).unwrap_or(&none), read.get(ends).unwrap_or(&none));
        found.connections += live.len().max(read.len());
        if live.len() != read.len() {
            let words = |records: &[Value]| {
                records.iter().map(|one| format!("{} {}", one["conn_state"], one["history"])).collect::<Vec<_>>()
            };
            found.facts.push(format!("{ends:?}: live {:?}, read {:?}", words(live), words(read)));
        }
        for (live, read) in live.iter().zip(read) {
            let fields = differing(live, read);
            let told = fields.iter().map(|field| format!("{field}: live {}, read {}", live[*field], read[*field]));
            let text = told.collect::<Vec<_>>().join("; ");
            let line = format!("{ends:?} ({} {}): {text}", read["conn_state"], read["history"]);
            match fields[..] {
                [] => {}
                ["cause"] => found.causes.push(line),
                _ => found.facts.push(line),
            }
        }
    }
    found
}

/// Replays `frames`: the documents of the live probe and of the capture, of the same segments.
fn documents(frames: &[Vec<u8>]) -> [Value; 2] {
    let directory = tempfile::tempdir().expect("a directory");
    for _ in 0..TRIES {
        let Some([live, read]) = both(frames, directory.path()) else {
            say("no comparison: the replay took too long");
            continue;
        };
        let tcp = |document: &Value| document["summary"]["books"]["tcp"].as_u64().expect("a count");
        if tcp(&live) != tcp(&read) {
            say(&format!("no comparison: {} of {} segments arrived", tcp(&live), tcp(&read)));
            continue;
        }
        for name in ["untracked.syn", "untracked.data_segments", "order_lost", "books.difference"] {
            assert_eq!(live["summary"]["losses"][name], 0, "{name}");
        }
        return [live, read];
    }
    panic!("no comparison in {TRIES} tries");
}

/// The lines, the first of them.
fn told(lines: &[String]) -> String {
    format!("{} differ:\n{}", lines.len(), lines[..lines.len().min(40)].join("\n"))
}

#[test]
fn generated_conversations() {
    privileged("parity", "generated_conversations", || {
        let frames = conversation::traffic(&mut Random::new(7), 5000).expect("frames");
        let [live, read] = documents(&frames);
        let Differences { connections, facts, causes } = compare(&live, &read, |_| true);
        assert!(connections >= 5000, "only {connections} connections");
        assert!(facts.is_empty(), "{}", told(&facts));
        assert!(causes.is_empty(), "{}", told(&causes));
    });
}

/// Ends between which something was said that no TCP says: segments that acknowledge nothing and are neither SYN nor
/// RST, SYN together with FIN or RST, and a SYN-ACK without a SYN before it.
fn nonsense(frames: &[Vec<u8>]) -> BTreeSet<Ends> {
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

/// Zeek's random conversations, with their order and without their time.
fn random(seed: &str) {
    let Some(folder) = oracle::folder() else {
        assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "CI must have ../shared/oracle");
        say(&format!("SKIP {seed}: no captures at ../shared/oracle"));
        return;
    };
    privileged("parity", seed, || {
        let file = folder.join("zeek-random").join(seed).with_extension("pcap");
        let mut capture = CaptureFile::open(&file).expect("a capture");
        let mut frames = vec![];
        while let Some(frame) = capture.next_frame().expect("readable") {
            frames.push(frame.bytes.to_vec());
        }
        let nonsense = nonsense(&frames);
        let [live, read] = documents(&frames);
        let sane = compare(&live, &read, |ends| !nonsense.contains(ends));
        assert!(sane.connections >= 2000, "only {} connections", sane.connections);
        assert!(sane.facts.is_empty(), "{}", told(&sane.facts));
        // The live probe keeps only some segments of an epoch verbatim.
        assert!(sane.causes.len() * 500 <= sane.connections, "{}", told(&sane.causes));
        // One slot may hold what become several records when a conversation makes no sense.
        let all = compare(&live, &read, |_| true);
        let differing = all.facts.len() + all.causes.len();
        assert!(differing * 100 <= all.connections, "{}", told(&all.facts));
        say(&format!("{} of {} records, {} sane; {differing} differ", all.connections, seed, sane.connections));
    });
}

#[test]
fn seed101() {
    random("seed101");
}

#[test]
fn seed102() {
    random("seed102");
}

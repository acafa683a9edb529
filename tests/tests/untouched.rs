//! Traffic is untouched: the same frames and the same streams arrive with and without rstprobe, byte by byte, in every way to
//! watch; and interfaces are afterwards what they were before.
//!
//! That no program writes to a packet is read out of the programs by `cargo xtask ebpf`; this is what comes out of the wire.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    ffi::OsString,
    fs,
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use probe_tests::{
    conversation,
    netns::{CLIENT_LEG, CLIENT_MAC, ENDPOINT_INTERFACE, Family, Namespace, Network, SERVER_LEG, SERVER_MAC, SINK},
    odd,
    pcap::Random,
    probe::Probe,
    sys::{self, Outlet, Tap},
    tier::{patient, privileged, say},
};
use serde_json::Value;

/// Bytes of a stream in each direction.
const STREAM: usize = 6 << 20;
/// Source of the frames that are made here: nothing else is compared.
const MARK: [u8; 6] = [2, 0, 0, 0, 0, 0x77];
const CONVERSATIONS: u32 = 60;
/// Frames of random length and content.
const NONSENSE: usize = 1500;
const LARGEST: usize = 1514;

/// A way to watch.
struct Way {
    name: &'static str,
    /// In the client's namespace; otherwise in the middle.
    at_client: bool,
    words: &'static [&'static str],
}

const fn way(name: &'static str, words: &'static [&'static str]) -> Way {
    Way { name, at_client: false, words }
}

const BOTH_LEGS: [&str; 4] = ["-i", CLIENT_LEG, "-i", SERVER_LEG];

const WAYS: [Way; 10] = [
    way("native", &[]),
    way("native, single buffer, promiscuous", &["--single-buffer", "--promisc"]),
    way("native, every header read", &["--depth", "full"]),
    way("native, control segments only", &["--depth", "control"]),
    way("native, with evidence", &["--evidence", "FOLDER"]),
    way("generic", &["--mode", "generic"]),
    Way { name: "on a host, by tcx", at_client: true, words: &["-i", ENDPOINT_INTERFACE, "--host"] },
    Way {
        name: "on a host, generic",
        at_client: true,
        words: &["-i", ENDPOINT_INTERFACE, "--host", "--mode", "generic"],
    },
    Way {
        name: "on a host, by clsact",
        at_client: true,
        words: &["-i", ENDPOINT_INTERFACE, "--host", "--egress", "clsact"],
    },
    way("AF_XDP on a mirror port", &["-i", SINK, "--datapath", "afxdp", "--action", "drop"]),
];

/// Frames that stand for what a network carries: conversations, what parsers fail on, and nonsense.
fn frames() -> Vec<Vec<u8>> {
    let mut random = Random::new(11);
    let mut frames = conversation::traffic(&mut random, CONVERSATIONS).expect("frames");
    frames.extend(odd::all().into_iter().map(|odd| odd.bytes).filter(|bytes| bytes.len() >= 14));
    for number in 0..NONSENSE {
        let len = 14 + random.below(LARGEST - 14);
        let mut frame: Vec<u8> = (0..len).map(|_| random.below(256) as u8).collect();
        // Half of it begins as IP and TCP do.
        if number % 2 == 0 && len > 40 {
            frame[12..16].copy_from_slice(&[8, 0, 0x45, 0]);
            frame[23] = 6;
        }
        frames.push(frame);
    }
    frames.retain(|frame| frame.len() <= LARGEST);
    frames
}

/// Sends the frames from one end to the other, and returns what arrives there.
fn carried(from: &Namespace, to: &Namespace, to_mac: [u8; 6], frames: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let tap = to.enter(|| Tap::open(ENDPOINT_INTERFACE)).expect("a packet socket");
    let send = || {
        // One CPU sends, and the frames are received on the same: in order.
        sys::pin_to_cpu(0)?;
        let outlet = Outlet::open(ENDPOINT_INTERFACE)?;
        for burst in frames.chunks(32) {
            for frame in burst {
                let addressed = [&to_mac, &MARK, &frame[12..]].concat();
                // What the kernel takes for no frame at all is refused with and without a probe.
                let _refused: Option<()> = outlet.send(&addressed).ok();
            }
            thread::sleep(Duration::from_micros(300));
        }
        Ok(())
    };
    from.enter(send).expect("frames are sent");
    let (mut arrived, mut buffer) = (vec![], vec![0; 1 << 16]);
    // Two waits without any: nothing is on its way.
    let mut quiet = 0;
    while quiet < 2 {
        match tap.receive(&mut buffer).expect("the socket is read") {
            Some(frame) => {
                quiet = 0;
                if frame.get(6..12) == Some(&MARK) {
                    arrived.push(frame.to_vec());
                }
            }
            None => quiet += 1,
        }
    }
    assert_eq!(tap.dropped().expect("a count"), 0, "the test itself lost frames");
    arrived
}

/// What is sent in both directions at once, and is to arrive.
fn bytes(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    (0..STREAM).map(|_| random.below(256) as u8).collect()
}

fn exchange(mut stream: TcpStream, sent: &[u8]) -> io::Result<Vec<u8>> {
    stream.set_read_timeout(Some(patient(Duration::from_secs(30))))?;
    let mut received = Vec::with_capacity(STREAM);
    thread::scope(|scope| {
        let mut writer = stream.try_clone()?;
        let writing = scope.spawn(move || {
            writer.write_all(sent)?;
            writer.shutdown(std::net::Shutdown::Write)
        });
        stream.read_to_end(&mut received)?;
        writing.join().unwrap_or_else(|_| Err(io::Error::other("the writer panicked")))
    })?;
    Ok(received)
}

/// Sends both files over one connection; what arrived at the server and at the client.
fn streamed(network: &Network, up: &[u8], down: &[u8]) -> [Vec<u8>; 2] {
    let server = (Family::V4.server(), 80);
    let listener = network.server.enter(|| TcpListener::bind(server)).expect("a listener");
    thread::scope(|scope| {
        let serving = scope.spawn(|| exchange(listener.accept()?.0, down));
        let stream = network.client.enter(|| TcpStream::connect(server)).expect("a connection");
        let at_client = exchange(stream, up).expect("a whole stream");
        [serving.join().expect("no panic").expect("a whole stream"), at_client]
    })
}

/// What may be set of the interfaces: offloads as ethtool tells them, and what ip tells.
fn settings(network: &Network) -> Vec<String> {
    let mut all = vec![];
    for namespace in [&network.client, &network.middle, &network.server] {
        let links: Value =
            serde_json::from_str(&namespace.ip("-json -details link show").expect("ip works")).expect("JSON");
        for link in links.as_array().expect("interfaces") {
            let name = link["ifname"].as_str().expect("a name");
            for key in
                ["flags", "mtu", "promiscuity", "allmulti", "qdisc", "gso_max_size", "gso_max_segs", "num_rx_queues"]
            {
                all.push(format!("{name} {key} {}", link[key]));
            }
            let offloads = || Command::new("ethtool").args(["-k", name]).output();
            let offloads = namespace.enter(offloads).expect("ethtool runs");
            all.extend(String::from_utf8_lossy(&offloads.stdout).lines().map(|line| format!("{name} {line}")));
        }
    }
    all
}

fn start(way: &Way, network: &Network, folder: &std::path::Path) -> Probe {
    let legs: &[&str] = if way.words.contains(&"-i") { &[] } else { &BOTH_LEGS };
    let words = ["snapshot"].into_iter().chain(legs.iter().copied()).chain(way.words.iter().copied());
    let words: Vec<OsString> = words
        .chain(["--for", "10m", "--format", "json"])
        .map(|word| if word == "FOLDER" { folder.into() } else { word.into() })
        .collect();
    let namespace = if way.at_client { &network.client } else { &network.middle };
    Probe::start(namespace, &words).unwrap_or_else(|error| panic!("{}: {error}", way.name))
}

/// Keeps the bridge from looking into what it forwards, where this machine's would: it drops what makes no sense.
fn forwards_all(network: &Network) {
    let turn_off = || {
        for family in ["ip", "ip6", "arp"] {
            match fs::write(format!("/proc/sys/net/bridge/bridge-nf-call-{family}tables"), "0") {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    };
    network.middle.enter(turn_off).expect("a setting of the namespace");
}

/// Where two lists differ first.
fn difference(one: &[Vec<u8>], two: &[Vec<u8>]) -> Option<String> {
    if one == two {
        return None;
    }
    let at = one.iter().zip(two).position(|(one, two)| one != two).unwrap_or(one.len().min(two.len()));
    Some(format!(
        "{} and {} frames, the first that differs is number {at}: {:02x?} and {:02x?}",
        one.len(),
        two.len(),
        one.get(at),
        two.get(at)
    ))
}

fn is_untouched(way: &Way) {
    let network = Network::build().expect("namespaces");
    forwards_all(&network);
    if way.words.contains(&SINK) {
        network.mirror(1).expect("a mirror port");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let (frames, up, down) = (frames(), bytes(1), bytes(2));
    let [forth, back] =
        [(&network.client, &network.server, SERVER_MAC), (&network.server, &network.client, CLIENT_MAC)];
    let all = || [forth, back].map(|(from, to, mac)| carried(from, to, mac, &frames));
    let (set_before, before) = (settings(&network), all());
    let begin = Instant::now();
    let probe = start(way, &network, folder.path());
    let during = all();
    let arrived = streamed(&network, &up, &down);
    let done = probe.stop().expect("it ends");
    assert!(done.status.success(), "{}: {}", way.name, done.stderr);
    let (set_after, after) = (settings(&network), all());
    let document: Value = serde_json::from_str(&done.stdout).expect("a document");
    let books = &document["summary"]["books"];
    assert_eq!(books["difference"], 0, "{}: {books}", way.name);
    let seen = books["frames"].as_u64().unwrap_or(0) + books["afxdp.frames"].as_u64().unwrap_or(0);
    let (sent, time) = (frames.len(), begin.elapsed());
    let arriving = before.each_ref().map(Vec::len);
    say(&format!("{}: {arriving:?} of {sent} frames arrive, {seen} seen, in {time:.1?}", way.name));
    // Otherwise it would be true of nothing.
    assert!(seen > frames.len() as u64 && before.iter().all(|list| list.len() * 10 > frames.len() * 9), "{}", way.name);
    for (what, other) in [("with rstprobe", &during), ("after it", &after)] {
        for (direction, (one, two)) in ["to the server", "to the client"].iter().zip(before.iter().zip(other)) {
            let difference = difference(one, two);
            assert!(difference.is_none(), "{}, {what}, {direction}: {}", way.name, difference.unwrap_or_default());
        }
    }
    assert!(arrived[0] == up && arrived[1] == down, "{}: a stream was changed", way.name);
    let changed: Vec<_> = set_before.iter().zip(&set_after).filter(|(before, after)| before != after).collect();
    assert!(set_before.len() == set_after.len() && changed.is_empty(), "{}: {changed:?}", way.name);
}

#[test]
fn frames_and_streams_are_the_same_in_every_way_to_watch() {
    privileged("untouched", "frames_and_streams_are_the_same_in_every_way_to_watch", || {
        for way in &WAYS {
            is_untouched(way);
        }
    });
}

#[test]
fn one_changed_bit_or_one_frame_more_is_a_difference() {
    let one = vec![vec![1, 2, 3], vec![4, 5, 6]];
    assert_eq!(difference(&one, &one.clone()), None);
    let mut two = one.clone();
    two[1][2] ^= 1;
    assert!(
        difference(&one, &two).expect("a difference").contains("number 1: Some([04, 05, 06]) and Some([04, 05, 07])")
    );
    assert!(difference(&one, &one[..1]).expect("a difference").contains("2 and 1 frames"));
    let swapped = vec![one[1].clone(), one[0].clone()];
    assert!(difference(&one, &swapped).is_some());
}

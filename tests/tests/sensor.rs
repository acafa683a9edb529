//! Sensor health: what a sensor says of itself, what its driver lost before the program could see it, and frames that its mirror port
//! sends twice.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    ffi::OsString,
    fs,
    io::{self, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    thread,
    time::Duration,
};

use probe_tests::{
    frame::{Station, TcpFrame},
    generator::Generator,
    load,
    netns::{CLIENT_MAC, Family, Loop, Namespace, Network, SERVER_MAC, SINK, SOURCE},
    probe::Probe,
    sys::{self, Outlet},
    tier::{privileged, say},
};
use serde_json::Value;

/// What a probe said: document, text, and on stderr.
struct Said {
    document: Value,
    text: String,
    errors: String,
}

/// What `rstprobe snapshot` says of `traffic`.
fn snapshot(namespace: &Namespace, words: &[&str], traffic: impl FnOnce()) -> Said {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("snapshot.json");
    let mut all: Vec<OsString> = ["snapshot", "--for", "60s", "--json-out"].map(Into::into).into();
    all.push(file.clone().into());
    all.extend(words.iter().map(Into::into));
    let probe = Probe::start(namespace, &all).expect("it attaches");
    traffic();
    let done = probe.stop().expect("it ends");
    assert!(done.status.success(), "{}", done.stderr);
    let document = fs::read(file).expect("a document");
    let document = serde_json::from_slice(&document).expect("JSON");
    Said { document, text: done.stdout, errors: done.stderr }
}

impl Said {
    fn driver(&self) -> &Value {
        &self.document["window"]["interfaces"][0]["received"]["driver"]
    }

    /// How much the driver's counter `name` grew, and in queue 0.
    fn grown(&self, name: &str) -> (Option<u64>, Option<u64>) {
        let counters = self.driver()["grown"].as_array().expect("counters");
        let found = counters.iter().find(|counter| counter["name"] == name).unwrap_or(&Value::Null);
        (found["count"].as_u64(), found["queues"]["0"].as_u64())
    }

    fn number(&self, path: &str) -> u64 {
        self.document.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path}"))
    }
}

#[test]
fn frames_that_the_driver_lost_are_told_by_queue() {
    privileged("sensor", "frames_that_the_driver_lost_are_told_by_queue", || {
        let network = Loop::build().expect("namespaces");
        // More than such small rings can take. What finds no room in a socket's is a failed redirect to the driver.
        let words = ["-i", SINK, "--datapath", "afxdp", "--action", "drop", "--umem", "64"];
        let said = snapshot(&network.namespace, &words, || {
            let send = || Generator::load(sys::interface_index(SOURCE)?)?.send(200_000);
            network.namespace.enter(send).expect("sent");
        });
        let lost = ["afxdp.dropped", "afxdp.ring_full"].map(|name| said.number(&format!("/summary/losses/{name}")));
        let (count, queue) = said.grown("rx_queue_N_drops");
        say(&format!("sockets lost {lost:?}, the driver counted {count:?}"));
        assert!(count > Some(0), "{:#}", said.driver());
        assert_eq!(count, Some(lost[0] + lost[1]), "two who count the same");
        assert_eq!(queue, count);
        let count = count.unwrap_or_default();
        let line = format!("{SINK}: its driver counted on the way in: rx_queue_N_drops {count} (queue 0: {count})");
        assert!(said.text.contains(&line), "{}", said.text);
    });
}

#[test]
fn frames_that_the_program_drops_are_told_from_lost_ones() {
    privileged("sensor", "frames_that_the_program_drops_are_told_from_lost_ones", || {
        let network = Loop::build().expect("namespaces");
        let said = snapshot(&network.namespace, &["-i", SINK, "--action", "drop"], || {
            let from = Station { mac: CLIENT_MAC, ip: Family::V4.client(), port: 40_000 };
            let to = Station { mac: SERVER_MAC, ip: Family::V4.server(), port: 80 };
            let frame = TcpFrame::new(from, to, 1).syn().bytes().expect("a frame");
            let send = || {
                let outlet = Outlet::open(SOURCE)?;
                (0..300).try_for_each(|_| outlet.send(&frame))
            };
            network.namespace.enter(send).expect("sent");
        });
        assert_eq!(said.grown("rx_queue_N_xdp_drops"), (Some(300), Some(300)), "{:#}", said.driver());
        assert_eq!(said.driver()["grown"][0]["by_program"], true);
        assert!(!said.text.contains("its driver counted"), "{}", said.text);
    });
}

#[test]
fn a_driver_without_counters_is_told_and_no_error() {
    privileged("sensor", "a_driver_without_counters_is_told_and_no_error", || {
        let network = Loop::build().expect("namespaces");
        network.namespace.ip("link set lo up").expect("ip works");
        let said = snapshot(&network.namespace, &["-i", "lo", "--mode", "generic"], || {});
        assert!(said.driver()["absent"].is_string(), "{:#}", said.driver());
        assert!(said.errors.contains("lo: the driver's own loss counters cannot be read"), "{}", said.errors);
    });
}

/// What a probe on a mirror port says of `traffic`, every frame of which comes `times` times.
fn mirrored(times: usize, words: &[&str], traffic: impl FnOnce(&Network)) -> Said {
    let network = Network::build().expect("namespaces");
    network.mirror(times).expect("a mirror port");
    let all = [&["-i", SINK, "--action", "drop"], words].concat();
    snapshot(&network.middle, &all, || traffic(&network))
}

fn conversations(network: &Network) {
    let played = load::play(network, Duration::from_secs(2), 200).expect("conversations");
    assert!(played.connections() > 100);
}

#[test]
fn control_segments_that_were_mirrored_twice_are_copies() {
    privileged("sensor", "control_segments_that_were_mirrored_twice_are_copies", || {
        let said = mirrored(2, &[], conversations);
        let (all, copies) = (said.number(CONTROL), said.number(CONTROL_COPIES));
        say(&format!("{copies} copies among {all} SYN, FIN and RST"));
        // Half of them are; of resets without identification nobody can tell, and a copy may be late on a busy machine.
        assert!(copies * 2 <= all && copies * 5 >= all * 2, "{copies} of {all}");
        assert!(said.text.contains("SYN, FIN and RST came twice"), "{}", said.text);
        assert_eq!(said.number("/summary/books/difference"), 0);
    });
}

#[test]
fn real_traffic_has_no_copies() {
    privileged("sensor", "real_traffic_has_no_copies", || {
        let said = mirrored(1, &[], conversations);
        assert!(said.number(CONTROL) > 400);
        assert_eq!(said.number(CONTROL_COPIES), 0);
    });
}

const CONTROL: &str = "/summary/quality/control_segments";
const CONTROL_COPIES: &str = "/summary/quality/control_copies";
const SAMPLED: &str = "/summary/quality/data_sampled";
const DATA_COPIES: &str = "/summary/quality/data_copies";

/// Some thousands of data segments.
fn download(network: &Network) {
    let len = 6 << 20;
    let listener = network.server.enter(|| TcpListener::bind((Family::V4.server(), 0))).expect("a listener");
    let to = listener.local_addr().expect("an address");
    let server = thread::spawn(move || listener.accept().and_then(|(mut stream, _)| stream.write_all(&vec![7; len])));
    let receive = || io::copy(&mut TcpStream::connect(to)?.take(u64::MAX), &mut io::sink());
    assert_eq!(network.client.enter(receive).expect("a download"), len as u64);
    server.join().expect("no panic").expect("sent");
    // The reader of frames holds them back until nothing older can come.
    thread::sleep(Duration::from_millis(200));
}

#[test]
fn data_that_was_mirrored_twice_is_found_among_a_sample() {
    privileged("sensor", "data_that_was_mirrored_twice_is_found_among_a_sample", || {
        for times in [1, 2] {
            let said = mirrored(times, &["--datapath", "afxdp", "--umem", "32768"], download);
            let (sampled, copies) = (said.number(SAMPLED), said.number(DATA_COPIES));
            say(&format!("mirrored {times} times: {copies} copies among {sampled} sampled data segments"));
            assert!(sampled >= 20, "{:#}", said.document["summary"]["quality"]);
            // Half of them; a few less where the mirror port itself lost some.
            let expected = if times == 1 { 0..=0 } else { sampled * 9 / 20..=sampled / 2 };
            assert!(expected.contains(&copies), "{:#}", said.document["summary"]["books"]);
            assert_eq!(said.text.contains("% of the data segments ("), times == 2, "{}", said.text);
        }
    });
}

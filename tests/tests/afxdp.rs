//! `--datapath afxdp` as operators meet it: refusals, queues without a socket, interfaces that come and go, and nothing left
//! behind or lost on the way.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    ffi::OsString,
    io, thread,
    time::{Duration, Instant},
};

use probe_ebpf::layout::{DirectionCounters, FlowKey, Segment};
use probe_tests::{
    conversation,
    frame::{Station, TcpFrame},
    generator,
    leftover::Footprint,
    netns::{CLIENT_MAC, Family, Loop, SERVER_MAC, SINK, SOURCE},
    oneshot::OneShot,
    parity::replay,
    pcap::Random,
    probe::Probe,
    sys::{self, Outlet},
    tier::{privileged, say},
};
use probe_user::source::{
    live::{
        accounting::Accounting,
        attach::{self, Mode},
        engine::{Action, Engine, EngineConfig, Sink},
        xsk_maps::{self, Delivery},
    },
    xsk::{
        XskAccounting,
        datapath::{Datapath, DatapathConfig, QueueAt},
    },
};
use serde_json::Value;

/// Kernel, driver or interface cannot do it as asked.
const UNABLE: i32 = 5;

fn words(more: &[&str]) -> Vec<OsString> {
    let words = ["snapshot", "-i", SINK, "--datapath", "afxdp", "--action", "drop", "--for", "60s", "--format", "json"];
    words.iter().chain(more).map(Into::into).collect()
}

/// Refused, and for this reason.
fn refused(network: &Loop, reason: &str) {
    let said = OneShot::new(words(&[])).run_in(&network.namespace).expect("it runs");
    assert_eq!(said.status.code(), Some(UNABLE), "{}", said.stderr);
    assert!(said.stderr.contains(reason) && said.stderr.contains("--force"), "{}", said.stderr);
}

/// The document of a probe that has ended well, with books that balance.
fn document(probe: Probe) -> (Value, String) {
    let done = probe.stop().expect("it ends");
    assert!(done.status.success(), "{}", done.stderr);
    let document: Value = serde_json::from_str(&done.stdout).expect("a document");
    for name in ["afxdp.difference", "afxdp.unaccounted", "books.difference"] {
        assert_eq!(document["summary"]["losses"][name].as_u64().unwrap_or(0), 0, "{name}");
    }
    (document, done.stderr)
}

fn book(document: &Value, name: &str) -> u64 {
    document["summary"]["books"][name].as_u64().unwrap_or(0)
}

/// One frame of a connection, with so much payload.
fn frame(port: u16, payload: usize) -> Vec<u8> {
    let end = |mac, ip, port| Station { mac, ip, port };
    let (client, server) = (end(CLIENT_MAC, Family::V4.client(), port), end(SERVER_MAC, Family::V4.server(), 80));
    TcpFrame::new(client, server, 1).ack(1).payload(&vec![b'.'; payload]).bytes().expect("a frame")
}

fn send(network: &Loop, frames: &[Vec<u8>]) {
    let send = || {
        let outlet = Outlet::open(SOURCE)?;
        frames.iter().try_for_each(|frame| outlet.send(frame))
    };
    network.namespace.enter(send).expect("frames are sent");
}

#[test]
fn refused_where_the_host_would_miss_the_frames() {
    privileged("afxdp", "refused_where_the_host_would_miss_the_frames", || {
        let network = Loop::build().expect("namespaces");
        let ip = |words: &str| drop(network.namespace.ip(words).expect("ip"));
        ip(&format!("address add 10.78.0.1/24 dev {SINK}"));
        refused(&network, "it has the address 10.78.0.1");
        let forced = Probe::start(&network.namespace, &words(&["--force"])).expect("it attaches");
        send(&network, &[frame(1000, 10)]);
        thread::sleep(Duration::from_millis(100));
        assert_eq!(book(&document(forced).0, "afxdp.segments"), 1);
        ip(&format!("address flush dev {SINK}"));
        // Not every kernel has VLAN interfaces.
        match network.namespace.ip(&format!("link add link {SINK} name {SINK}.7 type vlan id 7")) {
            Ok(_) => {
                refused(&network, "lies on top of it");
                ip(&format!("link delete {SINK}.7"));
            }
            Err(error) => say(&format!("SKIP an interface on top of another: {error}")),
        }
        ip("link add name bridge type bridge");
        ip(&format!("link set {SINK} master bridge"));
        refused(&network, "belongs to a bridge");
        ip(&format!("link set {SINK} nomaster"));
        ip(&format!("route add 10.99.0.0/16 dev {SINK}"));
        refused(&network, "a route leads through it");
    });
}

fn config(frames: u32) -> DatapathConfig {
    let EngineConfig { encapsulations, domain, .. } = EngineConfig::default();
    DatapathConfig { frames, encapsulations, domain, clock_offset_ns: 0, keep: 0 }
}

#[test]
fn a_queue_that_another_has_is_named_and_nothing_stays() {
    privileged("afxdp", "a_queue_that_another_has_is_named_and_nothing_stays", || {
        let network = Loop::build().expect("namespaces");
        let open = || {
            let queues = xsk_maps::queues(&[SINK.to_owned()], Mode::Native, false).map_err(io::Error::other)?;
            Datapath::open(queues, config(64)).map_err(|error| error.source)
        };
        let theirs = network.namespace.enter(open).expect("a socket");
        let said = OneShot::new(words(&[])).run_in(&network.namespace).expect("it runs");
        assert_eq!(said.status.code(), Some(UNABLE), "{}", said.stderr);
        for part in ["sink queue 0: no AF_XDP socket: binding", "another AF_XDP socket has this queue"] {
            assert!(said.stderr.contains(part), "`{part}` is not in: {}", said.stderr);
        }
        assert!(Footprint::take(&network.namespace).expect("it can be asked").programs.is_empty());
        drop(theirs);
        // A socket that is closed leaves its queue after a grace period.
        let end = Instant::now() + Duration::from_secs(5);
        while network.namespace.enter(open).is_err() {
            assert!(Instant::now() < end, "the queue is not given back");
            thread::sleep(Duration::from_millis(50));
        }
    });
}

/// Counts what it is fed.
#[derive(Default)]
struct Tally {
    counted: u64,
}

impl Sink for Tally {
    fn transition(&mut self, _: &Segment) {}

    fn count(&mut self, _: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters) {
        self.counted += u64::from(lo.packets) + u64::from(hi.packets);
    }

    fn observe(&mut self, _: &Segment) {
        self.counted += 1;
    }
}

/// What came of sending to two queues of which one has a socket.
struct Halves {
    tally: Tally,
    accounting: Accounting,
    received: u64,
    xsk: XskAccounting,
}

fn half_of_the_queues(sent: u32) -> io::Result<Halves> {
    let other = io::Error::other;
    let queues = xsk_maps::queues(&[SINK.to_owned()], Mode::Native, false).map_err(other)?;
    assert!(queues.len() > 1, "one queue: {queues:?}");
    let first: Vec<QueueAt> = queues.into_iter().take(1).collect();
    let engine = EngineConfig { sockets: 1, action: Action::Drop, ..EngineConfig::default() };
    let mut engine = Engine::load(&engine).map_err(other)?;
    let attached = attach::attach(&mut engine, &[SINK.to_owned()], Mode::Native, false).map_err(other)?;
    let mut datapath = Datapath::open(first, config(4096)).map_err(|error| error.source)?;
    let delivery = Delivery::register(&mut engine, &datapath).map_err(other)?;
    let (mut tally, mut accounting, mut received) = (Tally::default(), Accounting::default(), 0);
    let sender = thread::scope(|scope| {
        let sender = scope.spawn(|| generator::send_on_all_cpus(sys::interface_index(SOURCE)?, sent));
        let mut quiet = 0;
        while quiet < 20 {
            datapath.wait(Duration::from_millis(1))?;
            let came = datapath.receive(0, |_, _| received += 1);
            quiet = if came == 0 && sender.is_finished() { quiet + 1 } else { 0 };
        }
        sender.join().expect("the generator does not panic")
    });
    sender?;
    drop(attached);
    accounting.add(&engine.drain(&mut tally).map_err(other)?);
    while datapath.receive(0, |_, _| received += 1) > 0 {}
    let mut xsk = datapath.accounting();
    delivery.add_to(&mut xsk);
    Ok(Halves { tally, accounting, received, xsk })
}

#[test]
fn a_queue_without_a_socket_is_counted() {
    privileged("afxdp", "a_queue_without_a_socket_is_counted", || {
        let network = Loop::build_wide().expect("namespaces");
        let Halves { tally, accounting, received, xsk } =
            network.namespace.enter(|| half_of_the_queues(40_000)).expect("a run");
        say(&format!("{} counted, {} redirected, {received} received; {xsk:?}", accounting.tcp, xsk.redirected));
        assert!(accounting.tcp > 0 && xsk.redirected > 0, "one of the two ways was not taken");
        assert_eq!(accounting.difference() + xsk.difference() + xsk.unaccounted() + xsk.fell_back, 0);
        assert_eq!(received, xsk.segments);
        assert_eq!(tally.counted + accounting.untracked + accounting.untracked_data, accounting.tcp);
    });
}

#[test]
fn down_up_and_another_mtu() {
    privileged("afxdp", "down_up_and_another_mtu", || {
        let network = Loop::build().expect("namespaces");
        let ip = |words: String| drop(network.namespace.ip(&words).expect("ip"));
        let probe = Probe::start(&network.namespace, &words(&[])).expect("it attaches");
        send(&network, &[frame(1000, 10), frame(1000, 1400)]);
        ip(format!("link set {SINK} down"));
        thread::sleep(Duration::from_millis(1500));
        ip(format!("link set {SINK} up"));
        thread::sleep(Duration::from_millis(1500));
        send(&network, &[frame(1001, 10)]);
        for end in [SOURCE, SINK] {
            ip(format!("link set {end} mtu 9000"));
        }
        // More than a UMEM frame holds: in several of them, and one packet.
        send(&network, &[frame(1002, 8000), frame(1003, 10)]);
        thread::sleep(Duration::from_millis(300));
        let (document, said) = document(probe);
        for line in ["sink: the interface is down", "sink: the interface is up again"] {
            assert!(said.contains(line), "{said}");
        }
        assert_eq!(book(&document, "afxdp.segments"), 5, "{document:#}");
        let sizes = document["connections"].as_array().expect("connections").iter();
        let bytes: u64 = sizes.filter_map(|one| one["from_client"]["payload_bytes"].as_u64()).sum();
        assert_eq!(bytes, 10 + 1400 + 10 + 8000 + 10);
    });
}

#[test]
fn killed_and_started_again() {
    privileged("afxdp", "killed_and_started_again", || {
        let network = Loop::build().expect("namespaces");
        for _ in 0..3 {
            let probe = Probe::start(&network.namespace, &words(&["--umem", "64"])).expect("it attaches");
            let footprint = Footprint::take(&network.namespace).expect("it can be asked");
            send(&network, &[frame(1000, 10)]);
            // With SIGKILL.
            drop(probe);
            assert_eq!(footprint.remains(), Vec::<String>::new());
        }
        let probe = Probe::start(&network.namespace, &words(&[])).expect("it attaches");
        let frames = conversation::traffic(&mut Random::new(3), 300).expect("frames");
        replay(&network, &[SOURCE], &frames);
        assert_eq!(book(&document(probe).0, "afxdp.segments"), frames.len() as u64);
    });
}

#[test]
fn depth_control_redirects_only_syn_fin_and_rst() {
    privileged("afxdp", "depth_control_redirects_only_syn_fin_and_rst", || {
        let network = Loop::build().expect("namespaces");
        let probe = Probe::start(&network.namespace, &words(&["--depth", "control"])).expect("it attaches");
        let frames = conversation::traffic(&mut Random::new(4), 300).expect("frames");
        replay(&network, &[SOURCE], &frames);
        let (document, _) = document(probe);
        let control = frames.iter().filter(|frame| {
            let located = probe_ebpf::parse::locate(&probe_ebpf::parse::SliceReader::whole(frame)).expect("TCP");
            located.is_control()
        });
        let control = control.count() as u64;
        assert_eq!(book(&document, "afxdp.segments"), control);
        assert_eq!(book(&document, "passed_by"), frames.len() as u64 - control);
        let count = |one: &Value| {
            let sides = ["from_client", "from_server"].map(|side| &one[side]);
            let of = |side: &Value| ["syn", "syn_ack", "fin", "rst"].map(|name| side[name].as_u64().unwrap_or(0));
            sides.map(|side| of(side).iter().sum::<u64>()).iter().sum::<u64>()
        };
        let connections = document["connections"].as_array().expect("connections");
        assert_eq!(connections.iter().map(count).sum::<u64>(), control);
        assert!(connections.iter().all(|one| one["basis"] == "control_only"), "{:#}", connections[0]);
    });
}

/// More than the agent can take: what it does not get is in the socket's counters, to the last frame.
#[test]
fn every_frame_of_a_flood_is_in_a_counter() {
    privileged("afxdp", "every_frame_of_a_flood_is_in_a_counter", || {
        let network = Loop::build().expect("namespaces");
        let probe = Probe::start(&network.namespace, &words(&["--umem", "64"])).expect("it attaches");
        let sent = 400_000;
        let send = || generator::Generator::load(sys::interface_index(SOURCE)?)?.send(sent);
        network.namespace.enter(send).expect("sent");
        let (document, _) = document(probe);
        let losses = &document["summary"]["losses"];
        let lost = ["afxdp.dropped", "afxdp.ring_full"].map(|name| losses[name].as_u64().unwrap_or(0));
        let (redirected, frames) = (book(&document, "afxdp.redirected"), book(&document, "afxdp.frames"));
        say(&format!("{sent} sent, {redirected} redirected, {frames} received, {lost:?} lost"));
        assert!(redirected > 0 && redirected <= u64::from(sent));
        assert_eq!(redirected, frames + lost[0] + lost[1]);
    });
}

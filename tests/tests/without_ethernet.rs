//! Interfaces without Ethernet: what begins with an IP header is understood, by XDP, by tc egress, beside Ethernet, and in
//! evidence; and `read` of tcpdump's copy says the same.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    collections::BTreeSet,
    ffi::OsString,
    io::{self, BufRead as _, BufReader, Read as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use probe_tests::{
    conversation::{COURSES, Conversation, Course},
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, Family, Loop, Namespace, Network, SERVER_MAC, SINK, SOURCE},
    oneshot::OneShot,
    probe::{Finished, Probe},
    sys::{self, Outlet, tun::Tun},
    tcpdump,
    tier::{obstacle, privileged, say},
};
use serde_json::Value;

const TUN: &str = "tun0";
const ETHERNET: usize = 14;
const PATIENCE: Duration = Duration::from_secs(20);
/// Five ways to end.
const STAGED: [&str; 5] =
    ["orderly, client first", "refused", "never answered", "aborted by the client", "aborted by the server"];

fn course(name: &str) -> &'static Course {
    COURSES.iter().find(|course| course.name == name).expect("a course of that name")
}

/// The frames of the course with that number, on a port of its own.
fn frames(number: u16, name: &str) -> Vec<Vec<u8>> {
    let family = Family::BOTH[usize::from(number % 2)];
    let client = Station { mac: CLIENT_MAC, ip: family.client(), port: 40_000 + number };
    let server = Station { mac: SERVER_MAC, ip: family.server(), port: 8000 + number };
    Conversation::new(client, server, [1000, 2000]).frames(course(name).script).expect("a course")
}

/// Has the interface receive all five, and gives their states by server port.
fn stage(tun: &Tun) -> BTreeSet<(u64, String)> {
    for (number, name) in (0..).zip(STAGED) {
        for frame in frames(number, name) {
            tun.receive(&frame[ETHERNET..]).expect("it is received");
        }
    }
    (0..).zip(STAGED).map(|(number, name)| (8000 + number, course(name).conn_states.to_string())).collect()
}

fn states(document: &Value) -> BTreeSet<(u64, String)> {
    let connections = document["connections"].as_array().into_iter().flatten();
    connections
        .map(|one| {
            let port = one["server"]["port"].as_u64().unwrap_or(0);
            (port, one["conn_state"].as_str().unwrap_or_default().to_string())
        })
        .collect()
}

/// What two ways to see the same must agree in: ends, state, control segments, cause.
fn signatures(document: &Value) -> BTreeSet<String> {
    let connections = document["connections"].as_array().into_iter().flatten();
    let side = |side: &Value| ["syn", "syn_ack", "fin", "rst"].map(|kind| format!("{kind}={}", side[kind])).join(" ");
    connections
        .map(|one| {
            let (from_client, from_server) = (side(&one["from_client"]), side(&one["from_server"]));
            format!("{} {} {} {from_client} {from_server}", one["client"], one["server"], one["conn_state"])
        })
        .collect()
}

fn json(finished: &Finished) -> Value {
    assert_eq!(finished.status.code(), Some(0), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).expect("a document")
}

fn read(path: &Path) -> Value {
    let words = [OsString::from("read"), path.into(), "--format".into(), "json".into(), "--no-checksums".into()];
    json(&OneShot::new(words).run().expect("it runs"))
}

/// A namespace with a tun device that is up and has no address, beside a veth pair.
fn with_tun() -> (Loop, Tun) {
    let pair = Loop::build().expect("a namespace");
    let tun = pair.namespace.enter(|| Tun::create(TUN)).expect("a tun device");
    pair.namespace.ip("link set tun0 up").expect("ip works");
    (pair, tun)
}

fn start(namespace: &Namespace, words: &[&str]) -> Probe {
    let words: Vec<OsString> = words.iter().map(Into::into).collect();
    Probe::start(namespace, &words).expect("it attaches")
}

/// tcpdump on `interface`, which listens.
fn listen(namespace: &Namespace, interface: &str, file: &Path) -> Child {
    let spawn = || {
        let mut command = Command::new("tcpdump");
        command.args(["-i", interface, "-n", "-p", "-U", "-Z", "root", "-w"]).arg(file);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn()
    };
    let mut child = namespace.enter(spawn).expect("tcpdump runs");
    let mut said = String::new();
    let mut stderr = BufReader::new(child.stderr.take().expect("piped"));
    while !said.contains("listening on") {
        assert_ne!(stderr.read_line(&mut said).expect("text"), 0, "tcpdump said: {said}");
    }
    // What it says at the end must find a reader.
    thread::spawn(move || stderr.read_to_end(&mut vec![]));
    child
}

#[test]
fn five_staged_exchanges_are_all_there() {
    if !tcpdump::missing().is_empty() {
        return say("SKIP five_staged_exchanges_are_all_there: no tcpdump");
    }
    privileged("without_ethernet", "five_staged_exchanges_are_all_there", || {
        let (pair, tun) = with_tun();
        let directory = tempfile::tempdir().expect("a directory");
        let (copy, evidence) = (directory.path().join("copy.pcap"), directory.path().join("evidence.pcapng"));
        let mut tcpdump = listen(&pair.namespace, TUN, &copy);
        let path = evidence.to_str().expect("UTF-8");
        let words = ["snapshot", "-i", TUN, "--mode", "generic", "--for", "3s", "--format", "json", "--evidence", path];
        let probe = start(&pair.namespace, &words);
        let expected = stage(&tun);
        let document = json(&probe.wait(PATIENCE).expect("it ends"));
        sys::interrupt(tcpdump.id()).expect("the signal is sent");
        tcpdump.wait().expect("it ends");
        assert_eq!(states(&document), expected);
        assert_eq!(document["summary"]["books"]["difference"], 0);
        let copied = read(&copy);
        assert_eq!(signatures(&copied), signatures(&document), "tcpdump's copy");
        // Only what has a reset is kept.
        let resets: BTreeSet<_> = expected.into_iter().filter(|(_, state)| state != "SF" && state != "S0").collect();
        assert_eq!(states(&read(&evidence)), resets, "evidence");
    });
}

#[test]
fn native_is_what_the_kernel_says() {
    privileged("without_ethernet", "native_is_what_the_kernel_says", || {
        let (pair, tun) = with_tun();
        let words = ["snapshot", "-i", TUN, "--mode", "native", "--for", "2s", "--format", "json"].map(OsString::from);
        match Probe::start(&pair.namespace, &words) {
            Ok(probe) => {
                let expected = stage(&tun);
                assert_eq!(states(&json(&probe.wait(PATIENCE).expect("it ends"))), expected);
            }
            Err(refused) => assert!(refused.to_string().contains("--mode generic"), "{refused}"),
        }
    });
}

#[test]
fn sockets_are_refused_with_the_link_type() {
    privileged("without_ethernet", "sockets_are_refused_with_the_link_type", || {
        let (pair, _tun) = with_tun();
        let words = ["snapshot", "-i", TUN, "--mode", "generic", "--datapath", "afxdp", "--for", "1s"];
        let finished = OneShot::new(words).run_in(&pair.namespace).expect("it runs");
        assert_eq!(finished.status.code(), Some(5), "{}", finished.stderr);
        for part in ["tun0: link type IP without a link header", "--datapath count"] {
            assert!(finished.stderr.contains(part), "`{part}` is not in: {}", finished.stderr);
        }
    });
}

#[test]
fn interfaces_with_and_without_ethernet_make_one_view() {
    privileged("without_ethernet", "interfaces_with_and_without_ethernet_make_one_view", || {
        let (pair, tun) = with_tun();
        let words = ["snapshot", "-i", TUN, "-i", SINK, "--mode", "generic", "--for", "3s", "--format", "json"];
        let probe = start(&pair.namespace, &words);
        let mut expected = stage(&tun);
        let source = pair.namespace.enter(|| Outlet::open(SOURCE)).expect("a packet socket");
        for frame in frames(100, "reset after both FINs") {
            source.send(&frame).expect("it is sent");
        }
        expected.insert((8100, "SF".to_string()));
        assert_eq!(states(&json(&probe.wait(PATIENCE).expect("it ends"))), expected);
    });
}

/// The answer to a SYN that a closed port gives.
fn refusal(packet: &[u8]) -> Option<Vec<u8>> {
    let parsed = SlicedPacket::from_ip(packet).ok()?;
    let (Some(NetSlice::Ipv4(ip)), Some(TransportSlice::Tcp(tcp))) = (parsed.net, parsed.transport) else {
        return None;
    };
    let end = |ip: std::net::Ipv4Addr, port| Station { mac: CLIENT_MAC, ip: IpAddr::V4(ip), port };
    let from = end(ip.header().destination_addr(), tcp.destination_port());
    let to = end(ip.header().source_addr(), tcp.source_port());
    let reset = TcpFrame::new(from, to, 0).rst().ack(tcp.sequence_number().wrapping_add(1));
    Some(reset.bytes().ok()?.split_off(ETHERNET))
}

#[test]
fn what_the_host_sends_without_ethernet_is_seen() {
    privileged("without_ethernet", "what_the_host_sends_without_ethernet_is_seen", || {
        for hook in ["auto", "clsact"] {
            let (pair, tun) = with_tun();
            pair.namespace.ip("address add 10.78.0.1/24 dev tun0").expect("ip works");
            let words = ["snapshot", "--host", "--egress", hook, "-i", TUN, "--mode", "generic", "--for", "3s"];
            let probe = start(&pair.namespace, &[&words[..], &["--format", "json"]].concat());
            let to: SocketAddr = "10.78.0.2:8080".parse().expect("an address");
            let connect = || Ok(TcpStream::connect_timeout(&to, PATIENCE).map(drop).map_err(|error| error.kind()));
            let outcome = thread::scope(|scope| {
                let connecting = scope.spawn(|| pair.namespace.enter(connect));
                while let Some(packet) = tun.sent(Duration::from_secs(2)).expect("the tun device is there") {
                    if let Some(answer) = refusal(&packet) {
                        tun.receive(&answer).expect("it is received");
                        break;
                    }
                }
                connecting.join().expect("it ends")
            });
            assert_eq!(outcome.expect("a namespace"), Err(io::ErrorKind::ConnectionRefused));
            let document = json(&probe.wait(PATIENCE).expect("it ends"));
            assert_eq!(states(&document), BTreeSet::from([(8080, "REJ".to_string())]), "{hook}");
        }
    });
}

/// Tunnels between client and server, as iproute2 makes them; `%` is the end's own address, `@` the other's.
const TUNNELS: [(&str, &str); 4] = [
    ("ipip", "type ipip local %4 remote @4"),
    ("sit", "type sit mode any local %4 remote @4"),
    ("gre", "type gre local %4 remote @4"),
    ("ip6gre", "type ip6gre local %6 remote @6"),
];

/// One test for each, so that a kernel that lacks a kind says so.
fn through_a_tunnel(name: &str, (kind, words): (&str, &str)) {
    if obstacle().is_none()
        && let Err(lacking) =
            Loop::build().and_then(|pair| pair.namespace.ip(&format!("link add {}", ends(words, 1, 2))))
    {
        return say(&format!("SKIP {name}: this kernel has no {kind}: {lacking}"));
    }
    privileged("without_ethernet", name, || tunnelled(&Network::build().expect("namespaces"), words));
}

#[test]
fn real_connections_through_ipip_are_seen() {
    through_a_tunnel("real_connections_through_ipip_are_seen", TUNNELS[0]);
}

#[test]
fn real_connections_through_sit_are_seen() {
    through_a_tunnel("real_connections_through_sit_are_seen", TUNNELS[1]);
}

#[test]
fn real_connections_through_gre_are_seen() {
    through_a_tunnel("real_connections_through_gre_are_seen", TUNNELS[2]);
}

#[test]
fn real_connections_through_ip6gre_are_seen() {
    through_a_tunnel("real_connections_through_ip6gre_are_seen", TUNNELS[3]);
}

/// The words for the end `own` of a tunnel to `other`.
fn ends(words: &str, own: u8, other: u8) -> String {
    let words = words.replace("%4", &format!("10.77.0.{own}")).replace("@4", &format!("10.77.0.{other}"));
    let words = words.replace("%6", &format!("fd77::{own}")).replace("@6", &format!("fd77::{other}"));
    format!("name tunnel {words}")
}

/// Three connections through a tunnel, watched where they end.
fn tunnelled(network: &Network, words: &str) {
    for (namespace, own, other) in [(&network.client, 1, 2), (&network.server, 2, 1)] {
        namespace.ip(&format!("link add {}", ends(words, own, other))).expect("a tunnel");
        namespace.ip(&format!("address add 10.99.0.{own}/24 dev tunnel")).expect("ip works");
        namespace.ip("link set tunnel up").expect("ip works");
    }
    let words = ["snapshot", "--host", "-i", "tunnel", "--mode", "generic", "--for", "3s", "--format", "json"];
    let probe = start(&network.server, &words);
    let listener = network.server.enter(|| TcpListener::bind("10.99.0.2:8080")).expect("a listener");
    let server = thread::spawn(move || {
        for _ in 0..3 {
            let (mut stream, _) = listener.accept().expect("a connection");
            stream.read_to_end(&mut vec![]).expect("its end");
        }
    });
    let connect = || {
        for _ in 0..3 {
            let mut stream = TcpStream::connect("10.99.0.2:8080")?;
            stream.shutdown(std::net::Shutdown::Write)?;
            stream.read_to_end(&mut vec![])?;
        }
        Ok(())
    };
    network.client.enter(connect).expect("connections");
    server.join().expect("it served");
    let document = json(&probe.wait(PATIENCE).expect("it ends"));
    assert_eq!(document["summary"]["connections"], 3, "{}", document["summary"]);
    assert_eq!(states(&document), BTreeSet::from([(8080, "SF".to_string())]));
    assert_eq!(document["summary"]["fin"]["server"], 3, "what the host sends");
}

//! Kernel words besides resets: drops with their reason, errors of sockets; what the socket itself reports is what the record
//! says.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    ffi::OsString,
    io::{self, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::AsFd as _,
    process::Command,
    thread,
    time::Duration,
};

use probe_tests::{
    netns::{ENDPOINT_INTERFACE, Family, Network},
    probe::Probe,
    tier::privileged,
};
use serde_json::Value;

const FILTERED_PORT: u16 = 8081;
const PORT: u16 = 8080;
/// After this time without acknowledgement the kernel gives a socket up.
const USER_TIMEOUT_MS: u32 = 1500;
const SETTLE: Duration = Duration::from_secs(1);

/// Watches one end with `--host` while `work` is done there.
fn watched(network: &Network, work: impl FnOnce() -> io::Result<()> + Send) -> io::Result<Value> {
    let words = ["snapshot", "-i", ENDPOINT_INTERFACE, "--host", "--for", "1h", "--format", "json"];
    let probe = Probe::start(&network.client, &words.map(OsString::from))?;
    let done = network.client.enter(work);
    thread::sleep(SETTLE);
    let finished = probe.stop()?;
    done?;
    assert!(finished.status.success(), "{}", finished.stderr);
    serde_json::from_str(&finished.stdout).map_err(io::Error::other)
}

fn facts(document: &Value, port: u16) -> (String, Vec<(String, String)>) {
    let all = document["connections"].as_array().expect("a list");
    let of_port = |one: &&Value| one["server"]["port"].as_u64() == Some(port.into());
    let connection = all.iter().find(of_port).unwrap_or_else(|| panic!("no connection to port {port}: {document}"));
    let cause = &connection["cause"];
    let facts = cause["evidence"].as_array().expect("facts").iter();
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let facts = facts.map(|fact| (text(&fact["name"]), text(&fact["value"]))).collect();
    (format!("{} {}", text(&cause["id"]), text(&cause["confidence"])), facts)
}

fn fact<'a>(facts: &'a [(String, String)], name: &str) -> Option<&'a str> {
    facts.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
}

/// Has the client's host drop what comes from a port, behind XDP: what it receives is seen, and not taken.
fn drop_from(network: &Network, port: u16) -> io::Result<()> {
    let rules = format!(
        "table inet filtered {{ chain input {{ type filter hook input priority 0; tcp sport {port} drop; }}; }}"
    );
    let output = network.client.enter(|| Command::new("nft").arg(&rules).output())?;
    if output.status.success() {
        Ok(())
    } else {
        Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned()))
    }
}

#[test]
fn a_segment_that_the_host_drops_is_told_with_its_reason() {
    privileged("kernel_words", "a_segment_that_the_host_drops_is_told_with_its_reason", || {
        let network = Network::build().expect("namespaces");
        let address = SocketAddr::new(Family::V4.server(), FILTERED_PORT);
        let listener = network.server.enter(|| TcpListener::bind(address)).expect("a listener");
        drop_from(&network, FILTERED_PORT).expect("a filter");
        let document = watched(&network, || {
            let refused = TcpStream::connect_timeout(&address, Duration::from_millis(2500));
            assert_eq!(refused.expect_err("its SYN-ACK is dropped").kind(), io::ErrorKind::TimedOut);
            Ok(())
        });
        drop(listener);
        let (cause, facts) = facts(&document.expect("a document"), FILTERED_PORT);
        assert_eq!(fact(&facts, "kernel.drop_reason.srv"), Some("NETFILTER_DROP"), "{cause} {facts:?}");
        let dropped = fact(&facts, "kernel.dropped_segments.srv").and_then(|count| count.parse::<u64>().ok());
        assert!(dropped.is_some_and(|count| (1..10).contains(&count)), "{cause} {facts:?}");
    });
}

#[test]
fn an_error_that_the_socket_is_given_is_the_records() {
    privileged("kernel_words", "an_error_that_the_socket_is_given_is_the_records", || {
        let network = Network::build().expect("namespaces");
        let address = SocketAddr::new(Family::V4.server(), PORT);
        let listener = network.server.enter(|| TcpListener::bind(address)).expect("a listener");
        let document = watched(&network, || {
            let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            rustix::net::sockopt::set_tcp_user_timeout(stream.as_fd(), USER_TIMEOUT_MS)?;
            stream.write_all(b"taken")?;
            thread::sleep(Duration::from_millis(300));
            drop_from(&network, PORT)?;
            stream.write_all(b"never acknowledged")?;
            let mut reported = None;
            for _ in 0..60 {
                thread::sleep(Duration::from_millis(100));
                reported = stream.take_error()?;
                if reported.is_some() {
                    break;
                }
            }
            assert_eq!(reported.map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
            Ok(())
        });
        drop(listener);
        let (cause, facts) = facts(&document.expect("a document"), PORT);
        assert_eq!(fact(&facts, "kernel.socket_error.clt"), Some("ETIMEDOUT"), "{cause} {facts:?}");
        assert_eq!(cause, "retransmission_timeout high", "{facts:?}");
    });
}

#[test]
fn resets_are_grouped_by_process_and_by_the_kernels_reason() {
    privileged("kernel_words", "resets_are_grouped_by_process_and_by_the_kernels_reason", || {
        let network = Network::build().expect("namespaces");
        let address = SocketAddr::new(Family::V4.server(), PORT);
        let listener = network.server.enter(|| TcpListener::bind(address)).expect("a listener");
        let words =
            ["snapshot", "-i", ENDPOINT_INTERFACE, "--host", "--for", "1h", "--by", "process.name,kernel.reason"];
        let of_abort = ["--filter", "kernel.reason = TCP_STATE", "--format", "json"];
        let words: Vec<_> = words.into_iter().chain(of_abort).map(OsString::from).collect();
        let probe = Probe::start(&network.client, &words).expect("started");
        let name = network.client.enter(|| {
            let stream = TcpStream::connect_timeout(&address, Duration::from_secs(5))?;
            rustix::net::sockopt::set_socket_linger(stream.as_fd(), Some(Duration::ZERO))?;
            drop(stream);
            // Of the thread that closed it.
            std::fs::read_to_string("/proc/thread-self/comm")
        });
        thread::sleep(SETTLE);
        let finished = probe.stop().expect("stopped");
        drop(listener);
        let name = name.expect("reset");
        let document: Value = serde_json::from_str(&finished.stdout).expect("JSON");
        let [group] = &document["groups"].as_array().expect("groups")[..] else { panic!("{document}") };
        assert_eq!(group["process.name"], name.trim(), "{group}");
        assert_eq!(group["kernel.reason"], "TCP_STATE", "{group}");
        assert_eq!(group["connections"], 1, "{group}");
    });
}

//! Next steps: what to check after an explanation, as commands that can be pasted, with this connection's addresses, ports and
//! times.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, UNIX_EPOCH};

use super::{
    ladder::Ladder,
    packets::{self, Origin},
    step::{Place, Step},
};
use crate::printable::shell::word as quoted;
use crate::record::{Cause, Connection, ResetBy, Value};

/// Whether other segments of the capture have the same addresses and ports: a display filter must not select those.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Neighbours {
    /// Of another connection, earlier or later.
    pub in_time: bool,
    /// With the ports of client and server exchanged.
    pub swapped: bool,
    /// Connections are told apart by their VLAN, and this is the connection's.
    pub vlan: Option<u32>,
}

/// Wireshark's display filter for the segments of a connection.
pub fn display_filter(one: &Connection, ladder: &Ladder, neighbours: Neighbours) -> String {
    let family = if one.orig.is_ipv4() { "ip" } else { "ipv6" };
    let (client, server) = (one.orig, one.resp);
    let mut filter = if neighbours.swapped {
        let way = |from: SocketAddr, to: SocketAddr| {
            let (src, dst) = (format!("{family}.src == {}", from.ip()), format!("{family}.dst == {}", to.ip()));
            format!("({src} && {dst} && tcp.srcport == {} && tcp.dstport == {})", from.port(), to.port())
        };
        format!("({} || {})", way(client, server), way(server, client))
    } else {
        let ends = [client, server].map(|end| format!("{family}.addr == {}", end.ip())).join(" && ");
        format!("{ends} && tcp.port == {} && tcp.port == {}", client.port(), server.port())
    };
    if neighbours.in_time {
        let times = || ladder.rows.iter().map(|row| row.since_start_ns);
        let [first, last] = [times().min(), times().max()].map(Option::unwrap_or_default);
        let [from, to] = [first, last].map(|since| epoch(one.start_ns.saturating_add_signed(since)));
        filter = format!("{filter} && frame.time_epoch >= {from} && frame.time_epoch <= {to}");
    }
    if let Some(vlan) = neighbours.vlan {
        filter = format!("{filter} && vlan.id == {vlan}");
    }
    // An ICMP error quotes the segment that it is about.
    if one.orig.is_ipv4() { filter + " && !icmp" } else { filter + " && !icmpv6" }
}

fn epoch(ns: u64) -> String {
    format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000)
}

/// What to check next, in order: these packets, then what the cause asks for.
pub fn steps(one: &Connection, filter: &str, origin: &Origin) -> Vec<Step> {
    let mut steps = vec![packets::step(one, filter, origin)];
    let mut add = |place, why, command: String| steps.push(Step { place, why, command });
    of_cause(one, &mut add);
    if let Some(how_often) = packets::how_often(one, origin) {
        steps.push(how_often);
    }
    steps
}

type Add<'a> = dyn FnMut(Place, &'static str, String) + 'a;

fn of_cause(one: &Connection, add: &mut Add<'_>) {
    match one.verdict.cause {
        Cause::None | Cause::RstAfterClose | Cause::HealthCheck => {}
        Cause::RefusedClosedPort
        | Cause::RefusedByFirewall
        | Cause::HalfOpenScan
        | Cause::SynThenRst
        | Cause::NeverAnswered
        | Cause::SynAckUnanswered
        | Cause::StaleConnectionSyn
        | Cause::IcmpUnreachable
        | Cause::AcceptQueueFull => of_opening(one, add),
        Cause::NoState
        | Cause::KeepAliveTimeout
        | Cause::ChallengeConfirmed
        | Cause::RetransmissionTimeout
        | Cause::Vanished
        | Cause::RstWithoutConnection
        | Cause::InjectedSuspect
        | Cause::DeviceResetBoth => of_path(one, add),
        Cause::AppAbort
        | Cause::AbortNoData
        | Cause::RstInsteadOfFin
        | Cause::ServerReplyThenReset
        | Cause::ClientAbortDownload
        | Cause::ClientAbortUpload
        | Cause::ClientGaveUp
        | Cause::DataAfterClose
        | Cause::KeepAliveRace
        | Cause::Linger2
        | Cause::CloseNotifyAfterClose
        | Cause::TlsAlert
        | Cause::Explained
        | Cause::Unknown => of_application(one, add),
    }
}

fn of_opening(one: &Connection, add: &mut Add<'_>) {
    let (client, server) = (one.orig, one.resp);
    let port = server.port();
    match one.verdict.cause {
        Cause::RefusedClosedPort => {
            add(Place::Server, "whether anybody listens on the port, and at which address", listeners(port));
            add(Place::Server, "whether a rule rejects by tcp reset instead", RULES.into());
            add(Place::Server, "whether the service ended or restarted then", journal(one));
        }
        Cause::RefusedByFirewall if one.is_established() => {
            add(Place::Path, "the rules that reject with tcp reset", RULES.into());
            add(
                Place::Path,
                "whether a device still has the connection: one that forgot it may reject it",
                conntrack(client, server),
            );
            add(Place::Server, "whether the server still has it, and knows of no reset", sockets(server, client));
            add(Place::Client, "the way there, for the device that answers", path(server));
        }
        Cause::RefusedByFirewall => {
            add(Place::Path, "the rules that reject with tcp reset", RULES.into());
            add(Place::Server, "whether the service listens at all", listeners(port));
            add(Place::Client, "the way there, for the device that answers", path(server));
        }
        Cause::NeverAnswered | Cause::SynAckUnanswered => {
            add(
                Place::Server,
                "whether the next SYN arrives and an answer leaves, until interrupted",
                watch(client, server),
            );
            add(Place::Server, "the way back to the client", format!("ip route get {}", client.ip()));
            add(Place::Server, "rules that drop", RULES.into());
            add(
                Place::Server,
                "SYN-ACKs that were sent again and again",
                nstat("TcpExtTCPSynRetrans TcpExtTCPTimeouts"),
            );
        }
        Cause::AcceptQueueFull => {
            add(Place::Server, "the accept queue, while it is full: Recv-Q has reached Send-Q", listeners(port));
            add(Place::Server, "how often it was full", nstat("TcpExtListenOverflows TcpExtListenDrops"));
            add(Place::Server, "the limits, and whether a full queue resets", sysctl(QUEUE));
        }
        Cause::StaleConnectionSyn => {
            add(Place::Server, "the old connection of these ports", sockets(server, client));
            add(Place::Client, "how soon ports are used again", sysctl(PORTS));
            add(Place::Path, "the NAT's entry for it", conntrack(client, server));
        }
        Cause::IcmpUnreachable => {
            let from =
                one.verdict.facts.iter().find(|fact| fact.name == "icmp.from").map(|fact| fact.value.to_string());
            let reporter = from.and_then(|from| from.parse::<IpAddr>().ok()).unwrap_or(server.ip());
            add(Place::Client, "the way to who reported it", format!("tracepath -n {reporter}"));
            add(Place::Path, "rules that reject with an ICMP error", RULES.into());
        }
        _ => {
            add(Place::Client, "who opens connections and does not keep them", journal(one));
            let filter = format!("src host {} and tcp[tcpflags] & tcp-syn != 0", client.ip());
            let command = if client.is_ipv4() { filter } else { format!("src host {} and tcp", client.ip()) };
            add(Place::Server, "what else it tries", format!("tcpdump -ni any -c 100 {}", quoted(&command)));
        }
    }
}

fn of_path(one: &Connection, add: &mut Add<'_>) {
    let (client, server) = (one.orig, one.resp);
    let (sender, place) = resetter(one);
    let receiver = if sender == client { server } else { client };
    match one.verdict.cause {
        Cause::NoState | Cause::ChallengeConfirmed | Cause::RstWithoutConnection => {
            add(place, "whether its host still knows the connection", sockets(sender, receiver));
            add(place, "whether it was restarted", "uptime -s".into());
            add(Place::Path, "whether a device still has it, and for how long", conntrack(client, server));
            add(
                Place::Client,
                "when keep-alive probes begin by default (must be below the device's timeout)",
                sysctl(KEEP_ALIVE),
            );
        }
        Cause::KeepAliveTimeout => {
            add(
                place,
                "how many probes were sent, and connections given up",
                nstat("TcpExtTCPKeepAlive TcpExtTCPAbortOnTimeout"),
            );
            add(
                place,
                "how long until the kernel gives up, where the application has not set its own times",
                sysctl(KEEP_ALIVE),
            );
            add(place, "the way to the peer", path(receiver));
        }
        Cause::RetransmissionTimeout | Cause::Vanished => {
            add(Place::Client, "whether it still retransmits, and its timers", sockets(client, server));
            add(Place::Server, "the same at the other end", sockets(server, client));
            add(Place::Client, "the way there", path(server));
            add(
                place,
                "how often the host has given up",
                nstat("TcpExtTCPAbortOnTimeout TcpExtTCPTimeouts TcpRetransSegs"),
            );
        }
        _ => {
            add(
                place,
                "whether this host sends such RSTs: the next connections as seen there, until interrupted",
                watch(client, server),
            );
            add(Place::Path, "rules that reject with tcp reset", RULES.into());
            add(Place::Client, "the way there, for the device that answers", path(server));
        }
    }
}

fn of_application(one: &Connection, add: &mut Add<'_>) {
    let (client, server) = (one.orig, one.resp);
    let (sender, place) = resetter(one);
    let is_server = sender == server;
    match one.verdict.cause {
        Cause::TlsAlert => {
            let server = server.to_string();
            add(
                Place::Client,
                "certificates and versions that the server offers",
                format!("openssl s_client -connect {server} -showcerts </dev/null"),
            );
            add(Place::Server, "what it logged", journal(one));
        }
        Cause::KeepAliveRace | Cause::DataAfterClose => {
            add(Place::Server, "its idle timeout, and what it logged", journal(one));
            add(
                Place::Client,
                "connections that the server has closed and the client still holds",
                closed_by_peer(server),
            );
        }
        Cause::Linger2 => {
            add(place, "how long it waits for the other FIN", sysctl("net.ipv4.tcp_fin_timeout"));
            add(place, "how often it did not", nstat("TcpExtTCPAbortOnLinger"));
        }
        Cause::CloseNotifyAfterClose => {
            add(place, "how often data came after a close", nstat("TcpExtTCPAbortOnData"));
        }
        Cause::ClientGaveUp => {
            add(Place::Server, "what it did while the client waited", journal(one));
            add(Place::Server, "requests that wait unread: Recv-Q", service_sockets(server));
            add(Place::Client, "its timeout, and what it logged", journal(one));
        }
        _ => {
            add(place, "what it logged then", journal(one));
            add(place, "aborts by reason: closed with data unread, killed, or out of memory", nstat(ABORTS));
            if is_server {
                add(place, "the service's sockets, and what lies unread: Recv-Q", service_sockets(server));
            }
            if process(one).is_none() && one.reset_by != ResetBy::Middle {
                let filter = format!(
                    "client = {} and server = {} and server.port = {} and rst.count > 0",
                    client.ip(),
                    server.ip(),
                    server.port()
                );
                let command = format!("rstprobe explain -i INTERFACE --host --for 5m {}", quoted(&filter));
                add(
                    place,
                    "the process, and the kernel's own reason, of the next one; Ctrl-C once it has come",
                    command,
                );
            }
        }
    }
}

const RULES: &str = "nft list ruleset";
const QUEUE: &str = "net.core.somaxconn net.ipv4.tcp_max_syn_backlog net.ipv4.tcp_abort_on_overflow";
const PORTS: &str = "net.ipv4.ip_local_port_range net.ipv4.tcp_tw_reuse";
const KEEP_ALIVE: &str = "net.ipv4.tcp_keepalive_time net.ipv4.tcp_keepalive_intvl net.ipv4.tcp_keepalive_probes";
const ABORTS: &str = "TcpExtTCPAbortOnClose TcpExtTCPAbortOnData TcpExtTCPAbortOnMemory TcpOutRsts";

/// Who reset and where that is; of a connection without RST the client.
fn resetter(one: &Connection) -> (SocketAddr, Place) {
    match one.reset_by {
        ResetBy::Server => (one.resp, Place::Server),
        ResetBy::None | ResetBy::Middle | ResetBy::Unknown if one.from_resp.rst > 0 => (one.resp, Place::Server),
        ResetBy::Client | ResetBy::None | ResetBy::Middle | ResetBy::Unknown => (one.orig, Place::Client),
    }
}

fn process(one: &Connection) -> Option<i64> {
    let pid = one.verdict.facts.iter().find(|fact| fact.name == "process.pid")?;
    if let Value::Number(pid) = pid.value { Some(pid) } else { None }
}

fn listeners(port: u16) -> String {
    format!("ss -ltnp 'sport = :{port}'")
}

/// Sockets of one connection, the host's own end first.
fn sockets(own: SocketAddr, peer: SocketAddr) -> String {
    format!("ss -tanoi 'src {own} and dst {peer}'")
}

fn service_sockets(server: SocketAddr) -> String {
    format!("ss -tanp 'src {server}'")
}

fn closed_by_peer(server: SocketAddr) -> String {
    format!("ss -tanpo state close-wait 'dst {server}'")
}

fn nstat(names: &str) -> String {
    format!("nstat -az {names}")
}

fn sysctl(names: &str) -> String {
    format!("sysctl {names}")
}

fn path(to: SocketAddr) -> String {
    format!("tracepath -n {}", to.ip())
}

fn watch(client: SocketAddr, server: SocketAddr) -> String {
    let filter = format!("host {} and host {} and tcp port {}", client.ip(), server.ip(), server.port());
    format!("tcpdump -ni any {}", quoted(&filter))
}

fn conntrack(client: SocketAddr, server: SocketAddr) -> String {
    let family = if client.is_ipv4() { "" } else { "-f ipv6 " };
    let ports = format!("--sport {} --dport {}", client.port(), server.port());
    format!("conntrack -L {family}-p tcp -s {} -d {} {ports}", client.ip(), server.ip())
}

/// Of the log, so much before the end of a connection and after it, nanoseconds.
const LOG_NS: u64 = 5_000_000_000;

/// The log around the end; of the process where that is known.
fn journal(one: &Connection) -> String {
    let end_ns = one.start_ns.saturating_add(one.duration_ns);
    let time = |ns| {
        let time = humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_nanos(ns)).to_string();
        time.replace('T', " ").replace('Z', " UTC")
    };
    let [since, until] = [end_ns.saturating_sub(LOG_NS), end_ns.saturating_add(LOG_NS)].map(time);
    let of = process(one).map_or_else(String::new, |pid| format!(" _PID={pid}"));
    format!("journalctl --utc --since '{since}' --until '{until}'{of}")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::{
        aggregate::tests::connection,
        explain::{
            ladder::Completeness,
            packets::{Files, Part},
        },
        record::{Closing, Opening, Side},
    };

    fn one(cause: Cause, server: &str) -> Connection {
        let side = Side::default();
        let mut one = connection(server, Opening::Completed, Closing::RstOnly, side, side);
        one.verdict.cause = cause;
        one
    }

    fn files(name: &str) -> Origin {
        let parts = vec![Part::whole(Path::new(name))];
        Origin::Files(Files { parts, all: vec![name.to_owned()], ..Files::default() })
    }

    #[test]
    fn every_cause_that_asks_for_something_has_commands_for_it() {
        for &cause in Cause::ALL {
            let all = steps(&one(cause, "10.0.0.2:80"), "tcp", &files("c.pcap"));
            let of_cause = all.len() - 1 - usize::from(cause != Cause::None);
            let is_harmless = matches!(cause, Cause::None | Cause::RstAfterClose | Cause::HealthCheck);
            assert_eq!(of_cause == 0, is_harmless, "{cause}: {all:?}");
            for step in &all {
                assert_eq!(step.command.matches('\'').count() % 2, 0, "{}", step.command);
                assert!(!step.command.contains('\n') && !step.why.ends_with('.'), "{step:?}");
            }
        }
    }

    /// Who had a connection need not be asked whether it listens.
    #[test]
    fn a_firewall_that_resets_what_it_had_let_through_is_another_matter() {
        let mut refused = one(Cause::RefusedByFirewall, "10.0.0.2:80");
        let commands = |one: &Connection| -> String {
            steps(one, "tcp", &files("c.pcap")).into_iter().map(|step| step.command + "\n").collect()
        };
        let established = commands(&refused);
        assert!(established.contains("conntrack -L ") && established.contains("ss -tanoi 'src 10.0.0.2:80 and dst "));
        assert!(!established.contains("ss -ltnp"), "{established}");
        refused.opening = Opening::Refused;
        assert!(commands(&refused).contains("ss -ltnp 'sport = :80'"));
    }

    /// `run` prints neither process nor reason in its table.
    #[test]
    fn who_asks_for_the_process_is_told_it() {
        let all = steps(&one(Cause::AppAbort, "10.0.0.2:80"), "tcp", &files("c.pcap"));
        let of_process = all.iter().find(|step| step.why.starts_with("the process")).expect("a step");
        let filter =
            of_process.command.strip_prefix("rstprobe explain -i INTERFACE --host --for 5m '").expect("explain");
        assert!(filter.trim_end_matches('\'').parse::<crate::filter::Filter>().is_ok(), "{filter}");
    }

    #[test]
    fn addresses_of_both_families_are_written_as_the_tools_want_them() {
        let mut v6 = one(Cause::StaleConnectionSyn, "[2001:db8::2]:80");
        v6.orig = "[2001:db8::1]:4000".parse().expect("an address");
        let commands: Vec<_> = steps(&v6, "tcp", &files("c.pcap")).into_iter().map(|step| step.command).collect();
        assert!(
            commands.contains(&"ss -tanoi 'src [2001:db8::2]:80 and dst [2001:db8::1]:4000'".to_owned()),
            "{commands:?}"
        );
        let conntrack = "conntrack -L -f ipv6 -p tcp -s 2001:db8::1 -d 2001:db8::2 --sport 4000 --dport 80";
        assert!(commands.iter().any(|command| command == conntrack), "{commands:?}");
        let ladder = Ladder::new(&v6, &[], 0, Completeness::Captured);
        let filter =
            "ipv6.addr == 2001:db8::1 && ipv6.addr == 2001:db8::2 && tcp.port == 4000 && tcp.port == 80 && !icmpv6";
        assert_eq!(display_filter(&v6, &ladder, Neighbours::default()), filter);
    }

    #[test]
    fn neighbours_are_kept_out_of_the_filter() {
        let mut plain = one(Cause::AppAbort, "10.0.0.2:80");
        (plain.orig, plain.start_ns) = ("10.0.0.1:4000".parse().expect("an address"), 5_000_000_001);
        let ladder = Ladder::new(&plain, &[], 0, Completeness::Captured);
        let all = Neighbours { in_time: true, swapped: true, vlan: Some(7) };
        let filter = display_filter(&plain, &ladder, all);
        assert!(filter.starts_with("((ip.src == 10.0.0.1 && ip.dst == 10.0.0.2 && tcp.srcport == 4000 &&"), "{filter}");
        let end = "&& frame.time_epoch >= 5.000000001 && frame.time_epoch <= 5.000000001 && vlan.id == 7 && !icmp";
        assert!(filter.ends_with(end), "{filter}");
    }
}

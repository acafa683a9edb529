//! Findings about one server: its causes against their thresholds.

use std::{collections::BTreeMap, net::SocketAddr};

use hashbrown::HashMap;

use super::{
    Finding, Observed, Shown, Subject, cause_condition, is_enough,
    kinds::{
        ACCEPT_QUEUE_FULL, CLIENTS_GIVE_UP, DEVICE_RESETS, DOWNLOADS_CUT, FORGED_RESETS, HALF_OPEN, IDLE_TIMEOUT,
        KEEPALIVE_RACES, Kind, SERVER_RESETS, SERVICE_FIREWALLED, SERVICE_REFUSES, SERVICE_SILENT, SERVICE_UNREACHABLE,
        STALE_PORTS, TLS_REFUSED, UPLOADS_REJECTED,
    },
    server_condition, share,
};
use crate::{
    aggregate::{Group, GroupKey},
    printable,
    record::{Cause, Connection, ResetBy, fact_meaning::word_meaning},
};

/// Causes of which the server's own application or kernel resets what was established.
const OWN_RESETS: [Cause; 5] =
    [Cause::AppAbort, Cause::DataAfterClose, Cause::NoState, Cause::Linger2, Cause::Explained];

/// Findings of every server.
pub(super) fn all(observed: &Observed<'_>, findings: &mut Vec<Finding>) {
    // Once for all: there may be as many servers as connections.
    let mut listed: HashMap<SocketAddr, Vec<&Connection>, foldhash::fast::RandomState> = HashMap::default();
    for one in observed.connections {
        listed.entry(one.resp).or_default().push(one);
    }
    for (key, group) in observed.aggregate.servers.iter() {
        let GroupKey::Server(server) = key else { continue };
        let service = Service { observed, listed: listed.get(&server).map_or(&[], Vec::as_slice), server, group };
        for rule in RULES {
            findings.extend(rule(&service));
        }
    }
}

struct Service<'a> {
    observed: &'a Observed<'a>,
    /// Its connections that are listed.
    listed: &'a [&'a Connection],
    server: SocketAddr,
    group: &'a Group,
}

type Rule = fn(&Service<'_>) -> Option<Finding>;

const RULES: [Rule; 16] = [
    refuses,
    firewalled,
    unreachable,
    silent,
    queue_full,
    resets,
    keepalive_races,
    idle_timeout,
    clients_give_up,
    uploads_rejected,
    downloads_cut,
    tls_refused,
    forged,
    by_device,
    stale_ports,
    half_open,
];

impl Service<'_> {
    fn count(&self, causes: &[Cause]) -> u64 {
        self.group.causes().filter(|(cause, _)| causes.contains(cause)).map(|(_, count)| count).sum()
    }

    /// Those that were attempts: of mid-stream views there may be none.
    fn attempts(&self) -> u64 {
        self.group.totals.attempts.max(self.group.totals.refused + self.group.totals.never_answered)
    }

    /// Connections whose handshake was seen to complete.
    fn established(&self) -> u64 {
        self.group.totals.completed_handshakes
    }

    fn shown(&self, causes: &[Cause], count: u64) -> Shown {
        Shown::of(self.listed.iter().copied(), causes, count)
    }

    fn finding(
        &self,
        kind: &'static Kind,
        causes: &[Cause],
        (count, of): (u64, u64),
        sentence: String,
        next_step: String,
    ) -> Finding {
        let Shown { since_ns, ids } = self.shown(causes, count);
        let subject = Subject::Server(self.server);
        let filter = Some(format!("{} and {}", cause_condition(causes), server_condition(self.server)));
        Finding { kind, subject, sentence, next_step, count, of, since_ns, examples: ids, filter }
    }

    /// A finding of attempts with one cause.
    fn of_attempts(&self, kind: &'static Kind, cause: Cause, what: &str, next_step: String) -> Option<Finding> {
        let (count, of) = (self.count(&[cause]), self.attempts());
        is_enough(count, of, 3, 5).then(|| {
            let sentence = format!("{}: {} attempts {what}", self.server, share(count, of));
            self.finding(kind, &[cause], (count, of), sentence, next_step)
        })
    }

    /// A finding of established connections with one cause.
    fn of_established(&self, kind: &'static Kind, cause: Cause, what: &str, next_step: String) -> Option<Finding> {
        let count = self.count(&[cause]);
        // Of connections whose opening was not seen there may be more.
        let of = self.established().max(count);
        is_enough(count, of, 3, 1).then(|| {
            let sentence = format!("{}: {} established connections {what}", self.server, share(count, of));
            self.finding(kind, &[cause], (count, of), sentence, next_step)
        })
    }
}

/// `60 s`, `1.1 s`.
fn seconds_text(seconds: f64) -> String {
    if seconds >= 10.0 { format!("{seconds:.0} s") } else { format!("{seconds:.1} s") }
}

fn refuses(service: &Service<'_>) -> Option<Finding> {
    let port = service.server.port();
    let next = format!("on the server: does a process listen? `ss -ltnp 'sport = :{port}'`");
    service.of_attempts(SERVICE_REFUSES, Cause::RefusedClosedPort, "met a closed port", next)
}

fn firewalled(service: &Service<'_>) -> Option<Finding> {
    let next =
        "find the device by the TTL of its RSTs (`rst.ttl.srv` against `ttl.srv`); on the server: `nft list ruleset`";
    service.of_attempts(SERVICE_FIREWALLED, Cause::RefusedByFirewall, "were refused by a firewall", next.to_owned())
}

fn unreachable(service: &Service<'_>) -> Option<Finding> {
    let next = "the facts `icmp.error` and `icmp.from` name the error and who sent it: look at that router or host";
    service.of_attempts(SERVICE_UNREACHABLE, Cause::IcmpUnreachable, "were ended by an ICMP error", next.to_owned())
}

fn silent(service: &Service<'_>) -> Option<Finding> {
    if service.observed.is_one_way {
        return None;
    }
    let port = service.server.port();
    let next =
        format!("on the server: does the SYN arrive, and where does the answer go? `tcpdump -ni any tcp port {port}`");
    service.of_attempts(SERVICE_SILENT, Cause::NeverAnswered, "were never answered", next)
}

fn queue_full(service: &Service<'_>) -> Option<Finding> {
    let causes = [Cause::AcceptQueueFull];
    let (count, of) = (service.count(&causes), service.attempts());
    (count >= 2).then(|| {
        let sentence = format!(
            "{}: {} attempts met a full accept queue: the application accepts too slowly",
            service.server,
            share(count, of)
        );
        let port = service.server.port();
        let next = format!(
            "on the server: `ss -ltn 'sport = :{port}'` (Recv-Q near Send-Q) and `nstat -az TcpExtListenOverflows`; more \
             workers, or a larger backlog"
        );
        service.finding(ACCEPT_QUEUE_FULL, &causes, (count, of), sentence, next)
    })
}

fn resets(service: &Service<'_>) -> Option<Finding> {
    let totals = &service.group.totals;
    let mut main: Vec<_> = service.group.causes_by_server().filter(|(cause, _)| OWN_RESETS.contains(cause)).collect();
    main.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    let count = main.iter().map(|(_, count)| count).sum();
    let of = service.established().max(count);
    (totals.impacts.losses() > 0 && is_enough(count, of, 3, 1)).then(|| {
        let causes: Vec<_> = main.iter().map(|(cause, count)| format!("{} x{count}", cause.id())).collect();
        let sentence = format!(
            "{}: {} established connections were reset by the server ({}); {} of its connections lost something",
            service.server,
            share(count, of),
            causes.join(", "),
            totals.impacts.losses()
        );
        let next = word_of_host(service).unwrap_or_else(|| {
            format!(
                "on the server: `rstprobe explain -i IFACE --host --for 1m 'server.port = {} and reset_by = server'` names the \
                 process and the kernel's reason; then its log",
                service.server.port()
            )
        });
        let finding = service.finding(SERVER_RESETS, &OWN_RESETS, (count, of), sentence, next);
        let its = service.listed.iter().copied().filter(|one| one.reset_by == ResetBy::Server);
        let Shown { since_ns, ids } = Shown::of(its, &OWN_RESETS, count);
        let filter = finding.filter.map(|filter| filter + " and reset_by = server");
        Finding { filter, since_ns, examples: ids, ..finding }
    })
}

/// What is next where the server's own host was watched: the process that reset most of those that are listed, and why its
/// kernel says it did.
fn word_of_host(service: &Service<'_>) -> Option<String> {
    let resets = service.listed.iter().filter(|one| one.reset_by == ResetBy::Server);
    let mut told = BTreeMap::<_, u64>::new();
    for one in resets.filter(|one| OWN_RESETS.contains(&one.verdict.cause)) {
        let text =
            |name: &str| one.verdict.facts.iter().find(|fact| fact.name == name).map(|fact| fact.value.to_string());
        if let (Some(process), Some(reason)) = (text("process.name"), text("kernel.reason")) {
            *told.entry((process, reason)).or_default() += 1;
        }
    }
    let ((process, reason), count) = told.into_iter().max_by_key(|(_, count)| *count)?;
    let meaning = word_meaning("kernel.reason", &reason).map(|meaning| format!(": {meaning}")).unwrap_or_default();
    let process = printable::escaped(&process);
    Some(format!(
        "process {process} sent {count} of those listed ({reason}{meaning}): look for them in its log; `--by \
         process.name,kernel.reason` counts all"
    ))
}

fn keepalive_races(service: &Service<'_>) -> Option<Finding> {
    let causes = [Cause::KeepAliveRace];
    let count = service.count(&causes);
    let of = service.established().max(count);
    (count >= 2 && count * 1000 >= of).then(|| {
        let cluster = service.group.idle_gap_cluster();
        let idle = cluster.map(|cluster| format!(" (idle ones end after {})", seconds_text(cluster.seconds)));
        let sentence = format!(
            "{}: {} requests met a keep-alive connection that the server was closing: they are lost",
            service.server,
            share(count, of)
        );
        let next = format!(
            "let clients drop idle connections sooner than the server{}, or retry requests that were not answered at all",
            idle.unwrap_or_default()
        );
        service.finding(KEEPALIVE_RACES, &causes, (count, of), sentence, next)
    })
}

fn idle_timeout(service: &Service<'_>) -> Option<Finding> {
    let cluster = service.group.idle_gap_cluster()?;
    let seconds = cluster.seconds;
    let sentence = format!(
        "{}: {} resets of idle connections came after {seconds:.1} s: an idle timeout there or on the path",
        service.server,
        share(cluster.resets, cluster.of)
    );
    let next = format!(
        "keep-alive probes before {} (net.ipv4.tcp_keepalive_time or TCP_KEEPIDLE), or pools that drop connections idle \
         for longer",
        seconds_text(seconds * 0.8)
    );
    let is_near = |gap_ns: u64| (gap_ns as f64 / 1e9 / seconds - 1.0).abs() < 0.1;
    let its = service.listed.iter();
    let shown = its.filter(|one| one.idle_gap_ns.is_some_and(is_near));
    let examples = shown.take(super::EXAMPLES).map(|one| one.id).collect();
    let subject = Subject::Server(service.server);
    let (count, of) = (cluster.resets, cluster.of);
    let (least_ms, most_ms) = (seconds * 900.0, seconds * 1100.0);
    let filter =
        format!("idle_gap > {least_ms:.0}ms and idle_gap < {most_ms:.0}ms and {}", server_condition(service.server));
    Some(Finding {
        kind: IDLE_TIMEOUT,
        subject,
        sentence,
        next_step: next,
        count,
        of,
        since_ns: None,
        examples,
        filter: Some(filter),
    })
}

fn clients_give_up(service: &Service<'_>) -> Option<Finding> {
    let what = "were ended by clients that waited for an answer";
    let next =
        "the server is slower than its clients wait (fact `waited_ms`): its latency, its backends, their timeout";
    service.of_established(CLIENTS_GIVE_UP, Cause::ClientGaveUp, what, next.to_owned())
}

fn uploads_rejected(service: &Service<'_>) -> Option<Finding> {
    let next = "let the server read the request to its end before it closes (nginx: lingering_close; limits: \
                client_max_body_size), or answer `Expect: 100-continue`";
    let what = "were answered and reset while the request was still arriving: clients may lose the answer";
    service.of_established(UPLOADS_REJECTED, Cause::ServerReplyThenReset, what, next.to_owned())
}

fn downloads_cut(service: &Service<'_>) -> Option<Finding> {
    let what = "were stopped by their clients in the middle of a transfer";
    let next = "usual for players and browsers; otherwise the clients' log and timeouts";
    service.of_established(DOWNLOADS_CUT, Cause::ClientAbortDownload, what, next.to_owned())
}

fn tls_refused(service: &Service<'_>) -> Option<Finding> {
    let next = format!(
        "the fact `tls.alert` says which alert; `openssl s_client -connect {}` shows certificate and versions",
        service.server
    );
    service.of_established(TLS_REFUSED, Cause::TlsAlert, "were ended by a TLS alert", next)
}

/// Resets with marks of another sender.
fn forged(service: &Service<'_>) -> Option<Finding> {
    let count = service.count(&[Cause::InjectedSuspect]);
    let of = service.established().max(count);
    (count >= 2).then(|| {
        let sentence = format!("{}: {} connections bear marks of a forged RST", service.server, share(count, of));
        let next = "compare TTL, IP id and options of the RST with the host's other segments (facts `rst.mark`, `rst.ttl`); \
                    capture nearer to the server to find where it enters";
        service.finding(FORGED_RESETS, &[Cause::InjectedSuspect], (count, of), sentence, next.to_owned())
    })
}

/// Resets of both ends by something between them.
fn by_device(service: &Service<'_>) -> Option<Finding> {
    let count = service.count(&[Cause::DeviceResetBoth]);
    let of = service.established().max(count);
    (count >= 2).then(|| {
        let counted = share(count, of);
        let sentence =
            format!("{}: {counted} connections were reset in both directions by a device on the path", service.server);
        let next = "firewall, proxy or load balancer between client and server: its log and its session limits";
        service.finding(DEVICE_RESETS, &[Cause::DeviceResetBoth], (count, of), sentence, next.to_owned())
    })
}

/// Attempts that met a connection which only the server still had.
fn stale_ports(service: &Service<'_>) -> Option<Finding> {
    let count = service.count(&[Cause::StaleConnectionSyn]);
    let of = service.attempts().max(count);
    (count >= 2).then(|| {
        let sentence = format!(
            "{}: {} attempts met a connection that the client had forgotten: its ports are used again too soon",
            service.server,
            share(count, of)
        );
        let next = "NAT port reuse or a client without TIME_WAIT: more addresses for the NAT, or a longer reuse time";
        service.finding(STALE_PORTS, &[Cause::StaleConnectionSyn], (count, of), sentence, next.to_owned())
    })
}

/// Openings that were answered and not completed: by spoofed SYNs, or a lost return path.
fn half_open(service: &Service<'_>) -> Option<Finding> {
    let count = service.count(&[Cause::SynAckUnanswered]);
    let of = service.attempts().max(count);
    is_enough(count, of, 10, 10).then(|| {
        let sentence = format!(
            "{}: {} attempts were answered and never completed: spoofed SYNs, or the answers get lost",
            service.server,
            share(count, of)
        );
        let next = "on the server: `nstat -az TcpExtSyncookiesSent TcpExtTCPReqQFullDoCookies`; does the answer reach the \
                    client?";
        service.finding(HALF_OPEN, &[Cause::SynAckUnanswered], (count, of), sentence, next.to_owned())
    })
}

//! Findings about all traffic: floods, lost paths, the view itself, and patterns that cost nothing.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    Finding, Observed, Shown, Subject, cause_condition,
    kinds::{
        CAPTURE, FORGED_RESETS, HABITUAL_RST, HALF_VIEW, HEALTH_CHECKS, Kind, LATE_CLOSE_NOTIFY, PATH_LOST,
        RST_AFTER_CLOSE, SERVICE_UNREACHABLE, SYN_FLOOD,
    },
    server_condition, share,
};
use crate::{aggregate::GroupKey, record::Cause};

/// Causes of connections whose payload reached nobody.
const LOST_PATH: [Cause; 3] = [Cause::RetransmissionTimeout, Cause::Vanished, Cause::KeepAliveTimeout];
/// SYNs that were only counted, from which on that is a flood.
const FLOOD_SYNS: u64 = 1000;

/// Usual ends that cost nothing: cause, kind, what happened, why it is harmless.
const BENIGN: [(Cause, &Kind, &str, &str); 4] = [
    (Cause::RstInsteadOfFin, HABITUAL_RST, "RST instead of FIN out of habit", "everything had been acknowledged"),
    (Cause::HealthCheck, HEALTH_CHECKS, "checks of a monitor", "it only looks whether the service accepts"),
    (Cause::CloseNotifyAfterClose, LATE_CLOSE_NOTIFY, "a late TLS close_notify", "it says no more than FIN"),
    (Cause::RstAfterClose, RST_AFTER_CLOSE, "RST after a close", "nothing was lost"),
];

/// Findings that belong to no single server or client.
pub(super) fn all(observed: &Observed<'_>, findings: &mut Vec<Finding>) {
    flood(observed, findings);
    lost_paths(observed, findings);
    scattered(observed, findings);
    view(observed, findings);
    benign(observed, findings);
}

fn flood(observed: &Observed<'_>, findings: &mut Vec<Finding>) {
    for &(service, syns) in observed.flood.iter().filter(|(_, syns)| *syns >= FLOOD_SYNS) {
        let whom = service.map_or_else(|| "many services".to_owned(), |service| service.to_string());
        findings.push(Finding {
            kind: SYN_FLOOD,
            subject: service.map_or(Subject::Traffic, Subject::Server),
            sentence: format!(
                "{whom}: {syns} SYNs beyond --flood-at were only counted: a SYN flood, or a burst of new clients"
            ),
            next_step: "on the server: `nstat -az TcpExtSyncookiesSent`; the table of flooded services has all"
                .to_owned(),
            count: syns,
            of: 0,
            since_ns: None,
            examples: Vec::new(),
            filter: None,
        });
    }
}

/// Servers whose payload or whose clients' payload went unacknowledged to the end, by prefix.
fn lost_paths(observed: &Observed<'_>, findings: &mut Vec<Finding>) {
    let mut prefixes: BTreeMap<IpAddr, (u64, u64)> = BTreeMap::new();
    for (key, group) in observed.aggregate.servers.iter() {
        let GroupKey::Server(server) = key else { continue };
        let count: u64 = group.causes().filter(|(cause, _)| LOST_PATH.contains(cause)).map(|(_, count)| count).sum();
        let sum = prefixes.entry(network(server.ip())).or_default();
        *sum = (sum.0 + count, sum.1 + group.totals.connections);
    }
    for (prefix, (count, of)) in prefixes.into_iter().filter(|(_, (count, _))| *count >= 3) {
        let Shown { since_ns, ids } = observed.examples(&LOST_PATH, count, |one| network(one.resp.ip()) == prefix);
        let len = if prefix.is_ipv4() { 24 } else { 64 };
        findings.push(Finding {
            kind: PATH_LOST,
            subject: Subject::Traffic,
            sentence: format!("{prefix}/{len}: {} connections ended because nobody acknowledged any more", share(count, of)),
            next_step: format!("does the path to {prefix}/{len} lose packets, or does a device on it drop idle state? `mtr`, and a capture on the other side"),
            count,
            of,
            since_ns,
            examples: ids,
            filter: Some(format!("{} and server.ip = {prefix}/{len}", cause_condition(&LOST_PATH))),
        });
    }
}

/// What is too little for a finding of one server, and together is one.
struct Scattered {
    cause: Cause,
    kind: &'static Kind,
    /// From so many connections on it is told of the server itself.
    of_server: u64,
    /// From so many on it is told of all.
    least: u64,
    what: &'static str,
    next_step: &'static str,
}

const SCATTERED: [Scattered; 2] = [
    Scattered {
        cause: Cause::InjectedSuspect,
        kind: FORGED_RESETS,
        of_server: 2,
        least: 1,
        what: "bear marks of a forged RST",
        next_step: "compare TTL, IP id and options of the RST with the host's other segments (facts `rst.mark`, `rst.ttl`)",
    },
    Scattered {
        cause: Cause::IcmpUnreachable,
        kind: SERVICE_UNREACHABLE,
        of_server: 3,
        least: 3,
        what: "were ended by ICMP errors",
        next_step: "the facts `icmp.error` and `icmp.from` say what is wrong and which router or host says so",
    },
];

/// What a few connections each of several servers show.
fn scattered(observed: &Observed<'_>, findings: &mut Vec<Finding>) {
    for Scattered { cause, kind, of_server, least, what, next_step } in SCATTERED {
        let (mut count, mut of, mut servers, mut further) = (0, 0, BTreeSet::new(), "");
        for (key, group) in observed.aggregate.servers.iter() {
            let its: u64 = group.causes().filter(|(found, _)| *found == cause).map(|(_, count)| count).sum();
            match key {
                GroupKey::Server(server) if (1..of_server).contains(&its) => {
                    servers.insert(server);
                }
                // Those that have no row of their own.
                GroupKey::Other if its > 0 => further = " and more",
                _ => continue,
            }
            (count, of) = (count + its, of + group.totals.connections);
        }
        if count < least {
            continue;
        }
        let (subject, whose) = match (servers.first(), servers.len()) {
            (Some(&server), 1) if further.is_empty() => (Subject::Server(server), server.to_string()),
            (_, number) => (Subject::Traffic, format!("{number}{further} servers")),
        };
        let its_server = if let Subject::Server(server) = subject {
            format!(" and {}", server_condition(server))
        } else {
            String::new()
        };
        let Shown { since_ns, ids } = observed.examples(&[cause], count, |one| servers.contains(&one.resp));
        findings.push(Finding {
            kind,
            subject,
            sentence: format!("{whose}: {} connections {what}", share(count, of)),
            next_step: next_step.to_owned(),
            count,
            of,
            since_ns,
            examples: ids,
            filter: Some(cause_condition(&[cause]) + &its_server),
        });
    }
}

/// The network that a host is in, as far as one may guess: /24 or /64.
fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(four) => Ipv4Addr::from(u32::from(four) & !0xff).into(),
        IpAddr::V6(six) => Ipv6Addr::from(u128::from(six) >> 64 << 64).into(),
    }
}

/// What the view cannot tell.
fn view(observed: &Observed<'_>, findings: &mut Vec<Finding>) {
    let totals = &observed.aggregate.totals;
    let of_capture = |kind, sentence, next_step: &str, (count, of)| Finding {
        kind,
        subject: Subject::Capture,
        sentence,
        next_step: next_step.to_owned(),
        count,
        of,
        since_ns: None,
        examples: Vec::new(),
        filter: None,
    };
    let (one_sided, of) = (totals.one_sided, totals.connections);
    if observed.is_one_way {
        let sentence = "what this host sends was not seen: no verdict is certain".to_owned();
        findings.push(of_capture(HALF_VIEW, sentence, "`--host` sees both halves", (of, of)));
    } else if one_sided > 0 && one_sided * 10 >= of {
        let seen = format!("{} connections were seen in one direction only", share(one_sided, of));
        // Each of them has a segment of which nothing was taken.
        let (why, next) = if observed.wrong_checksums >= one_sided {
            let left_out = observed.wrong_checksums;
            (
                format!("{left_out} segments with wrong checksums were left out, perhaps those of the other direction"),
                "read it again with --no-checksums",
            )
        } else {
            (
                "how they ended is unknown".to_owned(),
                "watch the other direction as well: both legs of a TAP (`-i` twice), a second mirror port, or --host",
            )
        };
        findings.push(of_capture(HALF_VIEW, format!("{seen}: {why}"), next, (one_sided, of)));
    }
    for notice in observed.notices {
        let next =
            "live: the mirror session, drops of switch and NIC (`rstprobe doctor`); of a file: how it was captured";
        findings.push(of_capture(CAPTURE, notice.clone(), next, (0, 0)));
    }
}

/// `1 connection`, `2 connections`.
fn connections(count: u64) -> String {
    format!("{count} connection{}", if count == 1 { "" } else { "s" })
}

fn benign(observed: &Observed<'_>, findings: &mut Vec<Finding>) {
    for (cause, kind, what, why) in BENIGN {
        let count: u64 = observed.aggregate.causes().filter(|(found, _)| *found == cause).map(|(_, count)| count).sum();
        if count == 0 {
            continue;
        }
        let Shown { since_ns, ids } = observed.examples(&[cause], count, |_| true);
        findings.push(Finding {
            kind,
            subject: Subject::Traffic,
            sentence: format!("{what}: {} ({why})", connections(count)),
            next_step: "nothing to do".to_owned(),
            count,
            of: 0,
            since_ns,
            examples: ids,
            filter: Some(cause_condition(&[cause])),
        });
    }
}

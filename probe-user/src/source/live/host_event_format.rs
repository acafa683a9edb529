//! Formats of host events: where this kernel keeps what the programs read at `sock:inet_sk_error_report` (Linux 5.14) and
//! `skb:kfree_skb`, which gives a reason since 5.17. Either may be missing.

use probe_ebpf::layout::DROP_REASONS;

use super::{btf::Btf, tracepoint_format::TracepointFormat};

/// Reasons that are reported, where the kernel has them (include/net/dropreason-core.h): those that lose a segment which
/// belongs to a connection. Left out are refusals that an RST or ICMP error tells of, and what TCP drops in normal work (old
/// segments, copies).
const REASONS: [&str; 41] = [
    "NETFILTER_DROP",
    "SOCKET_FILTER",
    "SOCKET_RCVBUFF",
    "SOCKET_BACKLOG",
    "PROTO_MEM",
    "TCP_CSUM",
    "IP_CSUM",
    "IP_RPFILTER",
    "IP_LOCAL_SOURCE",
    "IP_INVALID_SOURCE",
    "IP_OUTNOROUTES",
    "BPF_CGROUP_EGRESS",
    "XFRM_POLICY",
    "TCP_MD5NOTFOUND",
    "TCP_MD5UNEXPECTED",
    "TCP_MD5FAILURE",
    "TCP_AONOTFOUND",
    "TCP_AOUNEXPECTED",
    "TCP_AOKEYNOTFOUND",
    "TCP_AOFAILURE",
    "TCP_RFC7323_PAWS",
    "TCP_INVALID_SYN",
    "TCP_MINTTL",
    "TCP_LISTEN_OVERFLOW",
    "TCP_REQQFULLDROP",
    "CPU_BACKLOG",
    "QDISC_DROP",
    "QDISC_OVERLIMIT",
    "QDISC_CONGESTED",
    "CAKE_FLOOD",
    "FQ_BAND_LIMIT",
    "FQ_HORIZON_LIMIT",
    "FQ_FLOW_LIMIT",
    "FULL_RING",
    "SECURITY_HOOK",
    "TC_INGRESS",
    "TC_EGRESS",
    "NEIGH_CREATEFAIL",
    "NEIGH_FAILED",
    "NEIGH_QUEUEFULL",
    "NOMEM",
];

/// Where this kernel keeps what the programs read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostEventFormat {
    /// Offsets of `error`, `sport`, `dport`, `protocol`, `saddr_v6`, `daddr_v6`; `None` without the tracepoint.
    pub errors: Option<[u32; 6]>,
    /// `None` where drops have no reason.
    pub drops: Option<DropFormat>,
}

/// What is read of a dropped segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DropFormat {
    /// Offsets of `skbaddr`, `protocol`, `reason` in the record.
    pub(super) offsets: [u32; 3],
    /// Offsets of `head` and `network_header` in `sk_buff`.
    pub(super) buffer: [u32; 2],
    /// Bit N: reason N is reported.
    pub(super) reported: u128,
    /// Names of reasons by number.
    pub names: Vec<String>,
}

impl HostEventFormat {
    /// What this kernel has, and, of what it lacks, why, for people.
    pub fn of_this_kernel() -> (Self, Vec<String>) {
        let mut lacks = Vec::new();
        let mut found = |what: Result<_, String>| what.map_err(|why| lacks.push(why)).ok();
        let errors = found(errors());
        let mut found = |what: Result<_, String>| what.map_err(|why| lacks.push(why)).ok();
        let drops = found(drops());
        (Self { errors, drops }, lacks)
    }
}

fn errors() -> Result<[u32; 6], String> {
    let format = TracepointFormat::of_this_kernel("sock/inet_sk_error_report")?.ok_or(
        "socket errors: this kernel has no tracepoint sock:inet_sk_error_report (Linux 5.14 and newer have it)",
    )?;
    format
        .offsets(["error", "sport", "dport", "protocol", "saddr_v6", "daddr_v6"])
        .ok_or_else(|| "socket errors: the fields of sock:inet_sk_error_report are not those that are known".to_owned())
}

fn drops() -> Result<DropFormat, String> {
    let format = TracepointFormat::of_this_kernel("skb/kfree_skb")?
        .ok_or("dropped segments: the tracepoint skb:kfree_skb may not be read")?;
    let reasons = || Some((format.offsets(["skbaddr", "protocol", "reason"])?, format.names("reason", DROP_REASONS)?));
    let (offsets, names) =
        reasons().ok_or("dropped segments: this kernel gives no reason (Linux 5.17 and newer give one)")?;
    let btf =
        Btf::of_this_kernel().ok_or("dropped segments: this kernel has no type information (CONFIG_DEBUG_INFO_BTF)")?;
    let buffer = || Some([btf.offset("sk_buff", "head")?, btf.offset("sk_buff", "network_header")?]);
    let buffer = buffer().ok_or("dropped segments: this kernel's sk_buff is not the one that is known")?;
    Ok(DropFormat { offsets, buffer, reported: reported(&names), names })
}

/// The numbers of [`REASONS`] as bits.
fn reported(names: &[String]) -> u128 {
    let asked = names.iter().enumerate().filter(|(_, name)| REASONS.contains(&name.as_str()));
    asked.fold(0, |bits, (number, _)| bits | 1 << number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_asked_for_by_the_numbers_of_this_kernel() {
        let names = ["", "", "NOT_SPECIFIED", "NETFILTER_DROP", "TCP_CSUM"].map(str::to_owned);
        assert_eq!(reported(&names), 0b11000);
    }
}

//! Counters and their stable names in outputs, and which of them matter.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use probe_ebpf::{
    layout::{Endpoint, FlagCounts},
    parse::Reject,
};

use crate::output::evidence_writer::EvidenceAccounting;
use crate::{
    aggregate::FlagTotals,
    report::{
        Loss,
        flood::{Flood, FloodedService, Flooding},
    },
    source::{
        capture,
        live::{
            accounting::Accounting,
            services::{ServiceCounts, Services},
        },
        xsk::XskAccounting,
    },
    tracker::TrackerStats,
};

fn matters(name: &'static str, count: u64) -> Loss {
    Loss { name, count, matters: true }
}

/// What the data plane's books know nothing of.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Unseen {
    /// Resets that the kernel reported and that could not be taken.
    pub(crate) resets_lost: u64,
    /// Other words of the kernel that found no room.
    pub(crate) host_events_lost: u64,
    /// Interfaces that went away and did not come back.
    pub(crate) interfaces_gone: u64,
    /// How often one was away, for good or not, and for how long all together.
    pub(crate) gaps: u64,
    pub(crate) gaps_ns: u64,
    /// Frames that the NICs lost before the program could see them.
    pub(crate) missed_by_nic: u64,
    /// Packets that the interfaces received while the programs were given none.
    pub(crate) not_given: u64,
}

/// What a live session could not put, or not fully, into connections.
pub(crate) fn live(accounting: &Accounting, stats: &TrackerStats, unseen: &Unseen) -> Vec<Loss> {
    let left =
        |pick: fn(&FlagCounts) -> u64| pick(&accounting.flooded_flags).saturating_sub(pick(&accounting.claimed_flags));
    let mut losses = vec![
        matters("untracked.syn", accounting.untracked_flags.syn),
        matters("untracked.syn_ack", accounting.untracked_flags.syn_ack),
        matters("untracked.fin", accounting.untracked_flags.fin),
        matters("untracked.rst", accounting.untracked_flags.rst),
        matters("untracked.data_segments", accounting.untracked_data),
        matters("flood.syn_untracked", left(|flags| flags.syn)),
        matters("flood.syn_ack_untracked", left(|flags| flags.syn_ack)),
        matters("flood.rst_untracked", left(|flags| flags.rst)),
        matters("shed.data_segments", accounting.shed),
        matters("order_lost", accounting.order_lost),
        matters("books.difference", accounting.difference()),
        matters("interfaces.gone", unseen.interfaces_gone),
        matters("interfaces.gaps", unseen.gaps),
        matters("interfaces.gaps_ms", unseen.gaps_ns.div_ceil(1_000_000)),
        matters("nic.missed", unseen.missed_by_nic),
        matters("interfaces.not_given", unseen.not_given),
        matters("kernel.resets_lost", unseen.resets_lost),
        matters("kernel.words_lost", unseen.host_events_lost),
        matters("kernel.words_unkept", stats.kernel_reports.unkept),
        matters("icmp.unlogged", accounting.icmp_unlogged()),
        matters("icmp.unkept", stats.icmp.unkept),
        Loss { name: "cropped", count: accounting.cropped, matters: false },
        Loss { name: "kernel.resets_unmatched", count: stats.unmatched_resets.total(), matters: false },
        Loss { name: "kernel.unmatched.no_connection", count: stats.unmatched_resets.no_connection, matters: false },
        Loss { name: "kernel.unmatched.not_seen", count: stats.unmatched_resets.not_seen, matters: false },
        Loss { name: "kernel.unmatched.no_peer", count: stats.unmatched_resets.no_peer, matters: false },
        Loss { name: "kernel.words_unmatched", count: stats.kernel_reports.unmatched, matters: false },
    ];
    losses.extend(tracker(stats));
    losses.extend(rejected(|reason| accounting.rejected_for(reason)));
    losses
}

/// What the way through AF_XDP sockets lost.
pub(crate) fn sockets(accounting: &XskAccounting) -> Vec<Loss> {
    vec![
        matters("afxdp.dropped", accounting.dropped),
        matters("afxdp.ring_full", accounting.ring_full),
        matters("afxdp.unaccounted", accounting.unaccounted()),
        matters("afxdp.fell_back", accounting.fell_back),
        matters("afxdp.late", accounting.late),
        matters("afxdp.difference", accounting.difference()),
        Loss { name: "afxdp.cropped", count: accounting.cropped, matters: false },
        Loss { name: "afxdp.fill_empty", count: accounting.fill_empty, matters: false },
        Loss { name: "afxdp.unstamped", count: accounting.unstamped, matters: false },
    ]
}

/// What came through AF_XDP sockets.
pub(crate) fn socket_accounting(accounting: &XskAccounting) -> Vec<(&'static str, u64)> {
    vec![
        ("afxdp.redirected", accounting.redirected),
        ("afxdp.frames", accounting.frames),
        ("afxdp.frame_bytes", accounting.frame_bytes),
        ("afxdp.segments", accounting.segments),
    ]
}

/// What of the evidence could not be kept.
pub(crate) fn evidence(accounting: &EvidenceAccounting) -> Vec<Loss> {
    let collected = &accounting.collected;
    vec![
        matters("evidence.no_memory", collected.no_memory),
        matters("evidence.not_written", accounting.not_written),
        matters("evidence.snapshots_lost", accounting.snapshots.1),
        matters("evidence.without_frames", collected.without_frames),
        Loss { name: "evidence.between", count: collected.between, matters: false },
    ]
}

/// What evidence there is.
pub(crate) fn evidence_accounting(accounting: &EvidenceAccounting) -> Vec<(&'static str, u64)> {
    vec![
        ("evidence.connections", accounting.collected.connections),
        ("evidence.frames", accounting.collected.frames),
        ("evidence.snapshots", accounting.snapshots.0),
    ]
}

/// What a capture held that is in no connection.
pub(crate) fn capture(
    accounting: &capture::Accounting,
    pieces: &capture::Reassembled,
    stats: &TrackerStats,
) -> Vec<Loss> {
    let mut losses = vec![
        matters("checksum.tcp", accounting.bad_tcp_checksum),
        matters("checksum.ip", accounting.bad_ip_checksum),
        matters("link_unsupported", accounting.link_unsupported),
        matters("ieee80211.aggregates", accounting.aggregates),
        matters("fragments.refused", accounting.fragments_refused),
        matters("fragments.packets_incomplete", pieces.expired),
        matters("fragments.packets_evicted", pieces.evicted),
        matters("checksum.icmp", accounting.bad_icmp_checksum),
        matters("icmp.unkept", stats.icmp.unkept),
        Loss { name: "short_wire_lengths", count: accounting.short_wire_lengths, matters: false },
        Loss { name: "cropped", count: accounting.cropped, matters: false },
        Loss { name: "checksum.offloaded", count: accounting.offloaded_checksums, matters: false },
        Loss { name: "checksum.ip_offloaded", count: accounting.offloaded_ip_checksums, matters: false },
        Loss { name: "options_cut", count: accounting.options_cut, matters: false },
    ];
    losses.extend(tracker(stats));
    losses.extend(rejected(|reason| accounting.rejected[reason as usize]));
    losses
}

fn tracker(stats: &TrackerStats) -> [Loss; 4] {
    [
        matters("tracker.evicted_embryonic", stats.evicted_embryonic),
        matters("tracker.evicted_closed", stats.evicted_closed),
        matters("tracker.evicted_idle", stats.evicted_idle),
        matters("tracker.orphan_counts", stats.orphan_counts),
    ]
}

fn rejected(count: impl Fn(Reject) -> u64) -> impl Iterator<Item = Loss> {
    Reject::ALL.into_iter().map(move |reason| Loss {
        name: reject_name(reason),
        count: count(reason),
        matters: reason.is_malformed(),
    })
}

fn reject_name(reason: Reject) -> &'static str {
    match reason {
        Reject::ShortLink => "rejected.short_link",
        Reject::NotIp => "rejected.not_ip",
        Reject::VlanDepth => "rejected.vlan_depth",
        Reject::ShortIp => "rejected.short_ip",
        Reject::IpVersion => "rejected.ip_version",
        Reject::IpHeaderLength => "rejected.ip_header_length",
        Reject::IpTotalLength => "rejected.ip_total_length",
        Reject::LaterFragment => "rejected.later_fragment",
        Reject::NotTcp => "rejected.not_tcp",
        Reject::ExtensionDepth => "rejected.extension_depth",
        Reject::Encrypted => "rejected.encrypted",
        Reject::ShortTcp => "rejected.short_tcp",
        Reject::TruncatedTcp => "rejected.truncated_tcp",
        Reject::TcpDataOffset => "rejected.tcp_data_offset",
        Reject::ShortExtension => "rejected.short_extension",
        Reject::TunnelDepth => "rejected.tunnel_depth",
        Reject::ShortTunnel => "rejected.short_tunnel",
        Reject::TunnelHeader => "rejected.tunnel_header",
    }
}

/// What the data plane saw.
pub(crate) fn live_accounting(accounting: &Accounting, stats: &TrackerStats) -> Vec<(&'static str, u64)> {
    vec![
        ("frames", accounting.frames),
        ("frame_bytes", accounting.frame_bytes),
        ("queues.without_row", accounting.queueless_frames),
        ("tcp", accounting.tcp),
        ("in_slots", accounting.in_slots),
        ("logged", accounting.logged),
        ("untracked", accounting.untracked),
        ("untracked_data", accounting.untracked_data),
        ("passed_by", accounting.passed_by),
        ("seen.syn", accounting.seen.syn),
        ("seen.syn_ack", accounting.seen.syn_ack),
        ("seen.fin", accounting.seen.fin),
        ("seen.rst", accounting.seen.rst),
        ("flooded", accounting.flooded),
        ("flood.claimed", accounting.claimed),
        ("shed", accounting.shed),
        ("shed.epochs", accounting.shed_epochs),
        ("bucket_full", accounting.bucket_full),
        ("icmp.errors", accounting.icmp_errors()),
        ("icmp.unmatched", stats.icmp.unmatched),
        ("kernel.of_others", stats.unmatched_resets.of_others + stats.kernel_reports.of_others),
        ("epochs", accounting.epochs),
        ("difference", accounting.difference()),
    ]
}

/// What was counted by service.
pub(crate) fn flood(services: &Services) -> Flood {
    let rows = services.by_size().into_iter().map(|((server, domain), counts)| FloodedService {
        server: socket_address(server),
        domain,
        counts: flooding(&counts),
    });
    Flood { services: rows.collect(), others: flooding(services.rest()) }
}

fn flooding(counts: &ServiceCounts) -> Flooding {
    let FlagCounts { syn, syn_ack, fin, rst } = counts.left();
    let claimed = counts.claimed.syn + counts.claimed.syn_ack;
    Flooding { flags: FlagTotals { syn, syn_ack, fin, rst }, data: counts.data, claimed }
}

fn socket_address(endpoint: Endpoint) -> SocketAddr {
    let ip = IpAddr::V6(Ipv6Addr::from(endpoint.octets())).to_canonical();
    SocketAddr::new(ip, endpoint.port)
}

/// How many frames are of a type of link that is not understood, and of which; nothing when there are none.
pub(crate) fn not_understood(accounting: &capture::Accounting) -> Option<String> {
    let listed = accounting.unsupported.iter().map(|(what, frames)| format!("{what} ({frames} frames)"));
    let rest = accounting.link_unsupported.saturating_sub(accounting.unsupported.values().sum());
    let rest = (rest > 0).then(|| format!("others ({rest} frames)"));
    let all = listed.chain(rest).collect::<Vec<_>>().join(", ");
    let (unread, frames) = (accounting.link_unsupported, accounting.frames);
    (unread > 0).then(|| format!("{unread} of {frames} frames were not read: {all} is not understood"))
}

/// What was read of the captures.
pub(crate) fn capture_accounting(
    accounting: &capture::Accounting,
    pieces: &capture::Reassembled,
    stats: &TrackerStats,
) -> Vec<(&'static str, u64)> {
    vec![
        ("frames", accounting.frames),
        ("tcp", accounting.tcp),
        ("fragments.held", accounting.fragments_held),
        ("fragments.packets", pieces.whole),
        ("fragments.overlaps", pieces.overlaps),
        ("icmp.errors", accounting.icmp_errors),
        ("icmp.unmatched", stats.icmp.unmatched),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::counter_meaning;

    #[test]
    fn every_counter_of_an_output_has_a_meaning() {
        let stats = TrackerStats::default();
        let live = live(&Accounting::default(), &stats, &Unseen::default());
        let capture = capture(&capture::Accounting::default(), &capture::Reassembled::default(), &stats);
        let evidence = evidence(&EvidenceAccounting::default());
        let names = live.iter().chain(&capture).chain(&evidence).map(|loss| loss.name).collect::<Vec<_>>();
        assert!(names.len() > 60, "{}", names.len());
        // The view has some of its own.
        let names = names.into_iter().chain(["not_printed", "unlisted_connections", "judged_early"]);
        for name in names.chain(sockets(&XskAccounting::default()).iter().map(|loss| loss.name)) {
            assert!(counter_meaning::of(name).is_some(), "no meaning of {name}");
        }
    }
}

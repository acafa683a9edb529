//! Counters and their stable names in outputs, and which of them matter.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use probe_ebpf::{
    layout::{Endpoint, FlagCounts},
    parse::Reject,
};

use crate::output::evidence_writer::EvidenceBooks;
use crate::{
    aggregate::FlagTotals,
    report::{
        Loss,
        flood::{Flood, FloodedService, Flooding},
    },
    source::{
        capture,
        live::{
            books::Books,
            services::{ServiceCounts, Services},
        },
        xsk::XskBooks,
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
    /// Interfaces that went away.
    pub(crate) interfaces_gone: u64,
    /// Frames that the NICs lost before the program could see them.
    pub(crate) missed_by_nic: u64,
    /// Packets that the interfaces received while the programs were given none.
    pub(crate) not_given: u64,
}

/// What a live session could not put, or not fully, into connections.
pub(crate) fn live(books: &Books, stats: &TrackerStats, unseen: &Unseen) -> Vec<Loss> {
    let left = |pick: fn(&FlagCounts) -> u64| pick(&books.flooded_flags).saturating_sub(pick(&books.claimed_flags));
    let mut losses = vec![
        matters("untracked.syn", books.untracked_flags.syn),
        matters("untracked.syn_ack", books.untracked_flags.syn_ack),
        matters("untracked.fin", books.untracked_flags.fin),
        matters("untracked.rst", books.untracked_flags.rst),
        matters("untracked.data_segments", books.untracked_data),
        matters("flood.syn_untracked", left(|flags| flags.syn)),
        matters("flood.syn_ack_untracked", left(|flags| flags.syn_ack)),
        matters("flood.rst_untracked", left(|flags| flags.rst)),
        matters("shed.data_segments", books.shed),
        matters("order_lost", books.order_lost),
        matters("books.difference", books.difference()),
        matters("interfaces.gone", unseen.interfaces_gone),
        matters("nic.missed", unseen.missed_by_nic),
        matters("interfaces.not_given", unseen.not_given),
        matters("kernel.resets_lost", unseen.resets_lost),
        matters("icmp.unlogged", books.icmp_unlogged()),
        matters("icmp.unkept", stats.icmp.unkept),
        Loss { name: "cropped", count: books.cropped, matters: false },
        Loss { name: "kernel.resets_unmatched", count: stats.unmatched_resets.total(), matters: false },
        Loss { name: "kernel.unmatched.no_connection", count: stats.unmatched_resets.no_connection, matters: false },
        Loss { name: "kernel.unmatched.not_seen", count: stats.unmatched_resets.not_seen, matters: false },
        Loss { name: "kernel.unmatched.no_peer", count: stats.unmatched_resets.no_peer, matters: false },
    ];
    losses.extend(tracker(stats));
    losses.extend(rejected(|reason| books.rejected_for(reason)));
    losses
}

/// What the way through AF_XDP sockets lost.
pub(crate) fn sockets(books: &XskBooks) -> Vec<Loss> {
    vec![
        matters("afxdp.dropped", books.dropped),
        matters("afxdp.ring_full", books.ring_full),
        matters("afxdp.unaccounted", books.unaccounted()),
        matters("afxdp.fell_back", books.fell_back),
        matters("afxdp.late", books.late),
        matters("afxdp.difference", books.difference()),
        Loss { name: "afxdp.cropped", count: books.cropped, matters: false },
        Loss { name: "afxdp.fill_empty", count: books.fill_empty, matters: false },
        Loss { name: "afxdp.unstamped", count: books.unstamped, matters: false },
    ]
}

/// What came through AF_XDP sockets.
pub(crate) fn socket_books(books: &XskBooks) -> Vec<(&'static str, u64)> {
    vec![
        ("afxdp.redirected", books.redirected),
        ("afxdp.frames", books.frames),
        ("afxdp.frame_bytes", books.frame_bytes),
        ("afxdp.segments", books.segments),
    ]
}

/// What of the evidence could not be kept.
pub(crate) fn evidence(books: &EvidenceBooks) -> Vec<Loss> {
    let collected = &books.collected;
    vec![
        matters("evidence.no_memory", collected.no_memory),
        matters("evidence.not_written", books.not_written),
        matters("evidence.snapshots_lost", books.snapshots.1),
        matters("evidence.without_frames", collected.without_frames),
        Loss { name: "evidence.between", count: collected.between, matters: false },
    ]
}

/// What evidence there is.
pub(crate) fn evidence_books(books: &EvidenceBooks) -> Vec<(&'static str, u64)> {
    vec![
        ("evidence.connections", books.collected.connections),
        ("evidence.frames", books.collected.frames),
        ("evidence.snapshots", books.snapshots.0),
    ]
}

/// What a capture held that is in no connection.
pub(crate) fn capture(books: &capture::Books, pieces: &capture::Reassembled, stats: &TrackerStats) -> Vec<Loss> {
    let mut losses = vec![
        matters("checksum.tcp", books.bad_tcp_checksum),
        matters("checksum.ip", books.bad_ip_checksum),
        matters("link_unsupported", books.link_unsupported),
        matters("ieee80211.aggregates", books.aggregates),
        matters("fragments.refused", books.fragments_refused),
        matters("fragments.packets_incomplete", pieces.expired),
        matters("fragments.packets_evicted", pieces.evicted),
        matters("checksum.icmp", books.bad_icmp_checksum),
        matters("icmp.unkept", stats.icmp.unkept),
        Loss { name: "short_wire_lengths", count: books.short_wire_lengths, matters: false },
        Loss { name: "cropped", count: books.cropped, matters: false },
        Loss { name: "checksum.offloaded", count: books.offloaded_checksums, matters: false },
        Loss { name: "options_cut", count: books.options_cut, matters: false },
    ];
    losses.extend(tracker(stats));
    losses.extend(rejected(|reason| books.rejected[reason as usize]));
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
pub(crate) fn live_books(books: &Books, stats: &TrackerStats) -> Vec<(&'static str, u64)> {
    vec![
        ("frames", books.frames),
        ("frame_bytes", books.frame_bytes),
        ("queues.without_row", books.queueless_frames),
        ("tcp", books.tcp),
        ("in_slots", books.in_slots),
        ("logged", books.logged),
        ("untracked", books.untracked),
        ("untracked_data", books.untracked_data),
        ("passed_by", books.passed_by),
        ("seen.syn", books.seen.syn),
        ("seen.syn_ack", books.seen.syn_ack),
        ("seen.fin", books.seen.fin),
        ("seen.rst", books.seen.rst),
        ("flooded", books.flooded),
        ("flood.claimed", books.claimed),
        ("shed", books.shed),
        ("shed.epochs", books.shed_epochs),
        ("bucket_full", books.bucket_full),
        ("icmp.errors", books.icmp_errors()),
        ("icmp.unmatched", stats.icmp.unmatched),
        ("epochs", books.epochs),
        ("difference", books.difference()),
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
pub(crate) fn not_understood(books: &capture::Books) -> Option<String> {
    let listed = books.unsupported.iter().map(|(what, frames)| format!("{what} ({frames} frames)"));
    let rest = books.link_unsupported.saturating_sub(books.unsupported.values().sum());
    let rest = (rest > 0).then(|| format!("others ({rest} frames)"));
    let all = listed.chain(rest).collect::<Vec<_>>().join(", ");
    let (unread, frames) = (books.link_unsupported, books.frames);
    (unread > 0).then(|| format!("{unread} of {frames} frames were not read: {all} is not understood"))
}

/// What was read of the captures.
pub(crate) fn capture_books(
    books: &capture::Books,
    pieces: &capture::Reassembled,
    stats: &TrackerStats,
) -> Vec<(&'static str, u64)> {
    vec![
        ("frames", books.frames),
        ("tcp", books.tcp),
        ("fragments.held", books.fragments_held),
        ("fragments.packets", pieces.whole),
        ("fragments.overlaps", pieces.overlaps),
        ("icmp.errors", books.icmp_errors),
        ("icmp.unmatched", stats.icmp.unmatched),
    ]
}

//! Meanings of the counters of what is not, or not fully, in connections: one line for each, and what helps.

/// What a counter says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CounterMeaning {
    /// As outputs write it.
    pub name: &'static str,
    /// What was counted.
    pub meaning: &'static str,
    /// What to do about it; empty where nothing need be done.
    pub remedy: &'static str,
}

const fn row(name: &'static str, meaning: &'static str, remedy: &'static str) -> CounterMeaning {
    CounterMeaning { name, meaning, remedy }
}

const MORE_ROOM: &str = "more room per CPU and interval: --slots, --log; or drain more often: --drain";
const FLOOD: &str = "--flood-at N follows more new flows of a service per second, 0 all of them";
const NOTHING: &str = "";
const BUG: &str = "a fault of rstprobe: please report it";
const AFXDP: &str = "more memory for frames: --umem; fewer frames: --depth control";
const FORMAT: &str = "what it is, `tcpdump -nn -e -c 20` shows; traffic of this kind is not looked into";

/// Every counter, by where it comes from.
const COUNTERS: &[CounterMeaning] = &[
    row(
        "not_printed",
        "lines that standard output's reader did not take in time: they are in the summary all the same",
        "a faster reader, or a file: `> FILE`",
    ),
    row(
        "unlisted_connections",
        "connections that are in every sum and table of groups, and not in the list: it holds so many and no more",
        "`rstprobe run` prints each as it ends; --filter lists those that are looked for",
    ),
    row("judged_early", "connections judged before all was known of their service: too many waited", NOTHING),
    row(
        "kernel.of_others",
        "words of this kernel on addresses of no watched interface: containers, other interfaces",
        NOTHING,
    ),
    row("untracked.syn", "SYNs that are only in the totals: neither table nor log had room for them", MORE_ROOM),
    row("untracked.syn_ack", "SYN-ACKs that are only in the totals: neither table nor log had room", MORE_ROOM),
    row("untracked.fin", "FINs that are only in the totals: neither table nor log had room", MORE_ROOM),
    row("untracked.rst", "RSTs that are only in the totals: neither table nor log had room", MORE_ROOM),
    row(
        "untracked.data_segments",
        "data segments that found no room in the table: bytes and packets lack them",
        MORE_ROOM,
    ),
    row("flood.syn_untracked", "SYNs of a flood, counted by service and not followed one by one", FLOOD),
    row("flood.syn_ack_untracked", "SYN-ACKs of a flood, counted by service and not followed one by one", FLOOD),
    row("flood.rst_untracked", "RSTs of a flood, counted by service and not followed one by one", FLOOD),
    row(
        "shed.data_segments",
        "data segments left out to keep room for SYN, FIN and RST (--depth auto): bytes and packets lack them",
        MORE_ROOM,
    ),
    row(
        "order_lost",
        "segments that were counted and whose copy found no room: states may be those of fewer segments",
        MORE_ROOM,
    ),
    row("books.difference", "frames that are in no counter", BUG),
    row(
        "interfaces.gone",
        "interfaces that went away and did not come back while they were watched",
        "is the name right? `ip -br link`",
    ),
    row("interfaces.gaps", "times that an interface was away: what passed meanwhile was not seen", NOTHING),
    row("interfaces.gaps_ms", "how long interfaces were away all together, ms", NOTHING),
    row(
        "nic.missed",
        "frames that the card or its driver lost before the program saw them, by its own counters",
        "larger rings (`ethtool -G IFACE rx N`), more queues (`ethtool -L`), or a faster mode (`rstprobe doctor -i IFACE`)",
    ),
    row(
        "interfaces.not_given",
        "packets that the interface received while the program was given none",
        "another XDP program or a feature of the driver takes them: `rstprobe doctor -i IFACE`",
    ),
    row(
        "kernel.resets_lost",
        "words of this host's kernel on its resets that could not be taken: of those the reason is missing",
        NOTHING,
    ),
    row("kernel.words_lost", "errors and drops of this host's kernel that could not be taken", NOTHING),
    row("kernel.words_unkept", "errors and drops of tracked connections beyond the number that is kept", NOTHING),
    row(
        "kernel.resets_unmatched",
        "resets that this host's kernel says it sent, and of which no RST was seen: see kernel.unmatched.*",
        NOTHING,
    ),
    row(
        "kernel.unmatched.no_connection",
        "of these, of connections not seen here: they went by an interface that is not watched",
        "name that interface with a further -i",
    ),
    row(
        "kernel.unmatched.not_seen",
        "of these, of connections seen here whose RST did not pass: this host dropped it on its way out",
        "`nft list ruleset` on this host",
    ),
    row("kernel.unmatched.no_peer", "of these, sent by a listener, of which the kernel names no peer", NOTHING),
    row(
        "kernel.words_unmatched",
        "errors and drops that this host's kernel tells of own addresses, about no connection seen here",
        NOTHING,
    ),
    row("icmp.unlogged", "ICMP errors that quote a TCP segment and found no room in the log", MORE_ROOM),
    row("icmp.unkept", "ICMP errors about tracked connections beyond the number that is kept", NOTHING),
    row(
        "cropped",
        "segments whose frame ends before their packet does (cropped by a mirror): the IP header is believed",
        NOTHING,
    ),
    row("afxdp.dropped", "frames for which the kernel had no free memory of ours, or that were too large", AFXDP),
    row("afxdp.ring_full", "frames for which a receive ring was full: they were not taken fast enough", AFXDP),
    row(
        "afxdp.unaccounted",
        "redirected frames that neither came nor were counted: on their way when an interface went down",
        NOTHING,
    ),
    row("afxdp.fell_back", "frames that took the usual way, uncounted, because their socket had just gone", NOTHING),
    row("afxdp.late", "segments that were handed on after a later one of another queue", NOTHING),
    row("afxdp.difference", "frames that are in no counter", BUG),
    row("afxdp.cropped", "segments whose frame ends before their packet does: the IP header is believed", NOTHING),
    row(
        "afxdp.fill_empty",
        "times that the kernel found no free memory ready; nothing was lost by that alone",
        NOTHING,
    ),
    row(
        "afxdp.unstamped",
        "frames without the time at which the program saw them: they have that of their arrival",
        NOTHING,
    ),
    row("evidence.no_memory", "frames that evidence has not kept for lack of memory", "a narrower --evidence-filter"),
    row(
        "evidence.not_written",
        "frames for which the disk or --evidence-max had no room, or that came faster than it writes",
        "a larger --evidence-max; `df`",
    ),
    row("evidence.snapshots_lost", "counts of lost frames that could not be kept with the evidence", NOTHING),
    row("evidence.without_frames", "connections that evidence was asked for and has no frame of", NOTHING),
    row("evidence.between", "frames between the opening and the end of long connections: not kept on purpose", NOTHING),
    row(
        "checksum.tcp",
        "segments whose TCP checksum is wrong: they are in no connection, as in Zeek",
        "captured on a host that leaves checksums to its card? --no-checksums takes them",
    ),
    row(
        "checksum.ip",
        "packets whose IPv4 header checksum is wrong: they are in no connection",
        "--no-checksums takes them",
    ),
    row("checksum.icmp", "ICMP errors whose checksum is wrong", NOTHING),
    row(
        "checksum.offloaded",
        "segments whose checksum was left to the card of the host that captured them: they count",
        NOTHING,
    ),
    row("checksum.ip_offloaded", "the same of IPv4 header checksums: they count", NOTHING),
    row(
        "link_unsupported",
        "frames of a link type that is not understood",
        "which one is said above; capture on another link",
    ),
    row("ieee80211.aggregates", "802.11 frames with several packets, which are not taken apart", NOTHING),
    row("fragments.refused", "IP fragments that fit into no packet", NOTHING),
    row(
        "fragments.packets_incomplete",
        "packets of which a fragment was missing for 30 s, or at the end of the capture",
        NOTHING,
    ),
    row("fragments.packets_evicted", "packets in fragments that were given up for lack of room", NOTHING),
    row(
        "short_wire_lengths",
        "frames of which more was captured than their length is said to be: what was captured is believed",
        NOTHING,
    ),
    row(
        "options_cut",
        "segments whose TCP options were not captured whole: they count, and nothing is known of the options",
        "a larger snap length",
    ),
    row("tracker.evicted_embryonic", "attempts without answer given up to make room for others", "--max-connections"),
    row(
        "tracker.evicted_closed",
        "ended connections written early to make room for others: late segments begin anew",
        "--max-connections",
    ),
    row(
        "tracker.evicted_idle",
        "open connections given up to make room: what follows of them begins anew",
        "--max-connections",
    ),
    row("tracker.orphan_counts", "counts of a flow for which there was no connection", BUG),
    row("rejected.short_link", "frames shorter than their link's header", FORMAT),
    row("rejected.not_ip", "frames that are neither IPv4 nor IPv6 (ARP, LLDP, MPLS)", NOTHING),
    row("rejected.vlan_depth", "frames with more VLAN tags than are followed", FORMAT),
    row("rejected.short_ip", "packets whose IP header ends after the frame", "a larger snap length"),
    row("rejected.ip_version", "packets whose IP version contradicts their link's type", FORMAT),
    row("rejected.ip_header_length", "IPv4 packets with an impossible header length", FORMAT),
    row("rejected.ip_total_length", "packets that are longer than their frame on the wire", FORMAT),
    row(
        "rejected.later_fragment",
        "fragments other than the first: they have no TCP header",
        "captures are put together; on an interface they are not",
    ),
    row("rejected.not_tcp", "packets of other protocols", NOTHING),
    row("rejected.extension_depth", "IPv6 packets with more extension headers than are followed", FORMAT),
    row(
        "rejected.encrypted",
        "packets within IPsec ESP: what they carry cannot be read",
        "watch where they are decrypted",
    ),
    row("rejected.short_tcp", "packets too short for a TCP header", FORMAT),
    row("rejected.truncated_tcp", "segments whose TCP header was not captured whole", "a larger snap length"),
    row("rejected.tcp_data_offset", "segments with an impossible TCP header length", FORMAT),
    row("rejected.short_extension", "packets with a VLAN tag or IPv6 extension header that is not whole", FORMAT),
    row(
        "rejected.tunnel_depth",
        "packets in more tunnels, or behind more headers, than are followed",
        "--encap-depth N follows more",
    ),
    row("rejected.short_tunnel", "packets with a tunnel header that is not whole", FORMAT),
    row("rejected.tunnel_header", "packets with a tunnel header of an unknown version, or an impossible one", FORMAT),
];

/// What the counter of this name says; `None` where there is none.
pub fn of(name: &str) -> Option<&'static CounterMeaning> {
    COUNTERS.iter().find(|counter| counter.name == name)
}

/// The same for people, at length.
pub fn explained(name: &str) -> Option<String> {
    let CounterMeaning { name, meaning, remedy } = of(name)?;
    let remedy = if remedy.is_empty() { String::new() } else { format!("\nWhat helps: {remedy}\n") };
    Some(format!(
        "{name}: a counter of what is not, or not fully, in connections, or was noticed\n\n{meaning}\n{remedy}"
    ))
}

/// Every counter with its meaning, for people.
pub fn page() -> String {
    let mut text = "Counters of what is not, or not fully, in connections, and of what was noticed\n\nA counter that is not printed \
                    is zero; `rstprobe explain NAME` says what helps.\n"
        .to_owned();
    text.push('\n');
    let line = |counter: &CounterMeaning| {
        let CounterMeaning { name, meaning, .. } = counter;
        format!("  {name:31}{meaning}\n")
    };
    text.extend(COUNTERS.iter().map(line));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_counter_is_listed_once_and_explained() {
        for (at, counter) in COUNTERS.iter().enumerate() {
            let CounterMeaning { name, meaning, .. } = counter;
            assert!(COUNTERS[..at].iter().all(|other| other.name != *name), "{name} is there twice");
            assert!(!meaning.ends_with('.') && page().contains(meaning), "{name}");
            assert!(explained(name).is_some_and(|text| text.contains(meaning)), "{name}");
        }
        assert_eq!(of("no.such.counter"), None);
    }

    #[test]
    fn options_that_help_are_there() {
        let options: String = ["snapshot", "read"]
            .iter()
            .filter_map(|command| crate::cli::help::options(command))
            .map(|help| help.to_string())
            .collect();
        for remedy in COUNTERS.iter().map(|counter| counter.remedy) {
            let words = remedy.split([' ', ',', ';']).filter(|word| word.starts_with("--"));
            for word in words {
                assert!(options.contains(word), "{word}");
            }
        }
    }
}

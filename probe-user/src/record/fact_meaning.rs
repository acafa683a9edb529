//! Meanings of facts: one line for each name, and for each word that a fact may have for a value.

/// Facts by name, in the order of the families that find them.
const NAMES: &[(&str, &str)] = &[
    ("kernel.reason", "why the resetting host's own kernel says it reset (enum sk_rst_reason)"),
    ("kernel.provoked_by_segment", "whether that kernel answered a segment, or reset by itself"),
    ("kernel.silent", "it left from this host, and the kernel's TCP did not send it: a firewall here, or a raw socket"),
    ("kernel.socket_error.clt", "the error that the client's own kernel gave its socket"),
    ("kernel.socket_error.srv", "the error that the server's own kernel gave its socket"),
    ("kernel.drop_reason.clt", "why the client's host dropped segments of this connection (enum skb_drop_reason)"),
    ("kernel.drop_reason.srv", "why the server's host dropped segments of this connection (enum skb_drop_reason)"),
    ("kernel.dropped_segments.clt", "how many segments of this connection the client's host dropped"),
    ("kernel.dropped_segments.srv", "how many segments of this connection the server's host dropped"),
    ("process.name", "the process that owned the socket on the resetting host"),
    ("process.pid", "its process id"),
    ("process.cgroup", "its control group: the service or container"),
    ("tls.alert", "the fatal alert that was sent in the clear (RFC 8446 6)"),
    ("waited_ms", "how long the client's last request had been without an answer when the connection was ended, ms"),
    ("answer_after_ms", "how long answers had taken before on this connection, ms; none: there was no answer"),
    ("retransmissions", "how often the same payload was sent again without being acknowledged"),
    ("request.unread", "how it shows that the server had not read all of the request"),
    ("unacked_bytes", "payload that was sent and never acknowledged, bytes"),
    ("unacked_bytes.clt", "payload of the client that the server never acknowledged, bytes"),
    ("unacked_bytes.srv", "payload of the server that the client never acknowledged, bytes"),
    ("silent_ms", "how long it was sent again without any acknowledgement, ms"),
    ("icmp.error", "the error that a device on the way reported for a segment of this connection"),
    ("icmp.code", "its code (RFC 792, RFC 4443)"),
    ("icmp.from", "who reported it"),
    ("icmp.errors", "how often it was reported"),
    ("rst.form", "the shape of the RST, which tells an abort from a reply (RFC 9293 3.5.2, 3.10.7.1)"),
    ("rst.note", "the reason that the RST carries in its payload"),
    ("rst.option", "the TCP option by which the RST says why"),
    ("rst.text", "the text that the RST carries"),
    ("rst.mark", "a sign that the RST did not come from the host whose address it bears"),
    ("rst.after", "what came directly before the RST, and from whom"),
    ("rst.idle_ms", "how long nothing had been sent by anybody before the RST, ms"),
    ("rst.sender_silent_ms", "how long who reset had been silent before, ms: what an idle timeout would have seen"),
    ("rst.after_syn_ms", "time from the SYN to the RST, ms"),
    ("fin.idle_ms", "how long nothing had been sent before the FIN of who reset, ms"),
    ("rst.after_fin_ms", "time from its sender's own FIN to the RST, ms: it had closed already"),
    ("keepalive.probes", "keep-alive probes of who reset that nobody answered"),
    (
        "rst.ttl",
        "TTL of the RST, and that of the other segments in its sender's name: another distance, another sender",
    ),
    ("rst.seq_offset", "number of the RST against the next of its sender: 0 is exact, below it came from behind"),
    ("rst.ack_offset", "what the RST acknowledges against what was sent: 0 is exact"),
    ("rst.distinct_seqs", "how many different numbers the RSTs of this sender bear"),
    ("handshake_ms", "time from the SYN to the SYN-ACK as seen here, ms: the way to the server and back"),
    ("monitor.interval_ms", "the steady time between this client's connections to this service, ms"),
    ("monitor.connections", "connections of this client to this service that kept that time"),
    ("service.closed_by_rst", "connections of this service that this side ended so, although all was answered"),
    ("cause.of_one_alone", "the cause that this connection alone would have been given"),
    ("unwatched_ms", "for how long of its life a watched interface was away, at most, ms: what passed then nobody saw"),
    ("host.answers_after_ms", "how soon this host answers at the earliest, ms: the refusal came sooner"),
];

/// Words of facts.
const WORDS: &[(&str, &str, &str)] = &[
    (
        "kernel.reason",
        "NO_SOCKET",
        "a segment came for which there was no socket: a closed port, or a connection long gone",
    ),
    ("kernel.reason", "TCP_ABORT_ON_CLOSE", "the application closed with payload unread"),
    ("kernel.reason", "TCP_ABORT_ON_DATA", "payload came after the application had closed"),
    (
        "kernel.reason",
        "TCP_ABORT_ON_LINGER",
        "TCP_LINGER2 is negative: the socket does not wait for the other side's FIN",
    ),
    ("kernel.reason", "TCP_ABORT_ON_MEMORY", "too many orphaned sockets, or no memory for them"),
    (
        "kernel.reason",
        "TCP_DISCONNECT_WITH_DATA",
        "the application disconnected while it was closing, with payload unsent",
    ),
    ("kernel.reason", "TCP_KEEPALIVE_TIMEOUT", "keep-alive probes were not answered"),
    ("kernel.reason", "TCP_STATE", "an open connection was aborted: SO_LINGER 0, a disconnect, or `ss --kill`"),
    ("kernel.reason", "TCP_TIMEWAIT_SOCKET", "a segment came for a connection in TIME-WAIT or FIN-WAIT-2"),
    ("rst.form", "abort", "ACK and a window or timestamps: its host had the connection, and ended it"),
    ("rst.form", "reply", "no ACK, window 0: its host answers a segment that fits no connection it has"),
    ("rst.form", "refuse", "number 0 and ACK: its host answers a segment without ACK, such as a SYN"),
    ("rst.form", "other", "none of the shapes that measured stacks send: a device, or a stack not measured"),
    ("request.unread", "sent_after_reply", "payload of the client came after the reply"),
    ("request.unread", "not_acknowledged", "payload of the client was never acknowledged"),
    ("request.unread", "acknowledged_by_rst", "the RST acknowledges payload that nothing before it did"),
    ("request.unread", "acknowledged_after_reply", "payload was acknowledged after the reply, and not answered"),
    ("request.unread", "closed_after_fin", "an abort followed the server's FIN at once: something lay unread"),
    ("request.unread", "no_time_to_acknowledge", "the RST followed the reply before the client could acknowledge it"),
    ("rst.mark", "ttl_differs", "its TTL is more than one hop from that of its sender's other segments"),
    ("rst.mark", "no_timestamps", "an abort without the timestamps that were agreed (RFC 7323 3.2)"),
    ("rst.mark", "ip_id_jump", "its IP identification does not follow its sender's"),
    ("rst.mark", "seq_behind", "an abort whose number lies behind what its sender had sent"),
    ("rst.mark", "seq_climbs", "several RSTs with climbing numbers, as who guesses sends them"),
    ("rst.mark", "sender_continued", "the host in whose name it was sent went on afterwards"),
    ("rst.mark", "challenge_unanswered", "its receiver challenged it, and nobody confirmed (RFC 5961 3.2)"),
    ("answer_after_ms", "none", "nothing was ever answered on this connection"),
];

/// What the fact of this name says, in one line; `None` for a name that no verdict has.
pub fn meaning(name: &str) -> Option<&'static str> {
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, meaning)| *meaning)
}

/// What this value of this fact says, where that is one of a few words.
pub fn word_meaning(name: &str, value: &str) -> Option<&'static str> {
    let is_it = |(fact, word, _): &&(&str, &str, &str)| *fact == name && *word == value;
    WORDS.iter().find(is_it).map(|(_, _, meaning)| *meaning)
}

/// Each word that this fact may have for a value, with what it says; none where values are no words.
pub fn words_of(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    WORDS.iter().filter(move |(fact, ..)| *fact == name).map(|(_, word, meaning)| (*word, *meaning))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What makes facts.
    const MAKERS: [&str; 3] = [
        include_str!("../verdict/facts.rs"),
        include_str!("../verdict/host_kernel.rs"),
        include_str!("../aggregate/habit.rs"),
    ];

    /// Names between quotes that follow what makes a fact of them.
    fn names_in(source: &str) -> Vec<&str> {
        let source = source.split("#[cfg(test)]").next().unwrap_or(source);
        let before =
            ["Fact { name: \"", " fact(\"", "put(0, \"", "put(1, \"", "put(2, \"", "[(\"", ", (\"", "![number(\""];
        let mut names = Vec::new();
        for mark in before {
            let found = source.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
            names.extend(found.filter(|name| name.bytes().all(|byte| b"abcdefghijklmnopqrstuvwxyz._".contains(&byte))));
        }
        names
    }

    #[test]
    fn every_fact_that_a_verdict_may_have_has_a_meaning() {
        let names: Vec<&str> = MAKERS.iter().flat_map(|source| names_in(source)).collect();
        assert!(names.len() > 35, "{names:?}");
        // Names of the host's kernel stand in lists of their own.
        let of_kernel = MAKERS[1].split("\"kernel.").skip(1).filter_map(|rest| rest.split('"').next());
        let of_kernel: Vec<String> = of_kernel.map(|name| format!("kernel.{name}")).collect();
        assert_eq!(of_kernel.len(), 6, "{of_kernel:?}");
        for name in names.iter().copied().chain(of_kernel.iter().map(String::as_str)) {
            assert!(meaning(name).is_some(), "no meaning of {name}");
        }
        for (name, _) in NAMES {
            assert!(
                MAKERS.iter().any(|source| source.contains(&format!("\"{name}\""))),
                "{name} is the name of no fact"
            );
        }
    }

    #[test]
    fn every_word_of_a_form_or_mark_has_a_meaning() {
        let sources = [
            include_str!("../verdict/rst_form.rs"),
            include_str!("../verdict/abort.rs"),
            include_str!("../verdict/injection.rs"),
            include_str!("../verdict/kernel.rs"),
        ];
        for (name, word, _) in WORDS.iter().filter(|(name, ..)| *name != "answer_after_ms") {
            assert!(sources.iter().any(|source| source.contains(&format!("\"{word}\""))), "{name} is never {word}");
        }
        let marks = sources[2].split(", \"").skip(1).filter_map(|rest| rest.split('"').next());
        assert_eq!(marks.clone().count(), 7);
        for mark in marks {
            assert!(word_meaning("rst.mark", mark).is_some(), "no meaning of {mark}");
        }
        assert_eq!(word_meaning("rst.form", "no such form"), None);
        assert_eq!(meaning("no.such.fact"), None);
    }
}

//! Words of other tools' filters (tcpdump, Wireshark, Zeek, ss): what they are called here, for errors.

/// What a word that is no field is here, as it would be written.
const KNOWN: &[(&str, &str)] = &[
    ("host", "ip = ADDRESS"),
    ("net", "ip = PREFIX"),
    ("src", "client.ip = ADDRESS"),
    ("saddr", "client.ip = ADDRESS"),
    ("ip.src", "client.ip = ADDRESS"),
    ("id.orig_h", "client.ip = ADDRESS"),
    ("dst", "server.ip = ADDRESS"),
    ("daddr", "server.ip = ADDRESS"),
    ("ip.dst", "server.ip = ADDRESS"),
    ("id.resp_h", "server.ip = ADDRESS"),
    ("ip.addr", "ip = ADDRESS"),
    ("ipv6.addr", "ip = ADDRESS"),
    ("sport", "client.port = N"),
    ("tcp.srcport", "client.port = N"),
    ("id.orig_p", "client.port = N"),
    ("dport", "server.port = N"),
    ("tcp.dstport", "server.port = N"),
    ("id.resp_p", "server.port = N"),
    ("tcp.port", "port = N"),
    ("tcp.flags.reset", "rst.count > 0"),
    ("tcp-rst", "rst.count > 0"),
    ("rst", "rst.count > 0"),
    ("tcp.flags.fin", "fin.count > 0"),
    ("tcp-fin", "fin.count > 0"),
    ("fin", "fin.count > 0"),
    ("tcp.flags.syn", "syn.count > 0"),
    ("tcp-syn", "syn.count > 0"),
    ("syn", "syn.count > 0"),
    ("tcp.analysis.retransmission", "retransmits > 0"),
    ("orig_bytes", "bytes.clt > N"),
    ("resp_bytes", "bytes.srv > N"),
];

/// How it would be written here.
pub(super) fn translated(word: &str) -> Option<&'static str> {
    KNOWN.iter().find(|(known, _)| known.eq_ignore_ascii_case(word)).map(|(_, here)| *here)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;

    #[test]
    fn what_is_offered_is_an_expression() {
        for (word, here) in KNOWN {
            let text = here.replace("ADDRESS", "10.0.0.1").replace("PREFIX", "10.0.0.0/8").replace(" N", " 3");
            assert!(text.parse::<Filter>().is_ok(), "{word}: {text}");
            let error = format!("{word} = 1").parse::<Filter>().expect_err("no field").to_string();
            assert!(error.contains(here), "{error}");
        }
    }
}

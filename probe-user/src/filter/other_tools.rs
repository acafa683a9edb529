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

/// How words of which the first is no field would be written here.
pub(super) fn translated(words: &[&str]) -> Option<String> {
    let first = words.first()?;
    let word = |known: &(&str, &str)| known.0.eq_ignore_ascii_case(first);
    primitive(words).or_else(|| KNOWN.iter().find(|known| word(known)).map(|(_, here)| (*here).to_owned()))
}

/// A primitive of pcap-filter(7): `[tcp] [src|dst] [host|net|port] ID`.
fn primitive(words: &[&str]) -> Option<String> {
    let words = &words[usize::from(matches!(words, ["tcp" | "ip" | "ip6", ..]))..];
    let (end, words) = match words {
        ["src", rest @ ..] => ("client.", rest),
        ["dst", rest @ ..] => ("server.", rest),
        _ => ("", words),
    };
    let is_number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    let is_address =
        |word: &str| word.contains(['.', ':']) && word.starts_with(|c: char| c.is_ascii_hexdigit() || c == ':');
    match words {
        ["port", number, ..] if is_number(number) => Some(format!("{end}port = {number}")),
        ["host" | "net", address, ..] if is_address(address) => Some(format!("{end}ip = {address}")),
        [address, ..] if !end.is_empty() && is_address(address) => Some(format!("{end}ip = {address}")),
        _ => None,
    }
}

/// What looks at a byte of the TCP header in pcap-filter(7), as in `tcp[13] & 4 != 0` or `tcp[tcpflags] & tcp-rst != 0`.
pub(super) fn of_header_bytes(text: &str) -> Option<&'static str> {
    let (_, mask) = text.split_once("tcp[")?.1.split_once('&')?;
    let mask = mask.trim_start_matches(['(', ' ']);
    let starts = |signs: &[&str]| signs.iter().any(|sign| mask.starts_with(sign));
    Some(match mask {
        _ if starts(&["4", "0x04", "tcp-rst"]) => "rst.count > 0",
        _ if starts(&["1", "0x01", "tcp-fin"]) => "fin.count > 0",
        _ if starts(&["2", "0x02", "tcp-syn"]) => "syn.count > 0",
        _ => "rst.count > 0 or fin.count > 0",
    })
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

    #[test]
    fn primitives_of_tcpdump_are_translated() {
        for (theirs, here) in [
            ("tcp port 443", "port = 443"),
            ("dst port 80", "server.port = 80"),
            ("tcp src port 80", "client.port = 80"),
            ("src host 10.0.0.1", "client.ip = 10.0.0.1"),
            ("dst 10.0.0.1", "server.ip = 10.0.0.1"),
            ("host fd00::1", "ip = fd00::1"),
            ("net 10.0.0.0/8", "ip = 10.0.0.0/8"),
            ("tcp[13] & 4 != 0", "rst.count > 0"),
            ("tcp[tcpflags] & (tcp-rst) != 0", "rst.count > 0"),
            ("tcp[13] & 1 == 1", "fin.count > 0"),
        ] {
            assert!(here.parse::<Filter>().is_ok(), "{here}");
            let error = theirs.parse::<Filter>().expect_err("not ours").to_string();
            assert!(error.contains(&format!("here that is `{here}`")), "{theirs}: {error}");
        }
    }
}

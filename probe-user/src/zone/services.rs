//! Service names by TCP port: a table of well-known ports, and the text of `/etc/services`.

use crate::record::Name;

/// TCP ports that are known without any file, sorted: those that operators meet, under IANA's names or, where nobody uses
/// these (`ms-wbt-server`, `commplex-main`), the usual ones.
static WELL_KNOWN: &[(u16, &str)] = &[
    (20, "ftp-data"),
    (21, "ftp"),
    (22, "ssh"),
    (23, "telnet"),
    (25, "smtp"),
    (43, "whois"),
    (49, "tacacs"),
    (53, "dns"),
    (70, "gopher"),
    (79, "finger"),
    (80, "http"),
    (88, "kerberos"),
    (102, "iso-tsap"),
    (110, "pop3"),
    (111, "sunrpc"),
    (113, "ident"),
    (119, "nntp"),
    (135, "epmap"),
    (139, "netbios-ssn"),
    (143, "imap"),
    (179, "bgp"),
    (194, "irc"),
    (389, "ldap"),
    (427, "svrloc"),
    (443, "https"),
    (445, "microsoft-ds"),
    (464, "kpasswd"),
    (465, "submissions"),
    (502, "modbus"),
    (513, "login"),
    (514, "shell"),
    (515, "printer"),
    (543, "klogin"),
    (548, "afpovertcp"),
    (554, "rtsp"),
    (587, "submission"),
    (593, "http-rpc-epmap"),
    (631, "ipp"),
    (636, "ldaps"),
    (646, "ldp"),
    (830, "netconf-ssh"),
    (853, "domain-s"),
    (860, "iscsi"),
    (873, "rsync"),
    (989, "ftps-data"),
    (990, "ftps"),
    (993, "imaps"),
    (995, "pop3s"),
    (1080, "socks"),
    (1194, "openvpn"),
    (1352, "lotusnote"),
    (1433, "ms-sql-s"),
    (1521, "oracle"),
    (1720, "h323hostcall"),
    (1723, "pptp"),
    (1883, "mqtt"),
    (2049, "nfs"),
    (2181, "zookeeper"),
    (2375, "docker"),
    (2376, "docker-s"),
    (2379, "etcd-client"),
    (2380, "etcd-server"),
    (3128, "squid"),
    (3205, "isns"),
    (3260, "iscsi-target"),
    (3268, "globalcatalog-ldap"),
    (3269, "globalcatalog-ldaps"),
    (3306, "mysql"),
    (3389, "rdp"),
    (3690, "svn"),
    (4369, "epmd"),
    (5060, "sip"),
    (5061, "sips"),
    (5201, "iperf3"),
    (5222, "xmpp-client"),
    (5269, "xmpp-server"),
    (5432, "postgresql"),
    (5601, "kibana"),
    (5671, "amqps"),
    (5672, "amqp"),
    (5900, "vnc"),
    (5985, "winrm"),
    (5986, "winrms"),
    (6379, "redis"),
    (6443, "kubernetes-api"),
    (6667, "ircd"),
    (8080, "http-alt"),
    (8443, "https-alt"),
    (8883, "mqtts"),
    (9042, "cassandra"),
    (9092, "kafka"),
    (9100, "jetdirect"),
    (9200, "elasticsearch"),
    (9300, "elasticsearch-nodes"),
    (10250, "kubelet"),
    (11211, "memcached"),
    (27017, "mongodb"),
];

/// The name of a well-known port.
pub(super) fn well_known(port: u16) -> Option<Name> {
    let at = WELL_KNOWN.binary_search_by_key(&port, |(known, _)| *known).ok()?;
    Some(Name::of(&WELL_KNOWN[at].1))
}

/// Names of all well-known ports.
pub(super) fn well_known_names() -> impl Iterator<Item = &'static str> {
    WELL_KNOWN.iter().map(|(_, name)| *name)
}

/// Ports of the text of `/etc/services` (services(5)) with protocol tcp, sorted, the first name of each. Lines that are no
/// such entry are passed over, as the C library does.
pub(super) fn of_file(text: &str) -> Vec<(u16, Name)> {
    let entry = |line: &str| {
        let mut words = line.split('#').next()?.split_whitespace();
        let name = words.next()?;
        let (port, protocol) = words.next()?.split_once('/')?;
        protocol.eq_ignore_ascii_case("tcp").then_some((port.parse().ok()?, name.to_owned()))
    };
    let mut all: Vec<(u16, String)> = text.lines().filter_map(entry).collect();
    all.sort_by_key(|(port, _)| *port);
    all.dedup_by_key(|(port, _)| *port);
    all.into_iter().map(|(port, name)| (port, Name::read(&name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn well_known_ports_are_sorted_and_named_once() {
        assert!(WELL_KNOWN.is_sorted_by(|one, next| one.0 < next.0));
        assert_eq!(well_known(443).map(Name::as_str), Some("https"));
        assert_eq!(well_known(4444), None);
    }

    #[test]
    fn a_services_file_gives_its_tcp_ports() {
        let text =
            "# comment\nhttp\t80/tcp www # x\nhttp 80/udp\nagain 80/tcp\n\nbad\nworse 99999/tcp\nx 7/TCP\nno y/tcp\n";
        let all: Vec<_> = of_file(text).into_iter().map(|(port, name)| (port, name.as_str())).collect();
        assert_eq!(all, [(7, "x"), (80, "http")]);
    }
}

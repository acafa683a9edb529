//! Zones and services of a file, of none, and what is wrong with one.

use super::*;
use crate::{
    aggregate::tests::connection,
    record::{Closing, Opening, Side},
};

const FILE: &str = r#"
[[zone]]
name = "office"
prefixes = ["10.1.0.0/16", "2001:db8:1::/48"]

[[zone]]
name = "printers"
prefixes = ["10.1.7.0/24"]

[[zone]]
name = "guests"
vlans = [30]

[[zone]]
name = "lab"
interfaces = ["eth2"]
prefixes = ["10.1.7.0/24", "192.0.2.1"]

[[service]]
name = "billing"
ports = [8080, "9000-9010"]
prefixes = ["10.1.0.0/16"]

[[service]]
name = "raw-print"
ports = [9005, 9100]
zone = "printers"
"#;

fn zones(text: &str, observation: Observation<'_>) -> Zones {
    let definitions = read(text).unwrap_or_else(|error| panic!("{error}"));
    Zones::new(&definitions, Some("special 4711/tcp\nweb 443/tcp\n"), observation)
}

/// Zones of both ends, and the service.
fn labels(zones: &Zones, client: &str, server: &str, vlan: u32) -> [&'static str; 3] {
    let mut one = connection(server, Opening::Completed, Closing::TwoFins, Side::default(), Side::default());
    (one.orig, one.domain) = (client.parse().expect("an address"), vlan);
    let Labels { client_zone, server_zone, service } = zones.labels(one.orig.ip(), one.resp, one.domain);
    [client_zone, server_zone, service].map(|name| name.map_or("-", Name::as_str))
}

#[test]
fn without_a_file_private_addresses_and_well_known_ports_have_names() {
    let zones = Zones::default();
    let of = |client, server| labels(&zones, client, server, 0);
    assert_eq!(of("192.168.1.1:1", "8.8.8.8:443"), ["private", "internet", "https"]);
    assert_eq!(of("100.127.0.1:1", "172.31.0.1:22"), ["shared", "private", "ssh"]);
    assert_eq!(of("127.0.0.1:1", "[::1]:6379"), ["loopback", "loopback", "redis"]);
    assert_eq!(of("[fe80::1]:1", "[fd00::1]:4444"), ["link-local", "private", "-"]);
    assert_eq!(of("[::ffff:10.0.0.1]:1", "[2001:db8::1]:80"), ["private", "internet", "http"]);
    assert_eq!(of("172.32.0.1:1", "100.128.0.1:80"), ["internet", "internet", "http"]);
}

#[test]
fn the_longest_prefix_names_the_zone_then_the_first_in_the_file() {
    let one_interface = zones(FILE, Observation { has_vlans: false, interface: Some("eth2") });
    let of = |client, server| labels(&one_interface, client, server, 0);
    assert_eq!(of("10.1.1.1:1", "10.1.7.5:80"), ["office", "printers", "http"]);
    assert_eq!(of("192.0.2.1:1", "192.0.2.2:80"), ["lab", "internet", "http"]);
    assert_eq!(of("[2001:db8:1::9]:1", "10.2.0.1:80"), ["office", "private", "http"]);
}

#[test]
fn vlans_and_interfaces_count_only_where_they_are_known() {
    let with_vlans = zones(FILE, Observation { has_vlans: true, interface: None });
    assert_eq!(labels(&with_vlans, "10.2.0.1:1", "10.1.1.1:80", 30), ["guests", "office", "http"]);
    assert_eq!(labels(&with_vlans, "10.2.0.1:1", "192.0.2.1:80", 31), ["private", "internet", "http"]);
    let unknown = Observation::default();
    assert_eq!(labels(&zones(FILE, unknown), "10.2.0.1:1", "192.0.2.1:80", 30), ["private", "internet", "http"]);
    let said = read(FILE).expect("a file").unmatchable(unknown);
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(said[0].contains("`guests` is by VLAN") && said[1].contains("`lab` is by interface"), "{said:?}");
}

#[test]
fn services_are_by_prefix_zone_and_port_then_by_file_then_well_known() {
    let zones = zones(FILE, Observation::default());
    let service = |server| labels(&zones, "10.0.0.1:1", server, 0)[2];
    assert_eq!((service("10.1.1.1:8080"), service("10.1.1.1:9010")), ("billing", "billing"));
    assert_eq!((service("10.2.1.1:8080"), service("10.1.1.1:9011")), ("http-alt", "-"));
    assert_eq!((service("10.1.7.1:9100"), service("10.1.1.1:9100")), ("raw-print", "jetdirect"));
    assert_eq!(service("10.1.7.1:9005"), "billing", "a service by prefix is before one of every address");
    assert_eq!((service("8.8.8.8:4711"), service("8.8.8.8:443")), ("special", "web"));
}

#[test]
fn every_name_is_told_also_of_zones_that_match_nothing_here() {
    let zones = zones(FILE, Observation::default());
    let all = ["guests", "internet", "lab", "link-local", "loopback", "office", "printers", "private", "shared"];
    assert_eq!(zones.zone_names(), all);
    let services = zones.service_names();
    assert!(["billing", "https", "raw-print", "special"].iter().all(|name| services.contains(name)), "{services:?}");
}

#[test]
fn without_defaults_what_the_file_does_not_name_has_no_zone() {
    let zones = zones(&format!("default_zones = false\n{FILE}"), Observation::default());
    assert_eq!(labels(&zones, "10.2.0.1:1", "10.1.0.1:80", 0), ["-", "office", "http"]);
}

#[test]
fn what_is_wrong_is_said_with_its_line() {
    let error = |text: &str| read(text).expect_err(text).to_string();
    let zone = |more: &str| format!("[[zone]]\nname = \"a\"\n{more}\n");
    for (text, said) in [
        (zone(""), "line 2: zone `a` matches nothing; give it prefixes, vlans or interfaces"),
        (zone("prefixes = [\n \"10.0.0.0/8\",\n \"10.1.2.3/8\"]"), "line 5: prefix `10.1.2.3/8`: bits are set behind"),
        (zone("prefixes = [\"10.0.0.0/33\"]"), "line 3: prefix `10.0.0.0/33`: no address and no prefix; write"),
        (zone("vlans = [4095]"), "line 3: VLAN 4095: an id is from 1 to 4094"),
        (zone("prefix = [\"10.0.0.0/8\"]"), "line 3: unknown field `prefix`, expected one of `name`, `prefixes`"),
        (zone("prefixes = \"10.0.0.0/8\""), "line 3: invalid type: string"),
        ("[[zone]]\nname = \"a b\"\nvlans = [1]".to_owned(), "line 2: name `a b`: 1 to 64 letters"),
        ("[[service]]\nname = \"a\"\nports = [0]".to_owned(), "line 3: ports 0: a port from 1 to 65535"),
        ("[[service]]\nname = \"a\"\nports = [\"9-8\"]".to_owned(), "line 3: ports \"9-8\": a port"),
        ("[[service]]\nname = \"a\"\nports = []".to_owned(), "line 3: service `a` has no ports"),
        ("[[service]]\nname = \"a\"".to_owned(), "line 1: missing field `ports`"),
        ("[[service]]\nname = \"a\"\nports = [1]\nzone = \"b\"".to_owned(), "line 4: no zone is called `b`"),
        ("zone = [".to_owned(), "line 1: "),
    ] {
        assert!(error(&text).starts_with(said), "{text}\n{}\n{said}", error(&text));
    }
    assert!(error("x = 1").ends_with("`rstprobe help zones` has an example"));
}

#[test]
fn the_example_of_the_documentation_is_a_zones_file() {
    let page = include_str!("../../docs/zones.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next()).expect("an example");
    let definitions = read(example).unwrap_or_else(|error| panic!("{error}"));
    assert!(!definitions.zones.is_empty() && !definitions.services.is_empty());
}

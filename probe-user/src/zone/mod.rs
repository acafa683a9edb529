//! Zones and services: the names of the networks that a connection's ends are in, and of what is served at its port.
//!
//! * [`read`]: the text of a zones file to [`Definitions`], or what is wrong with it.
//! * [`Zones`]: what these definitions mean for the connections of one source; labels records.
//! * [`PrefixTable`]: longest prefix match.
//!
//! Of the zones of the file whose conditions hold, the one with the longest prefix is the address's; of equal ones the
//! first in the file. A zone without prefixes has length 0. What none of them holds is in a zone of [`DEFAULTS`].
//!
//! Pure: text and records in. Must not know: where the text comes from, how names are shown.

mod definitions;
mod prefix_table;
mod services;

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

pub use definitions::{Definitions, ZoneError, read};
pub use prefix_table::PrefixTable;

use crate::record::{Labels, Name};

/// Zones of addresses that no zones file names: RFC 1918 and 4193, 6598, 3927 and 4291, and the rest.
pub static DEFAULTS: &[(&str, &str)] = &[
    ("10.0.0.0/8", "private"),
    ("172.16.0.0/12", "private"),
    ("192.168.0.0/16", "private"),
    ("fc00::/7", "private"),
    ("100.64.0.0/10", "shared"),
    ("169.254.0.0/16", "link-local"),
    ("fe80::/10", "link-local"),
    ("127.0.0.0/8", "loopback"),
    ("::1/128", "loopback"),
    ("0.0.0.0/0", "internet"),
    ("::/0", "internet"),
];

/// What is known of connections besides their records.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Observation<'a> {
    /// `domain` of a record is its VLAN id.
    pub has_vlans: bool,
    /// The one interface that all connections come from; `None` where that is not known, or there are several.
    pub interface: Option<&'a str>,
}

/// Names for the connections of one source.
#[derive(Clone, Debug)]
pub struct Zones {
    rules: PrefixTable<ZoneRule>,
    defaults: PrefixTable<Name>,
    services: PrefixTable<ServiceRule>,
    /// Ports of a services file, sorted.
    ports: Vec<(u16, Name)>,
    /// Of all zones of the file, those that can match nothing here among them.
    of_file: Vec<Name>,
}

#[derive(Clone, Debug)]
struct ZoneRule {
    name: Name,
    /// Empty for any.
    vlans: Vec<u16>,
}

#[derive(Clone, Debug)]
struct ServiceRule {
    name: Name,
    ports: Vec<(u16, u16)>,
    zone: Option<Name>,
}

/// Without a file.
impl Default for Zones {
    fn default() -> Self {
        Self::new(&Definitions::default(), None, Observation::default())
    }
}

impl Zones {
    /// What the definitions mean for connections of which so much is known; `services` is the text of their services file.
    pub fn new(definitions: &Definitions, services: Option<&str>, observation: Observation<'_>) -> Self {
        let mut names = Names::default();
        let (mut zones, mut of_file) = (Vec::new(), Vec::new());
        for zone in &definitions.zones {
            of_file.push(names.of(&zone.name));
            let is_seen = zone.interfaces.is_empty()
                || observation.interface.is_some_and(|name| zone.interfaces.iter().any(|one| one == name));
            if is_seen && (zone.vlans.is_empty() || observation.has_vlans) {
                let rule = ZoneRule { name: names.of(&zone.name), vlans: zone.vlans.clone() };
                zones.extend(everywhere(&zone.prefixes).into_iter().map(|prefix| (prefix, rule.clone())));
            }
        }
        let mut rules = Vec::new();
        for service in &definitions.services {
            let rule = ServiceRule {
                name: names.of(&service.name),
                ports: service.ports.clone(),
                zone: service.zone.as_deref().map(|zone| names.of(zone)),
            };
            rules.extend(everywhere(&service.prefixes).into_iter().map(|prefix| (prefix, rule.clone())));
        }
        let defaults = DEFAULTS.iter().filter(|_| definitions.has_defaults);
        Self {
            rules: zones.into_iter().collect(),
            defaults: defaults.filter_map(|(prefix, name)| Some((prefix.parse().ok()?, Name::of(name)))).collect(),
            services: rules.into_iter().collect(),
            ports: services.map(services::of_file).unwrap_or_default(),
            of_file,
        }
    }

    /// The names of a connection's ends and of its service; `domain` is that of its record.
    pub fn labels(&self, client: IpAddr, server: SocketAddr, domain: u32) -> Labels {
        let vlan = u16::try_from(domain).unwrap_or_default();
        let server_zone = self.zone(server.ip(), vlan);
        Labels {
            client_zone: self.zone(client, vlan),
            server_zone,
            service: self.service(server.ip(), server.port(), server_zone),
        }
    }

    /// Every name that a zone can have, sorted.
    pub fn zone_names(&self) -> Vec<&'static str> {
        let of_file = self.of_file.iter().map(|name| name.as_str());
        sorted(of_file.chain(self.defaults.values().map(|name| name.as_str())))
    }

    /// Every name that a service can have, sorted.
    pub fn service_names(&self) -> Vec<&'static str> {
        let of_files = self.services.values().map(|rule| rule.name).chain(self.ports.iter().map(|(_, name)| *name));
        sorted(of_files.map(Name::as_str).chain(services::well_known_names()))
    }

    fn zone(&self, address: IpAddr, vlan: u16) -> Option<Name> {
        let mut holding = self.rules.holding(address);
        let of_file = holding.find(|rule| rule.vlans.is_empty() || rule.vlans.contains(&vlan)).map(|rule| rule.name);
        of_file.or_else(|| self.defaults.holding(address).next().copied())
    }

    fn service(&self, address: IpAddr, port: u16, zone: Option<Name>) -> Option<Name> {
        let is_of = |rule: &&ServiceRule| {
            let is_port = rule.ports.iter().any(|(first, last)| (*first..=*last).contains(&port));
            is_port && (rule.zone.is_none() || rule.zone == zone)
        };
        let defined = self.services.holding(address).find(is_of).map(|rule| rule.name);
        let of_file = || self.ports.binary_search_by_key(&port, |(known, _)| *known).ok().map(|at| self.ports[at].1);
        defined.or_else(of_file).or_else(|| services::well_known(port))
    }
}

impl Definitions {
    /// Zones that can match no connection of which so much is known, each with the reason.
    pub fn unmatchable(&self, observation: Observation<'_>) -> Vec<String> {
        let why = |zone: &definitions::ZoneDefinition| {
            if !zone.vlans.is_empty() && !observation.has_vlans {
                return Some(format!("zone `{}` is by VLAN, which is known with --domain vlan only", zone.name));
            }
            (!zone.interfaces.is_empty() && observation.interface.is_none()).then(|| {
                format!(
                    "zone `{}` is by interface, which is known only while one interface is watched: captures and several legs \
                     do not tell it",
                    zone.name
                )
            })
        };
        self.zones.iter().filter_map(why).collect()
    }
}

fn sorted(names: impl Iterator<Item = &'static str>) -> Vec<&'static str> {
    names.collect::<std::collections::BTreeSet<_>>().into_iter().collect()
}

/// The prefixes, or all addresses where there are none.
fn everywhere(prefixes: &[IpNet]) -> Vec<IpNet> {
    if prefixes.is_empty() {
        return vec![IpNet::V4(Ipv4Net::default()), IpNet::V6(Ipv6Net::default())];
    }
    prefixes.to_vec()
}

/// Names that were read, each made once.
#[derive(Default)]
struct Names(BTreeMap<String, Name>);

impl Names {
    fn of(&mut self, text: &str) -> Name {
        *self.0.entry(text.to_owned()).or_insert_with(|| Name::read(text))
    }
}

#[cfg(test)]
mod tests;

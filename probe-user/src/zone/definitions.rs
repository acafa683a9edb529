//! Zones file: reads its TOML into definitions of zones and services, and says by line what is wrong with it.

use std::{fmt, ops::Range};

use ipnet::{IpNet, Ipv4Net};
use serde::Deserialize;
use toml::{Spanned, Value};

use crate::printable::escaped;

/// Zones, and services, that a file may define.
const MOST: usize = 4096;
/// Characters of a name.
const LONGEST_NAME: usize = 64;

/// Why a text is no zones file.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("line {line}: {what}")]
pub struct ZoneError {
    /// From 1 on.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub what: String,
}

/// A zones file, checked.
#[derive(Clone, PartialEq, Debug)]
pub struct Definitions {
    /// In the order of the file.
    pub(super) zones: Vec<ZoneDefinition>,
    /// In the order of the file.
    pub(super) services: Vec<ServiceDefinition>,
    /// Addresses that no zone of the file holds get the names of [`super::DEFAULTS`].
    pub(super) has_defaults: bool,
    /// Where names of further ports are read, and the line that says so.
    pub services_file: Option<(String, usize)>,
}

/// `[[zone]]`: all that is given must hold; of a list, one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ZoneDefinition {
    pub(super) name: String,
    /// Empty for every address.
    pub(super) prefixes: Vec<IpNet>,
    /// Empty for any.
    pub(super) vlans: Vec<u16>,
    /// Empty for any.
    pub(super) interfaces: Vec<String>,
}

/// `[[service]]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ServiceDefinition {
    pub(super) name: String,
    /// First and last.
    pub(super) ports: Vec<(u16, u16)>,
    /// Of the server; empty for every address.
    pub(super) prefixes: Vec<IpNet>,
    /// Of the server; `None` for any.
    pub(super) zone: Option<String>,
}

/// Without a file.
impl Default for Definitions {
    fn default() -> Self {
        Self { zones: Vec::new(), services: Vec::new(), has_defaults: true, services_file: None }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    zone: Vec<Zone>,
    #[serde(default)]
    service: Vec<Service>,
    default_zones: Option<bool>,
    services_file: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Zone {
    name: Spanned<String>,
    #[serde(default)]
    prefixes: Vec<Spanned<String>>,
    #[serde(default)]
    vlans: Vec<Spanned<i64>>,
    #[serde(default)]
    interfaces: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Service {
    name: Spanned<String>,
    ports: Spanned<Vec<Spanned<Value>>>,
    #[serde(default)]
    prefixes: Vec<Spanned<String>>,
    zone: Option<Spanned<String>>,
}

/// Reads the text of a zones file.
///
/// # Errors
/// The first thing that is wrong, with its line.
pub fn read(text: &str) -> Result<Definitions, ZoneError> {
    let place = Place { text };
    let file: Document = toml::from_str(text).map_err(|error| {
        let what = error.message().replace('\n', "; ");
        place.refused(&error.span().unwrap_or_default(), format_args!("{what}; `rstprobe help zones` has an example"))
    })?;
    if file.zone.len() > MOST || file.service.len() > MOST {
        return Err(place.refused(&(0..0), format_args!("more than {MOST} zones or services; join prefixes and ports")));
    }
    let zones: Vec<_> = file.zone.into_iter().map(|zone| place.zone(zone)).collect::<Result<_, _>>()?;
    let has_defaults = file.default_zones.unwrap_or(true);
    let is_zone = |name: &str| {
        let is_default = has_defaults && super::DEFAULTS.iter().any(|(_, default)| *default == name);
        is_default || zones.iter().any(|zone: &ZoneDefinition| zone.name == name)
    };
    let services = file.service.into_iter().map(|service| place.service(service, is_zone)).collect::<Result<_, _>>()?;
    let services_file = file.services_file.map(|path| {
        let line = place.line(&path.span());
        (path.into_inner(), line)
    });
    Ok(Definitions { zones, services, has_defaults, services_file })
}

/// The text, for the lines of what is wrong.
#[derive(Clone, Copy)]
struct Place<'a> {
    text: &'a str,
}

impl Place<'_> {
    fn line(self, at: &Range<usize>) -> usize {
        1 + self.text.bytes().take(at.start).filter(|byte| *byte == b'\n').count()
    }

    fn refused(self, at: &Range<usize>, what: fmt::Arguments<'_>) -> ZoneError {
        // What it repeats of the file is part of one line.
        ZoneError { line: self.line(at), what: escaped(&what.to_string()).into_owned() }
    }

    fn zone(self, zone: Zone) -> Result<ZoneDefinition, ZoneError> {
        let Zone { name, prefixes, vlans, interfaces } = zone;
        if prefixes.is_empty() && vlans.is_empty() && interfaces.is_empty() {
            let what = format_args!("zone `{}` matches nothing; give it prefixes, vlans or interfaces", name.get_ref());
            return Err(self.refused(&name.span(), what));
        }
        let vlan = |id: Spanned<i64>| match u16::try_from(*id.get_ref()) {
            Ok(known @ 1..=4094) => Ok(known),
            _ => Err(self.refused(&id.span(), format_args!("VLAN {}: an id is from 1 to 4094", id.get_ref()))),
        };
        Ok(ZoneDefinition {
            name: self.name(&name)?,
            prefixes: self.prefixes(prefixes)?,
            vlans: vlans.into_iter().map(vlan).collect::<Result<_, _>>()?,
            interfaces: interfaces.into_iter().map(Spanned::into_inner).collect(),
        })
    }

    fn service(self, service: Service, is_zone: impl Fn(&str) -> bool) -> Result<ServiceDefinition, ZoneError> {
        let Service { name, ports, prefixes, zone } = service;
        if ports.get_ref().is_empty() {
            let what = format_args!("service `{}` has no ports; name some, such as ports = [443]", name.get_ref());
            return Err(self.refused(&ports.span(), what));
        }
        if let Some(zone) = zone.as_ref().filter(|zone| !is_zone(zone.get_ref())) {
            let what = format_args!("no zone is called `{}`; define it with [[zone]]", zone.get_ref());
            return Err(self.refused(&zone.span(), what));
        }
        Ok(ServiceDefinition {
            name: self.name(&name)?,
            ports: ports.into_inner().iter().map(|ports| self.ports(ports)).collect::<Result<_, _>>()?,
            prefixes: self.prefixes(prefixes)?,
            zone: zone.map(Spanned::into_inner),
        })
    }

    /// Names are words of the filter language.
    fn name(self, name: &Spanned<String>) -> Result<String, ZoneError> {
        let text = name.get_ref();
        let is_allowed = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        let is_name = text.starts_with(|first: char| first.is_ascii_alphanumeric())
            && text.len() <= LONGEST_NAME
            && text.chars().all(is_allowed);
        if is_name {
            return Ok(text.clone());
        }
        let what = format_args!(
            "name `{text}`: 1 to {LONGEST_NAME} letters, digits, `-`, `_` or `.`, a letter or digit first, so that filters can \
             name it"
        );
        Err(self.refused(&name.span(), what))
    }

    fn prefixes(self, prefixes: Vec<Spanned<String>>) -> Result<Vec<IpNet>, ZoneError> {
        let each = prefixes.into_iter().map(|prefix| {
            read_prefix(prefix.get_ref()).map_err(|why| {
                let text = prefix.get_ref();
                self.refused(&prefix.span(), format_args!("prefix `{text}`: {why}"))
            })
        });
        each.collect()
    }

    /// `443` or `"8000-8999"`.
    fn ports(self, ports: &Spanned<Value>) -> Result<(u16, u16), ZoneError> {
        let number = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
        let range = match ports.get_ref() {
            Value::Integer(port) => u16::try_from(*port).ok().filter(|port| *port > 0).map(|port| (port, port)),
            Value::String(text) => {
                let (first, last) = text.split_once("..").or_else(|| text.split_once('-')).unwrap_or((text, text));
                number(first).zip(number(last)).filter(|(first, last)| first <= last)
            }
            _ => None,
        };
        let found = match ports.get_ref() {
            Value::Integer(port) => port.to_string(),
            Value::String(text) => format!("\"{text}\""),
            other => format!("({})", other.type_str()),
        };
        let what =
            format_args!("ports {found}: a port from 1 to 65535, such as 443, or a range, such as \"8000-8999\"");
        range.ok_or_else(|| self.refused(&ports.span(), what))
    }
}

/// A prefix without bits behind its length, which are most often a mistake; an address alone is one of full length. IPv4
/// within IPv6 is IPv4.
fn read_prefix(text: &str) -> Result<IpNet, String> {
    let example = "write an address or prefix, such as 192.0.2.0/24 or 2001:db8::/32";
    let net = text.parse::<IpNet>().or_else(|_| text.parse::<std::net::IpAddr>().map(IpNet::from));
    let net = net.map_err(|_| format!("no address and no prefix; {example}"))?;
    if net.trunc() != net {
        return Err(format!("bits are set behind the prefix length; did you mean `{}`?", net.trunc()));
    }
    let mapped = match net {
        IpNet::V6(six) if six.prefix_len() >= 96 => six.addr().to_ipv4_mapped().zip(Some(six.prefix_len() - 96)),
        _ => None,
    };
    Ok(mapped.and_then(|(four, len)| Ipv4Net::new(four, len).ok()).map_or(net, IpNet::V4))
}

//! Host traffic: finds whether an interface carries this host's own traffic, by addresses, routes, a bridge or bond above it, interfaces on top.
//!
//! Frames that go to AF_XDP sockets do not reach the host's stack. On a mirror port nobody misses them.

use std::net::{IpAddr, Ipv6Addr};

use netlink_packet_route::{
    RouteNetlinkMessage,
    address::{AddressAttribute, AddressMessage},
    link::{LinkAttribute, LinkInfo, LinkMessage},
    route::{RouteAddress, RouteAttribute, RouteMessage, RouteType},
};

use super::{LiveError, netdev::Netdev, rtnetlink};

/// What shows that the host itself uses the interface, in words; `None` when nothing does.
///
/// # Errors
/// [`LiveError::Netlink`].
pub fn own_traffic(device: &Netdev) -> Result<Option<String>, LiveError> {
    if device.driver == "loopback" || device.name == "lo" {
        return Ok(Some("it is the loopback interface".to_owned()));
    }
    let mut found = first_address(device)?;
    rtnetlink::dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message: RouteNetlinkMessage| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            found = found.take().or_else(|| above(device.index, &link));
        }
    })
    .map_err(LiveError::Netlink)?;
    rtnetlink::dump(RouteNetlinkMessage::GetRoute(RouteMessage::default()), |message: RouteNetlinkMessage| {
        if let RouteNetlinkMessage::NewRoute(route) = message {
            found = found.take().or_else(|| routed(device.index, &route));
        }
    })
    .map_err(LiveError::Netlink)?;
    Ok(found)
}

/// Refuses to drop what comes in where the host itself uses an interface: who may start this may then cut off the host.
///
/// # Errors
/// [`LiveError::DropsOwnTraffic`]; an interface that is not there.
pub fn refuse_to_drop(interfaces: &[String]) -> Result<(), LiveError> {
    interfaces.iter().try_for_each(|name| refuse_to_drop_at(&Netdev::find(name)?))
}

/// The same for one interface.
///
/// # Errors
/// [`LiveError::DropsOwnTraffic`]; [`LiveError::Netlink`].
pub fn refuse_to_drop_at(device: &Netdev) -> Result<(), LiveError> {
    match own_traffic(device)? {
        Some(why) => Err(LiveError::DropsOwnTraffic { name: device.name.clone(), why }),
        None => Ok(()),
    }
}

/// The first address of this host on the interface that is more than link-local, in words; `None` on loopback, whose frames
/// come in both ways.
///
/// # Errors
/// [`LiveError::Netlink`].
pub fn address_of_host(device: &Netdev) -> Result<Option<String>, LiveError> {
    if device.driver == "loopback" || device.name == "lo" {
        return Ok(None);
    }
    first_address(device)
}

/// Every address of this host on the interface.
///
/// # Errors
/// [`LiveError::Netlink`].
pub fn addresses_of_host(device: &Netdev) -> Result<Vec<IpAddr>, LiveError> {
    let mut found = Vec::new();
    rtnetlink::dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message: RouteNetlinkMessage| {
        if let RouteNetlinkMessage::NewAddress(message) = message
            && message.header.index == device.index
        {
            // Of a point-to-point interface, `Address` is the peer's.
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                _ => None,
            });
            let address = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(*address),
                _ => None,
            });
            found.extend(local.or(address));
        }
    })
    .map_err(LiveError::Netlink)?;
    Ok(found)
}

fn first_address(device: &Netdev) -> Result<Option<String>, LiveError> {
    let mut found = None;
    rtnetlink::dump(RouteNetlinkMessage::GetAddress(AddressMessage::default()), |message: RouteNetlinkMessage| {
        if let RouteNetlinkMessage::NewAddress(address) = message
            && address.header.index == device.index
        {
            found = found.take().or_else(|| own_address(&address));
        }
    })
    .map_err(LiveError::Netlink)?;
    Ok(found)
}

/// Whether this host forwards packets from one of its interfaces to another: what comes in at one then goes out at another.
pub fn forwards() -> bool {
    ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"]
        .iter()
        .any(|path| std::fs::read_to_string(path).is_ok_and(|value| value.trim() != "0"))
}

/// A link-local IPv6 address comes by itself with every interface that is up, and says nothing.
fn says_nothing(address: Ipv6Addr) -> bool {
    address.is_unicast_link_local() || address.is_multicast()
}

fn own_address(message: &AddressMessage) -> Option<String> {
    message.attributes.iter().find_map(|attribute| match attribute {
        AddressAttribute::Address(IpAddr::V6(address)) if says_nothing(*address) => None,
        AddressAttribute::Address(address) => Some(format!("it has the address {address}")),
        _ => None,
    })
}

/// The interface belongs to another, or another lies on top of it.
fn above(index: u32, link: &LinkMessage) -> Option<String> {
    let name = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    });
    let is_veth = link.attributes.iter().any(|attribute| {
        matches!(attribute, LinkAttribute::LinkInfo(infos)
            if infos.iter().any(|info| matches!(info, LinkInfo::Kind(kind) if kind.to_string() == "veth")))
    });
    link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::Controller(_) if link.header.index == index => {
            Some("it belongs to a bridge, bond or the like".to_owned())
        }
        // What a veth names is its other end.
        LinkAttribute::Link(below) if *below == index && link.header.index != index && !is_veth => {
            Some(format!("the interface {} lies on top of it", name.unwrap_or("?")))
        }
        _ => None,
    })
}

fn routed(index: u32, route: &RouteMessage) -> Option<String> {
    let leads_here = route.attributes.contains(&RouteAttribute::Oif(index));
    if !leads_here || route.header.kind == RouteType::Multicast {
        return None;
    }
    let to = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(to) => Some(to),
        _ => None,
    });
    let len = route.header.destination_prefix_length;
    match to {
        Some(RouteAddress::Inet6(to)) if says_nothing(*to) => None,
        Some(RouteAddress::Inet6(to)) => Some(format!("a route leads through it, to {to}/{len}")),
        Some(RouteAddress::Inet(to)) => Some(format!("a route leads through it, to {to}/{len}")),
        _ => Some("the default route leads through it".to_owned()),
    }
}

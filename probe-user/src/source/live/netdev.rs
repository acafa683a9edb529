//! Facts about network interfaces, from one rtnetlink dump: what `doctor` shows and what errors explain themselves with.

use std::io;

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkFlags, LinkInfo, LinkMessage, LinkXdp, XdpAttached},
};

use super::{LiveError, ethtool, features, link_layer::LinkLayer, rtnetlink};

pub use super::features::XdpFeatures;

/// One interface as the kernel describes it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Netdev {
    /// Name.
    pub name: String,
    /// Index.
    pub index: u32,
    /// MTU, bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
    /// What its frames begin with.
    pub link_layer: LinkLayer,
    /// Driver by ethtool, or the link kind (`veth`, `bridge`, ...); `unknown` when neither says.
    pub driver: String,
    /// The XDP program attached now, if any.
    pub xdp: Option<XdpHolder>,
    /// The NIC strips VLAN tags before XDP sees the frame; `None` when the driver does not say.
    pub strips_vlan: Option<bool>,
    /// What its driver can do with XDP; `None` when this kernel cannot be asked (before 6.3).
    pub features: Option<XdpFeatures>,
    /// The NIC merges segments (LRO); `None` when the driver does not say.
    pub lro: Option<bool>,
    /// Index of the other end of a veth pair; `None` where that is in another network namespace.
    pub other_end: Option<u32>,
}

/// Who has the XDP hook.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct XdpHolder {
    /// `native`, `generic`, `offload` or `several`.
    pub mode: &'static str,
    /// Program id.
    pub program_id: u32,
    /// Program name, where we may ask for it (CAP_SYS_ADMIN).
    pub program_name: Option<String>,
}

impl std::fmt::Display for XdpHolder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.program_name {
            Some(name) => write!(f, "program `{name}` (id {}, {})", self.program_id, self.mode),
            None => {
                write!(f, "program id {} ({}); `bpftool prog show id {0}` as root names it", self.program_id, self.mode)
            }
        }
    }
}

impl Netdev {
    /// The interface of that name: asks for that one alone, as there may be thousands.
    ///
    /// # Errors
    /// [`LiveError::NoInterface`] with the names there are; [`LiveError::Netlink`].
    pub fn find(name: &str) -> Result<Self, LiveError> {
        if let Some(link) = link_named(name).map_err(LiveError::Netlink)? {
            return Ok(from_message(&link));
        }
        let known = dump_links().map_err(LiveError::Netlink)?;
        let known = known.iter().filter_map(name_of).map(str::to_owned).collect();
        Err(LiveError::NoInterface { name: name.to_string(), known })
    }
}

/// Every interface of this network namespace, by index.
///
/// # Errors
/// [`LiveError::Netlink`].
pub fn list() -> Result<Vec<Netdev>, LiveError> {
    let mut devices: Vec<_> = dump_links().map_err(LiveError::Netlink)?.iter().map(from_message).collect();
    devices.sort_by_key(|device| device.index);
    Ok(devices)
}

/// As [`list`], without what only drivers know: that is several questions for each, and there may be thousands.
///
/// # Errors
/// [`LiveError::Netlink`].
pub fn list_without_drivers() -> Result<Vec<Netdev>, LiveError> {
    let mut devices: Vec<_> = dump_links().map_err(LiveError::Netlink)?.iter().map(without_driver).collect();
    devices.sort_by_key(|device| device.index);
    Ok(devices)
}

/// What may change of an interface while it is watched.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Seen {
    /// What it is called now.
    pub name: String,
    /// Administratively up.
    pub up: bool,
    /// Ids of the XDP programs that are attached.
    pub programs: Vec<u32>,
}

impl Seen {
    /// Whether this program is attached; where its id is not known, whether any is.
    pub fn has_program(&self, id: Option<u32>) -> bool {
        id.map_or(!self.programs.is_empty(), |id| self.programs.contains(&id))
    }
}

/// How the interface with this index is now; `None` when it is gone. Cheap enough to be asked every second.
///
/// # Errors
/// [`LiveError::Netlink`].
pub fn seen(index: u32) -> Result<Option<Seen>, LiveError> {
    let seen = |link: LinkMessage| Seen {
        name: name_of(&link).unwrap_or_default().to_owned(),
        up: link.header.flags.contains(LinkFlags::Up),
        programs: link.attributes.iter().flat_map(programs).collect(),
    };
    Ok(link_at(index).map_err(LiveError::Netlink)?.map(seen))
}

fn programs(attribute: &LinkAttribute) -> Vec<u32> {
    let LinkAttribute::Xdp(all) = attribute else { return Vec::new() };
    let id = |one: &LinkXdp| match one {
        LinkXdp::ProgId(id) | LinkXdp::DrvProgId(id) | LinkXdp::SkbProgId(id) | LinkXdp::HwProgId(id) => Some(*id),
        _ => None,
    };
    // Without one the kernel says that none is attached, or 0.
    all.iter().filter_map(id).filter(|id| *id != 0).collect()
}

/// Whether there is an interface of that name: as cheap.
///
/// # Errors
/// [`LiveError::Netlink`].
pub fn is_there(name: &str) -> Result<bool, LiveError> {
    Ok(link_named(name).map_err(LiveError::Netlink)?.is_some())
}

/// The name that the interface with this index has now; `None` when it is gone.
///
/// # Errors
/// What the kernel says.
pub(super) fn name_at(index: u32) -> io::Result<Option<String>> {
    Ok(link_at(index)?.as_ref().and_then(name_of).map(str::to_owned))
}

/// What the kernel and the NIC have counted on one interface since it came up.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LinkCounters {
    /// Frames received. Whether those that XDP drops are among them is the driver's choice.
    pub rx_packets: u64,
    /// Frames dropped after they were received; some drivers count those that XDP drops.
    pub rx_dropped: u64,
    /// Frames that the NIC lost for want of room: missed, FIFO and overrun errors.
    pub rx_missed: u64,
    /// Other receive errors (checksum, frame length, ...).
    pub rx_errors: u64,
}

impl LinkCounters {
    /// What was counted since `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            rx_packets: self.rx_packets.saturating_sub(earlier.rx_packets),
            rx_dropped: self.rx_dropped.saturating_sub(earlier.rx_dropped),
            rx_missed: self.rx_missed.saturating_sub(earlier.rx_missed),
            rx_errors: self.rx_errors.saturating_sub(earlier.rx_errors),
        }
    }
}

/// The counters of the interfaces with these indices; `None` for one that is gone or has none.
///
/// # Errors
/// [`LiveError::Netlink`].
pub fn counters(indices: &[u32]) -> Result<Vec<Option<LinkCounters>>, LiveError> {
    let of = |index: &u32| Ok(link_at(*index)?.as_ref().and_then(link_counters));
    indices.iter().map(of).collect::<io::Result<_>>().map_err(LiveError::Netlink)
}

fn link_counters(link: &LinkMessage) -> Option<LinkCounters> {
    link.attributes.iter().find_map(|attribute| match attribute {
        // include/uapi/linux/if_link.h, struct rtnl_link_stats64.
        LinkAttribute::Stats64(stats) => Some(LinkCounters {
            rx_packets: stats.rx_packets,
            rx_dropped: stats.rx_dropped,
            rx_missed: stats.rx_missed_errors + stats.rx_fifo_errors + stats.rx_over_errors,
            rx_errors: stats.rx_errors,
        }),
        _ => None,
    })
}

fn dump_links() -> io::Result<Vec<LinkMessage>> {
    let mut links = Vec::new();
    rtnetlink::dump(RouteNetlinkMessage::GetLink(LinkMessage::default()), |message: RouteNetlinkMessage| {
        if let RouteNetlinkMessage::NewLink(link) = message {
            links.push(link);
        }
    })?;
    Ok(links)
}

/// The longest name that an interface can have, bytes (IFNAMSIZ without the zero at its end).
const LONGEST_NAME: usize = 15;

/// The interface of that name and no other; `None` where there is none.
fn link_named(name: &str) -> io::Result<Option<LinkMessage>> {
    if name.is_empty() || name.len() > LONGEST_NAME || name.contains('\0') {
        return Ok(None);
    }
    let mut wanted = LinkMessage::default();
    wanted.attributes.push(LinkAttribute::IfName(name.to_owned()));
    // The kernel also finds names that an interface has besides (altname), which it is not called by here.
    Ok(ask_for_link(wanted)?.filter(|link| name_of(link) == Some(name)))
}

/// The interface with this index; `None` where there is none.
fn link_at(index: u32) -> io::Result<Option<LinkMessage>> {
    // Of index 0 the kernel would want a name.
    if index == 0 {
        return Ok(None);
    }
    let mut wanted = LinkMessage::default();
    wanted.header.index = index;
    ask_for_link(wanted)
}

fn ask_for_link(wanted: LinkMessage) -> io::Result<Option<LinkMessage>> {
    match rtnetlink::ask(RouteNetlinkMessage::GetLink(wanted)) {
        Ok(RouteNetlinkMessage::NewLink(link)) => Ok(Some(link)),
        Ok(_) => Err(io::Error::new(io::ErrorKind::InvalidData, "another answer than an interface")),
        Err(error) if error.raw_os_error() == Some(libc::ENODEV) => Ok(None),
        Err(error) => Err(error),
    }
}

fn name_of(message: &LinkMessage) -> Option<&str> {
    message.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfName(name) => Some(name.as_str()),
        _ => None,
    })
}

fn from_message(message: &LinkMessage) -> Netdev {
    let mut device = Netdev { features: features::of(message.header.index), ..without_driver(message) };
    if let Ok(driver) = ethtool::driver(&device.name) {
        device.driver = driver;
    }
    if let Ok((strips_vlan, lro)) = ethtool::vlan_strip_and_lro(&device.name) {
        device.strips_vlan = Some(strips_vlan);
        device.lro = Some(lro);
    }
    device
}

/// What the kernel itself says.
fn without_driver(message: &LinkMessage) -> Netdev {
    let mut device = Netdev {
        name: String::new(),
        index: message.header.index,
        mtu: 0,
        up: message.header.flags.contains(LinkFlags::Up),
        link_layer: message.header.link_layer_type.into(),
        driver: String::new(),
        xdp: None,
        strips_vlan: None,
        features: None,
        lro: None,
        other_end: None,
    };
    let (mut kind, mut is_apart) = (None, false);
    for attribute in &message.attributes {
        match attribute {
            LinkAttribute::IfName(name) => device.name.clone_from(name),
            LinkAttribute::Mtu(mtu) => device.mtu = *mtu,
            LinkAttribute::Xdp(attributes) => device.xdp = holder(attributes),
            LinkAttribute::Link(index) => device.other_end = Some(*index),
            LinkAttribute::LinkNetNsId(_) => is_apart = true,
            LinkAttribute::LinkInfo(infos) => {
                kind = infos.iter().find_map(|info| match info {
                    LinkInfo::Kind(kind) => Some(kind.to_string()),
                    _ => None,
                });
            }
            _ => {}
        }
    }
    let loopback = || message.header.flags.contains(LinkFlags::Loopback).then(|| "loopback".to_string());
    device.driver = kind.or_else(loopback).unwrap_or_else(|| "unknown".to_string());
    // Of a VLAN or tunnel device it is the one below.
    device.other_end = device.other_end.filter(|_| device.driver == "veth" && !is_apart);
    device
}

fn holder(attributes: &[LinkXdp]) -> Option<XdpHolder> {
    let mut mode = None;
    let mut id = 0;
    for attribute in attributes {
        match attribute {
            LinkXdp::Attached(XdpAttached::Driver) => mode = Some("native"),
            LinkXdp::Attached(XdpAttached::SocketBuffer) => mode = Some("generic"),
            LinkXdp::Attached(XdpAttached::Hardware) => mode = Some("offload"),
            LinkXdp::Attached(XdpAttached::Multiple) => mode = Some("several"),
            LinkXdp::ProgId(program) | LinkXdp::DrvProgId(program) | LinkXdp::SkbProgId(program) if *program != 0 => {
                id = *program;
            }
            _ => {}
        }
    }
    mode.map(|mode| XdpHolder { mode, program_id: id, program_name: program_name(id) })
}

/// Asking for a program's name needs CAP_SYS_ADMIN; without it there is no name.
fn program_name(id: u32) -> Option<String> {
    aya::programs::loaded_programs()
        .filter_map(Result::ok)
        .find(|program| program.id() == id)
        .and_then(|program| program.name_as_str().map(ToString::to_string))
        .filter(|name| !name.is_empty())
}

//! AF_XDP sockets for the engine's program: which queues there are, and the maps by which the program finds the sockets.

use aya::maps::{HashMap, MapData, PerCpuArray, XskMap};
use probe_ebpf::xsk_redirect::{FELL_BACK, REDIRECTED, Sockets, UNSTAMPED};

use super::{
    LiveError, attach_mode::Mode, engine::Engine, ethtool, host_traffic, link_layer::LinkLayer, netdev::Netdev,
};
use crate::source::xsk::{
    XskAccounting,
    datapath::{Datapath, OpenError, QueueAt},
};

/// Every receive queue of the interfaces; each gets a socket.
///
/// # Errors
/// [`LiveError::LinkTypeOverSockets`]; [`LiveError::OwnTraffic`] unless `force`; an interface that is not there.
pub fn queues(interfaces: &[String], mode: Mode, force: bool) -> Result<Vec<QueueAt>, LiveError> {
    let mut queues = Vec::new();
    for name in interfaces {
        let device = Netdev::find(name)?;
        if device.link_layer != LinkLayer::Ethernet {
            return Err(LiveError::LinkTypeOverSockets { name: device.name, link_layer: device.link_layer });
        }
        if !force && let Some(why) = host_traffic::own_traffic(&device)? {
            return Err(LiveError::OwnTraffic { name: device.name, why });
        }
        // Drivers that cannot be asked have one queue.
        let count = ethtool::receive_queues(name).unwrap_or(1).max(1);
        let Netdev { name, index: interface, mtu, .. } = device;
        let generic = mode == Mode::Generic;
        queues.extend((0..count).map(|queue| QueueAt { name: name.clone(), interface, mtu, queue, generic }));
    }
    Ok(queues)
}

/// How many receive queues the interfaces have together. A driver that cannot be asked has one.
pub fn queue_count(interfaces: &[String]) -> u32 {
    interfaces.iter().map(|name| ethtool::receive_queues(name).unwrap_or(1).max(1)).fold(0, u32::saturating_add)
}

/// How many receive queues an interface uses, and how many it can have at most.
///
/// # Errors
/// What the ioctl says; drivers with one queue mostly lack it.
pub fn queue_limits(interface: &str) -> std::io::Result<(u32, u32)> {
    ethtool::queue_limits(interface)
}

/// The program's side of the sockets. They leave their map when they are closed.
pub struct Delivery {
    _sockets: XskMap<MapData>,
    _sockets_of: HashMap<MapData, u32, u64>,
    counts: PerCpuArray<MapData, u64>,
}

impl Delivery {
    /// Shows the sockets to the program, which must not be armed yet.
    ///
    /// # Errors
    /// The kernel refused an entry.
    pub fn register(engine: &mut Engine, datapath: &Datapath) -> Result<Self, LiveError> {
        let lacks = |name| move || LiveError::ObjectLacks(name);
        let mut sockets: XskMap<MapData> = engine.take_map("SOCKETS").ok_or_else(lacks("SOCKETS"))?;
        let mut sockets_of: HashMap<MapData, u32, u64> =
            engine.take_map("SOCKETS_OF").ok_or_else(lacks("SOCKETS_OF"))?;
        let counts = engine.take_map("DELIVERY").ok_or_else(lacks("DELIVERY"))?;
        let mut of = Sockets { first: 0, queues: 0 };
        let mut last = None;
        for (place, (at, socket)) in (0..).zip(datapath.sockets()) {
            if last != Some(at.interface) {
                of = Sockets { first: place, queues: 0 };
                last = Some(at.interface);
            }
            of.queues += 1;
            sockets.set(place, socket, 0).map_err(LiveError::map("SOCKETS"))?;
            sockets_of.insert(at.interface, of.pack(), 0).map_err(LiveError::map("SOCKETS_OF"))?;
        }
        Ok(Self { _sockets: sockets, _sockets_of: sockets_of, counts })
    }

    /// Adds what the program has counted.
    pub fn add_to(&self, accounting: &mut XskAccounting) {
        let sum = |index: u32| self.counts.get(&index, 0).map_or(0, |cpus| cpus.iter().sum());
        accounting.redirected = sum(REDIRECTED);
        accounting.fell_back = sum(FELL_BACK);
        accounting.unstamped = sum(UNSTAMPED);
    }
}

impl From<Box<OpenError>> for LiveError {
    fn from(error: Box<OpenError>) -> Self {
        let OpenError { at: QueueAt { name, queue, .. }, step, source } = *error;
        Self::Xsk { name, queue, step, source }
    }
}

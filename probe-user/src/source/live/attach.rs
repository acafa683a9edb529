//! Attaching the engine's program to interfaces, always through bpf_links: they die with the process, so nothing is
//! left behind even after `kill -9`.

use std::io;

use aya::programs::{ProgramError, Xdp, XdpMode, links::FdLink};

use super::{LiveError, engine::Engine, ethtool::Promiscuous, netdev::Netdev, privilege};

/// Where in the receive path the program runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mode {
    /// In the driver.
    Native,
    /// In the network stack, after the socket buffer was made: slower, works with every driver.
    Generic,
}

impl Mode {
    /// Name for outputs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Generic => "generic",
        }
    }
}

/// One attached interface. Dropping it detaches.
pub struct Attachment {
    /// The interface when it was attached.
    pub device: Netdev,
    /// How.
    pub mode: Mode,
    _link: FdLink,
    _promiscuous: Option<Promiscuous>,
}

/// Attaches the engine's program to every named interface, or to none.
///
/// # Errors
/// The first interface that cannot be attached; those attached before it are detached again.
pub fn attach(
    engine: &mut Engine,
    interfaces: &[String],
    mode: Mode,
    promiscuous: bool,
) -> Result<Vec<Attachment>, LiveError> {
    interfaces.iter().map(|name| attach_one(engine, name, mode, promiscuous)).collect()
}

/// What must hold before the kernel program is even loaded: privileges, and interfaces that exist, are up and free,
/// and whose frames are understood.
///
/// # Errors
/// The first thing that does not hold.
pub fn preflight(interfaces: &[String], promiscuous: bool) -> Result<(), LiveError> {
    for name in interfaces {
        let device = Netdev::find(name)?;
        if !device.link_layer.is_understood() {
            return Err(LiveError::LinkType { name: device.name, link_layer: device.link_layer });
        }
        if !device.up {
            return Err(LiveError::InterfaceDown { name: device.name });
        }
        if let Some(holder) = &device.xdp {
            return Err(LiveError::HookTaken { name: device.name, holder: holder.to_string() });
        }
    }
    let missing = privilege::missing(promiscuous);
    if missing.is_empty() {
        return Ok(());
    }
    let binary =
        std::env::current_exe().map_or_else(|_| "$(which rstprobe)".to_string(), |path| path.display().to_string());
    Err(LiveError::Privilege { missing, binary })
}

fn attach_one(engine: &mut Engine, name: &str, mode: Mode, promiscuous: bool) -> Result<Attachment, LiveError> {
    let device = Netdev::find(name)?;
    let frags = engine.frags();
    let xdp_mode = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic => XdpMode::Skb,
    };
    let program: &mut Xdp = engine.program()?;
    let id =
        program.attach_to_if_index(device.index, xdp_mode).map_err(|error| explain(&device, mode, frags, error))?;
    let link = program.take_link(id).map_err(|error| explain(&device, mode, frags, error))?;
    // Dropping a link that is not an fd detaches it, so nothing stays behind on this error path either.
    let link = FdLink::try_from(link).map_err(|_| LiveError::NoLink { name: device.name.clone() })?;
    let promiscuous = promiscuous
        .then(|| Promiscuous::enter(device.index))
        .transpose()
        .map_err(|source| LiveError::Promiscuous { name: device.name.clone(), source })?;
    Ok(Attachment { device, mode, _link: link, _promiscuous: promiscuous })
}

/// veth and most drivers hold one frame in one page: headroom (256) and skb_shared_info (320) leave this MTU, less the
/// Ethernet header and one VLAN tag.
const PAGE_MTU: u32 = 3498;

fn explain(device: &Netdev, mode: Mode, frags: bool, error: ProgramError) -> LiveError {
    let name = device.name.clone();
    let source = match error {
        ProgramError::SyscallError(error) => error.io_error,
        other => io::Error::other(other.to_string()),
    };
    match source.raw_os_error() {
        Some(libc::EBUSY | libc::EEXIST) => {
            let holder = Netdev::find(&device.name).ok().and_then(|now| now.xdp);
            let holder = holder.map_or_else(|| "another program".to_string(), |holder| holder.to_string());
            LiveError::HookTaken { name, holder }
        }
        // A multi-buffer program is not refused for the MTU (net/core/dev.c): then the driver has no native XDP at all.
        Some(libc::EOPNOTSUPP) if mode == Mode::Native && (frags || device.mtu <= PAGE_MTU) => {
            LiveError::NoNative { name, driver: device.driver.clone(), source }
        }
        Some(libc::ERANGE) if mode == Mode::Native && device.mtu <= PAGE_MTU => {
            LiveError::PeerMtu { name, limit: PAGE_MTU }
        }
        Some(libc::ERANGE | libc::EINVAL | libc::EOPNOTSUPP) if mode == Mode::Native && device.mtu > PAGE_MTU => {
            let why = if frags {
                format!("with driver {}, which takes no multi-buffer program", device.driver)
            } else {
                "without frags (multi-buffer XDP, Linux 5.18)".to_string()
            };
            LiveError::MtuTooBig { name, mtu: device.mtu, why, limit: PAGE_MTU }
        }
        Some(libc::ENODEV) => LiveError::NoInterface { name, known: Vec::new() },
        _ => LiveError::Attach { name, source },
    }
}

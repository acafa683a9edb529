//! Attaching the engine's program to interfaces, always through bpf_links: they die with the process, so nothing is
//! left behind even after `kill -9`.

use std::{io, os::fd::AsFd as _};

use aya::programs::{ProgramError, Xdp, XdpError, XdpMode, links::FdLink};

pub use super::attach_mode::Mode;
use super::{
    LiveError,
    engine::Engine,
    ethtool::Promiscuous,
    hook_holder, host_traffic,
    link_layer::LinkLayer,
    native_prediction,
    netdev::Netdev,
    privilege,
    xdp_trial::{self, Answer},
};
use crate::printable;

/// One attached interface. Dropping it detaches.
pub struct Attachment {
    /// The interface when it was attached.
    pub device: Netdev,
    /// How.
    pub mode: Mode,
    /// Id of the program that was attached last; `None` where the kernel does not say.
    pub program_id: Option<u32>,
    link: Option<FdLink>,
    is_promiscuous: bool,
    promiscuous: Option<Promiscuous>,
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
            return Err(hook_holder::refusal(&device.name, holder));
        }
    }
    let missing = privilege::missing(promiscuous);
    if missing.is_empty() {
        return Ok(());
    }
    let binary =
        std::env::current_exe().map_or_else(|_| "$(which rstprobe)".to_string(), |path| printable::path(&path));
    Err(LiveError::Privilege { missing, binary })
}

fn attach_one(engine: &mut Engine, name: &str, mode: Mode, is_promiscuous: bool) -> Result<Attachment, LiveError> {
    let device = Netdev::find(name)?;
    let mut attachment = Attachment { device, mode, program_id: None, link: None, is_promiscuous, promiscuous: None };
    attachment.enter(engine)?;
    Ok(attachment)
}

impl Attachment {
    fn enter(&mut self, engine: &mut Engine) -> Result<(), LiveError> {
        let link = link(engine, &self.device, self.mode)?;
        let refused = |source| LiveError::Promiscuous { name: self.device.name.clone(), source };
        let promiscuous = self.is_promiscuous.then(|| Promiscuous::enter(self.device.index)).transpose();
        self.promiscuous = promiscuous.map_err(refused)?;
        self.program_id = program_for(engine, self.device.link_layer)?.info().ok().map(|info| info.id());
        self.link = Some(link);
        Ok(())
    }

    /// The index of the interface; `None` while nothing is attached.
    pub fn attached_index(&self) -> Option<u32> {
        self.link.is_some().then_some(self.device.index)
    }

    /// Detaches, wherever the interface is by now: in another network namespace the program would go on to count.
    pub fn release(&mut self) {
        (self.link, self.promiscuous) = (None, None);
    }

    /// Attaches to what has that name now, in the way of the first time. Needs no capability where the program is loaded already
    /// (before Linux 5.19 CAP_BPF), and CAP_NET_RAW for the promiscuous mode.
    ///
    /// # Errors
    /// It is not there, of another kind, or cannot be attached; with `spares_host`, the host itself uses it. Nothing is attached
    /// then.
    pub fn attach_again(&mut self, engine: &mut Engine, name: &str, spares_host: bool) -> Result<(), LiveError> {
        self.release();
        let device = Netdev::find(name)?;
        if !device.link_layer.is_understood() {
            return Err(LiveError::LinkType { name: device.name, link_layer: device.link_layer });
        }
        if spares_host {
            host_traffic::refuse_to_drop_at(&device)?;
        }
        self.device = device;
        self.enter(engine)
    }

    /// Detaches the program and attaches it again: drivers set up their receive queues anew for that. Some reset the link.
    ///
    /// # Errors
    /// It cannot be attached again; nothing is attached then.
    pub fn renew(&mut self, engine: &mut Engine) -> Result<(), LiveError> {
        self.link = None;
        self.link = Some(link(engine, &self.device, self.mode)?);
        Ok(())
    }
}

fn link(engine: &mut Engine, device: &Netdev, mode: Mode) -> Result<FdLink, LiveError> {
    let frags = engine.frags();
    let xdp_mode = match mode {
        Mode::Native => XdpMode::Driver,
        Mode::Generic => XdpMode::Skb,
    };
    let program: &mut Xdp = program_for(engine, device.link_layer)?;
    let id = match program.attach_to_if_index(device.index, xdp_mode) {
        Ok(id) => id,
        Err(error) => return Err(explain(device, mode, program, frags, error)),
    };
    let link = program.take_link(id).map_err(|source| LiveError::Program(Box::new(source)))?;
    // Dropping a link that is not an fd detaches it, so nothing stays behind on this error path either.
    FdLink::try_from(link).map_err(|_| LiveError::NoLink { name: device.name.clone() })
}

/// The program for frames of that kind. That for interfaces without Ethernet is loaded when it is first needed.
fn program_for(engine: &mut Engine, link_layer: LinkLayer) -> Result<&mut Xdp, LiveError> {
    let name = match (link_layer, engine.frags()) {
        (LinkLayer::Ip, false) => "rstprobe_ip",
        (LinkLayer::Ip, true) => "rstprobe_ip_frags",
        _ => return engine.program(),
    };
    let program: &mut Xdp = engine.named_program(name)?;
    if program.fd().is_err() {
        program.load().map_err(|source| LiveError::Program(Box::new(source)))?;
    }
    Ok(program)
}

/// What a refused attachment means. The kernel is asked again, by netlink, for its words.
fn explain(device: &Netdev, mode: Mode, program: &Xdp, frags: bool, error: ProgramError) -> LiveError {
    let name = device.name.clone();
    let source = os_error(error);
    let holder = Netdev::find(&name).map(|now| now.xdp);
    match (source.raw_os_error(), holder) {
        (_, Err(gone @ LiveError::NoInterface { .. })) => return gone,
        (Some(libc::EBUSY | libc::EEXIST), Ok(Some(holder))) => {
            return hook_holder::refusal(&name, &holder);
        }
        _ => {}
    }
    let answer = match program.fd().map(|fd| xdp_trial::ask_why(device.index, fd.as_fd(), mode)) {
        Ok(Ok(answer)) => Some(answer),
        Ok(Err(source)) => return LiveError::Detach { name, what: "XDP program attached to be told why", source },
        Err(_) => None,
    };
    let words = match answer {
        Some(Answer::Words(words)) => format!("\"{words}\""),
        Some(Answer::Attached) => format!("{source}, and took it, without a bpf_link, when it was asked why"),
        Some(Answer::Nothing) | None => format!("{source}; the kernel gave no reason"),
    };
    let step = native_prediction::next_step(device, mode, frags, &words, &source);
    LiveError::Refused { name, driver: device.driver.clone(), mode: mode.name(), words, step, source }
}

/// The error of the system call, with its number where there is one.
fn os_error(error: ProgramError) -> io::Error {
    match error {
        ProgramError::SyscallError(error) => error.io_error,
        // aya asks by netlink where the kernel knows no link of this kind, or refuses one with EINVAL.
        ProgramError::XdpError(XdpError::NetlinkError(error)) if error.raw_os_error().is_some() => {
            io::Error::from_raw_os_error(error.raw_os_error().unwrap_or_default())
        }
        other => io::Error::other(other.to_string()),
    }
}

//! Host view: decides whether a session sees what this host sends, by option or by the addresses of the interface.
//!
//! XDP sees what comes in. On a host's own interface that is half of each connection, and half a view is no verdict.

use crate::{error::RunError, output};
use crate::{
    plan::{DataPath, HostView, LivePlan},
    source::live::{LiveError, engine::Action, host_traffic, netdev::Netdev},
};

/// What was chosen, and why.
pub(crate) enum Chosen {
    /// Asked for.
    Both,
    /// By itself.
    ByItself,
    /// Only what comes in, although there are addresses of this host.
    Half,
    /// Only what comes in: nothing of this host is on it.
    Incoming,
}

/// Chooses by the plan and, where that leaves it open, by the addresses of the interfaces; says so.
///
/// # Errors
/// An interface that is not there, or a kernel that does not tell.
pub(crate) fn choose(plan: &LivePlan) -> Result<Chosen, RunError> {
    if plan.host == HostView::Both {
        return Ok(Chosen::Both);
    }
    // Frames that go to sockets or are dropped do not reach the host: it sends nothing about them.
    if !matches!(plan.datapath, DataPath::Count) || plan.engine.action == Action::Drop {
        return Ok(Chosen::Incoming);
    }
    let Some((name, why)) = own(&plan.interfaces)? else { return Ok(Chosen::Incoming) };
    if plan.host == HostView::Incoming {
        output::say(&format!(
            "rstprobe: {name}: {why}: only what comes in is seen, half of each connection (--host sees both halves)"
        ));
        return Ok(Chosen::Half);
    }
    if plan.interfaces.len() > 1 && host_traffic::forwards() {
        output::say(&format!(
            "rstprobe: {name}: {why}, and this host forwards between interfaces: what it sends itself is not seen (--host \
             sees it, and what it forwards twice)"
        ));
        return Ok(Chosen::Half);
    }
    output::say(&format!("rstprobe: {name}: {why}: what this host sends is seen as well (--no-host turns that off)"));
    Ok(Chosen::ByItself)
}

/// The first interface with an address of this host.
fn own(interfaces: &[String]) -> Result<Option<(String, String)>, LiveError> {
    for name in interfaces {
        if let Some(why) = host_traffic::address_of_host(&Netdev::find(name)?)? {
            return Ok(Some((name.clone(), why)));
        }
    }
    Ok(None)
}

impl Chosen {
    pub(crate) fn is_both(&self) -> bool {
        matches!(self, Self::Both | Self::ByItself)
    }

    /// There are addresses of this host, so that it sends something.
    pub(crate) fn has_addresses(&self) -> bool {
        matches!(self, Self::ByItself | Self::Half)
    }

    /// Attaches what sees the other half, with the kernel's reasons or, where those cannot be had, without. What was not asked for and cannot be had is said, and no reason not to watch.
    ///
    /// # Errors
    /// What was asked for and cannot be had.
    pub(crate) fn attach<T>(
        &self,
        mut attach: impl FnMut(bool) -> Result<T, LiveError>,
    ) -> Result<Option<T>, RunError> {
        match self {
            Self::Both => Ok(Some(attach(true)?)),
            Self::ByItself => match attach(true).or_else(|_| attach(false)) {
                Ok(tap) => Ok(Some(tap)),
                Err(error) => {
                    output::say(&format!(
                        "rstprobe: what this host sends is not seen, half of each connection: {error}"
                    ));
                    Ok(None)
                }
            },
            Self::Half | Self::Incoming => Ok(None),
        }
    }
}

//! Capture options: what is seen of captures, and how it is tracked.

use probe_ebpf::tunnel::Encapsulations;

use super::{PlanError, encapsulation};
use crate::{cli::CaptureArgs, source::Domain, tracker::Timers};

/// What is seen of captures.
#[derive(Clone, Debug)]
pub struct CapturePlan {
    /// Verify IPv4 and TCP checksums.
    pub verify_checksums: bool,
    /// What is looked into, and how deep.
    pub encapsulations: Encapsulations,
    /// Ports of VXLAN besides its own.
    pub vxlan_ports: Vec<u16>,
    /// Which id is part of the key.
    pub domain: Domain,
    /// Timeouts.
    pub timers: Timers,
    /// Bound of the tracker.
    pub max_connections: usize,
}

impl TryFrom<CaptureArgs> for CapturePlan {
    type Error = PlanError;

    fn try_from(args: CaptureArgs) -> Result<Self, PlanError> {
        if args.max_connections == 0 {
            return Err(PlanError::NoConnections);
        }
        let (encapsulations, domain) = encapsulation::of_captures(&args.encapsulation)?;
        Ok(Self {
            verify_checksums: !args.no_checksums,
            encapsulations,
            vxlan_ports: args.encapsulation.vxlan_port,
            domain,
            timers: timers(&args.timers)?,
            max_connections: args.max_connections,
        })
    }
}

fn timers(settings: &[String]) -> Result<Timers, PlanError> {
    let mut timers = Timers::default();
    for setting in settings {
        let refused = || PlanError::Timer(setting.clone());
        let (name, time) = setting.split_once('=').ok_or_else(refused)?;
        let time = humantime::parse_duration(time).map_err(|_| refused())?;
        let ns = u64::try_from(time.as_nanos()).ok().filter(|ns| *ns > 0).ok_or_else(refused)?;
        match name {
            "attempt" => timers.attempt = ns,
            "close" => timers.close = ns,
            "linger" => timers.linger = ns,
            "inactive" => timers.inactive = ns,
            "inactive-handshake" => timers.inactive_handshake = ns,
            "inactive-interactive" => timers.inactive_interactive = ns,
            _ => return Err(refused()),
        }
    }
    Ok(timers)
}

//! Capture options: what is seen of captures, and how it is tracked.

use probe_ebpf::tunnel::Encapsulations;

use super::{PlanError, encapsulation, timers};
use crate::{
    cli::{CaptureArgs, DomainArg},
    source::Domain,
    tracker::Timers,
};

/// Tunnels within tunnels that are followed without being asked, as the command line has it.
const USUAL_DEPTH: u8 = 4;

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
    /// What of this was typed, to be typed again for the same view of the same captures.
    pub words: Vec<String>,
}

impl TryFrom<CaptureArgs> for CapturePlan {
    type Error = PlanError;

    fn try_from(args: CaptureArgs) -> Result<Self, PlanError> {
        if args.max_connections == 0 {
            return Err(PlanError::NoConnections);
        }
        let words = words(&args);
        let (encapsulations, domain) = encapsulation::of_captures(&args.encapsulation)?;
        Ok(Self {
            verify_checksums: !args.no_checksums,
            encapsulations,
            vxlan_ports: args.encapsulation.vxlan_port,
            domain,
            timers: timers::timers(&args.timers)?,
            max_connections: args.max_connections,
            words,
        })
    }
}

/// Options that differ from what they are without being typed.
fn words(args: &CaptureArgs) -> Vec<String> {
    let CaptureArgs { no_checksums, encapsulation, timers, max_connections: _ } = args;
    let mut words = Vec::new();
    if *no_checksums {
        words.push("--no-checksums".to_owned());
    }
    if encapsulation.encap != ["all"] {
        words.push(format!("--encap={}", encapsulation.encap.join(",")));
    }
    if encapsulation.encap_depth != USUAL_DEPTH {
        words.push(format!("--encap-depth={}", encapsulation.encap_depth));
    }
    words.extend(encapsulation.vxlan_port.iter().map(|port| format!("--vxlan-port={port}")));
    match encapsulation.domain {
        DomainArg::None => {}
        DomainArg::Vlan => words.push("--domain=vlan".to_owned()),
        DomainArg::Vni => words.push("--domain=vni".to_owned()),
    }
    if !timers.is_empty() {
        words.push(format!("--timers={}", timers.join(",")));
    }
    words
}

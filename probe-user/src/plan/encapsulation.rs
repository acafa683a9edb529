//! Encapsulation options: what `--encap`, `--vxlan-port` and `--domain` mean, for captures and for the kernel program, which knows less.

use probe_ebpf::tunnel::{self, Encapsulations};

use super::PlanError;
use crate::{
    cli::{DomainArg, EncapsulationArgs},
    source::Domain,
};

/// Ports of other encapsulations, as the shared parser knows them: what is sent there never reaches a VXLAN port of one's
/// own.
const OTHERS: [(u16, &str); 4] = [(6081, "GENEVE"), (2152, "GTP-U"), (2123, "GTP-U"), (3544, "Teredo")];

/// Of captures; the ports of VXLAN are those of the arguments.
pub(super) fn of_captures(args: &EncapsulationArgs) -> Result<(Encapsulations, Domain), PlanError> {
    encapsulations(args, tunnel::ALL_OF_CAPTURES)
}

/// Of live traffic: the kernel program has one port of VXLAN besides those that it knows.
pub(super) fn live(args: &EncapsulationArgs) -> Result<(Encapsulations, Domain), PlanError> {
    let (planned, domain) = encapsulations(args, tunnel::ALL)?;
    let mut own: Vec<u16> =
        args.vxlan_port.iter().copied().filter(|port| !tunnel::VXLAN_PORTS.contains(port)).collect();
    own.sort_unstable();
    own.dedup();
    match own[..] {
        [] => Ok((planned, domain)),
        [port] => Ok((planned.with_vxlan_port(port), domain)),
        [first, second, ..] => Err(PlanError::VxlanPortsLive(first, second)),
    }
}

fn refuse_ports_of_others(args: &EncapsulationArgs, enabled: u32) -> Result<(), PlanError> {
    for &port in &args.vxlan_port {
        if let Some(&(_, of)) = OTHERS.iter().find(|(other, _)| *other == port) {
            return Err(PlanError::VxlanPort { port, of });
        }
        if enabled & tunnel::VXLAN == 0 {
            return Err(PlanError::VxlanPort { port, of: "nothing, as --encap leaves out vxlan" });
        }
    }
    Ok(())
}

fn encapsulations(args: &EncapsulationArgs, all: u32) -> Result<(Encapsulations, Domain), PlanError> {
    let mut enabled = 0;
    for name in &args.encap {
        enabled |= match name.as_str() {
            "all" => all,
            "none" if args.encap.len() == 1 => 0,
            name => bit(name, all)?,
        };
    }
    // ERSPAN travels in GRE.
    if enabled & tunnel::ERSPAN != 0 {
        enabled |= tunnel::GRE;
    }
    refuse_ports_of_others(args, enabled)?;
    let domain = match args.domain {
        DomainArg::None => Domain::None,
        DomainArg::Vlan => Domain::Vlan,
        DomainArg::Vni => Domain::Tunnel,
    };
    Ok((Encapsulations { enabled, max_depth: args.encap_depth }, domain))
}

fn bit(name: &str, all: u32) -> Result<u32, PlanError> {
    let mut named = tunnel::NAMES.iter().chain(&tunnel::NAMES_OF_CAPTURES);
    match named.find(|(known, _)| *known == name) {
        Some((_, bit)) if bit & all != 0 => Ok(*bit),
        Some(_) => Err(PlanError::EncapsulationOfCaptures(name.to_string())),
        None => Err(PlanError::Encapsulation(name.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::{
        cli::{Cli, Command},
        plan::{LivePlan, ReadPlan, WatchPlan},
    };

    fn read(more: &str) -> Result<ReadPlan, PlanError> {
        let words = "rstprobe read a.pcap".split(' ').chain(more.split_whitespace());
        let Command::Read(args) = Cli::try_parse_from(words).expect("clap accepts it").command else {
            unreachable!("asked for")
        };
        args.try_into()
    }

    fn watch(more: &str) -> Result<LivePlan, PlanError> {
        let words = "rstprobe run -i a".split(' ').chain(more.split_whitespace());
        let Command::Run(args) = Cli::try_parse_from(words).expect("clap accepts it").command else {
            unreachable!("asked for")
        };
        WatchPlan::try_from(args).map(|plan| plan.live)
    }

    #[test]
    fn all_is_more_of_captures_than_of_live_traffic() {
        assert_eq!(read("").expect("valid").capture.encapsulations.enabled, tunnel::ALL_OF_CAPTURES);
        assert_eq!(watch("").expect("valid").engine.encapsulations.enabled, tunnel::ALL);
        assert_eq!(
            read("--encap l2tp,vxlan").expect("valid").capture.encapsulations.enabled,
            tunnel::L2TP | tunnel::VXLAN
        );
        assert_eq!(watch("--encap l2tp").err(), Some(PlanError::EncapsulationOfCaptures("l2tp".into())));
        assert_eq!(read("--encap nvgre").err(), Some(PlanError::Encapsulation("nvgre".into())));
    }

    #[test]
    fn ports_of_vxlan_are_heeded_or_refused() {
        assert_eq!(read("--vxlan-port 10800 --vxlan-port 4790").expect("valid").capture.vxlan_ports, [10800, 4790]);
        assert_eq!(read("--vxlan-port 2152").err(), Some(PlanError::VxlanPort { port: 2152, of: "GTP-U" }));
        let enabled = |more| watch(more).map(|plan| plan.engine.encapsulations);
        let all = Encapsulations { enabled: tunnel::ALL, max_depth: 4 };
        assert_eq!(enabled("--vxlan-port 10800 --vxlan-port 4789"), Ok(all.with_vxlan_port(10800)));
        assert_eq!(enabled("--vxlan-port 4789"), Ok(all));
        assert_eq!(watch("--vxlan-port 2 --vxlan-port 1").err(), Some(PlanError::VxlanPortsLive(1, 2)));
        assert_eq!(watch("--vxlan-port 6081").err(), Some(PlanError::VxlanPort { port: 6081, of: "GENEVE" }));
        assert_eq!(
            read("--vxlan-port 10800 --encap none").err(),
            Some(PlanError::VxlanPort { port: 10800, of: "nothing, as --encap leaves out vxlan" })
        );
    }
}

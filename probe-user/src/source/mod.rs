//! Sources of segments: live interfaces, AF_XDP sockets, captures. A source yields segments and counters in time order and the books of what it could not
//! yield; it knows nothing of connections, verdicts or outputs.

pub mod capture;
pub mod live;
pub mod xsk;

use probe_ebpf::parse::{DOMAIN_NONE, DOMAIN_TUNNEL, DOMAIN_VLAN};

/// Which id, besides addresses and ports, tells connections apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Domain {
    /// None: the same addresses and ports are one connection in every VLAN (and in every tunnel).
    #[default]
    None,
    /// The outermost VLAN id.
    Vlan,
    /// The innermost tunnel id: VNI, GTP TEID (which differs by direction), ERSPAN session.
    Tunnel,
}

impl Domain {
    /// As the shared parser and the program know it.
    pub fn value(self) -> u32 {
        match self {
            Self::None => DOMAIN_NONE,
            Self::Vlan => DOMAIN_VLAN,
            Self::Tunnel => DOMAIN_TUNNEL,
        }
    }
}

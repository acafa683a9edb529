//! Three network namespaces in a row, removed when dropped.
//!
//! Needs root and iproute2. Sockets belong to the namespace of the thread that opened them, so [`Namespace::enter`]
//! runs a piece of work on a thread of its own and hands back what it opened.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    panic,
    path::{Path, PathBuf},
    process::{self, Command},
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

/// Names begin with this, so that leftovers can be told from everything else.
const PREFIX: &str = "rstp-";
const NETNS_DIR: &str = "/run/netns";

/// Interface of the client and of the server namespace.
pub const ENDPOINT_INTERFACE: &str = "eth0";
/// The middle's interface towards the client: receives what the client sends.
pub const CLIENT_LEG: &str = "leg-client";
/// The middle's interface towards the server: receives what the server sends.
pub const SERVER_LEG: &str = "leg-server";
/// Ethernet address of the client.
pub const CLIENT_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
/// Ethernet address of the server.
pub const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Ethernet address of nobody: frames to it are flooded and dropped.
pub const NOBODY_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x99];

/// IPv4 or IPv6.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// `IPv4` or `IPv6`.
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }

    /// Address of the client.
    pub fn client(self) -> IpAddr {
        self.host(1)
    }

    /// Address of the server.
    pub fn server(self) -> IpAddr {
        self.host(2)
    }

    /// Second address of the server, which a scenario may take away from it.
    pub fn second_server(self) -> IpAddr {
        self.host(3)
    }

    /// An address with a neighbour entry and nobody behind it.
    pub fn nobody(self) -> IpAddr {
        self.host(0x63)
    }

    fn host(self, number: u8) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::new(10, 77, 0, number).into(),
            Self::V6 => Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, u16::from(number)).into(),
        }
    }

    fn prefix_len(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }
}

/// A network namespace of our own; removed on drop.
#[derive(Debug)]
pub struct Namespace {
    name: String,
    handle: File,
}

impl Namespace {
    /// Makes one with nothing in it but the loopback interface.
    pub(crate) fn create(role: &str) -> io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{role}-{}-{number}", process::id());
        ip(&["netns", "add", &name])?;
        match File::open(Path::new(NETNS_DIR).join(&name)) {
            Ok(handle) => Ok(Self { name, handle }),
            Err(error) => {
                remove(&name);
                Err(error)
            }
        }
    }

    /// Its name, as `ip netns` lists it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread inside this namespace and returns what it returned.
    ///
    /// # Panics
    /// When `work` does: its panic goes on in the caller.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
        let inside = || {
            crate::sys::enter_network_namespace(&self.handle)?;
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join()).unwrap_or_else(|panic| panic::resume_unwind(panic))
    }

    /// Runs `ip -n <name> <words>`.
    pub fn ip(&self, words: &str) -> io::Result<String> {
        self.command("ip", words)
    }

    /// Runs `tc -n <name> <words>`.
    pub fn tc(&self, words: &str) -> io::Result<String> {
        self.command("tc", words)
    }

    fn command(&self, program: &str, words: &str) -> io::Result<String> {
        let all: Vec<&str> = ["-n", &self.name].into_iter().chain(words.split_whitespace()).collect();
        run(program, &all)
    }

    /// A pair of veth interfaces that no stack talks on by itself, with so many queues each.
    fn add_pair(&self, source: &str, sink: &str, queues: usize) -> io::Result<()> {
        let queues = format!("numtxqueues {queues} numrxqueues {queues}");
        self.ip(&format!("link add name {source} {queues} type veth peer name {sink} {queues}"))?;
        for end in [source, sink] {
            self.ip(&format!("link set {end} addrgenmode none"))?;
            self.ip(&format!("link set {end} up"))?;
        }
        Ok(())
    }
}

/// A namespace with one veth pair in it, [`SOURCE`] to [`SINK`]: for frames that no stack should see.
///
/// It has a queue for each CPU: what one CPU sends is received on the same, and several can send at once without one
/// filling the ring that another has to empty.
#[derive(Debug)]
pub struct Loop {
    /// Where both ends are.
    pub namespace: Namespace,
}

/// The end of a [`Loop`] that frames are sent from.
pub const SOURCE: &str = "source";
/// The end of a [`Loop`] that receives them.
pub const SINK: &str = "sink";

impl Loop {
    /// Builds it, after removing what dead processes left behind.
    pub fn build() -> io::Result<Self> {
        Self::with_queues(1)
    }

    /// Builds it with a queue for each CPU: what one CPU sends is received on the same, and several can send at once
    /// without one filling the ring that another has to empty. Frames of different CPUs are in no order.
    pub fn build_wide() -> io::Result<Self> {
        Self::with_queues(thread::available_parallelism()?.get())
    }

    fn with_queues(count: usize) -> io::Result<Self> {
        sweep()?;
        let namespace = Namespace::create("lo")?;
        namespace.add_pair(SOURCE, SINK, count)?;
        Ok(Self { namespace })
    }

    /// A further pair of one queue.
    pub fn add_pair(&self, source: &str, sink: &str) -> io::Result<()> {
        self.namespace.add_pair(source, sink, 1)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Client, middle and server.
///
/// ```text
///  rstp-cl-*                   rstp-mi-*                    rstp-sv-*
/// ┌────────────┐   ┌──────────────────────────────────┐   ┌────────────┐
/// │ eth0 ──────┼───┼─ leg-client ── bridge ─ leg-server ┼──┼────── eth0 │
/// │ 10.77.0.1  │   │   ▲ XDP          XDP ▲            │   │ 10.77.0.2  │
/// │ fd77::1    │   │ sees client ->   sees server ->   │   │ fd77::2    │
/// └────────────┘   └──────────────────────────────────┘   └────────────┘
/// ```
///
/// XDP sees received frames only. Attached to both legs, the probe receives each direction on one of them, exactly
/// once, like a TAP with two outputs, natively and inline. A bridge forwards, so TTLs arrive as they were sent.
///
/// Offloads: the endpoints are told to send no super-packets (`gso_max_segs 1`), so that a packet count is a count of
/// segments; veth itself turns TCP segmentation off only for XDP programs without multi-buffer support. Checksums stay
/// partial (nothing computes them on a veth), which XDP does not check. Neighbours are static: no ARP, no delay.
#[derive(Debug)]
pub struct Network {
    /// Where clients run.
    pub client: Namespace,
    /// Where the probe runs.
    pub middle: Namespace,
    /// Where servers run.
    pub server: Namespace,
}

impl Network {
    /// Builds it, after removing what dead processes left behind.
    pub fn build() -> io::Result<Self> {
        sweep()?;
        let network = Self {
            client: Namespace::create("cl")?,
            middle: Namespace::create("mi")?,
            server: Namespace::create("sv")?,
        };
        network.wire()?;
        network.address()?;
        network.introduce()?;
        Ok(network)
    }

    fn wire(&self) -> io::Result<()> {
        let middle = &self.middle;
        for (end, mac, leg) in [(&self.client, CLIENT_MAC, CLIENT_LEG), (&self.server, SERVER_MAC, SERVER_LEG)] {
            let (eth, mac, peer) = (ENDPOINT_INTERFACE, mac_text(mac), middle.name());
            end.ip(&format!("link add name {eth} address {mac} type veth peer name {leg} netns {peer}"))?;
            end.ip(&format!("link set {eth} addrgenmode none gso_max_segs 1"))?;
        }
        middle.ip("link add name bridge type bridge mcast_snooping 0")?;
        for leg in [CLIENT_LEG, SERVER_LEG] {
            middle.ip(&format!("link set {leg} master bridge addrgenmode none"))?;
            middle.ip(&format!("link set {leg} up"))?;
        }
        middle.ip("link set bridge addrgenmode none")?;
        middle.ip("link set bridge up")?;
        Ok(())
    }

    fn address(&self) -> io::Result<()> {
        for end in [&self.client, &self.server] {
            end.ip(&format!("link set {ENDPOINT_INTERFACE} up"))?;
        }
        for family in Family::BOTH {
            let len = family.prefix_len();
            for (end, address) in [
                (&self.client, family.client()),
                (&self.server, family.server()),
                (&self.server, family.second_server()),
            ] {
                let nodad = if family == Family::V6 { "nodad" } else { "" };
                end.ip(&format!("address add {address}/{len} dev {ENDPOINT_INTERFACE} {nodad}"))?;
            }
        }
        Ok(())
    }

    fn introduce(&self) -> io::Result<()> {
        for family in Family::BOTH {
            for (end, address, mac) in [
                (&self.client, family.server(), SERVER_MAC),
                (&self.client, family.second_server(), SERVER_MAC),
                (&self.client, family.nobody(), NOBODY_MAC),
                (&self.server, family.client(), CLIENT_MAC),
            ] {
                let mac = mac_text(mac);
                end.ip(&format!("neighbour add {address} lladdr {mac} nud permanent dev {ENDPOINT_INTERFACE}"))?;
            }
        }
        Ok(())
    }

    /// Adds a mirror port to the middle: whatever comes from client or server arrives, `times` times, at [`SINK`], where
    /// it ends.
    pub fn mirror(&self, times: usize) -> io::Result<()> {
        let middle = &self.middle;
        middle.add_pair(SOURCE, SINK, 1)?;
        let actions = vec![format!("action mirred egress mirror dev {SOURCE}"); times].join(" ");
        for leg in [CLIENT_LEG, SERVER_LEG] {
            middle.tc(&format!("qdisc add dev {leg} clsact"))?;
            middle.tc(&format!("filter add dev {leg} ingress protocol all prio 1 u32 match u32 0 0 {actions}"))?;
        }
        Ok(())
    }

    /// Takes the server's second address of `family` away: what is sent to it afterwards is dropped in silence.
    pub fn drop_second_server(&self, family: Family) -> io::Result<()> {
        let (address, len) = (family.second_server(), family.prefix_len());
        self.server.ip(&format!("address del {address}/{len} dev {ENDPOINT_INTERFACE}")).map(drop)
    }
}

fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

/// Names of the namespaces that this process has made and not yet removed.
pub fn remaining() -> io::Result<BTreeSet<String>> {
    let ours = |name: &String| owner(name) == Some(process::id());
    Ok(namespaces()?.into_iter().filter(ours).collect())
}

/// Removes the namespaces of processes that are gone.
pub fn sweep() -> io::Result<()> {
    for name in namespaces()? {
        if owner(&name).is_some_and(|pid| !PathBuf::from(format!("/proc/{pid}")).exists()) {
            remove(&name);
        }
    }
    Ok(())
}

fn namespaces() -> io::Result<Vec<String>> {
    match fs::read_dir(NETNS_DIR) {
        Ok(entries) => entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

/// The pid in a name of ours, `rstp-<role>-<pid>-<number>`.
fn owner(name: &str) -> Option<u32> {
    let mut parts = name.strip_prefix(PREFIX)?.split('-');
    let (_role, pid, _number) = (parts.next()?, parts.next()?, parts.next()?);
    pid.parse().ok()
}

fn remove(name: &str) {
    // Runs in drop, perhaps while unwinding: a failure is said, never a second panic.
    if let Err(error) = ip(&["netns", "del", name]) {
        crate::tier::say(&format!("cannot remove network namespace {name}: {error}"));
    }
}

/// Runs `ip <words>`.
pub(crate) fn ip(words: &[&str]) -> io::Result<String> {
    run("ip", words)
}

fn run(program: &str, words: &[&str]) -> io::Result<String> {
    let output = Command::new(program).args(words).output()?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("`{program} {}` failed: {said}", words.join(" "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_ours_have_an_owner() {
        assert_eq!(owner("rstp-cl-123-0"), Some(123));
        assert_eq!(owner("rstp-cl-123"), None);
        assert_eq!(owner("rstp-cl-x-0"), None);
        assert_eq!(owner("other-cl-123-0"), None);
    }
}

//! The zoo's network: client, router, a line of five milliseconds each way, server; removed when dropped.
//!
//! ```text
//!  client                router                       line                     server
//! ┌───────────┐  ┌─────────────────────────┐  ┌─────────────────────┐  ┌───────────┐
//! │ eth0 ─────┼──┼─ leg-client  leg-server ┼──┼─ near ··5 ms·· far ─┼──┼───── eth0 │
//! │ 10.66.1.1 │  │ .1.254           .2.254 │  │                     │  │ 10.66.2.2 │
//! │ fd66:1::1 │  │                         │  │                     │  │ fd66:2::2 │
//! └───────────┘  └─────────────────────────┘  └─────────────────────┘  └───────────┘
//! ```
//!
//! The line is two packet sockets and a queue each way: kernels without `sch_netem` play the zoo as well. The router is a
//! hop before it, so that a firewall there answers its clients at once. Offloads are off, checksums too: frames are as on a
//! wire.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{
    netns::{self, ENDPOINT_INTERFACE, Namespace},
    pcap::Random,
    sys::{self, Outlet, Tap},
    tier,
};

/// The way through the line, in one direction.
pub const ONE_WAY: Duration = Duration::from_millis(5);
/// Longer than any frame here.
const FRAME: usize = 2048;
/// IPv4 and IPv6 address of the client.
pub const CLIENT: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 66, 1, 1)), IpAddr::V6(Ipv6Addr::new(0xfd66, 1, 0, 0, 0, 0, 0, 1))];
/// IPv4 and IPv6 address of the server.
pub const SERVER: [IpAddr; 2] =
    [IpAddr::V4(Ipv4Addr::new(10, 66, 2, 2)), IpAddr::V6(Ipv6Addr::new(0xfd66, 2, 0, 0, 0, 0, 0, 2))];

/// The namespaces, and the line between two of them.
#[derive(Debug)]
pub struct ZooNetwork {
    /// Where clients run.
    pub client: Namespace,
    /// Between the two; firewalls run here.
    pub router: Namespace,
    /// Where servers run.
    pub server: Namespace,
    /// The one CPU on which everything is sent: what a veth carries waits in a queue of the CPU that sent it, and two of
    /// them would put segments out of order that no wire does.
    pub cpu: usize,
    line: Namespace,
    delays: Vec<Delay>,
}

impl ZooNetwork {
    /// Builds it, after removing what dead processes left behind. The line loses so many of a hundred frames each way.
    ///
    /// # Errors
    /// When a program of iproute2 or ethtool is missing or refuses.
    pub fn build(loss_percent: u8) -> io::Result<Self> {
        netns::sweep()?;
        let [client, router, line, server] = ["zc", "zr", "zl", "zs"].map(Namespace::create);
        let mut network = Self {
            client: client?,
            router: router?,
            line: line?,
            server: server?,
            cpu: sys::current_cpu()?,
            delays: vec![],
        };
        for namespace in [&network.client, &network.router, &network.line, &network.server] {
            // A link-local address that may be used at once.
            namespace.enter(|| fs::write("/proc/sys/net/ipv6/conf/default/accept_dad", "0"))?;
        }
        network.wire()?;
        network.address()?;
        network.route()?;
        let line = |from, to| Delay::between(&network, from, to, loss_percent);
        let delays = vec![line("near", "far")?, line("far", "near")?];
        network.delays = delays;
        Ok(network)
    }

    fn wire(&self) -> io::Result<()> {
        let (router, line, eth) = (&self.router, &self.line, ENDPOINT_INTERFACE);
        join(&self.client, eth, router, "leg-client")?;
        join(router, "leg-server", line, "near")?;
        join(line, "far", &self.server, eth)
    }

    fn address(&self) -> io::Result<()> {
        for (namespace, interface, addresses) in [
            (&self.client, ENDPOINT_INTERFACE, ["10.66.1.1/24", "fd66:1::1/64"]),
            (&self.router, "leg-client", ["10.66.1.254/24", "fd66:1::fe/64"]),
            (&self.router, "leg-server", ["10.66.2.254/24", "fd66:2::fe/64"]),
            (&self.server, ENDPOINT_INTERFACE, ["10.66.2.2/24", "fd66:2::2/64"]),
        ] {
            namespace.ip("link set lo up")?;
            namespace.ip(&format!("address add {} dev {interface}", addresses[0]))?;
            namespace.ip(&format!("address add {} dev {interface} nodad", addresses[1]))?;
        }
        Ok(())
    }

    fn route(&self) -> io::Result<()> {
        self.router.enter(|| {
            fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
            fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
        })?;
        for (end, gateways) in
            [(&self.client, ["10.66.1.254", "fd66:1::fe"]), (&self.server, ["10.66.2.254", "fd66:2::fe"])]
        {
            end.ip(&format!("route add default via {}", gateways[0]))?;
            end.ip(&format!("-6 route add default via {}", gateways[1]))?;
        }
        Ok(())
    }

    /// Ends, by pid, every process that is still in one of the namespaces.
    pub fn end_processes(&self) {
        for namespace in [&self.client, &self.router, &self.server] {
            for pid in processes(namespace) {
                if let Some(pid) = rustix::process::Pid::from_raw(pid)
                    && rustix::process::kill_process(pid, rustix::process::Signal::KILL).is_err()
                {
                    // Ended by itself in the meantime.
                }
            }
        }
    }
}

impl Drop for ZooNetwork {
    fn drop(&mut self) {
        self.end_processes();
        self.delays.clear();
    }
}

fn processes(namespace: &Namespace) -> Vec<i32> {
    let listed = netns::ip(&["netns", "pids", namespace.name()]).unwrap_or_default();
    // Our own threads enter namespaces too.
    let own = std::process::id().cast_signed();
    listed.lines().filter_map(|line| line.trim().parse().ok()).filter(|&pid| pid != own).collect()
}

/// A veth pair between two namespaces, without offloads.
fn join(left: &Namespace, left_name: &str, right: &Namespace, right_name: &str) -> io::Result<()> {
    left.ip(&format!("link add name {left_name} type veth peer name {right_name} netns {}", right.name()))?;
    for (namespace, name) in [(left, left_name), (right, right_name)] {
        namespace.ip(&format!("link set {name} up"))?;
        namespace.enter(|| without_offloads(name))?;
    }
    Ok(())
}

fn without_offloads(interface: &str) -> io::Result<()> {
    let words = ["gro", "off", "gso", "off", "tso", "off", "tx", "off", "rx", "off"];
    let output =
        Command::new("ethtool").args(["-K", interface]).args(words).output().map_err(|error| {
            io::Error::new(error.kind(), format!("ethtool: {error}; `cargo xtask setup` installs it"))
        })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(io::Error::other(format!("`ethtool -K {interface}` failed: {said}")))
}

/// One direction of the line.
#[derive(Debug)]
struct Delay {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Delay {
    fn between(network: &ZooNetwork, from: &str, to: &str, loss_percent: u8) -> io::Result<Self> {
        let cpu = network.cpu;
        let (tap, outlet) = network.line.enter(|| Ok((Tap::open(from)?, Outlet::open(to)?)))?;
        let stop = Arc::new(AtomicBool::new(false));
        let (sender, frames) = channel();
        let stopped = Arc::clone(&stop);
        let receive = thread::spawn(move || {
            let mut buffer = [0; FRAME];
            let mut random = Random::new(u64::from(loss_percent));
            while !stopped.load(Ordering::Relaxed) {
                match tap.receive(&mut buffer) {
                    Ok(Some(_)) if random.below(100) < usize::from(loss_percent) => {}
                    Ok(Some(frame)) if sender.send((Instant::now() + ONE_WAY, frame.to_vec())).is_err() => return,
                    Ok(_) => {}
                    Err(error) => return tier::say(&format!("the line does not receive: {error}")),
                }
            }
        });
        let send = thread::spawn(move || match sys::pin_to_cpu(cpu) {
            Ok(()) => deliver(&frames, &outlet),
            Err(error) => tier::say(&format!("the line's sender cannot stay on CPU {cpu}: {error}")),
        });
        Ok(Self { stop, threads: vec![receive, send] })
    }
}

/// Sends each frame when its time has come, until the receiving side is gone.
fn deliver(frames: &Receiver<(Instant, Vec<u8>)>, outlet: &Outlet) {
    while let Ok((due, frame)) = frames.recv() {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if let Err(error) = outlet.send(&frame) {
            tier::say(&format!("the line does not send: {error}"));
        }
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            if thread.join().is_err() {
                tier::say("a thread of the line panicked");
            }
        }
    }
}

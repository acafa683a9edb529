//! Wire counts: what passed on each leg, counted by packet sockets beside the probe.
//!
//! Data segments are not compared: the kernel may merge them (GRO) between the XDP hook and the packet socket. It never
//! merges two segments with SYN, FIN or RST.

use std::{
    collections::BTreeMap,
    io,
    net::{IpAddr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use serde_json::Value;

use crate::{
    netns::{CLIENT_LEG, Namespace, SERVER_LEG},
    sys::Tap,
};

/// Sender and receiver.
type Way = (SocketAddr, SocketAddr);

/// SYN, SYN-ACK, FIN and RST segments, by way.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Truth {
    counts: BTreeMap<Way, [u64; 4]>,
}

const NAMES: [&str; 4] = ["syn", "syn_ack", "fin", "rst"];

/// Packet sockets that listen.
#[derive(Debug)]
pub struct Wire {
    stop: Arc<AtomicBool>,
    readers: Vec<JoinHandle<io::Result<Truth>>>,
}

impl Wire {
    /// Begins to listen on both legs of the middle namespace.
    pub fn listen(middle: &Namespace) -> io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut readers = vec![];
        for leg in [CLIENT_LEG, SERVER_LEG] {
            let tap = middle.enter(|| Tap::open(leg))?;
            let stop = Arc::clone(&stop);
            readers.push(thread::spawn(move || read(&tap, &stop)));
        }
        Ok(Self { stop, readers })
    }

    /// Ends it and returns what both legs have received.
    ///
    /// # Errors
    /// When a frame was lost on the way here, so that this is not the truth.
    ///
    /// # Panics
    /// When a reader did.
    pub fn stop(self) -> io::Result<Truth> {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Truth::default();
        for reader in self.readers {
            for (way, counts) in reader.join().expect("a reader panicked")?.counts {
                let entry = sum.counts.entry(way).or_default();
                entry.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
            }
        }
        Ok(sum)
    }
}

fn read(tap: &Tap, stop: &AtomicBool) -> io::Result<Truth> {
    let mut truth = Truth::default();
    let mut buffer = vec![0; 70_000];
    loop {
        // Looked at first, so that whatever came before the stop is still read.
        let last = stop.load(Ordering::Relaxed);
        match tap.receive(&mut buffer)? {
            Some(frame) => truth.add(frame),
            None if last => break,
            None => {}
        }
    }
    match tap.dropped()? {
        0 => Ok(truth),
        lost => Err(io::Error::other(format!("a packet socket lost {lost} frames"))),
    }
}

impl Truth {
    fn add(&mut self, frame: &[u8]) {
        let Ok(SlicedPacket { net: Some(net), transport: Some(TransportSlice::Tcp(tcp)), .. }) =
            SlicedPacket::from_ethernet(frame)
        else {
            return;
        };
        let (from, to): (IpAddr, IpAddr) = match net {
            NetSlice::Ipv4(ip) => (ip.header().source().into(), ip.header().destination().into()),
            NetSlice::Ipv6(ip) => (ip.header().source().into(), ip.header().destination().into()),
            NetSlice::Arp(_) => return,
        };
        let flags = [tcp.syn() && !tcp.ack(), tcp.syn() && tcp.ack(), tcp.fin(), tcp.rst()];
        if flags.contains(&true) {
            let way = ((from, tcp.source_port()).into(), (to, tcp.destination_port()).into());
            let entry = self.counts.entry(way).or_default();
            entry.iter_mut().zip(flags).for_each(|(count, flag)| *count += u64::from(flag));
        }
    }

    /// Control segments seen.
    pub fn segments(&self) -> u64 {
        self.counts.values().flatten().sum()
    }

    /// Where the probe's snapshot counts differently, way by way; also when there is nothing to compare.
    pub fn differences(&self, snapshot: &Value) -> Vec<String> {
        let said = said(snapshot);
        if self.counts.is_empty() {
            return vec!["the packet sockets saw nothing".to_owned()];
        }
        let ways: std::collections::BTreeSet<&Way> = self.counts.keys().chain(said.keys()).collect();
        let mut differences = vec![];
        for way in ways {
            let at = |counts: &BTreeMap<Way, [u64; 4]>| counts.get(way).copied().unwrap_or_default();
            let (truth, said) = (at(&self.counts), at(&said));
            for ((name, truth), said) in NAMES.iter().zip(truth).zip(said) {
                if truth != said {
                    differences.push(format!("{} -> {}: {said} {name} instead of {truth}", way.0, way.1));
                }
            }
        }
        differences
    }
}

/// The same counts as the probe's records have them; records of one way are added up.
fn said(snapshot: &Value) -> BTreeMap<Way, [u64; 4]> {
    let end = |value: &Value| -> Option<SocketAddr> {
        let ip: IpAddr = value["addr"].as_str()?.parse().ok()?;
        Some((ip, u16::try_from(value["port"].as_u64()?).ok()?).into())
    };
    let mut counts: BTreeMap<Way, [u64; 4]> = BTreeMap::new();
    for record in snapshot["connections"].as_array().into_iter().flatten() {
        let (Some(client), Some(server)) = (end(&record["client"]), end(&record["server"])) else { continue };
        for (way, side) in [((client, server), "from_client"), ((server, client), "from_server")] {
            let entry = counts.entry(way).or_default();
            entry.iter_mut().zip(NAMES).for_each(|(sum, name)| *sum += record[side][name].as_u64().unwrap_or(0));
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        frame::{Station, TcpFrame},
        netns::{CLIENT_MAC, Family, SERVER_MAC},
    };

    #[test]
    fn equal_counts_do_not_differ_and_others_do() {
        let from = Station { mac: CLIENT_MAC, ip: Family::V6.client(), port: 4000 };
        let to = Station { mac: SERVER_MAC, ip: Family::V6.server(), port: 80 };
        let mut truth = Truth::default();
        truth.add(&TcpFrame::new(from, to, 7).syn().bytes().unwrap());
        truth.add(&TcpFrame::new(to, from, 7).rst().ack(8).bytes().unwrap());
        assert_eq!(truth.segments(), 2);
        let snapshot = |syn, rst| {
            json!({ "connections": [{
                "client": { "addr": "fd77::1", "port": 4000 }, "server": { "addr": "fd77::2", "port": 80 },
                "from_client": { "syn": syn, "syn_ack": 0, "fin": 0, "rst": 0 },
                "from_server": { "syn": 0, "syn_ack": 0, "fin": 0, "rst": rst },
            }] })
        };
        assert_eq!(truth.differences(&snapshot(1, 1)), Vec::<String>::new());
        assert_eq!(truth.differences(&snapshot(2, 1)), ["[fd77::1]:4000 -> [fd77::2]:80: 2 syn instead of 1"]);
        assert_eq!(truth.differences(&snapshot(1, 0)), ["[fd77::2]:80 -> [fd77::1]:4000: 0 rst instead of 1"]);
        assert_eq!(truth.differences(&json!({ "connections": [] })).len(), 2);
        assert_eq!(Truth::default().differences(&snapshot(1, 1)).len(), 1);
    }
}

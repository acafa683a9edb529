//! Hash flood: flows by somebody who has read the hash of flows and not its seed, and would have them all in a few buckets.
//!
//! What such a person can do is to count in a field, to change bits where a product may not carry them on, to have changes
//! cancel each other, or to guess a seed and to choose flows that lie together by it, one by one or in all combinations of
//! differences that keep the bucket by it. All of it is put into frames as they come from a network.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use probe_ebpf::layout::{Endpoint, FROM_HI, FlowKey, Segment};

use crate::{
    frame::{Station, TcpFrame},
    netns::{CLIENT_MAC, SERVER_MAC},
    pcap::Random,
};

/// Seeds that somebody may guess: none at all, and that of the tests.
const GUESSES: [u64; 3] = [0, 1, 0x243f_6a88_85a3_08d3];
/// By a guessed seed the flows lie in one of so many parts of the table.
const PARTS: u64 = 64;

/// Client and server of a flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Flow {
    client: (u128, u16),
    server: (u128, u16),
}

const V4: u128 = 0xffff_0000_0000;
const V6: u128 = 0x2001_0db8 << 96;

impl Flow {
    fn v4(client: u32, port: u16) -> Self {
        Self { client: (V4 | u128::from(client), port), server: (V4 | 0xc000_0201, 443) }
    }

    fn v6(client: u128) -> Self {
        Self { client: (V6 | client, 40_000), server: (V6 | 1 << 95 | 1, 443) }
    }

    /// Its key.
    pub fn key(&self) -> FlowKey {
        FlowKey::normalised(endpoint(self.client), endpoint(self.server), 0).0
    }

    /// A segment of the client with these flags.
    pub fn segment(&self, flags: u16, time_ns: u64) -> Segment {
        let (key, from_hi) = FlowKey::normalised(endpoint(self.client), endpoint(self.server), 0);
        let mut segment = Segment { key, ..Segment::default() };
        segment.record.time_ns = time_ns;
        segment.record.flags = flags | if from_hi { FROM_HI } else { 0 };
        segment.record.header_len = 40;
        segment
    }

    /// A frame of the client, of sequence number `seq` and without flags.
    pub fn frame(&self, seq: u32) -> TcpFrame {
        let station = |mac, (address, port): (u128, u16)| Station { mac, ip: ip(address), port };
        TcpFrame::new(station(CLIENT_MAC, self.client), station(SERVER_MAC, self.server), seq)
    }
}

fn ip(address: u128) -> IpAddr {
    let v6 = Ipv6Addr::from(address);
    v6.to_ipv4_mapped().map_or(IpAddr::V6(v6), IpAddr::V4)
}

fn endpoint((address, port): (u128, u16)) -> Endpoint {
    Endpoint::from_octets(address.to_be_bytes(), port)
}

/// So many flows that have nothing in common but that they are IPv4: what chance does.
pub fn by_chance(count: u32, seed: u64) -> Vec<Flow> {
    let mut random = Random::new(seed);
    let address = |random: &mut Random| V4 | u128::from(Ipv4Addr::from(random.next_u64() as u32).to_bits());
    let one = |_| Flow {
        client: (address(&mut random), random.next_u64() as u16),
        server: (address(&mut random), random.next_u64() as u16),
    };
    (0..count).map(one).collect()
}

/// All ways, so many flows of each (at most 60,000), by name.
pub fn all(count: u32) -> Vec<(String, Vec<Flow>)> {
    let each = |make: &dyn Fn(u32) -> Flow| (0..count).map(make).collect::<Vec<_>>();
    let wide = |i: u32| u128::from(i);
    let mut sets: Vec<(String, Vec<Flow>)> = [
        ("ports of one client", each(&|i| Flow::v4(0x0a00_0001, 1024 + i as u16))),
        ("IPv4 clients in order", each(&|i| Flow::v4(0x0a00_0000 + i, 40_000))),
        ("clients by ports", each(&|i| Flow::v4(0x0a00_0000 + i % 256, 40_000 + (i / 256) as u16))),
        ("addresses in the upper bits", each(&|i| Flow::v4(0x0a00_0001 ^ i << 12, 40_000))),
        ("hosts of a /64", each(&|i| Flow::v6(wide(i)))),
        ("/64 networks", each(&|i| Flow::v6(wide(i) << 64))),
        ("last bits of network and host", each(&|i| Flow::v6(wide(i % 1024) << 64 | wide(i / 1024)))),
        ("first bits of the host", each(&|i| Flow::v6(wide(i) << 48 & u128::from(u64::MAX)))),
        ("network up and host down", each(&|i| Flow::v6(wide(i) << 64 | wide(u32::MAX - i)))),
        ("client and server alike", each(&|i| Flow { server: (V6 | 1 << 95 | wide(i), 443), ..Flow::v6(wide(i)) })),
    ]
    .into_iter()
    .map(|(name, flows)| (name.to_owned(), flows))
    .collect();
    for guess in GUESSES {
        sets.push((format!("together by seed {guess:#x}"), together(count, guess)));
        sets.push((format!("differences that cancel by seed {guess:#x}"), cancelling(count, guess)));
    }
    sets
}

/// The part of the table that a flow lies in by a seed: the lower bits of the hash choose the bucket.
fn part(flow: &Flow, seed: u64) -> u64 {
    flow.key().hash(seed) % PARTS
}

/// Flows that lie in one part by a seed.
pub fn together(count: u32, seed: u64) -> Vec<Flow> {
    let candidates = (0..u32::MAX).map(|i| Flow::v4(0x0a00_0000 + i % (1 << 20), 1024 + (i >> 20) as u16));
    candidates.filter(|flow| part(flow, seed) == 0).take(count as usize).collect()
}

/// Flows that differ from one by any combination of differences each of which keeps the part by a seed.
fn cancelling(count: u32, seed: u64) -> Vec<Flow> {
    let base = Flow::v6(7);
    let home = part(&base, seed);
    let changed = |difference: u128| Flow { client: (base.client.0 ^ difference, base.client.1), ..base };
    let mut differences: Vec<u128> = vec![];
    let mut random = Random::new(seed);
    while 1_u32 << differences.len() < count {
        let word = u128::from(random.next_u64());
        // In network and host at once, and not in what makes it an address of documentation.
        let difference = word & 0xffff_ffff | (word >> 32) << 64;
        if part(&changed(difference), seed) == home {
            differences.push(difference);
        }
    }
    let combined = |i: u32| {
        let chosen = differences.iter().enumerate().filter(|(bit, _)| i >> bit & 1 == 1);
        changed(chosen.fold(0, |all, (_, difference)| all ^ difference))
    };
    (0..count).map(combined).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_set_has_as_many_flows_as_asked_for_and_none_twice() {
        for (name, flows) in all(4096) {
            let keys: BTreeSet<FlowKey> = flows.iter().map(Flow::key).collect();
            assert_eq!((flows.len(), keys.len()), (4096, 4096), "{name}");
        }
    }

    #[test]
    fn who_knows_the_seed_has_them_together() {
        let flows = together(1000, 5);
        assert!(flows.iter().all(|flow| part(flow, 5) == 0));
        let by_another: BTreeSet<u64> = flows.iter().map(|flow| part(flow, 6)).collect();
        assert_eq!(by_another.len() as u64, PARTS);
    }

    #[test]
    fn frames_are_of_their_flow() {
        let frame = Flow::v6(9).frame(1).syn().bytes().expect("a frame");
        let reader = probe_ebpf::parse::SliceReader::whole(&frame);
        let located = probe_ebpf::parse::locate(&reader).expect("TCP");
        let segment = probe_ebpf::parse::segment(&reader, &located, 0, 0).expect("a segment");
        assert_eq!(segment.key, Flow::v6(9).key());
    }
}

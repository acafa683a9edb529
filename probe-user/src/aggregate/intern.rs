//! Interning: numbers addresses and services in the order of their first connection.
//!
//! Every connection is looked up here more than once, so ends are compared as words, and a place in the table holds what
//! there is of an IPv4 end: which one it is need not be fetched from elsewhere. Must not know what is kept by number.

use std::{
    hash::BuildHasher,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

/// An address, or an address and a port.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct End {
    /// An IPv4 address in the upper half; below, the bits that follow and the port.
    word: u64,
    /// An IPv6 address, in halves.
    v6: [u64; 2],
}

/// Set for IPv6: a mapped address is not the one that it maps.
const V6: u64 = 1 << 16;
/// Set where there is a port.
const SERVICE: u64 = 1 << 17;

impl From<IpAddr> for End {
    #[inline]
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self { word: u64::from(address.to_bits()) << 32, v6: [0; 2] },
            IpAddr::V6(address) => {
                let bits = address.to_bits();
                Self { word: V6, v6: [(bits >> 64) as u64, bits as u64] }
            }
        }
    }
}

impl From<SocketAddr> for End {
    #[inline]
    fn from(service: SocketAddr) -> Self {
        match service {
            SocketAddr::V4(service) => {
                let address = u64::from(service.ip().to_bits()) << 32;
                Self { word: address | SERVICE | u64::from(service.port()), v6: [0; 2] }
            }
            SocketAddr::V6(service) => {
                let end = Self::from(IpAddr::V6(*service.ip()));
                Self { word: end.word | SERVICE | u64::from(service.port()), ..end }
            }
        }
    }
}

impl End {
    /// Its address.
    pub(super) fn ip(self) -> IpAddr {
        let [upper, lower] = self.v6;
        if self.word & V6 == 0 {
            Ipv4Addr::from_bits((self.word >> 32) as u32).into()
        } else {
            Ipv6Addr::from_bits(u128::from(upper) << 64 | u128::from(lower)).into()
        }
    }

    /// What its place in the table has of it; all that there is where it is an IPv4 end.
    #[inline(always)]
    fn key(&self, hash: u64) -> u64 {
        if self.word & V6 == 0 { self.word } else { self.word | hash >> 32 << 32 }
    }

    /// Its port, if it is a service.
    pub(super) fn port(self) -> Option<u16> {
        (self.word & SERVICE != 0).then_some(self.word as u16)
    }
}

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Interned {
    /// Open addressing with linear probing, a power of two, at most half of them taken.
    table: Vec<Place>,
    ends: Vec<End>,
    seeds: [u64; 2],
}

/// Where an end may be in the table.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// Its word, for IPv6 with half a hash in the upper half.
    key: u64,
    number: u32,
}

const EMPTY: Place = Place { key: 0, number: u32::MAX };
const FEWEST: usize = 16;

impl Default for Interned {
    fn default() -> Self {
        // Who makes connections chooses their addresses: without a seed he could choose them to collide.
        let random = foldhash::fast::RandomState::default();
        let seeds = [random.hash_one(0_u64) | 1, random.hash_one(1_u64) | 1];
        Self { table: vec![EMPTY; FEWEST], ends: Vec::new(), seeds }
    }
}

impl Interned {
    /// The number of `end`.
    #[inline(always)]
    pub(super) fn find(&self, end: &End) -> Option<u32> {
        let hash = self.hash(end);
        let key = end.key(hash);
        let mut at = hash as usize;
        loop {
            let place = self.table.get(at & (self.table.len() - 1))?;
            if place.number == EMPTY.number {
                return None;
            }
            if place.key == key && (end.word & V6 == 0 || self.ends.get(place.number as usize) == Some(end)) {
                return Some(place.number);
            }
            at += 1;
        }
    }

    /// Gives the next number to an end that has none.
    pub(super) fn add(&mut self, end: End) -> u32 {
        if (self.ends.len() + 1) * 2 > self.table.len() {
            self.table = vec![EMPTY; self.table.len() * 2];
            (0..self.ends.len()).for_each(|number| self.put(number as u32));
        }
        let number = self.ends.len() as u32;
        self.ends.push(end);
        self.put(number);
        number
    }

    fn put(&mut self, number: u32) {
        let hash = self.hash(&self.ends[number as usize]);
        let mask = self.table.len() - 1;
        let mut at = hash as usize & mask;
        while self.table[at].number != EMPTY.number {
            at = (at + 1) & mask;
        }
        self.table[at] = Place { key: self.ends[number as usize].key(hash), number };
    }

    /// Halves of 128-bit products, folded, as in wyhash. Twice, also for IPv4: addresses that follow each other must not
    /// crowd together.
    #[inline(always)]
    fn hash(&self, end: &End) -> u64 {
        let [seed, factor] = self.seeds;
        let [upper, lower] = end.v6;
        fold(upper ^ fold(end.word ^ seed, factor), lower ^ seed)
    }

    /// Those with a number, by number.
    pub(super) fn ends(&self) -> &[End] {
        &self.ends
    }
}

#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_end_has_the_number_of_its_turn() {
        let services = |address: &str| {
            let address: IpAddr = address.parse().expect("an address");
            (1..3000_u16).map(move |port| End::from(SocketAddr::new(address, port)))
        };
        let mut ends: Vec<_> =
            ["10.0.0.1", "10.0.0.2", "::ffff:10.0.0.1", "2001:db8::1"].map(services).into_iter().flatten().collect();
        ends.extend((0..5000).map(|bits| End::from(IpAddr::from(Ipv4Addr::from_bits(bits << 12)))));
        ends.extend((0..5000).map(|bits| End::from(IpAddr::from(Ipv6Addr::from_bits(bits << 80)))));
        let mut places = Interned::default();
        for (number, end) in ends.iter().enumerate() {
            assert_eq!(places.find(end), None, "{end:?}");
            assert_eq!(places.add(*end), number as u32);
        }
        for (number, end) in ends.iter().enumerate() {
            assert_eq!(places.find(end), Some(number as u32));
        }
        assert_eq!(places.ends(), ends);
    }

    /// An address whose lower half is the seed has the hash 0, whatever its upper half is.
    #[test]
    fn ends_of_the_same_hash_are_not_taken_for_each_other() {
        let mut places = Interned::default();
        let lower = u128::from(places.seeds[0]);
        let ends = [1, 2, 3].map(|upper: u128| End::from(IpAddr::from(Ipv6Addr::from_bits(upper << 64 | lower))));
        for (number, end) in ends.iter().enumerate() {
            assert_eq!((places.hash(end), end.key(0)), (0, ends[0].key(0)));
            assert_eq!(places.find(end), None);
            assert_eq!(places.add(*end), number as u32);
        }
        assert_eq!(ends.map(|end| places.find(&end)), [Some(0), Some(1), Some(2)]);
    }

    #[test]
    fn an_end_says_what_it_was_made_of() {
        for text in ["10.0.0.1:80", "0.0.0.0:0", "[2001:db8::1]:443", "[::ffff:10.0.0.1]:65535"] {
            let service: SocketAddr = text.parse().expect("an address and a port");
            let end = End::from(service);
            assert_eq!((end.ip(), end.port()), (service.ip(), Some(service.port())));
            let host = End::from(service.ip());
            assert_eq!((host.ip(), host.port()), (service.ip(), None));
        }
    }

    #[test]
    fn ends_that_are_alike_share_few_places() {
        let places = Interned::default();
        let mut taken = std::collections::BTreeSet::new();
        for number in 0..16_384_u32 {
            let address = IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + number % 4096));
            let hash = places.hash(&End::from(SocketAddr::new(address, (80 + number / 4096) as u16)));
            taken.insert(hash & 0x7fff);
        }
        // 2^15 places, half as many thrown: about 12,890 are hit.
        assert!((12_500..13_300).contains(&taken.len()), "{}", taken.len());
    }
}

//! Hash tests: keys that are alike fall into buckets as if thrown at random, whatever it is that they share.

extern crate std;

use std::{format, string::String, vec, vec::Vec};

use super::*;
use crate::layout::BUCKET_ENTRIES;

const KEYS: u64 = 1 << 14;
/// As many as there are for twice as many slots as keys.
const BUCKETS: usize = 1 << 11;
const SEEDS: u64 = 10;

fn v4(address: u64, port: u64) -> Endpoint {
    Endpoint::v4((address as u32).to_be(), port as u16)
}

/// An IPv6 address by its halves, as they are written.
fn v6(network: u64, host: u64) -> Endpoint {
    Endpoint { a: network.to_be(), b: host.to_be(), port: 40_000 }
}

fn key(client: Endpoint, server: Endpoint, domain: u64) -> FlowKey {
    FlowKey::normalised(client, server, domain as u32).0
}

/// What scanners, spoofers and ordinary networks make.
fn ordinary() -> Vec<(String, Vec<FlowKey>)> {
    const NET: u64 = 0x2001_0db8_0000_0000;
    let server = v4(0xc000_0201, 443);
    let server6 = Endpoint { port: 443, ..v6(0x2001_0db8_ffff_0001, 1) };
    let all = |each: &dyn Fn(u64) -> FlowKey| (0..KEYS).map(each).collect::<Vec<_>>();
    vec![
        ("ports of a client", all(&|i| key(v4(0x0a00_0001, 1024 + i), server, 0))),
        ("ports of a server", all(&|i| key(v4(0x0a00_0001, 40_000), v4(0xc000_0201, i), 0))),
        ("IPv4 clients", all(&|i| key(v4(0x0a00_0000 + i, 40_000), server, 0))),
        ("clients by ports", all(&|i| key(v4(0x0a00_0000 + i % 256, 40_000 + i / 256), server, 0))),
        ("clients by servers", all(&|i| key(v4(0x0a00_0000 + i % 128, 40_000), v4(0xc000_0200 + i / 128, 80), 0))),
        ("domains", all(&|i| key(v4(0x0a00_0001, 40_000), server, i))),
        ("hosts of a /64", all(&|i| key(v6(NET, i), server6, 0))),
        ("/64 networks", all(&|i| key(v6(NET + i, 1), server6, 0))),
        ("/48 networks", all(&|i| key(v6(NET + (i << 16), 1), server6, 0))),
        ("networks and hosts", all(&|i| key(v6(NET + i % 128, i / 128), server6, 0))),
    ]
    .into_iter()
    .map(|(name, keys)| (name.into(), keys))
    .collect()
}

/// What somebody makes who has read the hash: differences where a product may not carry them on.
fn constructed() -> Vec<(String, Vec<FlowKey>)> {
    let base = key(v6(0x2001_0db8_0000_0001, 7), Endpoint { port: 443, ..v6(0x2001_0db8_0000_0002, 9) }, 0);
    let all = |change: &dyn Fn(u64, &mut [u64; 5])| {
        let changed = |i| {
            let mut key = base;
            change(i, &mut key.words);
            key
        };
        (0..KEYS).map(changed).collect::<Vec<_>>()
    };
    let mut sets = vec![(
        "top 10 bits of word 0, top 4 of word 2".into(),
        all(&|i, words| {
            words[0] ^= i << 54;
            words[2] ^= i >> 10 << 60;
        }),
    )];
    for one in 0..5 {
        for shift in [0, 16, 25, 32, 40, 50] {
            sets.push((format!("word {one} from bit {shift}"), all(&|i, words| words[one] ^= i << shift)));
        }
        for other in one + 1..5 {
            for shift in [0, 25, 57] {
                let name = format!("words {one} and {other}, 7 bits each from bit {shift}");
                let change = |i: u64, words: &mut [u64; 5]| {
                    words[one] ^= (i % 128) << shift;
                    words[other] ^= (i / 128) << shift;
                };
                sets.push((name, all(&change)));
            }
            let opposed = |i: u64, words: &mut [u64; 5]| {
                words[one] = words[one].wrapping_add(i << 20);
                words[other] = words[other].wrapping_sub(i << 20);
            };
            sets.push((format!("words {one} and {other}, one up and one down"), all(&opposed)));
        }
    }
    sets
}

/// Seeds as they are drawn: any.
fn seeds() -> impl Iterator<Item = u64> {
    let next =
        |seed: &u64| Some((seed ^ seed >> 29).wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f));
    core::iter::successors(Some(0x243f_6a88_85a3_08d3), next).take(SEEDS as usize)
}

/// How uneven buckets are, in standard deviations of chi squared, and keys that find theirs full.
fn unevenness(bucket_of: impl Iterator<Item = usize>) -> (f64, u64) {
    let mut counts = vec![0_u64; BUCKETS];
    bucket_of.for_each(|bucket| counts[bucket] += 1);
    let (mean, freedom) = (KEYS as f64 / BUCKETS as f64, (BUCKETS - 1) as f64);
    let chi: f64 = counts.iter().map(|&count| (count as f64 - mean) * (count as f64 - mean) / mean).sum();
    let overflow = counts.iter().map(|count| count.saturating_sub(BUCKET_ENTRIES as u64)).sum();
    ((chi - freedom) / (2.0 * freedom).sqrt(), overflow)
}

#[test]
fn no_pattern_of_keys_is_a_pattern_of_buckets() {
    for (name, keys) in ordinary().into_iter().chain(constructed()) {
        let mut overflow = 0;
        for seed in seeds() {
            let hashes: Vec<u64> = keys.iter().map(|key| key.hash(seed)).collect();
            // The bits that choose the bucket, and those that tell its entries apart.
            for shift in [0, 53] {
                let buckets = hashes.iter().map(|hash| (hash >> shift) as usize % BUCKETS);
                let (deviation, full) = unevenness(buckets);
                assert!(deviation < 6.0, "{name}, seed {seed:#x}, from bit {shift}: {deviation}");
                overflow += if shift == 0 { full } else { 0 };
            }
        }
        // By chance 31 of 16,384 find their bucket of 15 full, with eight per bucket on average (Poisson).
        let per_seed = overflow / SEEDS;
        assert!(per_seed < 45, "{name}: {per_seed} keys overflow");
    }
}

#[test]
fn keys_that_differ_hardly_ever_share_a_hash() {
    for (name, keys) in ordinary().into_iter().chain(constructed()) {
        for seed in seeds().take(3) {
            let mut hashes: Vec<u64> = keys.iter().map(|key| key.hash(seed)).collect();
            hashes.sort_unstable();
            hashes.dedup();
            assert_eq!(hashes.len() as u64, KEYS, "{name}, seed {seed:#x}");
        }
    }
}

//! Flow hash: 64 bits of a key and a seed, mixed so that two keys hardly ever share them.

use probe_ebpf::layout::FlowKey;

/// What a seed gives to each product, made once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Secrets([u64; 4]);

impl Secrets {
    /// Those of a seed; the constants are wyhash's own.
    pub(crate) fn of(seed: u64) -> Self {
        let turned = seed.rotate_left(32);
        Self([
            seed ^ 0xa076_1d64_78bd_642f,
            turned ^ 0xe703_7ed1_a0b4_28db,
            seed ^ 0x8ebc_6af0_9c88_c6e3,
            turned ^ 0x5899_65cc_7537_4cc3,
        ])
    }

    /// Hash of a key. The one of the data plane will not do here: it has to make do without wide products, and keys that
    /// differ in a few bits of both addresses may share all of its 64 bits.
    #[inline]
    pub(crate) fn hash(&self, key: &FlowKey) -> u64 {
        let ([a, b, c, d, ports], secrets) = (key.words, &self.0);
        // As in wyhash: halves of a 128-bit product folded.
        let lo = fold(a ^ secrets[0], b ^ secrets[1]);
        let hi = fold(c ^ secrets[2], d ^ secrets[3]);
        let all =
            fold(lo ^ hi.rotate_left(17) ^ 0x1d8e_4e27_c47d_124f, ports ^ lo.wrapping_add(hi) ^ 0xeb44_acca_b455_d165);
        // Keys that differ in their ports only are multiples of one number so far: for one seed in forty the ports of a
        // scan of one host would lie in a few places of the index.
        avalanche(all)
    }
}

/// Brings every bit to those that choose a place.
#[inline]
pub(crate) fn avalanche(all: u64) -> u64 {
    let mixed = (all ^ all >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ mixed >> 29
}

/// Halves of the product, folded.
#[inline]
pub(crate) fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn keys_that_are_alike_share_nothing() {
        use probe_ebpf::layout::Endpoint;
        for seed in [0, 1, 0x243f_6a88_85a3_08d3, u64::MAX] {
            let (mut all, mut upper) = (BTreeSet::new(), BTreeSet::new());
            for number in 0..200_000_u32 {
                let client = Endpoint::v4((0x0a00_0000 + number % 4096).to_be(), (10_000 + number / 4096) as u16);
                let server = Endpoint::v4((0xc0a8_0000 + number * 7 % 64).to_be(), 443);
                let hash = Secrets::of(seed).hash(&FlowKey::normalised(client, server, 0).0);
                all.insert(hash);
                upper.insert(hash >> 46);
            }
            assert_eq!(all.len(), 200_000, "{seed}");
            // 2^18 places, 200,000 thrown: about 139,900 are hit.
            assert!((139_000..141_000).contains(&upper.len()), "{seed}: {}", upper.len());
        }
    }

    /// Steps that all searches take together, of as many hashes as fill an index to 5/8 (`Index`), by linear probing.
    fn steps(hashes: impl Iterator<Item = u64>) -> u64 {
        let mut places = vec![false; PLACES];
        let mut all = 0;
        for hash in hashes {
            let mut at = (hash >> 32) as usize % PLACES;
            while std::mem::replace(&mut places[at], true) {
                at = (at + 1) % PLACES;
                all += 1;
            }
        }
        all
    }

    const PLACES: usize = 1 << 14;
    const KEYS: u64 = PLACES as u64 * 5 / 8;

    #[test]
    fn who_knows_the_hash_and_not_the_seed_cannot_lengthen_searches() {
        // Each from the number of a key: what differs in it, in the places where a product may carry nothing on.
        let changes: [fn(u64, &mut [u64; 5]); 10] = [
            |i, words| words[4] ^= i,
            |i, words| words[4] ^= i << 50,
            |i, words| words[0] ^= i << 50,
            |i, words| words[1] ^= i << 50,
            |i, words| words[3] = i,
            |i, words| (words[0], words[2]) = (i << 54, i >> 10 << 60),
            |i, words| (words[0], words[2]) = (i, i),
            |i, words| (words[0], words[1]) = (i, words[1].wrapping_sub(i)),
            |i, words| (words[1], words[3]) = (i % 128, i / 128),
            |i, words| (words[1], words[3]) = (i % 128 * (1 << 57), i / 128 * (1 << 57)),
        ];
        let seeds = (1..20_u64).map(|seed| fold(seed ^ 0x243f_6a88_85a3_08d3, 0x9e37_79b9_7f4a_7c15));
        for (number, change) in changes.iter().enumerate() {
            let (mut taken, mut by_chance) = (0, 0);
            for seed in seeds.clone() {
                taken += steps((0..KEYS).map(|i| {
                    let mut key =
                        FlowKey { words: [0x0100_0000_b80d_0120, 7 << 56, 0x0200_0000_b80d_0120, 9 << 56, 443] };
                    change(i, &mut key.words);
                    Secrets::of(seed).hash(&key)
                }));
                let random = |i: u64| fold(fold(i ^ seed, 0xa076_1d64_78bd_642f) ^ seed, 0xe703_7ed1_a0b4_28db);
                by_chance += steps((0..KEYS).map(random));
            }
            // A fifth more than by chance is the bound; chance itself varies by a few per cent.
            assert!(taken * 5 < by_chance * 6, "change {number}: {taken} steps, by chance {by_chance}");
        }
    }

    /// Who guesses a seed has keys close together by it, and by no other.
    #[test]
    fn a_guessed_seed_is_of_no_use() {
        let key = |i: u64| {
            let client =
                probe_ebpf::layout::Endpoint::v4((0x0a00_0000 + i as u32 % (1 << 20)).to_be(), (i >> 20) as u16);
            FlowKey::normalised(client, probe_ebpf::layout::Endpoint::v4(0xc0a8_0001_u32.to_be(), 443), 0).0
        };
        for guess in [0, 1, 0x243f_6a88_85a3_08d3] {
            let is_close =
                |key: &FlowKey| Secrets::of(guess).hash(key) >> 32 & (PLACES as u64 - 1) < PLACES as u64 / 64;
            let close: Vec<FlowKey> = (0..).map(key).filter(is_close).take(KEYS as usize).collect();
            let taken = |seed| steps(close.iter().map(|key| Secrets::of(seed).hash(key)));
            let seeds = || (1..10_u64).map(|seed| fold(seed ^ 0x452f_5b1c_6a88_85a3, 0x9e37_79b9_7f4a_7c15));
            let random = |seed: u64| (0..KEYS).map(move |i| fold(fold(i ^ seed, 0xa076_1d64_78bd_642f) ^ seed, !seed));
            let by_chance: u64 = seeds().map(|seed| steps(random(seed))).sum();
            let of_guess: u64 = seeds().map(taken).sum();
            assert!(of_guess * 5 < by_chance * 6, "{guess:#x}: {of_guess} steps, by chance {by_chance}");
            assert!(taken(guess) > by_chance * 10, "{guess:#x}: who knows the seed could");
        }
    }
}

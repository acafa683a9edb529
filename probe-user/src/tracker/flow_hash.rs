//! Flow hash: 64 bits of a key and a seed, mixed so that two keys hardly ever share them.

use probe_ebpf::layout::FlowKey;

/// Hash of a key. The one of the data plane will not do here: it has to make do without wide products, and keys that
/// differ in a few bits of both addresses may share all of its 64 bits.
#[inline]
pub(crate) fn hash(key: &FlowKey, seed: u64) -> u64 {
    let [a, b, c, d, ports] = key.words;
    // As in wyhash: halves of a 128-bit product folded; the constants are its own.
    let lo = fold(a ^ seed ^ 0xa076_1d64_78bd_642f, b ^ seed.rotate_left(32) ^ 0xe703_7ed1_a0b4_28db);
    let hi = fold(c ^ seed ^ 0x8ebc_6af0_9c88_c6e3, d ^ seed.rotate_left(32) ^ 0x5899_65cc_7537_4cc3);
    fold(lo ^ hi.rotate_left(17) ^ 0x1d8e_4e27_c47d_124f, ports ^ lo.wrapping_add(hi) ^ 0xeb44_acca_b455_d165)
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
                let hash = hash(&FlowKey::normalised(client, server, 0).0, seed);
                all.insert(hash);
                upper.insert(hash >> 46);
            }
            assert_eq!(all.len(), 200_000, "{seed}");
            // 2^18 places, 200,000 thrown: about 139,900 are hit.
            assert!((139_000..141_000).contains(&upper.len()), "{seed}: {}", upper.len());
        }
    }
}

//! Flow key: the normalised 5-tuple with its observation domain, and its two endpoints.

/// The normalised 5-tuple (the protocol is always TCP) plus observation domain: 40 bytes, no padding.
///
/// IPv4 addresses are IPv4-mapped. The endpoint that compares lower as (address, port) is `lo`; both directions of a
/// connection therefore have one key, and [`FROM_HI`] says which way a segment went. Never holds an interface or a
/// MAC address: two legs of a TAP make one connection.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct FlowKey {
    /// `lo` address (words 0, 1) and `hi` address (words 2, 3) in network byte order; word 4 is
    /// `lo port | hi port << 16 | domain << 32`, host order.
    pub words: [u64; 5],
}

impl FlowKey {
    /// Builds the key of a segment sent from `src` to `dst` and says whether the sender became `hi`.
    #[inline(always)]
    #[must_use]
    pub fn normalised(src: Endpoint, dst: Endpoint, domain: u32) -> (Self, bool) {
        // Compared as stored words: any total order will do, as long as kernel and user space share it.
        let from_hi = if src.a != dst.a {
            src.a > dst.a
        } else if src.b != dst.b {
            src.b > dst.b
        } else {
            src.port > dst.port
        };
        let (lo, hi) = if from_hi { (dst, src) } else { (src, dst) };
        let last = lo.port as u64 | (hi.port as u64) << 16 | (domain as u64) << 32;
        (Self { words: [lo.a, lo.b, hi.a, hi.b, last] }, from_hi)
    }

    /// The `lo` endpoint.
    #[inline(always)]
    #[must_use]
    pub fn lo(&self) -> Endpoint {
        Endpoint { a: self.words[0], b: self.words[1], port: self.words[4] as u16 }
    }

    /// The `hi` endpoint.
    #[inline(always)]
    #[must_use]
    pub fn hi(&self) -> Endpoint {
        Endpoint { a: self.words[2], b: self.words[3], port: (self.words[4] >> 16) as u16 }
    }

    /// The observation domain (a VLAN or virtual network id, 0 when not asked for).
    #[inline(always)]
    #[must_use]
    pub fn domain(&self) -> u32 {
        (self.words[4] >> 32) as u32
    }

    /// Copies word by word: assigning the whole value becomes a call of memmove in BPF.
    #[inline(always)]
    pub fn copy_from(&mut self, from: &Self) {
        self.words[0] = from.words[0];
        self.words[1] = from.words[1];
        self.words[2] = from.words[2];
        self.words[3] = from.words[3];
        self.words[4] = from.words[4];
    }

    /// Equality without a branch per word: array comparison becomes a loop in BPF, which the verifier walks word by word.
    #[inline(always)]
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        let (a, b) = (&self.words, &other.words);
        (a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]) == 0
    }

    /// A 64-bit mix of the key with a seed. The seed is drawn per load, so that nobody can aim for one bucket.
    #[inline(always)]
    #[must_use]
    pub fn hash(&self, seed: u64) -> u64 {
        // Each word and a secret of its own are added, and the halves of the sum multiplied with each other, as in NH
        // (Black et al., UMAC, CRYPTO 1999): every bit of a word is multiplied by what nobody knows, so that no
        // difference of two keys has the same effect for all seeds. Products by constants, of which the upper bits of a
        // word reach upper bits only, had such differences. The products do not wait for each other (the first load of
        // the table waits for the hash), and are joined by exclusive or: sums of them lie in lattices. A final avalanche
        // brings all of it to the bits that choose the bucket. Collisions cost a key compare, never a wrong count.
        const K: [u64; 5] = [
            0x9e37_79b9_7f4a_7c15,
            0xbf58_476d_1ce4_e5b9,
            0x94d0_49bb_1331_11eb,
            0xd6e8_feb8_6659_fd93,
            0xa076_1d64_78bd_642f,
        ];
        let product = |word: usize| keyed_product(self.words[word], seed.wrapping_mul(K[word]));
        let mut h = product(0) ^ product(1) ^ product(2) ^ product(3) ^ product(4);
        h ^= h >> 32;
        h = h.wrapping_mul(0xd6e8_feb8_6659_fd93);
        h ^ (h >> 29)
    }
}

/// A word and a secret added, and the halves of the sum multiplied: what the parts of a hash are made of.
#[inline(always)]
#[must_use]
pub(crate) fn keyed_product(word: u64, secret: u64) -> u64 {
    let sum = word.wrapping_add(secret);
    (sum & 0xffff_ffff).wrapping_mul(sum >> 32)
}

/// One end of a flow: an IPv6 or IPv4-mapped address as two words in network byte order, and a port in host order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Endpoint {
    /// First eight bytes of the address, as loaded from memory.
    pub a: u64,
    /// Last eight bytes of the address, as loaded from memory.
    pub b: u64,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// From the four IPv4 address bytes, loaded from memory as one integer.
    #[inline(always)]
    #[must_use]
    pub fn v4(address: u32, port: u16) -> Self {
        // ::ffff:a.b.c.d, composed so that the bytes in memory are right on either endianness.
        let high = u32::from_ne_bytes([0, 0, 0xff, 0xff]);
        let b = if cfg!(target_endian = "little") {
            high as u64 | (address as u64) << 32
        } else {
            (high as u64) << 32 | address as u64
        };
        Self { a: 0, b, port }
    }

    /// The sixteen address bytes in network order (IPv4 as IPv4-mapped).
    #[inline]
    #[must_use]
    pub fn octets(&self) -> [u8; 16] {
        let (a, b) = (self.a.to_ne_bytes(), self.b.to_ne_bytes());
        core::array::from_fn(|i| if i < 8 { a[i] } else { b[i - 8] })
    }

    /// From sixteen address bytes in network order.
    #[inline]
    #[must_use]
    pub fn from_octets(octets: [u8; 16], port: u16) -> Self {
        let word = |at: usize| u64::from_ne_bytes(core::array::from_fn(|i| octets[at + i]));
        Self { a: word(0), b: word(8), port }
    }
}

#[cfg(test)]
mod tests;

//! The Internet checksum (RFC 1071).

/// Adds `bytes` to a running one's complement sum, in the byte order of memory. The sum does not depend on it.
#[inline]
pub(super) fn sum(bytes: &[u8], start: u64) -> u64 {
    // Two 32-bit words per 64-bit lane cannot overflow it below 2^32 words.
    let mut chunks = bytes.chunks_exact(16);
    let (mut a, mut b) = (start, 0_u64);
    for chunk in &mut chunks {
        let word = |at: usize| u64::from(u32::from_ne_bytes([chunk[at], chunk[at + 1], chunk[at + 2], chunk[at + 3]]));
        a += word(0) + word(8);
        b += word(4) + word(12);
    }
    for pair in chunks.remainder().chunks(2) {
        let pair = [pair[0], pair.get(1).copied().unwrap_or(0)];
        a += u64::from(u16::from_ne_bytes(pair));
    }
    a + b
}

/// Folds a sum to 16 bits; a right checksum among the summed bytes makes it 0xffff.
#[inline]
pub(super) fn fold(mut sum: u64) -> u16 {
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn example_of_rfc_1071() {
        let bytes = [0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7];
        assert_eq!(fold(sum(&bytes, 0)).to_be(), 0xddf2);
    }

    #[test]
    fn lengths_around_the_lane_width_agree_with_the_plain_sum() {
        let bytes: Vec<u8> = (0..67_u32).map(|i| (i * 37 + 11) as u8).collect();
        for len in 0..bytes.len() {
            let plain: u64 = bytes[..len]
                .chunks(2)
                .map(|pair| u64::from(u16::from_ne_bytes([pair[0], pair.get(1).copied().unwrap_or(0)])))
                .sum();
            assert_eq!(fold(sum(&bytes[..len], 0)), fold(plain), "{len}");
        }
    }
}

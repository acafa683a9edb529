//! The Internet checksum (RFC 1071).

/// Adds `bytes` to a running one's complement sum, in the byte order of memory. The sum does not depend on it.
///
/// Eight bytes at a time, carries apart (RFC 1071 2(B) and (C)): a sum of 64-bit words folds to that of 16-bit words.
#[inline(always)]
pub(super) fn sum(bytes: &[u8], start: u64) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut wide = u128::from(start);
    for word in words {
        wide += u128::from(u64::from_ne_bytes(*word));
    }
    let (pairs, last) = rest.as_chunks::<2>();
    let mut few: u64 = pairs.iter().map(|&pair| u64::from(u16::from_ne_bytes(pair))).sum();
    if let [last] = last {
        few += u64::from(u16::from_ne_bytes([*last, 0]));
    }
    let (low, carry) = (wide as u64).overflowing_add((wide >> 64) as u64 + few);
    low + u64::from(carry)
}

/// Folds a sum to 16 bits; a right checksum among the summed bytes makes it 0xffff.
#[inline(always)]
pub(super) fn fold(sum: u64) -> u16 {
    // 33 bits, 18, 17, 16.
    let sum = (sum >> 32) + (sum & 0xffff_ffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
    let sum = (sum >> 16) + (sum & 0xffff);
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

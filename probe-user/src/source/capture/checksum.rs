//! Internet checksum (RFC 1071).

/// Adds `bytes` to a running one's complement sum, in the byte order of memory. The sum does not depend on it.
///
/// Eight bytes at a time (RFC 1071 2(B) and (C)): a sum of 64-bit words folds to that of 16-bit words.
#[inline(always)]
pub(super) fn sum(bytes: &[u8], start: u64) -> u64 {
    if let Some(first) = bytes.first_chunk::<WORD>() {
        return sum_behind(bytes, add(start, word(first)));
    }
    let mut last = [0; WORD];
    last[..bytes.len()].copy_from_slice(bytes);
    add(start, word(&last))
}

/// As [`sum`], of all but the first eight of `bytes`. What is left of the last word can so be had with the bytes before,
/// in one load.
#[inline(always)]
pub(super) fn sum_behind(bytes: &[u8], start: u64) -> u64 {
    let (Some(last), Some(counted)) = (bytes.last_chunk::<WORD>(), bytes.get(WORD..)) else { return start };
    let (sum, rest) = add_chunks::<{ 8 * WORD }>(start, counted);
    let (sum, rest) = add_chunk::<{ 4 * WORD }>(sum, rest);
    let (sum, rest) = add_chunk::<{ 2 * WORD }>(sum, rest);
    let (sum, rest) = add_chunk::<WORD>(sum, rest);
    // In two steps, as nothing may be left, and no shift is as long as a word.
    let left = u64::from_le_bytes(*last) >> 8 >> (8 * (WORD - 1 - rest.len()));
    add(sum, left.to_le())
}

/// Bytes added at a time.
const WORD: usize = 8;

#[inline(always)]
fn add_chunks<const N: usize>(start: u64, bytes: &[u8]) -> (u64, &[u8]) {
    let (chunks, rest) = bytes.as_chunks::<N>();
    (chunks.iter().fold(start, add_words), rest)
}

#[inline(always)]
fn add_chunk<const N: usize>(start: u64, bytes: &[u8]) -> (u64, &[u8]) {
    bytes.split_first_chunk::<N>().map_or((start, bytes), |(chunk, rest)| (add_words(start, chunk), rest))
}

#[inline(always)]
fn add_words<const N: usize>(start: u64, bytes: &[u8; N]) -> u64 {
    add_all(start, bytes.as_chunks::<WORD>().0.iter().map(word))
}

/// The sum of some words.
#[inline(always)]
pub(super) fn sum_words<const N: usize>(words: [u64; N]) -> u64 {
    add_all(0, words.into_iter())
}

/// With one chain of carries.
#[inline(always)]
fn add_all(start: u64, words: impl Iterator<Item = u64>) -> u64 {
    let (sum, carry) = words.fold((start, false), |(sum, carry), word| sum.carrying_add(word, carry));
    sum + u64::from(carry)
}

/// One's complement: what is carried out comes in again at the other end, where there is room for it.
#[inline(always)]
pub(super) fn add(sum: u64, word: u64) -> u64 {
    let (sum, carry) = sum.overflowing_add(word);
    sum + u64::from(carry)
}

#[inline(always)]
fn word(bytes: &[u8; WORD]) -> u64 {
    u64::from_ne_bytes(*bytes)
}

/// Whether a sum of bytes with their checksum among them says that they are undamaged: whether it folds to 0xffff.
///
/// Without folding, which changes nothing modulo 0xffff: it does when it is a multiple of that, other than 0.
#[inline(always)]
pub(super) fn holds(sum: u64) -> bool {
    // What is a multiple can be divided by multiplying; what is none becomes more than any quotient.
    const INVERSE: u64 = 0xfffe_fffe_fffe_ffff;
    const { assert!(INVERSE.wrapping_mul(0xffff) == 1) };
    sum.wrapping_mul(INVERSE).wrapping_sub(1) < u64::MAX / 0xffff
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

    /// As in RFC 1071 4.1: 16 bits after 16 bits, in network byte order, and the carries at the end.
    fn reference(bytes: &[u8], start: u16) -> u16 {
        let mut sum = u64::from(start);
        for pair in bytes.chunks(2) {
            sum += u64::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
        }
        while sum > 0xffff {
            sum = (sum >> 16) + (sum & 0xffff);
        }
        sum as u16
    }

    /// All ways to the sum of `bytes`, against the reference.
    fn assert_all_agree(bytes: &[u8], start: u16) {
        let expected = reference(bytes, start);
        let first = u64::from(start.to_be());
        // Starts that fold to the same, the largest among them: what is added to them is carried out at once.
        for start in [first, first << 48, first | u64::MAX << 16] {
            let whole = sum(bytes, start);
            // Minus zero is zero, but for a sum of nothing.
            let is_zero = |folded: u16| folded == 0 || folded == 0xffff;
            let folded = fold(whole).to_be();
            assert!(folded == expected || is_zero(folded) && is_zero(expected), "{folded:04x} {expected:04x}");
            assert_eq!(holds(whole), fold(whole) == 0xffff);
            if let Some((first, _)) = bytes.split_first_chunk() {
                assert_eq!(fold(sum_behind(bytes, add(start, word(first)))), fold(whole));
            }
        }
    }

    #[test]
    fn every_length_agrees_with_the_reference() {
        let some: Vec<u8> = (0..300_u32).map(|i| (i * 37 + 11) as u8).collect();
        for bytes in [&some[..], &[0xff; 300], &[0; 300]] {
            for len in 0..290 {
                for from in 0..9 {
                    for start in [0, 1, 0x1234, 0xfffe, 0xffff] {
                        assert_all_agree(&bytes[from..from + len], start);
                    }
                }
            }
        }
    }

    #[test]
    fn what_holds_is_what_folds_to_all_ones() {
        for near in [0, 1 << 16, 1 << 32, 1 << 48, u64::MAX - 0xffff, 0xffff << 16, 0xffff * 0x1_2345_6789] {
            for sum in (0..0x2_0000).map(|more| u64::wrapping_add(near, more)) {
                assert_eq!(holds(sum), fold(sum) == 0xffff, "{sum:x}");
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_agree_with_the_reference(
            bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..1600),
            ones in proptest::collection::vec(0..1600_usize, 0..64),
            from in 0..16_usize,
            start in proptest::num::u16::ANY,
        ) {
            let mut bytes = bytes;
            for at in ones {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = 0xff;
                }
            }
            assert_all_agree(bytes.get(from..).unwrap_or_default(), start);
        }

        #[test]
        fn any_words_are_added_like_bytes(words in proptest::array::uniform4(proptest::num::u64::ANY)) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
            assert_eq!(fold(sum_words(words)), fold(sum(&bytes, 0)));
            assert_eq!(fold(sum_words([u64::MAX, words[0], u64::MAX])), fold(add(add(u64::MAX, words[0]), u64::MAX)));
        }
    }
}

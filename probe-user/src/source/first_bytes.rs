//! The first payload bytes of short segments, where whole frames are at hand: TLS alerts are told by them.

/// A TLS alert in the clear: record header, level, description (RFC 8446 5.1, 6).
const SHORTEST: usize = 7;
/// Longer than any encrypted alert with what may stand before it in the same segment.
const LONGEST: usize = 128;

/// The first eight of the `len` payload bytes at `at`, as loaded from memory, the missing ones 0; 0 when the payload is too
/// long or too short to be of interest, or was not captured.
#[inline(always)]
pub(super) fn first_bytes(frame: &[u8], at: usize, len: usize) -> u64 {
    if !(SHORTEST..=LONGEST).contains(&len) {
        return 0;
    }
    read(frame, at, len.min(8))
}

#[inline(never)]
fn read(frame: &[u8], at: usize, len: usize) -> u64 {
    let Some(payload) = frame.get(at..at + len) else { return 0 };
    let mut bytes = [0; 8];
    bytes[..len].copy_from_slice(payload);
    u64::from_ne_bytes(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_may_be_an_alert() {
        let frame: Vec<u8> = (0..200).collect();
        assert_eq!(first_bytes(&frame, 10, 7), u64::from_ne_bytes([10, 11, 12, 13, 14, 15, 16, 0]));
        assert_eq!(first_bytes(&frame, 10, 24), u64::from_ne_bytes([10, 11, 12, 13, 14, 15, 16, 17]));
        for (at, len) in [(10, 6), (10, 129), (195, 24), (usize::MAX - 3, 8)] {
            assert_eq!(first_bytes(&frame, at.min(frame.len()), len), 0, "{at} {len}");
        }
    }
}

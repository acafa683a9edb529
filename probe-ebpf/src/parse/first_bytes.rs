//! First payload bytes: read of RSTs, which may carry a text, and of segments that may be a TLS alert.

use super::{Reader, ne64};
use crate::layout::{RST, SegmentRecord};

/// Payload length of a TLS alert in the clear: record header, level, description (RFC 8446 5.1, 6).
pub const ALERT_IN_CLEAR: u32 = 7;
/// Payload lengths of a TLS record with an encrypted alert (RFC 8446 6.1; RFC 5246 7.2.1): TLS 1.3; 1.2 with ChaCha20, GCM,
/// and CBC with SHA-1, SHA-256 and SHA-384; older ones with RC4 and 3DES.
pub const ENCRYPTED_ALERTS: [u32; 9] = [23, 24, 27, 31, 37, 53, 57, 69, 85];

/// A bit for each such length below 64, and for those from there on.
const ALERT_LENS: [u64; 2] = {
    let (mut bits, mut at) = ([1_u64 << ALERT_IN_CLEAR, 0], 0);
    while at < ENCRYPTED_ALERTS.len() {
        let len = ENCRYPTED_ALERTS[at];
        bits[len as usize / 64] |= 1 << (len % 64);
        at += 1;
    }
    bits
};

/// True when a segment with `len` payload bytes may be a TLS alert and nothing else.
#[inline(always)]
#[must_use]
pub const fn is_alert_len(len: u32) -> bool {
    let bits = if len < 64 { ALERT_LENS[0] } else { ALERT_LENS[1] };
    len < 128 && bits >> (len & 63) & 1 != 0
}

/// True for segments whose [`crate::layout::Segment::first_bytes`] are read.
#[inline(always)]
#[must_use]
pub const fn has_first_bytes(record: &SegmentRecord) -> bool {
    if record.flags & RST != 0 { record.payload_len >= 8 } else { is_alert_len(record.payload_len) }
}

/// The first eight of the `len` payload bytes at `at`, as loaded from memory; of seven, with a 0 after them. 0 when they were
/// not captured. `len` is 7 or more.
#[inline(always)]
pub fn first_bytes<R: Reader>(reader: &R, at: usize, len: u32) -> u64 {
    // Eight bytes with the last one of the header: the frame may end with the seventh of the payload.
    let before = (len < 8) as usize;
    let Some(bytes) = reader.bytes::<8>(at.wrapping_sub(before)) else { return 0 };
    let bits = 8 * before as u32;
    if cfg!(target_endian = "little") { ne64(bytes, 0) >> bits } else { ne64(bytes, 0) << bits }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::parse::SliceReader;

    #[test]
    fn lengths_of_alerts() {
        let lens: Vec<u32> = (0..300).filter(|&len| is_alert_len(len)).collect();
        assert_eq!(lens, [7, 23, 24, 27, 31, 37, 53, 57, 69, 85]);
        assert!(!is_alert_len(u32::MAX) && !is_alert_len(128 + 7) && !is_alert_len(64 + 7));
    }

    #[test]
    fn seven_bytes_at_the_end_of_a_frame() {
        let frame: Vec<u8> = (1..=17).collect();
        let reader = SliceReader::whole(&frame);
        assert_eq!(first_bytes(&reader, 10, 7), u64::from_ne_bytes([11, 12, 13, 14, 15, 16, 17, 0]));
        assert_eq!(first_bytes(&reader, 9, 24), u64::from_ne_bytes([10, 11, 12, 13, 14, 15, 16, 17]));
        assert_eq!(first_bytes(&reader, 10, 24), 0, "not captured");
        assert_eq!(first_bytes(&reader, 11, 7), 0, "not captured");
    }
}

//! TCP options: timestamps, MSS, window scale, SACK-permitted (RFC 9293 3.1, RFC 7323, RFC 2018).

use super::{Located, Reader, be16};
use crate::layout::{HAS_TIMESTAMPS, SACK_PERMITTED, SegmentRecord};

/// Options looked at in one header: a SYN of any known stack has at most seven, padding included.
const MAX_OPTIONS: usize = 12;

/// Reads the options that matter: timestamps always; MSS, window scale and SACK-permitted of SYN segments.
///
/// Stops silently at a malformed or uncaptured option: RFC 9293 3.1 lets a receiver do so, and `option_len` still
/// tells how many bytes there were.
#[inline(always)]
pub(super) fn read<R: Reader>(reader: &R, located: &Located, record: &mut SegmentRecord) {
    let len = (located.tcp_header_len as usize).wrapping_sub(20) & 0x3f;
    if len == 0 {
        return;
    }
    let start = located.tcp as usize + 20;
    let mut at = 0;
    for _ in 0..MAX_OPTIONS {
        if at >= len {
            return;
        }
        // With the byte before it: the verifier learns nothing from a bounds check of a single byte.
        let Some(&[_, kind]) = reader.bytes::<2>(start + at - 1) else { return };
        if kind == 0 {
            return;
        }
        if kind == 1 {
            at += 1;
            continue;
        }
        let Some(&[_, size]) = reader.bytes::<2>(start + at) else { return };
        let size = size as usize;
        if size < 2 || size > len - at {
            return;
        }
        match (kind, size) {
            (2, 4) => record.mss = reader.bytes::<2>(start + at + 2).map_or(0, |value| be16(value, 0)),
            (3, 3) => record.put_window_scale(reader.bytes::<2>(start + at + 1).map(|value| value[1])),
            (4, 2) => record.flags |= SACK_PERMITTED,
            (8, 10) => record.flags |= HAS_TIMESTAMPS,
            _ => {}
        }
        at += size;
    }
}

//! 802.11 frames as monitor interfaces capture them, with and without a radiotap header: the way to the EtherType.
//!
//! IEEE 802.11-2020 9.2 and 9.3.2; <https://www.radiotap.org>; link types 105 and 127.
//!
//! Must not know: what follows the EtherType.

use probe_ebpf::parse::{Reader, Reject, SliceReader};

use super::link_type::Unread;

/// Frame control, duration, three addresses, sequence control.
const HEADER: usize = 24;
const TO_AND_FROM_DS: u8 = 0x03;
const MORE_FRAGMENTS: u8 = 0x04;
const PROTECTED: u8 = 0x40;
const ORDER: u8 = 0x80;
const DATA: u8 = 2;
/// Subtype bits of data frames: no data, QoS.
const NO_DATA: u8 = 0x04;
const QOS: u8 = 0x08;
/// QoS control: the body is an A-MSDU (9.2.4.5.9).
const A_MSDU: u8 = 0x80;
/// Destination, source, length (9.3.2.2.2).
const SUBFRAME_HEADER: usize = 14;

/// Radiotap: which fields there are, in 32-bit words that go on while this is set.
const MORE_WORDS: u32 = 1 << 31;
const MAX_WORDS: usize = 32;
const TSFT: u32 = 1 << 0;
const FLAGS: u32 = 1 << 1;
/// Radiotap flag: the 802.11 header is padded to four bytes.
const FLAG_PADDED: u8 = 0x20;

/// The EtherType of a frame with a radiotap header at `at`, and where what it names begins.
///
/// # Errors
/// Why there is none.
pub(super) fn after_radiotap(reader: &SliceReader<'_>, at: usize) -> Result<(u16, usize), Unread> {
    let Some(&[version, _, low, high]) = reader.bytes::<4>(at) else { return Err(Reject::ShortLink.into()) };
    let len = usize::from(u16::from_le_bytes([low, high]));
    if version != 0 || len < 8 {
        return Err(Reject::TunnelHeader.into());
    }
    let flags = radiotap_flags(reader, at).unwrap_or(0);
    ether_type(reader, at + len, flags & FLAG_PADDED != 0)
}

/// The field of that name, which is the second of all and may come after an aligned time stamp.
fn radiotap_flags(reader: &SliceReader<'_>, at: usize) -> Option<u8> {
    let word = |nth: usize| reader.bytes::<4>(at + 4 + 4 * nth).map(|&word| u32::from_le_bytes(word));
    let first = word(0)?;
    if first & FLAGS == 0 {
        return None;
    }
    let words = (0..MAX_WORDS).find(|&nth| word(nth).is_none_or(|word| word & MORE_WORDS == 0))? + 1;
    let fields = 4 + 4 * words;
    let flags = if first & TSFT != 0 { fields.next_multiple_of(8) + 8 } else { fields };
    reader.bytes::<1>(at + flags).map(|byte| byte[0])
}

/// The EtherType of an 802.11 frame at `at`, and where what it names begins. `is_padded`: its header has a multiple of four
/// bytes.
///
/// # Errors
/// Why there is none: it is no data frame, is encrypted, is in pieces, carries several packets, or does not name one.
pub(super) fn ether_type(reader: &SliceReader<'_>, at: usize, is_padded: bool) -> Result<(u16, usize), Unread> {
    let Some(header) = reader.bytes::<HEADER>(at) else { return Err(Reject::ShortLink.into()) };
    let (kind, subtype, flags) = ((header[0] >> 2) & 3, header[0] >> 4, header[1]);
    if header[0] & 3 != 0 || kind != DATA || subtype & NO_DATA != 0 {
        return Err(Reject::NotIp.into());
    }
    if flags & PROTECTED != 0 {
        return Err(Reject::Encrypted.into());
    }
    if flags & MORE_FRAGMENTS != 0 || header[22] & 0x0f != 0 {
        return Err(Reject::LaterFragment.into());
    }
    let mut len = HEADER + if flags & TO_AND_FROM_DS == TO_AND_FROM_DS { 6 } else { 0 };
    let mut is_aggregate = false;
    if subtype & QOS != 0 {
        let Some(control) = reader.bytes::<2>(at + len) else { return Err(Reject::ShortLink.into()) };
        is_aggregate = control[0] & A_MSDU != 0;
        // HT control follows where the order bit is set (9.2.4.1.10).
        len += 2 + if flags & ORDER != 0 { 4 } else { 0 };
    }
    let body = at + if is_padded { len.next_multiple_of(4) } else { len };
    if !is_aggregate {
        return llc(reader, body).map_err(Unread::from);
    }
    let Some(subframe) = reader.bytes::<SUBFRAME_HEADER>(body) else { return Err(Reject::ShortLink.into()) };
    let len = SUBFRAME_HEADER + usize::from(u16::from_be_bytes([subframe[12], subframe[13]]));
    // Another subframe begins after padding to four bytes; what is shorter is a frame check sequence.
    if reader.reaches(body + len.next_multiple_of(4) + SUBFRAME_HEADER) {
        return Err(Unread::Aggregate);
    }
    llc(reader, body + SUBFRAME_HEADER).map_err(Unread::from)
}

/// The EtherType in an LLC header with SNAP at `at` (IEEE 802.2; RFC 1042, and 802.1H for the second organisation), and
/// where what it names begins.
///
/// # Errors
/// It ends after what was captured, or is of another protocol.
pub(super) fn llc(reader: &SliceReader<'_>, at: usize) -> Result<(u16, usize), Reject> {
    // Without SNAP, three bytes may be all there is.
    if !reader.bytes.get(at..).is_some_and(|bytes| bytes.starts_with(&[0xaa, 0xaa, 0x03])) {
        return Err(Reject::NotIp);
    }
    let Some(header) = reader.bytes::<8>(at) else { return Err(Reject::ShortLink) };
    match header {
        [0xaa, 0xaa, 0x03, 0, 0, 0 | 0xf8, high, low] => Ok((u16::from_be_bytes([*high, *low]), at + 8)),
        _ => Err(Reject::NotIp),
    }
}

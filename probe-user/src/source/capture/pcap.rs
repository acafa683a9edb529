//! The classic format (draft-ietf-opsawg-pcap): 24 bytes of file header, then records.

use super::error::CaptureError;
use super::file::{self, CapturedOn, Found, Frame, Next, Take, Took};
use super::input::Input;
use super::link::LinkType;

const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;
/// Kuznetzov's variant has 8 bytes more per record.
const KUZNETZOV_HEADER: usize = 24;
/// More than any capture tool writes (libpcap: 262,144), less than any misread length.
const LARGEST_FRAME: usize = 16 << 20;

/// How the records of one file are written.
#[derive(Debug)]
pub(super) struct Pcap {
    swapped: bool,
    nanoseconds: bool,
    record_header: usize,
    link: LinkType,
    link_number: u16,
}

/// Byte order (true for big endian), unit (true for nanoseconds) and record header of a file that begins with `magic`, big
/// endian.
fn variant(magic: u32) -> Option<(bool, bool, usize)> {
    let is_little = magic & 0xff == 0xa1;
    let (nanoseconds, record_header) = match if is_little { magic.swap_bytes() } else { magic } {
        0xa1b2_c3d4 => (false, RECORD_HEADER),
        0xa1b2_3c4d => (true, RECORD_HEADER),
        0xa1b2_cd34 => (false, KUZNETZOV_HEADER),
        _ => return None,
    };
    Some((!is_little, nanoseconds, record_header))
}

/// Whether the first four bytes, big endian, are those of a file of this format.
pub(super) fn is_magic(magic: u32) -> bool {
    variant(magic).is_some()
}

/// Whether a file header is at hand, and no record that happens to begin like one: version 2, and nothing in the fields
/// that nobody uses, which of a record would be its length.
#[cold]
pub(super) fn is_file_header(input: &mut Input) -> Result<bool, CaptureError> {
    input.fill(RECORD_HEADER)?;
    let Some(header) = input.available().first_chunk::<RECORD_HEADER>() else { return Ok(false) };
    let version = if header[0] == 0xa1 { [header[4], header[5]] } else { [header[5], header[4]] };
    Ok(version == [0, 2] && header[8..16] == [0; 8])
}

impl Pcap {
    /// Reads the file header; `magic` are its first four bytes, big endian.
    pub(super) fn open(input: &mut Input, magic: u32) -> Result<Self, CaptureError> {
        let Some((big_endian, nanoseconds, record_header)) = variant(magic) else {
            return Err(CaptureError::UnknownFormat { magic });
        };
        let offset = input.offset();
        let have = input.fill(FILE_HEADER)?;
        let Some(header) = input.available().first_chunk::<FILE_HEADER>() else {
            return Err(CaptureError::Truncated { offset, missing: (FILE_HEADER - have) as u64 });
        };
        let swapped = big_endian != cfg!(target_endian = "big");
        // The upper bits tell of frame check sequences.
        let link = word(header, 20, swapped) & 0xffff;
        input.consume(FILE_HEADER);
        Ok(Self { swapped, nanoseconds, record_header, link: LinkType::from_number(link), link_number: link as u16 })
    }

    /// Offers records, as long as the next one is in the buffer already and nothing is wrong with it.
    #[inline(always)]
    pub(super) fn offer_at_hand(&self, input: &mut Input, to: &mut impl Take) {
        // No more than a frame may have, so that none has more.
        let ready = input.available();
        let ready = &ready[..ready.len().min(LARGEST_FRAME)];
        // What nearly all captures are, so that the loop need not ask.
        let left = if !self.swapped && self.record_header == RECORD_HEADER && self.link == LinkType::Ethernet {
            Self { swapped: false, record_header: RECORD_HEADER, link: LinkType::Ethernet, ..*self }.offer(ready, to)
        } else {
            self.offer(ready, to)
        };
        input.consume(ready.len() - left);
    }

    /// How many of the bytes at hand are left.
    #[inline(always)]
    fn offer(&self, ready: &[u8], to: &mut impl Take) -> usize {
        let mut left = ready;
        while let Some(header) = left.first_chunk::<RECORD_HEADER>() {
            let len = word(header, 8, self.swapped) as usize;
            // What a file header has there.
            if len == 0 {
                break;
            }
            let Some((bytes, after)) = left.get(self.record_header..).and_then(|after| after.split_at_checked(len))
            else {
                break;
            };
            let Found { time_ns, wire_len, link, .. } = self.found(header, len);
            let took = to.take(&Frame { time_ns, wire_len, link, bytes });
            if took != Took::Nothing {
                left = after;
            }
            if took != Took::More {
                break;
            }
        }
        left.len()
    }

    /// The one interface that the format knows of.
    pub(super) fn captured_on(&self) -> CapturedOn<'static> {
        CapturedOn { section: 0, number: 0, name: None, link_number: self.link_number }
    }

    /// Consumes the next record.
    pub(super) fn next(&self, input: &mut Input) -> Result<Next, CaptureError> {
        let have = input.fill(self.record_header)?;
        let offset = input.offset();
        if have < self.record_header {
            if have == 0 {
                return Ok(Next::End);
            }
            return Err(CaptureError::Truncated { offset, missing: (self.record_header - have) as u64 });
        }
        if file::is_joined(input)? {
            return Ok(Next::Joined);
        }
        let Some(header) = input.available().first_chunk::<RECORD_HEADER>() else { return Ok(Next::End) };
        let (header, len) = (*header, word(header, 8, self.swapped) as usize);
        if len > LARGEST_FRAME {
            let what = format!("a frame of {len} bytes");
            return Err(CaptureError::Damaged { offset, what });
        }
        let whole = self.record_header + len;
        let have = input.fill(whole)?;
        if have < whole {
            return Err(CaptureError::Truncated { offset, missing: (whole - have) as u64 });
        }
        input.consume(whole);
        Ok(Next::Frame(self.found(&header, len)))
    }

    #[inline(always)]
    fn found(&self, header: &[u8; RECORD_HEADER], len: usize) -> Found {
        let field = |at| word(header, at, self.swapped);
        // Signed, as libpcap reads it: damaged fractions may lie before their second.
        let unit = if self.nanoseconds { 1 } else { 1000 };
        let fraction = i64::from(field(4).cast_signed()) * unit;
        let second_ns = u64::from(field(0)) * 1_000_000_000;
        let time_ns = if fraction < 0 { before(second_ns, fraction) } else { second_ns + fraction.cast_unsigned() };
        Found { time_ns, wire_len: field(12) as usize, link: self.link, interface: 0, back: len, len }
    }
}

#[cold]
fn before(second_ns: u64, fraction: i64) -> u64 {
    second_ns.saturating_add_signed(fraction)
}

#[inline(always)]
fn word<const N: usize>(bytes: &[u8; N], at: usize, swapped: bool) -> u32 {
    let word = u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    if swapped { word.swap_bytes() } else { word }
}

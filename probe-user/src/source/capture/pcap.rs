//! The classic format (draft-ietf-opsawg-pcap): 24 bytes of file header, then records.

use super::error::CaptureError;
use super::frame::{CapturedOn, Found, Frame, Next, Take, Took};
use super::input::Input;
use super::link_type::LinkType;
use super::magic::{self, RECORD_HEADER, SNOOP_VERSION};

const FILE_HEADER: usize = 24;
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

impl Pcap {
    /// Reads the file header; `magic` are its first four bytes, big endian.
    pub(super) fn open(input: &mut Input, magic: u32) -> Result<Self, CaptureError> {
        let Some((big_endian, nanoseconds, record_header)) = magic::pcap_variant(magic) else {
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
    pub(super) fn offer_in_memory(&self, input: &mut Input, to: &mut impl Take) {
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
            // What the header of a joined file may have there: pcap nothing, snoop its version. Who takes one frame at a time
            // tells them from frames, of which none is so short.
            if len <= SNOOP_VERSION as usize {
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
        if magic::is_joined(input)? {
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

//! The format of Solaris snoop (RFC 1761): a file header of 16 bytes, then records; all big endian.

use super::error::CaptureError;
use super::frame::{CapturedOn, Found, Next};
use super::input::Input;
use super::link_type::LinkType;
use super::magic::{self, SNOOP_VERSION};

const FILE_HEADER: usize = 16;
const RECORD_HEADER: usize = 24;
/// As of pcap files.
const LARGEST_RECORD: usize = 16 << 20;
/// Data link types (RFC 1761): 802.3 and Ethernet, which are framed alike.
const IEEE_802_3: u32 = 0;
const ETHERNET: u32 = 4;

/// One file.
#[derive(Debug)]
pub(super) struct Snoop {
    link: LinkType,
}

impl Snoop {
    /// Reads the file header.
    pub(super) fn open(input: &mut Input) -> Result<Self, CaptureError> {
        let offset = input.offset();
        let have = input.fill(FILE_HEADER)?;
        let Some(header) = input.available().first_chunk::<FILE_HEADER>() else {
            return Err(CaptureError::Truncated { offset, missing: (FILE_HEADER - have) as u64 });
        };
        let (version, data_link) = (word(header, 8), word(header, 12));
        if version != SNOOP_VERSION {
            let what = format!("a snoop file of version {version}, of which only {SNOOP_VERSION} is known");
            return Err(CaptureError::Damaged { offset, what });
        }
        input.consume(FILE_HEADER);
        let link = match data_link {
            IEEE_802_3 | ETHERNET => LinkType::Ethernet,
            other => LinkType::Snoop(other),
        };
        Ok(Self { link })
    }

    /// Consumes the next record.
    pub(super) fn next(&self, input: &mut Input) -> Result<Next, CaptureError> {
        let have = input.fill(RECORD_HEADER)?;
        if magic::is_joined(input)? {
            return Ok(Next::Joined);
        }
        let offset = input.offset();
        let Some(header) = input.available().first_chunk::<RECORD_HEADER>() else {
            let missing = (RECORD_HEADER - have) as u64;
            return if have == 0 { Ok(Next::End) } else { Err(CaptureError::Truncated { offset, missing }) };
        };
        let [wire_len, len, record_len] = [0, 4, 8].map(|at| word(header, at) as usize);
        let (seconds, microseconds) = (u64::from(word(header, 16)), u64::from(word(header, 20)));
        if record_len > LARGEST_RECORD || record_len < RECORD_HEADER + len {
            let what = format!("a snoop record of {record_len} bytes with a frame of {len}");
            return Err(CaptureError::Damaged { offset, what });
        }
        let have = input.fill(record_len)?;
        // The padding of the last record may be missing.
        if have < RECORD_HEADER + len {
            return Err(CaptureError::Truncated { offset, missing: (record_len - have) as u64 });
        }
        let record_len = record_len.min(have);
        input.consume(record_len);
        let time_ns = seconds * 1_000_000_000 + microseconds * 1000;
        let back = record_len - RECORD_HEADER;
        Ok(Next::Frame(Found { time_ns, wire_len, link: self.link, interface: 0, back, len }))
    }

    /// The one interface that the format knows of.
    pub(super) fn captured_on(&self) -> CapturedOn<'static> {
        // Of other types of link there is no frame that anything could be said of.
        let link_number = u16::from(self.link == LinkType::Ethernet);
        CapturedOn { section: 0, number: 0, name: None, link_number }
    }
}

fn word<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

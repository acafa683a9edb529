//! Endace's extensible record format: files of such records, and each record as a frame of link type 197.
//!
//! <https://www.endace.com/erf-extensible-record-format-types.pdf>; Wireshark's wiretap/erf.h names the types.

use probe_ebpf::parse::{Reader, Reject, SliceReader};

use super::error::CaptureError;
use super::frame::{CapturedOn, Found, Next};
use super::input::Input;
use super::link_type::{LinkType, Unread, Unsupported};

/// Time, type, flags, record length, loss counter, length on the wire.
const HEADER: usize = 16;
/// Offset and padding before an Ethernet frame.
const ETHERNET_OFFSET: usize = 2;
/// Bit of the type, and of the first byte of each extension header: one more of them follows.
const EXTENDED: u8 = 0x80;
const EXTENSION: usize = 8;
const MAX_EXTENSIONS: usize = 32;
const LINK_NUMBER: u16 = 197;
/// Types that exist: 1 to 29, and padding.
const LAST_TYPE: u8 = 29;
const PADDING: u8 = 48;
/// Records that a file must begin with, if it has as many.
const LOOKED_AT: usize = 4;
/// A file's records are in order of time, but for queues that are out of step.
const OUT_OF_STEP_S: u64 = 3600;

/// The header of one record.
struct Record {
    time: u64,
    kind: u8,
    len: usize,
    wire_len: usize,
}

impl Record {
    /// `None` when no record begins like that.
    fn read(header: &[u8; HEADER]) -> Option<Self> {
        let half = |at: usize| usize::from(u16::from_be_bytes([header[at], header[at + 1]]));
        let record = Self {
            time: u64::from_le_bytes(std::array::from_fn(|at| header[at])),
            kind: header[8] & !EXTENDED,
            len: half(10),
            wire_len: half(14),
        };
        let exists = (1..=LAST_TYPE).contains(&record.kind) || record.kind == PADDING;
        (exists && record.len >= HEADER).then_some(record)
    }

    fn seconds(&self) -> u64 {
        self.time >> 32
    }

    /// Binary fractions of a second, in the lower half.
    fn nanoseconds(&self) -> u64 {
        let fraction = ((self.time & 0xffff_ffff) * 1_000_000_000) >> 32;
        self.seconds() * 1_000_000_000 + fraction
    }
}

/// Whether a file that begins with no magic number begins with records: the format has none, so that each must make sense
/// and follow the one before.
pub(super) fn is_erf(input: &mut Input) -> Result<bool, CaptureError> {
    let (mut at, mut last_s) = (0, None);
    for _ in 0..LOOKED_AT {
        let have = input.fill(at + HEADER)?;
        if have == at && at > 0 {
            return Ok(true);
        }
        let header = input.available().get(at..).and_then(|bytes| bytes.first_chunk());
        let Some(record) = header.and_then(Record::read) else { return Ok(false) };
        let seconds = record.seconds();
        let is_in_step = last_s.is_none_or(|last: u64| last.abs_diff(seconds) <= OUT_OF_STEP_S);
        at += record.len;
        if !is_in_step || seconds == 0 || record.wire_len == 0 || input.fill(at)? < at {
            return Ok(false);
        }
        last_s = Some(seconds);
    }
    Ok(true)
}

/// A file of records.
#[derive(Debug)]
pub(super) struct Erf;

impl Erf {
    /// Consumes the next record.
    pub(super) fn next(input: &mut Input) -> Result<Next, CaptureError> {
        let have = input.fill(HEADER)?;
        let offset = input.offset();
        let Some(header) = input.available().first_chunk::<HEADER>() else {
            let missing = (HEADER - have) as u64;
            return if have == 0 { Ok(Next::End) } else { Err(CaptureError::Truncated { offset, missing }) };
        };
        let Some(record) = Record::read(header) else {
            let what = format!(
                "an ERF record of type {} and {} bytes",
                header[8],
                u16::from_be_bytes([header[10], header[11]])
            );
            return Err(CaptureError::Damaged { offset, what });
        };
        let have = input.fill(record.len)?;
        if have < record.len {
            return Err(CaptureError::Truncated { offset, missing: (record.len - have) as u64 });
        }
        // The length on the wire is the frame's alone, and records are padded.
        let begin = frame(&SliceReader::whole(&input.available()[..record.len]), 0).map_or(HEADER, |(_, begin)| begin);
        let wire_len = begin + record.wire_len;
        input.consume(record.len);
        let (time_ns, back, len) = (record.nanoseconds(), record.len, record.len.min(wire_len));
        Ok(Next::Frame(Found { time_ns, wire_len, link: LinkType::Erf, interface: 0, back, len }))
    }

    /// The one interface that is told apart.
    pub(super) fn captured_on() -> CapturedOn<'static> {
        CapturedOn { section: 0, number: 0, name: None, link_number: LINK_NUMBER }
    }
}

/// Link type and place of the frame in a record at `at`.
///
/// # Errors
/// It carries none, or one that is not understood.
pub(super) fn frame(reader: &SliceReader<'_>, at: usize) -> Result<(LinkType, usize), Unread> {
    let Some(header) = reader.bytes::<HEADER>(at) else { return Err(Reject::ShortLink.into()) };
    let (kind, mut more, mut begin) = (header[8] & !EXTENDED, header[8] & EXTENDED != 0, at + HEADER);
    for _ in 0..MAX_EXTENSIONS {
        if !more {
            break;
        }
        let Some(extension) = reader.bytes::<EXTENSION>(begin) else { return Err(Reject::ShortLink.into()) };
        more = extension[0] & EXTENDED != 0;
        begin += EXTENSION;
    }
    match kind {
        _ if more => Err(Reject::ShortLink.into()),
        // Ethernet; with a colour, a class, a hash.
        2 | 11 | 16 | 20 => Ok((LinkType::Ethernet, begin + ETHERNET_OFFSET)),
        // HDLC over SONET: PPP or Cisco's, which the first bytes tell.
        1 | 10 | 15 => match reader.bytes::<2>(begin) {
            Some([0xff, 0x03]) => Ok((LinkType::Ppp, begin)),
            Some([0x0f | 0x8f, _]) => Ok((LinkType::CiscoHdlc, begin)),
            Some(_) => Err(Reject::NotIp.into()),
            None => Err(Reject::ShortLink.into()),
        },
        22 => Ok((LinkType::Ipv4, begin)),
        23 => Ok((LinkType::Ipv6, begin)),
        // Counters, metadata and padding carry no packet.
        13 | 14 | 27 | PADDING => Err(Reject::NotIp.into()),
        other => Err(Unsupported { kind: "ERF record type", number: u32::from(other) }.into()),
    }
}

//! The block format (draft-ietf-opsawg-pcapng): sections, interfaces, and packets of three kinds.

use super::error::CaptureError;
use super::frame::{CapturedOn, Found, Frame, Next, Take, Took};
use super::input::Input;
use super::link_type::LinkType;
use super::magic::{self, BYTE_ORDER_MAGIC, PCAPNG as SECTION_HEADER, PCAPNG_HEAD as HEAD};

const INTERFACE: u32 = 1;
const PACKET: u32 = 2;
const SIMPLE_PACKET: u32 = 3;
const ENHANCED_PACKET: u32 = 6;

/// Interfaces of a section that are told apart, as many as the older packet block has numbers for: a description takes 20
/// bytes of a file, and much less where it is compressed. Frames of further ones are counted.
const MAX_INTERFACES: usize = 1 << 16;
/// Bytes of an interface's name that are kept, of up to 64 KiB: Linux allows 15, Windows about 80. What follows becomes `…`.
const LONGEST_NAME: usize = 256;

const OPTION_COMMENT: u16 = 1;
const OPTION_END: u16 = 0;
/// Of a section.
const OPTION_USER_APPLICATION: u16 = 4;
const OPTION_IF_NAME: u16 = 2;
const OPTION_TSRESOL: u16 = 9;
const OPTION_TSOFFSET: u16 = 14;

/// One interface of the section.
#[derive(Clone, Debug)]
struct Interface {
    link: LinkType,
    link_number: u16,
    name: Option<Box<str>>,
    snap_len: usize,
    resolution: Resolution,
    offset_seconds: i64,
}

/// Any interface beyond [`MAX_INTERFACES`]. Times are read in the unit that most writers use.
static LEFT_OUT: Interface = Interface {
    link: LinkType::BeyondInterfaces(MAX_INTERFACES as u32),
    link_number: 0,
    name: None,
    snap_len: 0,
    resolution: Resolution::Decimal(6),
    offset_seconds: 0,
};

/// Unit of an interface's timestamps.
#[derive(Clone, Copy, Debug)]
enum Resolution {
    /// 10^-n seconds.
    Decimal(u32),
    /// 2^-n seconds.
    Binary(u32),
}

impl Resolution {
    fn nanoseconds(self, ticks: u64) -> u64 {
        match self {
            Self::Decimal(n @ 0..=9) => ticks.saturating_mul(10_u64.pow(9 - n)),
            Self::Decimal(n) => 10_u64.checked_pow(n - 9).map_or(0, |unit| ticks / unit),
            Self::Binary(n @ 0..=63) => {
                let nanoseconds = (u128::from(ticks) * 1_000_000_000) >> n;
                u64::try_from(nanoseconds).unwrap_or(u64::MAX)
            }
            Self::Binary(_) => 0,
        }
    }
}

/// A name as it is kept.
fn name_of(bytes: &[u8]) -> Box<str> {
    let kept = bytes.get(..LONGEST_NAME).unwrap_or(bytes);
    let mut name = String::from_utf8_lossy(kept).into_owned();
    if kept.len() < bytes.len() || name.len() > LONGEST_NAME {
        // Also a character that the cut went through, and what stands for bytes that are no UTF-8.
        name.truncate(name.floor_char_boundary(LONGEST_NAME - '…'.len_utf8()));
        name.push('…');
    }
    name.into()
}

fn block_of(len: usize, offset: u64) -> CaptureError {
    CaptureError::Damaged { offset, what: format!("a block of {len} bytes") }
}

/// State of one file.
#[derive(Debug, Default)]
pub(super) struct Pcapng {
    swapped: bool,
    /// Sections that have begun.
    sections: u32,
    /// One of them is evidence that rstprobe has kept.
    pub(super) is_evidence: bool,
    interfaces: Vec<Interface>,
    /// Descriptions of the section that found no room there.
    left_out: u32,
    last_ns: u64,
}

impl Pcapng {
    /// Offers packets, as long as the next block is one, is in the buffer already, and nothing is wrong with it.
    #[inline(always)]
    pub(super) fn offer_in_memory(&mut self, input: &mut Input, to: &mut impl Take) {
        loop {
            let ready = input.available();
            let Some((len, found, from)) = self.in_memory(ready, input.offset()) else { return };
            let Found { time_ns, wire_len, link, .. } = found;
            let Some(bytes) = ready.get(from..from + found.len) else { return };
            let took = to.take(&Frame { time_ns, wire_len, link, bytes });
            if took == Took::Nothing {
                return;
            }
            self.last_ns = time_ns;
            input.consume(len);
            if took == Took::Last {
                return;
            }
        }
    }

    /// Length of the next block, what it says of its packet, and where in it that is.
    fn in_memory(&self, ready: &[u8], offset: u64) -> Option<(usize, Found, usize)> {
        if ready.len() < 12 || self.word(ready, 0) != ENHANCED_PACKET {
            return None;
        }
        let len = self.word(ready, 4) as usize;
        if !(12..=ready.len()).contains(&len) || !len.is_multiple_of(4) {
            return None;
        }
        let (found, at) = self.packet(ENHANCED_PACKET, &ready[8..len - 4], offset).ok()?;
        Some((len, found, 8 + at))
    }

    /// Consumes blocks up to and including the next packet.
    pub(super) fn next(&mut self, input: &mut Input) -> Result<Next, CaptureError> {
        loop {
            let offset = input.offset();
            let have = input.fill(HEAD)?;
            if have == 0 {
                return Ok(Next::End);
            }
            if have < HEAD {
                return Err(CaptureError::Truncated { offset, missing: (HEAD - have) as u64 });
            }
            if self.word(input.available(), 0) != SECTION_HEADER && magic::is_joined(input)? {
                return Ok(Next::Joined);
            }
            let (kind, said) = self.block_header(input, offset)?;
            let len = if said.is_multiple_of(4) { said } else { self.unrounded(input, said)? };
            if !matches!(kind, SECTION_HEADER | INTERFACE | PACKET | SIMPLE_PACKET | ENHANCED_PACKET) {
                input.skip(len as u64)?;
                continue;
            }
            let have = input.fill(len)?;
            if have < len {
                return Err(CaptureError::Truncated { offset, missing: (len - have) as u64 });
            }
            let found = self.block(kind, &input.available()[8..len - 4], offset)?;
            input.consume(len);
            if let Some((found, at)) = found {
                self.last_ns = found.time_ns;
                return Ok(Next::Frame(Found { back: len - 8 - at, ..found }));
            }
        }
    }

    /// Takes what a block says; its packet, if it is one, and where in `body` that is.
    fn block(&mut self, kind: u32, body: &[u8], offset: u64) -> Result<Option<(Found, usize)>, CaptureError> {
        match kind {
            SECTION_HEADER => {
                self.sections = self.sections.wrapping_add(1);
                self.interfaces.clear();
                self.left_out = 0;
                let writer = body.get(16..).and_then(|options| self.option(options, OPTION_USER_APPLICATION));
                self.is_evidence |= writer.is_some_and(|name| name.starts_with(b"rstprobe "));
            }
            INTERFACE if self.interfaces.len() >= MAX_INTERFACES => self.left_out = self.left_out.saturating_add(1),
            INTERFACE => {
                let interface = self.interface(body, offset)?;
                self.interfaces.push(interface);
            }
            _ => return self.packet(kind, body, offset).map(Some),
        }
        Ok(None)
    }

    /// Type and total length of the block at hand. A section header also sets the byte order.
    fn block_header(&mut self, input: &Input, offset: u64) -> Result<(u32, usize), CaptureError> {
        let head = input.available();
        if self.word(head, 0) == SECTION_HEADER {
            self.swapped = match u32::from_ne_bytes([head[8], head[9], head[10], head[11]]) {
                BYTE_ORDER_MAGIC => false,
                other if other.swap_bytes() == BYTE_ORDER_MAGIC => true,
                other => {
                    let what = format!("a section with byte-order magic {other:08x}");
                    return Err(CaptureError::Damaged { offset, what });
                }
            };
        }
        let (kind, len) = (self.word(head, 0), self.word(head, 4) as usize);
        if len < HEAD {
            return Err(block_of(len, offset));
        }
        Ok((kind, len))
    }

    /// Where a block ends that says a length which is no multiple of four (some writers leave out the padding that is
    /// there, others leave out the padding itself): where its length is said again.
    #[cold]
    fn unrounded(&self, input: &mut Input, said: usize) -> Result<usize, CaptureError> {
        let offset = input.offset();
        let rounded = said.next_multiple_of(4);
        input.fill(rounded)?;
        let said_again = |end: usize| {
            let last = input.available().get(end - 4..end)?;
            let again = self.word(last, 0) as usize;
            (again == said || again == rounded).then_some(end)
        };
        said_again(rounded).or_else(|| said_again(said)).ok_or_else(|| block_of(said, offset))
    }

    fn interface(&self, body: &[u8], offset: u64) -> Result<Interface, CaptureError> {
        if body.len() < 8 {
            return Err(CaptureError::Damaged { offset, what: "an interface block without its fields".into() });
        }
        let link_number = self.half(body, 0);
        let mut interface = Interface {
            link: LinkType::from_number(u32::from(link_number)),
            link_number,
            name: None,
            snap_len: self.word(body, 4) as usize,
            resolution: Resolution::Decimal(6),
            offset_seconds: 0,
        };
        let mut options = &body[8..];
        while options.len() >= 4 {
            let (code, len) = (self.half(options, 0), usize::from(self.half(options, 2)));
            let Some(value) = options.get(4..4 + len) else { break };
            match (code, value) {
                (0, _) => break,
                (OPTION_IF_NAME, name) => interface.name = Some(name_of(name)),
                (OPTION_TSRESOL, &[exponent]) if exponent & 0x80 != 0 => {
                    interface.resolution = Resolution::Binary(u32::from(exponent & 0x7f));
                }
                (OPTION_TSRESOL, &[exponent]) => interface.resolution = Resolution::Decimal(u32::from(exponent)),
                (OPTION_TSOFFSET, value) if value.len() == 8 => {
                    let (low, high) = (self.word(value, 0), self.word(value, 4));
                    let (low, high) = if self.is_big_endian() { (high, low) } else { (low, high) };
                    interface.offset_seconds = (u64::from(high) << 32 | u64::from(low)).cast_signed();
                }
                _ => {}
            }
            options = options.get(4 + len.next_multiple_of(4)..).unwrap_or_default();
        }
        Ok(interface)
    }

    /// A packet block: what it says, and where in `body` its bytes are.
    fn packet(&self, kind: u32, body: &[u8], offset: u64) -> Result<(Found, usize), CaptureError> {
        let damaged = |what: &str| CaptureError::Damaged { offset, what: what.into() };
        let fields = if kind == SIMPLE_PACKET { 4 } else { 20 };
        if body.len() < fields {
            return Err(damaged("a packet block without its fields"));
        }
        let number = match kind {
            SIMPLE_PACKET => 0,
            PACKET => usize::from(self.half(body, 0)),
            _ => self.word(body, 0) as usize,
        };
        let Some(interface) = self.interfaces.get(number).or_else(|| self.left_out(number)) else {
            return Err(damaged(&format!("a packet of interface {number}, which was not described")));
        };
        let (time_ns, len, wire_len) = if kind == SIMPLE_PACKET {
            let wire_len = self.word(body, 0) as usize;
            let snap = if interface.snap_len == 0 { usize::MAX } else { interface.snap_len };
            (self.last_ns, wire_len.min(snap).min(body.len() - 4), wire_len)
        } else {
            let ticks = u64::from(self.word(body, 4)) << 32 | u64::from(self.word(body, 8));
            let seconds = interface.offset_seconds.saturating_mul(1_000_000_000);
            let time = interface.resolution.nanoseconds(ticks).saturating_add_signed(seconds);
            (time, self.word(body, 12) as usize, self.word(body, 16) as usize)
        };
        if body.len() < fields + len {
            return Err(damaged(&format!("a packet of {len} bytes in a smaller block")));
        }
        let found = Found { time_ns, wire_len, link: interface.link, interface: number as u32, back: 0, len };
        Ok((found, fields))
    }

    /// Stands for an interface that was described and found no room: where its frames end is known, and no more.
    #[cold]
    fn left_out(&self, number: usize) -> Option<&'static Interface> {
        let is_described = number < self.interfaces.len() + self.left_out as usize;
        is_described.then_some(&LEFT_OUT)
    }

    /// What the section says of one of its interfaces.
    pub(super) fn captured_on(&self, number: u32) -> CapturedOn<'_> {
        let interface = self.interfaces.get(number as usize);
        CapturedOn {
            section: self.sections.saturating_sub(1),
            number,
            name: interface.and_then(|interface| interface.name.as_deref()),
            link_number: interface.map_or(0, |interface| interface.link_number),
        }
    }

    /// The first comment among the options of a packet.
    pub(super) fn comment<'a>(&self, options: &'a [u8]) -> Option<&'a str> {
        str::from_utf8(self.option(options, OPTION_COMMENT)?).ok()
    }

    /// The first option of this code.
    fn option<'a>(&self, mut options: &'a [u8], wanted: u16) -> Option<&'a [u8]> {
        while options.len() >= 4 {
            let (code, len) = (self.half(options, 0), usize::from(self.half(options, 2)));
            let value = options.get(4..4 + len)?;
            match code {
                _ if code == wanted => return Some(value),
                OPTION_END => return None,
                _ => options = options.get(4 + len.next_multiple_of(4)..)?,
            }
        }
        None
    }

    /// Sections that have begun.
    pub(super) fn sections(&self) -> u32 {
        self.sections
    }

    fn is_big_endian(&self) -> bool {
        self.swapped != cfg!(target_endian = "big")
    }

    fn word(&self, bytes: &[u8], at: usize) -> u32 {
        let word = u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        if self.swapped { word.swap_bytes() } else { word }
    }

    fn half(&self, bytes: &[u8], at: usize) -> u16 {
        let half = u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        if self.swapped { half.swap_bytes() } else { half }
    }
}

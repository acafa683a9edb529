//! Frames of a capture, whatever its format.

use std::io::Read;
use std::path::Path;

use super::erf::{self, Erf};
use super::error::CaptureError;
use super::input::Input;
use super::link::LinkType;
use super::pcap::{self, Pcap};
use super::pcapng::{self, Pcapng};
use super::snoop::{self, Snoop};

/// One frame as captured.
#[derive(Clone, Copy, Debug)]
pub struct Frame<'a> {
    /// When, nanoseconds since the Unix epoch.
    pub time_ns: u64,
    /// Length on the wire, as the capture says; what was captured may be less.
    pub wire_len: usize,
    /// What the bytes begin with.
    pub link: LinkType,
    /// What was captured.
    pub bytes: &'a [u8],
}

/// What a capture says of the interface that a frame was captured on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CapturedOn<'a> {
    /// Section of the file, from 0; only pcapng, and captures that were joined, have more than one.
    pub section: u32,
    /// Number of the interface within its section, from 0.
    pub number: u32,
    /// Its name, if the file has one.
    pub name: Option<&'a str>,
    /// Type of link by its number in the file, of which [`LinkType`] may not know more.
    pub link_number: u16,
}

/// What one who is offered frames did with the last one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Took {
    /// Took it, and takes more.
    More,
    /// Took it, and takes no more.
    Last,
    /// Left it: it will be the next one.
    Nothing,
}

/// Takes frames.
pub trait Take {
    /// Takes the next one, or not.
    fn take(&mut self, frame: &Frame<'_>) -> Took;
}

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
    Snoop(Snoop),
    Erf,
}

impl Format {
    /// Reads what a capture begins with; `None` when it is the end.
    fn open(input: &mut Input) -> Result<Option<Self>, CaptureError> {
        let len = input.fill(snoop::MAGIC.len())?;
        let Some(magic) = input.available().first_chunk::<4>() else {
            return if len == 0 { Ok(None) } else { Err(CaptureError::TooShort { len: len as u64 }) };
        };
        let magic = u32::from_be_bytes(*magic);
        Ok(Some(if magic == pcapng::SECTION_HEADER {
            Self::Pcapng(Pcapng::default())
        } else if input.available().starts_with(&snoop::MAGIC) {
            Self::Snoop(Snoop::open(input)?)
        } else if pcap::is_magic(magic) || !erf::is_erf(input)? {
            Self::Pcap(Pcap::open(input, magic)?)
        } else {
            Self::Erf
        }))
    }

    #[inline]
    fn next(&mut self, input: &mut Input) -> Result<Next, CaptureError> {
        match self {
            Self::Pcap(pcap) => pcap.next(input),
            Self::Pcapng(pcapng) => pcapng.next(input),
            Self::Snoop(snoop) => snoop.next(input),
            Self::Erf => Erf::next(input),
        }
    }

    fn captured_on(&self, interface: u32) -> CapturedOn<'_> {
        match self {
            Self::Pcap(pcap) => pcap.captured_on(),
            Self::Pcapng(pcapng) => pcapng.captured_on(interface),
            Self::Snoop(snoop) => snoop.captured_on(),
            Self::Erf => Erf::captured_on(),
        }
    }

    /// Sections so far.
    fn sections(&self) -> u32 {
        if let Self::Pcapng(pcapng) = self { pcapng.sections() } else { 1 }
    }
}

/// Whether another capture begins where a record would: files are joined by `cat`, which none of the formats but pcapng
/// foresees.
#[inline]
pub(super) fn is_joined(input: &mut Input) -> Result<bool, CaptureError> {
    let Some(magic) = input.available().first_chunk::<4>() else { return Ok(false) };
    let magic = u32::from_be_bytes(*magic);
    Ok(if pcap::is_magic(magic) {
        pcap::is_file_header(input)?
    } else if magic == pcapng::SECTION_HEADER {
        pcapng::is_section(input)?
    } else if snoop::MAGIC.starts_with(&magic.to_be_bytes()) {
        input.fill(snoop::MAGIC.len())?;
        input.available().starts_with(&snoop::MAGIC)
    } else {
        false
    })
}

/// A capture that is read from its beginning to its end.
pub struct CaptureFile {
    input: Input,
    format: Format,
    /// Sections of captures before, in the same file.
    sections: u32,
    failed: bool,
}

/// What a capture has next.
pub(super) enum Next {
    /// A frame, which was consumed.
    Frame(Found),
    /// Nothing.
    End,
    /// Another capture.
    Joined,
}

/// Where the next frame is, relative to what was just consumed.
#[derive(Clone, Copy)]
pub(super) struct Found {
    pub(super) time_ns: u64,
    pub(super) wire_len: usize,
    pub(super) link: LinkType,
    /// Number of the interface.
    pub(super) interface: u32,
    /// Distance from the first captured byte to the input's next byte.
    pub(super) back: usize,
    pub(super) len: usize,
}

impl CaptureFile {
    /// Opens a capture; `-` is standard input. The first bytes decide about the format, not the name.
    ///
    /// # Errors
    /// When it cannot be opened or does not begin like a capture.
    pub fn open(path: &Path) -> Result<Self, CaptureError> {
        Self::new(Input::open(path)?)
    }

    /// Reads a capture from anything that yields bytes.
    ///
    /// # Errors
    /// When it does not begin like a capture.
    pub fn from_reader(reader: impl Read + Send + 'static) -> Result<Self, CaptureError> {
        Self::new(Input::from_reader(Box::new(reader))?)
    }

    fn new(mut input: Input) -> Result<Self, CaptureError> {
        let format = Format::open(&mut input)?.ok_or(CaptureError::TooShort { len: 0 })?;
        Ok(Self { input, format, sections: 0, failed: false })
    }

    /// Offers the frames that can be had without reading, as long as they are taken. That there are no more of them says
    /// nothing of whether there are more in the file.
    #[inline(always)]
    pub fn offer_at_hand(&mut self, to: &mut impl Take) {
        match &mut self.format {
            _ if self.failed => {}
            Format::Pcap(pcap) => pcap.offer_at_hand(&mut self.input, to),
            Format::Pcapng(pcapng) => pcapng.offer_at_hand(&mut self.input, to),
            Format::Snoop(_) | Format::Erf => {}
        }
    }

    /// The next frame; `None` at the end. After an error there are no more frames.
    ///
    /// # Errors
    /// When the file is truncated, damaged or unreadable from here on; everything before was yielded.
    #[inline]
    pub fn next_frame(&mut self) -> Result<Option<Frame<'_>>, CaptureError> {
        Ok(self.find()?.map(|found| self.frame(found)))
    }

    /// As [`Self::next_frame`], with the interface that it was captured on.
    ///
    /// # Errors
    /// As [`Self::next_frame`].
    pub fn next_with_interface(&mut self) -> Result<Option<(Frame<'_>, CapturedOn<'_>)>, CaptureError> {
        let Some(found) = self.find()? else { return Ok(None) };
        let captured_on = self.format.captured_on(found.interface);
        let captured_on = CapturedOn { section: self.sections.wrapping_add(captured_on.section), ..captured_on };
        Ok(Some((self.frame(found), captured_on)))
    }

    #[inline]
    fn find(&mut self) -> Result<Option<Found>, CaptureError> {
        if self.failed {
            return Ok(None);
        }
        let found = self.find_in_any();
        self.failed = found.is_err();
        found
    }

    /// In this capture, or in one that is joined to it.
    #[inline]
    fn find_in_any(&mut self) -> Result<Option<Found>, CaptureError> {
        loop {
            match self.format.next(&mut self.input)? {
                Next::Frame(found) => return Ok(Some(found)),
                Next::End => return Ok(None),
                Next::Joined => {
                    self.sections = self.sections.wrapping_add(self.format.sections());
                    let Some(format) = Format::open(&mut self.input)? else { return Ok(None) };
                    self.format = format;
                }
            }
        }
    }

    #[inline]
    fn frame(&self, found: Found) -> Frame<'_> {
        let Found { time_ns, wire_len, link, back, len, .. } = found;
        Frame { time_ns, wire_len, link, bytes: self.input.consumed(back, len) }
    }
}

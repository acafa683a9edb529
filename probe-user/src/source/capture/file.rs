//! Capture file: yields its frames, whatever its format.

use std::io::Read;
use std::path::Path;

use super::erf::{self, Erf};
use super::error::CaptureError;
use super::frame::{CapturedOn, Found, Frame, Next, Take};
use super::input::Input;
use super::magic;
use super::pcap::Pcap;
use super::pcapng::Pcapng;
use super::snoop::Snoop;

enum Format {
    Pcap(Pcap),
    Pcapng(Pcapng),
    Snoop(Snoop),
    Erf,
}

impl Format {
    /// Reads what a capture begins with; `None` when it is the end.
    fn open(input: &mut Input) -> Result<Option<Self>, CaptureError> {
        let len = input.fill(magic::SNOOP.len())?;
        let Some(first) = input.available().first_chunk::<4>() else {
            return if len == 0 { Ok(None) } else { Err(CaptureError::TooShort { len: len as u64 }) };
        };
        let first = u32::from_be_bytes(*first);
        Ok(Some(if first == magic::PCAPNG {
            Self::Pcapng(Pcapng::default())
        } else if input.available().starts_with(&magic::SNOOP) {
            Self::Snoop(Snoop::open(input)?)
        } else if magic::is_pcap(first) || !erf::is_erf(input)? {
            Self::Pcap(Pcap::open(input, first)?)
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

/// A frame with what its capture says of it.
pub struct CommentedFrame<'a> {
    /// The frame.
    pub frame: Frame<'a>,
    /// Its comment.
    pub comment: Option<&'a str>,
    /// Number of the capture in the file, as [`CaptureFile::joined_at`] counts them.
    pub part: usize,
}

/// A capture that is read from its beginning to its end.
pub struct CaptureFile {
    input: Input,
    format: Format,
    /// Sections of captures before, in the same file.
    sections: u32,
    /// Where further captures begin that were joined to the first, bytes of what is uncompressed.
    joined_at: Vec<u64>,
    failed: bool,
}

/// Places that are noted of captures that were joined.
const MAX_JOINED: usize = 1 << 12;

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
        Ok(Self { input, format, sections: 0, joined_at: Vec::new(), failed: false })
    }

    /// Offers the frames that can be had without reading, as long as they are taken. That there are no more of them says
    /// nothing of whether there are more in the file.
    #[inline(always)]
    pub fn offer_in_memory(&mut self, to: &mut impl Take) {
        match &mut self.format {
            _ if self.failed => {}
            Format::Pcap(pcap) => pcap.offer_in_memory(&mut self.input, to),
            Format::Pcapng(pcapng) => pcapng.offer_in_memory(&mut self.input, to),
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

    /// As [`Self::next_frame`], with the packet's comment where the format has comments and the packet has one.
    ///
    /// # Errors
    /// As [`Self::next_frame`].
    pub fn next_with_comment(&mut self) -> Result<Option<CommentedFrame<'_>>, CaptureError> {
        let Some(found) = self.find()? else { return Ok(None) };
        let comment = match &self.format {
            Format::Pcapng(pcapng) => {
                // What follows the packet in its block, without the block's length at the end.
                let options = found.back.saturating_sub(found.len.next_multiple_of(4));
                pcapng.comment(self.input.consumed(options, options.saturating_sub(4)))
            }
            Format::Pcap(_) | Format::Snoop(_) | Format::Erf => None,
        };
        Ok(Some(CommentedFrame { frame: self.frame(found), comment, part: self.joined_at.len() }))
    }

    /// Where in the file, uncompressed, captures begin that `cat` has joined to the first, until the last frame.
    pub fn joined_at(&self) -> &[u64] {
        &self.joined_at
    }

    /// Whether it is evidence: what `--evidence` of rstprobe has kept, as far as it has been read.
    pub fn is_evidence(&self) -> bool {
        matches!(&self.format, Format::Pcapng(pcapng) if pcapng.is_evidence)
    }

    /// Has its compression, if there is one, undone in a thread of its own from here on. The thread begins at once, gets ahead by
    /// a few megabytes and goes with this value; `is_file` says that nothing has to be waited for.
    pub fn undo_beside(&mut self, is_file: bool) {
        self.input.undo_beside(is_file);
    }

    /// The program that undoes the compression of the file.
    pub fn decompressor(&self) -> Option<&'static str> {
        self.input.decompressor()
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
                    if self.joined_at.len() < MAX_JOINED {
                        self.joined_at.push(self.input.offset());
                    }
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

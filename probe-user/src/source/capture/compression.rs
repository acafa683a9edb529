//! Compressed captures: gzip (RFC 1952) and Zstandard (RFC 8878) undone while reading, as `gzip -d` and `zstd -d` do.
//!
//! zstd is undone by libzstd, in frames that need at most 128 MiB of what was before, as `zstd -d` itself refuses others.
//!
//! Members and frames follow each other in any number, empty ones too: none costs more than itself, and none a place on
//! the stack.
//!
//! Must not know: what the bytes are of.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use zstd::stream::raw::{Decoder, InBuffer, Operation as _, OutBuffer};

const BUFFER: usize = 1 << 16;
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
const ZSTD_MAGIC: u32 = 0xfd2f_b528;
/// The last four bits of a skippable frame's magic number may be any.
const SKIPPABLE_MAGIC: u32 = 0x184d_2a50;

type Bytes = Box<dyn Read + Send>;

/// How bytes are compressed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    /// As the first four bytes tell; `None` when they are not.
    pub(super) fn of(head: &[u8]) -> Option<Self> {
        let magic = head.first_chunk().map_or(0, |&magic| u32::from_le_bytes(magic));
        if head.starts_with(&GZIP_MAGIC) {
            return Some(Self::Gzip);
        }
        (magic == ZSTD_MAGIC || is_skippable(magic)).then_some(Self::Zstd)
    }

    /// The program that undoes it.
    pub(super) fn program(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    /// The bytes uncompressed.
    pub(super) fn undone(self, bytes: Bytes) -> Bytes {
        match self {
            Self::Gzip => Box::new(GzipMembers::new(bytes)),
            Self::Zstd => Box::new(ZstdFrames::new(bytes)),
        }
    }
}

fn is_skippable(magic: u32) -> bool {
    magic & !0x0f == SKIPPABLE_MAGIC
}

/// gzip members one after the other, and the zeros with which they may be padded.
struct GzipMembers {
    decoder: GzDecoder<BufReader<Bytes>>,
    /// Every member was read to its end.
    is_over: bool,
}

impl GzipMembers {
    fn new(reader: Bytes) -> Self {
        Self { decoder: GzDecoder::new(BufReader::with_capacity(BUFFER, reader)), is_over: false }
    }

    /// Begins the next member; false at the end of the file.
    fn next_member(&mut self) -> io::Result<bool> {
        let source = self.decoder.get_mut();
        loop {
            let ready = source.fill_buf()?;
            if ready.is_empty() {
                return Ok(false);
            }
            let padding = ready.iter().take_while(|byte| **byte == 0).count();
            if padding == 0 {
                break;
            }
            source.consume(padding);
        }
        if source.fill_buf()?.first() != Some(&GZIP_MAGIC[0]) {
            let what = "other bytes follow the gzip data; what is before them was read";
            return Err(io::Error::new(io::ErrorKind::InvalidData, what));
        }
        // Only to have the decoder reset: its reader must be taken out for that.
        let source = self.decoder.reset(BufReader::with_capacity(0, Box::new(io::empty())));
        drop(self.decoder.reset(source));
        Ok(true)
    }
}

impl Read for GzipMembers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while !self.is_over && !buffer.is_empty() {
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.is_over = !self.next_member()?;
        }
        Ok(0)
    }
}

/// Zstandard frames one after the other, skippable ones among them.
struct ZstdFrames {
    source: BufReader<Bytes>,
    /// Made for the first frame that has data.
    decoder: Option<Decoder<'static>>,
    /// Bytes that the current frame asks for next; none after its end.
    wanted: usize,
}

impl ZstdFrames {
    fn new(reader: Bytes) -> Self {
        Self { source: BufReader::with_capacity(BUFFER, reader), decoder: None, wanted: 0 }
    }

    /// Begins the next frame with data; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        loop {
            if self.source.fill_buf()?.is_empty() {
                return Ok(false);
            }
            let magic = self.word()?;
            if is_skippable(magic) {
                self.skip()?;
                continue;
            }
            if magic != ZSTD_MAGIC {
                let what = format!("{:08x} follows, where a zstd frame would begin", magic.swap_bytes());
                return Err(io::Error::new(io::ErrorKind::InvalidData, what));
            }
            let decoder = match &mut self.decoder {
                Some(decoder) => {
                    decoder.reinit()?;
                    decoder
                }
                none => none.insert(Decoder::new()?),
            };
            // It has to see what was looked at.
            let (magic, mut nowhere) = (magic.to_le_bytes(), [0_u8; 0]);
            self.wanted = decoder.run(&mut InBuffer::around(&magic), &mut OutBuffer::around(&mut nowhere[..]))?;
            return Ok(true);
        }
    }

    fn word(&mut self) -> io::Result<u32> {
        let mut word = [0; 4];
        self.source.read_exact(&mut word)?;
        Ok(u32::from_le_bytes(word))
    }

    fn skip(&mut self) -> io::Result<()> {
        let len = u64::from(self.word()?);
        let skipped = io::copy(&mut (&mut self.source).take(len), &mut io::sink())?;
        if skipped < len { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(()) }
    }

    /// What the current frame has next; nothing at its end.
    fn read_frame(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(decoder) = self.decoder.as_mut() else { return Ok(0) };
        let mut into = OutBuffer::around(buffer);
        while self.wanted > 0 && into.pos() == 0 {
            let ready = self.source.fill_buf()?;
            // No more than it asks for, which is one block: an error takes away what the same call has had before.
            let mut from = InBuffer::around(&ready[..ready.len().min(self.wanted)]);
            let is_over = ready.is_empty();
            self.wanted = decoder.run(&mut from, &mut into).map_err(said)?;
            let consumed = from.pos();
            self.source.consume(consumed);
            if is_over && self.wanted > 0 && into.pos() == 0 {
                let what = "the file ends in the middle of a zstd frame";
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, what));
            }
        }
        Ok(into.pos())
    }
}

/// What libzstd has to say, which names its errors in words only.
fn said(error: io::Error) -> io::Error {
    if error.to_string().contains("checksum") {
        return io::Error::new(io::ErrorKind::InvalidData, "the checksum of a zstd frame is wrong");
    }
    error
}

impl Read for ZstdFrames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.wanted > 0 {
                let read = self.read_frame(buffer)?;
                if read > 0 {
                    return Ok(read);
                }
            } else if !self.next_frame()? {
                return Ok(0);
            }
        }
    }
}

#[cfg(test)]
mod tests;

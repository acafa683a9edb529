//! Compressed captures: gzip (RFC 1952) and Zstandard (RFC 8878) undone while reading, as `gzip -d` and `zstd -d` do.
//!
//! Members and frames follow each other in any number, empty ones too: none costs more than itself, and none a place on
//! the stack.
//!
//! Must not know: what the bytes are of.

use std::io::{self, BufRead, BufReader, Read};

use flate2::bufread::GzDecoder;
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

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
    decoder: FrameDecoder,
    is_in_frame: bool,
}

impl ZstdFrames {
    fn new(reader: Bytes) -> Self {
        let source = BufReader::with_capacity(BUFFER, reader);
        Self { source, decoder: FrameDecoder::new(), is_in_frame: false }
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
            let magic = magic.to_le_bytes();
            if let Err(error) = self.decoder.reset((&magic[..]).chain(&mut self.source)) {
                return Err(self.failed(error));
            }
            self.is_in_frame = true;
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

    /// What went wrong within a frame: nothing but that there are no more bytes, if there are none.
    fn failed(&mut self, error: impl std::error::Error + Send + Sync + 'static) -> io::Error {
        if self.source.fill_buf().is_ok_and(<[u8]>::is_empty) {
            return io::Error::new(io::ErrorKind::UnexpectedEof, "the file ends in the middle of a zstd frame");
        }
        io::Error::other(error)
    }

    /// What the current frame has next; nothing at its end.
    fn read_frame(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
            let blocks = BlockDecodingStrategy::UptoBlocks(1);
            if let Err(error) = self.decoder.decode_blocks(&mut self.source, blocks) {
                return Err(self.failed(error));
            }
        }
        let read = self.decoder.read(buffer)?;
        if read == 0 {
            self.is_in_frame = false;
            let (said, counted) = (self.decoder.get_checksum_from_data(), self.decoder.get_calculated_checksum());
            if said.is_some() && said != counted {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the checksum of a zstd frame is wrong"));
            }
        }
        Ok(read)
    }
}

impl Read for ZstdFrames {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.is_in_frame {
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

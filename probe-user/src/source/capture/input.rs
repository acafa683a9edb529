//! Bytes of a capture through one large buffer; gzip and zstd are undone on the way.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::Path;

use super::compression::Compression;
use super::error::CaptureError;

/// Small enough to stay in the second level cache, where the frames are looked at.
const BUFFER: usize = 1 << 16;
/// No record may be larger: a length field beyond it is damage.
const LARGEST_RECORD: usize = 64 << 20;

/// A forward reader that lends slices of its buffer.
pub(super) struct Input {
    reader: Box<dyn Read + Send>,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of the buffer's beginning in the uncompressed capture.
    base: u64,
    ended: bool,
    compression: Option<Compression>,
}

impl Input {
    /// Opens a path; `-` is standard input.
    pub(super) fn open(path: &Path) -> Result<Self, CaptureError> {
        let not_open = |source| CaptureError::Open { source };
        let is_stdin = path.as_os_str() == "-";
        let file = if is_stdin { io::stdin().as_fd().try_clone_to_owned().map(File::from) } else { File::open(path) };
        let file = file.map_err(not_open)?;
        // A directory can be opened, and only reading it fails.
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(not_open(io::ErrorKind::IsADirectory.into()));
        }
        Self::from_reader(Box::new(file))
    }

    /// Looks at the first bytes and puts a decompressor before the reader when they ask for one.
    pub(super) fn from_reader(reader: Box<dyn Read + Send>) -> Result<Self, CaptureError> {
        let mut plain = Self::over(reader);
        plain.fill(4)?;
        let Some(compression) = Compression::of(plain.available()) else { return Ok(plain) };
        let begun = io::Cursor::new(plain.available().to_vec());
        let undone = Self::over(compression.undone(Box::new(begun.chain(plain.reader))));
        Ok(Self { compression: Some(compression), ..undone })
    }

    fn over(reader: Box<dyn Read + Send>) -> Self {
        Self { reader, buffer: vec![0; BUFFER], start: 0, end: 0, base: 0, ended: false, compression: None }
    }

    /// The program that undoes the compression.
    pub(super) fn decompressor(&self) -> Option<&'static str> {
        self.compression.map(Compression::program)
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// What is in the buffer.
    #[inline(always)]
    pub(super) fn available(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Sees to it that `len` bytes are available, or all that are left; returns how many are.
    #[inline]
    pub(super) fn fill(&mut self, len: usize) -> Result<usize, CaptureError> {
        if self.end - self.start < len {
            self.refill(len)?;
        }
        Ok(self.end - self.start)
    }

    #[cold]
    fn refill(&mut self, len: usize) -> Result<(), CaptureError> {
        if len > LARGEST_RECORD {
            let what = format!("a record of {len} bytes");
            return Err(CaptureError::Damaged { offset: self.offset(), what });
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        while self.end < len && !self.ended {
            // No faster than bytes come: a few that announce a large record take no more memory than a few.
            if self.end == self.buffer.len() {
                self.buffer.resize((2 * self.buffer.len()).min(len.next_power_of_two()), 0);
            }
            match self.reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    let offset = self.base + self.end as u64;
                    return Err(CaptureError::Read { offset, source });
                }
            }
        }
        Ok(())
    }

    /// Goes `len` bytes on; they must be available.
    #[inline(always)]
    pub(super) fn consume(&mut self, len: usize) {
        let len = len.min(self.end - self.start);
        self.start += len;
    }

    /// Lends `len` bytes that are `back` bytes behind the next one: a record just consumed.
    #[inline(always)]
    pub(super) fn consumed(&self, back: usize, len: usize) -> &[u8] {
        let from = self.start.saturating_sub(back);
        self.buffer.get(from..from + len).unwrap_or_default()
    }

    /// Goes `len` bytes on, available or not.
    pub(super) fn skip(&mut self, mut len: u64) -> Result<(), CaptureError> {
        let offset = self.offset();
        while len > 0 {
            let step = usize::try_from(len).unwrap_or(usize::MAX).min(BUFFER);
            let have = self.fill(step)?.min(step);
            if have == 0 {
                return Err(CaptureError::Truncated { offset, missing: len });
            }
            self.consume(have);
            len -= have as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_alone_takes_no_memory() {
        let mut input = Input::over(Box::new(io::Cursor::new(vec![7; BUFFER + 10])));
        assert_eq!(input.fill(LARGEST_RECORD).expect("readable"), BUFFER + 10);
        assert_eq!(input.buffer.len(), 2 * BUFFER);
        assert!(input.available().iter().all(|byte| *byte == 7));
        assert!(input.fill(LARGEST_RECORD + 1).is_err());
    }

    #[test]
    fn a_record_larger_than_the_buffer_is_whole() {
        let bytes: Vec<u8> = (0..5 * BUFFER + 3).map(|at| (at % 251) as u8).collect();
        let mut input = Input::over(Box::new(io::Cursor::new(bytes.clone())));
        input.fill(BUFFER).expect("readable");
        input.consume(BUFFER - 1);
        assert!(input.fill(4 * BUFFER + 4).expect("readable") >= 4 * BUFFER + 4);
        assert_eq!(input.available()[..4 * BUFFER + 4], bytes[BUFFER - 1..]);
    }
}

//! Bytes of a capture through one large buffer; gzip and zstd are undone on the way.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd as _;
use std::path::Path;

use super::beside::{Beside, HEADROOM, Piece};
use super::compression::Compression;
use super::error::CaptureError;

/// Small enough to stay in the second level cache, where the frames are looked at.
const BUFFER: usize = 1 << 16;
/// No record may be larger: a length field beyond it is damage.
const LARGEST_RECORD: usize = 64 << 20;

/// Where bytes come from.
enum Source {
    /// They are read, and decompressed, when they are wanted.
    Here(Box<dyn Read + Send>),
    /// A thread does it.
    There(Beside),
}

/// A forward reader that lends slices of its buffer.
pub(super) struct Input {
    source: Source,
    buffer: Vec<u8>,
    start: usize,
    end: usize,
    /// Offset of the buffer's beginning in the uncompressed capture, modulo 2^64: there may be room before the first byte.
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
        let Source::Here(reader) = plain.source else { return Ok(plain) };
        let undone = Self::over(compression.undone(Box::new(begun.chain(reader))));
        Ok(Self { compression: Some(compression), ..undone })
    }

    /// Has what is compressed undone in a thread of its own from here on, which begins at once; `is_file` where it need not be
    /// waited for.
    pub(super) fn undo_beside(&mut self, is_file: bool) {
        if self.compression.is_none() {
            return;
        }
        self.source = match std::mem::replace(&mut self.source, Source::Here(Box::new(io::empty()))) {
            Source::Here(reader) => Beside::start(reader, is_file).map_or_else(Source::Here, Source::There),
            there @ Source::There(_) => there,
        };
    }

    fn over(reader: Box<dyn Read + Send>) -> Self {
        Self {
            source: Source::Here(reader),
            buffer: vec![0; BUFFER],
            start: 0,
            end: 0,
            base: 0,
            ended: false,
            compression: None,
        }
    }

    /// The program that undoes the compression.
    pub(super) fn decompressor(&self) -> Option<&'static str> {
        self.compression.map(Compression::program)
    }

    /// Offset of the next byte.
    pub(super) fn offset(&self) -> u64 {
        self.base.wrapping_add(self.start as u64)
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
        if let Source::There(_) = self.source {
            return self.take_pieces(len);
        }
        self.compact();
        while self.end < len && !self.ended {
            // No faster than bytes come: a few that announce a large record take no more memory than a few.
            if self.end == self.buffer.len() {
                self.buffer.resize((2 * self.buffer.len()).min(len.next_power_of_two()), 0);
            }
            let Source::Here(reader) = &mut self.source else { unreachable!("looked at before") };
            match reader.read(&mut self.buffer[self.end..]) {
                Ok(0) => self.ended = true,
                Ok(read) => self.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.unreadable(source)),
            }
        }
        Ok(())
    }

    /// The same of pieces that a thread has read.
    fn take_pieces(&mut self, len: usize) -> Result<(), CaptureError> {
        while self.end - self.start < len && !self.ended {
            let Source::There(beside) = &mut self.source else { unreachable!("looked at before") };
            match beside.next() {
                Ok(Some(piece)) => self.take_piece(piece),
                Ok(None) => self.ended = true,
                Err(source) => return Err(self.unreadable(source)),
            }
        }
        Ok(())
    }

    /// Goes on in its buffer, where there is room in front of it for what is left of this one.
    fn take_piece(&mut self, mut piece: Piece) {
        let left = self.end - self.start;
        let used = if left <= HEADROOM {
            let start = HEADROOM - left;
            piece.buffer[start..HEADROOM].copy_from_slice(&self.buffer[self.start..self.end]);
            self.base = self.offset().wrapping_sub(start as u64);
            (self.start, self.end) = (start, piece.end);
            std::mem::replace(&mut self.buffer, piece.buffer)
        } else {
            self.compact();
            let end = self.end + piece.end - HEADROOM;
            if end > self.buffer.len() {
                self.buffer.resize(end.next_power_of_two(), 0);
            }
            self.buffer[self.end..end].copy_from_slice(&piece.buffer[HEADROOM..piece.end]);
            self.end = end;
            piece.buffer
        };
        if let Source::There(beside) = &self.source {
            beside.give_back(used);
        }
    }

    fn compact(&mut self) {
        if self.start == 0 {
            return;
        }
        self.buffer.copy_within(self.start..self.end, 0);
        self.base = self.offset();
        self.end -= self.start;
        self.start = 0;
    }

    fn unreadable(&self, source: io::Error) -> CaptureError {
        CaptureError::Read { offset: self.base.wrapping_add(self.end as u64), source }
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

    /// Records of these lengths, one after the other, as [`Input::fill`] and [`Input::consume`] have them.
    fn records(input: &mut Input, lens: &[usize]) -> Vec<Vec<u8>> {
        let mut records = Vec::new();
        for len in lens {
            let (have, offset) = (input.fill(*len).expect("readable").min(*len), input.offset());
            records.push(input.available()[..have].to_vec());
            input.consume(have);
            assert_eq!(input.offset(), offset + have as u64);
            assert_eq!(input.consumed(have, have), records.last().expect("pushed"));
        }
        records
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        io::Write::write_all(&mut encoder, bytes).expect("in memory");
        encoder.finish().expect("in memory")
    }

    proptest::proptest! {
        #![proptest_config(proptest::test_runner::Config::with_cases(20))]

        /// Small ones, and those that are larger than what a buffer has room for in front.
        #[test]
        fn a_thread_reads_the_same(
            lens in proptest::collection::vec(proptest::prop_oneof![0..2000_usize, 0..400_000_usize], 1..12),
            before in 0..100_usize,
            cut in 0..3000_usize,
            is_file: bool,
        ) {
            let len = before + lens.iter().sum::<usize>();
            let bytes: Vec<u8> = (0..len.saturating_sub(cut)).map(|at| (at % 251) as u8).collect();
            let open = || Input::from_reader(Box::new(io::Cursor::new(gzip(&bytes)))).expect("readable");
            let (mut here, mut there) = (open(), open());
            let begun = (records(&mut here, &[before]), records(&mut there, &[before]));
            assert_eq!(begun.0, begun.1);
            there.undo_beside(is_file);
            assert!(matches!(there.source, Source::There(_)));
            assert_eq!(records(&mut here, &lens), records(&mut there, &lens));
            assert_eq!(here.offset(), there.offset());
        }
    }

    #[test]
    fn a_thread_says_what_is_wrong_where_it_is() {
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|at| (at / 5 * 7) as u8).collect();
        let mut cut = gzip(&bytes);
        cut.truncate(cut.len() * 2 / 3);
        let end = |is_beside: bool| {
            let mut input = Input::from_reader(Box::new(io::Cursor::new(cut.clone()))).expect("readable");
            if is_beside {
                input.undo_beside(true);
            }
            loop {
                match input.fill(1000) {
                    Ok(_) => input.consume(1000),
                    Err(error) => return (error.to_string(), input.available().to_vec()),
                }
            }
        };
        assert_eq!(end(true), end(false));
    }

    #[test]
    fn what_is_not_compressed_needs_no_thread() {
        let mut input = Input::from_reader(Box::new(io::Cursor::new(vec![7; 10]))).expect("readable");
        input.undo_beside(true);
        assert!(matches!(input.source, Source::Here(_)));
    }
}

//! Packer: gzip or zstd around what is written, for standard output and files.

use std::{
    io::{self, Write},
    path::Path,
};

use flate2::write::GzEncoder;

use crate::plan::Compression;

/// JSON lines at 0.5 GB/s of one core into a twelfth to a sixteenth; flate2's own choice, 6, takes twice the time for a fifth less.
const GZIP_LEVEL: u32 = 3;
/// JSON lines at 1.4 GB/s and more into a seventeenth to a 26th. 3, that of `zstd`, takes a third more time for nothing; fewer bytes
/// begin at 5, for four times the time.
const ZSTD_LEVEL: i32 = 1;

/// Compresses on the way to a writer.
pub(crate) enum Packer<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd(zstd::Encoder<'static, W>),
}

impl<W: Write> Packer<W> {
    /// Writes what `compression` says, if anything.
    ///
    /// # Errors
    /// There is no memory.
    pub(crate) fn new(compression: Option<Compression>, into: W) -> io::Result<Self> {
        Ok(match compression {
            None => Self::Plain(into),
            Some(Compression::Gzip) => Self::Gzip(GzEncoder::new(into, flate2::Compression::new(GZIP_LEVEL))),
            Some(Compression::Zstd) => {
                let mut encoder = zstd::Encoder::new(into, ZSTD_LEVEL)?;
                encoder.include_checksum(true)?;
                Self::Zstd(encoder)
            }
        })
    }

    /// Writes what is left, and the end.
    ///
    /// # Errors
    /// What writing says.
    pub(crate) fn finish(self) -> io::Result<()> {
        let mut into = match self {
            Self::Plain(into) => into,
            Self::Gzip(encoder) => encoder.finish()?,
            Self::Zstd(encoder) => encoder.finish()?,
        };
        into.flush()
    }
}

impl<W: Write> Write for Packer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(into) => into.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd(encoder) => encoder.write(bytes),
        }
    }

    /// All that was written can be read from then on.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(into) => into.flush(),
            Self::Gzip(encoder) => encoder.flush(),
            Self::Zstd(encoder) => encoder.flush(),
        }
    }
}

/// How a file of this name is written.
pub(crate) fn by_name(path: &Path) -> Option<Compression> {
    let extension = path.extension()?;
    [("gz", Compression::Gzip), ("zst", Compression::Zstd)]
        .into_iter()
        .find_map(|(name, compression)| (extension == name).then_some(compression))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    const BOTH: [Compression; 2] = [Compression::Gzip, Compression::Zstd];

    fn unpacked(compression: Compression, bytes: &[u8]) -> (String, io::Result<usize>) {
        let mut text = Vec::new();
        let read = match compression {
            Compression::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(&mut text),
            Compression::Zstd => zstd::Decoder::new(bytes).and_then(|mut decoder| decoder.read_to_end(&mut text)),
        };
        (String::from_utf8(text).expect("text"), read)
    }

    #[test]
    fn it_is_whole_when_it_is_finished_also_without_anything() {
        for compression in BOTH {
            for text in [String::new(), "a line\n".repeat(100_000)] {
                let mut bytes = Vec::new();
                let mut packer = Packer::new(Some(compression), &mut bytes).expect("memory");
                packer.write_all(text.as_bytes()).expect("in memory");
                packer.finish().expect("in memory");
                let (read, outcome) = unpacked(compression, &bytes);
                assert!(read == text && outcome.is_ok(), "{outcome:?}");
            }
        }
    }

    #[test]
    fn what_is_flushed_can_be_read_before_the_end() {
        for compression in BOTH {
            let mut packer = Packer::new(Some(compression), Vec::new()).expect("memory");
            packer.write_all(b"a line\n").expect("in memory");
            packer.flush().expect("in memory");
            let bytes = match &packer {
                Packer::Plain(bytes) => bytes,
                Packer::Gzip(encoder) => encoder.get_ref(),
                Packer::Zstd(encoder) => encoder.get_ref(),
            };
            let (read, outcome) = unpacked(compression, bytes);
            assert!(read == "a line\n" && outcome.is_err(), "it is not the end");
        }
    }

    #[test]
    fn names_end_in_how_a_file_is_written() {
        let of = |name: &str| by_name(Path::new(name));
        assert_eq!(["a.json.gz", "a.zst"].map(of), BOTH.map(Some));
        assert_eq!(["a.json", "gz", ".gz", "a.gz/b", "a.GZ", "-", "/dev/stdout"].map(of), [None; 7]);
    }
}

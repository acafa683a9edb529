//! Capture errors.

use std::io;

/// Why a capture could not be read, or not to its end. Offsets count bytes of the uncompressed capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file could not be opened.
    #[error("cannot be opened: {source}")]
    Open {
        /// What the system said.
        source: io::Error,
    },
    /// What can be read once only could not be copied.
    #[error("cannot copy it to a temporary file, to read it twice: {source}; write it to a file first, or set TMPDIR")]
    Spool {
        /// What the system said.
        source: io::Error,
    },
    /// Reading or decompressing failed.
    #[error("cannot read on at byte {offset}: {source}")]
    Read {
        /// Where.
        offset: u64,
        /// What the system or the decompressor said.
        source: io::Error,
    },
    /// The first bytes are those of no known capture format.
    #[error("not a capture: the file begins with {magic:08x}, as no pcap, pcapng, snoop or ERF file does{}", hint(*magic))]
    UnknownFormat {
        /// First four bytes, big endian.
        magic: u32,
    },
    /// The file is empty or too short for any capture.
    #[error("not a capture: only {len} bytes")]
    TooShort {
        /// Its length.
        len: u64,
    },
    /// The file ends in the middle of a record.
    #[error("truncated at byte {offset}: the last record needs {missing} bytes more")]
    Truncated {
        /// Where the incomplete record begins.
        offset: u64,
        /// Bytes that are missing.
        missing: u64,
    },
    /// A record contradicts itself.
    #[error("damaged at byte {offset}: {what}")]
    Damaged {
        /// Where the record begins.
        offset: u64,
        /// What is wrong with it.
        what: String,
    },
}

/// What to do about files that begin like that; big endian.
fn hint(magic: u32) -> &'static str {
    match magic {
        0xfd37_7a58 => "; it is compressed with xz: use `xz -dc FILE | rstprobe read -`",
        0x425a_6800..=0x425a_68ff => "; it is compressed with bzip2: use `bzip2 -dc FILE | rstprobe read -`",
        0x0422_4d18 => "; it is compressed with lz4: use `lz4 -dc FILE | rstprobe read -`",
        0x504b_0304 => "; it is a zip archive: use `unzip -p FILE | rstprobe read -`",
        _ => "; `file FILE` may know what it is, and `editcap` may convert it to pcapng",
    }
}

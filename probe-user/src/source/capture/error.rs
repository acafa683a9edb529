//! What can be wrong with a capture file.

use std::io;

/// Why a capture could not be read, or not to its end. Offsets count bytes of the uncompressed capture.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The file could not be opened.
    #[error("cannot open {path}: {source}")]
    Open {
        /// As given.
        path: String,
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
    #[error("not a capture: the file begins with {magic:08x}, which is neither pcap nor pcapng")]
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

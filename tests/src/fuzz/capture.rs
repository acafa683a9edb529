//! Captures: files of any format are read the same in one piece, in many, and once more compressed; all ways to take their
//! frames yield the same, and the books of decoder and tracker balance.

use std::io::{self, Cursor, Read};

use probe_user::{
    source::capture::{CaptureError, CaptureFile, Frame, Take, Took},
    tracker::{Tracker, TrackerConfig},
};

use crate::{
    fuzz::printable::assert_one_line,
    reading::{accounted, decoder, observe},
};

/// Frames of one file that are looked at, and bytes of them: a compressed file can have any number.
const MOST_FRAMES: usize = 1000;
const MOST_BYTES: usize = 1 << 20;

/// The target.
///
/// # Panics
/// When the same file is read in two ways with different results, or books do not balance.
pub fn run(bytes: &[u8]) {
    let whole = read(Cursor::new(bytes.to_vec()), one_by_one);
    let error = whole.error.as_deref();
    for (name, other) in [
        ("with interfaces", read(Cursor::new(bytes.to_vec()), with_interface)),
        ("with comments", read(Cursor::new(bytes.to_vec()), with_comment)),
        ("what is in memory first", read(Cursor::new(bytes.to_vec()), from_memory)),
    ] {
        assert_eq!((&other.frames, other.error.as_deref()), (&whole.frames, error), "{name}");
    }
    let pieces = read(Pieces { bytes: bytes.to_vec(), at: 0 }, one_by_one);
    if is_compressed(bytes) {
        // How much comes out before an error depends on how much went in at once.
        let len = whole.frames.len().min(pieces.frames.len());
        assert_eq!(whole.frames[..len], pieces.frames[..len], "in pieces");
    } else {
        assert_eq!((&pieces.frames, pieces.error.as_deref()), (&whole.frames, error), "in pieces");
        let again = read(Cursor::new(zstd_of(bytes)), one_by_one);
        // What is empty, or too short to tell, is not asked how it is compressed.
        if bytes.len() >= 4 {
            assert_eq!((&again.frames, again.error.as_deref()), (&whole.frames, error), "compressed");
        }
    }
    if let Some(error) = error {
        assert_one_line(error);
    }
    // With or without looking at checksums, as half of all files have it.
    track(bytes, bytes.len().is_multiple_of(2));
}

/// As gzip and zstd files begin, skippable frames of zstd included.
fn is_compressed(bytes: &[u8]) -> bool {
    matches!(bytes, [0x1f, 0x8b, ..] | [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// What came of a file.
struct Outcome {
    /// Time, length on the wire, bytes.
    frames: Vec<(u64, usize, Vec<u8>)>,
    error: Option<String>,
}

impl Outcome {
    /// Keeps a frame; false when that is enough.
    fn keep(&mut self, frame: &Frame<'_>) -> bool {
        self.frames.push((frame.time_ns, frame.wire_len, frame.bytes.to_vec()));
        let bytes: usize = self.frames.iter().rev().take(8).map(|(_, _, bytes)| bytes.len()).sum();
        self.frames.len() < MOST_FRAMES && bytes < MOST_BYTES
    }
}

type Way = fn(&mut CaptureFile, &mut Outcome) -> Result<bool, CaptureError>;

/// Reads a file to its end, or as far as there is interest; a step takes a frame or more, and says whether there are more.
fn read(bytes: impl Read + Send + 'static, step: Way) -> Outcome {
    let mut outcome = Outcome { frames: vec![], error: None };
    match CaptureFile::from_reader(bytes) {
        Err(error) => outcome.error = Some(error.to_string()),
        Ok(mut capture) => loop {
            match step(&mut capture, &mut outcome) {
                Ok(true) => {}
                Ok(false) => break,
                Err(error) => {
                    assert!(matches!(capture.next_frame(), Ok(None)), "there is more after an error");
                    outcome.error = Some(error.to_string());
                    break;
                }
            }
        },
    }
    outcome
}

fn one_by_one(capture: &mut CaptureFile, outcome: &mut Outcome) -> Result<bool, CaptureError> {
    Ok(capture.next_frame()?.is_some_and(|frame| outcome.keep(&frame)))
}

fn with_interface(capture: &mut CaptureFile, outcome: &mut Outcome) -> Result<bool, CaptureError> {
    let Some((frame, on)) = capture.next_with_interface()? else { return Ok(false) };
    assert!(on.name.is_none_or(|name| name.len() <= 256), "a name of any length");
    Ok(outcome.keep(&frame))
}

fn with_comment(capture: &mut CaptureFile, outcome: &mut Outcome) -> Result<bool, CaptureError> {
    Ok(capture.next_with_comment()?.is_some_and(|commented| outcome.keep(&commented.frame)))
}

fn from_memory(capture: &mut CaptureFile, outcome: &mut Outcome) -> Result<bool, CaptureError> {
    let mut taking = Taking { outcome, is_enough: false };
    capture.offer_in_memory(&mut taking);
    if taking.is_enough {
        return Ok(false);
    }
    one_by_one(capture, outcome)
}

/// Takes two frames at a time, and leaves the third.
struct Taking<'a> {
    outcome: &'a mut Outcome,
    is_enough: bool,
}

impl Take for Taking<'_> {
    fn take(&mut self, frame: &Frame<'_>) -> Took {
        if self.outcome.frames.len() % 3 == 2 {
            return Took::Nothing;
        }
        self.is_enough = !self.outcome.keep(frame);
        if self.is_enough { Took::Last } else { Took::More }
    }
}

/// A reader that gives a few bytes at a time.
struct Pieces {
    bytes: Vec<u8>,
    at: usize,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = &self.bytes[self.at..];
        let len = (1 + self.at % 61).min(rest.len()).min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        self.at += len;
        Ok(len)
    }
}

/// The same as one zstd frame of blocks that are not compressed (RFC 8878 3.1.1).
fn zstd_of(bytes: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 1 << 16;
    // A single segment, with its length in four bytes.
    let mut frame = [&[0x28, 0xb5, 0x2f, 0xfd, 0xa0][..], &(bytes.len() as u32).to_le_bytes()].concat();
    let blocks = bytes.chunks(BLOCK).count();
    for (number, block) in bytes.chunks(BLOCK).enumerate() {
        let header = (block.len() as u32) << 3 | u32::from(number + 1 == blocks);
        frame.extend(&header.to_le_bytes()[..3]);
        frame.extend(block);
    }
    if blocks == 0 {
        frame.extend([1, 0, 0]);
    }
    frame
}

/// Decoder and tracker, with few connections at once.
fn track(bytes: &[u8], verify: bool) {
    let Ok(mut capture) = CaptureFile::from_reader(Cursor::new(bytes.to_vec())) else { return };
    let mut tracker = Tracker::new(TrackerConfig { max_connections: 16, ..TrackerConfig::default() });
    let (mut decoder, mut frames, mut last_ns) = (decoder(verify), 0, 0);
    while let Ok(Some(frame)) = capture.next_frame() {
        last_ns = last_ns.max(frame.time_ns);
        observe(&mut tracker, &mut decoder, &frame);
        frames += 1;
        if frames == MOST_FRAMES {
            break;
        }
    }
    tracker.finish(last_ns);
    let (accounting, stats) = (decoder.accounting(), tracker.stats());
    assert_eq!((accounting.frames, accounted(accounting)), (frames as u64, frames as u64), "{accounting:?}");
    assert_eq!((stats.segments, stats.bad_checksums), (accounting.tcp, accounting.bad_tcp_checksum));
    assert_eq!((stats.created, stats.tracked), (stats.written, 0), "{stats:?}");
    assert_eq!(tracker.take_closed().len() as u64, stats.written);
}

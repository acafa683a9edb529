//! A thread that reads: everything in order, as it comes, and no thread that is left behind.

use std::{
    io::{Cursor, Write as _},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
};

use super::*;

/// Counts what was read, notes when it goes, and ends with an error.
struct Watched {
    bytes: Cursor<Vec<u8>>,
    /// Bytes of each read at most.
    step: usize,
    read: Arc<AtomicUsize>,
    is_gone: Arc<AtomicBool>,
    fails: bool,
}

impl Watched {
    fn new(bytes: Vec<u8>, step: usize) -> Self {
        let (read, is_gone) = (Arc::default(), Arc::default());
        Self { bytes: Cursor::new(bytes), step, read, is_gone, fails: false }
    }
}

impl Read for Watched {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let len = into.len().min(self.step);
        let read = self.bytes.read(&mut into[..len])?;
        self.read.fetch_add(read, SeqCst);
        if read == 0 && self.fails { Err(io::ErrorKind::InvalidData.into()) } else { Ok(read) }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.is_gone.store(true, SeqCst);
    }
}

fn bytes(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at % 251) as u8).collect()
}

fn start(reader: impl Read + Send + 'static, is_file: bool) -> Beside {
    Beside::start(Box::new(reader), is_file).ok().expect("a thread")
}

/// All that is left, piece by piece, and what ended it.
fn rest(beside: &mut Beside) -> (Vec<Vec<u8>>, Option<io::ErrorKind>) {
    let mut pieces = Vec::new();
    loop {
        match beside.next() {
            Ok(Some(Piece { buffer, end })) => {
                pieces.push(buffer[HEADROOM..end].to_vec());
                beside.give_back(buffer);
            }
            Ok(None) => return (pieces, None),
            Err(error) => return (pieces, Some(error.kind())),
        }
    }
}

#[test]
fn everything_comes_in_order_in_full_buffers() {
    for (len, step) in [(0, 1), (1, 1), (PIECE, 1000), (20 * PIECE + 7, PIECE), (3 * PIECE, 77_777)] {
        let (pieces, error) = rest(&mut start(Watched::new(bytes(len), step), true));
        assert_eq!((pieces.concat(), error), (bytes(len), None));
        assert_eq!(pieces.len(), len.div_ceil(PIECE), "{len} bytes, {step} at once");
    }
}

#[test]
fn what_was_read_comes_before_the_error() {
    for is_file in [true, false] {
        let mut reader = Watched::new(bytes(2 * PIECE + 5), 50_000);
        reader.fails = true;
        let (pieces, error) = rest(&mut start(reader, is_file));
        assert_eq!((pieces.concat(), error), (bytes(2 * PIECE + 5), Some(io::ErrorKind::InvalidData)));
    }
}

#[test]
fn what_comes_through_a_pipe_does_not_wait_for_more() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let mut beside = start(reader, false);
    for byte in 0..200 {
        writer.write_all(&[byte]).expect("there is room");
        let Piece { buffer, end } = beside.next().expect("no failure").expect("more");
        assert_eq!(buffer[HEADROOM..end], [byte]);
        beside.give_back(buffer);
    }
    drop(writer);
    assert!(beside.next().expect("no failure").is_none());
    assert!(beside.next().expect("no failure").is_none(), "and so on");
}

#[test]
fn it_gets_ahead_by_a_few_buffers_and_goes_when_nobody_wants_more() {
    let reader = Watched::new(bytes(100 * PIECE), PIECE);
    let (read, is_gone) = (Arc::clone(&reader.read), Arc::clone(&reader.is_gone));
    let mut beside = start(reader, true);
    let first = beside.next().expect("no failure").expect("a piece");
    while read.load(SeqCst) < BUFFERS * PIECE {
        thread::yield_now();
    }
    assert_eq!(read.load(SeqCst), BUFFERS * PIECE, "it has no further buffers");
    beside.give_back(first.buffer);
    drop(beside);
    assert!(is_gone.load(SeqCst), "the thread has ended");
    assert!(read.load(SeqCst) <= (BUFFERS + 1) * PIECE);
}

#[test]
fn nobody_waits_for_a_pipe_that_does_not_go_on() {
    let (reader, mut writer) = io::pipe().expect("a pipe");
    let mut beside = start(reader, false);
    writer.write_all(b"a").expect("there is room");
    assert!(beside.next().expect("no failure").is_some());
    // The thread waits for a second byte, which does not come.
    drop(beside);
    writer.write_all(b"b").expect("somebody has the other end, or had");
    // With that it has ended and closed its end.
    while writer.write_all(b"c").is_ok() {
        thread::yield_now();
    }
}

#[test]
#[should_panic(expected = "damaged beyond words")]
fn a_panic_is_passed_on() {
    struct Panics;
    impl Read for Panics {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            panic!("damaged beyond words")
        }
    }
    let _panics = rest(&mut start(Panics, true));
}

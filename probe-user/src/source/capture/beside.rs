//! Beside: a thread that reads, and decompresses, while its bytes are looked at elsewhere. A few large buffers go round
//! between both, so that it is ahead by no more than they hold, and no byte is copied on its way.
//!
//! Must not know: what the bytes are of.

use std::{
    io::{self, Read},
    sync::mpsc::{Receiver, Sender, channel},
    thread::{self, JoinHandle},
};

/// Bytes of a piece, at most: large enough that handing over costs nothing, small enough for the second level cache.
const PIECE: usize = 1 << 18;
/// Room in front of each, for what was left of the piece before: the beginning of a record.
pub(super) const HEADROOM: usize = 1 << 16;
/// Buffers that go round: 2 MiB that are read ahead.
const BUFFERS: usize = 8;

type Bytes = Box<dyn Read + Send>;

/// Bytes that were read, behind [`HEADROOM`] bytes of anything.
pub(super) struct Piece {
    pub(super) buffer: Vec<u8>,
    /// Where they end.
    pub(super) end: usize,
}

/// The reading end. With it goes the thread.
pub(super) struct Beside {
    /// Pieces, then nothing or an error.
    pieces: Receiver<io::Result<Piece>>,
    /// Buffers to be used again. `None` once the thread is to end.
    used: Option<Sender<Vec<u8>>>,
    thread: Option<JoinHandle<()>>,
    /// Reading waits for nobody.
    is_file: bool,
}

impl Beside {
    /// Has a thread read on. Of a file, which need not be waited for, buffers are filled; from anything else what comes is
    /// handed on as it comes.
    ///
    /// # Errors
    /// The reader itself, when there is no thread to be had.
    pub(super) fn start(reader: Bytes, is_file: bool) -> Result<Self, Bytes> {
        let (pieces_in, pieces) = channel();
        let (used, used_out) = channel();
        // Handed over afterwards: a thread that does not start would take it along.
        let (reader_in, reader_out) = channel::<Bytes>();
        let reads = move || {
            if let Ok(reader) = reader_out.recv() {
                Reading { reader, is_file, pieces: pieces_in, used: used_out, buffers: 0 }.run();
            }
        };
        let Ok(thread) = thread::Builder::new().name("unpack".to_owned()).spawn(reads) else { return Err(reader) };
        match reader_in.send(reader) {
            Ok(()) => Ok(Self { pieces, used: Some(used), thread: Some(thread), is_file }),
            Err(unsent) => Err(unsent.0),
        }
    }

    /// The next piece, as soon as there is one; `None` at the end.
    ///
    /// # Errors
    /// What reading says, behind everything that was read before.
    pub(super) fn next(&mut self) -> io::Result<Option<Piece>> {
        match self.pieces.recv() {
            Ok(piece) => piece.map(Some),
            // The thread has ended, of which there are two reasons.
            Err(_) => match self.thread.take().map(JoinHandle::join) {
                Some(Err(panic)) => std::panic::resume_unwind(panic),
                _ => Ok(None),
            },
        }
    }

    /// Gives a buffer back, of a piece or another one in its place.
    pub(super) fn give_back(&self, mut buffer: Vec<u8>) {
        if buffer.len() != HEADROOM + PIECE {
            buffer = empty();
        }
        // It is not used again where the thread has ended.
        let _ended: Option<()> = self.used.as_ref().and_then(|used| used.send(buffer).ok());
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.used = None;
        // It ends when it wants a buffer or hands one over. What waits for a pipe ends when something comes; it cannot be waited
        // for.
        if let Some(thread) = self.thread.take().filter(|_| self.is_file) {
            while self.pieces.recv().is_ok() {}
            // A panic of what nobody asks for any more.
            let _panicked: Option<()> = thread.join().ok();
        }
    }
}

fn empty() -> Vec<u8> {
    vec![0; HEADROOM + PIECE]
}

/// The thread.
struct Reading {
    reader: Bytes,
    is_file: bool,
    pieces: Sender<io::Result<Piece>>,
    used: Receiver<Vec<u8>>,
    /// Buffers made so far.
    buffers: usize,
}

impl Reading {
    /// Reads to the end, an error, or until nobody wants more.
    fn run(mut self) {
        while let Some(buffer) = self.buffer() {
            let mut piece = Piece { buffer, end: HEADROOM };
            let filled = self.fill(&mut piece);
            let more = matches!(filled, Ok(true));
            let is_wanted = piece.end == HEADROOM || self.pieces.send(Ok(piece)).is_ok();
            if let Err(error) = filled {
                // Nobody may be there.
                let _gone: Option<()> = self.pieces.send(Err(error)).ok();
            }
            if !more || !is_wanted {
                return;
            }
        }
    }

    /// One that is not in use, or `None` when nobody gives any back.
    fn buffer(&mut self) -> Option<Vec<u8>> {
        match self.used.try_recv() {
            Ok(buffer) => Some(buffer),
            Err(std::sync::mpsc::TryRecvError::Disconnected) => None,
            Err(_) if self.buffers < BUFFERS => {
                self.buffers += 1;
                Some(empty())
            }
            Err(_) => self.used.recv().ok(),
        }
    }

    /// Reads into a piece; false at the end.
    fn fill(&mut self, piece: &mut Piece) -> io::Result<bool> {
        while piece.end < piece.buffer.len() {
            match self.reader.read(&mut piece.buffer[piece.end..]) {
                Ok(0) => return Ok(false),
                Ok(read) => piece.end += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            }
            if !self.is_file {
                break;
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests;

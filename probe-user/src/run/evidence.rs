//! `--evidence`: a collector of frames, and a thread that writes what it hands over. Whoever collects does not wait
//! while anything is measured.

use std::{
    io,
    mem::take,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use probe_ebpf::layout::Segment;

use super::{RunError, files::Files};
use crate::{
    evidence::{Collector, CollectorStats, Frame, Interface, head},
    lifecycle::Connection,
    plan::EvidencePlan,
};

/// Memory for frames of connections that have not ended, bytes.
const MEMORY: usize = 64 << 20;
/// Pieces that wait for the disk.
const WAITING: usize = 64;
/// Bytes after which a piece is handed over.
const PIECE: usize = 64 << 10;

/// Blocks and how many frames they hold.
struct Piece {
    blocks: Vec<u8>,
    frames: u64,
}

/// What the thread could not write.
#[derive(Default)]
struct Unwritten {
    frames: AtomicU64,
}

/// Frames in, files out.
pub(super) struct Evidence {
    collector: Collector,
    piece: Piece,
    sender: SyncSender<Piece>,
    writer: JoinHandle<io::Result<()>>,
    unwritten: Arc<Unwritten>,
    path: String,
    /// Nothing is measured any more: what is left waits for the disk.
    is_last: bool,
}

/// What became of the evidence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct EvidenceBooks {
    /// Of the collector.
    pub(super) collected: CollectorStats,
    /// Frames that the disk, or its bound, had no room for, or that came faster than it writes.
    pub(super) not_written: u64,
    /// Snapshots that the program took, and those for which its ring buffer had no room.
    pub(super) snapshots: (u64, u64),
}

impl Evidence {
    /// Opens the first file and starts the thread.
    ///
    /// # Errors
    /// [`RunError::Evidence`] when there is nowhere to write to.
    pub(super) fn open(plan: &EvidencePlan, interfaces: Vec<Interface>) -> Result<Self, RunError> {
        let path = plan.path.display().to_string();
        let files = Files::open(plan, head(&interfaces));
        let files = files.map_err(|source| RunError::Evidence { path: path.clone(), source })?;
        let (sender, pieces) = sync_channel(WAITING);
        let unwritten = Arc::new(Unwritten::default());
        let theirs = Arc::clone(&unwritten);
        let writer = thread::Builder::new().name("evidence".to_owned()).spawn(move || write(files, &pieces, &theirs));
        Ok(Self {
            collector: Collector::new(interfaces, MEMORY),
            piece: Piece { blocks: Vec::new(), frames: 0 },
            sender,
            writer: writer.map_err(RunError::Runtime)?,
            unwritten,
            path,
            is_last: false,
        })
    }

    /// Takes one frame.
    pub(super) fn frame(&mut self, segment: &Segment, frame: &Frame<'_>) {
        self.collector.frame(segment, frame);
    }

    /// Connections have ended.
    pub(super) fn ended(&mut self, connections: &[Connection]) {
        for connection in connections {
            self.piece.frames += self.collector.ended(connection, &mut self.piece.blocks);
            if self.piece.blocks.len() >= PIECE {
                self.hand_over();
            }
        }
        self.hand_over();
    }

    fn hand_over(&mut self) {
        if self.piece.frames == 0 {
            return;
        }
        let piece = Piece { blocks: take(&mut self.piece.blocks), frames: take(&mut self.piece.frames) };
        let frames = piece.frames;
        let is_taken = if self.is_last { self.sender.send(piece).is_ok() } else { self.sender.try_send(piece).is_ok() };
        if !is_taken {
            self.unwritten.frames.fetch_add(frames, Relaxed);
        }
    }

    /// From now on nothing is dropped because it came faster than it could be written.
    pub(super) fn begin_last(&mut self) {
        self.is_last = true;
    }

    /// Waits until everything is written.
    pub(super) fn close(self) -> (EvidenceBooks, Result<(), RunError>) {
        let Self { collector, sender, writer, unwritten, path, .. } = self;
        drop(sender);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it panicked")));
        let not_written = unwritten.frames.load(Relaxed);
        let books = EvidenceBooks { collected: collector.stats(), not_written, snapshots: (0, 0) };
        (books, written.map_err(|source| RunError::Evidence { path, source }))
    }
}

/// The thread: writes until nothing more comes. After an error everything is counted as unwritten.
fn write(mut files: Files, pieces: &Receiver<Piece>, unwritten: &Unwritten) -> io::Result<()> {
    let mut outcome = Ok(());
    for Piece { blocks, frames } in pieces {
        let written = match &outcome {
            Ok(()) => files.write(&blocks),
            Err(_) => Ok(false),
        };
        match written {
            Ok(true) => {}
            Ok(false) => drop(unwritten.frames.fetch_add(frames, Relaxed)),
            Err(error) => {
                unwritten.frames.fetch_add(frames, Relaxed);
                outcome = Err(error);
            }
        }
    }
    outcome
}

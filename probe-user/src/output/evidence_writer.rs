//! Evidence writer (`--evidence`): collects frames and hands them to a thread that writes them, so that measuring never waits
//! for a disk.

use std::{
    io,
    mem::take,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
};

use probe_ebpf::layout::Segment;

use crate::{
    error::RunError,
    output,
    output::{evidence_files as files, evidence_files::Files},
    printable,
};
use crate::{
    evidence::{Collector, CollectorStats, Frame, Interface, head},
    plan::EvidencePlan,
    record::Connection,
};

/// Memory for frames of connections that have not ended, bytes.
const MEMORY: usize = 64 << 20;
/// Pieces that wait for the disk.
const WAITING: usize = 64;
/// Bytes after which a piece is handed over, at most.
const PIECE: usize = 64 << 10;
/// Of a small share of the disk a piece is the smaller part: what has no room is lost piece by piece.
const PIECES: u64 = 32;

/// Blocks and how many frames they hold.
#[derive(Default)]
struct Piece {
    blocks: Vec<u8>,
    frames: u64,
}

/// What the thread is told.
enum Order {
    /// To write frames.
    Write(Piece),
    /// That frames of one more interface follow: its block.
    Describe(Vec<u8>),
}

/// What the thread could not write.
#[derive(Default)]
struct Unwritten {
    frames: AtomicU64,
}

/// Frames in, files out.
pub(crate) struct Evidence {
    collector: Collector,
    piece: Piece,
    /// Bytes after which it is handed over.
    piece_len: usize,
    sender: SyncSender<Order>,
    writer: JoinHandle<io::Result<()>>,
    unwritten: Arc<Unwritten>,
    path: String,
    /// Nothing is measured (any more): what comes waits for the disk.
    is_last: bool,
}

/// What became of the evidence.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct EvidenceAccounting {
    /// Of the collector.
    pub(crate) collected: CollectorStats,
    /// Frames that the disk, or its bound, had no room for, or that came faster than it writes.
    pub(crate) not_written: u64,
    /// Snapshots that the program took, and those for which its ring buffer had no room.
    pub(crate) snapshots: (u64, u64),
}

/// The first file is open, and nobody writes to it yet.
pub(crate) struct Opened {
    files: Files,
    interfaces: Vec<Interface>,
    plan: EvidencePlan,
    path: String,
}

impl Opened {
    /// Opens the first file.
    ///
    /// # Errors
    /// [`RunError::Evidence`] when there is nowhere to write to.
    pub(crate) fn new(plan: &EvidencePlan, interfaces: Vec<Interface>) -> Result<Self, RunError> {
        let path = printable::path(&plan.path);
        let files = Files::open(plan, head(&interfaces));
        let files = files.map_err(|source| RunError::Evidence { path: path.clone(), source })?;
        Ok(Self { files, interfaces, plan: plan.clone(), path })
    }

    /// As [`Self::new`] for captures, whose interfaces become known while they are read.
    ///
    /// # Errors
    /// As [`Self::new`], and when it would write over one of `captures`.
    pub(crate) fn beside(plan: &EvidencePlan, captures: &[PathBuf]) -> Result<Self, RunError> {
        if let Some(capture) = files::overwritten(plan, captures) {
            let [path, capture] = [&plan.path, capture].map(|path| printable::path(path));
            return Err(RunError::EvidenceOverCapture { path, capture });
        }
        Self::new(plan, Vec::new())
    }

    /// Starts the thread that writes.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn start(self) -> Result<Evidence, RunError> {
        let Self { files, interfaces, plan, path } = self;
        let (sender, orders) = sync_channel(WAITING);
        let unwritten = Arc::new(Unwritten::default());
        let theirs = Arc::clone(&unwritten);
        let named = path.clone();
        let work = move || write(files, &orders, &theirs, &named);
        let writer = thread::Builder::new().name("evidence".to_owned()).spawn(work);
        Ok(Evidence {
            collector: Collector::new(interfaces, plan.of, MEMORY),
            piece: Piece::default(),
            piece_len: PIECE.min((plan.max_bytes / PIECES) as usize),
            sender,
            writer: writer.map_err(RunError::Runtime)?,
            unwritten,
            path,
            is_last: false,
        })
    }
}

impl Evidence {
    /// What comes waits for the disk from the beginning: captures can.
    pub(crate) fn of_captures(self) -> Self {
        Self { is_last: true, ..self }
    }

    /// One more interface, before any frame of it.
    pub(crate) fn add(&mut self, interface: Interface) {
        let block = self.collector.add(interface);
        // Whether anybody still writes is told by the frames.
        let _gone: Option<()> = self.sender.send(Order::Describe(block)).ok();
    }

    /// As [`Collector::restrict`].
    pub(crate) fn restrict(&mut self, period: [Option<u64>; 2]) {
        self.collector.restrict(period);
    }

    /// Takes one frame.
    pub(crate) fn frame(&mut self, segment: &Segment, frame: &Frame<'_>) {
        self.collector.frame(segment, frame);
    }

    /// Connections have ended.
    pub(crate) fn ended(&mut self, connections: &[Connection]) {
        for connection in connections {
            self.piece.frames += self.collector.ended(connection, &mut self.piece.blocks);
            if self.piece.blocks.len() >= self.piece_len {
                self.submit();
            }
        }
        self.submit();
    }

    fn submit(&mut self) {
        if self.piece.frames == 0 {
            return;
        }
        let frames = self.piece.frames;
        let order = Order::Write(take(&mut self.piece));
        let is_taken = if self.is_last { self.sender.send(order).is_ok() } else { self.sender.try_send(order).is_ok() };
        if !is_taken {
            self.unwritten.frames.fetch_add(frames, Relaxed);
        }
    }

    /// From now on nothing is dropped because it came faster than it could be written.
    pub(crate) fn begin_last(&mut self) {
        self.is_last = true;
    }

    /// Waits until everything is written.
    pub(crate) fn close(self) -> (EvidenceAccounting, Result<(), RunError>) {
        let Self { collector, sender, writer, unwritten, path, .. } = self;
        drop(sender);
        let written = writer.join().unwrap_or_else(|_| Err(io::Error::other("the thread that writes it panicked")));
        let not_written = unwritten.frames.load(Relaxed);
        let stats = collector.stats();
        if written.is_ok() {
            let (packets, connections) = (stats.frames.saturating_sub(not_written), stats.connections);
            output::say(&format!("rstprobe: {path}: {}", contents(packets, connections)));
        }
        let accounting = EvidenceAccounting { collected: stats, not_written, snapshots: (0, 0) };
        (accounting, written.map_err(|source| RunError::EvidenceEnded { path, source }))
    }
}

/// What the evidence holds, for people.
fn contents(packets: u64, connections: u64) -> String {
    let plural = |count: u64| if count == 1 { "" } else { "s" };
    format!("{packets} packet{} of {connections} connection{}", plural(packets), plural(connections))
}

/// The thread: writes until nothing more comes. After an error everything is counted as unwritten.
fn write(mut files: Files, orders: &Receiver<Order>, unwritten: &Unwritten, path: &str) -> io::Result<()> {
    let mut outcome = Ok(());
    for order in orders {
        let (frames, written) = match order {
            Order::Write(piece) if outcome.is_ok() => (piece.frames, files.write(&piece.blocks)),
            Order::Describe(block) if outcome.is_ok() => (0, files.describe(&block).map(|()| true)),
            Order::Write(piece) => (piece.frames, Ok(false)),
            Order::Describe(_) => (0, Ok(true)),
        };
        match written {
            Ok(true) => {}
            Ok(false) => drop(unwritten.frames.fetch_add(frames, Relaxed)),
            Err(error) => {
                unwritten.frames.fetch_add(frames, Relaxed);
                // Now, and not when watching ends, which may be in months.
                output::say(&format!("rstprobe: --evidence {path}: {error}; no more evidence is written from now on"));
                outcome = Err(error);
            }
        }
    }
    outcome
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_packet_is_no_packets() {
        assert_eq!(contents(1, 1), "1 packet of 1 connection");
        assert_eq!(contents(0, 0), "0 packets of 0 connections");
        assert_eq!(contents(33, 2), "33 packets of 2 connections");
    }
}

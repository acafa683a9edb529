//! AF_XDP reader: a thread that reads the sockets and feeds the tracker in batches.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use probe_ebpf::{layout::Segment, parse::RstOption};

use crate::{
    agent::{
        clock::Clock,
        feed::{Feed, SharedFeed},
    },
    error::RunError,
};
use crate::{
    evidence::{Direction, Frame, SNAP_LEN},
    plan::LivePlan,
    source::{
        live::{LiveError, attach::Attachment, engine::Engine, xsk_maps::Delivery},
        xsk::{
            XskAccounting,
            datapath::{Datapath, DatapathConfig, HOLD, Origin, QueueAt},
        },
    },
};

/// How long the thread waits for frames before it looks whether it should end, and moves time on.
const PATIENCE: Duration = Duration::from_millis(2);

/// The sockets before there is a thread.
pub(crate) struct Sockets {
    datapath: Datapath,
    delivery: Delivery,
}

impl Sockets {
    /// Opens a socket on every queue and shows them to the program, which is not armed yet.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub(crate) fn open(engine: &mut Engine, queues: Vec<QueueAt>, plan: &LivePlan) -> Result<Self, LiveError> {
        let config = DatapathConfig {
            frames: plan.umem_frames,
            encapsulations: plan.engine.encapsulations,
            domain: plan.engine.domain,
            clock_offset_ns: engine.config().clock_offset_ns,
            keep: if plan.evidence.is_some() { SNAP_LEN } else { 0 },
        };
        let datapath = Datapath::open(queues, config)?;
        let delivery = Delivery::register(engine, &datapath)?;
        Ok(Self { datapath, delivery })
    }

    /// How frames of an attached interface come, in words.
    pub(crate) fn mode(&self, attachment: &Attachment) -> &'static str {
        if self.datapath.is_zero_copy(attachment.device.index) { "AF_XDP zero-copy" } else { "AF_XDP copy" }
    }

    /// Starts to read.
    ///
    /// # Errors
    /// There is no thread to be had.
    pub(crate) fn read(self, feed: &Arc<SharedFeed>, clock: Clock) -> Result<FrameReader, RunError> {
        let Self { mut datapath, delivery } = self;
        let stop = Arc::new(AtomicBool::new(false));
        let (feed, stopping) = (Arc::clone(feed), Arc::clone(&stop));
        let work = move || {
            let read = read(&mut datapath, &feed, clock, &stopping);
            (datapath.accounting(), read)
        };
        let thread = thread::Builder::new().name("afxdp".to_owned()).spawn(work).map_err(RunError::Runtime)?;
        Ok(FrameReader { thread, stop, delivery })
    }
}

/// The thread.
pub(crate) struct FrameReader {
    thread: JoinHandle<(XskAccounting, io::Result<()>)>,
    stop: Arc<AtomicBool>,
    delivery: Delivery,
}

impl FrameReader {
    /// True when it has ended, although nobody told it to.
    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// Reads what is left, closes the sockets and tells the books. The program must not redirect any more.
    pub(crate) fn finish(self) -> (XskAccounting, Result<(), RunError>) {
        self.stop.store(true, Relaxed);
        let (mut accounting, read) = match self.thread.join() {
            Ok((accounting, read)) => (accounting, read.map_err(RunError::Frames)),
            Err(_panic) => (
                XskAccounting::default(),
                Err(RunError::Frames(io::Error::other("the thread that reads them panicked"))),
            ),
        };
        self.delivery.add_to(&mut accounting);
        (accounting, read)
    }
}

fn read(datapath: &mut Datapath, shared: &SharedFeed, clock: Clock, stop: &AtomicBool) -> io::Result<()> {
    loop {
        // Before the last look, not after it: what was redirected before the order to stop is still read.
        let last = stop.load(Relaxed);
        if !last {
            datapath.wait(PATIENCE)?;
        }
        loop {
            let mut feed = shared.turn();
            let now_ns = clock.unix_ns();
            if datapath.receive(now_ns, |segment, origin| take(&mut feed, segment, origin)) == 0 {
                // Nothing older is on its way.
                feed.tracker().advance(now_ns.saturating_sub(HOLD.as_nanos() as u64));
                break;
            }
        }
        if last {
            let mut feed = shared.turn();
            datapath.flush(|segment, origin| take(&mut feed, segment, origin));
            return Ok(());
        }
    }
}

fn take(feed: &mut Feed, segment: &Segment, origin: &Origin<'_>) {
    let Origin { interface, queue, wire_len, bytes, rst_option } = *origin;
    feed.frame(segment, &Frame { interface, direction: Direction::Received { queue }, wire_len, bytes });
    if rst_option != RstOption::None {
        let record = &segment.record;
        feed.tracker().reset_said(&segment.key, record.from_hi(), rst_option, &[], record.time_ns);
    }
}

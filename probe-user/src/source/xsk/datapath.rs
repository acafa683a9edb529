//! All sockets of a session: frames in, segments out, in one order of time.
//!
//! Frames of one queue come in their order. Frames of several queues are put in the order of their stamps: each is held
//! until nothing earlier can come any more, which is once [`HOLD`] has passed, because the kernel hands frames over at the end
//! of the softirq that stamped them.

use std::{io, os::fd::AsFd as _, time::Duration};

use probe_ebpf::{
    layout::{RST, Segment},
    parse::{self, Located, Reject, RstOption, SliceReader},
    tunnel::{self, Encapsulations, Walk},
};

use super::{
    Port as _, XskAccounting, kernel,
    queue::{Queue, Received},
    socket::{Copying, Failure, Place, Size, Socket},
};
use crate::source::Domain;

/// How long a frame may be on its way from its stamp to the ring: a softirq of 64 frames, preempted, and some.
pub const HOLD: Duration = Duration::from_millis(4);

/// Buffers taken from one queue before the others get their turn.
const BATCH: usize = 256;

/// How frames become segments, and how much memory they get.
#[derive(Clone, Copy, Debug)]
pub struct DatapathConfig {
    /// UMEM frames per queue, a power of two.
    pub frames: u32,
    /// What is looked into.
    pub encapsulations: Encapsulations,
    /// Which id is part of the key.
    pub domain: Domain,
    /// Added to kernel times to make them nanoseconds since the Unix epoch.
    pub clock_offset_ns: u64,
    /// Bytes of each frame that are handed on with its segment, 0 for none.
    pub keep: usize,
}

/// A receive queue to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueAt {
    /// Interface.
    pub name: String,
    /// Its index.
    pub interface: u32,
    /// Its MTU, bytes.
    pub mtu: u32,
    /// Queue.
    pub queue: u32,
    /// The program runs in the network stack.
    pub generic: bool,
}

/// Why a socket could not be opened.
#[derive(Debug)]
pub struct OpenError {
    /// Where.
    pub at: QueueAt,
    /// At which step.
    pub step: &'static str,
    /// What the kernel said.
    pub source: io::Error,
}

/// Where a segment came from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Origin<'a> {
    /// Index of the interface.
    pub interface: u32,
    /// Receive queue.
    pub queue: u32,
    /// Length of the frame, bytes.
    pub wire_len: u32,
    /// Its first bytes, as many as asked for.
    pub bytes: &'a [u8],
    /// What the options of an RST say.
    pub rst_option: RstOption,
}

/// One segment that waits for earlier ones.
struct Held {
    segment: Segment,
    queue: usize,
    wire_len: u32,
    bytes: Box<[u8]>,
    rst_option: RstOption,
}

/// All sockets.
pub struct Datapath {
    queues: Vec<(QueueAt, Queue<Socket>)>,
    config: DatapathConfig,
    parser: Parser,
    held: Vec<Held>,
    /// Time of the last segment handed on.
    last_ns: u64,
    accounting: XskAccounting,
}

impl Datapath {
    /// Opens a socket on every queue, or none.
    ///
    /// # Errors
    /// The first that cannot be opened.
    pub fn open(queues: Vec<QueueAt>, config: DatapathConfig) -> Result<Self, Box<OpenError>> {
        let queues = queues.into_iter().map(|at| open_one(at, config.frames)).collect::<Result<_, _>>()?;
        let parser = Parser {
            encapsulations: config.encapsulations,
            domain: config.domain.value(),
            walk: Walk::default(),
            located: Located::default(),
            is_cropped: false,
            rst_option: RstOption::None,
        };
        Ok(Self { queues, config, parser, held: Vec::new(), last_ns: 0, accounting: XskAccounting::default() })
    }

    /// The sockets, for the map by which the program finds them.
    pub fn sockets(&self) -> impl Iterator<Item = (&QueueAt, std::os::fd::RawFd)> {
        use std::os::fd::AsRawFd as _;
        self.queues.iter().map(|(at, queue)| (at, queue.port().as_raw_fd()))
    }

    /// True when the driver writes the frames of `interface` into our memory itself.
    pub fn is_zero_copy(&self, interface: u32) -> bool {
        let mut ours = self.queues.iter().filter(|(at, _)| at.interface == interface).peekable();
        ours.peek().is_some() && ours.all(|(_, queue)| queue.port().copying == Copying::Zero)
    }

    /// Waits until there are frames, `patience` at most.
    ///
    /// # Errors
    /// What `poll` says.
    pub fn wait(&mut self, patience: Duration) -> io::Result<()> {
        let live = || self.queues.iter().filter(|(_, queue)| !queue.port().is_dead);
        let sockets: Vec<_> = live().map(|(_, queue)| queue.port().as_fd()).collect();
        if sockets.is_empty() {
            std::thread::sleep(patience);
            return Ok(());
        }
        let failed = kernel::wait(&sockets, patience)?;
        let live = self.queues.iter_mut().filter(|(_, queue)| !queue.port().is_dead);
        for ((_, queue), failed) in live.zip(failed) {
            queue.port_mut().is_dead = failed;
        }
        Ok(())
    }

    /// Takes one batch of every queue and hands on what nothing earlier can precede, `now_ns` being the present (since the
    /// Unix epoch); returns how many buffers came.
    pub fn receive(&mut self, now_ns: u64, mut take: impl FnMut(&Segment, &Origin<'_>)) -> usize {
        let Self { queues, config, parser, held, accounting, last_ns } = self;
        let alone = queues.len() == 1;
        let mut came = 0;
        let mut until_ns = now_ns.saturating_sub(HOLD.as_nanos() as u64);
        for (at, (origin, queue)) in queues.iter_mut().enumerate() {
            let mut newest_ns = 0;
            let buffers = queue.receive(BATCH, |received| {
                accounting.frames += 1;
                accounting.frame_bytes += received.wire_len as u64;
                let stamp = received.stamp_ns.map_or(now_ns, |stamp_ns| stamp_ns + config.clock_offset_ns);
                newest_ns = stamp;
                let segment = match parser.segment(&received, stamp) {
                    Ok(segment) => segment,
                    Err(reason) => return accounting.reject(reason),
                };
                accounting.segments += 1;
                accounting.cropped += u64::from(parser.is_cropped);
                let rst_option = parser.rst_option;
                let bytes = &received.bytes[..received.bytes.len().min(config.keep)];
                let wire_len = received.wire_len as u32;
                if alone {
                    let QueueAt { interface, queue, .. } = *origin;
                    accounting.late += u64::from(segment.record.time_ns < *last_ns);
                    *last_ns = segment.record.time_ns;
                    take(&segment, &Origin { interface, queue, wire_len, bytes, rst_option });
                } else {
                    held.push(Held { segment, queue: at, wire_len, bytes: bytes.into(), rst_option });
                }
            });
            came += buffers;
            if buffers == BATCH {
                // There may be more in its ring, all of it later than this.
                until_ns = until_ns.min(newest_ns);
            }
            // A driver that was never woken would never fill a ring; an interface that has gone says so by `poll`.
            queue.port_mut().is_dead |= queue.port_mut().wake().is_err();
        }
        if !alone {
            self.release(until_ns, take);
        }
        came
    }

    /// Hands on everything that is held: at the end.
    pub fn flush(&mut self, take: impl FnMut(&Segment, &Origin<'_>)) {
        self.release(u64::MAX, take);
    }

    /// Hands on what was seen until `until_ns`, in order of time; of the same time, in order of arrival.
    fn release(&mut self, until_ns: u64, mut take: impl FnMut(&Segment, &Origin<'_>)) {
        // Runs of one queue each, already in order: the sort merges them.
        self.held.sort_by_key(|held| held.segment.record.time_ns);
        let due = self.held.partition_point(|held| held.segment.record.time_ns <= until_ns);
        for Held { segment, queue, wire_len, bytes, rst_option } in self.held.drain(..due) {
            let QueueAt { interface, queue, .. } = self.queues[queue].0;
            self.accounting.late += u64::from(segment.record.time_ns < self.last_ns);
            self.last_ns = segment.record.time_ns;
            take(&segment, &Origin { interface, queue, wire_len, bytes: &bytes, rst_option });
        }
    }

    /// The books so far. What the program counted is not in them.
    pub fn accounting(&self) -> XskAccounting {
        let mut accounting = self.accounting.clone();
        for (_, queue) in &self.queues {
            // A socket that has no statistics any more has nothing new to say.
            let counted = queue.port().statistics().unwrap_or_default();
            accounting.dropped += counted.dropped;
            accounting.ring_full += counted.ring_full;
            accounting.fill_empty += counted.fill_empty;
            accounting.invalid += queue.port().invalid();
            accounting.missing += queue.missing() as u64;
        }
        accounting
    }
}

fn open_one(at: QueueAt, frames: u32) -> Result<(QueueAt, Queue<Socket>), Box<OpenError>> {
    let QueueAt { interface, mtu, queue, generic, .. } = at;
    let mut spare = Vec::new();
    let place = Place { interface, mtu, queue, generic };
    match Socket::open(&place, Size::of(frames, mtu), &mut spare) {
        Ok(socket) => Ok((at, Queue::new(socket, spare))),
        Err(Failure { step, source }) => Err(Box::new(OpenError { at, step, source })),
    }
}

/// The shared parser, as the XDP program uses it.
struct Parser {
    encapsulations: Encapsulations,
    domain: u32,
    walk: Walk,
    located: Located,
    /// The frame of the last segment ended before its packet.
    is_cropped: bool,
    /// What the options of the last segment say, if it was an RST.
    rst_option: RstOption,
}

impl Parser {
    fn segment(&mut self, received: &Received<'_>, time_ns: u64) -> Result<Segment, Reject> {
        let reader = SliceReader { bytes: received.bytes, wire_len: received.wire_len };
        match parse::locate(&reader) {
            Ok(located) => self.located = located,
            Err(Reject::NotIp | Reject::NotTcp | Reject::VlanDepth | Reject::ExtensionDepth)
                if self.encapsulations.enabled != 0 =>
            {
                self.walk.restart_at_ethernet(0);
                tunnel::locate(&reader, self.encapsulations, &mut self.walk, &mut self.located)?;
            }
            Err(reason) => return Err(reason),
        }
        let domain = self.located.domain(self.domain);
        let segment = parse::segment(&reader, &self.located, domain, time_ns)?;
        self.is_cropped = self.located.is_cropped(&reader);
        self.rst_option = if segment.record.flags & RST != 0 && segment.record.option_len != 0 {
            parse::rst_option(&reader, &self.located)
        } else {
            RstOption::None
        };
        Ok(segment)
    }
}

//! One live session: engine, attachments and tracker, from attach to the final drain.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use probe_ebpf::layout::{DirectionCounters, FlowKey, Segment};

use super::{RunError, output, pace::Pace};
#[cfg(feature = "trace")]
use crate::source::live::trace::Trace;
use crate::{
    lifecycle::{Basis, Connection, Extra, Tracker, TrackerConfig, TrackerStats},
    plan::LivePlan,
    report::Received,
    source::live::{
        attach::{self, Attachment},
        books::Books,
        engine::{Depth, Engine, EngineConfig, Sink},
        host::{HostTap, ResetFormat},
        netdev::{self, LinkCounters},
        services::Services,
    },
};

/// A running session.
pub(super) struct Session {
    engine: Engine,
    attachments: Vec<Attachment>,
    host: Option<HostTap>,
    #[cfg(feature = "trace")]
    trace: Option<Trace>,
    feed: Feed,
    books: Books,
    clock: Clock,
    pace: Pace,
    last_drain: Instant,
    /// Counters of the interfaces when watching began.
    counters: Vec<Option<LinkCounters>>,
    /// When watching began, nanoseconds since the Unix epoch.
    pub(super) started_ns: u64,
}

/// How often the coarse clock ticks and the occupancy is looked at.
pub(super) const TICK: Duration = Duration::from_millis(5);

impl Session {
    /// Loads and attaches.
    ///
    /// # Errors
    /// What prevents it; nothing stays attached then.
    pub(super) fn open(plan: &LivePlan) -> Result<Self, RunError> {
        attach::preflight(&plan.interfaces, plan.promiscuous)?;
        let clock = Clock::start();
        let reasons = if plan.host { reset_format() } else { None };
        let reset_offsets = reasons.as_ref().map(|format| format.offsets);
        let config = EngineConfig { clock_offset_ns: clock.offset_ns, reset_offsets, ..plan.engine.clone() };
        let mut engine = Engine::load(&config)?;
        #[cfg(feature = "trace")]
        let trace = config.trace.then(|| Trace::open(&mut engine)).transpose()?;
        engine.tick(monotonic_ns());
        let pace = Pace::new(plan.drain, plan.flood_at);
        let (service, all) = pace.budget();
        engine.set_budget(service, all);
        // All legs begin as one: what passes while they are being attached is seen by none.
        engine.arm(false);
        let attachments = attach::attach(&mut engine, &plan.interfaces, plan.mode, plan.promiscuous)?;
        let host = plan.host.then(|| HostTap::attach(&mut engine, &plan.interfaces, reasons.is_some())).transpose()?;
        let counters = counters(&attachments);
        engine.arm(true);
        let full = config.depth != Depth::Control;
        let tracker = Tracker::new(TrackerConfig {
            kernel_reasons: reasons.map(|format| format.names).unwrap_or_default(),
            max_connections: plan.max_connections,
            pure_acks_seen: full,
            hash_seed: std::hash::BuildHasher::hash_one(&foldhash::fast::RandomState::default(), clock.offset_ns),
            ..TrackerConfig::default()
        });
        let basis = match (full, plan.host) {
            (false, _) => Basis::ControlOnly,
            (true, true) => Basis::BeforeSegmentation,
            (true, false) => Basis::AllSegments,
        };
        Ok(Self {
            engine,
            attachments,
            host,
            #[cfg(feature = "trace")]
            trace,
            feed: Feed { tracker, basis },
            books: Books::default(),
            clock,
            pace,
            last_drain: Instant::now(),
            counters,
            started_ns: clock.unix_ns(),
        })
    }

    /// The attached interfaces.
    pub(super) fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// To be called every [`TICK`]: advances the coarse clock, and drains when the interval is over or the table is
    /// filling up.
    ///
    /// # Errors
    /// The kernel refused the flip.
    pub(super) fn tick(&mut self) -> Result<(), RunError> {
        self.engine.tick(monotonic_ns());
        #[cfg(feature = "trace")]
        self.tell_trace();
        let occupancy = self.engine.occupancy();
        if !self.pace.is_due(self.last_drain.elapsed(), occupancy) {
            return Ok(());
        }
        let begin = Instant::now();
        self.drain()?;
        self.pace.drained(occupancy, begin.elapsed());
        let (service, all) = self.pace.budget();
        self.engine.set_budget(service, all);
        Ok(())
    }

    /// Says what the program has logged.
    #[cfg(feature = "trace")]
    fn tell_trace(&mut self) {
        for line in self.trace.iter_mut().flat_map(Trace::take) {
            output::say(&format!("rstprobe: {line}"));
        }
    }

    fn drain(&mut self) -> Result<(), RunError> {
        // What the epoch holds was seen before now; timers must not run ahead of segments still in the next epoch.
        let now_ns = self.clock.unix_ns();
        let books = self.engine.drain(&mut self.feed)?;
        self.books.add(&books);
        if books.untracked_data > 0 || books.order_lost > 0 || books.shed > 0 {
            self.feed.tracker.doubt_acknowledgements();
        }
        self.join_resets();
        self.feed.tracker.advance(now_ns);
        self.last_drain = Instant::now();
        Ok(())
    }

    /// After the segments: a reset is reported just before it leaves, so its connection is known by now, or comes with
    /// the next epoch.
    fn join_resets(&mut self) {
        let (Some(host), tracker) = (&mut self.host, &mut self.feed.tracker) else { return };
        let offset_ns = self.clock.offset_ns;
        let refused = host.join_resets(0, |reset| {
            let time_ns = reset.monotonic_ns.saturating_add(offset_ns);
            tracker.kernel_reset(&reset.key, reset.from_hi, (reset.reason, reset.provoked), time_ns)
        });
        tracker.count_unmatched_resets(refused);
    }

    /// Connections that ended since the last call.
    pub(super) fn take_closed(&mut self) -> Vec<Connection> {
        self.feed.tracker.take_closed()
    }

    /// Detaches, drains what is left, and hands everything over: also when the kernel refused the last flip.
    pub(super) fn close(mut self) -> Closed {
        // All legs end as one; then one drain reads everything there is.
        self.engine.arm(false);
        let received = counters(&self.attachments).iter().zip(&self.counters).map(received).collect();
        self.attachments.clear();
        if let Some(host) = &mut self.host {
            host.detach();
        }
        #[cfg(feature = "trace")]
        self.tell_trace();
        let drained = self.drain();
        // Those that the last drain left waiting get no other.
        self.join_resets();
        let ended_ns = self.clock.unix_ns();
        let mut tracker = self.feed.tracker;
        tracker.finish(ended_ns);
        let resets_lost = self.host.as_ref().map_or(0, HostTap::lost);
        Closed {
            drained,
            received,
            resets_lost,
            rest: tracker.take_closed(),
            books: self.books,
            services: self.engine.services().cloned().unwrap_or_default(),
            stats: tracker.stats(),
            ended_ns,
        }
    }
}

/// An interface that cannot be asked has no counters, which is no reason not to watch it.
fn counters(attachments: &[Attachment]) -> Vec<Option<LinkCounters>> {
    let indices: Vec<u32> = attachments.iter().map(|attachment| attachment.device.index).collect();
    netdev::counters(&indices).unwrap_or_else(|_| vec![None; indices.len()])
}

fn received((now, before): (&Option<LinkCounters>, &Option<LinkCounters>)) -> Option<Received> {
    let LinkCounters { rx_packets, rx_dropped, rx_missed, rx_errors } = now.as_ref()?.since(before.as_ref()?);
    Some(Received { packets: rx_packets, dropped: rx_dropped, missed: rx_missed, errors: rx_errors })
}

/// The tracepoint's format, or a word on why there will be no reasons.
fn reset_format() -> Option<ResetFormat> {
    match ResetFormat::of_this_kernel() {
        Ok(format) => Some(format),
        Err(why) => {
            output::say(&format!("rstprobe: the kernel's reset reasons are not available: {why}; going on without"));
            None
        }
    }
}

/// What a session leaves.
pub(super) struct Closed {
    /// How the final drain went; when it failed, the rest is what was drained before.
    pub(super) drained: Result<(), RunError>,
    /// Connections not taken before, still tracked ones included.
    pub(super) rest: Vec<Connection>,
    /// Books of the data plane.
    pub(super) books: Books,
    /// What was counted by service.
    pub(super) services: Services,
    /// Books of the tracker.
    pub(super) stats: TrackerStats,
    /// What kernel and NIC counted on each interface while it was watched.
    pub(super) received: Vec<Option<Received>>,
    /// Resets that the kernel reported and that could not be taken.
    pub(super) resets_lost: u64,
    /// When watching ended, nanoseconds since the Unix epoch.
    pub(super) ended_ns: u64,
}

/// Feeds the tracker.
struct Feed {
    tracker: Tracker,
    basis: Basis,
}

impl Sink for Feed {
    fn transition(&mut self, segment: &Segment) {
        self.tracker.transition(segment);
    }

    fn count(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters) {
        self.tracker.count(key, lo, hi, self.basis);
    }

    fn settle(&mut self, key: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters, last_from_hi: bool) {
        self.tracker.settle(key, lo, hi, last_from_hi);
    }

    fn observe(&mut self, segment: &Segment) {
        self.tracker.observe(segment, Extra::default());
    }
}

/// `CLOCK_MONOTONIC` (which the kernel program stamps with), and its distance to the Unix epoch, taken once: a wall
/// clock that is stepped later changes no duration.
#[derive(Clone, Copy)]
struct Clock {
    offset_ns: u64,
}

impl Clock {
    fn start() -> Self {
        let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let monotonic = monotonic_ns();
        Self { offset_ns: (unix.as_nanos() as u64).saturating_sub(monotonic) }
    }

    fn unix_ns(self) -> u64 {
        monotonic_ns() + self.offset_ns
    }
}

fn monotonic_ns() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    // The monotonic clock counts up from boot.
    now.tv_sec.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
}

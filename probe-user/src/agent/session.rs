//! One live session: engine, attachments and tracker, from attach to the final drain.

mod interfaces;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(feature = "trace")]
use crate::source::live::trace::Trace;
use crate::{
    agent::{
        clock::{Clock, monotonic_ns, wall_ns},
        confinement, detach,
        drain_interval::DrainInterval,
        driver_silence::Silence,
        feed::{Feed, SharedFeed},
        host_view,
        interface_counters::InterfaceMeters,
        kernel_words,
        partition_pool::PartitionPool,
        time_watch::{TimeCounts, TimeWatch},
        xsk_reader::{FrameReader, Sockets},
    },
    error::RunError,
    output,
    output::evidence_writer::{EvidenceAccounting, Opened},
};
use crate::{
    evidence::{Direction, Frame, Interface},
    explain::kept_segments::KeptSegments,
    plan::{DataPath, LivePlan},
    record::{Basis, Connection},
    report::{QueueUse, Received},
    sandbox::{self, Policy},
    source::{
        live::{
            LiveError,
            accounting::Accounting,
            attach::{self, Attachment},
            engine::{Action, Depth, Engine, EngineConfig},
            host::HostTap,
            host_traffic,
            kernel_features::{Feature, KernelFeatures},
            link_layer::LinkLayer,
            privilege::Capability,
            services::Services,
            snapshots::{Snapshots, Taken},
            xsk_maps,
        },
        xsk::XskAccounting,
    },
    tracker::{Tracker, TrackerConfig, TrackerStats},
    zone::Zones,
};

/// A running session.
pub(crate) struct Session {
    engine: Engine,
    attachments: Vec<Attachment>,
    /// By place among the attachments: every index that the interface has had.
    indices: Vec<Vec<u32>>,
    host: Option<HostTap>,
    #[cfg(feature = "trace")]
    trace: Option<Trace>,
    reader: Option<FrameReader>,
    modes: Vec<&'static str>,
    xsk: Option<XskAccounting>,
    snapshots: Option<Snapshots>,
    feed: Arc<SharedFeed>,
    accounting: Accounting,
    clock: Clock,
    pace: DrainInterval,
    last_drain: Instant,
    /// Counters of the interfaces when watching began.
    meters: InterfaceMeters,
    silence: Silence,
    time: TimeWatch,
    renewals: u32,
    /// What is dropped must not be the host's own, also where an interface comes back.
    spares_host: bool,
    /// When watching began, nanoseconds since the Unix epoch.
    pub(crate) started_ns: u64,
    /// What this host sends on its own interface is not seen.
    pub(crate) is_one_way: bool,
}

/// How often the coarse clock ticks and the occupancy is looked at.
pub(crate) const TICK: Duration = Duration::from_millis(5);
/// Snapshots of frames wait so long between two drains: other CPUs' programs may still have earlier ones in hand.
const ON_THE_WAY_NS: u64 = 2_000_000;

/// Said once, where nobody asked for it.
const SINGLE_BUFFER: &str = "rstprobe: multi-buffer XDP needs Linux 5.18: loaded the single-buffer program; native mode up \
                             to MTU 3498";

impl Session {
    /// Loads and attaches, and gives up what is not needed any more.
    ///
    /// # Errors
    /// What prevents it; nothing stays attached then.
    pub(crate) fn open(plan: &LivePlan, zones: Arc<Zones>, policy: Policy) -> Result<Self, RunError> {
        sandbox::check(policy)?;
        // First: what nobody owns must not look like another's program. Who may not, is told so by the next.
        if Capability::NetAdmin.is_held() {
            detach::clear()?;
        }
        attach::preflight(&plan.interfaces, plan.promiscuous)?;
        let spares_host = plan.engine.action == Action::Drop && !plan.force;
        if spares_host {
            host_traffic::refuse_to_drop(&plan.interfaces)?;
        }
        let clock = Clock::start();
        let host_view = host_view::choose(plan)?;
        let reasons = if host_view.is_both() { kernel_words::reset_format() } else { None };
        let queues = match plan.datapath {
            DataPath::Count => Vec::new(),
            DataPath::AfXdp => xsk_maps::queues(&plan.interfaces, plan.mode, plan.force)?,
        };
        let sockets = queues.len() as u32;
        let config = EngineConfig {
            reset_offsets: reasons.as_ref().map(|format| format.offsets),
            host_events: host_view.is_both().then(kernel_words::host_event_format),
            clock_offset_ns: clock.offset_ns,
            ..engine_config(plan, host_view.is_both(), sockets)
        };
        let mut engine = Engine::load(&config)?;
        if !engine.frags() && config.frags.is_none() {
            output::say(SINGLE_BUFFER);
        }
        #[cfg(feature = "trace")]
        let trace = config.trace.then(|| Trace::open(&mut engine)).transpose()?;
        engine.tick(monotonic_ns());
        let pace = DrainInterval::new(plan.drain, plan.flood_at);
        let (service, all) = pace.budget();
        engine.set_budget(service, all);
        // All legs begin as one: what passes while they are being attached is seen by none.
        engine.arm(false);
        let attachments = attach::attach(&mut engine, &plan.interfaces, plan.mode, plan.promiscuous)?;
        let host = host_view
            .attach(|with_reasons| host_tap(plan, &mut engine, &attachments, with_reasons && reasons.is_some()))?;
        let is_one_way = host.is_none() && host_view.has_addresses();
        let sockets = (sockets > 0).then(|| Sockets::open(&mut engine, queues, plan)).transpose()?;
        let modes = attachments.iter().map(|one| sockets.as_ref().map_or(one.mode.name(), |all| all.mode(one)));
        let modes: Vec<_> = modes.collect();
        let meters = InterfaceMeters::read(&attachments);
        meters.tell_absent(&attachments);
        let full = config.depth != Depth::Control;
        let tells_resets = host.as_ref().is_some_and(HostTap::tells_resets);
        let tracker = Tracker::new(TrackerConfig {
            own_addresses: if tells_resets { own_addresses(&attachments)? } else { Vec::new() },
            kernel_reasons: reasons.map(|format| format.names).unwrap_or_default(),
            drop_reasons: kernel_words::drop_reasons(&config),
            pure_acks_seen: full,
            zones: Some(zones),
            ..tracker_config(plan, clock)
        });
        let basis = basis(full, host.is_some());
        let snapshots = config.snapshots.then(|| Snapshots::open(&mut engine)).transpose()?;
        let evidence = plan.evidence.as_ref().map(|plan| Opened::new(plan, interfaces(&attachments, &modes)));
        let evidence = evidence.transpose()?;
        // Before the sandbox hides the limits of the control group.
        let threads = PartitionPool::threads();
        confinement::enter(policy, &mut engine, host.as_ref(), plan.evidence.as_ref(), plan.promiscuous)?;
        let evidence = evidence.map(Opened::start).transpose()?;
        let mut feed = Feed::new(tracker, PartitionPool::of(threads)?, basis, evidence);
        feed.kept = plan.keeps_segments.then(KeptSegments::default);
        let feed = Arc::new(SharedFeed::new(feed));
        let reader = sockets.map(|sockets| sockets.read(&feed, clock)).transpose()?;
        engine.arm(true);
        Ok(Self {
            engine,
            indices: attachments.iter().map(|one| vec![one.device.index]).collect(),
            attachments,
            host,
            #[cfg(feature = "trace")]
            trace,
            reader,
            modes,
            xsk: None,
            snapshots,
            feed,
            accounting: Accounting::default(),
            clock,
            pace,
            last_drain: Instant::now(),
            meters,
            silence: Silence::new(),
            time: TimeWatch::begin(monotonic_ns(), clock.offset_ns),
            renewals: 0,
            spares_host,
            started_ns: clock.unix_ns(),
            is_one_way,
        })
    }

    /// The attached interfaces.
    pub(crate) fn attachments(&self) -> &[Attachment] {
        &self.attachments
    }

    /// How frames of each of them come: the mode of the program, or the mode of the sockets.
    pub(crate) fn modes(&self) -> &[&'static str] {
        &self.modes
    }

    /// To be called every [`TICK`]: advances the coarse clock, and drains when the interval is over or the table is
    /// filling up.
    ///
    /// # Errors
    /// The kernel refused the flip.
    pub(crate) fn tick(&mut self) -> Result<(), RunError> {
        let now_ns = monotonic_ns();
        self.engine.tick(now_ns);
        self.look_at_time(now_ns);
        #[cfg(feature = "trace")]
        self.tell_trace();
        if self.snapshots.is_some() {
            let shared = Arc::clone(&self.feed);
            self.take_snapshots(&mut shared.lock(), monotonic_ns().saturating_sub(ON_THE_WAY_NS));
        }
        if self.reader.as_ref().is_some_and(FrameReader::has_ended) {
            return self.end_reader();
        }
        let occupancy = self.engine.occupancy();
        if !self.pace.is_due(self.last_drain.elapsed(), occupancy) {
            return Ok(());
        }
        let begin = Instant::now();
        let counters = self.silence.is_due().then(|| InterfaceMeters::links(&self.attachments));
        self.drain()?;
        if let Some(counters) = counters {
            self.look_for_silence(&counters);
        }
        self.pace.drained(occupancy, begin.elapsed());
        let (service, all) = self.pace.budget();
        self.engine.set_budget(service, all);
        Ok(())
    }

    /// Says that this process did not run, or that the clock was set.
    fn look_at_time(&mut self, now_ns: u64) {
        let stalled = self.time.tick(now_ns);
        let set = if self.time.is_due(now_ns) { self.time.compare(monotonic_ns(), wall_ns()) } else { None };
        for line in stalled.into_iter().chain(set) {
            output::say(&line);
        }
    }

    /// Frames that the program kept until then (monotonic), before the records of their connections are made.
    fn take_snapshots(&mut self, feed: &mut Feed, until_ns: u64) {
        let Some(snapshots) = &mut self.snapshots else { return };
        snapshots.take(until_ns, |taken| {
            let Taken { segment, interface, queue, wire_len, bytes } = *taken;
            let direction = queue.map_or(Direction::Sent, |queue| Direction::Received { queue });
            feed.keep(&segment, &Frame { interface, direction, wire_len, bytes });
        });
    }

    /// Reads what is left in the sockets and closes them.
    fn end_reader(&mut self) -> Result<(), RunError> {
        let Some(reader) = self.reader.take() else { return Ok(()) };
        let (accounting, read) = reader.finish();
        self.xsk = Some(accounting);
        read
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
        let shared = Arc::clone(&self.feed);
        let mut feed = shared.lock();
        let accounting = self.engine.drain(&mut *feed)?;
        self.take_snapshots(&mut feed, monotonic_ns());
        self.accounting.add(&accounting);
        if accounting.untracked_data > 0 || accounting.order_lost > 0 || accounting.shed > 0 {
            feed.tracker().doubt_acknowledgements();
        }
        self.join_host(feed.tracker(), now_ns, false);
        // The reader of frames moves time on by itself: it knows which are still to come.
        if self.reader.is_none() {
            feed.tracker().advance(now_ns);
        }
        self.last_drain = Instant::now();
        Ok(())
    }

    /// After the segments: a reset is reported just before it leaves, so its connection is known by now, or comes with
    /// the next epoch.
    fn join_host(&mut self, tracker: &mut Tracker, until_ns: u64, last: bool) {
        if let Some(host) = &mut self.host {
            kernel_words::join(host, tracker, self.clock.offset_ns, until_ns, last);
        }
    }

    /// Connections that ended since the last call.
    pub(crate) fn take_closed(&mut self) -> Vec<Connection> {
        self.feed.lock().take_closed()
    }

    /// What the drains and the reader of frames share, which outlives the session.
    pub(crate) fn feed(&self) -> Arc<SharedFeed> {
        Arc::clone(&self.feed)
    }

    /// Removes from the kernel what does not go by itself when this process does. Whatever happens from here on, nothing
    /// stays; and nothing more is recorded. To be called before anything that may take long.
    pub(crate) fn detach_egress(&mut self) {
        self.engine.arm(false);
        if let Some(Err(error)) = self.host.as_mut().map(HostTap::detach) {
            output::say(&format!("rstprobe: {error}; `rstprobe detach` tries it again"));
        }
    }

    /// Detaches, drains what is left, and hands everything over: also when the kernel refused the last flip.
    pub(crate) fn close(mut self) -> Closed {
        // All legs end as one; then one drain reads everything there is.
        self.detach_egress();
        let received = self.meters.since(&self.attachments);
        self.attachments.clear();
        #[cfg(feature = "trace")]
        self.tell_trace();
        // After its grace period no frame is on its way to a socket any more.
        let drained = self.drain();
        let read = self.end_reader();
        let shared = Arc::clone(&self.feed);
        let mut feed = shared.lock();
        let tracker = feed.tracker();
        // Those that the last drain left waiting get no other.
        let ended_ns = self.clock.unix_ns();
        self.join_host(tracker, ended_ns, true);
        let queues = self.indices.iter().map(|indices| interfaces::queues(&self.engine, indices)).collect();
        tracker.finish(ended_ns);
        let stats = tracker.stats();
        feed.begin_last();
        let rest = feed.take_closed();
        let (evidence, written) = feed.close_evidence();
        let counted = self.snapshots.as_ref().map_or((0, 0), Snapshots::counts);
        let evidence = evidence.map(|accounting| EvidenceAccounting { snapshots: counted, ..accounting });
        let resets_lost = self.host.as_ref().map_or(0, HostTap::lost);
        let host_events_lost = self.host.as_ref().map_or(0, HostTap::events_lost);
        Closed {
            drained: drained.and(read).and(written),
            xsk: self.xsk,
            evidence,
            received,
            queues,
            resets_lost,
            host_events_lost,
            unseen: self.silence.unseen(),
            time: self.time.counts(),
            rest,
            accounting: self.accounting,
            services: self.engine.services().cloned().unwrap_or_default(),
            stats,
            ended_ns,
        }
    }
}

/// The interfaces as evidence names them.
fn interfaces(attachments: &[Attachment], modes: &[&str]) -> Vec<Interface> {
    attachments.iter().zip(modes).map(|(attachment, mode)| interface(attachment, mode)).collect()
}

fn interface(attachment: &Attachment, mode: &str) -> Interface {
    Interface {
        index: attachment.device.index,
        name: attachment.device.name.clone(),
        description: format!("{}, {mode}", attachment.device.driver),
        // LINKTYPE_RAW, LINKTYPE_ETHERNET.
        link_type: if attachment.device.link_layer == LinkLayer::Ip { 101 } else { 1 },
    }
}

fn host_tap(
    plan: &LivePlan,
    engine: &mut Engine,
    attachments: &[Attachment],
    with_reasons: bool,
) -> Result<HostTap, LiveError> {
    let devices = attachments.iter().map(|attachment| &attachment.device);
    let tap = HostTap::attach(engine, devices, plan.egress, with_reasons)?;
    if let Some(why) = tap.events_refused() {
        output::say(&format!("rstprobe: errors of sockets and dropped segments are not told: {why}; going on without"));
    }
    if let Some(why) = tap.tcx_refused() {
        output::say(&format!(
            "rstprobe: this kernel has no tcx (Linux 6.6 and newer have it; {why}): what is sent is seen by a filter on the \
             clsact qdisc, which stays after `kill -9` until the next start or `rstprobe detach`"
        ));
    }
    Ok(tap)
}

/// How the program is loaded for this plan.
fn engine_config(plan: &LivePlan, both_ways: bool, sockets: u32) -> EngineConfig {
    // Sockets have whole frames, also where the program cannot copy them.
    let without = KernelFeatures::of_this_kernel().lacks(Feature::FrameBytes) && sockets > 0;
    let snapshots = plan.evidence.is_some() && !without;
    // With one queue alone the accounting says it all. What the host sends is a place of its own.
    let by_queue = both_ways || xsk_maps::queue_count(&plan.interfaces) > 1;
    EngineConfig { by_queue, snapshots, sockets, ..plan.engine.clone() }
}

/// How connections are tracked for this plan, but for what the host and the depth add.
fn tracker_config(plan: &LivePlan, clock: Clock) -> TrackerConfig {
    TrackerConfig {
        max_connections: plan.max_connections,
        hash_seed: std::hash::BuildHasher::hash_one(&std::hash::RandomState::new(), clock.offset_ns),
        ..TrackerConfig::default()
    }
}

/// How complete the counts are.
fn basis(full: bool, both_ways: bool) -> Basis {
    match (full, both_ways) {
        (false, _) => Basis::ControlOnly,
        (true, true) => Basis::BeforeSegmentation,
        (true, false) => Basis::AllSegments,
    }
}

/// The addresses of this host on the interfaces that are watched.
fn own_addresses(attachments: &[Attachment]) -> Result<Vec<IpAddr>, LiveError> {
    let mut all = Vec::new();
    for attachment in attachments {
        all.extend(host_traffic::addresses_of_host(&attachment.device)?);
    }
    Ok(all)
}

/// What a session leaves.
pub(crate) struct Closed {
    /// How the final drain went; when it failed, the rest is what was drained before.
    pub(crate) drained: Result<(), RunError>,
    /// Connections not taken before, still tracked ones included.
    pub(crate) rest: Vec<Connection>,
    /// Books of the data plane.
    pub(crate) accounting: Accounting,
    /// Books of the sockets, if there were any.
    pub(crate) xsk: Option<XskAccounting>,
    /// What became of the evidence, if any was asked for.
    pub(crate) evidence: Option<EvidenceAccounting>,
    /// What was counted by service.
    pub(crate) services: Services,
    /// Books of the tracker.
    pub(crate) stats: TrackerStats,
    /// What kernel and NIC counted on each interface while it was watched.
    pub(crate) received: Vec<Option<Received>>,
    /// What the program counted on each interface by queue; nothing when there is but one queue.
    pub(crate) queues: Vec<Vec<QueueUse>>,
    /// Resets that the kernel reported and that could not be taken.
    pub(crate) resets_lost: u64,
    /// Other words of the kernel that could not be taken.
    pub(crate) host_events_lost: u64,
    /// Packets that the interfaces received while the programs were given none.
    pub(crate) unseen: u64,
    /// When this process did not run, and the clock was set.
    pub(crate) time: TimeCounts,
    /// When watching ended, nanoseconds since the Unix epoch.
    pub(crate) ended_ns: u64,
}

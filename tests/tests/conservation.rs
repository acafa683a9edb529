//! Nothing is lost between the wire and the agent: twenty million control segments of a hundred thousand flows through
//! live XDP on every CPU, while epochs flip every 20 ms. What was sent is in slots, in the log or counted as untracked,
//! flag by flag, exactly.
//!
//! And a loss would be found: a single slot that the drain forgets; and a drain that does not wait for the grace period.
//! Frames that are under way at a flip write for some 100 ns to the half that was left, which is too short to be caught
//! at by chance; so for this test the program is told to idle between reading the epoch and writing.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    thread,
    time::{Duration, Instant},
};

use probe_ebpf::layout::{DirectionCounters, FlagCounts, FlowKey, Segment};
use probe_tests::{
    generator,
    netns::{Loop, SINK, SOURCE},
    sys,
    tier::{privileged, say},
};
use probe_user::source::live::{
    accounting::Accounting,
    attach::{self, Mode},
    engine::{Action, Depth, Engine, EngineConfig, FaultInjection, Sink},
};

/// Time between two drains.
const EPOCH: Duration = Duration::from_millis(20);
/// The same where flips are the point.
const SHORT: Duration = Duration::from_millis(1);
/// Far less than comes in one epoch: slots, log and counters all overflow into the next.
const SMALL: (u32, u32) = (1 << 11, 1 << 11);
/// Room for all of an epoch.
const ROOMY: (u32, u32) = (1 << 16, 1 << 14);

/// Some ten microseconds for each frame between reading the epoch and writing.
const SLOW: FaultInjection = FaultInjection { linger: 10_000, no_grace: false };
/// The same, and nobody waits for those that are under way.
const HASTY: FaultInjection = FaultInjection { no_grace: true, ..SLOW };

/// One kind of control segment, by name and as a field.
type Flag = (&'static str, fn(&FlagCounts) -> u64);

const FLAGS: [Flag; 4] = [("SYN", |f| f.syn), ("SYN-ACK", |f| f.syn_ack), ("FIN", |f| f.fin), ("RST", |f| f.rst)];

/// Adds up by itself what a drain hands over; the books are not asked.
#[derive(Default)]
struct Tally {
    counted: FlagCounts,
    observed: FlagCounts,
    slots: u64,
    /// The slot with this number is forgotten: a planted bug.
    forget: Option<u64>,
}

impl Sink for Tally {
    fn transition(&mut self, _: &Segment) {}

    fn count(&mut self, _: &FlowKey, lo: &DirectionCounters, hi: &DirectionCounters) {
        self.slots += 1;
        if self.forget == Some(self.slots) {
            return;
        }
        for side in [lo, hi] {
            self.counted.syn += u64::from(side.syn);
            self.counted.syn_ack += u64::from(side.syn_ack);
            self.counted.fin += u64::from(side.fin);
            self.counted.rst += u64::from(side.rst);
        }
    }

    fn observe(&mut self, segment: &Segment) {
        self.observed.add(segment.record.flags);
    }
}

/// What became of a run.
struct Run {
    sent: u64,
    dropped: u64,
    tally: Tally,
    accounting: Accounting,
    seconds: f64,
}

impl Run {
    /// Every equation that must hold, each with its name.
    fn differences(&self) -> Vec<String> {
        let (tally, accounting) = (&self.tally, &self.accounting);
        let mut wrong = vec![];
        let mut equal = |name: &str, left: u64, right: u64| {
            if left != right {
                wrong.push(format!("{name}: {left} and {right} differ by {}", left.abs_diff(right)));
            }
        };
        // A full ring of the veth pair is before the probe; it must not happen, or the sums by flag mean nothing.
        equal("dropped by the veth pair", self.dropped, 0);
        equal("sent and frames", self.sent, accounting.frames);
        equal("sent and TCP", self.sent, accounting.tcp);
        for (name, pick) in FLAGS {
            equal(&format!("{name} sent and seen"), self.sent / 4, pick(&accounting.seen));
            let found = pick(&tally.counted) + pick(&tally.observed) + pick(&accounting.untracked_flags);
            equal(&format!("{name} sent and drained + logged + untracked"), self.sent / 4, found);
        }
        equal("the engine's own difference and 0", accounting.difference(), 0);
        wrong
    }
}

/// How a run is made.
struct Setting {
    /// Segments to send.
    count: u32,
    /// Time between two drains.
    epoch: Duration,
    /// Slots and log entries, per CPU and epoch.
    tables: (u32, u32),
    faults: FaultInjection,
    /// See [`Tally::forget`].
    forget: Option<u64>,
}

impl Setting {
    /// Nothing planted.
    fn honest(count: u32, tables: (u32, u32)) -> Self {
        Self { count, epoch: EPOCH, tables, faults: FaultInjection::default(), forget: None }
    }

    fn config(&self) -> EngineConfig {
        EngineConfig {
            depth: Depth::Control,
            action: Action::Drop,
            slots_per_cpu: self.tables.0,
            log_per_cpu: self.tables.1,
            faults: self.faults,
            ..EngineConfig::default()
        }
    }

    /// Sends through a probe while draining every epoch.
    fn run(&self) -> Run {
        let place = Loop::build_wide().expect("a namespace");
        let inside = || {
            let mut engine = Engine::load(&self.config()).map_err(std::io::Error::other)?;
            let sink = [SINK.to_owned()];
            let attached = attach::attach(&mut engine, &sink, Mode::Native, false).map_err(std::io::Error::other)?;
            let source = sys::interface_index(SOURCE)?;
            let begin = Instant::now();
            let tally = Tally { forget: self.forget, ..Tally::default() };
            let send = || generator::send_on_all_cpus(source, self.count);
            // The first region is drained right after a flip; its CPU, another than this, is at work then.
            sys::pin_to_cpu(thread::available_parallelism()?.get() - 1)?;
            let (sent, tally, accounting) = drain_while(&mut engine, self.epoch, tally, send)?;
            drop(attached);
            Ok(Run { sent, dropped: 0, tally, accounting, seconds: begin.elapsed().as_secs_f64() })
        };
        let run = place.namespace.enter(inside).expect("a run");
        Run { dropped: dropped(&place), ..run }
    }
}

/// Drains every `epoch` until `work`, on another thread of the same namespace, is done; then until nothing comes.
/// Returns what `work` says, too.
fn drain_while<T: Send>(
    engine: &mut Engine,
    epoch: Duration,
    mut tally: Tally,
    work: impl FnOnce() -> std::io::Result<T> + Send,
) -> std::io::Result<(T, Tally, Accounting)> {
    let mut sum = Accounting::default();
    let done = thread::scope(|scope| {
        let worker = scope.spawn(work);
        let mut quiet = 0;
        while quiet < 3 {
            thread::sleep(epoch);
            let accounting = engine.drain(&mut tally).map_err(std::io::Error::other)?;
            // Each half twice after the end: what was still in a ring has come by then.
            quiet = if worker.is_finished() && accounting.frames == 0 { quiet + 1 } else { 0 };
            sum.add(&accounting);
        }
        worker.join().expect("the generator does not panic")
    })?;
    Ok((done, tally, sum))
}

/// Frames that found the ring of the receiving end full.
fn dropped(place: &Loop) -> u64 {
    let text = place.namespace.ip(&format!("-json -stats link show dev {SOURCE}")).expect("ip works");
    let shown: serde_json::Value = serde_json::from_str(&text).expect("ip speaks JSON");
    shown[0]["stats64"]["tx"]["dropped"].as_u64().expect("ip shows drops")
}

fn report(name: &str, run: &Run) {
    let Run { sent, accounting, seconds, .. } = run;
    let rate = *sent as f64 / seconds / 1e6;
    let Accounting { in_slots, logged, untracked, epochs, .. } = accounting;
    say(&format!(
        "{name}: {sent} sent at {rate:.2} M/s, {epochs} epochs; {in_slots} in slots, {logged} logged, {untracked} untracked"
    ));
}

#[test]
fn every_control_segment_is_accounted_for() {
    privileged("conservation", "every_control_segment_is_accounted_for", || {
        let run = Setting::honest(20_000_000, SMALL).run();
        report("every CPU, small tables", &run);
        assert_eq!(run.differences(), Vec::<String>::new());
        assert!(run.accounting.epochs > 10);
        let Accounting { in_slots, logged, untracked, .. } = run.accounting;
        assert!(in_slots > 0 && logged > 0 && untracked > 0, "not all ways were taken");
    });
}

#[test]
fn a_single_forgotten_slot_is_found() {
    privileged("conservation", "a_single_forgotten_slot_is_found", || {
        let run = Setting { forget: Some(1000), ..Setting::honest(400_000, ROOMY) }.run();
        report("one slot forgotten", &run);
        let differences = run.differences();
        assert!(!differences.is_empty(), "the check passes over a planted loss");
        assert!(differences.iter().all(|line| line.contains("drained + logged + untracked")), "{differences:?}");
    });
}

#[test]
fn a_drain_without_grace_is_found() {
    privileged("conservation", "a_drain_without_grace_is_found", || {
        let run = |name, faults| {
            let run = Setting { faults, epoch: SHORT, ..Setting::honest(200_000, ROOMY) }.run();
            report(name, &run);
            run.differences()
        };
        assert_eq!(run("slow program", SLOW), Vec::<String>::new());
        let found = run("slow program, no grace period", HASTY);
        for line in &found {
            say(&format!("    found: {line}"));
        }
        assert!(!found.is_empty(), "the check passes over frames that were under way at a flip");
    });
}

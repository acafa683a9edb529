//! Nothing is lost between the wire and the agent: twenty million control segments of a hundred thousand flows through
//! live XDP, while epochs flip every 20 ms. What was sent is in slots, in the log or counted as untracked, flag by flag,
//! exactly; and a planted loss of a single slot is found.
//!
//! Privileged: runs with RSTPROBE_PRIVILEGED=1 and says so (see [`probe_tests::tier`]).

use std::{
    thread,
    time::{Duration, Instant},
};

use probe_ebpf::layout::{DirectionCounters, FlagCounts, FlowKey, Segment};
use probe_tests::{
    generator::Generator,
    netns::{Loop, SINK, SOURCE},
    sys,
    tier::{privileged, say},
};
use probe_user::source::live::{
    attach::{self, Mode},
    books::Books,
    engine::{Action, Depth, Engine, EngineConfig, Sink},
};

/// Time between two drains.
const EPOCH: Duration = Duration::from_millis(20);
/// Far less than comes in one epoch: slots, log and counters all overflow into the next.
const SMALL: (u32, u32) = (1 << 11, 1 << 11);
/// Room for all of an epoch.
const ROOMY: (u32, u32) = (1 << 16, 1 << 14);

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
    books: Books,
    seconds: f64,
}

impl Run {
    /// Every equation that must hold, each with its name.
    fn differences(&self) -> Vec<String> {
        let (tally, books) = (&self.tally, &self.books);
        let mut wrong = vec![];
        let mut equal = |name: &str, left: u64, right: u64| {
            if left != right {
                wrong.push(format!("{name}: {left} and {right} differ by {}", left.abs_diff(right)));
            }
        };
        // A full ring of the veth pair is before the probe; it must not happen, or the sums by flag mean nothing.
        equal("dropped by the veth pair", self.dropped, 0);
        equal("sent and frames", self.sent, books.frames);
        equal("sent and TCP", self.sent, books.tcp);
        for (name, pick) in FLAGS {
            equal(&format!("{name} sent and seen"), self.sent / 4, pick(&books.seen));
            let found = pick(&tally.counted) + pick(&tally.observed) + pick(&books.untracked_flags);
            equal(&format!("{name} sent and drained + logged + untracked"), self.sent / 4, found);
        }
        equal("the engine's own difference and 0", books.difference(), 0);
        wrong
    }
}

/// Sends `count` segments through a probe with tables of `(slots, log)` while draining every epoch.
fn run(count: u32, (slots_per_cpu, log_per_cpu): (u32, u32), forget: Option<u64>) -> Run {
    let place = Loop::build().expect("a namespace");
    let inside = || {
        let config = EngineConfig {
            depth: Depth::Control,
            action: Action::Drop,
            slots_per_cpu,
            log_per_cpu,
            ..EngineConfig::default()
        };
        let mut engine = Engine::load(&config).map_err(std::io::Error::other)?;
        let sink = [SINK.to_owned()];
        let attached = attach::attach(&mut engine, &sink, Mode::Native, false).map_err(std::io::Error::other)?;
        let generator = Generator::load(sys::interface_index(SOURCE)?)?;
        let begin = Instant::now();
        let (tally, books) = drain_while(&mut engine, Tally { forget, ..Tally::default() }, || generator.send(count))?;
        drop(attached);
        Ok((tally, books, begin.elapsed().as_secs_f64()))
    };
    let (tally, books, seconds) = place.namespace.enter(inside).expect("a run");
    let dropped = dropped(&place);
    Run { sent: u64::from(count), dropped, tally, books, seconds }
}

/// Drains every [`EPOCH`] until `work`, on another thread of the same namespace, is done; then until nothing comes.
fn drain_while(
    engine: &mut Engine,
    mut tally: Tally,
    work: impl FnOnce() -> std::io::Result<()> + Send,
) -> std::io::Result<(Tally, Books)> {
    let mut sum = Books::default();
    thread::scope(|scope| {
        let worker = scope.spawn(work);
        let mut quiet = 0;
        while quiet < 3 {
            thread::sleep(EPOCH);
            let books = engine.drain(&mut tally).map_err(std::io::Error::other)?;
            // Each half twice after the end: what was still in a ring has come by then.
            quiet = if worker.is_finished() && books.frames == 0 { quiet + 1 } else { 0 };
            sum.add(&books);
        }
        worker.join().expect("the generator does not panic")
    })?;
    Ok((tally, sum))
}

/// Frames that found the ring of the receiving end full.
fn dropped(place: &Loop) -> u64 {
    let text = place.namespace.ip(&format!("-json -stats link show dev {SOURCE}")).expect("ip works");
    let shown: serde_json::Value = serde_json::from_str(&text).expect("ip speaks JSON");
    shown[0]["stats64"]["tx"]["dropped"].as_u64().expect("ip shows drops")
}

fn told(name: &str, run: &Run) {
    let Run { sent, books, seconds, .. } = run;
    let rate = *sent as f64 / seconds / 1e6;
    let Books { in_slots, logged, untracked, epochs, .. } = books;
    say(&format!(
        "{name}: {sent} sent at {rate:.2} M/s, {epochs} epochs; {in_slots} in slots, {logged} logged, {untracked} untracked"
    ));
}

#[test]
fn every_control_segment_is_accounted_for() {
    privileged("conservation", "every_control_segment_is_accounted_for", || {
        for (name, tables, count) in [("small tables", SMALL, 10_000_000), ("roomy tables", ROOMY, 10_000_000)] {
            let run = run(count, tables, None);
            told(name, &run);
            assert_eq!(run.differences(), Vec::<String>::new());
            assert!(run.books.in_slots > 0 && run.books.epochs > 10);
            if tables == SMALL {
                assert!(run.books.logged > 0 && run.books.untracked > 0, "the ways out of the table were not taken");
            }
        }
    });
}

#[test]
fn a_single_forgotten_slot_is_found() {
    privileged("conservation", "a_single_forgotten_slot_is_found", || {
        let run = run(400_000, ROOMY, Some(1000));
        told("one slot forgotten", &run);
        let differences = run.differences();
        assert!(!differences.is_empty(), "the check passes over a planted loss");
        assert!(differences.iter().all(|line| line.contains("drained + logged + untracked")), "{differences:?}");
    });
}

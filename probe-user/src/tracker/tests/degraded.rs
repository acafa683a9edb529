//! The same exchange seen worse than whole: only its control segments, copies of its segments, with segments lost to the
//! capture, with frames cut. What is then said may be less, or less sure; it must not contradict what the whole says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::{
    prelude::*,
    strategy::ValueTree,
    test_runner::{RngAlgorithm, TestRng, TestRunner},
};

use crate::tracker::tests::exchange::{Act, Exchange, Place, Script};
use crate::tracker::tests::places::{act, ending, script};
use crate::tracker::tests::*;
use crate::tracker::tests::{epochs, epochs::Spread};

/// How an exchange is seen.
#[derive(Clone, Copy, Debug)]
enum View {
    Whole,
    /// SYN, FIN and RST only.
    Control,
    /// Every so manieth segment twice, after so many nanoseconds, and with so many hops more behind it.
    Copies {
        every: usize,
        later_ns: u64,
        hops: u8,
    },
    /// So many of 10,000 segments are missing.
    Loss {
        of_10_000: u64,
    },
    /// Neither payload nor options.
    Cut,
}

/// What a verdict says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Said {
    cause: Cause,
    by: ResetBy,
    impact: Impact,
    confidence: Confidence,
}

/// Numbers that look random and are the same in every run (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % sides
    }
}

impl View {
    fn of(self, segments: &[Segment], dice: &mut Dice) -> Vec<Segment> {
        let all = segments.iter().copied();
        match self {
            Self::Whole => all.collect(),
            Self::Control => all.filter(|segment| segment.record.is_control()).collect(),
            Self::Loss { of_10_000 } => all.filter(|_| dice.roll(10_000) >= of_10_000).collect(),
            Self::Cut => all.map(cut).collect(),
            Self::Copies { every, later_ns, hops } => {
                let copies = segments.iter().step_by(every).copied().map(|mut segment| {
                    segment.record.time_ns += later_ns;
                    segment.record.ttl -= hops;
                    segment
                });
                let mut both: Vec<Segment> = all.chain(copies).collect();
                both.sort_by_key(|segment| segment.record.time_ns);
                both
            }
        }
    }

    /// What is said of an exchange so seen.
    fn judge(self, segments: &[Segment], dice: &mut Dice) -> Vec<Said> {
        let seen = self.of(segments, dice);
        let end = segments.last().map_or(START, |last| last.record.time_ns) + 60 * SECOND;
        let is_control = matches!(self, Self::Control);
        let mut tracker = Tracker::new(TrackerConfig { pure_acks_seen: !is_control, ..TrackerConfig::default() });
        if is_control {
            epochs::run(&seen, &mut tracker, Spread::OneCpu, Basis::ControlOnly);
        } else {
            let payload_cut = matches!(self, Self::Cut);
            for segment in &seen {
                let payload_cut = payload_cut && segment.record.payload_len > 0;
                tracker.observe(segment, Extra { payload_cut, ..Extra::default() });
            }
        }
        tracker.finish(end);
        tracker.take_closed().iter().map(Said::of).collect()
    }
}

fn cut(mut segment: Segment) -> Segment {
    segment.first_bytes = 0;
    segment.record.mss = 0;
    segment.record.flags &= !HAS_TIMESTAMPS;
    segment.record.put_window_scale(None);
    segment
}

impl Said {
    fn of(one: &Connection) -> Self {
        let Verdict { cause, confidence, impact, .. } = one.verdict;
        Self { cause, by: one.reset_by, impact, confidence }
    }

    /// What of it cannot be true where `whole` is.
    fn contradicts(self, whole: Said) -> Option<&'static str> {
        let says_nothing = matches!(self.cause, Cause::Unknown | Cause::None);
        let by = self.by == ResetBy::Unknown || says_nothing && self.by == ResetBy::None || self.by == whole.by;
        match () {
            () if !says_nothing && !covers(self.cause, whole.cause) => Some("cause"),
            () if !by => Some("by"),
            () if self.impact != Impact::Unknown && self.impact != whole.impact => Some("impact"),
            () => None,
        }
    }
}

/// `less` is what is said of `more` where less is seen, or the two are told apart by little more than a time.
fn covers(less: Cause, more: Cause) -> bool {
    let group: &[Cause] = match less {
        // What packets cannot tell of aborts.
        Cause::AppAbort => &[
            Cause::ClientAbortDownload,
            Cause::ClientAbortUpload,
            Cause::ClientGaveUp,
            Cause::ServerReplyThenReset,
            Cause::TlsAlert,
        ],
        Cause::DataAfterClose => &[Cause::KeepAliveRace],
        Cause::KeepAliveRace => &[Cause::DataAfterClose],
        // The tails of orderly closes.
        Cause::RstAfterClose => &[Cause::None, Cause::CloseNotifyAfterClose],
        Cause::CloseNotifyAfterClose => &[Cause::None, Cause::RstAfterClose],
        _ => &[],
    };
    less == more || group.contains(&more)
}

const CONVERSATIONS: usize = 3000;

/// Exchanges as seen whole from some place, and what is then said of them.
static WHOLE: LazyLock<Vec<(Vec<Segment>, Said)>> = LazyLock::new(|| {
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(ProptestConfig::default(), rng);
    let scripted = (1..4_u64, 0..30_u64, 0..50_u64, ending(), 50_000..75_000_000_u64);
    let random = (proptest::collection::vec((0..3_000_u64, 0..2_usize, act()), 1..10), 50_000..75_000_000_u64);
    let mut all = Vec::new();
    for number in 0..CONVERSATIONS {
        let exchange = if number % 3 == 0 {
            let (rounds, think, pause, ending, delay) = scripted.new_tree(&mut runner).expect("one").current();
            Exchange::play(&script(rounds, think, pause, ending, delay), delay)
        } else {
            let (script, delay) = random.new_tree(&mut runner).expect("one").current();
            Exchange::play(&plausible(script), delay)
        };
        let place = [Place::Client, Place::Middle, Place::Server][number / 3 % 3];
        let segments = exchange.seen_at(place);
        let said = View::Whole.judge(&segments, &mut Dice(0));
        assert_eq!(said.len(), 1);
        all.push((segments, said[0]));
    }
    all
});

/// In milliseconds at first; a TLS goodbye comes only after a handshake, which is a request and an answer.
fn plausible(mut script: Script) -> Script {
    if script.iter().any(|one| one.2 == Act::Goodbye) {
        for one in &mut script {
            one.0 += 200;
        }
        script.extend([(1, 0, Act::Send(300)), (100, 1, Act::Send(1200))]);
    }
    for one in &mut script {
        one.0 *= MILLISECOND;
    }
    script.sort_unstable();
    script
}

/// What became of the verdicts on all conversations, in some views by turns.
#[derive(Default)]
struct Tally {
    /// Verdicts with less confidence.
    less_sure: usize,
    /// Contradictions with medium or high confidence, told at length.
    wrong: Vec<String>,
    /// Those of a whole that is itself a guess.
    against_a_guess: usize,
    /// Contradictions with low confidence, by what is said whole and less.
    guesses: BTreeMap<(Cause, Cause), usize>,
    /// Records beyond the first.
    more_records: usize,
}

impl Tally {
    fn of(views: &[View]) -> Self {
        let mut tally = Self::default();
        let mut dice = Dice(1);
        for (number, (segments, whole)) in WHOLE.iter().enumerate() {
            let view = views[number % views.len()];
            let said = view.judge(segments, &mut dice);
            if let Some(&seen) = said.first() {
                tally.less_sure += usize::from(seen.confidence < whole.confidence);
                tally.more_records += said.len() - 1;
                tally.take(*whole, seen, || format!("{view:?} {}", brief(segments)));
            }
        }
        println!(
            "{views:?}: {} conversations, {} contradictions and {} of a guess; {} less sure; {} more records; guesses {:?}\n{}",
            WHOLE.len(),
            tally.wrong.len(),
            tally.against_a_guess,
            tally.less_sure,
            tally.more_records,
            tally.guesses,
            tally.wrong.join("\n")
        );
        tally
    }

    fn take(&mut self, whole: Said, seen: Said, exchange: impl Fn() -> String) {
        let Some(what) = seen.contradicts(whole) else { return };
        match (seen.confidence, whole.confidence) {
            (Confidence::Low, _) => *self.guesses.entry((whole.cause, seen.cause)).or_default() += 1,
            (_, Confidence::Low) => self.against_a_guess += 1,
            _ => self.wrong.push(format!("{what}: {whole:?}\n  {seen:?}\n  {}", exchange())),
        }
    }

    /// Every guess that contradicts is one of `declared`: what is said where less is seen, of what.
    fn guesses_are(&self, declared: &[(Cause, &[Cause])]) -> bool {
        let is_declared =
            |whole: Cause, seen: Cause| declared.iter().any(|one| one.0 == seen && one.1.contains(&whole));
        self.guesses.keys().all(|&(whole, seen)| is_declared(whole, seen))
    }
}

/// Of each segment: milliseconds, sender, flags in hexadecimal, payload.
fn brief(segments: &[Segment]) -> String {
    let of_one = |segment: &Segment| {
        let SegmentRecord { time_ns, flags, payload_len, .. } = segment.record;
        let sender = if segment.record.from_hi() { 's' } else { 'c' };
        format!("{}{sender}{:02x}:{payload_len}", (time_ns - START) / MILLISECOND, flags & 0x17)
    };
    segments.iter().map(of_one).collect::<Vec<_>>().join(" ")
}

#[test]
fn control_segments_alone_do_not_contradict() {
    let tally = Tally::of(&[View::Control]);
    assert!(tally.wrong.is_empty());
    // That the client perhaps waited for an answer, and closed without it, does not show.
    assert!(tally.against_a_guess <= CONVERSATIONS / 50);
    assert!(tally.guesses_are(&[
        // After both had closed, or its own close, what it answered is not seen: payload, a goodbye or less.
        (Cause::RstAfterClose, &[Cause::CloseNotifyAfterClose, Cause::DataAfterClose, Cause::ClientGaveUp]),
        (
            Cause::DataAfterClose,
            &[
                Cause::ServerReplyThenReset,
                Cause::ClientAbortDownload,
                Cause::CloseNotifyAfterClose,
                Cause::ClientGaveUp
            ]
        ),
        // An abort after the other's close, perhaps because of it: whether anything was still to come is not seen.
        (Cause::AppAbort, &[Cause::RstAfterClose, Cause::ClientGaveUp]),
        // Further RSTs answer something.
        (Cause::AbortNoData, &[Cause::AppAbort, Cause::ClientAbortDownload]),
    ]));
}

#[test]
fn copies_change_nothing() {
    let tally = Tally::of(&[
        View::Copies { every: 1, later_ns: 20_000, hops: 1 },
        View::Copies { every: 1, later_ns: 1_000_000, hops: 0 },
        View::Copies { every: 3, later_ns: 20_000, hops: 0 },
        View::Copies { every: 2, later_ns: 300_000, hops: 1 },
    ]);
    assert!(tally.wrong.is_empty() && tally.guesses_are(&[]));
    assert_eq!((tally.against_a_guess, tally.less_sure, tally.more_records), (0, 0, 0));
}

#[test]
fn cut_frames_hardly_ever_contradict() {
    let tally = Tally::of(&[View::Cut]);
    // A TLS goodbye that crosses an abort, before anybody has closed, is as long as a short message.
    assert!(tally.wrong.len() <= CONVERSATIONS / 500 && tally.guesses_are(&[]));
}

#[test]
fn losses_of_the_capture_hardly_ever_contradict() {
    // Most is what nobody could know: the RST itself was lost, and nothing contradicts that there was none.
    for (of_10_000, most) in [(10, CONVERSATIONS / 400), (100, CONVERSATIONS / 200), (500, CONVERSATIONS / 40)] {
        let tally = Tally::of(&[View::Loss { of_10_000 }]);
        assert!(tally.wrong.len() <= most, "{}", tally.wrong.len());
        assert!(tally.guesses.values().sum::<usize>() <= 2 * most);
    }
}

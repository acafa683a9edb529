//! The same exchange, watched from the client, the middle and the server: who, why and what was lost are the same.

use proptest::{prelude::*, test_runner::TestRunner};

use crate::tracker::tests::exchange::{Act, Exchange, Place, Script};
use crate::tracker::tests::*;

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// How a conversation ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Ending {
    /// Either closes, the other follows.
    Orderly(usize),
    /// TLS: the client says goodbye and closes, the server's goodbye comes late, or crosses.
    Goodbyes,
    /// The client closes, or aborts, while it waits; the answer comes later.
    GaveUp { abort: bool },
    /// The server closes while it is idle; a request comes, or crosses.
    Idle,
    /// The server answers an upload early and closes with it unread.
    EarlyReply,
    /// The client stops reading a download and closes.
    Download,
    /// Either aborts.
    Abort(usize),
}

pub(crate) fn ending() -> impl Strategy<Value = Ending> {
    prop_oneof![
        (0..2_usize).prop_map(Ending::Orderly),
        Just(Ending::Goodbyes),
        any::<bool>().prop_map(|abort| Ending::GaveUp { abort }),
        Just(Ending::Idle),
        Just(Ending::EarlyReply),
        Just(Ending::Download),
        (0..2_usize).prop_map(Ending::Abort),
    ]
}

/// Rounds of request and answer, then the ending; times in milliseconds.
pub(crate) fn script(rounds: u64, think_ms: u64, pause_ms: u64, ending: Ending, delay_ns: u64) -> Script {
    let way_ms = delay_ns / MILLISECOND + 1;
    let mut script = Script::new();
    let mut now = 1;
    let mut put = |ms: u64, side: usize, act: Act| script.push((ms * MILLISECOND, side, act));
    for _ in 0..rounds {
        put(now, CLIENT, Act::Send(300));
        put(now + way_ms + think_ms, SERVER, Act::Send(1200));
        now += 2 * way_ms + think_ms + 5;
    }
    now += pause_ms;
    match ending {
        Ending::Orderly(first) => {
            put(now, first, Act::Close);
            put(now + way_ms + 2, 1 - first, Act::Close);
        }
        Ending::Goodbyes => {
            put(now, CLIENT, Act::Goodbye);
            put(now, CLIENT, Act::Close);
            put(now + way_ms + 1, SERVER, Act::Goodbye);
            put(now + way_ms + 1, SERVER, Act::Close);
        }
        Ending::GaveUp { abort } => {
            put(now, CLIENT, Act::Send(300));
            put(now + 1500, CLIENT, if abort { Act::Abort } else { Act::Close });
            put(now + 2500, SERVER, Act::Send(1200));
        }
        Ending::Idle => {
            put(now + 1500, SERVER, Act::Close);
            put(now + 1500 + way_ms / 2, CLIENT, Act::Send(300));
        }
        Ending::EarlyReply => {
            for part in 0..6 {
                put(now + part * 2, CLIENT, Act::Send(4000));
            }
            put(now + way_ms, SERVER, Act::StopReading);
            put(now + way_ms + 3, SERVER, Act::Send(200));
            put(now + way_ms + 3, SERVER, Act::Close);
        }
        Ending::Download => {
            put(now, CLIENT, Act::Send(300));
            for part in 0..20 {
                put(now + way_ms + part * 2, SERVER, Act::Send(10_000));
            }
            put(now + 2 * way_ms + 8, CLIENT, Act::StopReading);
            put(now + 2 * way_ms + 20, CLIENT, Act::Close);
        }
        Ending::Abort(side) => put(now, side, Act::Abort),
    }
    script
}

fn verdict_at(exchange: &Exchange, place: Place) -> Connection {
    let mut tracker = Tracker::new(TrackerConfig::default());
    let segments = exchange.seen_at(place);
    for segment in &segments {
        tracker.observe(segment, Extra::default());
    }
    tracker.finish(segments.last().map_or(START, |last| last.record.time_ns) + 60 * SECOND);
    let mut records = tracker.take_closed();
    assert!(!records.is_empty());
    records.remove(0)
}

/// What is said is what was played.
fn is_right(ending: Ending, cause: Cause, impact: Impact) -> bool {
    match ending {
        Ending::Orderly(_) => cause == Cause::None && impact == Impact::None,
        Ending::Goodbyes => {
            matches!(cause, Cause::None | Cause::CloseNotifyAfterClose | Cause::RstAfterClose) && impact == Impact::None
        }
        Ending::GaveUp { .. } => cause == Cause::ClientGaveUp && impact == Impact::ResponseLost,
        Ending::Idle => matches!(cause, Cause::KeepAliveRace | Cause::DataAfterClose) && impact == Impact::RequestLost,
        Ending::EarlyReply => cause == Cause::ServerReplyThenReset && impact == Impact::RequestLost,
        Ending::Download => {
            matches!(cause, Cause::ClientAbortDownload | Cause::AppAbort)
                && matches!(impact, Impact::TransferCut | Impact::None)
        }
        Ending::Abort(_) => cause == Cause::AppAbort && impact == Impact::None,
    }
}

#[test]
fn verdicts_do_not_depend_on_the_place() {
    let mut runner = TestRunner::new(ProptestConfig { cases: 3000, ..ProptestConfig::default() });
    let conversations = (1..4_u64, 0..30_u64, 0..50_u64, ending(), 50_000..75_000_000_u64);
    let outcome = runner.run(&conversations, |(rounds, think_ms, pause_ms, ending, delay_ns)| {
        let exchange = Exchange::play(&script(rounds, think_ms, pause_ms, ending, delay_ns), delay_ns);
        let seen = [Place::Client, Place::Middle, Place::Server].map(|place| verdict_at(&exchange, place));
        let said = seen.each_ref().map(|one| (one.verdict.cause, one.verdict.impact, one.reset_by));
        let all = || seen.iter().map(|one| format!("{} {:?}", one.history, one.verdict)).collect::<Vec<_>>().join("\n");
        prop_assert!(said[0] == said[1] && said[1] == said[2], "{said:?}\n{}", all());
        prop_assert!(is_right(ending, said[0].0, said[0].1), "{ending:?}: {said:?}\n{}", all());
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
}

pub(crate) fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        6 => (1..6000_u32).prop_map(Act::Send),
        1 => Just(Act::Goodbye),
        2 => Just(Act::Close),
        1 => Just(Act::Abort),
        1 => Just(Act::StopReading),
    ]
}

/// Whatever applications do, who ended it, why and what was lost are said alike. What stands right at the bound of a waiting
/// time falls to one side or the other.
#[test]
fn nonsense_is_judged_alike_everywhere() {
    const CASES: u32 = 5000;
    const AT_THE_BOUND: u32 = CASES / 200;
    let mut runner = TestRunner::new(ProptestConfig { cases: CASES, ..ProptestConfig::default() });
    let scripts = proptest::collection::vec((0..3_000_u64, 0..2_usize, act()), 1..10);
    let differing = std::cell::RefCell::new(Vec::new());
    let outcome = runner.run(&(scripts, 50_000..75_000_000_u64), |(mut script, delay_ns)| {
        for one in &mut script {
            one.0 *= MILLISECOND;
        }
        script.sort_unstable();
        let exchange = Exchange::play(&script, delay_ns);
        if exchange.resets_cross() {
            return Ok(());
        }
        let seen = [Place::Client, Place::Middle, Place::Server].map(|place| verdict_at(&exchange, place));
        let said = seen.each_ref().map(|one| (one.verdict.cause, one.verdict.impact, one.reset_by));
        if said[0] != said[1] || said[1] != said[2] {
            differing.borrow_mut().push(format!("{said:?} {} {delay_ns} {script:?}", seen[0].history));
        }
        Ok(())
    });
    let differing = differing.into_inner();
    assert!(
        outcome.is_ok() && differing.len() as u32 <= AT_THE_BOUND,
        "{}:\n{}",
        differing.len(),
        differing.join("\n")
    );
}

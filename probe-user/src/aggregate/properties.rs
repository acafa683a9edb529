//! Property tests: batched updates give what connections give one by one.

use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use super::{batch::BATCH_LEN, contribution::Contribution, tests::connection, *};
use crate::record::{Opening, Side};

const OPENINGS: [Opening; 6] =
    [Opening::Completed, Opening::HalfOpen, Opening::Refused, Opening::Unanswered, Opening::OneSided, Opening::NotSeen];
const RESETS: [ResetBy; 5] = [ResetBy::None, ResetBy::Client, ResetBy::Server, ResetBy::Middle, ResetBy::Unknown];

/// Mostly as small as in most connections, also as large as no fact holds.
fn count() -> impl Strategy<Value = u64> {
    prop_oneof![20 => 0..3_u64, 4 => 0..20_u64, 1 => 0..1_u64 << 40]
}

prop_compose! {
    fn side()(
        flags in [count(), count(), count(), count()],
        sums in [count(), count(), count(), count()],
        rst_ttl in 50..70_u8,
    ) -> Side {
        let [syn, syn_ack, fin, rst] = flags;
        let [packets, ip_bytes, bytes, payload_bytes] = sums;
        Side { syn, syn_ack, fin, rst, packets, ip_bytes, bytes, payload_bytes, ttl: 60, rst_ttl, ..Side::default() }
    }
}

prop_compose! {
    fn any_connection()(
        ends in (1..9_u16, 1..9_u8),
        words in (
            0..OPENINGS.len(),
            0..Closing::ALL.len(),
            0..RESETS.len(),
            0..Cause::ALL.len(),
            0..Impact::ALL.len(),
        ),
        start_ns in 0..1_u64 << 40,
        sides in [side(), side()],
        // Up to 18 minutes; some longer than a fact holds, which is 72 minutes.
        duration_ns in prop_oneof![9 => 0..1_u64 << 40, 1 => 0..1_u64 << 50],
        idle_gap_s in proptest::option::weighted(0.1, 1..100_u64),
    ) -> Connection {
        let [orig, resp] = sides;
        let (opening, closing) = (OPENINGS[words.0], Closing::ALL[words.1]);
        let mut one = connection(&format!("10.0.0.2:{}", ends.0), opening, closing, orig, resp);
        one.orig.set_ip([10, 1, 0, ends.1].into());
        (one.reset_by, one.verdict.cause) = (RESETS[words.2], Cause::ALL[words.3]);
        (one.verdict.impact, one.start_ns) = (Impact::ALL[words.4], start_ns);
        (one.duration_ns, one.idle_gap_ns) = (duration_ns, idle_gap_s.map(|gap| gap * 1_000_000_000));
        if closing == Closing::RstWithoutConnection {
            (one.opening, one.verdict.cause) = (Opening::NotSeen, Cause::RstWithoutConnection);
        }
        one
    }
}

/// All that can be read of rows.
fn read(groups: &Groups) -> Vec<impl PartialEq + std::fmt::Debug> {
    let read = |(key, group): (GroupKey, &Group)| {
        let quantiles = [0.01, 0.5, 0.99, 1.0].map(|share| group.duration_quantile_us(share));
        (key, group.totals.clone(), group.causes().collect::<Vec<_>>(), quantiles, group.idle_gap_cluster())
    };
    groups.by_server_rst(usize::MAX).into_iter().map(read).collect()
}

fn assert_same(batch: &Aggregate, one_by_one: &Aggregate) {
    assert_eq!(batch.totals, one_by_one.totals);
    assert!(batch.causes().eq(one_by_one.causes()));
    assert!(batch.outcomes().eq(one_by_one.outcomes()));
    assert!(batch.closings().eq(one_by_one.closings()));
    assert_eq!(batch.capture_loss, one_by_one.capture_loss);
    assert_eq!(read(&batch.servers), read(&one_by_one.servers));
    assert_eq!(read(&batch.clients), read(&one_by_one.clients));
}

fn is_real(one: &Connection) -> bool {
    one.closing != Closing::RstWithoutConnection
}

/// Added in pieces and settled; then one by one, each judged after all were observed. The habits are others: those that
/// `Pending` counts are part of what is compared.
fn both_ways(connections: &[Connection], max_groups: usize, piece: usize) -> [Aggregate; 2] {
    let (mut one_by_one, mut pending) = (Aggregate::new(max_groups), Pending::new(max_groups));
    let (mut habits, mut observed) = (Habits::default(), Habits::default());
    for some in connections.chunks(piece) {
        pending.add(&mut some.to_vec(), &mut habits);
    }
    assert_eq!(pending.connections(), connections.iter().filter(|one| is_real(one)).count() as u64);
    // Without this, a change of what fits could leave nothing to compare.
    let fit = connections.iter().filter(|one| is_real(one) && Contribution::fits(one)).count();
    assert_eq!(pending.batch(), fit % BATCH_LEN);
    for one in connections {
        observed.observe(one);
    }
    for one in connections {
        let mut one = one.clone();
        observed.judge(&mut one);
        one_by_one.add(&one);
    }
    [pending.settle(&habits), one_by_one]
}

proptest! {
    #[test]
    fn batched_is_as_one_by_one(
        connections in proptest::collection::vec(any_connection(), 0..400),
        (max_groups, piece) in (0..10_usize, 1..100_usize),
    ) {
        let [batch, one_by_one] = both_ways(&connections, max_groups, piece);
        assert_same(&batch, &one_by_one);
    }

    #[test]
    fn many_of_the_largest_overflow_nothing(mut one in any_connection(), many in 1..3000_usize) {
        (one.closing, one.idle_gap_ns) = (Closing::Open, None);
        one.duration_ns = u64::from(u32::MAX) * 1000;
        for side in [&mut one.from_orig, &mut one.from_resp] {
            (side.syn, side.syn_ack, side.fin, side.rst) = (7, 7, 7, 7);
            (side.packets, side.ip_bytes) = (0x7fff_ffff, 0x7fff_ffff);
        }
        prop_assert!(Contribution::fits(&one));
        let [batch, one_by_one] = both_ways(&vec![one; many], 1, 100);
        assert_same(&batch, &one_by_one);
    }
}

/// Of any connections, enough are gathered and enough are not, whichever of the reasons there is.
#[test]
fn any_connections_are_of_both_kinds() {
    let (mut runner, any) = (TestRunner::deterministic(), any_connection());
    let mut connections = Vec::new();
    for _ in 0..4000 {
        connections.push(any.new_tree(&mut runner).expect("nothing is rejected").current());
    }
    let fit = connections.iter().filter(|one| Contribution::fits(one)).count();
    assert!((400..3600).contains(&fit), "{fit}");
    // Each of these is the only thing that keeps some of them out.
    let mends: [fn(&mut Connection); 4] = [
        |one| one.idle_gap_ns = None,
        |one| one.duration_ns = 0,
        |one| (one.from_orig.packets, one.from_resp.packets) = (0, 0),
        |one| (one.from_orig.ip_bytes, one.from_resp.ip_bytes) = (0, 0),
    ];
    for (number, mend) in mends.into_iter().enumerate() {
        let mended = connections.iter().filter(|one| {
            let mut mended = (*one).clone();
            mend(&mut mended);
            !Contribution::fits(one) && Contribution::fits(&mended)
        });
        assert!(mended.count() > 5, "{number}");
    }
}

#[test]
fn more_than_one_batch() {
    let fin = Side { fin: 1, packets: 3, ..Side::default() };
    let of_number = |number: u32| {
        let server = format!("10.0.0.2:{}", number % 300);
        let mut one = connection(&server, Opening::Completed, Closing::TwoFins, fin, fin);
        one.orig.set_ip((number % 7).to_be_bytes().into());
        // Eight of a kind do not fit.
        (one.duration_ns, one.from_resp.syn) = (u64::from(number) * 1000, u64::from(number % 9));
        one
    };
    let connections: Vec<_> = (0..100_000).map(of_number).collect();
    let fit = connections.iter().filter(|one| Contribution::fits(one)).count();
    assert!(fit > 2 * BATCH_LEN, "{fit}");
    let [batch, one_by_one] = both_ways(&connections, 100, 100);
    assert_same(&batch, &one_by_one);
}

/// Aborted connections of four services, with and without a row of their own: each is judged by the habit of its service.
#[test]
fn each_connection_is_judged_by_its_own_service() {
    // By service: connections, and how many of them it aborted. A habit, none, too few of all, too few.
    const SERVICES: [(u16, usize, usize); 4] = [(1, 10, 10), (2, 10, 0), (3, 10, 5), (4, 4, 4)];
    // Requests that were answered.
    let (fin, rst) = (Side { fin: 1, ..Side::default() }, Side { rst: 1, bytes: 9, ..Side::default() });
    let asked = Side { bytes: 9, ..Side::default() };
    let mut connections = Vec::new();
    for round in 0..10 {
        for (port, _, aborted) in SERVICES.into_iter().filter(|one| round < one.1) {
            let (is_abort, server) = (round < aborted, format!("10.0.0.2:{port}"));
            let (closing, resp) = if is_abort { (Closing::RstOnly, rst) } else { (Closing::TwoFins, fin) };
            let mut one = connection(&server, Opening::Completed, closing, asked, resp);
            if is_abort {
                one.verdict.cause = Cause::AppAbort;
            }
            connections.push(one);
        }
    }
    // Which of them come to share a row depends on their order.
    for _ in 0..2 {
        for max_groups in 0..=SERVICES.len() {
            let [batch, one_by_one] = both_ways(&connections, max_groups, 7);
            assert_same(&batch, &one_by_one);
            let causes: Vec<_> = batch.causes().collect();
            assert_eq!(causes, [(Cause::None, 15), (Cause::AppAbort, 9), (Cause::RstInsteadOfFin, 10)]);
        }
        connections.reverse();
    }
}

/// A number that says nothing to them is nobody's.
#[test]
fn other_habits_than_before_are_no_reason_to_panic() {
    let (fin, mut pending) = (Side { fin: 1, ..Side::default() }, Pending::new(8));
    let mut one = [connection("10.0.0.2:80", Opening::Completed, Closing::TwoFins, fin, fin)];
    pending.add(&mut one, &mut Habits::default());
    pending.add(&mut one, &mut Habits::default());
    assert_eq!(pending.settle(&Habits::default()).totals.connections, 2);
}

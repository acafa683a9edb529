//! Connections that are gathered and added row by row give what they give one by one.

use proptest::prelude::*;

use super::{tests::connection, *};
use crate::lifecycle::{Opening, Side};

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
        words in (0..OPENINGS.len(), 0..Closing::ALL.len(), 0..RESETS.len(), 0..Cause::ALL.len()),
        sides in [side(), side()],
        duration_ns in 0..1_u64 << 40,
        idle_gap_s in 0..100_u64,
    ) -> Connection {
        let [orig, resp] = sides;
        let (opening, closing) = (OPENINGS[words.0], Closing::ALL[words.1]);
        let mut one = connection(&format!("10.0.0.2:{}", ends.0), opening, closing, orig, resp);
        one.orig.set_ip([10, 1, 0, ends.1].into());
        (one.reset_by, one.verdict.cause) = (RESETS[words.2], Cause::ALL[words.3]);
        (one.duration_ns, one.idle_gap_ns) = (duration_ns, Some(idle_gap_s * 1_000_000_000));
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

proptest! {
    #[test]
    fn gathered_is_as_one_by_one(
        connections in proptest::collection::vec(any_connection(), 0..400),
        (max_groups, piece) in (0..10_usize, 1..100_usize),
    ) {
        let (mut one_by_one, mut unsettled) = (Aggregate::new(max_groups), Unsettled::new(max_groups));
        let mut habits = Habits::default();
        for some in connections.chunks(piece) {
            unsettled.add(&mut some.to_vec(), &mut habits);
        }
        let is_real = |one: &&Connection| one.closing != Closing::RstWithoutConnection;
        prop_assert_eq!(unsettled.connections(), connections.iter().filter(is_real).count() as u64);
        for one in &connections {
            let mut one = one.clone();
            habits.judge(&mut one);
            one_by_one.add(&one);
        }
        let gathered = unsettled.settle(&habits);
        prop_assert_eq!(&gathered.totals, &one_by_one.totals);
        prop_assert!(gathered.causes().eq(one_by_one.causes()));
        prop_assert!(gathered.closings().eq(one_by_one.closings()));
        prop_assert_eq!(gathered.whole_bytes, one_by_one.whole_bytes);
        prop_assert_eq!(read(&gathered.servers), read(&one_by_one.servers));
        prop_assert_eq!(read(&gathered.clients), read(&one_by_one.clients));
    }

    #[test]
    fn many_of_the_largest_overflow_nothing(mut one in any_connection(), many in 1..3000_usize) {
        one.closing = Closing::Open;
        (one.from_orig.fin, one.from_orig.packets, one.from_resp.packets) = (7, 0x7fff_ffff, 0x7fff_ffff);
        let (mut one_by_one, mut unsettled) = (Aggregate::new(1), Unsettled::new(1));
        let mut habits = Habits::default();
        for _ in 0..many {
            one_by_one.add(&one);
            unsettled.add(&mut [one.clone()], &mut habits);
        }
        let gathered = unsettled.settle(&Habits::default());
        prop_assert_eq!(&gathered.totals, &one_by_one.totals);
        prop_assert_eq!(read(&gathered.servers), read(&one_by_one.servers));
        prop_assert_eq!(read(&gathered.clients), read(&one_by_one.clients));
    }
}

#[test]
fn more_than_are_gathered_at_once() {
    let (mut one_by_one, mut unsettled) = (Aggregate::new(100), Unsettled::new(100));
    let (mut habits, fin) = (Habits::default(), Side { fin: 1, packets: 3, ..Side::default() });
    for number in 0..100_000_u32 {
        let server = format!("10.0.0.2:{}", number % 300);
        let mut one = connection(&server, Opening::Completed, Closing::TwoFins, fin, fin);
        one.orig.set_ip((number % 7).to_be_bytes().into());
        (one.duration_ns, one.from_resp.syn) = (u64::from(number) * 1000, u64::from(number % 1000));
        unsettled.add(std::slice::from_mut(&mut one), &mut habits);
        one_by_one.add(&one);
    }
    let gathered = unsettled.settle(&habits);
    assert_eq!(gathered.totals, one_by_one.totals);
    assert_eq!(read(&gathered.servers), read(&one_by_one.servers));
    assert_eq!(read(&gathered.clients), read(&one_by_one.clients));
}

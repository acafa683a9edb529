//! Totals and groups over hand-made connections.

use super::*;
use crate::{
    record::{Basis, Confidence, ConnState, Opening, Orientation, Side, Verdict, Written},
    tcp::Letters,
};

pub(crate) fn connection(server: &str, opening: Opening, closing: Closing, orig: Side, resp: Side) -> Connection {
    Connection {
        id: 0,
        orig: "10.0.0.1:40000".parse().expect("an address"),
        resp: server.parse().expect("an address"),
        domain: 0,
        orientation: Orientation::Syn,
        is_reversed: false,
        start_ns: 0,
        duration_ns: 5_000_000,
        from_orig: orig,
        from_resp: resp,
        conn_state: ConnState::OTH,
        history: Letters::default(),
        opening,
        closing,
        reset_by: if resp.rst > 0 { ResetBy::Server } else { ResetBy::None },
        verdict: Verdict { cause: Cause::None, confidence: Confidence::High, impact: Impact::None, facts: Vec::new() },
        idle_gap_ns: None,
        stage: None,
        answered_after_ns: None,
        unwatched_ns: 0,
        written: Written::Closed,
        basis: Basis::AllSegments,
        labels: crate::record::Labels::default(),
    }
}

fn syn() -> Side {
    Side { syn: 1, packets: 1, ..Side::default() }
}

fn rst(count: u64) -> Side {
    Side { rst: count, packets: count, ..Side::default() }
}

#[test]
fn rates_name_their_denominators() {
    let mut totals = Totals::default();
    assert_eq!((totals.rst_per_conn(), totals.rst_ratio(), totals.refused_ratio()), (None, None, None));
    totals.add(&connection("10.0.0.2:80", Opening::Refused, Closing::Refused, syn(), rst(1)));
    assert_eq!(totals.rst_per_conn(), None, "no completed handshake: undefined, not infinite");
    assert_eq!((totals.rst_ratio(), totals.refused_ratio()), (Some(1.0), Some(1.0)));
    totals.add(&connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, syn(), rst(3)));
    assert_eq!((totals.rst_per_conn(), totals.rst_ratio(), totals.refused_ratio()), (Some(3.0), Some(1.0), Some(0.5)));
    assert_eq!((totals.server.rst, totals.client.rst, totals.reset_by_server), (4, 0, 2));
}

#[test]
fn resets_of_no_connection_are_their_own_bucket() {
    let mut aggregate = Aggregate::new(10);
    let stray = connection("10.0.0.2:80", Opening::NotSeen, Closing::RstWithoutConnection, rst(2), Side::default());
    aggregate.add(&stray);
    let totals = &aggregate.totals;
    assert_eq!((totals.connections, totals.rst_without_connection, totals.rst_unattributed), (0, 1, 2));
    assert_eq!((totals.client.rst, totals.rst_ratio()), (0, None));
    assert!(aggregate.servers.is_empty() && aggregate.clients.is_empty());
}

#[test]
fn rows_beyond_the_bound_share_one() {
    let mut aggregate = Aggregate::new(2);
    for port in 1..=5 {
        let server = format!("10.0.0.2:{port}");
        aggregate.add(&connection(&server, Opening::Completed, Closing::RstOnly, syn(), rst(port)));
    }
    let rows = aggregate.servers.by_rst(usize::MAX);
    assert_eq!(rows.len(), 3);
    assert_eq!(rows[0].0, GroupKey::Other, "ports 3, 4 and 5 together have the most resets");
    assert_eq!(rows[0].1.totals.server.rst, 12);
    assert_eq!(aggregate.totals.server.rst, 15);
    for most in 0..4 {
        let keys = |rows: Vec<(GroupKey, &Group)>| rows.into_iter().map(|(key, _)| key).collect::<Vec<_>>();
        assert_eq!(keys(aggregate.servers.by_rst(most)), keys(rows[..most.min(3)].to_vec()));
        assert_eq!(keys(aggregate.servers.by_server_rst(most)), keys(rows[..most.min(3)].to_vec()));
    }
}

#[test]
fn quantiles_are_of_durations() {
    let mut aggregate = Aggregate::new(10);
    for milliseconds in 1..=100 {
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::TwoFins, syn(), Side::default());
        one.duration_ns = milliseconds * 1_000_000;
        aggregate.add(&one);
    }
    let rows = aggregate.servers.by_rst(1);
    let median = rows[0].1.duration_quantile_us(0.5).expect("not empty");
    assert!((49_000..=51_500).contains(&median), "{median}");
}

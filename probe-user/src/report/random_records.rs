//! Random records for tests of what is written: extreme numbers, any address, and names that would be obeyed by who reads them.

use std::net::{IpAddr, SocketAddr};

use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::{
    aggregate::tests::connection,
    record::{
        Basis, Cause, Closing, Confidence, ConnState, Connection, Fact, Impact, Labels, Name, Opening, Orientation,
        ResetBy, Side, Stage, Value, Verdict, Written,
    },
    tcp::{Letters, history::History},
};

/// What is to be escaped.
const SPECIAL: &[&str] =
    &["\"", "\\", "\n", "\t", "\u{8}", "\u{c}", "\r", "\u{1b}[2J", "\u{7f}", "\u{9b}", "\u{202e}", "\u{e0041}"];

/// Of any size; two of them have a sum.
pub(super) fn number() -> impl Strategy<Value = u64> {
    (any::<u64>(), 1..64_u32).prop_map(|(number, shift)| number >> shift)
}

/// Quotes, controls, turns of direction, and what else there is.
pub(super) fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_.]{0,40}",
        any::<String>(),
        vec(prop_oneof![select(SPECIAL).prop_map(str::to_owned), "[ -~]{0,3}", "é|東|\u{10ffff}|\0"], 0..40)
            .prop_map(|parts| parts.concat()),
    ]
}

fn address() -> impl Strategy<Value = IpAddr> {
    let sparse = vec(select(&[0, 0, 0, 1, 0xa0, 0xffff][..]), 8);
    prop_oneof![
        any::<[u8; 4]>().prop_map(IpAddr::from),
        any::<[u8; 16]>().prop_map(IpAddr::from),
        sparse.prop_map(|segments| <[u16; 8]>::try_from(segments).map_or(IpAddr::from([0; 4]), IpAddr::from)),
        any::<[u8; 4]>().prop_map(|octets| std::net::Ipv4Addr::from(octets).to_ipv6_mapped().into()),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        text().prop_map(|text| Value::Word(Name::read(&text).as_str())),
        any::<bool>().prop_map(Value::Flag),
        any::<i64>().prop_map(Value::Number),
        number().prop_map(Value::Milliseconds),
        (any::<u64>(), number()).prop_map(|(seen, expected)| Value::Instead(seen, expected)),
        (any::<u64>(), number()).prop_map(|(some, all)| Value::OfConnections(some, all)),
        text().prop_map(|text| Value::Text(text.into())),
    ]
}

prop_compose! {
    fn side()(numbers in vec(prop_oneof![0..12_u64, number()], 11), ttl in any::<u8>(), rst_ttl in 0..3_u8) -> Side {
        let [syn, syn_ack, fin, rst, packets, ip_bytes, bytes, payload_bytes, retransmits, missed_bytes, lost_bytes] =
            numbers.try_into().expect("as many as were asked for");
        Side {
            syn, syn_ack, fin, rst, packets, ip_bytes, bytes, payload_bytes, retransmits, missed_bytes, lost_bytes, ttl, rst_ttl,
        }
    }
}

fn labels() -> impl Strategy<Value = Labels> {
    let name = || option::of(text().prop_map(|text| Name::read(&text)));
    (name(), name(), name()).prop_map(|(client_zone, server_zone, service)| Labels {
        client_zone,
        server_zone,
        service,
    })
}

fn facts() -> impl Strategy<Value = Vec<Fact>> {
    let name = select(&["rst.form", "process.name", "service.closed_by_rst"][..]);
    vec((name, value()).prop_map(|(name, value)| Fact { name, value }), 0..6)
}

prop_compose! {
    fn verdict()(
        cause in select(Cause::ALL),
        confidence in select(Confidence::ALL),
        impact in select(Impact::ALL),
        facts in facts(),
    ) -> Verdict {
        Verdict { cause, confidence, impact, facts }
    }
}

/// Times of nanoseconds, of minutes, and any.
fn duration() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 1..100_000_u64, 0..1_u64 << 36, (0..100_u64).prop_map(|s| s * 1_000_000_000), number()]
}

prop_compose! {
    /// A record as no tracker has made it.
    pub(super) fn record()(
        (id, domain, start_ns, is_reversed) in (any::<u64>(), any::<u32>(), duration(), any::<bool>()),
        ends in [(address(), any::<u16>()), (address(), any::<u16>())],
        [from_orig, from_resp] in [side(), side()],
        (orientation, opening, closing) in (select(Orientation::ALL), select(Opening::ALL), select(Closing::ALL)),
        (conn_state, reset_by, written) in (select(ConnState::ALL), select(ResetBy::ALL), select(Written::ALL)),
        (basis, stage) in (select(Basis::ALL), option::of(select(Stage::ALL))),
        history in vec(select(&b"ShADadFfRr^\"\\"[..]), 0..40),
        (duration_ns, idle_gap_ns, unwatched_ns) in (duration(), option::of(duration()), duration()),
        (verdict, labels) in (verdict(), labels()),
    ) -> Connection {
        let [orig, resp] = ends.map(|(address, port)| SocketAddr::new(address, port));
        let one = connection("10.0.0.2:80", opening, closing, from_orig, from_resp);
        let history = Letters::new(&History::default(), &history);
        Connection {
            id, orig, resp, domain, orientation, is_reversed, start_ns, duration_ns, conn_state, history, reset_by, verdict,
            idle_gap_ns, stage, unwatched_ns, written, basis, labels, ..one
        }
    }
}

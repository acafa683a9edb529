//! Filter tests: what expressions mean, and what is said of those that mean nothing.

use ipnet::IpNet;
use proptest::prelude::*;

use super::*;
use crate::record::{
    Kind, Scope, Unit,
    field_table::{FIELDS, FieldRef},
};
use crate::{
    aggregate::tests::connection,
    record::{Basis, Cause, Closing, Confidence, ConnState, Impact, Opening, ResetBy, Side},
};
use expr::{Comparison, Expr, Relation, Values};
use span::Span;

/// Reset by the server, 10.0.0.1:40000 to 10.0.0.2:443.
fn reset() -> Connection {
    let client = Side { syn: 1, fin: 0, packets: 3, bytes: 100, ttl: 64, ..Side::default() };
    let server = Side { syn_ack: 1, rst: 2, packets: 2, bytes: 1 << 20, rst_ttl: 60, ..Side::default() };
    let mut one = connection("10.0.0.2:443", Opening::Completed, Closing::RstOnly, client, server);
    one.conn_state = ConnState::RSTR;
    one.reset_by = ResetBy::Server;
    one.verdict.cause = Cause::AppAbort;
    one.verdict.confidence = Confidence::Medium;
    one.duration_ns = 1_500_000_000;
    one.start_ns = 1_000_000_000;
    one
}

#[track_caller]
fn filter(text: &str) -> Filter {
    text.parse().unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn holds(text: &str, one: &Connection) {
    assert!(filter(text).matches(one), "{text}");
}

#[track_caller]
fn fails(text: &str, one: &Connection) {
    assert!(!filter(text).matches(one), "{text}");
}

#[test]
fn counts_of_the_article() {
    let one = reset();
    for text in [
        "rst.count > 0 and fin.count = 0",
        "rst.count.srv > 0",
        "rst.count = 2 and rst.count.clt = 0",
        "ct.count = 1",
        "syn.count == 1 && syn_ack.count.srv = 1",
        "packets = 5 and packets.clt >= 3 and packets.srv < 3",
        "RST.COUNT > 0",
    ] {
        holds(text, &one);
    }
    for text in ["rst.count > 0 and ct.count = 0", "rst.count.clt > 0", "fin.count != 0", "rst.count > 2"] {
        fails(text, &one);
    }
}

#[test]
fn names_and_their_order() {
    let one = reset();
    for text in [
        "conn_state = RSTR",
        "state = rstr",
        "cause = app_abort and reset_by = server",
        "cause in {none, app_abort}",
        "cause not in {none, unknown}",
        "cause != none",
        "confidence >= medium and confidence < high and confidence > low",
        "opening = completed and closing = rst_only and written = closed",
    ] {
        holds(text, &one);
    }
    for text in ["cause = none", "confidence > medium", "confidence < low", "confidence > high", "reset_by != server"] {
        fails(text, &one);
    }
}

#[test]
fn addresses_of_both_families() {
    let mut one = reset();
    for text in [
        "ip = 10.0.0.1 and ip = 10.0.0.2",
        "client = 10.0.0.0/8 and server.ip in 10.0.0.2/32",
        "client.ip in {192.168.0.0/16, 10.0.0.1}",
        "ip = 0.0.0.0/0 and ip != ::/0",
        "ip.srv != 10.0.0.1 and ip != 10.0.0.3",
        "ip.version = 4",
        "client = ::ffff:10.0.0.1",
    ] {
        holds(text, &one);
    }
    // Neither is, not one of them is not.
    for text in ["ip != 10.0.0.1", "client = 10.0.0.2", "server = 11.0.0.0/8"] {
        fails(text, &one);
    }
    one.resp = "[fd00::2]:443".parse().expect("an address");
    holds("server = fd00::/8 and ip = fd00::2 and client = 10.0.0.0/8", &one);
    fails("server = 0.0.0.0/0", &one);
}

#[test]
fn an_address_as_it_is_printed_is_address_and_port_of_one_end() {
    let mut one = reset();
    (one.orig, one.resp) = ("10.0.0.1:4000".parse().expect("an end"), "10.0.0.2:80".parse().expect("an end"));
    for text in [
        "server = 10.0.0.2:80",
        "client.ip = 10.0.0.1:4000 and ip = 10.0.0.2:80",
        "ip in {10.0.0.9, 10.0.0.1:4000}",
        "server in {10.0.0.2:81, 10.0.0.0/8}",
        "server != 10.0.0.2:81 and server = [::ffff:10.0.0.2]:80",
        "server not in {10.0.0.2:81}",
    ] {
        holds(text, &one);
    }
    // Address of the one end, port of the other.
    for text in ["ip = 10.0.0.2:4000", "server = 10.0.0.2:81", "client = 10.0.0.2:80", "server != 10.0.0.2:80"] {
        fails(text, &one);
    }
    one.orig = "[2001:db8::1]:443".parse().expect("an end");
    holds("client = [2001:db8::1]:443", &one);
    let shown = |text: &str| text.parse::<Filter>().expect(text).to_string();
    assert_eq!(shown("server=10.0.0.2:80"), "server.ip = 10.0.0.2 and server.port = 80");
    assert_eq!(
        shown("ct.count=1 and ip != 10.0.0.2:80"),
        "ct.count = 1 and not (client.ip = 10.0.0.2 and client.port = 80 or server.ip = 10.0.0.2 and server.port = 80)"
    );
    for text in ["server = 10.0.0.0/8:80", "server = [2001:db8::1]", "server = 10.0.0.2:99999"] {
        assert!(text.parse::<Filter>().is_err(), "{text}");
    }
}

#[test]
fn lossy_stands_for_the_impacts_that_are_losses() {
    let mut one = reset();
    for (impact, is_lossy) in [(Impact::RequestLost, true), (Impact::TransferCut, true), (Impact::None, false)] {
        one.verdict.impact = impact;
        assert_eq!("lossy".parse::<Filter>().expect("a filter").matches(&one), is_lossy);
        assert_eq!("ct.count < 9 and not LOSSY".parse::<Filter>().expect("a filter").matches(&one), !is_lossy);
    }
    let error = "lossy > 0".parse::<Filter>().expect_err("no number").to_string();
    assert!(error.starts_with("expected `and`, `or` or the end, found `>`"), "{error}");
}

#[test]
fn ports_and_sets() {
    let one = reset();
    for text in [
        "port = 443 and port = 40000",
        "server.port in {80, 443}",
        "server.port in {8000..8999, 400..500}",
        "client.port >= 32768 and port.srv < 1024",
        "port not in {80, 22}",
        "port != 80",
        "port > 30000",
    ] {
        holds(text, &one);
    }
    for text in ["port != 443", "server.port in {80, 8000..8999}", "client.port = 443", "server.port < 443"] {
        fails(text, &one);
    }
}

#[test]
fn times_sizes_and_letters() {
    let mut one = reset();
    one.idle_gap_ns = Some(60_000_000_000);
    for text in [
        "duration > 1s and duration < 1501ms and duration = 1.5s",
        "idle_gap >= 1m",
        "bytes.srv >= 1M and bytes.srv < 2M and bytes = 1048676",
        "start >= 1970-01-01T00:00:01Z and start < '1970-01-01 00:00:02'",
        "history = ''",
    ] {
        holds(text, &one);
    }
    one.history = letters();
    holds("history = Shr and history contains \"hr\" and history contains S", &one);
    // The case tells the sides apart.
    fails("history contains hS or history != 'Shr' or history contains R or history = shr", &one);
}

/// Letters of a history come from a tracker only.
fn letters() -> crate::tcp::Letters {
    use crate::tracker::{Extra, Tracker, TrackerConfig};
    use probe_ebpf::layout::{ACK, Endpoint, FROM_HI, FlowKey, RST, SYN, Segment, SegmentRecord};

    let end = |last, port| Endpoint::v4(u32::from_ne_bytes([10, 0, 0, last]), port);
    let mut tracker = Tracker::new(TrackerConfig::default());
    for (time, flags, from_client, seq) in [(1, SYN, true, 9), (2, SYN | ACK, false, 99), (3, RST | ACK, false, 100)] {
        let (client, server) = (end(1, 40_000), end(2, 443));
        let (src, dst) = if from_client { (client, server) } else { (server, client) };
        let (key, from_hi) = FlowKey::normalised(src, dst, 0);
        let mut record =
            SegmentRecord { time_ns: time, seq, ack: 10, window: 9, header_len: 40, ..SegmentRecord::default() };
        record.flags = flags | if from_hi { FROM_HI } else { 0 };
        record.put_window_scale(None);
        tracker.observe(&Segment { key, record, first_bytes: 0 }, Extra::default());
    }
    tracker.finish(10);
    let history = tracker.take_closed().remove(0).history;
    assert_eq!(history.as_str(), "Shr");
    history
}

#[test]
fn without_a_value_no_comparison_holds() {
    let mut one = reset();
    for text in ["idle_gap < 1h", "idle_gap != 1h", "ttl.srv >= 0", "rst.ttl.clt in {0..255}"] {
        fails(text, &one);
        holds(&format!("not {text}"), &one);
    }
    holds("ttl.clt = 64 and rst.ttl.srv = 60", &one);
    one.basis = Basis::ControlOnly;
    for text in ["packets >= 0", "packets.clt < 9", "retransmits = 0", "ip_bytes != 7"] {
        fails(text, &one);
    }
    holds("bytes > 0 and rst.count = 2 and basis = control_only", &one);
}

#[test]
fn and_binds_more_tightly_than_or_and_not_most() {
    let one = reset();
    holds("fin.count > 0 and rst.count > 9 or ct.count = 1", &one);
    fails("fin.count > 0 and (rst.count > 9 or ct.count = 1)", &one);
    fails("not ct.count = 1 and rst.count > 9 or fin.count > 0", &one);
    holds("not (ct.count = 1 and rst.count > 9)", &one);
    holds("not fin.count > 0 and !! ct.count = 1", &one);
}

#[test]
fn only_some_conditions_may_change_when_more_is_known() {
    assert!(filter("rst.count > 0 or not confidence = low").asks_verdict());
    assert!(filter("reset_by = server").asks_verdict() && filter("cause = none").asks_verdict());
    assert!(!filter("rst.count > 0 and conn_state = RSTR and closing = rst_only").asks_verdict());
}

#[test]
fn the_canonical_form_is_the_same_condition() {
    for (text, canonical) in [
        ("rst.count>0&&fin.count==0", "rst.count > 0 and fin.count = 0"),
        ("client=10.1.2.3/8", "client.ip = 10.0.0.0/8"),
        ("state = rstr || ! (port in {1..3,5})", "conn_state = RSTR or not port in {1..3, 5}"),
        ("duration>=5400s and bytes < 64K", "duration >= 90m and bytes < 65536"),
        ("(a_b or c)", ""),
        ("history contains Rr", "history contains \"Rr\""),
        (
            "not (rst.count = 1 and (ct.count = 0 or ct.count = 1))",
            "not (rst.count = 1 and (ct.count = 0 or ct.count = 1))",
        ),
        ("server.port not in 443", "not server.port in {443}"),
    ] {
        match text.parse::<Filter>() {
            Ok(filter) => assert_eq!(filter.to_string(), canonical, "{text}"),
            Err(error) => assert!(canonical.is_empty(), "{error}"),
        }
    }
}

/// What is said, and what the marks stand under.
#[test]
fn errors_name_the_thing_its_place_and_what_would_be_right() {
    for (text, marked, said) in [
        ("rst.cuont > 0", "rst.cuont", "unknown field `rst.cuont`; did you mean `rst.count`?"),
        ("colour = red", "colour", "unknown field `colour`; `rstprobe fields` lists them"),
        ("cause = app_abrt", "app_abrt", "`cause` is never `app_abrt`; did you mean `app_abort`?"),
        ("confidence > sure", "sure", "`confidence` is never `sure`; it is one of low, medium or high"),
        ("cause > none", ">", "`cause` cannot be compared by `>`; it can by =, != or in"),
        ("ip < 10.0.0.1", "<", "`ip` cannot be compared by `<`; it can by =, != or in"),
        ("rst.count", "", "expected =, !=, <, <=, >, >= or in after `rst.count`, found the end"),
        ("rst.count > -1", "-1", "expected a number such as 3 after `rst.count`, found `-1`"),
        ("duration > 30", "30", "expected a time such as 500ms, 30s, 5m or 1h30m after `duration`, found `30`"),
        ("port = 65536", "65536", "`port` is 65535 at most"),
        ("port > 1..3", "1..3", "a range cannot be compared by `>`; use =, != or in"),
        (
            "ip = 10.0.0",
            "10.0.0",
            "expected an address, with a port or without, or a prefix such as 10.0.0.1, 10.0.0.0/8 or fd00::/8, found `10.0.0`",
        ),
        ("port in {80 443}", "443", "expected `,` or `}`, found `443`"),
        ("port in {}", "}", "expected a value for `port`, found `}`"),
        ("(ct.count = 1", "", "expected `)`, found the end"),
        ("ct.count = 1 fin.count = 1", "fin.count", "expected `and`, `or` or the end, found `fin.count`"),
        ("ct.count = 1 and", "", "expected a field such as `rst.count`, `not` or `(`, found the end"),
        ("port not = 3", "=", "expected `in` after `not`, found `=`"),
        ("  ", "", "the filter is empty; an example is `rst.count > 0 and fin.count = 0`"),
        ("ct.count & 1", "&", "`&` is not known; write `and`"),
        ("history contains 'R", "'R", "the text has no closing '"),
    ] {
        let error = text.parse::<Filter>().expect_err(text);
        assert_eq!((error.what(), &text[error.at()]), (said, marked), "{text}");
    }
    let error = "ct.count = 1 and rst.cuont > 0".parse::<Filter>().expect_err("unknown").to_string();
    let lines: Vec<_> = error.lines().collect();
    assert_eq!(lines[1..], ["  ct.count = 1 and rst.cuont > 0", "                   ^^^^^^^^^"]);
}

#[test]
fn zones_and_services_are_compared_by_name_and_nothing_holds_of_no_name() {
    let mut one = reset();
    for text in ["zone = private", "zone != private", "client.zone != a", "service = https", "service in {https, ssh}"]
    {
        fails(text, &one);
    }
    holds("service = tcp/443 and service != https and not zone = private", &one);
    one.labels = crate::zone::Zones::default().labels(one.orig.ip(), one.resp, one.domain);
    holds("client.zone = Private and server_zone = private and zone.srv in {dmz, private}", &one);
    holds("service = https and not service = tcp/443 and zone = private", &one);
    one.labels.client_zone = None;
    holds("zone = private and zone != internet and not client.zone != internet", &one);
    fails("zone != private", &one);
    let asked = filter("service in {https, tcp/1} or not zone = a");
    assert!(asked.asks_labels() && !filter("port = 1").asks_labels());
    assert_eq!(asked.names_asked(), [("service", "https"), ("service", "tcp/1"), ("zone", "a")]);
}

#[test]
fn a_period_is_a_condition_on_the_start_beside_any_other() {
    let one = reset();
    let of = |since, until, text: Option<&str>| Filter::of_period([since, until], text.map(filter));
    assert_eq!(of(None, None, None), None);
    let shown = |since, until, text| of(since, until, text).expect("a filter").to_string();
    assert_eq!(shown(None, Some(2_000_000_000), None), "start < 1970-01-01T00:00:02Z");
    let both = of(Some(1_000_000_000), Some(1_000_000_001), Some("rst.count > 0 and port = 443 or port = 1"))
        .expect("a filter");
    let text = "start >= 1970-01-01T00:00:01Z and start < 1970-01-01T00:00:01.000000001Z and (rst.count > 0 and port = 443 or port = 1)";
    assert_eq!(both.to_string(), text);
    assert_eq!(both.to_string().parse::<Filter>().as_ref(), Ok(&both));
    assert!(both.matches(&one) && !of(Some(1_000_000_001), None, None).expect("a filter").matches(&one));
    assert!(!of(None, Some(1_000_000_000), None).expect("a filter").matches(&one));
    assert_eq!(shown(None, None, Some("port = 1 and port = 2")), "port = 1 and port = 2");
}

#[test]
fn depth_is_bounded() {
    let nested = |depth| format!("{}ct.count = 1{}", "(".repeat(depth), ")".repeat(depth));
    assert!(nested(60).parse::<Filter>().is_ok());
    for text in [nested(100_000), "not ".repeat(100_000), "(".repeat(100_000)] {
        assert!(text.parse::<Filter>().expect_err("too deep").what().starts_with("more than 64"));
    }
    let wide = vec!["ct.count = 1"; 10_000].join(" and ");
    holds(&wide, &reset());
}

fn spans(most: u64, is_one: bool) -> BoxedStrategy<Vec<Span>> {
    if is_one {
        return (0..=most).prop_map(|first| vec![Span { first, last: first }]).boxed();
    }
    let one = (0..=most, 0..=most).prop_map(|(a, b)| Span { first: a.min(b), last: a.max(b) });
    proptest::collection::vec(one, 1..4).boxed()
}

fn prefixes() -> impl Strategy<Value = Vec<IpNet>> {
    let four = (any::<[u8; 4]>(), 0..=32_u8).prop_map(|(address, len)| IpNet::new(address.into(), len));
    let six = (any::<[u16; 8]>(), 0..=128_u8).prop_map(|(address, len)| IpNet::new(address.into(), len));
    let one = prop_oneof![four, six].prop_map(|net| net.expect("a length that fits").trunc());
    proptest::collection::vec(one, 1..4)
}

fn values(field: FieldRef, relation: Relation) -> BoxedStrategy<Values> {
    let is_one = relation.is_order();
    let one_unless_in = move |len: usize| if relation == Relation::In { len } else { 1 };
    match &field.field.kind {
        Kind::Sides(unit, _) | Kind::Number(unit, _) => {
            let unit = *unit;
            let most = if unit == Unit::PerSecond { 1e9_f64.to_bits() } else { u64::MAX };
            spans(most, is_one)
                .prop_map(move |spans| Values::Numbers(unit, spans[..one_unless_in(spans.len())].to_vec()))
                .boxed()
        }
        Kind::Port => spans(65_535, is_one)
            .prop_map(move |spans| Values::Numbers(Unit::Count, spans[..one_unless_in(spans.len())].to_vec()))
            .boxed(),
        Kind::Address => {
            prefixes().prop_map(move |all| Values::Prefixes(all[..one_unless_in(all.len())].to_vec())).boxed()
        }
        Kind::Word(words) => proptest::sample::subsequence((words.all)(), 1..4)
            .prop_map(move |all| Values::Words(all[..one_unless_in(all.len())].to_vec()))
            .boxed(),
        Kind::Name(_) => proptest::collection::vec("[a-z0-9][a-z0-9._/-]{0,6}", 1..4)
            .prop_map(move |names| Values::Names(names[..one_unless_in(names.len())].to_vec()))
            .boxed(),
        Kind::Letters => "[A-Za-z^' ]{0,6}".prop_map(Values::Text).boxed(),
    }
}

fn comparisons() -> impl Strategy<Value = Expr<FieldRef>> {
    let fields: Vec<FieldRef> = FIELDS
        .iter()
        .flat_map(|field| Scope::ALL.map(|scope| FieldRef { field, scope }))
        .filter(|field| !field.name().is_empty())
        .collect();
    let pairs: Vec<(FieldRef, Relation)> = fields
        .into_iter()
        .flat_map(|field| Relation::ALL.map(|relation| (field, relation)))
        .filter(|(field, relation)| relation.suits(field.value_kind()))
        .collect();
    proptest::sample::select(pairs).prop_flat_map(|(field, relation)| {
        values(field, relation).prop_map(move |values| Expr::Comparison(Comparison { field, relation, values }))
    })
}

fn expressions() -> impl Strategy<Value = Expr<FieldRef>> {
    comparisons().prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::And),
            proptest::collection::vec(inner.clone(), 2..4).prop_map(Expr::Or),
            inner.prop_map(|one| Expr::Not(Box::new(one))),
        ]
    })
}

/// Texts of nearly the language.
fn nearly() -> impl Strategy<Value = String> {
    let words = [
        "rst.count",
        "ip",
        "port",
        "cause",
        "history",
        "duration",
        "start",
        "not",
        "and",
        "or",
        "in",
        "contains",
        "(",
        ")",
        "{",
        "}",
        ",",
        "=",
        "!=",
        "<",
        ">=",
        "!",
        "&&",
        "0",
        "443",
        "30s",
        "1..2",
        "..",
        "10.0.0.0/8",
        "::/0",
        "none",
        "\"",
        "'a'",
        "é",
        "&",
    ];
    proptest::collection::vec(proptest::sample::select(words.to_vec()), 0..12).prop_map(|words| words.join(" "))
}

proptest! {
    #[test]
    fn what_is_shown_reads_as_the_same(expr in expressions()) {
        let text = expr.to_string();
        let read = parse(&text);
        prop_assert!(read.is_ok(), "{text}: {read:?}");
        prop_assert_eq!(read.expect("checked"), expr, "{}", text);
    }

    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        if let Err(error) = text.parse::<Filter>() {
            prop_assert!(text.get(error.at()).is_some(), "{:?}", error);
            prop_assert_eq!(error.to_string().lines().count(), 3);
        }
    }

    #[test]
    fn no_text_of_nearly_the_language_does(text in nearly()) {
        match text.parse::<Filter>() {
            Ok(filter) => {
                prop_assert_eq!(&filter.to_string().parse::<Filter>(), &Ok(filter.clone()));
                let again = filter.matches(&reset());
                prop_assert_eq!(filter.matches(&reset()), again);
            }
            Err(error) => prop_assert!(text.get(error.at()).is_some() && !error.what().is_empty(), "{:?}", error),
        }
    }

    #[test]
    fn not_is_the_opposite(expr in expressions()) {
        let (yes, no) = (compiled::compile(&expr), compiled::compile(&Expr::Not(Box::new(expr))));
        prop_assert_ne!(yes.holds(&reset()), no.holds(&reset()));
    }
}

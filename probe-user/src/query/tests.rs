//! Queries: groups, conditions on them, order and cut, against sums made one by one.

use super::*;
use crate::{
    aggregate::tests::connection,
    record::{Cause, Closing, Connection, FieldValue, Opening, Side, Unit},
};

fn one(server: &str, client: &str, rst: [u64; 2], start_s: u64) -> Connection {
    let [clt, srv] = rst.map(|rst| Side { rst, syn: 1, bytes: 10, ..Side::default() });
    let mut one = connection(server, Opening::Completed, Closing::RstOnly, clt, srv);
    one.orig = client.parse().expect("an address");
    one.start_ns = start_s * 1_000_000_000;
    one.verdict.cause = if rst == [0, 0] { Cause::None } else { Cause::AppAbort };
    one
}

fn all() -> Vec<Connection> {
    vec![
        one("10.0.0.2:80", "10.0.1.1:1000", [0, 3], 0),
        one("10.0.0.2:443", "10.0.1.1:1001", [1, 0], 30),
        one("10.0.0.3:80", "10.0.1.2:1000", [0, 0], 61),
        one("10.0.0.2:80", "10.0.1.2:1001", [0, 1], 125),
    ]
}

fn query(by: &str, having: Option<&str>, sort: Option<&str>, limit: usize) -> (Vec<Row>, usize) {
    let query = Query::read(by, having, sort, limit, &[]).unwrap_or_else(|error| panic!("{error}"));
    let mut rows = Rows::new(query);
    for one in &all() {
        rows.add(one);
    }
    rows.finish()
}

/// Key and RSTs of each row.
fn shown((rows, _): &(Vec<Row>, usize)) -> Vec<(String, u64)> {
    let key = |row: &Row| row.key.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
    rows.iter().map(|row| (key(row), row.sides[0].rst + row.sides[1].rst)).collect()
}

fn is(found: &(Vec<Row>, usize), expected: &[(&str, u64)]) {
    let expected: Vec<_> = expected.iter().map(|(key, rst)| ((*key).to_owned(), *rst)).collect();
    assert_eq!(shown(found), expected);
}

#[test]
fn connections_are_grouped_by_each_key() {
    is(&query("client", None, None, 0), &[("10.0.1.1", 4), ("10.0.1.2", 1)]);
    is(&query("server", None, None, 0), &[("10.0.0.2:80", 4), ("10.0.0.2:443", 1), ("10.0.0.3:80", 0)]);
    is(&query("service", None, None, 0), &[("80", 4), ("443", 1)]);
    is(&query("cause", None, None, 0), &[("app_abort", 5), ("none", 0)]);
    is(&query("conversation", None, None, 1), &[("10.0.1.1 -> 10.0.0.2", 4)]);
    let times = [("1970-01-01T00:00:00Z", 4), ("1970-01-01T00:01:00Z", 0), ("1970-01-01T00:02:00Z", 1)];
    is(&query("time", None, None, 0), &times);
    is(&query("time:2m", None, None, 0), &[("1970-01-01T00:00:00Z", 4), ("1970-01-01T00:02:00Z", 1)]);
    is(&query("client,service", None, None, 2), &[("10.0.1.1 80", 3), ("10.0.1.1 443", 1)]);
    is(&query("closing", None, None, 0), &[("rst_only", 5)]);
    is(&query("conn-state", None, None, 0), &[("OTH", 5)]);
}

#[test]
fn groups_are_chosen_sorted_and_cut() {
    is(&query("server", Some("rst.count.srv > 0 and rst.per_conn >= 2"), None, 0), &[("10.0.0.2:80", 4)]);
    is(&query("server", Some("main_cause = app_abort and rst.count < 2"), None, 0), &[("10.0.0.2:443", 1)]);
    // A group without a main cause has none that is another.
    is(&query("server", Some("main_cause != no_state"), None, 0), &[("10.0.0.2:80", 4), ("10.0.0.2:443", 1)]);
    let by_connections = query("client", None, Some("rst.count.srv:asc"), 1);
    is(&by_connections, &[("10.0.1.2", 1)]);
    assert_eq!(by_connections.1, 1, "one more");
    is(&query("server", None, Some("rst.per_conn:asc"), 1), &[("10.0.0.3:80", 0)]);
}

#[test]
fn values_of_a_group_are_those_of_its_connections() {
    let (rows, _) = query("client", None, None, 0);
    let value = |name: &str| GroupRef::of_name(name).expect("a field").value(&rows[0]);
    assert_eq!(value("records"), Some(FieldValue::Number(Unit::Count, 2)));
    assert_eq!(value("rst.count.clt"), Some(FieldValue::Number(Unit::Count, 1)));
    assert_eq!(value("bytes"), Some(FieldValue::Number(Unit::Bytes, 40)));
    assert_eq!(value("rst.per_conn.srv"), Some(FieldValue::Number(Unit::PerSecond, 1.5_f64.to_bits())));
    assert_eq!(value("main_cause"), Some(FieldValue::Word("app_abort")));
    assert_eq!(value("last"), Some(FieldValue::Number(Unit::Time, 30_005_000_000)));
}

#[test]
fn what_is_no_query_is_told_with_what_would_be() {
    let error = |by, having, sort| Query::read(by, having, sort, 0, &[]).expect_err("refused").to_string();
    assert!(error("colour", None, None).contains("client, server, conversation"), "{}", error("colour", None, None));
    assert!(error("time:0s", None, None).starts_with("--by time:0s"));
    assert!(error("client,server,cause", None, None).contains("one key, or two"));
    assert!(error("client", Some("rst.cuont > 1"), None).contains("did you mean `rst.count`?"));
    assert!(error("client", None, Some("rst.count.srv:up")).contains("KEY:asc"));
    assert!(error("client", None, Some("rst.coutn")).contains("did you mean `rst.count`?"));
}

#[test]
fn keys_that_say_the_same_are_refused_and_columns_come_once() {
    let refused = |by| Query::read(by, None, None, 0, &[]).expect_err("refused");
    for by in ["client,client", "conversation,server", "client,conversation"] {
        assert!(matches!(refused(by), QueryError::SameKeys(..)), "{by}");
    }
    let columns = ["rst.count", " rst.count", "ct.count"].map(str::to_owned);
    let query = Query::read("ct.count", None, None, 0, &columns).expect("a query");
    assert_eq!(query.columns, [GroupRef::of_name("rst.count").expect("a field")]);
}

#[test]
fn rsts_without_a_connection_have_no_client_and_no_server() {
    let mut stray = one("10.0.0.2:80", "10.0.1.1:1000", [3, 0], 0);
    (stray.closing, stray.opening) = (Closing::RstWithoutConnection, Opening::NotSeen);
    for (by, key) in [
        ("client", "-"),
        ("server", "-"),
        ("conversation", "-"),
        ("service", "-"),
        ("closing", "rst_without_connection"),
    ] {
        let mut rows = Rows::new(Query::read(by, None, None, 0, &[]).expect("a query"));
        rows.add(&stray);
        assert_eq!(rows.finish().0[0].key[0].to_string(), key, "{by}");
    }
}

#[test]
fn groups_by_zone_and_service_have_the_names_of_their_connections() {
    let zones = crate::zone::Zones::default();
    let shown = |by: &str| {
        let mut rows = Rows::new(Query::read(by, None, None, 0, &[]).expect("a query"));
        for mut one in all() {
            one.labels = zones.labels(one.orig.ip(), one.resp, one.domain);
            rows.add(&one);
        }
        shown(&rows.finish())
    };
    assert_eq!(shown("client-zone,server.zone"), [("private private".to_owned(), 5)]);
    assert_eq!(shown("service"), [("80 http".to_owned(), 4), ("443 https".to_owned(), 1)]);
    let query = |by| Query::read(by, None, None, 0, &[]);
    assert!(query("server-zone").expect("a query").asks_labels() && !query("client").expect("a query").asks_labels());
    assert!(query("zone").expect_err("refused").to_string().contains("client-zone, server-zone"));
}

#[test]
fn what_was_not_counted_is_no_zero() {
    let mut control = one("10.0.0.2:80", "10.0.1.1:1000", [1, 0], 0);
    control.basis = crate::record::Basis::ControlOnly;
    let mut rows = Rows::new(Query::read("client", None, None, 0, &[]).expect("a query"));
    rows.add(&control);
    let (rows, _) = rows.finish();
    let value = |name: &str| GroupRef::of_name(name).expect("a field").value(&rows[0]);
    assert_eq!((value("packets"), value("lost_bytes.srv")), (None, None));
    assert_eq!(value("rst.count"), Some(FieldValue::Number(Unit::Count, 1)));
}

#[test]
fn times_have_the_digits_of_their_step() {
    let key = |step: &str, ns: u64| {
        let mut one = one("10.0.0.2:80", "10.0.1.1:1000", [1, 0], 0);
        one.start_ns = ns;
        let mut rows = Rows::new(Query::read(&format!("time:{step}"), None, None, 0, &[]).expect("a query"));
        rows.add(&one);
        rows.finish().0[0].key[0].to_string()
    };
    assert_eq!(key("100us", 1_000_250_000), "1970-01-01T00:00:01.000200Z");
    assert_eq!(key("100us", 2_000_000_000), "1970-01-01T00:00:02.000000Z");
    assert_eq!(key("10s", 12_000_000_000), "1970-01-01T00:00:10Z");
}

#[test]
fn steps_without_connections_have_a_row_with_zeros_and_no_rates() {
    let filled = |by: &str, having: Option<&str>, until_s: u64| {
        let mut rows = Rows::new(Query::read(by, having, None, 0, &[]).expect("a query"));
        for one in &all() {
            rows.add(one);
        }
        let missing = rows.fill_steps(0, until_s * 1_000_000_000, &[]);
        (rows.finish(), missing)
    };
    let (found, missing) = filled("time:30s", None, 200);
    let times =
        ["00:00", "00:30", "01:00", "01:30", "02:00", "02:30", "03:00"].map(|at| format!("1970-01-01T00:{at}Z"));
    let rst = [3, 1, 0, 0, 1, 0, 0];
    assert_eq!(shown(&found), times.into_iter().zip(rst).collect::<Vec<_>>());
    assert_eq!(missing, None);
    let value = |name: &str| GroupRef::of_name(name).expect("a field").value(&found.0[3]);
    assert_eq!(value("connections"), Some(FieldValue::Number(Unit::Count, 0)));
    let absent = ["rst.per_conn", "rst.ratio", "duration.p50", "first", "last", "main_cause"];
    assert!(absent.iter().all(|name| value(name).is_none()), "{absent:?}");
    assert_eq!(filled("time:30s", Some("connections = 0"), 200).0.0.len(), 3);
    assert_eq!(filled("time:30s,cause", None, 200).0.0.len(), 4, "of two keys only what occurred");
    assert_eq!(filled("time:1ms", None, 200).1, Some(200_001 - 4));
}

#[test]
fn steps_in_which_nothing_was_watched_have_no_row() {
    let mut rows = Rows::new(Query::read("time:30s", None, None, 0, &[]).expect("a query"));
    for one in &all() {
        rows.add(one);
    }
    // What was watched in part is a row, and so is what something was seen in.
    let seconds = |from: u64, until: u64| from * 1_000_000_000..until * 1_000_000_000;
    assert_eq!(rows.fill_steps(0, 200_000_000_000, &[seconds(45, 121), seconds(150, 181)]), None);
    let times = ["00:00", "00:30", "01:00", "02:00", "03:00"].map(|at| format!("1970-01-01T00:{at}Z"));
    let found = rows.finish();
    assert_eq!(shown(&found).into_iter().map(|(time, _)| time).collect::<Vec<_>>(), times);
}

#[test]
fn names_of_group_fields_are_unique() {
    let mut names: Vec<_> = GROUP_FIELDS.iter().map(|field| field.name).collect();
    names.sort_unstable();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

//! Language targets: a filter, and a condition on groups, shown and read again is the same, however deep it is; what is
//! wrong is said, with its place; and whatever was understood can be asked of any connection.

use std::{fmt::Display, str::FromStr, sync::OnceLock};

use probe_user::{
    filter::{Filter, FilterError},
    query::{Having, Query, Rows},
    record::Connection,
    zone::{self, Observation, Zones},
};

use crate::{
    conversation::COURSES,
    fuzz::printable::assert_one_line,
    reading::{capture, frames, read},
};

/// The target: a byte that says what the rest is, then text.
///
/// # Panics
/// When something is read otherwise than it was shown, or a message can do something to a terminal.
pub fn run(bytes: &[u8]) {
    let Some((&kind, text)) = bytes.split_first() else { return };
    let text = String::from_utf8_lossy(text);
    match kind % 4 {
        0 => filter(&text),
        1 => having(&text),
        2 => query(&text),
        _ => zones(&text),
    }
}

/// Connections of every kind.
fn connections() -> &'static [Connection] {
    static ALL: OnceLock<Vec<Connection>> = OnceLock::new();
    ALL.get_or_init(|| {
        let all = COURSES.iter().enumerate();
        all.flat_map(|(number, course)| {
            read(capture(&frames(course.script, 40_000 + number as u16)), false).connections
        })
        .collect()
    })
}

/// Shown and read again it is the same, and shown the same again.
fn again<T: FromStr<Err = FilterError> + Display + PartialEq>(text: &str) -> Option<[T; 2]> {
    match text.parse::<T>() {
        Ok(one) => {
            let shown = one.to_string();
            let other: T = shown.parse().unwrap_or_else(|error| panic!("{shown}\n{error}"));
            assert!(one == other, "{shown} is another");
            assert_eq!(other.to_string(), shown);
            Some([one, other])
        }
        Err(error) => {
            wrong(text, &error);
            None
        }
    }
}

/// What is wrong is said so that it can be shown, with a place that is in the text.
fn wrong(text: &str, error: &FilterError) {
    assert!(text.get(error.at()).is_some() || error.at().start >= text.len(), "{:?} of {text:?}", error.at());
    assert_one_line(error.what());
    assert_message(error);
}

/// Some text, without anything that a terminal obeys: all of it was escaped where it was repeated.
fn assert_message(message: &impl Display) {
    let message = message.to_string();
    assert!(!message.trim().is_empty(), "nothing is said");
    message.split('\n').for_each(assert_one_line);
}

fn filter(text: &str) {
    let Some([one, other]) = again::<Filter>(text) else { return };
    for connection in connections() {
        assert_eq!(one.matches(connection), other.matches(connection), "{one}");
    }
    assert_eq!((one.asks_labels(), one.asks_verdict()), (other.asks_labels(), other.asks_verdict()));
    for (_, name) in one.names_asked() {
        assert_one_line(name);
    }
}

fn having(text: &str) {
    let Some([one, other]) = again::<Having>(text) else { return };
    let mut rows = Rows::new(Query::read("server", None, None, 0, &[]).expect("a query"));
    for connection in connections() {
        rows.add(connection);
    }
    for row in rows.finish().0 {
        assert_eq!(one.holds(&row), other.holds(&row), "{one}");
    }
}

/// A line each for keys, condition, order and columns.
fn query(text: &str) {
    let mut lines = text.split('\n');
    let by = lines.next().unwrap_or_default();
    let [having, sort] = [lines.next(), lines.next()].map(|line| line.filter(|line| !line.is_empty()));
    let columns: Vec<String> = lines.map(str::to_owned).collect();
    match Query::read(by, having, sort, 3, &columns) {
        Err(error) => assert_message(&error),
        Ok(query) => {
            let mut rows = Rows::new(query);
            for connection in connections() {
                rows.add(connection);
            }
            let (rows, _) = rows.finish();
            for row in &rows {
                row.key.iter().for_each(|part| assert_one_line(&part.to_string()));
            }
        }
    }
}

fn zones(text: &str) {
    match zone::read(text) {
        Err(error) => assert_one_line(&error.to_string()),
        Ok(definitions) => {
            let zones = Zones::new(&definitions, Some(text), Observation::default());
            for connection in connections() {
                zones.labels(connection.orig.ip(), connection.resp, connection.domain);
            }
            zones.zone_names().into_iter().chain(zones.service_names()).for_each(assert_one_line);
        }
    }
}

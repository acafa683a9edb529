//! Rows of a query as a table, JSON, JSON lines or CSV.

use std::fmt::Write as _;

use comfy_table::Cell;
use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{
    cells::{Style, emphasised, fit, number, rendered, table, wrapped},
    quality::{Quality, QualityJson},
    text,
    time_bars::{TimeBars, float},
};
use crate::{
    printable,
    query::{By, GroupRef, KeyPart, Query, Row},
    record::{FieldValue, Name, Unit},
};

/// Schema of a row.
pub const GROUP_SCHEMA: &str = "rstprobe.group/1";
/// Schema of the document.
pub const GROUPS_SCHEMA: &str = "rstprobe.groups/1";
/// Key of the name of a service, beside its port.
const SERVICE_NAME: &str = "service_name";
/// Rows, and what they are of.
#[derive(Clone, Copy, Debug)]
pub struct Grouped<'a> {
    /// What was asked.
    pub query: &'a Query,
    /// The rows.
    pub rows: &'a [Row],
    /// Rows beyond `--limit`.
    pub more: usize,
    /// The condition on connections, in its canonical form.
    pub filter: Option<&'a str>,
    /// How good the capture is, of everything.
    pub quality: &'a Quality,
}

/// The table; with `--by time` RSTs per connection are drawn, from clients and from servers. A narrow terminal does without
/// columns that nobody named, which is said below.
pub fn table_of(grouped: &Grouped<'_>, style: Style) -> String {
    let Grouped { query, rows, more, filter, .. } = *grouped;
    let mut out = String::new();
    if let Some(filter) = filter {
        out += &wrapped(&format!("Only what meets `{}`\n", printable::escaped(filter)), style, 2);
    }
    if rows.is_empty() {
        return out + "no group\n";
    }
    let columns = query.columns.iter().map(|column| column.field().name);
    let headings: Vec<&str> = query.by.iter().map(By::name).chain(columns).collect();
    let filled = || {
        let mut table = table(style, &headings);
        for row in rows {
            let mut cells = key_cells(query, row);
            cells.extend(query.columns.iter().map(|&column| cell(column, row, style)));
            table.add_row(cells);
        }
        table
    };
    let mut table = filled();
    let bars = TimeBars::of(query, rows);
    let drawn = bars.draw(&mut table, rows, style, &left_out_before_bars(query));
    if drawn.is_none() {
        table = filled();
    }
    let has_bars = drawn.is_some();
    let mut fitted = drawn.unwrap_or_else(|| fit(&mut table, style, &left_out_first(query)));
    // Columns that were asked for are there whole, as the terminal breaks them.
    let is_cut = query.columns.iter().any(|column| query.names(*column)) && fitted.beyond > 0;
    out += &rendered(&table, if is_cut { Style { width: None, ..style } } else { style });
    out.push('\n');
    if has_bars {
        out += &wrapped(&bars.scale(), style, 2);
    } else if bars.is_any() {
        fitted.left_out.push("bars".to_owned());
    }
    if more > 0 {
        writeln!(out, "... and {more} more (--limit 0 shows all)").expect("a String takes everything");
    }
    out + &wrapped(&fitted.notice(), style, 2)
}

/// Columns that a narrow terminal does without, first those that come last; never one that was named.
fn left_out_first(query: &Query) -> Vec<&'static str> {
    let unnamed = query.columns.iter().rev().filter(|column| !query.names(**column));
    unnamed.map(|column| column.field().name).collect()
}

/// Columns that make room for bars: what the bars show, and what is less important than they are.
fn left_out_before_bars(query: &Query) -> Vec<&'static str> {
    let is_less = |name: &&str| !matches!(*name, "connections" | "rst.count.clt" | "rst.count.srv");
    left_out_first(query).into_iter().filter(is_less).collect()
}

fn key_cells(query: &Query, row: &Row) -> Vec<Cell> {
    if row.key.is_empty() {
        let rest = std::iter::repeat_n(String::new(), query.by.len().saturating_sub(1));
        return std::iter::once("(all others)".to_owned()).chain(rest).map(Cell::new).collect();
    }
    let unknown = if row.is_without_connection() { "(no connection)" } else { "-" };
    let text = |part: &KeyPart| if *part == KeyPart::Unknown { unknown.to_owned() } else { part.to_string() };
    row.key.iter().map(|part| Cell::new(text(part))).collect()
}

fn cell(column: GroupRef, row: &Row, style: Style) -> Cell {
    match column.value(row) {
        None => number("-"),
        Some(FieldValue::Word(word)) => Cell::new(word),
        Some(value) => {
            let is_loss = column.field().name == "lossy.count" && float(column, row) > 0.0;
            emphasised(people(value), is_loss, style).set_alignment(comfy_table::CellAlignment::Right)
        }
    }
}

/// A value as people read it.
fn people(value: FieldValue<'_>) -> String {
    match value {
        FieldValue::Number(Unit::Count, number) => number.to_string(),
        FieldValue::Number(Unit::Bytes, number) => text::bytes(number),
        FieldValue::Number(Unit::Duration, ns) => text::duration(ns),
        FieldValue::Number(Unit::Time, ns) => text::timestamp(ns),
        FieldValue::Number(Unit::PerSecond, bits) => format!("{:.3}", f64::from_bits(bits)),
        FieldValue::Address(address) => address.to_string(),
        FieldValue::TcpPort(port) => format!("tcp/{port}"),
        FieldValue::Word(text) | FieldValue::Text(text) => text.to_owned(),
    }
}

/// One row in JSON.
struct RowJson<'a> {
    schema: Option<&'static str>,
    query: &'a Query,
    row: &'a Row,
}

impl Serialize for RowJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(schema) = self.schema {
            map.serialize_entry("schema", schema)?;
        }
        if self.row.key.is_empty() {
            map.serialize_entry("others", &true)?;
        }
        for (by, part) in self.query.by.iter().zip(&self.row.key) {
            match part {
                KeyPart::Unknown if matches!(by, By::Conversation) => {
                    map.serialize_entry("client", &())?;
                    map.serialize_entry("server", &())?;
                }
                KeyPart::Unknown if matches!(by, By::Service) => {
                    map.serialize_entry(by.name(), &())?;
                    map.serialize_entry(SERVICE_NAME, &())?;
                }
                KeyPart::Unknown => map.serialize_entry(by.name(), &())?,
                KeyPart::Number(number) => map.serialize_entry(by.name(), number)?,
                KeyPart::Service(port, name) => {
                    map.serialize_entry(by.name(), port)?;
                    map.serialize_entry(SERVICE_NAME, &name.map(Name::as_str))?;
                }
                KeyPart::Pair(client, server) => {
                    map.serialize_entry("client", client)?;
                    map.serialize_entry("server", server)?;
                }
                other => map.serialize_entry(by.name(), &other.to_string())?,
            }
        }
        for &column in &self.query.columns {
            let name = column.field().name;
            match column.value(self.row) {
                None => map.serialize_entry(name, &())?,
                Some(FieldValue::Number(Unit::Count | Unit::Bytes, number)) => map.serialize_entry(name, &number)?,
                Some(FieldValue::Number(Unit::Duration, ns)) => map.serialize_entry(name, &(ns as f64 / 1e9))?,
                Some(FieldValue::Number(Unit::PerSecond, bits)) => map.serialize_entry(name, &f64::from_bits(bits))?,
                Some(value) => map.serialize_entry(name, &people(value))?,
            }
        }
        map.end()
    }
}

#[derive(Serialize)]
struct GroupsJson<'a> {
    schema: &'static str,
    /// Null without `--filter`.
    filter: Option<&'a str>,
    by: Vec<&'static str>,
    groups: Vec<RowJson<'a>>,
    /// Rows beyond `--limit`.
    more: usize,
    /// How good the capture is, of everything, whatever the filter.
    quality: QualityJson,
}

/// The document.
pub fn document<'a>(grouped: &Grouped<'a>) -> impl Serialize + 'a {
    let Grouped { query, rows, more, filter, quality } = *grouped;
    let groups = rows.iter().map(|row| RowJson { schema: None, query, row }).collect();
    GroupsJson {
        schema: GROUPS_SCHEMA,
        filter,
        by: query.by.iter().map(By::name).collect(),
        groups,
        more,
        quality: quality.into(),
    }
}

/// A line for each row.
///
/// # Errors
/// Never for this data.
pub fn lines(grouped: &Grouped<'_>) -> serde_json::Result<String> {
    let mut text = String::new();
    for row in grouped.rows {
        text += &printable::json::line(&RowJson { schema: Some(GROUP_SCHEMA), query: grouped.query, row })?;
        text.push('\n');
    }
    Ok(text)
}

/// Comma-separated values (RFC 4180) with a line of headings; what has no value is empty, durations are seconds.
pub fn csv(grouped: &Grouped<'_>) -> String {
    let Grouped { query, rows, .. } = *grouped;
    let keys = query.by.iter().flat_map(|by| match by {
        By::Conversation => vec!["client", "server"],
        By::Service => vec![by.name(), SERVICE_NAME],
        other => vec![other.name()],
    });
    let headings: Vec<&str> = keys.chain(query.columns.iter().map(|column| column.field().name)).collect();
    let mut out = headings.join(",") + "\r\n";
    for row in rows {
        let mut values = csv_key(query, row);
        values.extend(query.columns.iter().map(|column| column.value(row).map_or_else(String::new, machine)));
        out += &values.iter().map(|value| quoted(value)).collect::<Vec<_>>().join(",");
        out += "\r\n";
    }
    out
}

fn csv_key(query: &Query, row: &Row) -> Vec<String> {
    let columns = query.by.iter().map(|by| if matches!(by, By::Conversation | By::Service) { 2 } else { 1 }).sum();
    if row.key.is_empty() {
        return std::iter::once("others".to_owned())
            .chain(std::iter::repeat_n(String::new(), columns))
            .take(columns)
            .collect();
    }
    let parts = query.by.iter().zip(&row.key).flat_map(|(by, part)| match part {
        KeyPart::Pair(client, server) => vec![client.to_string(), server.to_string()],
        KeyPart::Service(port, name) => {
            vec![port.to_string(), name.map_or_else(String::new, |name| name.as_str().to_owned())]
        }
        KeyPart::Unknown if matches!(by, By::Conversation | By::Service) => vec![String::new(); 2],
        KeyPart::Unknown => vec![String::new()],
        other => vec![other.to_string()],
    });
    parts.collect()
}

/// A value as programs read it.
fn machine(value: FieldValue<'_>) -> String {
    match value {
        FieldValue::Number(Unit::Bytes, number) => number.to_string(),
        FieldValue::Number(Unit::Duration, ns) => (ns as f64 / 1e9).to_string(),
        FieldValue::Number(Unit::PerSecond, bits) => f64::from_bits(bits).to_string(),
        other => people(other),
    }
}

fn quoted(value: &str) -> String {
    if value.contains([',', '"', '\r', '\n']) {
        format!("\"{}\"", value.replace('"', "\"\""))
    } else {
        value.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        query::Rows,
        record::{Closing, Opening, Side},
    };

    fn rows(by: &str) -> (Query, Vec<Row>) {
        let query = Query::read(by, None, None, 0, &[]).expect("a query");
        let mut rows = Rows::new(query.clone());
        for minute in 0..3_u64 {
            let server = Side { rst: minute, ..Side::default() };
            let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, Side::default(), server);
            one.start_ns = minute * 60_000_000_000;
            rows.add(&one);
        }
        (query, rows.finish().0)
    }

    fn shown(by: &str, sort: Option<&str>, columns: &[String], width: u16) -> String {
        let query = Query::read(by, None, sort, 0, columns).expect("a query");
        let (_, rows) = rows(by);
        let quality = Quality::default();
        let grouped = Grouped { query: &query, rows: &rows, more: 2, filter: Some("rst.count > 0"), quality: &quality };
        table_of(&grouped, Style { width: Some(width), ..Style::default() })
    }

    #[test]
    fn a_narrow_terminal_does_without_the_least_important_columns_and_says_so() {
        let text = shown("server", None, &[], 80);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "Only what meets `rst.count > 0`");
        assert!(lines[1].contains("connections  rst.count.clt  rst.count.srv  rst.per_conn"), "{text}");
        assert!(lines.iter().all(|line| line.chars().count() <= 80), "{text}");
        assert!(
            text.contains("\n... and 2 more (--limit 0 shows all)\n6 columns do not fit: lossy.count, main_cause,"),
            "{text}"
        );
        assert!(!shown("server", None, &[], 300).contains("fit"), "everything fits");
    }

    #[test]
    fn columns_that_were_named_stay() {
        let columns = ["records", "bytes", "fin.count.clt", "syn.per_conn", "rst.per_conn", "duration.p99", "last"];
        let text = shown("server", None, &columns.map(str::to_owned), 60);
        assert!(
            columns.iter().all(|name| text.contains(name)) && !text.contains('…') && !text.contains("fit"),
            "{text}"
        );
        let sorted = shown("server", Some("fin.count.srv"), &[], 60);
        let heading = sorted.lines().nth(1).expect("a heading");
        assert!(heading.contains("fin.count.srv") && !heading.contains("fin.count.clt"), "{sorted}");
    }

    #[test]
    fn resets_without_a_connection_are_called_so_and_come_last() {
        let query = Query::read("server", None, None, 0, &[]).expect("a query");
        let mut rows = Rows::new(query.clone());
        let with_rst = |rst| Side { rst, ..Side::default() };
        let closing = Closing::RstWithoutConnection;
        rows.add(&connection("10.0.0.2:80", Opening::NotSeen, closing, Side::default(), with_rst(9)));
        rows.add(&connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, Side::default(), with_rst(1)));
        let (rows, more) = rows.finish();
        let grouped = Grouped { query: &query, rows: &rows, more, filter: None, quality: &Quality::default() };
        let text = table_of(&grouped, Style::default());
        let first: Vec<&str> = text.lines().filter_map(|line| line.split("  ").map(str::trim).next()).collect();
        assert_eq!(first, ["server", "10.0.0.2:80", "(no connection)"], "{text}");
    }

    #[test]
    fn json_and_csv_have_the_same_values() {
        let (query, rows) = rows("conversation,service");
        let grouped = Grouped { query: &query, rows: &rows, more: 0, filter: None, quality: &Quality::default() };
        let line: serde_json::Value = serde_json::from_str(&lines(&grouped).expect("JSON")).expect("JSON");
        assert_eq!(
            (&line["client"], &line["server"], &line["service"]),
            (&"10.0.0.1".into(), &"10.0.0.2".into(), &80.into())
        );
        assert_eq!((&line["rst.count.srv"], &line["rst.per_conn"]), (&3.into(), &1.0.into()));
        let csv = csv(&grouped);
        assert!(csv.starts_with("client,server,service,service_name,connections,"), "{csv}");
        assert!(csv.contains("\r\n10.0.0.1,10.0.0.2,80,,3,"), "{csv}");
        assert!(line["service_name"].is_null());
        let document = serde_json::to_value(document(&grouped)).expect("JSON");
        assert_eq!(document["groups"][0]["connections"], 3);
        assert_eq!(quoted("a \"b\", c"), "\"a \"\"b\"\", c\"");
    }
}

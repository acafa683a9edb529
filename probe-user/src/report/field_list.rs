//! Field list: every field of a connection with its name in filters, its key in JSON, type, meaning and when a record has it,
//! as text, JSON or Markdown.
//!
//! Must not know: records.

use std::fmt::Write as _;

use serde::Serialize;

use crate::{
    query::GROUP_FIELDS,
    record::{Field, Kind, Scope, field_table::FIELDS},
};

/// Schema of the list in JSON.
pub const FIELDS_SCHEMA: &str = "rstprobe.fields/1";

/// One name of a field.
#[derive(Serialize)]
struct Row {
    /// In filters.
    name: &'static str,
    /// Path in a connection's JSON; null where other keys tell it.
    json: Option<String>,
    #[serde(rename = "type")]
    kind: &'static str,
    meaning: &'static str,
    provided: &'static str,
    /// What it can be, where that is a list.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    values: Vec<&'static str>,
    /// Further names that filters take.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    also: Vec<&'static str>,
}

/// A row for each scope that a field has.
fn rows(field: &'static Field) -> impl Iterator<Item = Row> {
    let scopes = Scope::ALL.into_iter().zip(field.names).filter(|(_, name)| !name.is_empty());
    scopes.map(|(scope, name)| Row {
        name,
        json: field.json_path(scope),
        kind: field.kind.type_name(),
        meaning: field.meaning,
        provided: field.provided.as_str(),
        values: match field.kind {
            Kind::Word(words) => (words.all)().iter().map(|word| word.name).collect(),
            _ => Vec::new(),
        },
        also: field.also.iter().filter(|(_, of)| *of == scope).map(|(name, _)| *name).collect(),
    })
}

#[derive(Serialize)]
struct List {
    schema: &'static str,
    fields: Vec<Row>,
}

/// The list as JSON.
pub fn json() -> impl Serialize {
    List { schema: FIELDS_SCHEMA, fields: FIELDS.iter().flat_map(rows).collect() }
}

/// The list for people: a line per name.
pub fn table() -> String {
    let rows: Vec<_> = FIELDS.iter().flat_map(rows).collect();
    let width = |of: fn(&Row) -> usize, heading: &str| rows.iter().map(of).max().unwrap_or(0).max(heading.len());
    let json = |row: &Row| row.json.clone().unwrap_or_else(|| "-".to_owned());
    let widths = [
        width(|row| row.name.len(), "filter"),
        width(|row| row.json.as_ref().map_or(1, String::len), "JSON"),
        width(|row| row.kind.len(), "type"),
        width(|row| row.provided.len(), "provided"),
    ];
    let mut text = String::new();
    let mut line = |[name, json, kind, provided, meaning]: [&str; 5]| {
        let [a, b, c, d] = widths;
        writeln!(text, "{name:a$}  {json:b$}  {kind:c$}  {provided:d$}  {meaning}").expect("a String takes everything");
    };
    line(["filter", "JSON", "type", "provided", "meaning"]);
    for row in &rows {
        line([row.name, &json(row), row.kind, row.provided, row.meaning]);
    }
    text
}

/// What groups add up to, for people: a line per name.
pub fn groups() -> String {
    let width = GROUP_FIELDS.iter().map(|field| field.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for field in GROUP_FIELDS {
        writeln!(text, "{:width$}  {}", field.name, field.meaning).expect("a String takes everything");
    }
    text
}

/// The list as a document of the project's.
pub fn markdown() -> String {
    let mut text = "# Fields of a connection\n\n\
        Written by `rstprobe fields --format markdown` from the field table (`probe-user/src/record/field_table.rs`), which filters, \
        JSON, help and this page are made from; a test fails when they part.\n\n\
        `.clt` and `.srv` are the client's and the server's value, a count without them the sum. Filters take the path in \
        JSON as well, with units as ever (`duration_s > 1.5s`). A record without a value fits no comparison, and JSON has null.\n\n\
        | filter | JSON | type | provided | meaning |\n| --- | --- | --- | --- | --- |\n"
        .to_owned();
    for field in FIELDS {
        let (names, paths): (Vec<_>, Vec<_>) = rows(field).map(|row| (row.name, row.json)).unzip();
        let code = |names: Vec<String>| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(" ");
        let paths = code(paths.into_iter().flatten().collect());
        let names = code(names.into_iter().map(str::to_owned).collect());
        let (kind, provided, meaning) = (field.kind.type_name(), field.provided.as_str(), field.meaning);
        writeln!(text, "| {names} | {paths} | {kind} | {provided} | {meaning} |").expect("a String takes everything");
    }
    text.push_str("\nWords, each with what it means:\n");
    for field in FIELDS {
        let Kind::Word(words) = field.kind else { continue };
        write!(text, "\n## `{}`\n\n", field.names[0]).expect("a String takes everything");
        for word in (words.all)() {
            writeln!(text, "- `{}`: {}", word.name, word.meaning).expect("a String takes everything");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_of_fields_is_that_of_the_table() {
        let page = include_str!("../../docs/fields.md");
        assert!(page == markdown(), "run `rstprobe fields --format markdown > probe-user/docs/fields.md`");
    }

    #[test]
    fn the_table_has_a_line_for_every_name() {
        let table = table();
        assert!(table.lines().any(|line| line.starts_with("rst.count.srv") && line.contains("from_server.rst")));
        let names = FIELDS.iter().flat_map(rows).count();
        assert_eq!(table.lines().count(), names + 1);
    }
}

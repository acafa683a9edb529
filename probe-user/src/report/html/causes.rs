//! Causes: how many connections each has, what they cost and who sent the RSTs.

use std::cmp::Reverse;

use maud::{Markup, html};

use super::{
    Page, cause_link, count,
    table::{Cell, Column, Row, Table, numbers, words},
};
use crate::{
    query::{self, KeyPart},
    record::{Cause, Impact},
};

const COLUMNS: [Column; 10] = [
    words("Cause", "what ended them so; each is explained below"),
    numbers("Connections", "and RSTs without a connection"),
    numbers("Requests lost", ""),
    numbers("Responses lost", ""),
    numbers("Transfers cut", ""),
    numbers("Failed to connect", ""),
    numbers("Of unknown effect", "too little was seen to say"),
    numbers("RST from clients", ""),
    numbers("RST from servers", ""),
    words("Meaning", ""),
];

/// The table: losses first, then by connections; what needed no explanation last.
pub(super) fn section(page: &Page<'_>) -> Markup {
    let mut causes: Vec<(Cause, &query::Row)> =
        page.overview.causes.iter().filter_map(|row| Some((cause_of(row)?, row))).collect();
    causes.sort_by_key(|(cause, row)| {
        (*cause == Cause::None, Reverse(row.group.totals.impacts.losses()), Reverse(row.records), *cause)
    });
    if causes.is_empty() {
        return html! { p { "No connection was seen." } };
    }
    let caption =
        html! { "Causes of " (count(causes.iter().map(|(_, row)| row.records).sum())) " connections, by losses" };
    Table {
        id: "cause-table",
        caption,
        columns: &COLUMNS,
        rows: causes.into_iter().map(|(cause, row)| table_row(cause, row)).collect(),
    }
    .markup()
}

/// The cause that a row of `--by cause` is of.
fn cause_of(row: &query::Row) -> Option<Cause> {
    let Some(KeyPart::Word(word)) = row.key.first() else { return None };
    Cause::ALL.iter().find(|cause| cause.id() == *word).copied()
}

/// Causes that occurred, in their order.
pub(super) fn occurred(page: &Page<'_>) -> Vec<Cause> {
    let mut causes: Vec<Cause> = page.overview.causes.iter().filter_map(cause_of).collect();
    causes.sort_unstable();
    causes
}

fn table_row(cause: Cause, row: &query::Row) -> Row {
    let impacts = &row.group.totals.impacts;
    Row::new(vec![
        Cell::text(cause_link(cause)),
        Cell::count(row.records),
        Cell::bad(impacts.count(Impact::RequestLost)),
        Cell::bad(impacts.count(Impact::ResponseLost)),
        Cell::bad(impacts.count(Impact::TransferCut)),
        Cell::bad(impacts.count(Impact::AttemptFailed)),
        Cell::count(impacts.count(Impact::Unknown)),
        Cell::count(row.sides[0].rst),
        Cell::count(row.sides[1].rst),
        Cell::text(cause.meaning()),
    ])
}

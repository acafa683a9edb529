//! Heat map: connections with RST by service and time, as a table whose cells are coloured.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::{
    count,
    time_label::{full, length, short},
};
use crate::query::{KeyPart, OverviewRows, Row, StepRows};

/// Services that have a row; the others are in one.
const SERVICES: usize = 20;
/// Shades, beside that of none.
const SHADES: u64 = 5;

/// Connections with RST, and all, of each step.
type Steps = Vec<(u64, u64)>;

struct HeatRow {
    name: String,
    steps: Steps,
    is_rest: bool,
}

impl HeatRow {
    fn new(name: String, steps: usize, is_rest: bool) -> Self {
        Self { name, steps: vec![(0, 0); steps], is_rest }
    }

    fn add(&mut self, step: usize, row: &Row) {
        if let Some((with_rst, all)) = self.steps.get_mut(step) {
            let totals = &row.group.totals;
            *with_rst += totals.with_rst + totals.rst_without_connection;
            *all += row.records;
        }
    }

    fn sums(&self) -> (u64, u64) {
        self.steps.iter().fold((0, 0), |sums, step| (sums.0 + step.0, sums.1 + step.1))
    }
}

/// The table, with a sentence that says how to read it.
pub(super) fn section(overview: &OverviewRows) -> Markup {
    let steps = &overview.services_over_time;
    let rows = rows(steps);
    let most = rows.iter().filter(|row| !row.is_rest).flat_map(|row| &row.steps).map(|step| step.0).max().unwrap_or(0);
    html! {
        @if rows.is_empty() {
            p { "No connection was seen." }
        } @else {
            p {
                "Connections with RST by service (server port), in steps of " (length(steps.step_ns)) "; the redder, the more. "
                "An empty cell had no connection at all, 0 had some without RST."
                @if rows.iter().any(|row| row.name == service_name(KeyPart::Unknown)) {
                    " Who serves is unknown of RSTs without a connection, and of connections whose opening was not seen, between \
                     ports of no known service."
                }
            }
            div .scroll role="region" tabindex="0" aria-labelledby="heat-map-caption" {
                table #heat-map .heat {
                    caption id="heat-map-caption" { "Connections with RST, by service and beginning (UTC)" }
                    thead {
                        tr {
                            th scope="col" { "Service" }
                            @for step in 0..steps.steps { th scope="col" .n { (short(steps, step)) } }
                            th scope="col" .n { "With RST" }
                            th scope="col" .n { "Of" }
                        }
                    }
                    tbody { @for row in &rows { (heat_row(steps, row, most)) } }
                }
            }
        }
    }
}

fn heat_row(steps: &StepRows, row: &HeatRow, most: u64) -> Markup {
    let (with_rst, all) = row.sums();
    html! {
        tr .rest[row.is_rest] {
            th scope="row" { (row.name) }
            @for (at, step) in row.steps.iter().enumerate() {
                @if step.1 == 0 { td {} } @else {
                    td class={ "n h" (shade(step.0, most)) } title=(tip(steps, at, row, *step)) { (step.0) }
                }
            }
            td .n { (count(with_rst)) }
            td .n { (count(all)) }
        }
    }
}

fn tip(steps: &StepRows, at: usize, row: &HeatRow, (with_rst, all): (u64, u64)) -> String {
    format!("{}, {}: {} of {} with RST", row.name, full(steps, at), count(with_rst), count(all))
}

/// 0 for none, and more by square root: that few are seen as well.
#[expect(clippy::cast_sign_loss, reason = "between 0 and the number of shades")]
fn shade(value: u64, most: u64) -> u64 {
    if value == 0 || most == 0 {
        return 0;
    }
    let part = (value.min(most) as f64 / most as f64).sqrt();
    ((part * SHADES as f64).ceil() as u64).clamp(1, SHADES)
}

/// The services with most RSTs, then all others.
fn rows(steps: &StepRows) -> Vec<HeatRow> {
    let mut by_service: BTreeMap<KeyPart, HeatRow> = BTreeMap::new();
    let mut rest = HeatRow::new(String::new(), steps.steps, true);
    let mut without_row = 0;
    for row in &steps.rows {
        match steps.place(row) {
            Some((step, service)) => {
                let new = || HeatRow::new(service_name(service), steps.steps, false);
                by_service.entry(service).or_insert_with(new).add(step, row);
            }
            None => without_row += row.records,
        }
    }
    // Of RSTs without a connection nobody knows who serves, nor of what began before the capture between two ports of no service.
    let unattributed = by_service.remove(&KeyPart::Unknown);
    let mut rows: Vec<HeatRow> = by_service.into_values().collect();
    // Of equals the lower port, as they come.
    rows.sort_by_key(|row| std::cmp::Reverse(row.sums()));
    let left = rows.split_off(rows.len().min(SERVICES));
    for (sum, step) in left.iter().flat_map(|row| row.steps.iter().enumerate()) {
        rest.steps[sum].0 += step.0;
        rest.steps[sum].1 += step.1;
    }
    if !left.is_empty() {
        let beyond =
            if without_row > 0 { format!("; {} more records are in none", count(without_row)) } else { String::new() };
        rest.name = format!("(all others: {} services{beyond})", count(left.len() as u64));
        rows.push(rest);
    }
    rows.extend(unattributed.map(|row| HeatRow { is_rest: true, ..row }));
    rows
}

/// A service as its row calls it.
pub(super) fn service_name(service: KeyPart) -> String {
    match service {
        KeyPart::Unknown => "(who serves is unknown)".to_owned(),
        known => known.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shades_tell_some_from_none_and_the_most() {
        assert_eq!(
            [(0, 9), (1, 100_000), (4, 100), (50, 100), (100, 100), (200, 100)].map(|(value, most)| shade(value, most)),
            [0, 1, 1, 4, 5, 5]
        );
    }
}

//! Bench report: rows for people and for machines.

use std::fmt::Write as _;

use serde_json::{Value, json};

/// One measured quantity.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// Section it belongs to.
    pub section: &'static str,
    /// What was measured.
    pub what: String,
    /// Unit of the values.
    pub unit: &'static str,
    /// Median, least, greatest.
    pub values: [f64; 3],
    /// What else is to be known: a limit, a ratio.
    pub note: String,
    /// Whether the limit it has is kept; `None` without a limit.
    pub holds: Option<bool>,
}

/// Rows, and what was left out.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Report {
    rows: Vec<Row>,
    skipped: Vec<String>,
    failed: bool,
}

impl Report {
    /// Adds a row; `samples` must not be empty.
    pub fn add(&mut self, section: &'static str, what: impl Into<String>, unit: &'static str, samples: &[f64]) {
        let row = Row { section, what: what.into(), unit, values: spread(samples), note: String::new(), holds: None };
        self.rows.push(row);
    }

    /// Adds a note to the last row.
    pub fn note(&mut self, note: &str) {
        if let Some(row) = self.rows.last_mut() {
            row.note = note.to_string();
        }
    }

    /// Gives the last row a limit that its median must not exceed.
    pub fn at_most(&mut self, limit: f64) {
        if let Some(row) = self.rows.last_mut() {
            row.holds = Some(row.values[0] <= limit);
            row.note = format!("at most {limit:.3} {}", row.note).trim_end().to_string();
        }
    }

    /// Gives the last row a limit that its median must reach.
    pub fn at_least(&mut self, limit: f64) {
        if let Some(row) = self.rows.last_mut() {
            row.holds = Some(row.values[0] >= limit);
            row.note = format!("at least {limit:.3} {}", row.note).trim_end().to_string();
        }
    }

    /// Says what could not be measured, and why.
    pub fn skip(&mut self, what: impl Into<String>) {
        self.skipped.push(what.into());
    }

    /// Says that a section could not be measured to its end.
    pub fn fail(&mut self, section: &str, error: &std::io::Error) {
        self.failed = true;
        self.skipped.push(format!("{section}, or the rest of it: {error}"));
    }

    /// True when every limit is kept and nothing failed.
    pub fn holds(&self) -> bool {
        !self.failed && self.rows.iter().all(|row| row.holds != Some(false))
    }

    /// For people.
    pub fn table(&self) -> String {
        let width = self.rows.iter().map(|row| row.what.chars().count()).max().unwrap_or(0);
        let mut text = String::new();
        let mut section = "";
        for row in &self.rows {
            if row.section != section {
                section = row.section;
                let _infallible = writeln!(text, "{section}");
                let _infallible = writeln!(text, "  {:width$}  {:>12} {:>12} {:>12}  unit", "", "median", "min", "max");
            }
            let [median, min, max] = row.values.map(number);
            let verdict = match row.holds {
                Some(true) => "  ok: ",
                Some(false) => "  MISSED: ",
                None if row.note.is_empty() => "",
                None => "  ",
            };
            let (what, unit, note) = (&row.what, row.unit, &row.note);
            let _infallible =
                writeln!(text, "  {what:width$}  {median:>12} {min:>12} {max:>12}  {unit}{verdict}{note}");
        }
        for what in &self.skipped {
            let _infallible = writeln!(text, "SKIP {what}");
        }
        text
    }

    /// For machines.
    pub fn json(&self) -> Value {
        let rows = self.rows.iter().map(|row| {
            let [median, min, max] = row.values;
            json!({ "section": row.section, "what": row.what, "unit": row.unit, "median": median, "min": min,
                "max": max, "note": row.note, "holds": row.holds })
        });
        json!({ "schema": "rstprobe.bench/1", "rows": rows.collect::<Vec<_>>(), "skipped": self.skipped })
    }
}

/// Median, least and greatest.
pub fn spread(samples: &[f64]) -> [f64; 3] {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    let median = match sorted.len() {
        0 => f64::NAN,
        len if len.is_multiple_of(2) => f64::midpoint(sorted[middle - 1], sorted[middle]),
        _ => sorted[middle],
    };
    let end = |value: Option<&f64>| value.copied().unwrap_or(f64::NAN);
    [median, end(sorted.first()), end(sorted.last())]
}

fn number(value: f64) -> String {
    if value.abs() >= 1000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers_of_samples() {
        assert_eq!(spread(&[3.0, 1.0, 2.0]).map(number), ["2.000", "1.000", "3.000"]);
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]).map(number), ["2.500", "1.000", "4.000"]);
        assert!(spread(&[])[0].is_nan());
    }

    #[test]
    fn a_missed_limit_shows() {
        let mut report = Report::default();
        report.add("read", "rstprobe", "s", &[1.0]);
        report.at_most(2.0);
        assert!(report.holds());
        report.add("read", "rstprobe again", "s", &[3.0]);
        report.at_most(2.0);
        report.skip("a peer: not installed");
        assert!(!report.holds());
        let table = report.table();
        assert!(table.contains("MISSED") && table.contains("SKIP a peer"), "{table}");
        assert_eq!(report.json()["rows"][1]["holds"], false);
    }
}

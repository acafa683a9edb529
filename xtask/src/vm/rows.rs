//! Rows that guests print, and the tables made of them.
//!
//! Lines of a guest, separated by tabs: `ROW check ok|fail|skip seconds note` for each check, and `INSNS program variant
//! count` for each program that the verifier accepted. Anything else is talk.

use std::collections::BTreeMap;

/// How a check ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Result {
    Ok,
    Failed,
    Skipped,
}

/// One check in one guest.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) check: String,
    pub(super) result: Result,
    pub(super) seconds: f64,
    pub(super) note: String,
}

/// All of one guest.
#[derive(Clone, Default, Debug)]
pub(super) struct Rows {
    pub(super) rows: Vec<Row>,
    /// Instructions that the verifier processed, by program and variant.
    pub(super) verified: BTreeMap<String, u64>,
}

impl Rows {
    /// Takes one line; whether it is worth showing at once.
    pub(super) fn read(&mut self, line: &str) -> bool {
        let words: Vec<&str> = line.split('\t').collect();
        match words[..] {
            ["ROW", check, result, seconds, note] => {
                let result = match result {
                    "ok" => Result::Ok,
                    "skip" => Result::Skipped,
                    _ => Result::Failed,
                };
                let seconds = seconds.parse().unwrap_or(0.0);
                self.rows.push(Row { check: check.to_owned(), result, seconds, note: note.to_owned() });
                true
            }
            ["INSNS", program, variant, count] => {
                let count = count.parse().unwrap_or(0);
                let highest = self.verified.entry(format!("{program} {variant}")).or_insert(0);
                *highest = count.max(*highest);
                false
            }
            _ => false,
        }
    }

    /// Whether this check has ended: rows of its parts do not say so.
    pub(super) fn has(&self, check: &str) -> bool {
        self.rows.iter().any(|row| row.check == check)
    }

    /// Adds a failure that the guest could not tell itself.
    pub(super) fn fail(&mut self, check: &str, why: &str) {
        self.rows.push(Row { check: check.to_owned(), result: Result::Failed, seconds: 0.0, note: why.to_owned() });
    }

    /// The failures.
    pub(super) fn failed(&self) -> impl Iterator<Item = &Row> {
        self.rows.iter().filter(|row| row.result == Result::Failed)
    }
}

impl Row {
    fn cell(&self) -> String {
        match self.result {
            Result::Ok if self.note.is_empty() => format!("{:.0} s", self.seconds),
            Result::Ok => format!("{} ({:.0} s)", self.note, self.seconds),
            Result::Failed => format!("FAILED: {}", self.note),
            Result::Skipped => format!("skipped: {}", self.note),
        }
    }
}

/// One column of a table: its head and the rows below it.
pub(super) type Column<'a> = (String, &'a Rows, f64);

/// Checks down, kernels across, as Markdown; the last line has the time of each guest.
pub(super) fn table(columns: &[Column<'_>]) -> String {
    let mut checks: Vec<&str> = Vec::new();
    for row in columns.iter().flat_map(|(_, rows, _)| &rows.rows) {
        if !checks.contains(&&*row.check) {
            checks.push(&row.check);
        }
    }
    let mut lines = vec![line("check", columns.iter().map(|(head, ..)| head.clone()))];
    lines.push(line("---", columns.iter().map(|_| "---".to_owned())));
    for check in checks {
        let cell = |rows: &Rows| rows.rows.iter().find(|row| row.check == check).map_or("-".to_owned(), Row::cell);
        lines.push(line(check, columns.iter().map(|(_, rows, _)| cell(rows))));
    }
    lines.push(line("whole guest", columns.iter().map(|(.., seconds)| format!("{seconds:.0} s"))));
    lines.join("\n")
}

/// Programs and variants down, kernels across: instructions that each verifier processed.
pub(super) fn verified(columns: &[Column<'_>]) -> String {
    let mut programs: Vec<&String> = columns.iter().flat_map(|(_, rows, _)| rows.verified.keys()).collect();
    programs.sort();
    programs.dedup();
    if programs.is_empty() {
        return String::new();
    }
    let mut lines = vec![line("verified instructions", columns.iter().map(|(head, ..)| head.clone()))];
    lines.push(line("---", columns.iter().map(|_| "---:".to_owned())));
    for program in programs {
        let cell = |rows: &Rows| rows.verified.get(program).map_or("-".to_owned(), u64::to_string);
        lines.push(line(program, columns.iter().map(|(_, rows, _)| cell(rows))));
    }
    lines.join("\n")
}

fn line(first: &str, cells: impl Iterator<Item = String>) -> String {
    let cells: Vec<String> = cells.map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {first} | {} |", cells.join(" | "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_guest_become_a_table() {
        let mut rows = Rows::default();
        assert!(rows.read("ROW\tload\tok\t12.3\t"));
        assert!(rows.read("ROW\tnic/e1000e\tfail\t1.0\tno | such driver"));
        assert!(!rows.read("INSNS\trstprobe\tauto\t1200") && !rows.read("INSNS\trstprobe\tauto\t1100"));
        assert!(!rows.read("anything"));
        assert!(rows.has("load") && !rows.has("lo"));
        assert!(!rows.has("nic"), "a part of it says nothing of the rest");
        let columns = [("6.1".to_owned(), &rows, 30.0)];
        let table = table(&columns);
        assert!(table.contains("| load | 12 s |") && table.contains("FAILED: no \\| such driver"), "{table}");
        assert!(verified(&columns).contains("| rstprobe auto | 1200 |"));
        assert_eq!(rows.failed().count(), 1);
    }
}

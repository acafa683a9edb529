//! Outcomes: a small table of why connections were reset or failed, who reset them and what it cost, in words.

use comfy_table::Cell;

use super::cells::{Style, emphasised, fit, limit, more, number, rendered, table, wrapped};
use crate::{
    aggregate::{Aggregate, Outcome},
    record::{Cause, Impact, ResetBy},
};

/// Columns of words at least; where fewer are left, the id alone says which cause it is.
const FEWEST: usize = 16;

/// Columns that a narrow terminal does without: what `rstprobe explain` says of an id, and who reset.
const LEFT_OUT_FIRST: [&str; 2] = ["CAUSE", "RESET BY"];

/// Title, with the denominator of the shares.
pub(super) fn title(aggregate: &Aggregate, is_filtered: bool) -> String {
    let which = if is_filtered { " that meet the filter" } else { "" };
    let all = aggregate.totals.connections;
    format!("Why connections were reset or failed, harmless last (share: of all {all} connections{which})")
}

/// The table; empty where every connection ended well or is still open.
pub(super) fn section(aggregate: &Aggregate, style: Style) -> String {
    let mut rows: Vec<(Outcome, u64)> =
        aggregate.outcomes().filter(|(outcome, _)| outcome.cause != Cause::None).collect();
    if rows.is_empty() {
        return String::new();
    }
    rows.sort_by_key(|(outcome, count)| (weight(outcome.impact), std::cmp::Reverse(*count), *outcome));
    let shown = limit(rows.len(), style);
    let all = aggregate.totals.connections;
    let words = Words::fitting(&rows[..shown], all, style);
    let mut table = table(style, &["CAUSE", "RESET BY", "IMPACT", "CONNECTIONS", "SHARE", "ID"]);
    for (outcome, count) in &rows[..shown] {
        let [cause, by, impact, count, share, id] = cells(*outcome, *count, all);
        table.add_row(vec![
            Cell::new(words.cut(&cause)),
            Cell::new(by),
            emphasised(impact, outcome.impact.is_loss(), style),
            number(count),
            number(share),
            Cell::new(id),
        ]);
    }
    let fitted = fit(&mut table, style, &LEFT_OUT_FIRST);
    let text = more(rendered(&table, style), shown, rows.len());
    let notice = fitted.notice();
    if notice.is_empty() { text } else { text + "\n" + wrapped(&notice, style, 2).trim_end() }
}

/// What is worse comes first.
fn weight(impact: Impact) -> u8 {
    match impact {
        Impact::RequestLost | Impact::ResponseLost | Impact::TransferCut | Impact::AttemptFailed => 0,
        Impact::Unknown => 1,
        Impact::None => 2,
    }
}

/// What a loss is called.
pub(super) fn in_words(impact: Impact) -> &'static str {
    match impact {
        Impact::RequestLost => "lost a request",
        Impact::ResponseLost => "lost a response",
        Impact::TransferCut => "cut a transfer",
        Impact::AttemptFailed => "failed to connect",
        Impact::None => "harmless",
        Impact::Unknown => "of unknown effect",
    }
}

fn cells(Outcome { cause, by, impact }: Outcome, count: u64, all: u64) -> [String; 6] {
    let by = match by {
        ResetBy::None => "no RST",
        ResetBy::Client => "client",
        ResetBy::Server => "server",
        ResetBy::Middle => "device between",
        ResetBy::Unknown => "not known",
    };
    // After the colon comes how that may be.
    let words = cause.explanation().split(':').next().unwrap_or_default();
    let share = if all == 0 { "-".to_owned() } else { format!("{:.1} %", count as f64 * 100.0 / all as f64) };
    [words.to_owned(), by.to_owned(), in_words(impact).to_owned(), count.to_string(), share, cause.id().to_owned()]
}

/// How much room the words of causes have.
#[derive(Clone, Copy)]
struct Words {
    most: usize,
}

impl Words {
    fn fitting(rows: &[(Outcome, u64)], all: u64, style: Style) -> Self {
        let Some(width) = style.width.map(usize::from) else { return Self { most: usize::MAX } };
        let headings = ["CAUSE", "RESET BY", "IMPACT", "CONNECTIONS", "SHARE", "ID"];
        let mut widths = headings.map(str::len);
        for (outcome, count) in rows {
            for (width, cell) in widths.iter_mut().zip(cells(*outcome, *count, all)) {
                *width = cell.chars().count().max(*width);
            }
        }
        // A blank on either side of each column, the last of a line trimmed.
        let beside = width.saturating_sub(widths[1..].iter().map(|column| column + 2).sum::<usize>() + 1);
        Self { most: beside.max(FEWEST) }
    }

    fn cut(self, words: &str) -> String {
        if words.chars().count() <= self.most {
            return words.to_owned();
        }
        words.chars().take(self.most - 1).chain(['…']).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        record::{Closing, Opening, Side},
    };

    fn aggregate() -> Aggregate {
        let mut aggregate = Aggregate::new(8);
        let mut add = |cause, by, impact, closing, times| {
            let mut one = connection("10.0.0.2:80", Opening::Completed, closing, Side::default(), Side::default());
            (one.verdict.cause, one.reset_by, one.verdict.impact) = (cause, by, impact);
            (0..times).for_each(|_| aggregate.add(&one));
        };
        add(Cause::None, ResetBy::None, Impact::None, Closing::TwoFins, 4);
        add(Cause::RstInsteadOfFin, ResetBy::Client, Impact::None, Closing::RstOnly, 3);
        add(Cause::AppAbort, ResetBy::Server, Impact::ResponseLost, Closing::RstOnly, 1);
        add(Cause::RefusedClosedPort, ResetBy::Server, Impact::AttemptFailed, Closing::Refused, 2);
        add(Cause::RstWithoutConnection, ResetBy::Unknown, Impact::Unknown, Closing::RstWithoutConnection, 9);
        aggregate
    }

    #[test]
    fn what_cost_something_comes_first_and_shares_are_of_all_connections() {
        let aggregate = aggregate();
        let text = section(&aggregate, Style::default());
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
            .collect();
        assert_eq!(lines[0], ["CAUSE", "RESET BY", "IMPACT", "CONNECTIONS", "SHARE", "ID"]);
        let first = "the application or its kernel aborted";
        assert_eq!(lines[2], [first, "server", "lost a response", "1", "10.0 %", "app_abort"]);
        assert_eq!(lines[1][1..], ["server", "failed to connect", "2", "20.0 %", "refused_closed_port"]);
        assert_eq!(lines[3][1..], ["client", "harmless", "3", "30.0 %", "rst_instead_of_fin"]);
        assert_eq!(lines.len(), 4, "nothing of orderly ends, and of RSTs without a connection");
        assert!(title(&aggregate, true).ends_with("(share: of all 10 connections that meet the filter)"));
        assert_eq!(section(&Aggregate::new(1), Style::default()), "");
    }

    #[test]
    fn it_fits_the_terminal_and_keeps_counts_and_shares() {
        let aggregate = aggregate();
        for width in 72..160 {
            let text = section(&aggregate, Style { width: Some(width), ..Style::default() });
            assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)), "{width}\n{text}");
            assert!(text.contains("30.0 %") && text.contains("failed to connect"), "{width}\n{text}");
            assert!(text.contains("rst_instead_of_fin") && text.contains("refused_closed_port"), "{width}\n{text}");
            assert!(width < 100 || text.contains("CAUSE"), "{width}\n{text}");
        }
        let rows = section(&aggregate, Style { rows: 1, ..Style::default() });
        assert!(rows.ends_with("... and 2 more (--all shows all)") && rows.contains("refused_closed_port"), "{rows}");
    }
}

//! Over time: RSTs per connection and FIN and RST from both sides, and how connections ended, step by step.

use maud::{Markup, html};

use super::{
    chart::{Chart, Panel},
    count,
    table::plain,
    time_label::{full, length, short},
};
use crate::{
    query::{KeyPart, OverviewRows, Row, StepRows},
    record::Closing,
};

/// Labels below a chart.
const LABELS: usize = 5;

/// The charts; a sentence where there is no connection.
pub(super) fn section(overview: &OverviewRows) -> Markup {
    let steps = &overview.closings;
    let sums = sums(steps);
    html! {
        @if steps.steps == 0 {
            p { "No connection was seen." }
        } @else {
            p {
                "Steps of " (length(steps.step_ns)) ", " (steps.steps) " of them" (empty(&sums)) ". "
                "A connection counts in the step in which it began, with all its segments."
            }
            (rst_per_connection(steps, &sums))
            (fin_and_rst(steps, &sums))
            (closings(steps))
        }
    }
}

/// In how many steps nothing began, where it is so in any.
fn empty(sums: &[Option<Row>]) -> String {
    match sums.iter().filter(|row| row.is_none()).count() {
        0 => String::new(),
        empty => format!("; no connection began in {empty} of these"),
    }
}

/// What all connections of each step add up to; `None` for a step without any.
fn sums(steps: &StepRows) -> Vec<Option<Row>> {
    let mut sums: Vec<Option<Row>> = vec![None; steps.steps];
    for row in &steps.rows {
        let Some((step, _)) = steps.place(row) else { continue };
        match sums.get_mut(step) {
            Some(Some(sum)) => sum.merge(row),
            Some(none) => *none = Some(row.clone()),
            None => {}
        }
    }
    sums
}

/// Beginnings of steps at even distances, the end of the last one at the right.
pub(super) fn labels(steps: &StepRows) -> Vec<String> {
    let most = LABELS.min(steps.steps + 1);
    (0..most).map(|at| short(steps, at * steps.steps / (most - 1).max(1))).collect()
}

fn rst_per_connection(steps: &StepRows, sums: &[Option<Row>]) -> Markup {
    let ratio = |row: &Row, side: usize| {
        let completed = row.group.totals.completed_handshakes;
        (completed > 0).then(|| row.rst_of_completed[side] as f64 / completed as f64)
    };
    let of_side =
        |side: usize| sums.iter().map(|row| row.as_ref().and_then(|row| ratio(row, side))).collect::<Vec<_>>();
    let shown = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"));
    let said = |row: &Row| [shown(ratio(row, 0)), shown(ratio(row, 1))];
    let rows = known(steps, sums).map(|(time, row)| {
        let completed = count(row.group.totals.completed_handshakes);
        let [client, server] = said(row);
        vec![time, completed, client, server]
    });
    let tips = tips(steps, sums, |row| {
        let [client, server] = said(row);
        format!(
            "RST per connection {client} from clients, {server} from servers; {} handshakes",
            count(row.group.totals.completed_handshakes)
        )
    });
    let panels = [("From clients", "client", 0), ("From servers", "server", 1)]
        .map(|(title, class, side)| Panel { title: title.to_owned(), series: vec![(class, of_side(side))] });
    Chart {
        id: "rst-per-connection",
        title: "RST per connection",
        description: format!(
            "RSTs of connections with a completed handshake, per such connection. {} {} A line at the foot is 0; nothing is drawn \
             where no handshake was completed.",
            peak(steps, &of_side(0), "From clients", |value| format!("{value:.3}")),
            peak(steps, &of_side(1), "From servers", |value| format!("{value:.3}")),
        ),
        legend: Vec::new(),
        panels: panels.into(),
        labels: labels(steps),
        tips,
        table: plain(
            "RST per connection, by time",
            &["Beginning (UTC)", "Completed handshakes", "RST per connection, clients", "RST per connection, servers"],
            &rows.collect::<Vec<_>>(),
        ),
    }
    .markup()
}

fn fin_and_rst(steps: &StepRows, sums: &[Option<Row>]) -> Markup {
    let values =
        |of: fn(&Row) -> u64| sums.iter().map(|row| row.as_ref().map(|row| of(row) as f64)).collect::<Vec<_>>();
    let panel = |title: &str, rst: fn(&Row) -> u64, fin: fn(&Row) -> u64| Panel {
        title: title.to_owned(),
        series: vec![("rst", values(rst)), ("fin", values(fin))],
    };
    let rows = known(steps, sums).map(|(time, row)| {
        let sides = row.sides;
        vec![time, count(sides[0].fin), count(sides[0].rst), count(sides[1].fin), count(sides[1].rst)]
    });
    let tips = tips(steps, sums, |row| {
        let [client, server] = &row.sides;
        format!(
            "clients {} FIN, {} RST; servers {} FIN, {} RST",
            count(client.fin),
            count(client.rst),
            count(server.fin),
            count(server.rst)
        )
    });
    let whole = |value: f64| format!("{value:.0}");
    Chart {
        id: "fin-and-rst",
        title: "FIN and RST segments",
        description: format!(
            "RSTs at the foot, FINs on top of them. {} {}",
            peak(steps, &values(|row| row.sides[0].rst), "RSTs of clients", whole),
            peak(steps, &values(|row| row.sides[1].rst), "RSTs of servers", whole),
        ),
        legend: vec![("rst", "RST".to_owned()), ("fin", "FIN".to_owned())],
        panels: vec![
            panel("From clients", |row| row.sides[0].rst, |row| row.sides[0].fin),
            panel("From servers", |row| row.sides[1].rst, |row| row.sides[1].fin),
        ],
        labels: labels(steps),
        tips,
        table: plain(
            "FIN and RST segments, by time",
            &["Beginning (UTC)", "FIN, clients", "RST, clients", "FIN, servers", "RST, servers"],
            &rows.collect::<Vec<_>>(),
        ),
    }
    .markup()
}

/// Closings as they are stacked, from below: what is not orderly can be compared only where it begins at the same height.
const STACKED: [Closing; 11] = [
    Closing::RstOnly,
    Closing::Refused,
    Closing::NeverAnswered,
    Closing::FinAndRst,
    Closing::RstWithoutConnection,
    Closing::Vanished,
    Closing::HalfOpen,
    Closing::HalfClosed,
    Closing::OneSided,
    Closing::Open,
    Closing::TwoFins,
];

/// Its class in the style sheet.
const fn class(closing: Closing) -> &'static str {
    match closing {
        Closing::RstOnly => "c0",
        Closing::Refused => "c1",
        Closing::NeverAnswered => "c2",
        Closing::FinAndRst => "c3",
        Closing::RstWithoutConnection => "c4",
        Closing::Vanished => "c5",
        Closing::HalfOpen => "c6",
        Closing::HalfClosed => "c7",
        Closing::OneSided => "c8",
        Closing::Open => "c9",
        Closing::TwoFins => "c10",
    }
}

fn closings(steps: &StepRows) -> Markup {
    let mut counts = vec![[0_u64; STACKED.len()]; steps.steps];
    for row in &steps.rows {
        let Some((step, KeyPart::Word(word))) = steps.place(row) else { continue };
        if let Some(at) = STACKED.iter().position(|closing| closing.as_str() == word) {
            counts[step][at] += row.records;
        }
    }
    let total = |at: usize| counts.iter().map(|step| step[at]).sum::<u64>();
    let seen: Vec<usize> = (0..STACKED.len()).filter(|&at| total(at) > 0).collect();
    let all: u64 = seen.iter().map(|&at| total(at)).sum();
    let is_known = |step: &[u64; STACKED.len()]| step.iter().any(|count| *count > 0);
    let series = |at: usize| counts.iter().map(|step| is_known(step).then(|| step[at] as f64)).collect();
    let name = |at: usize| STACKED[at].as_str();
    let rows = counts.iter().enumerate().filter(|(_, step)| is_known(step)).map(|(at, step)| {
        std::iter::once(full(steps, at)).chain(seen.iter().map(|&closing| count(step[closing]))).collect()
    });
    let tips = counts.iter().enumerate().map(|(at, step)| {
        let told: Vec<_> = seen
            .iter()
            .filter(|&&one| step[one] > 0)
            .map(|&one| format!("{} {}", name(one), count(step[one])))
            .collect();
        format!("{}: {}", full(steps, at), if told.is_empty() { "no connection".to_owned() } else { told.join(", ") })
    });
    let headings: Vec<&str> = std::iter::once("Beginning (UTC)").chain(seen.iter().map(|&at| name(at))).collect();
    let legend =
        |&at: &usize| (class(STACKED[at]), format!("{}: {} ({})", name(at), count(total(at)), STACKED[at].meaning()));
    Chart {
        id: "closings",
        title: "How connections ended",
        description: format!(
            "{} connections and RSTs without one, stacked; what is not orderly is at the foot.",
            count(all)
        ),
        legend: seen.iter().map(legend).collect(),
        panels: vec![Panel {
            title: String::new(),
            series: seen.iter().map(|&at| (class(STACKED[at]), series(at))).collect(),
        }],
        labels: labels(steps),
        tips: tips.collect(),
        table: plain("How connections ended, by time", &headings, &rows.collect::<Vec<_>>()),
    }
    .markup()
}

/// Steps with connections: their beginning, and what they add up to.
fn known<'a>(steps: &'a StepRows, sums: &'a [Option<Row>]) -> impl Iterator<Item = (String, &'a Row)> {
    sums.iter().enumerate().filter_map(|(at, row)| Some((full(steps, at), row.as_ref()?)))
}

fn tips(steps: &StepRows, sums: &[Option<Row>], of: impl Fn(&Row) -> String) -> Vec<String> {
    let said = |row: &Option<Row>| row.as_ref().map_or_else(|| "no connection".to_owned(), &of);
    sums.iter().enumerate().map(|(at, row)| format!("{}: {}", full(steps, at), said(row))).collect()
}

/// When the greatest value is, in words.
fn peak(steps: &StepRows, values: &[Option<f64>], whose: &str, shown: impl Fn(f64) -> String) -> String {
    let known = values.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?)));
    // Of equals the first.
    let most = known.reduce(|most, one| if one.1 > most.1 { one } else { most });
    match most {
        None => format!("{whose}: no value."),
        Some((_, value)) if value <= 0.0 => format!("{whose}: none."),
        Some((at, value)) => format!("{whose}: at most {}, at {}.", shown(value), short(steps, at)),
    }
}

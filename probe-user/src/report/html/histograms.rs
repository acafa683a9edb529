//! Histograms: how long servers took to answer, and how long connections lived until an RST.

use maud::{Markup, html};

use super::{
    chart::{Chart, Panel},
    count, percent,
    table::plain,
};
use crate::{aggregate::TimeHistogram, query::OverviewRows, report::text};

/// The figures; a sentence for what has no values.
pub(super) fn section(overview: &OverviewRows) -> Markup {
    let answers = ("To the SYN-ACK", "server", &overview.to_answer);
    let [by_client, by_server, by_other] = &overview.to_reset;
    let resets = [
        ("Reset by the client", "client", by_client),
        ("Reset by the server", "server", by_server),
        ("Reset by something in between, or nobody knows whom", "middle", by_other),
    ];
    let resets: Vec<_> = resets.into_iter().filter(|(_, _, histogram)| histogram.count() > 0).collect();
    html! {
        @if overview.to_answer.count() == 0 {
            p { "No handshake was seen from its beginning: there is no handshake time." }
        } @else {
            (figure(
                "handshake-time",
                "Handshake time",
                "From the first SYN to the SYN-ACK, as seen here, of completed handshakes.",
                &[answers],
            ))
        }
        @if resets.is_empty() {
            p { "No connection with a completed handshake was ended by an RST: there is no time to reset." }
        } @else {
            (figure(
                "time-to-reset",
                "Time to reset",
                "From the first segment to the last, of connections with a completed handshake that an RST ended.",
                &resets,
            ))
        }
    }
}

type Named<'a> = (&'static str, &'static str, &'a TimeHistogram);

fn figure(id: &str, title: &str, what: &str, named: &[Named<'_>]) -> Markup {
    let bounds: Vec<(u64, Option<u64>)> = named[0].2.buckets().map(|(lower, upper, _)| (lower, upper)).collect();
    let counts: Vec<Vec<u64>> =
        named.iter().map(|(_, _, histogram)| histogram.buckets().map(|bucket| bucket.2).collect()).collect();
    let used = |at: &usize| counts.iter().any(|counts| counts[*at] > 0);
    let (first, last) = ((0..bounds.len()).find(used).unwrap_or(0), (0..bounds.len()).rfind(used).unwrap_or(0));
    // A bar alone says nothing of where it stands.
    let shown = first.saturating_sub(1)..(last + 2).min(bounds.len());
    let rows = shown.clone().map(|at| {
        std::iter::once(range(bounds[at])).chain(counts.iter().map(|counts| count(counts[at]))).collect::<Vec<_>>()
    });
    let tips = shown.clone().map(|at| {
        let told: Vec<_> =
            named.iter().zip(&counts).map(|((name, ..), counts)| format!("{name}: {}", count(counts[at]))).collect();
        format!("{}: {}", range(bounds[at]), told.join(", "))
    });
    let panels = named.iter().zip(&counts).map(|((name, class, _), counts)| Panel {
        title: if named.len() > 1 { (*name).to_owned() } else { String::new() },
        series: vec![(*class, shown.clone().map(|at| Some(counts[at] as f64)).collect())],
    });
    let headings: Vec<&str> = std::iter::once("Time").chain(named.iter().map(|(name, ..)| *name)).collect();
    Chart {
        id,
        title,
        description: format!("{what} {}", named.iter().map(|named| quantiles(*named)).collect::<Vec<_>>().join(" ")),
        legend: Vec::new(),
        panels: panels.collect(),
        labels: shown
            .clone()
            .step_by(shown.len().div_ceil(6))
            .map(|at| time(bounds[at].0))
            .chain([end(bounds[shown.end - 1])])
            .collect(),
        tips: tips.collect(),
        table: plain(title, &headings, &rows.collect::<Vec<_>>()),
    }
    .markup()
}

fn quantiles((name, _, histogram): Named<'_>) -> String {
    let at = |share| histogram.quantile_ns(share).map_or_else(|| "–".to_owned(), text::duration);
    let all = histogram.count();
    let slow: u64 = histogram.buckets().filter(|bucket| bucket.0 >= 1_000_000_000).map(|bucket| bucket.2).sum();
    format!(
        "{name}: {} connections, half of them within {}, 99 of 100 within {}, {} took a second or longer.",
        count(all),
        at(0.5),
        at(0.99),
        percent(slow, all)
    )
}

fn time(ns: u64) -> String {
    match ns {
        0 => "0".to_owned(),
        1..1_000_000 => format!("{} µs", ns / 1000),
        1_000_000..1_000_000_000 => format!("{} ms", ns / 1_000_000),
        _ => format!("{} s", ns / 1_000_000_000),
    }
}

fn end((lower_ns, upper_ns): (u64, Option<u64>)) -> String {
    upper_ns.map_or_else(|| format!("> {}", time(lower_ns)), time)
}

fn range((lower_ns, upper_ns): (u64, Option<u64>)) -> String {
    match upper_ns {
        Some(upper_ns) => format!("{} to {}", time(lower_ns), time(upper_ns)),
        None => format!("{} and more", time(lower_ns)),
    }
}

//! Expected against said: what one run brought, how it is graded, and how it is shown.

use std::{collections::BTreeMap, net::SocketAddr};

use serde_json::Value;

use super::{
    groups::{Grade, grade},
    trace::KernelReset,
    views::View,
};
use crate::{scenario::Case, verdict};

/// The probe's word on one connection.
#[derive(Clone, Debug)]
pub struct Said {
    /// Cause.
    pub cause: String,
    /// Confidence.
    pub confidence: String,
    /// What it is worth.
    pub grade: Grade,
    /// All evidence, in the probe's words.
    pub evidence: String,
    /// The evidence `kernel.reason`, if any.
    pub kernel: Option<String>,
    /// Both ends.
    pub ends: [SocketAddr; 2],
}

/// One case, seen live and in the capture of the same run.
#[derive(Clone, Debug)]
pub struct Row {
    /// Which.
    pub case: Case,
    /// By the probe.
    pub live: Vec<Said>,
    /// By `rstprobe read`.
    pub capture: Vec<Said>,
    /// By the kernel.
    pub kernel: Vec<KernelReset>,
    /// Why it was not played.
    pub skipped: Option<String>,
}

/// All cases from one view.
#[derive(Debug)]
pub struct Run {
    /// From where.
    pub view: View,
    /// Each case.
    pub rows: Vec<Row>,
    /// Why there is no trace.
    pub untraced: Option<String>,
}

/// A verdict that is not right, in words.
#[derive(Clone, Debug)]
pub struct Mistake {
    /// True when the probe was sure of it.
    pub confident: bool,
    /// What was said instead of what, wherever.
    pub what: String,
    /// All about it.
    pub text: String,
    /// Name of the case, and whether live or from the capture.
    pub place: (String, &'static str),
}

impl Mistake {
    /// About the same case and source in another run, whatever was said there instead.
    pub fn is_alike(&self, other: &Self) -> bool {
        self.place == other.place
    }
}

impl Row {
    /// What `live` and `captured` say of `case`.
    pub fn new(view: View, case: Case, live: &Value, captured: &Value, resets: &[KernelReset]) -> Self {
        let said = |document| said(view, &case, document);
        let (live, capture) = (said(live), said(captured));
        let ends: Vec<[SocketAddr; 2]> = live.iter().chain(&capture).map(|said| said.ends).collect();
        let ours =
            |reset: &&KernelReset| ends.iter().any(|ends| ends.contains(&reset.from) && ends.contains(&reset.to));
        let kernel = resets.iter().filter(ours).cloned().collect();
        Self { case, live, capture, kernel, skipped: None }
    }

    /// A case that could not be played here.
    pub fn skipped(_: View, case: Case, why: String) -> Self {
        Self { case, live: vec![], capture: vec![], kernel: vec![], skipped: Some(why) }
    }

    fn mistakes(&self, view: View) -> Vec<Mistake> {
        let mut mistakes = vec![];
        for (source, all) in [("live", &self.live), ("capture", &self.capture)] {
            for said in all.iter().filter(|said| said.grade == Grade::Wrong) {
                let Said { cause, confidence, evidence, .. } = said;
                let expected = self.case.scenario.expected.causes.join(" or ");
                let at = format!("{}, {source}, {}", self.case.name(), view.name());
                let text = format!("{at}: {cause} ({confidence}) instead of {expected}; {evidence}");
                let what = format!("{cause} ({confidence}) instead of {expected}");
                let place = (self.case.name(), source);
                mistakes.push(Mistake { confident: confidence == "high", what, text, place });
            }
            if self.skipped.is_none() {
                mistakes.extend(self.missing(view, source, all));
            }
        }
        mistakes
    }

    /// Records that are not there, or none of the cause that matters.
    fn missing(&self, view: View, source: &'static str, all: &[Said]) -> Option<Mistake> {
        let expected = &self.case.scenario.expected;
        let (cause, least) = expected.at_least.unwrap_or((expected.causes[0], usize::from(view.is_complete())));
        let found = all.iter().filter(|said| grade(view, &[cause], &said.cause) != Grade::Wrong).count();
        let enough = if view.is_complete() { all.len() == expected.records && found >= least } else { true };
        let at = format!("{}, {source}, {}", self.case.name(), view.name());
        let text = || {
            let (records, all) = (expected.records, all.len());
            format!("{at}: {all} records instead of {records}, {found} of cause {cause} instead of {least} or more")
        };
        (!enough).then(|| Mistake {
            confident: false,
            what: format!("not enough of {cause}"),
            text: text(),
            place: (self.case.name(), source),
        })
    }

    /// Resets of the server. The client's are of the same kernel here, which on the wire is never so.
    fn of_server(&self) -> impl Iterator<Item = &KernelReset> {
        let server = [self.case.family.server(), self.case.family.second_server()];
        self.kernel.iter().filter(move |reset| server.contains(&reset.from.ip()))
    }

    /// Resets of the server's kernel whose reason the probe on that host does not tell, or tells otherwise.
    fn unlike_kernel(&self) -> Vec<String> {
        let own = self.of_server();
        let reported = |reset: &KernelReset| {
            let of = |said: &&Said| said.ends.contains(&reset.from) && said.ends.contains(&reset.to);
            self.live.iter().filter(of).filter_map(|said| said.kernel.as_deref()).map(str::to_owned).collect::<Vec<_>>()
        };
        let differs = own.filter_map(|reset| {
            let reported = reported(reset);
            let same = reported.iter().any(|reason| is_same_reason(reason, &reset.reason));
            let text = || format!("{}: the kernel says {}, the probe {reported:?}", self.case.name(), reset.reason);
            (!same).then(text)
        });
        differs.collect()
    }
}

/// The same reason, however it is spelt: `TCP_STATE`, `tcp_state` and `SK_RST_REASON_TCP_STATE`.
fn is_same_reason(a: &str, b: &str) -> bool {
    let plain = |text: &str| {
        let text = text.to_ascii_uppercase();
        text.trim_start_matches("SK_RST_REASON_").trim_start_matches("TCP_").to_owned()
    };
    plain(a) == plain(b)
}

fn said(view: View, case: &Case, document: &Value) -> Vec<Said> {
    let one = |record: &&Value| {
        let end = |side: &str| -> Option<SocketAddr> {
            let ip = record[side]["addr"].as_str()?.parse().ok()?;
            Some(SocketAddr::new(ip, u16::try_from(record[side]["port"].as_u64()?).ok()?))
        };
        let word = |name: &str| record["cause"][name].as_str().unwrap_or_default().to_owned();
        let facts = record["cause"]["evidence"].as_array().map_or(&[][..], Vec::as_slice);
        let text = |fact: &Value| {
            format!("{} {}", fact["name"].as_str().unwrap_or("?"), fact["value"].as_str().unwrap_or("?"))
        };
        let kernel = facts.iter().find(|fact| fact["name"] == "kernel.reason");
        Some(Said {
            grade: grade(view, case.scenario.expected.causes, record["cause"]["id"].as_str()?),
            cause: word("id"),
            confidence: word("confidence"),
            evidence: facts.iter().map(text).collect::<Vec<_>>().join(", "),
            kernel: kernel.and_then(|fact| fact["value"].as_str()).map(str::to_owned),
            ends: [end("client")?, end("server")?],
        })
    };
    verdict::records(document, case).iter().filter_map(one).collect()
}

impl Run {
    /// Everything that is neither right nor of the right group.
    pub fn mistakes(&self) -> Vec<Mistake> {
        self.rows.iter().flat_map(|row| row.mistakes(self.view)).collect()
    }

    /// In the host view: where the probe's reason is not the kernel's.
    pub fn unlike_kernel(&self) -> Vec<String> {
        if self.view != View::Host || self.untraced.is_some() {
            return vec![];
        }
        self.rows.iter().flat_map(Row::unlike_kernel).collect()
    }

    /// Resets of the server that the kernel traced.
    pub fn traced(&self) -> usize {
        self.rows.iter().map(|row| row.of_server().count()).sum()
    }

    /// The table: a line per scenario, both families together.
    pub fn table(&self) -> String {
        let mut lines = vec![];
        let mut ids: Vec<&str> = self.rows.iter().map(|row| row.case.scenario.id).collect();
        ids.dedup();
        let mut put = |columns: [&str; 5]| {
            let [id, expected, live, capture, kernel] = columns;
            lines.push(format!("{id:<24}{expected:<25}{live:<48} {capture:<48} {kernel}"));
        };
        put(["scenario", "expected", "live", "capture", "kernel's reason"]);
        for id in ids {
            let rows: Vec<&Row> = self.rows.iter().filter(|row| row.case.scenario.id == id).collect();
            let expected = rows[0].case.scenario.expected.causes[0];
            if let Some(why) = &rows[0].skipped {
                put([id, expected, "not played", why, ""]);
                continue;
            }
            let live = cell(rows.iter().flat_map(|row| &row.live));
            let capture = cell(rows.iter().flat_map(|row| &row.capture));
            put([id, expected, &live, &capture, &reasons(rows.iter().flat_map(|row| &row.kernel))]);
        }
        lines.join("\n") + "\n"
    }

    /// Verdicts by grade: right, alike, wrong; of the live probe and of the capture.
    pub fn grades(&self) -> [[usize; 3]; 2] {
        let count = |of: fn(&Row) -> &Vec<Said>| {
            let mut counts = [0; 3];
            for said in self.rows.iter().flat_map(of) {
                let index = match said.grade {
                    Grade::Right => 0,
                    Grade::Alike(_) => 1,
                    Grade::Wrong => 2,
                };
                counts[index] += 1;
            }
            counts
        };
        [count(|row| &row.live), count(|row| &row.capture)]
    }
}

/// `= 2 app_abort medium`: right; `~`: of the group; `!`: wrong.
fn cell<'a>(all: impl Iterator<Item = &'a Said>) -> String {
    let mut counts: BTreeMap<(&str, &str, &str), usize> = BTreeMap::new();
    for said in all {
        let mark = match said.grade {
            Grade::Right => "=",
            Grade::Alike(_) => "~",
            Grade::Wrong => "!",
        };
        *counts.entry((mark, &said.cause, &said.confidence)).or_default() += 1;
    }
    let shown =
        counts.into_iter().map(|((mark, cause, confidence), count)| format!("{mark} {count} {cause} {confidence}"));
    let shown: Vec<String> = shown.collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join("; ") }
}

fn reasons<'a>(all: impl Iterator<Item = &'a KernelReset>) -> String {
    let mut counts: BTreeMap<(&str, bool), usize> = BTreeMap::new();
    for reset in all {
        *counts.entry((&reset.reason, reset.active)).or_default() += 1;
    }
    let shown = counts.into_iter().map(|((reason, active), count)| {
        let how = if active { "active" } else { "reply" };
        format!("{count} {reason} ({how})")
    });
    shown.collect::<Vec<_>>().join("; ")
}

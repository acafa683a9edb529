//! Zoo report: how the outcome is shown, what is kept of what is wrong, and when it is good enough.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use super::{
    judge::{Judged, Outcome},
    play::PLACES,
    situation::PORTS,
};

/// Right records in a hundred, at least.
const ENOUGH: usize = 97;
const CONFIDENCES: [&str; 3] = ["high", "medium", "low"];

/// Counts over all that counts.
#[derive(Clone, Debug, Default)]
pub struct Account {
    /// Records by confidence: right, wrong.
    pub by_confidence: BTreeMap<String, [usize; 2]>,
    /// Records that should be there and are not.
    pub absent: usize,
    /// Right and wrong by place.
    pub by_place: [[usize; 2]; 4],
    /// Said with confidence, and wrong.
    pub confidently_wrong: usize,
}

impl Account {
    /// Of all `outcomes` that count.
    pub fn of(outcomes: &[Outcome]) -> Self {
        let mut account = Self::default();
        for judged in outcomes.iter().filter(|outcome| outcome.counts()).flat_map(|outcome| &outcome.judged) {
            let at = usize::from(!judged.is_right());
            account.by_place[judged.place][at] += 1;
            account.confidently_wrong += usize::from(judged.is_confidently_wrong());
            match &judged.said {
                Some(said) => account.by_confidence.entry(said.confidence.clone()).or_default()[at] += 1,
                None => account.absent += 1,
            }
        }
        account
    }

    /// Right, and all.
    pub fn right(&self) -> (usize, usize) {
        self.by_place.iter().fold((0, 0), |(right, all), [yes, no]| (right + yes, all + yes + no))
    }

    /// Good enough: nothing confident is wrong, and nearly everything right.
    pub fn is_sound(&self) -> bool {
        let (right, all) = self.right();
        self.confidently_wrong == 0 && all > 0 && right * 100 >= all * ENOUGH
    }
}

/// The table of truth against verdict, the account, contradictions, and what was not staged.
pub fn show(outcomes: &[Outcome], markdown: bool) -> String {
    let mut text = String::new();
    let result = table(&mut text, outcomes, markdown).and_then(|()| account(&mut text, outcomes, markdown));
    if result.is_err() {
        text.push_str("(the rest cannot be shown)\n");
    }
    text
}

fn table(text: &mut String, outcomes: &[Outcome], markdown: bool) -> std::fmt::Result {
    if markdown {
        writeln!(text, "| situation | what happens | {} |", PLACES.join(" | "))?;
        writeln!(text, "|---|---|{}", "---|".repeat(PLACES.len()))?;
    } else {
        writeln!(text, "{:<22} {}", "situation", PLACES.map(|place| format!("{place:<15}")).concat())?;
    }
    for outcome in outcomes {
        let Outcome { situation, .. } = outcome;
        let cells = (0..PLACES.len()).map(|place| cell(outcome, place));
        if markdown {
            let cells: Vec<_> = cells.collect();
            writeln!(text, "| {} | {} | {} |", situation.name, situation.what, cells.join(" | "))?;
        } else {
            write!(text, "{:<22} ", situation.name)?;
            cells.into_iter().try_for_each(|cell| write!(text, "{cell:<15}"))?;
            writeln!(text)?;
        }
    }
    writeln!(text)
}

/// `8/8`, or what is amiss.
fn cell(outcome: &Outcome, place: usize) -> String {
    if outcome.skipped.is_some() {
        return "skipped".to_owned();
    }
    if outcome.unstaged.is_some() {
        return "not staged".to_owned();
    }
    let here: Vec<&Judged> = outcome.judged.iter().filter(|judged| judged.place == place).collect();
    let right = here.iter().filter(|judged| judged.is_right()).count();
    let mark = if here.iter().any(|judged| judged.is_confidently_wrong()) { " WRONG" } else { "" };
    if here.is_empty() { "-".to_owned() } else { format!("{right}/{}{mark}", here.len()) }
}

fn account(text: &mut String, outcomes: &[Outcome], markdown: bool) -> std::fmt::Result {
    let account = Account::of(outcomes);
    let wrong = lines(outcomes);
    heading(text, "Wrong", markdown)?;
    wrong.iter().try_for_each(|line| writeln!(text, "- {line}"))?;
    heading(text, "Contradictions between places", markdown)?;
    for outcome in outcomes.iter().filter(|outcome| outcome.counts()) {
        outcome.contradictions.iter().try_for_each(|line| writeln!(text, "- {}: {line}", outcome.situation.name))?;
    }
    heading(text, "Not played or not staged", markdown)?;
    for outcome in outcomes {
        if let Some(why) = outcome.skipped.as_ref().or(outcome.unstaged.as_ref()) {
            writeln!(text, "- {}: {why}", outcome.situation.name)?;
        }
        for connection in &outcome.unforeseen {
            writeln!(text, "- {}: no truth foresees {connection}", outcome.situation.name)?;
        }
    }
    heading(text, "Calibration", markdown)?;
    for confidence in CONFIDENCES {
        let [right, wrong] = account.by_confidence.get(confidence).copied().unwrap_or_default();
        writeln!(text, "- {confidence}: {right} of {} right", right + wrong)?;
    }
    let (right, all) = account.right();
    let counted = outcomes.iter().filter(|outcome| outcome.counts()).count();
    let percent = if all == 0 { 0.0 } else { 100.0 * right as f64 / all as f64 };
    writeln!(
        text,
        "\n{counted} of {} situations count; {right} of {all} verdicts right ({percent:.1} %), {} confidently wrong, {} absent",
        outcomes.len(),
        account.confidently_wrong,
        account.absent
    )
}

fn heading(text: &mut String, words: &str, markdown: bool) -> std::fmt::Result {
    if markdown { writeln!(text, "\n## {words}\n") } else { writeln!(text, "\n{words}:") }
}

/// One line for each kind of wrong verdict: situation, place, how often, truth, verdict, confidence, history.
pub fn lines(outcomes: &[Outcome]) -> Vec<String> {
    let mut lines: Vec<(String, usize)> = vec![];
    for outcome in outcomes.iter().filter(|outcome| outcome.counts()) {
        for judged in outcome.judged.iter().filter(|judged| !judged.is_right()) {
            let history = judged.said.as_ref().map_or("-", |said| &said.history);
            let sure = if judged.is_confidently_wrong() { "WRONG" } else { "unsure" };
            let line = format!(
                "{sure} {} port {}, {}: said {}, truth {}; history {history}",
                outcome.situation.name,
                judged.ends[1].port(),
                PLACES[judged.place],
                judged.words(),
                judged.truth
            );
            match lines.iter_mut().find(|(known, _)| *known == line) {
                Some((_, times)) => *times += 1,
                None => lines.push((line, 1)),
            }
        }
    }
    lines.into_iter().map(|(line, times)| if times == 1 { line } else { format!("{line} (x {times})") }).collect()
}

/// Copies what passed of each situation with a wrong verdict to `NAME.client.pcap` and `NAME.server.pcap` in `directory`, and
/// the lines of what is wrong to `LIST.txt`.
///
/// # Errors
/// When a file cannot be written or tcpdump fails.
pub fn keep_wrong(outcomes: &[Outcome], captures: &[std::path::PathBuf; 2], directory: &Path) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("LIST.txt"), lines(outcomes).join("\n") + "\n")?;
    let is_wrong = |outcome: &&Outcome| outcome.counts() && outcome.judged.iter().any(|judged| !judged.is_right());
    for outcome in outcomes.iter().filter(is_wrong) {
        for (end, capture) in ["client", "server"].iter().zip(captures) {
            let file = directory.join(format!("{}.{end}.pcap", outcome.situation.name));
            cut(capture, outcome.port, &file)?;
        }
    }
    Ok(())
}

fn cut(capture: &Path, port: u16, file: &Path) -> io::Result<()> {
    let filter = format!("tcp portrange {port}-{} or icmp or icmp6", port + PORTS - 1);
    let status = Command::new("tcpdump")
        .args(["--nano", "-n", "-Z", "root", "-r"])
        .arg(capture)
        .arg("-w")
        .args([file.as_os_str(), filter.as_ref()])
        .stderr(Stdio::null())
        .status()?;
    if status.success() {
        Ok(())
    } else {
        Err(io::Error::other(format!("tcpdump cannot cut {}: {status}", capture.display())))
    }
}

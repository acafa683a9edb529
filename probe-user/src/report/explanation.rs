//! Explanations: the sections of the documentation on causes and findings, by id.
//!
//! Must not know: connections.

use std::fmt::Write as _;

use super::{
    cells::{Style, cut},
    counter_meaning,
    prose::reflowed,
};
use crate::{
    findings::KINDS,
    record::{Cause, Confidence, Impact, fact_meaning},
};

const PAGES: [&str; 2] = [include_str!("../../docs/causes.md"), include_str!("../../docs/findings.md")];

/// Begins what shows how a cause looks, in its section; the ladder follows between fences.
const LOOKS: &str = "\n\nHow it looks, by `";
const FENCES: [&str; 2] = ["\n\n```text\n", "\n```"];

/// What the documentation says of a cause or a kind of finding, without its heading's mark and without how it looks; `None` where
/// there is no such.
pub fn of(id: &str) -> Option<String> {
    let section = PAGES.iter().find_map(|page| section(page, id))?;
    Some(section.split(LOOKS).next()?.trim_end().to_owned() + "\n")
}

/// A connection with a cause, segment by segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    /// The command that shows it.
    pub command: String,
    /// Its ladder, of a long one the beginning and the end.
    pub ladder: String,
}

/// How a cause looks; `None` for what is no cause.
pub fn look(id: &str) -> Option<Look> {
    let section = section(PAGES[0], id)?;
    let (_, look) = section.split_once(LOOKS)?;
    let (command, ladder) = look.split_once("`:")?;
    let ladder = ladder.strip_prefix(FENCES[0])?.split(FENCES[1]).next()?;
    Some(Look { command: command.to_owned(), ladder: ladder.to_owned() })
}

/// The same at length, for who asks for it by its id: with how a cause looks, its usual impact, and commands that find it. Of a
/// fact its meaning and that of each of its values; of a word of `impact` or `confidence` and of a counter its meaning. `None` where nothing has
/// this id. Prose is broken to fit the terminal, and the ladder's lines are cut.
pub fn page(id: &str, style: Style) -> Option<String> {
    let cause = Cause::ALL.iter().find(|cause| cause.id() == id);
    let prose = |text: String| reflowed(&text, style);
    match (cause, of(id)) {
        (Some(cause), Some(text)) => {
            let look = look(id).map_or_else(String::new, |look| {
                let lines = look
                    .ladder
                    .lines()
                    .map(|line| style.width.map_or(line.to_owned(), |width| cut(line, width.into())));
                format!("\nHow it looks:\n\n{}\n", lines.collect::<Vec<_>>().join("\n"))
            });
            Some(prose(text) + &look + &prose(of_cause(*cause)))
        }
        (None, Some(text)) => {
            let more = "\nWhere it is found: `rstprobe read FILE`, at its top; `--all` shows every finding.\n";
            Some(prose(text + more))
        }
        (_, None) => of_fact(id).or_else(|| of_word(id)).or_else(|| counter_meaning::explained(id)).map(prose),
    }
}

fn of_cause(cause: Cause) -> String {
    let (id, meaning, impact) = (cause.id(), cause.explanation(), usual_impact(cause));
    format!(
        "\nIn short: {meaning}.\nUsual impact: {impact}.\n\nExamples:\n  \
         rstprobe read FILE --filter 'cause = {id}'               those of a capture\n  \
         rstprobe read FILE --filter 'cause = {id}' --by server   which servers have them\n  \
         rstprobe explain -r FILE 'cause = {id}'                  the costliest of them, segment by segment\n"
    )
}

/// What connections of this cause lose as a rule, as `verdict::impact` judges them.
fn usual_impact(cause: Cause) -> &'static str {
    match cause {
        Cause::RefusedClosedPort
        | Cause::HalfOpenScan
        | Cause::SynThenRst
        | Cause::NeverAnswered
        | Cause::SynAckUnanswered
        | Cause::StaleConnectionSyn
        | Cause::TlsAlert => "attempt_failed",
        Cause::IcmpUnreachable | Cause::RefusedByFirewall => {
            "attempt_failed; of an established connection what was lost of it, as request_lost"
        }
        Cause::AcceptQueueFull => "attempt_failed; request_lost where the client had sent something",
        Cause::CloseNotifyAfterClose => "none; response_lost where a request was still unanswered",
        Cause::None | Cause::RstInsteadOfFin | Cause::RstAfterClose | Cause::HealthCheck | Cause::AbortNoData => "none",
        Cause::ClientGaveUp => "response_lost",
        Cause::ClientAbortDownload | Cause::ClientAbortUpload => "transfer_cut",
        Cause::ServerReplyThenReset | Cause::KeepAliveRace => "request_lost",
        Cause::InjectedSuspect | Cause::DeviceResetBoth => {
            "response_lost or transfer_cut; none where both ends ignored the RST"
        }
        Cause::RstWithoutConnection => "unknown: the connection was not seen",
        _ => {
            "none where all was acknowledged; otherwise request_lost, response_lost or transfer_cut, by whose payload was lost"
        }
    }
}

/// A fact that verdicts rest on, with its values where these are words.
fn of_fact(name: &str) -> Option<String> {
    let meaning = fact_meaning::meaning(name)?;
    let words: Vec<_> = fact_meaning::words_of(name).collect();
    let width = words.iter().map(|(word, _)| word.len()).max().unwrap_or(0);
    let mut text = format!("{name}: a fact that verdicts rest on\n\n{meaning}\n");
    if !words.is_empty() {
        text.push_str("\nValues:\n");
    }
    for (word, meaning) in words {
        writeln!(text, "  {word:width$}  {meaning}").expect("a String takes everything");
    }
    text.push_str("\n`rstprobe explain -r FILE ID` lists the facts of one connection, weightiest first.\n");
    Some(text)
}

/// A word of `impact` or `confidence`.
fn of_word(word: &str) -> Option<String> {
    let impact = Impact::ALL.iter().find(|one| one.as_str() == word).map(|one| ("impact", one.meaning()));
    let sure = || Confidence::ALL.iter().find(|one| one.as_str() == word).map(|one| ("confidence", one.meaning()));
    let (field, meaning) = impact.or_else(sure)?;
    Some(format!(
        "{word}: a value of `{field}`\n\n{meaning}\n\nThese: rstprobe read FILE --filter '{field} = {word}'\n"
    ))
}

fn section(page: &str, id: &str) -> Option<String> {
    let heading = format!("\n### `{id}`\n");
    let (_, rest) = page.split_once(&heading)?;
    let end = rest.find("\n#").unwrap_or(rest.len());
    Some(format!("{id}\n\n{}\n", rest[..end].trim()))
}

/// Every id that has an explanation.
pub fn ids() -> impl Iterator<Item = &'static str> {
    Cause::ALL.iter().map(|cause| cause.id()).chain(KINDS.iter().map(|kind| kind.id))
}

/// All ids, each with one line.
pub fn list() -> String {
    let width = ids().map(str::len).max().unwrap_or(0);
    let mut text = "Causes of resets and failed connections:\n".to_owned();
    let mut line = |id: &str, meaning: &str| {
        writeln!(text, "  {id:width$}  {meaning}").expect("a String takes everything");
    };
    for cause in Cause::ALL {
        line(cause.id(), cause.explanation());
    }
    text.push_str("\nFindings, with the threshold of each:\n");
    for kind in KINDS {
        writeln!(text, "  {:width$}  {}", kind.id, kind.threshold).expect("a String takes everything");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDE: Style = Style { color: false, width: None, rows: 0 };

    #[test]
    fn everything_that_has_an_id_is_explained() {
        for id in ids() {
            let text = of(id).unwrap_or_else(|| panic!("{id} is not explained"));
            assert!(text.starts_with(id) && text.len() > id.len() + 40 && !text.contains("###"), "{text}");
        }
        assert_eq!((of("no_such_cause"), page("no_such_cause", WIDE)), (None, None));
        assert_eq!(list().lines().count(), ids().count() + 3);
    }

    #[test]
    fn a_cause_has_its_usual_impact_and_commands_that_are_right() {
        for cause in Cause::ALL {
            let text = page(cause.id(), WIDE).unwrap_or_else(|| panic!("{cause:?}"));
            assert!(text.contains("\nUsual impact: ") && text.contains("\nExamples:\n"), "{text}");
            let filter = text.split("--filter '").nth(1).and_then(|rest| rest.split('\'').next()).expect("a filter");
            filter.parse::<crate::filter::Filter>().unwrap_or_else(|error| panic!("{error}"));
            let impact = usual_impact(*cause);
            assert!(Impact::ALL.iter().any(|word| impact.starts_with(word.as_str())), "{impact}");
        }
    }

    /// Each cause has a connection that shows it; `tests/tests/looks.rs` asks the program for the same.
    #[test]
    fn every_cause_has_its_look() {
        for cause in Cause::ALL {
            let id = cause.id();
            let look = look(id).unwrap_or_else(|| panic!("{id} shows no connection"));
            assert!(look.command.starts_with("rstprobe explain -r tests/cases/"), "{id}: {}", look.command);
            assert!((1..=10).contains(&look.ladder.lines().count()), "{id}: {}", look.ladder);
            assert!(!of(id).expect("a section").contains("-->"), "{id}: its prose is prose");
            let narrow = page(id, Style { width: Some(80), ..WIDE }).expect("a page");
            assert!(narrow.lines().all(|line| line.chars().count() <= 80 || !line.trim().contains(' ')), "{narrow}");
            let shown = page(id, WIDE).expect("a page");
            assert!(shown.contains(&look.ladder) && shown.contains("\nUsual impact: "), "{shown}");
        }
        assert_eq!((look("syn_flood"), look("no_such_cause")), (None, None));
    }

    #[test]
    fn facts_and_words_have_pages() {
        let mark = page("rst.mark", WIDE).expect("a fact");
        assert!(
            mark.starts_with("rst.mark: a fact") && mark.contains("\n  ttl_differs ") && mark.contains("ip_id_jump"),
            "{mark}"
        );
        assert!(!page("rst.idle_ms", WIDE).expect("a fact").contains("Values:"));
        assert!(page("request_lost", WIDE).expect("a word").contains("'impact = request_lost'"));
        assert!(page("medium", WIDE).expect("a word").contains("rivals remain"));
    }
}

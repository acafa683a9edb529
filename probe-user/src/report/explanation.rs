//! Explanations: the sections of the documentation on causes and findings, by id.
//!
//! Must not know: connections.

use std::fmt::Write as _;

use crate::{findings::KINDS, record::Cause};

const PAGES: [&str; 2] = [include_str!("../../docs/causes.md"), include_str!("../../docs/findings.md")];

/// What the documentation says of a cause or a kind of finding, without its heading's mark; `None` where there is no such.
pub fn of(id: &str) -> Option<String> {
    PAGES.iter().find_map(|page| section(page, id))
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

    #[test]
    fn everything_that_has_an_id_is_explained() {
        for id in ids() {
            let text = of(id).unwrap_or_else(|| panic!("{id} is not explained"));
            assert!(text.starts_with(id) && text.len() > id.len() + 40 && !text.contains("###"), "{text}");
        }
        assert_eq!(of("no_such_cause"), None);
        assert_eq!(list().lines().count(), ids().count() + 3);
    }
}

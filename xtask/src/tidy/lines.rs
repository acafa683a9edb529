//! Rules on single Rust files: size, module doc, SAFETY comments, and words that have no place in finished code.

use super::{Finding, source::Source};

const LONGEST: usize = 500;

/// Notes to oneself; put together here, so that this file passes its own rule.
const NOTES: [&str; 2] = [concat!("FIX", "ME"), concat!("X", "XX")];

/// First words of a module doc that say nothing which one could search for.
const VAGUE: [&str; 15] = [
    "What", "Which", "Who", "Whom", "Whose", "Where", "When", "Why", "How", "Whether", "It", "They", "This", "These",
    "That",
];

/// The standard library's own names for what collections do.
const STANDARD: [&str; 2] = ["get_mut", "get_or_insert_with"];

/// All of them.
pub(super) fn check(source: &Source<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut found = |line: usize, why: String| findings.push(Finding { path: source.path.to_owned(), line, why });
    if source.lines.len() > LONGEST {
        found(LONGEST + 1, format!("{} lines, {LONGEST} is the stop: split the file", source.lines.len()));
    }
    if !has_module_doc(&source.lines) {
        found(1, "no module doc (`//!`): what is this file for?".to_owned());
    } else if let Some(word) = vague_beginning(&source.lines) {
        found(
            1,
            format!(
                "the module doc begins with `{word}`: begin with what the module is or does, as one would search for it"
            ),
        );
    }
    if source.path.rsplit('/').next().is_some_and(|name| ["util.rs", "utils.rs"].contains(&name)) {
        found(0, "name the file by what it holds".to_owned());
    }
    for (index, (line, code)) in source.lines.iter().zip(&source.code).enumerate() {
        if is_unsafe_code(code) && !has_safety_comment(source, index) {
            found(index + 1, "unsafe without a SAFETY comment right above: who guarantees it?".to_owned());
        }
        if is_bare_allow(source, index) {
            found(index + 1, "`allow` without `reason = \"...\"`".to_owned());
        }
        if let Some(note) = NOTES.iter().find(|note| has_word(line, note)) {
            found(index + 1, format!("{note}: finish it, or say it in an issue"));
        }
        for why in unfinished(code).chain(misnamed(code)) {
            found(index + 1, why);
        }
    }
    findings
}

fn has_module_doc(lines: &[&str]) -> bool {
    let mut reported = lines.iter().map(|line| line.trim()).filter(|line| !line.is_empty() && !line.starts_with("#!["));
    reported.next().is_some_and(|line| line.starts_with("//!"))
}

/// The first word of the module doc, when it is a pronoun or a question word.
fn vague_beginning(lines: &[&str]) -> Option<&'static str> {
    let doc = lines.iter().find_map(|line| line.trim().strip_prefix("//!"))?;
    let first = doc.split_whitespace().next()?;
    VAGUE.into_iter().find(|&word| word == first)
}

/// `unsafe {` and `unsafe impl`. An `unsafe fn` states its conditions in its own doc, which clippy asks for.
fn is_unsafe_code(code: &str) -> bool {
    let mut rest = code;
    while let Some(at) = word_in(rest, "unsafe") {
        rest = &rest[at + "unsafe".len()..];
        let after = rest.trim_start();
        if after.is_empty() || after.starts_with('{') || after.starts_with("impl") {
            return true;
        }
    }
    false
}

/// The comment is on the line itself, or above the statement that the line belongs to.
fn has_safety_comment(source: &Source<'_>, index: usize) -> bool {
    let says = |line: usize| source.lines[line].contains("SAFETY:");
    if says(index) {
        return true;
    }
    for line in (0..index).rev() {
        let (text, code) = (source.lines[line].trim(), source.code[line].trim());
        if text.starts_with("//") && says(line) {
            return true;
        }
        let goes_on = !text.is_empty() && !code.ends_with([';', '{', '}']);
        let opens_macro = code.ends_with("=> {{") || code.ends_with("=> {");
        if !goes_on || opens_macro {
            return false;
        }
    }
    false
}

fn is_bare_allow(source: &Source<'_>, index: usize) -> bool {
    let code = source.code[index].replace(' ', "");
    if !code.contains("#[allow(") && !code.contains("#![allow(") {
        return false;
    }
    let mut attribute = String::new();
    for code in &source.code[index..] {
        attribute.push_str(&code.replace(' ', ""));
        if code.contains(")]") {
            break;
        }
    }
    !attribute.contains("reason=")
}

fn unfinished(code: &str) -> impl Iterator<Item = String> {
    let squeezed = code.replace(' ', "");
    let words = ["todo!", "unimplemented!"].into_iter().filter(|word| word_in(&squeezed, word).is_some());
    let found: Vec<String> = words.map(|word| format!("`{word}`: finish it")).collect();
    let ignored = squeezed.contains("#[ignore").then(|| "a test that does not run is no test".to_owned());
    found.into_iter().chain(ignored)
}

/// Names that say nothing, where they are given.
fn misnamed(code: &str) -> impl Iterator<Item = String> {
    let words: Vec<&str> = code.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty()).collect();
    let mut found = Vec::new();
    for pair in words.windows(2) {
        match (pair[0], pair[1]) {
            ("fn", name) if name.starts_with("get_") && !STANDARD.contains(&name) => {
                found.push(format!("`{name}`: drop the `get_`"));
            }
            ("struct" | "enum" | "trait" | "type" | "mod", name) if name.contains("Manager") => {
                found.push(format!("`{name}`: say what it does, not that it manages"));
            }
            ("mod", name @ ("util" | "utils")) => found.push(format!("`{name}`: name the module by what it holds")),
            _ => {}
        }
    }
    found.into_iter()
}

fn has_word(line: &str, word: &str) -> bool {
    let mut rest = line;
    while let Some(at) = word_in(rest, word) {
        rest = &rest[at + word.len()..];
        if !rest.starts_with(|c: char| c.is_alphanumeric() || c == '_') {
            return true;
        }
    }
    false
}

/// Where `word` starts in the text, not in the middle of another word.
fn word_in(text: &str, word: &str) -> Option<usize> {
    let inner = |c: char| c.is_alphanumeric() || c == '_';
    text.match_indices(word).map(|(at, _)| at).find(|&at| !text[..at].ends_with(inner))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(text: &str) -> Vec<(usize, String)> {
        let text = format!("//! Doc.\n{text}");
        check(&Source::new("probe-user/src/x.rs", &text)).into_iter().map(|f| (f.line - 1, f.why)).collect()
    }

    fn lines(text: &str) -> Vec<usize> {
        found(text).into_iter().map(|(line, _)| line).collect()
    }

    #[test]
    fn unsafe_needs_its_comment() {
        assert_eq!(lines("fn f() {\n    unsafe { g() }\n}\n"), [2]);
        assert_eq!(lines("fn f() {\n    // SAFETY: g asks nothing.\n    unsafe { g() }\n}\n"), [0; 0]);
        assert_eq!(lines("// SAFETY: two\n// lines.\nlet a =\n    b(unsafe { g() });\n"), [0; 0]);
        assert_eq!(lines("// SAFETY: of a.\nlet a = unsafe { g() };\nlet b = unsafe { g() };\n"), [3]);
        assert_eq!(lines("#[unsafe(no_mangle)]\nunsafe fn f() {}\n// unsafe { }\n"), [0; 0]);
        assert_eq!(lines("unsafe impl Send for X {}\n"), [1]);
    }

    #[test]
    fn a_module_doc_begins_with_what_the_module_is() {
        let beginning = |doc: &str| check(&Source::new("probe-user/src/x.rs", doc)).len();
        assert_eq!(beginning("//! Admission: decides which flows get a slot.\n"), 0);
        assert_eq!(beginning("//! What gets room.\n"), 1);
        assert_eq!(beginning("//! It decides.\n"), 1);
        assert_eq!(beginning("//! Whatever comes is counted.\n"), 0, "another word");
    }

    #[test]
    fn allow_needs_a_reason() {
        assert_eq!(lines("#[allow(dead_code)]\nfn f() {}\n"), [1]);
        assert_eq!(lines("#[allow(\n    dead_code,\n    reason = \"later\"\n)]\nfn f() {}\n"), [0; 0]);
        assert_eq!(lines("#[expect(dead_code)]\n"), [0; 0]);
    }

    #[test]
    fn unfinished_work_is_found() {
        assert_eq!(lines("fn f() { todo!() }\nlet a = \"todo!()\";\nunimplemented!();\n#[ignore]\n"), [1, 3, 4]);
        assert_eq!(lines(&format!("// {}: later\nlet a = {}X;\n", NOTES[0], NOTES[1])), [1]);
    }

    #[test]
    fn empty_names_are_found_where_they_are_given() {
        assert_eq!(lines("fn get_key() {}\nmod utils;\nstruct FlowManager;\n"), [1, 2, 3]);
        assert_eq!(lines("fn get_mut() {}\nmap.get_entry(1);\nuse aya::MapManager;\n"), [0; 0]);
    }

    #[test]
    fn size_and_module_doc() {
        assert_eq!(lines(&"\n".repeat(LONGEST)), [LONGEST]);
        assert_eq!(check(&Source::new("a.rs", "fn f() {}\n")).len(), 1);
        assert_eq!(check(&Source::new("a.rs", "#![no_std]\n//! Doc.\n")).len(), 0);
        assert_eq!(check(&Source::new("utils.rs", "//! Doc.\n")).len(), 1);
    }
}

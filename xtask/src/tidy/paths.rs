//! Named paths: which paths a Rust file names, `use` trees spelled out, and paths in code with their first part looked up there.
//!
//! `use std::{fs, time}` and a later `time::Instant::now()` give `std::fs`, `std::time` and `std::time::Instant::now`.
//! `crate`, `self` and `super` are resolved from the place of the file. Macros keep their `!`.

use std::collections::BTreeMap;

use super::source::Source;

/// A path that the file names.
#[derive(Debug, PartialEq)]
pub(super) struct Named {
    /// From 0.
    pub(super) line: usize,
    /// Spelled out.
    pub(super) path: String,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Mark(char),
    /// `::`
    Of,
}

type Tokens = [(usize, Token)];

/// All of them, in the order of the file; in code only those of two parts or more, and macros.
pub(super) fn named(source: &Source<'_>) -> Vec<Named> {
    let tokens = tokens(source);
    let module = module_of(source.path);
    let (mut found, mut known, mut at) = (Vec::new(), BTreeMap::new(), 0);
    while at < tokens.len() {
        if tokens[at].1 == Token::Word("use".to_owned()) {
            at += 1;
            let mut leaves = Vec::new();
            use_tree(&tokens, &mut at, "", &mut leaves);
            for (line, path, local) in leaves {
                let path = absolute(&path, &module);
                known.insert(local, path.clone());
                found.push(Named { line, path });
            }
        } else if matches!(tokens[at].1, Token::Word(_)) {
            let line = tokens[at].0;
            if let Some(path) = in_code(&tokens, &mut at, &known) {
                found.push(Named { line, path: absolute(&path, &module) });
            }
        } else {
            at += 1;
        }
    }
    found
}

/// One branch of a `use` tree: (line, path, name it gets here).
fn use_tree(tokens: &Tokens, at: &mut usize, before: &str, leaves: &mut Vec<(usize, String, String)>) {
    let mut path = before.to_owned();
    let mut local = String::new();
    let mut line = tokens.get(*at).map_or(0, |token| token.0);
    while let Some((here, token)) = tokens.get(*at) {
        match token {
            Token::Word(word) if word == "as" => {
                *at += 1;
                local = word_at(tokens, *at);
            }
            Token::Word(word) if word == "self" && !path.is_empty() => {}
            Token::Word(word) => {
                line = *here;
                path = joined(&path, word);
                local.clone_from(word);
            }
            Token::Mark('*') => path = joined(&path, "*"),
            Token::Mark('{') => {
                *at += 1;
                return use_branches(tokens, at, &path, leaves);
            }
            Token::Of => {}
            Token::Mark(_) => break,
        }
        *at += 1;
    }
    if local.is_empty() {
        path.rsplit("::").next().unwrap_or_default().clone_into(&mut local);
    }
    if !path.is_empty() {
        leaves.push((line, path, local));
    }
}

fn use_branches(tokens: &Tokens, at: &mut usize, path: &str, leaves: &mut Vec<(usize, String, String)>) {
    while let Some((_, token)) = tokens.get(*at) {
        match token {
            Token::Mark('}') => {
                *at += 1;
                return;
            }
            Token::Mark(',') => *at += 1,
            Token::Mark(';') => return,
            _ => {
                let before = *at;
                use_tree(tokens, at, path, leaves);
                // Something that is no `use` tree: step over it rather than stay.
                *at = (*at).max(before + 1);
            }
        }
    }
}

/// The path that starts at `at`, its first part looked up; none when it is a single word.
fn in_code(tokens: &Tokens, at: &mut usize, known: &BTreeMap<String, String>) -> Option<String> {
    let first = word_at(tokens, *at);
    // A method or field of that name is no path.
    let of_value = *at > 0 && tokens[*at - 1].1 == Token::Mark('.');
    let mut path = known.get(&first).cloned().unwrap_or(first);
    let mut parts = 1;
    *at += 1;
    while let [(_, Token::Of), (_, Token::Word(word)), ..] = tokens.get(*at..).unwrap_or_default() {
        path = joined(&path, word);
        parts += 1;
        *at += 2;
    }
    let is_macro = matches!(tokens.get(*at..), Some([(_, Token::Mark('!')), (_, Token::Mark('(' | '[' | '{')), ..]));
    if is_macro {
        path.push('!');
    }
    (!of_value && (parts > 1 || is_macro)).then_some(path)
}

fn word_at(tokens: &Tokens, at: usize) -> String {
    match tokens.get(at) {
        Some((_, Token::Word(word))) => word.clone(),
        _ => String::new(),
    }
}

fn joined(path: &str, part: &str) -> String {
    if path.is_empty() { part.to_owned() } else { format!("{path}::{part}") }
}

fn tokens(source: &Source<'_>) -> Vec<(usize, Token)> {
    let mut tokens = Vec::new();
    for (number, line) in source.code.iter().enumerate() {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let (token, length) = if word > 0 {
                (Token::Word(rest[..word].to_owned()), word)
            } else if rest.starts_with("::") {
                (Token::Of, 2)
            } else {
                (Token::Mark(first), first.len_utf8())
            };
            tokens.push((number, token));
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

/// `probe-user/src/source/live.rs` is `crate::source::live`.
pub(super) fn module_of(path: &str) -> String {
    let inner = path.split_once("src/").map_or(path, |(_, inner)| inner).trim_end_matches(".rs");
    let parts = inner.split('/').filter(|part| !["mod", "lib", "main"].contains(part));
    std::iter::once("crate").chain(parts).collect::<Vec<_>>().join("::")
}

fn absolute(path: &str, module: &str) -> String {
    let (mut base, mut rest) = (module.to_owned(), path);
    let mut relative = false;
    loop {
        let (first, after) = rest.split_once("::").unwrap_or((rest, ""));
        match first {
            "self" => {}
            "super" => base.truncate(base.rfind("::").unwrap_or(base.len())),
            _ => break,
        }
        (relative, rest) = (true, after);
    }
    match (relative, rest) {
        (false, path) => path.to_owned(),
        (true, "") => base,
        (true, rest) => format!("{base}::{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Vec<(usize, String)> {
        named(&Source::new("probe-user/src/source/live.rs", text)).into_iter().map(|n| (n.line, n.path)).collect()
    }

    fn paths(text: &str) -> Vec<String> {
        of(text).into_iter().map(|(_, path)| path).collect()
    }

    #[test]
    fn use_trees_are_spelled_out() {
        let found = of("use std::{\n    fs,\n    time::{self, Instant as Now},\n};\nuse a::*;\n");
        let expected = [(1, "std::fs"), (2, "std::time"), (2, "std::time::Instant"), (4, "a::*")];
        assert_eq!(found, expected.map(|(line, path)| (line, path.to_owned())));
    }

    #[test]
    fn paths_in_code_are_looked_up() {
        assert_eq!(paths("use std::time;\nfn f() { time::Instant::now(); }")[1..], ["std::time::Instant::now"]);
        assert_eq!(paths("use x::Instant as Now;\nfn f() { Now::now(); }")[1..], ["x::Instant::now"]);
    }

    #[test]
    fn fields_and_single_words_are_no_paths() {
        assert_eq!(paths("fn f() { self.log(1); let log = 2; a != b; }"), [""; 0]);
        assert_eq!(paths("fn f() { println!(\"x\"); log::info!(\"std::fs\"); }"), ["println!", "log::info!"]);
    }

    #[test]
    fn relative_paths_become_absolute() {
        assert_eq!(paths("use super::super::report::Row;"), ["crate::report::Row"]);
        assert_eq!(paths("use self::x;\nuse crate::y;"), ["crate::source::live::x", "crate::y"]);
        assert_eq!(module_of("probe-user/src/source/mod.rs"), "crate::source");
    }

    #[test]
    fn strange_text_ends() {
        for text in ["use {", "use a::{b", "use a::{;", "use ::a;", "use", "}}}{{{", "use a::{(}", "use a as"] {
            of(text);
        }
    }
}

//! A Rust file as the rules read it: its lines as written, and the same lines with comments and literals blanked out.
//!
//! A scanner, not a parser: it knows where text is code and which code is for tests only, and nothing more.

/// One Rust file.
pub(super) struct Source<'a> {
    /// Path from the root of the repository.
    pub(super) path: &'a str,
    /// Lines as written.
    pub(super) lines: Vec<&'a str>,
    /// The same lines, comments and the inside of literals blanked out.
    pub(super) code: Vec<String>,
    /// Whether the line is compiled for tests only.
    test: Vec<bool>,
}

impl<'a> Source<'a> {
    /// Reads a file.
    pub(super) fn new(path: &'a str, text: &'a str) -> Self {
        let blanked = blanked(text);
        let code: Vec<String> = blanked.lines().map(str::to_owned).collect();
        let test = test_lines(&blanked, path);
        Self { path, lines: text.lines().collect(), code, test }
    }

    /// Whether the line (from 0) is compiled for tests only.
    pub(super) fn is_test(&self, line: usize) -> bool {
        self.test.get(line).copied().unwrap_or(false)
    }
}

/// `text` with every character of comments and literals, but for line ends, replaced by a blank.
fn blanked(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at).max(at);
        if end == at {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        let end = end.min(chars.len());
        out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        at = end;
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself when none starts there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let next = |n: usize| chars.get(at + n).copied().unwrap_or('\0');
    let in_word = at > 0 && (chars[at - 1].is_alphanumeric() || chars[at - 1] == '_');
    match (chars[at], next(1)) {
        ('/', '/') => (at..chars.len()).find(|&i| chars[i] == '\n').unwrap_or(chars.len()),
        ('/', '*') => block_comment_end(chars, at),
        ('"', _) => quoted_end(chars, at + 1, '"'),
        ('\'', '\\') => quoted_end(chars, at + 1, '\''),
        // Without a quote after one character it is a lifetime.
        ('\'', _) if next(2) == '\'' => at + 3,
        ('r', '"' | '#') if !in_word => raw_end(chars, at + 1).unwrap_or(at),
        ('b' | 'c', 'r') if !in_word => raw_end(chars, at + 2).unwrap_or(at),
        _ => at,
    }
}

fn block_comment_end(chars: &[char], at: usize) -> usize {
    let (mut depth, mut i) = (0, at);
    while i < chars.len() {
        match (chars[i], chars.get(i + 1)) {
            ('/', Some('*')) => (depth, i) = (depth + 1, i + 2),
            ('*', Some('/')) => (depth, i) = (depth - 1, i + 2),
            _ => i += 1,
        }
        if depth == 0 {
            return i;
        }
    }
    i
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut i = from;
    while i < chars.len() && chars[i] != quote {
        i += if chars[i] == '\\' { 2 } else { 1 };
    }
    i + 1
}

/// `at` is where the hashes of a raw string would start.
fn raw_end(chars: &[char], at: usize) -> Option<usize> {
    let hashes = chars[at..].iter().take_while(|&&c| c == '#').count();
    if chars.get(at + hashes) != Some(&'"') {
        return None;
    }
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    let end = (at + hashes + 1..chars.len()).find(|&i| closes(i));
    Some(end.map_or(chars.len(), |i| i + 1 + hashes))
}

/// Files of tests, and items under `#[cfg(test)]`.
fn test_lines(code: &str, path: &str) -> Vec<bool> {
    let whole = path.ends_with("/tests.rs") || path.contains("/tests/") || path.starts_with("tests/");
    let mut lines = vec![whole; code.lines().count()];
    for (start, _) in code.match_indices("#[cfg(test)]") {
        let end = item_end(code, start);
        let line = |at: usize| code[..at].matches('\n').count();
        let last = line(end).min(lines.len().saturating_sub(1));
        if let Some(part) = lines.get_mut(line(start)..=last) {
            part.fill(true);
        }
    }
    lines
}

/// The end of the item whose attributes start at `start`: its semicolon, or its closing brace.
fn item_end(code: &str, start: usize) -> usize {
    let mut depth = 0;
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'{' => depth += 1,
            b'}' if depth <= 1 => return at,
            b'}' => depth -= 1,
            b';' if depth == 0 => return at,
            _ => {}
        }
    }
    code.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blanked() {
        let text = "let a = \"// no \\\" end\"; // yes\nlet b = 'x'; /* a /* b */ c */ d";
        assert_eq!(blanked(text).split_whitespace().collect::<String>(), "leta=;letb=;d");
        assert_eq!(blanked(text).len(), text.len());
    }

    #[test]
    fn raw_strings_and_lifetimes_are_told_apart() {
        let text = "f::<'a>(r#\"quote \" in\"#, b'\\'', br\"x\", 'static)";
        assert_eq!(blanked(text).split_whitespace().collect::<String>(), "f::<'a>(,b,,'static)");
        assert_eq!(blanked("var\"x\"").trim(), "var");
    }

    #[test]
    fn test_modules_are_known() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n  fn b() { }\n}\nfn c() {}\n#[cfg(test)]\nmod d;\nfn e() {}\n";
        let source = Source::new("probe-user/src/x.rs", text);
        let test: Vec<_> = (0..9).filter(|&line| source.is_test(line)).collect();
        assert_eq!(test, [1, 2, 3, 4, 6, 7]);
        assert!(Source::new("probe-user/src/x/tests.rs", text).is_test(0));
    }
}

//! Printable text: escapes what a terminal or the reader of a log would obey instead of show.
//!
//! Names of files and interfaces, what processes call themselves, and what is typed may hold any character: one that moves
//! the cursor, hides what follows, begins a line of its own, or turns the direction of writing (CVE-2021-42574), so that
//! another text is read than is there. Everything from outside goes through here before it is text for people; in JSON the
//! same characters are `\u` escapes, and the value stays what it is.

pub mod json;
pub mod shell;

use std::{borrow::Cow, path::Path};

/// True for a character that is not to be written as it is: controls (also DEL and C1), and what is not seen and changes
/// how the rest is: marks and overrides of direction, characters without width, separators of lines, tags.
pub fn is_escaped(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180b}'..='\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{fe00}'..='\u{fe0f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e0fff}'
        )
        // Stands for no character (the last two of each plane).
        || character as u32 & 0xfffe == 0xfffe
}

/// A name or value from outside within a line: `\n`, `\u{1b}`, `\u{202e}` for what is not to be written.
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, |_| false)
}

/// Text of several lines, whose own line feeds stay.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped_but(text, |character| character == '\n')
}

/// A path; what in it is no UTF-8 is `\u{fffd}`.
pub fn path(path: &Path) -> String {
    escaped(&path.to_string_lossy()).into_owned()
}

fn escaped_but(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_changed = |character: char| is_escaped(character) && !stays(character);
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) || !text.contains(is_changed) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_changed(character) {
            escaped.extend(character.escape_default());
        } else {
            escaped.push(character);
        }
    }
    Cow::Owned(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown() {
        for (text, shown) in [
            ("eth0", "eth0"),
            ("Büro-Netz 東京", "Büro-Netz 東京"),
            ("a\x1b[2Jb", "a\\u{1b}[2Jb"),
            ("a\nrstprobe: all is well", "a\\nrstprobe: all is well"),
            ("a\rb\tc\x07d\x7fe", "a\\rb\\tc\\u{7}d\\u{7f}e"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("gnp.\u{202e}pacp", "gnp.\\u{202e}pacp"),
            ("a\u{2066}b\u{2069}\u{200b}\u{feff}\u{e0041}", "a\\u{2066}b\\u{2069}\\u{200b}\\u{feff}\\u{e0041}"),
        ] {
            assert_eq!(escaped(text), shown);
        }
        assert_eq!(lines("a\n\tb\n\x1b[0m"), "a\n\\tb\n\\u{1b}[0m");
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_is_escaped_is_left(text in ".*") {
            proptest::prop_assert!(!escaped(&text).contains(is_escaped));
            proptest::prop_assert!(!lines(&text).contains(|character| is_escaped(character) && character != '\n'));
        }
    }
}

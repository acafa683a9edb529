//! Text for terminals: whatever comes in, nothing that a terminal obeys comes out, and JSON means what it meant.

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use probe_user::printable::{self, is_escaped, json, shell};

/// The target.
///
/// # Panics
/// When a character is left that is not to be shown.
pub fn run(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let path = Path::new(OsStr::from_bytes(bytes));
    for shown in [printable::escaped(&text).into_owned(), printable::path(path), shell::word(&text), shell::path(path)]
    {
        assert_one_line(&shown);
    }
    let lines = printable::lines(&text);
    assert!(!lines.contains(|character| is_escaped(character) && character != '\n'), "{lines:?}");
    assert_eq!(lines.lines().count(), text.lines().count(), "lines are neither made nor lost");
    let line = json::line(&text).expect("text is JSON");
    assert_one_line(&line);
    assert_eq!(serde_json::from_str::<String>(&line).expect("JSON"), text);
    let mut pushed = String::new();
    json::push_string(&mut pushed, &text);
    assert_eq!(pushed, line);
}

/// No character in the text that is not to be shown as it is.
///
/// # Panics
/// When there is one.
pub fn assert_one_line(text: &str) {
    assert!(!text.contains(is_escaped), "{text:?}");
}

//! Shell: words as sh takes them, whatever is in them, to be pasted.

use std::{fmt::Write as _, os::unix::ffi::OsStrExt as _, path::Path};

use super::is_escaped;

/// A word as the shell takes it.
pub fn word(word: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+:,@%=".contains(&byte);
    if !word.is_empty() && word.bytes().all(is_plain) {
        word.to_owned()
    } else if word.contains(is_escaped) {
        by_numbers(word.as_bytes())
    } else {
        format!("'{}'", word.replace('\'', "'\\''"))
    }
}

/// A file's name as the shell takes it, and no program for an option.
pub fn path(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    let before = if bytes.starts_with(b"-") && bytes != b"-" { "./" } else { "" };
    match path.to_str() {
        Some(name) => word(&format!("{before}{name}")),
        None => by_numbers(&[before.as_bytes(), bytes].concat()),
    }
}

/// By printf(1), with the number of every byte that no terminal is to be sent; a line feed at the very end is lost to it.
fn by_numbers(bytes: &[u8]) -> String {
    let mut word = "\"$(printf -- '".to_owned();
    for &byte in bytes {
        match byte {
            b'%' => word.push_str("%%"),
            b' '..=b'~' if !b"\\'".contains(&byte) => word.push(byte.into()),
            _ => write!(word, "\\{byte:03o}").expect("a String takes everything"),
        }
    }
    word + "')\""
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, process::Command};

    use super::*;

    #[test]
    fn words_are_quoted_where_they_need_it() {
        assert_eq!(path(Path::new("/var/tmp/a-1.pcap")), "/var/tmp/a-1.pcap");
        assert_eq!(path(Path::new("-")), "-");
        assert_eq!(path(Path::new("-x.pcap")), "./-x.pcap");
        assert_eq!(word("it's $HOME"), "'it'\\''s $HOME'");
        assert_eq!(word(""), "''");
        assert_eq!(path(Path::new("a\u{1b}[2J%'.pcap")), r#""$(printf -- 'a\033[2J%%\047.pcap')""#);
    }

    /// The shell itself is asked.
    #[test]
    fn the_shell_takes_a_name_as_what_it_is() {
        let names: [&[u8]; 9] = [
            b"plain.pcap",
            b"-x.pcap",
            b"-x y.pcap",
            b"it's \"quoted\" $HOME `id`.pcap",
            b"a;b&c|d>e*?[f]~#!.pcap",
            b"a\nb\tc\x1b[2J\\n%s.pcap",
            b"gnp.\xe2\x80\xaepacp",
            b"\xff\xfe not UTF-8 '.pcap",
            b"B\xc3\xbcro \xe6\x9d\xb1.pcap",
        ];
        for name in names {
            let script = format!("printf %s {}", path(Path::new(OsStr::from_bytes(name))));
            let said = Command::new("sh").args(["-c", &script]).output().expect("a shell").stdout;
            let bare = said.strip_prefix(b"./").filter(|_| name.starts_with(b"-")).unwrap_or(&said);
            assert_eq!(bare, name, "{script}");
            assert!(!script.contains(is_escaped), "{script:?}");
        }
    }
}

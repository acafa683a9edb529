//! JSON text: values written so that no character in them is obeyed by a terminal. JSON itself escapes the first 32 only; the
//! others of [`is_escaped`] are escaped alike here, so that a reader of JSON gets the value as it was.

use std::{fmt::Write as _, io};

use serde::Serialize;
use serde_json::ser::{CharEscape, CompactFormatter, Formatter, PrettyFormatter, Serializer};

use super::is_escaped;

/// On one line.
///
/// # Errors
/// As [`serde_json::to_string`].
pub fn line(value: &impl Serialize) -> serde_json::Result<String> {
    let mut text = Vec::with_capacity(512);
    value.serialize(&mut Serializer::with_formatter(&mut text, Printable(CompactFormatter)))?;
    String::from_utf8(text).map_err(serde::ser::Error::custom)
}

/// Appends a string, quotes included, as [`line`] has it.
pub fn push_string(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => out.extend(['\\', character]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            _ if is_escaped(character) => {
                for unit in character.encode_utf16(&mut [0; 2]) {
                    // Writing to a String cannot fail.
                    let _infallible = write!(out, "\\u{unit:04x}");
                }
            }
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// Indented, into a writer.
///
/// # Errors
/// What writing says.
pub fn write_indented(into: impl io::Write, value: &impl Serialize) -> serde_json::Result<()> {
    value.serialize(&mut Serializer::with_formatter(into, Printable(PrettyFormatter::new())))
}

/// Lays out as another formatter does, and escapes more.
struct Printable<F>(F);

impl<F: Formatter> Formatter for Printable<F> {
    fn write_string_fragment<W: ?Sized + io::Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        // Without an early end, so that many bytes are looked at together.
        if fragment.bytes().fold(0, u8::max) < 0x7f {
            return self.0.write_string_fragment(writer, fragment);
        }
        let mut rest = fragment;
        while let Some(character) = rest.chars().find(|&character| is_escaped(character)) {
            let Some((before, after)) = rest.split_once(character) else { break };
            self.0.write_string_fragment(writer, before)?;
            for unit in character.encode_utf16(&mut [0; 2]) {
                write!(writer, "\\u{unit:04x}")?;
            }
            rest = after;
        }
        self.0.write_string_fragment(writer, rest)
    }

    fn write_char_escape<W: ?Sized + io::Write>(&mut self, writer: &mut W, escape: CharEscape) -> io::Result<()> {
        self.0.write_char_escape(writer, escape)
    }

    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_array(writer)
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array(writer)
    }

    fn begin_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_array_value(writer, first)
    }

    fn end_array_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_array_value(writer)
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object(writer)
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object(writer)
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.0.begin_object_key(writer, first)
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.begin_object_value(writer)
    }

    fn end_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.0.end_object_value(writer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::any;
    use serde_json::{Value, json};

    use super::*;

    fn both(value: &Value) -> [String; 2] {
        let mut indented = Vec::new();
        write_indented(&mut indented, value).expect("written");
        [line(value).expect("text"), String::from_utf8(indented).expect("UTF-8")]
    }

    #[test]
    fn directions_and_controls_are_escapes() {
        let value = json!({"na\u{202e}me": ["a\u{1b}[2J\u{9b}\u{7f}é\u{e0041}", "\u{2066}"]});
        assert_eq!(
            line(&value).expect("text"),
            "{\"na\\u202eme\":[\"a\\u001b[2J\\u009b\\u007fé\\udb40\\udc41\",\"\\u2066\"]}"
        );
    }

    proptest::proptest! {
        #[test]
        fn values_stay_what_they_are_and_lines_look_as_ever(name in ".*", text in any::<String>(), number in 0..1000_u32) {
            let value = json!({name: [text, number, null, [], {}, {"a": [1, 2.5]}], "b": true});
            let is_plain = !value.to_string().contains(is_escaped);
            for (text, other) in both(&value).iter().zip([value.to_string(), format!("{value:#}")]) {
                proptest::prop_assert_eq!(&serde_json::from_str::<Value>(text).expect("JSON"), &value);
                proptest::prop_assert!(!text.contains(|character| is_escaped(character) && character != '\n'));
                proptest::prop_assert!(!is_plain || text == &other);
            }
            let mut pushed = String::new();
            push_string(&mut pushed, &text);
            proptest::prop_assert_eq!(pushed, line(&text).expect("text"));
        }
    }
}

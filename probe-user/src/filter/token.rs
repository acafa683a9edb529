//! Tokens: words, signs and quoted text of an expression, with their places.

use std::ops::Range;

use super::{error::FilterError, other_tools::of_header_bytes};

/// What a token is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind<'a> {
    /// A field, a keyword, a name, a number, a time, an address.
    Word(&'a str),
    /// What stood between quotes.
    Quoted(&'a str),
    /// One of [`SIGNS`].
    Sign(&'static str),
    /// Nothing more comes.
    End,
}

/// A token and the bytes that it was.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    pub(super) at: Range<usize>,
}

impl<'a> Kind<'a> {
    /// The word that it is.
    pub(super) fn word(self) -> Option<&'a str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }
}

impl Token<'_> {
    /// As it is named in errors.
    pub(super) fn name(&self) -> String {
        match self.kind {
            Kind::Word(word) => format!("`{word}`"),
            Kind::Quoted(text) => format!("the text \"{text}\""),
            Kind::Sign(sign) => format!("`{sign}`"),
            Kind::End => "the end".to_owned(),
        }
    }
}

/// Longer ones before those that they begin with.
const SIGNS: [&str; 13] = ["&&", "||", "==", "!=", "<=", ">=", "=", "<", ">", "!", "(", ")", ","];
/// Signs of sets.
const BRACES: [&str; 2] = ["{", "}"];

/// All tokens of a text, [`Kind::End`] last.
///
/// # Errors
/// A character that belongs to no token, or a quote without its other half.
pub(super) fn tokens(text: &str) -> Result<Vec<Token<'_>>, FilterError> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        let rest = &text[at..];
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (kind, len) = if is_of_word(first) {
            let len = rest.find(|c| !is_of_word(c)).unwrap_or(rest.len());
            (Kind::Word(&rest[..len]), len)
        } else if let Some(sign) = SIGNS.iter().chain(&BRACES).find(|sign| rest.starts_with(**sign)) {
            (Kind::Sign(sign), sign.len())
        } else if first == '"' || first == '\'' {
            let Some(len) = rest[1..].find(first) else {
                return Err(FilterError::new(text, at..text.len(), format!("the text has no closing {first}")));
            };
            (Kind::Quoted(&rest[1..=len]), len + 2)
        } else {
            let what = match first {
                '&' if of_header_bytes(text).is_some() => {
                    format!(
                        "bytes of headers are no fields; here that is `{}`",
                        of_header_bytes(text).unwrap_or_default()
                    )
                }
                '&' => "`&` is not known; write `and`".to_owned(),
                '|' => "`|` is not known; write `or`".to_owned(),
                '~' => "`~` is not known; write `contains`".to_owned(),
                other => format!("{other:?} has no meaning here; text with other characters goes between quotes"),
            };
            return Err(FilterError::new(text, at..at + first.len_utf8(), what));
        };
        tokens.push(Token { kind, at: at..at + len });
        at += len;
    }
    tokens.push(Token { kind: Kind::End, at: at..at });
    Ok(tokens)
}

/// Characters of names, numbers, addresses, prefixes and points in time.
fn is_of_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '/' | '-' | '+' | '%' | '^' | '[' | ']')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<Kind<'_>> {
        tokens(text).expect("tokens").into_iter().map(|token| token.kind).collect()
    }

    #[test]
    fn blanks_are_needed_between_words_only() {
        use Kind::{End, Sign, Word};
        let expected = [Word("rst.count"), Sign(">="), Word("3"), Sign("&&"), Sign("!"), Sign("("), Word("ip"), End];
        assert_eq!(kinds("rst.count>=3&&!(ip"), expected);
        assert_eq!(kinds("fd00::/8 10.0.0.0/8"), [Word("fd00::/8"), Word("10.0.0.0/8"), End]);
    }

    #[test]
    fn quotes_keep_what_is_between_them() {
        assert_eq!(kinds("'a \"b' \"\""), [Kind::Quoted("a \"b"), Kind::Quoted(""), Kind::End]);
    }

    #[test]
    fn what_belongs_to_no_token_is_told() {
        for (text, at) in [("a é", 2..4), ("a & b", 2..3), ("'a", 0..2), ("é", 0..2)] {
            assert_eq!(tokens(text).expect_err(text).at(), at, "{text}");
        }
    }
}

//! Visible text: replaces characters that cannot be seen, or that turn the direction of writing, by their numbers.
//!
//! Names, notes and texts of RSTs come from the network: an override (U+202E) would write the rest of a line backwards, and an
//! escape sequence would reach the terminal of whoever prints the page there.

/// The text with every such character written as `\u{202e}`; line feeds stay.
pub(crate) fn visible(page: String) -> String {
    if !page.contains(is_hidden) {
        return page;
    }
    let mut out = String::with_capacity(page.len() + 64);
    for letter in page.chars() {
        if is_hidden(letter) {
            out.extend(letter.escape_unicode());
        } else {
            out.push(letter);
        }
    }
    out
}

/// Control characters (Unicode Cc), format characters that are written nowhere (Cf), separators of lines and paragraphs,
/// variation selectors, tags, and what stands for nothing (U+FFF9 to U+FFFB and noncharacters at the end of a plane).
fn is_hidden(letter: char) -> bool {
    if letter == '\n' {
        return false;
    }
    letter.is_control()
        || matches!(letter,
            '\u{ad}' | '\u{61c}' | '\u{180b}'..='\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e0fff}')
        || letter as u32 & 0xfffe == 0xfffe
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_is_written_out_and_the_rest_stays() {
        assert_eq!(visible("a – é\n".to_owned()), "a – é\n");
        let hidden = "x\u{202e}y\u{1b}[31m\u{0}\u{85}\u{2066}\u{feff}\u{e0041}\u{ffff}z";
        let seen = r"x\u{202e}y\u{1b}[31m\u{0}\u{85}\u{2066}\u{feff}\u{e0041}\u{ffff}z";
        assert_eq!(visible(hidden.to_owned()), seen);
    }
}

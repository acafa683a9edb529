//! Prose that was written for wide lines, in lines that fit the terminal: paragraphs, lists and two columns.

use super::cells::{Style, wrapped};

/// A line at least so long, with the first word of the next, was broken for its length alone.
const BROKEN_AT: usize = 100;

/// The text in lines that fit the terminal; files and pipes get it as it is. Paragraphs are broken anew. An indented line
/// goes on below its second column, or a little further in. Code and tables in Markdown stay.
pub fn reflowed(text: &str, style: Style) -> String {
    if style.width.is_none() {
        return text.to_owned();
    }
    let mut out = String::new();
    let mut paragraph = String::new();
    let (mut last_length, mut is_code) = (0, false);
    for line in text.lines() {
        let is_fence = line.starts_with("```");
        if is_fence || is_code || line.starts_with(['|', '#']) {
            flush(&mut out, &mut paragraph, style);
            is_code ^= is_fence;
            out.push_str(line);
            out.push('\n');
        } else if goes_on(&paragraph, line, last_length) {
            paragraph.push(' ');
            paragraph.push_str(line.trim_start());
        } else {
            flush(&mut out, &mut paragraph, style);
            paragraph.push_str(line);
            if line.is_empty() {
                out.push('\n');
            }
        }
        last_length = line.chars().count();
    }
    flush(&mut out, &mut paragraph, style);
    out
}

/// Whether the line belongs to the paragraph before it.
fn goes_on(paragraph: &str, line: &str, last_length: usize) -> bool {
    let first_word = line.trim_start().split(' ').next().unwrap_or_default();
    let is_item = |text: &str| text.starts_with("* ") || text.starts_with("- ");
    let is_further_in = line.starts_with(' ') && !is_item(paragraph);
    !paragraph.is_empty()
        && !paragraph.starts_with(' ')
        && !first_word.is_empty()
        && !is_item(line)
        && !is_further_in
        && last_length + 1 + first_word.chars().count() > BROKEN_AT
}

fn flush(out: &mut String, paragraph: &mut String, style: Style) {
    if !paragraph.is_empty() {
        out.push_str(&wrapped(paragraph, style, further_in(paragraph, style)));
        out.push('\n');
        paragraph.clear();
    }
}

/// Columns by which what goes on is further in than its line.
fn further_in(line: &str, style: Style) -> usize {
    let blanks = line.len() - line.trim_start().len();
    if blanks == 0 {
        return if line.starts_with("* ") || line.starts_with("- ") { 2 } else { 0 };
    }
    let second = line[blanks..].find("  ").map(|at| {
        let gap = &line[blanks + at..];
        line[blanks..blanks + at].chars().count() + gap.len() - gap.trim_start().len()
    });
    let most = style.width.map_or(0, usize::from) / 2;
    second.filter(|column| blanks + column <= most).unwrap_or(4)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::help, report::explanation};

    fn of(width: u16) -> Style {
        Style { width: Some(width), ..Style::default() }
    }

    #[test]
    fn paragraphs_are_broken_anew_and_other_lines_stay_lines() {
        let long = "word ".repeat(24);
        let text = format!("{}\nend.\nNext\n\n  key   one two three four five\n* item\n| a | b |\n", long.trim_end());
        let words = ["word"; 24].chunks(4).map(|four| four.join(" ")).collect::<Vec<_>>().join("\n");
        let expected =
            format!("{words}\nend.\nNext\n\n  key   one two\n        three four\n        five\n* item\n| a | b |\n");
        assert_eq!(reflowed(&text, of(20)), expected);
        assert_eq!(reflowed(&text, Style::default()), text);
    }

    #[test]
    fn topics_and_explanations_fit_the_terminal_and_lose_no_word() {
        let topics = help::names().into_iter().filter_map(|name| help::on(&name));
        let explanations = explanation::ids().filter_map(explanation::of);
        for text in topics.chain(explanations) {
            let narrow = reflowed(&text, of(80));
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            assert_eq!(words(&narrow), words(&text));
            let is_long =
                |line: &&str| line.chars().count() > 80 && line.trim().contains(' ') && !line.starts_with('|');
            assert_eq!(narrow.lines().find(is_long), None, "{narrow}");
        }
    }
}

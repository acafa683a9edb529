//! Inline code: text of the documentation and of findings, with what stands between backticks as code.

use maud::{Markup, html};

/// Code between backticks, and links as their text: what they lead to is not in the page.
pub(super) fn inline(text: &str) -> Markup {
    html! {
        @for (at, part) in text.split('`').enumerate() {
            @if at % 2 == 1 { code { (part) } } @else { (without_links(part)) }
        }
    }
}

fn without_links(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('[') {
        let Some((name, (_, end))) =
            after.split_once("](").and_then(|(name, link)| Some((name, link.split_once(')')?)))
        else {
            break;
        };
        out += before;
        out += name;
        rest = end;
    }
    out + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_become_their_text_and_backticks_code() {
        assert_eq!(without_links("see [causes.md](causes.md), and [this"), "see causes.md, and [this");
        assert_eq!(inline("run `ss -ltn <x>` there").into_string(), "run <code>ss -ltn &lt;x&gt;</code> there");
    }
}

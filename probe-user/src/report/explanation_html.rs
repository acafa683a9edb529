//! Explanation of one connection as one page: no scripts, nothing from elsewhere, light and dark, readable on a phone.
//!
//! Everything that is not of this file is escaped: captures may hold anything.

use std::fmt::{self, Write as _};

use super::{explanation, explanation_words as words, text};
use crate::{
    explain::{
        Explanation,
        ladder::{Ladder, Row},
    },
    printable,
    record::Cause,
};

const HEAD: &str = r#"<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="color-scheme" content="light dark">
<style>
:root { --ink: #1b1f24; --paper: #fff; --soft: #57606a; --line: #d0d7de; --shade: #f4f6f8; --red: #a40e26; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --paper: #0d1117; --soft: #9aa5b1; --line: #30363d; --shade: #161b22; --red: #ff8f86; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 75rem; color: var(--ink); background: var(--paper); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; line-height: 1.3; }
h2 { margin-top: 2rem; font-size: 1.1rem; }
code, pre, td.segment, td.state, td.number { font-family: ui-monospace, monospace; font-size: .9em; }
pre { margin: .25rem 0 1rem; padding: .5rem .75rem; background: var(--shade); border: 1px solid var(--line); white-space: pre-wrap; }
dl { margin: 0; }
dt { margin-top: .5rem; }
dd { margin: 0 0 0 1.25rem; color: var(--soft); }
.soft { color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
caption { text-align: left; color: var(--soft); padding-bottom: .5rem; }
th, td { padding: .2rem .6rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; white-space: nowrap; overflow-wrap: normal; }
td.number, th.number { text-align: right; }
td.note { white-space: normal; min-width: 10rem; }
tr.reset td { color: var(--red); font-weight: 600; }
@media print { pre { border: 0; } .scroll { overflow: visible; } }
</style>
"#;

/// The whole page.
pub fn page(explained: &Explanation) -> String {
    let mut out = HEAD.to_owned();
    let one = &explained.connection;
    let title = format!("{}: {} to {}", one.verdict.cause.id(), one.orig, one.resp);
    add(&mut out, format_args!("<title>{} - rstprobe</title>\n</head>\n<body>\n<main>\n", Escaped(&title)));
    verdict(&mut out, explained);
    facts(&mut out, explained);
    ladder(&mut out, explained);
    rivals(&mut out, explained);
    steps(&mut out, explained);
    out.push_str("</main>\n</body>\n</html>\n");
    printable::lines(&out).into_owned()
}

/// Text in which nothing is markup, also within an attribute in double quotes.
struct Escaped<T>(T);

impl<T: fmt::Display> fmt::Display for Escaped<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for letter in self.0.to_string().chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

/// Writing to a string cannot fail.
fn add(out: &mut String, arguments: fmt::Arguments<'_>) {
    out.write_fmt(arguments).expect("a String takes everything");
}

fn verdict(out: &mut String, explained: &Explanation) {
    let one = &explained.connection;
    let verdict = &one.verdict;
    add(out, format_args!("<h1>Connection {}: {} to {}</h1>\n", one.id, Escaped(one.orig), Escaped(one.resp)));
    add(
        out,
        format_args!(
            "<p><strong>{}</strong> ({} confidence), {}: {}.</p>\n<dl>\n",
            Escaped(verdict.cause.id()),
            Escaped(verdict.confidence),
            Escaped(words::reset_by(one)),
            Escaped(verdict.cause.explanation())
        ),
    );
    let mut row = |name: &str, value: String, meaning: &str| {
        add(out, format_args!("<dt>{}: <code>{}</code></dt>", Escaped(name), Escaped(value)));
        if !meaning.is_empty() {
            add(out, format_args!("<dd>{}</dd>", Escaped(meaning)));
        }
        out.push('\n');
    };
    row("Impact", verdict.impact.to_string(), words::impact(one));
    row("Started", text::timestamp(one.start_ns), "");
    row("Duration", text::duration(one.duration_ns), "");
    row("Opening", one.opening.to_string(), one.opening.meaning());
    row("Closing", one.closing.to_string(), one.closing.meaning());
    row("Zeek's conn_state and history", format!("{} {}", one.conn_state, one.history), one.conn_state.meaning());
    if let Some(recorded) = &explained.recorded {
        let otherwise = match explained.recorded_otherwise() {
            Some(_) => {
                "The frames alone that were kept give another cause; believe this one, which had seen all of them"
            }
            None => "",
        };
        row("When its frames were kept it was", recorded.clone(), otherwise);
    }
    out.push_str("</dl>\n");
    let id = verdict.cause.id();
    if let Some(about) = explanation::of(id) {
        out.push_str("<p>");
        // Between backquotes, as the documentation has it, is code.
        for (at, part) in about.trim_start_matches(id).trim().split('`').enumerate() {
            match at % 2 {
                0 => add(out, format_args!("{}", Escaped(part))),
                _ => add(out, format_args!("<code>{}</code>", Escaped(part))),
            }
        }
        out.push_str("</p>\n");
    }
}

fn facts(out: &mut String, explained: &Explanation) {
    let facts = &explained.connection.verdict.facts;
    if facts.is_empty() {
        return;
    }
    out.push_str("<h2>What the verdict rests on, weightiest first</h2>\n<dl>\n");
    for fact in facts {
        add(
            out,
            format_args!(
                "<dt><code>{} = {}</code></dt><dd>{}</dd>\n",
                Escaped(fact.name),
                Escaped(&fact.value),
                Escaped(words::meaning(fact))
            ),
        );
    }
    out.push_str("</dl>\n");
}

fn ladder(out: &mut String, explained: &Explanation) {
    let ladder = &explained.ladder;
    out.push_str("<h2 id=\"segments\">Segments</h2>\n");
    if ladder.rows.is_empty() {
        out.push_str("<p>No segment of it was kept.</p>\n");
        return;
    }
    out.push_str(
        "<div class=\"scroll\" role=\"region\" aria-labelledby=\"segments\" tabindex=\"0\">\n<table>\n<caption>States of both ends after each segment</caption>\n<thead><tr><th scope=\"col\" class=\"number\">ms</th>\
         <th scope=\"col\">from</th><th scope=\"col\">segment</th><th scope=\"col\">client</th><th scope=\"col\">server</th>\
         <th scope=\"col\">remarks</th></tr></thead>\n<tbody>\n",
    );
    let (first, left_out, last) = words::shown(ladder);
    for row in first {
        step(out, row, ladder);
    }
    if left_out > 0 {
        add(
            out,
            format_args!("<tr><td colspan=\"6\" class=\"soft\">{left_out} segments are left out here</td></tr>\n"),
        );
    }
    for row in last {
        step(out, row, ladder);
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    if ladder.beyond > 0 {
        add(out, format_args!("<p>{} later segments are not listed.</p>\n", ladder.beyond));
    }
    for sentence in words::completeness(ladder) {
        add(out, format_args!("<p>{}</p>\n", Escaped(sentence)));
    }
    add(out, format_args!("<p class=\"soft\">{}</p>\n", Escaped(words::STATES.join(" "))));
}

fn step(out: &mut String, row: &Row, ladder: &Ladder) {
    let [client, server] = row.states;
    add(
        out,
        format_args!(
            "<tr{}><td class=\"number\">{:.3}</td><td>{}</td><td class=\"segment\">{}</td><td class=\"state\">{}</td>\
             <td class=\"state\">{}</td><td class=\"note\">{}</td></tr>\n",
            if row.is_reset() { " class=\"reset\"" } else { "" },
            row.since_start_ns as f64 / 1e6,
            if row.from_client { "client \u{2192}" } else { "\u{2190} server" },
            Escaped(words::segment(row)),
            Escaped(client),
            Escaped(server),
            Escaped(words::notes(row, ladder)),
        ),
    );
}

fn rivals(out: &mut String, explained: &Explanation) {
    if explained.rivals.is_empty() {
        return;
    }
    out.push_str("<h2>Nearest rivals, and what speaks against each</h2>\n<dl>\n");
    for rival in &explained.rivals {
        let (id, meaning) = (rival.cause.id(), rival.cause.explanation());
        add(out, format_args!("<dt><code>{}</code>: {}</dt>\n", Escaped(id), Escaped(meaning)));
        for against in &rival.against {
            add(
                out,
                format_args!(
                    "<dd>against it: <code>{} = {}</code>: {}</dd>\n",
                    Escaped(against.fact),
                    Escaped(&against.value),
                    Escaped(against.says)
                ),
            );
        }
        if rival.against.is_empty() {
            out.push_str("<dd>nothing seen speaks against it</dd>\n");
        }
    }
    out.push_str("</dl>\n");
}

fn steps(out: &mut String, explained: &Explanation) {
    let heading = match explained.connection.verdict.cause {
        Cause::None => "Nothing to check; its packets",
        _ => "What to check next, in commands of Linux hosts",
    };
    add(out, format_args!("<h2>{heading}</h2>\n"));
    for step in &explained.steps {
        let place = step.place.words();
        add(
            out,
            format_args!(
                "<p>{}: {}</p>\n<pre><code>{}</code></pre>\n",
                Escaped(place),
                Escaped(step.why),
                Escaped(&step.command)
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        aggregate::tests::connection,
        explain::{
            Segments,
            ladder::Completeness,
            next_step::Neighbours,
            packets::{Files, Origin},
        },
        record::{Closing, Fact, Opening, Side, Value},
    };

    #[test]
    fn what_captures_hold_is_no_markup() {
        let side = Side { rst: 1, ..Side::default() };
        let mut one = connection("10.0.0.2:80", Opening::Completed, Closing::RstOnly, side, side);
        one.verdict.cause = Cause::Explained;
        one.verdict.facts =
            vec![Fact { name: "rst.text", value: Value::Text("<script>alert('1')</script>&\"".into()) }];
        let recorded = Some("<img src=x>".to_owned());
        let neighbours = Neighbours::default();
        let segments = Segments { seen: Vec::new(), beyond: 0, completeness: Completeness::Kept, neighbours, recorded };
        let origin = Origin::Files(Files { all: vec!["a <b>.pcap".to_owned()], ..Files::default() });
        let page = page(&Explanation::new(one, segments, &origin));
        assert!(!page.contains("<script") && !page.contains("<img") && !page.contains("a <b>"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;"), "{page}");
        assert!(page.contains("No segment of it was kept.") && page.contains("&lt;img src=x&gt;"), "{page}");
    }
}

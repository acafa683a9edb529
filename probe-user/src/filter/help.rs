//! Filter help: the language in words, for `--help`; its fields come from the table.

use std::fmt::Write as _;

use crate::record::{Field, Kind, field_table::FIELDS};

/// Column at which what a field means begins.
const MEANING: usize = 18;
/// Columns of a line: with what clap puts before it, no more than it would wrap.
const WIDTH: usize = 88;

const LANGUAGE: &str = "\
Comparisons, joined by and, or, not and parentheses (also && || !):

  rst.count > 0 and fin.count = 0              RST and no FIN
  rst.count > 0 and ct.count = 0               RST without a connection
  rst.count.srv > 0 and server.port in {80, 443, 8000..8999}
  cause = app_abort and confidence >= medium
  lossy and server = 192.0.2.7:443             lost a request, a response or part of a transfer of this server
  client = 10.0.0.0/8 and not server.ip in {10.0.0.0/8, fd00::/8}
  duration > 30s or idle_gap >= 5m
  history contains \"Rr\"

Relations: = (or ==), !=, <, <=, >, >=, in {A, B, FIRST..LAST}, not in, contains. ip and port are those of either side; \
ip != A means that neither is A. An address as it is printed, 192.0.2.7:443 or [2001:db8::1]:443, is that address and \
that port of one end. lossy alone is impact in {request_lost, response_lost, transfer_cut}. .clt and .srv are the client's and the server's, without them a count is the sum. What a \
record has no value of (idle_gap of one that was not idle) fits no comparison; not and not in turn that round. Bytes may have K, M, G or T, times have \
ns, us, ms, s, m, h or d.

Fields:
";

/// What a filter may be, with every field.
pub fn help() -> String {
    let mut text = LANGUAGE.to_owned();
    // Counts first: they are what most filters ask for.
    let is_count = |field: &&Field| matches!(field.kind, Kind::Sides(..));
    let (counts, others): (Vec<_>, Vec<_>) = FIELDS.iter().partition(is_count);
    for field in counts.into_iter().chain(others) {
        let names = format!("  {}", names(field));
        let is_long = names.len() >= MEANING;
        let first = if is_long { format!("{names}\n{:MEANING$}", "") } else { format!("{names:<MEANING$}") };
        text += &first;
        wrapped(&mut text, &meaning(field));
    }
    text.trim_end().to_owned()
}

/// Appends words in lines that begin below each other.
fn wrapped(text: &mut String, words: &str) {
    let mut column = MEANING;
    for (place, word) in words.split(' ').enumerate() {
        let is_over = column + 1 + word.len() > WIDTH;
        if is_over {
            write!(text, "\n{:MEANING$}", "").expect("a String takes everything");
            column = MEANING;
        } else if place > 0 {
            text.push(' ');
            column += 1;
        }
        text.push_str(word);
        column += word.len();
    }
    text.push('\n');
}

/// Its names in short: those of the sides are the same with an ending.
fn names(field: &Field) -> String {
    let [both, client, server] = field.names;
    match field.kind {
        Kind::Sides(..) if both.is_empty() => format!("{client}, {}", &server[server.rfind('.').unwrap_or(0)..]),
        Kind::Port | Kind::Address => [both, client, server].join(", "),
        Kind::Name(_) if !client.is_empty() => [both, client, server].join(", "),
        _ => both.to_owned(),
    }
}

fn meaning(field: &Field) -> String {
    let sides = if matches!(field.kind, Kind::Sides(..)) && !field.names[0].is_empty() { "; .clt, .srv" } else { "" };
    let values = match field.kind {
        Kind::Word(words) => {
            let all: Vec<_> = (words.all)().iter().map(|word| word.name).collect();
            format!(": {}", all.join(", "))
        }
        _ => String::new(),
    };
    format!("{}{sides}{values}", field.meaning)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{filter::Filter, record::field_table::all_names};

    #[test]
    fn every_example_of_the_help_is_one() {
        let examples = LANGUAGE.lines().filter(|line| line.starts_with("  "));
        let examples: Vec<_> = examples.map(|line| line.trim().split("   ").next().expect("a part")).collect();
        assert_eq!(examples.len(), 8);
        for example in examples {
            example.parse::<Filter>().unwrap_or_else(|error| panic!("{error}"));
        }
    }

    #[test]
    fn lines_are_no_longer_than_clap_leaves_them() {
        let help = help();
        let fields = help.lines().skip_while(|line| *line != "Fields:");
        let longest = fields.max_by_key(|line| line.len()).expect("fields");
        assert!(longest.len() <= WIDTH && help.lines().all(|line| line.trim_end() == line), "{longest}");
    }

    #[test]
    fn every_field_is_in_the_help() {
        let help = help();
        let of = |name: &str| name.trim_end_matches(".clt").trim_end_matches(".srv").to_owned();
        for name in all_names().filter(|name| !["state", "client_zone", "server_zone"].contains(name)) {
            assert!(help.contains(&of(name)), "{name}");
        }
    }
}

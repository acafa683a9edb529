//! `rstprobe show` and `rstprobe report`: one command for both sources, which is `read` with `-r FILE` and `snapshot` with
//! `-i IFACE`; and `explain`, which has a command of its own for interfaces.

use std::ffi::OsString;

use super::explain;

/// Words of a command line, the program's name first; those of `show` and `report` are turned into those of `read` or
/// `snapshot`. Files follow `-r` (`--read`), as many as there are until the next option.
pub fn expanded(words: Vec<OsString>) -> Vec<OsString> {
    match words.get(1) {
        Some(word) if word == "show" => {}
        Some(word) if word == "report" && is_whole_report(&words) => {}
        _ => return explain::expanded(words),
    }
    let (mut files, mut others, mut takes_files) = (Vec::new(), Vec::new(), false);
    for word in words.iter().skip(2) {
        let is_option = word != "-" && word.as_encoded_bytes().starts_with(b"-");
        if word == "-r" || word == "--read" {
            takes_files = true;
        } else if takes_files && !is_option {
            files.push(word.clone());
        } else {
            takes_files = false;
            others.push(word.clone());
        }
    }
    let command = if files.is_empty() && !takes_files { "snapshot" } else { "read" };
    let program = words.first().cloned().unwrap_or_default();
    [program, command.into()].into_iter().chain(others).chain(files).collect()
}

/// Whether a report has a source and a file to go to, and is not asked for its help; otherwise its own parser says what is
/// missing.
fn is_whole_report(words: &[OsString]) -> bool {
    let starts = |options: &[&str]| {
        let is_one = |word: &OsString| {
            options.iter().any(|option| {
                let (word, option) = (word.as_encoded_bytes(), option.as_bytes());
                // Short ones may have their value in the same word, long ones behind `=`.
                word.strip_prefix(option).is_some_and(|rest| rest.is_empty() || option.len() == 2 || rest[0] == b'=')
            })
        };
        words.iter().skip(2).any(is_one)
    };
    let asks_help = words.iter().any(|word| word == "-h" || word == "--help");
    starts(&["-o", "--output"]) && starts(&["-r", "--read", "-i", "--interface"]) && !asks_help
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;

    use super::*;

    fn words(line: &str) -> String {
        let words = expanded(line.split(' ').map(OsString::from).collect());
        words.join(OsStr::new(" ")).into_string().expect("UTF-8")
    }

    #[test]
    fn files_make_it_read_and_interfaces_snapshot() {
        assert_eq!(words("rstprobe show -r a b --by client"), "rstprobe read --by client a b");
        assert_eq!(words("rstprobe show --by client -r -"), "rstprobe read --by client -");
        assert_eq!(words("rstprobe show -i eth0 --for 3s"), "rstprobe snapshot -i eth0 --for 3s");
        assert_eq!(words("rstprobe show -r"), "rstprobe read", "which says that a file is missing");
        assert_eq!(words("rstprobe read show"), "rstprobe read show");
    }

    #[test]
    fn a_report_is_expanded_when_it_is_whole() {
        assert_eq!(words("rstprobe report -o p.html -r a b"), "rstprobe read -o p.html a b");
        assert_eq!(words("rstprobe report -r a b --output=p.html"), "rstprobe read --output=p.html a b");
        assert_eq!(words("rstprobe report -i e --for 3s -o -"), "rstprobe snapshot -i e --for 3s -o -");
        for line in
            ["rstprobe report", "rstprobe report -r a", "rstprobe report -o p", "rstprobe report -o p -r a --help"]
        {
            assert_eq!(words(line), line);
        }
    }
}

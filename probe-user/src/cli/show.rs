//! `rstprobe show`: one command for both sources, which is `read` with `-r FILE` and `snapshot` with `-i IFACE`; and `explain`,
//! which has a command of its own for interfaces.

use std::ffi::OsString;

use super::explain;

/// Words of a command line, the program's name first; those of `show` are turned into those of `read` or `snapshot`. Files
/// follow `-r` (`--read`), as many as there are until the next option.
pub fn expanded(words: Vec<OsString>) -> Vec<OsString> {
    if words.get(1).is_none_or(|word| word != "show") {
        return explain::expanded(words);
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
}

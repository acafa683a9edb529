//! Hint for who typed an unknown field of a group: the one that was probably meant, or all of them in short lines.

/// Columns of a line of the list.
const WIDTH: usize = 96;

/// What columns of tables are headed, and other words for fields, each with the field.
const OTHER_WORDS: &[(&str, &str)] = &[
    ("losses", "lossy.count"),
    ("lossy", "lossy.count"),
    ("loss", "lossy.count"),
    ("lost", "lossy.count"),
    ("conns", "connections"),
    ("count", "connections"),
    ("cause", "main_cause"),
    ("rst", "rst.count"),
    ("resets", "rst.count"),
    ("fin", "fin.count"),
    ("syn", "syn.count"),
];

/// The field that a word which is no field stands for in tables or among people.
pub(super) fn meant(word: &str) -> Option<&'static str> {
    OTHER_WORDS.iter().find(|(other, _)| other.eq_ignore_ascii_case(word)).map(|(_, field)| *field)
}

/// What helps who typed `name`, which is none of `names`.
pub(super) fn hint(name: &str, names: &[&'static str]) -> String {
    match meant(name).or_else(|| with_all_parts(name, names)).or_else(|| closest(name, names)) {
        Some(known) => format!("did you mean `{known}`?"),
        None => format!("it can be\n{}\n`rstprobe fields --groups` says what each means", wrapped(names)),
    }
}

/// The shortest that has every part of the name, in its order: `rst.count.srv` for `rst.srv`.
fn with_all_parts(name: &str, names: &[&'static str]) -> Option<&'static str> {
    let name = name.to_ascii_lowercase();
    let has_all = |known: &&&str| {
        let mut parts = known.split('.');
        name.split('.').all(|part| parts.any(|one| one == part))
    };
    names.iter().filter(has_all).min_by_key(|known| known.len()).copied()
}

fn closest(name: &str, names: &[&'static str]) -> Option<&'static str> {
    let distance = |known: &&&str| strsim::osa_distance(&name.to_ascii_lowercase(), known);
    names.iter().min_by_key(distance).filter(|known| distance(known) <= name.len() / 3 + 1).copied()
}

/// The names in indented lines.
fn wrapped(names: &[&str]) -> String {
    let mut lines = vec!["  ".to_owned()];
    for (at, name) in names.iter().enumerate() {
        let word = if at + 1 < names.len() { format!("{name}, ") } else { (*name).to_owned() };
        if lines.last().is_some_and(|line| line.len() + word.trim_end().len() > WIDTH) {
            lines.push("  ".to_owned());
        }
        if let Some(line) = lines.last_mut() {
            line.push_str(&word);
        }
    }
    lines.iter().map(|line| line.trim_end()).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        filter::Schema as _,
        query::{GroupRef, Having},
    };

    #[test]
    fn what_was_probably_meant_is_asked() {
        let names = GroupRef::names();
        for (typed, meant) in [
            ("losses", "lossy.count"),
            ("rst.srv", "rst.count.srv"),
            ("RST", "rst.count"),
            ("rst.cuont.clt", "rst.count.clt"),
            ("conections", "connections"),
        ] {
            assert_eq!(hint(typed, &names), format!("did you mean `{meant}`?"), "{typed}");
        }
        for (_, field) in OTHER_WORDS {
            assert!(names.contains(field), "{field}");
        }
        let error = "losses > 3".parse::<Having>().expect_err("no field").to_string();
        assert!(error.starts_with("unknown field `losses`; here that is `lossy.count`"), "{error}");
    }

    #[test]
    fn the_list_of_all_has_short_lines() {
        let list = hint("colour", &GroupRef::names());
        assert!(list.lines().count() > 4 && list.lines().all(|line| line.len() <= WIDTH), "{list}");
        assert!(GroupRef::names().iter().all(|name| list.contains(name)));
    }
}

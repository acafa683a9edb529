//! Import circles: finds files of one crate that import each other, directly or through further files.
//!
//! A module and what lies below it are one thing here: a parent names its children, and children use what it holds.

use std::collections::{BTreeMap, BTreeSet};

use super::{Finding, paths, source::Source};

/// Which file imports which, and by what path: files by number.
type Imports = BTreeMap<usize, BTreeMap<usize, String>>;

/// A finding for each set of files that reach each other by imports.
pub(super) fn check(sources: &[Source<'_>]) -> Vec<Finding> {
    let homes: BTreeMap<(String, String), usize> =
        sources.iter().enumerate().filter_map(|(at, source)| Some((home(source.path)?, at))).collect();
    let mut imports = Imports::new();
    for ((krate, module), &from) in &homes {
        for named in paths::named(&sources[from]).into_iter().filter(|named| !sources[from].is_test(named.line)) {
            let Some(to) = target(&homes, krate, &named.path) else { continue };
            let other = home(sources[to].path).map(|(_, module)| module).unwrap_or_default();
            if to != from && !is_above(module, &other) && !is_above(&other, module) {
                imports.entry(from).or_default().entry(to).or_insert(named.path);
            }
        }
    }
    circles(&imports).iter().map(|circle| finding(sources, &imports, circle)).collect()
}

/// Crate and module path of a file: `probe-user/src/tracker/table.rs` is `crate::tracker::table` of `probe-user`.
fn home(path: &str) -> Option<(String, String)> {
    let (krate, _) = path.split_once("/src/")?;
    Some((krate.to_owned(), paths::module_of(path)))
}

/// The file whose module a path names: that of its longest beginning that is one.
fn target(homes: &BTreeMap<(String, String), usize>, krate: &str, path: &str) -> Option<usize> {
    let mut module = path;
    loop {
        if let Some(&file) = homes.get(&(krate.to_owned(), module.to_owned())) {
            return Some(file);
        }
        module = module.rsplit_once("::")?.0;
    }
}

/// Module `below` lies within `above`.
fn is_above(above: &str, below: &str) -> bool {
    below.strip_prefix(above).is_some_and(|rest| rest.starts_with("::"))
}

/// Sets of files that reach each other, by number.
fn circles(imports: &Imports) -> Vec<BTreeSet<usize>> {
    let reached: BTreeMap<usize, BTreeSet<usize>> =
        imports.keys().map(|&from| (from, reachable(imports, from))).collect();
    let reaches = |from: usize, to: usize| reached.get(&from).is_some_and(|all| all.contains(&to));
    let mut found: Vec<BTreeSet<usize>> = Vec::new();
    for &file in imports.keys().filter(|&&file| reaches(file, file)) {
        if found.iter().all(|circle| !circle.contains(&file)) {
            found.push(imports.keys().copied().filter(|&other| reaches(file, other) && reaches(other, file)).collect());
        }
    }
    found
}

fn reachable(imports: &Imports, from: usize) -> BTreeSet<usize> {
    let (mut found, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        for &to in imports.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(to) {
                next.push(to);
            }
        }
    }
    found
}

fn finding(sources: &[Source<'_>], imports: &Imports, circle: &BTreeSet<usize>) -> Finding {
    let links: Vec<String> = circle
        .iter()
        .flat_map(|from| imports[from].iter().map(move |(to, path)| (from, to, path)))
        .filter(|(_, to, _)| circle.contains(to))
        .map(|(from, to, path)| format!("{} imports {} (`{path}`)", sources[*from].path, sources[*to].path))
        .collect();
    let first = circle.first().map_or("", |&file| sources[file].path);
    Finding { path: first.to_owned(), line: 0, why: format!("files import each other: {}", links.join("; ")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let sources: Vec<Source<'_>> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
        check(&sources).into_iter().map(|finding| finding.why).collect()
    }

    #[test]
    fn two_files_and_three_files_that_import_each_other() {
        let two =
            found(&[("a/src/x/one.rs", "use super::two::B;\n"), ("a/src/x/two.rs", "fn f() { super::one::g(); }\n")]);
        assert_eq!(
            two,
            [
                "files import each other: a/src/x/one.rs imports a/src/x/two.rs (`crate::x::two::B`); a/src/x/two.rs imports \
              a/src/x/one.rs (`crate::x::one::g`)"
            ]
        );
        let three = found(&[
            ("a/src/one.rs", "use crate::two::B;\n"),
            ("a/src/two.rs", "use crate::three::C;\n"),
            ("a/src/three.rs", "use crate::one::A;\n"),
        ]);
        assert_eq!(three.len(), 1);
    }

    #[test]
    fn parents_tests_and_other_crates_make_no_circle() {
        let files = [
            ("a/src/x/mod.rs", "mod one;\npub use one::A;\n"),
            ("a/src/x/one.rs", "use super::B;\n#[cfg(test)]\nmod tests {\n    use crate::y::C;\n}\n"),
            ("a/src/y.rs", "use crate::x::one::A;\n"),
            ("b/src/y.rs", "use crate::x;\n"),
            ("b/src/x.rs", "use a::y::C;\n"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }
}

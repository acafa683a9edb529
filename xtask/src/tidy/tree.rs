//! Rules on the repository as a tree of files: what lies at the top, that no file names a place of one machine, and that
//! documents name files that exist.

use std::path::Path;

use super::Finding;

/// Besides lock file, licences and dotfiles, which all repositories have.
const TOP_LEVEL: [&str; 6] = ["Cargo.toml", "probe-ebpf", "probe-user", "xtask", "tests", "README.md"];

/// First folders of paths that exist on one machine only.
const MACHINE_FOLDERS: [&str; 3] = ["work", "root", "farm"];

/// The top level is short, and stays so.
pub(super) fn top_level(files: &[String]) -> Vec<Finding> {
    let mut tops: Vec<&str> = files.iter().filter_map(|path| path.split('/').next()).collect();
    tops.dedup();
    let usual = |name: &str| name.starts_with('.') || name.starts_with("LICENSE") || name == "Cargo.lock";
    let strange = tops.into_iter().filter(|name| !usual(name) && !TOP_LEVEL.contains(name));
    let why = "does not belong at the top of the repository";
    strange.map(|name| Finding { path: name.to_owned(), line: 0, why: why.to_owned() }).collect()
}

/// What is committed holds everywhere.
pub(super) fn machine_paths(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for folder in MACHINE_FOLDERS.map(|name| format!("/{name}/")) {
            if starts_a_path(line, &folder) {
                let why = format!("{folder} is a path of one machine");
                findings.push(Finding { path: path.to_owned(), line: index + 1, why });
            }
        }
    }
    findings
}

/// Whether `folder` occurs in the line, and not in the middle of a longer path.
fn starts_a_path(line: &str, folder: &str) -> bool {
    let inner = |c: char| c.is_alphanumeric() || "._-}".contains(c);
    line.match_indices(folder).any(|(at, _)| !line[..at].ends_with(inner))
}

/// A source file in backticks is one of the repository, named by its path or the end of it.
pub(super) fn named_sources(path: &str, text: &str, files: &[String]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let spans = line.split('`').skip(1).step_by(2).filter(|span| is_rust(span));
        for span in spans.filter(|span| !span.contains(['{', '*', ' '])) {
            let exists = |file: &String| file == span || file.ends_with(&format!("/{span}"));
            if !files.iter().any(exists) {
                let why = format!("`{span}` is no file of the repository");
                findings.push(Finding { path: path.to_owned(), line: index + 1, why });
            }
        }
    }
    findings
}

fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_names_at_the_top() {
        let files = [".ci/run", "Cargo.lock", "LICENSE-MIT", "docs/a.md", "docs/b.md", "tests/src/lib.rs"];
        let found = top_level(&files.map(str::to_owned));
        assert_eq!(found.iter().map(|f| &*f.path).collect::<Vec<_>>(), ["docs"]);
    }

    #[test]
    fn documents_name_files_that_exist() {
        let files = ["probe-user/src/record/names.rs".to_owned()];
        let text = "see `record/names.rs`, `a/b.rs` and `x`\n`names.rs`, `tests/{a,b}.rs`\n`ames.rs`\n";
        let found = named_sources("README.md", text, &files);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [1, 3]);
    }

    #[test]
    fn machine_paths_are_found_where_they_start() {
        let text = format!("a\nsee /{}/x and /{}/y\nnet/{}/z, ${{HOME}}/{}/\n", "root", "work", "work", "root");
        let found = machine_paths("README.md", &text);
        assert_eq!(found.iter().map(|f| f.line).collect::<Vec<_>>(), [2, 2]);
    }
}

//! `tidy`: checks project rules that no compiler checks, by reading the files line by line.
//!
//! Gathers the files, lets each rule look at them, and says file, line and reason. Knows no rule itself.

mod circles;
mod lines;
mod paths;
mod rooms;
mod source;
mod tree;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail};

use crate::sh;
use source::Source;

/// A rule broken in one place.
#[derive(Debug, PartialEq)]
struct Finding {
    path: String,
    /// From 1; 0 speaks of the whole file.
    line: usize,
    why: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line == 0 {
            return write!(f, "{}: {}", self.path, self.why);
        }
        write!(f, "{}:{}: {}", self.path, self.line, self.why)
    }
}

/// The subcommand.
pub(crate) fn tidy(root: &Path) -> Result<()> {
    let files = files(root)?;
    let mut findings = tree::top_level(&files);
    let mut texts = Vec::new();
    for path in &files {
        // What is no text, captures for one, has no lines to read.
        let Ok(text) = fs::read_to_string(root.join(path)) else { continue };
        findings.extend(tree::machine_paths(path, &text));
        if Path::new(path).extension().is_some_and(|extension| extension == "md") {
            findings.extend(tree::named_sources(path, &text, &files));
        }
        if Path::new(path).extension().is_some_and(|extension| extension == "rs") {
            findings.extend(rust(path, &text));
            texts.push((path, text));
        }
    }
    let sources: Vec<Source<'_>> = texts.iter().map(|(path, text)| Source::new(path, text)).collect();
    findings.extend(circles::check(&sources));
    findings.iter().for_each(sh::say);
    if !findings.is_empty() {
        bail!("tidy: {} findings in {} files", findings.len(), files.len());
    }
    sh::say(format_args!("tidy: {} files, nothing to say", files.len()));
    Ok(())
}

fn rust(path: &str, text: &str) -> Vec<Finding> {
    let source = Source::new(path, text);
    let mut findings = lines::check(&source);
    findings.extend(rooms::check(&source));
    findings.sort_by_key(|finding| finding.line);
    findings
}

/// Files of the repository that Git tracks or would track; without Git, all but what is built.
fn files(root: &Path) -> Result<Vec<String>> {
    let mut git = Command::new("git");
    git.args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root);
    let mut files: Vec<String> = match sh::output(&mut git) {
        Ok(listed) => listed.lines().map(str::to_owned).filter(|path| root.join(path).is_file()).collect(),
        Err(_) => walked(root, root)?,
    };
    files.sort();
    files.dedup();
    Ok(files)
}

fn walked(root: &Path, folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path: PathBuf = entry?.path();
        let name = path.file_name().unwrap_or_default();
        if path.is_dir() && name != "target" && name != ".git" {
            files.extend(walked(root, &path)?);
        } else if path.is_file() {
            files.push(path.strip_prefix(root)?.to_string_lossy().into_owned());
        }
    }
    Ok(files)
}

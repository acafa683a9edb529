//! Plan of the page: where it is written, and how the captures are called in it.

use std::path::{Path, PathBuf};

use crate::printable;

/// `rstprobe report`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PagePlan {
    /// File, or `-` for standard output.
    pub path: PathBuf,
    /// Names of the captures, in order; empty for interfaces.
    pub sources: Vec<String>,
}

impl PagePlan {
    /// Of a page that was asked for; `captures` are called by the last part of their path.
    pub(super) fn new(path: PathBuf, captures: &[PathBuf]) -> Self {
        Self { path, sources: captures.iter().map(|capture| capture_name(capture)).collect() }
    }

    /// The file that it goes to; `None` for standard output.
    pub fn file(&self) -> Option<&Path> {
        (self.path.as_os_str() != "-").then_some(&*self.path)
    }
}

/// What people call a file: folders of the one who makes the page are no matter of those who read it.
pub fn capture_name(capture: &Path) -> String {
    match capture.file_name() {
        _ if capture.as_os_str() == "-" => "standard input".to_owned(),
        Some(name) => printable::path(Path::new(name)),
        None => printable::path(capture),
    }
}

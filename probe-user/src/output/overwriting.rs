//! Overwriting: refuses an output that would be written over an input or over another output.

use std::path::{Path, PathBuf};

use crate::plan::{EvidencePlan, ViewPlan};
use crate::{
    error::RunError,
    output::{evidence_files as files, file_identity::place},
    printable,
};

/// Refuses to write what a view writes over a capture that is read, or over what `--evidence` writes or keeps.
///
/// # Errors
/// [`RunError::OutFileOver`].
pub(crate) fn refuse_overwriting(
    view: &ViewPlan,
    evidence: Option<&EvidencePlan>,
    captures: &[PathBuf],
) -> Result<(), RunError> {
    refuse_one("--json-out", view.json_out.as_deref(), evidence, captures)?;
    refuse_one("--output", view.page.as_ref().and_then(|page| page.file()), evidence, captures)
}

fn refuse_one(
    option: &'static str,
    path: Option<&Path>,
    evidence: Option<&EvidencePlan>,
    captures: &[PathBuf],
) -> Result<(), RunError> {
    let Some((path, Some(written))) = path.map(|path| (path, place(path))) else { return Ok(()) };
    if let Some(capture) = captures.iter().find(|capture| place(capture).as_ref() == Some(&written)) {
        return Err(over(option, path, capture, "which is to be read"));
    }
    match evidence {
        Some(evidence) if files::overwritten(evidence, &[path.to_path_buf()]).is_some() => {
            Err(over(option, path, &evidence.path, "where --evidence is written"))
        }
        _ => Ok(()),
    }
}

fn over(option: &'static str, path: &Path, other: &Path, what: &'static str) -> RunError {
    let [path, other] = [path, other].map(printable::path);
    RunError::OutFileOver { option, path, other, what }
}

#[cfg(test)]
mod tests {
    use std::{fs, time::Duration};

    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("rstprobe-place-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        folder
    }

    fn refused(json: &Path, evidence: Option<&Path>, captures: &[PathBuf]) -> bool {
        let plan = evidence.map(|path| EvidencePlan {
            path: path.to_path_buf(),
            is_file: path.extension().is_some(),
            max_bytes: 1 << 20,
            max_age: Duration::from_hours(1),
            of: "rst.count > 0".parse().expect("a filter"),
        });
        refuse_one("--json-out", Some(json), plan.as_ref(), captures).is_err()
    }

    #[test]
    fn a_capture_is_the_same_through_every_link() {
        let folder = folder("links");
        let capture = folder.join("a.pcap");
        fs::write(&capture, [0; 10]).expect("a file");
        let (soft, hard) = (folder.join("soft"), folder.join("hard"));
        std::os::unix::fs::symlink("a.pcap", &soft).expect("a link");
        fs::hard_link(&capture, &hard).expect("a link");
        let captures = [capture.clone()];
        for json in [&capture, &soft, &hard, &folder.join("./a.pcap")] {
            assert!(refused(json, None, &captures), "{json:?}");
        }
        assert!(refused(&capture, None, &[PathBuf::from("-"), hard]));
        assert!(!refused(&folder.join("b.json"), None, &captures));
        assert!(!refused(Path::new("/dev/null"), None, &[PathBuf::from("/dev/null")]), "nothing is lost");
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn evidence_is_not_written_over_whether_there_or_not() {
        let folder = folder("evidence");
        let evidence = folder.join("e.pcapng");
        let dangling = folder.join("dangling");
        std::os::unix::fs::symlink("e.pcapng", &dangling).expect("a link");
        for _ in 0..2 {
            assert!(refused(&evidence, Some(&evidence), &[]));
            assert!(refused(&folder.join("./e.pcapng"), Some(&evidence), &[]));
            assert!(refused(&dangling, Some(&evidence), &[]));
            assert!(!refused(&folder.join("e.json"), Some(&evidence), &[]));
            fs::write(&evidence, [0; 10]).expect("a file");
        }
        let kept = folder.join("rstprobe-20200101T000000Z-000000.pcapng");
        fs::write(&kept, [0; 10]).expect("a file");
        assert!(refused(&kept, Some(&folder), &[]));
        fs::remove_dir_all(folder).expect("removed");
    }
}
